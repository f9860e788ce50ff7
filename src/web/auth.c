/* Tokens and origins; see auth.h. */
#include "web/auth.h"

#include "base/io.h"
#include "base/rand.h"
#include "base/str.h"

#include <ctype.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <sys/stat.h>

#define FRESH_DIGITS 48

static int adopt(struct auth *a, const char *text, size_t len, struct err *e)
{
    static const char label[] = "hotadd monitor session 1\n";
    unsigned char md[DIGEST_MAX_BYTES];
    struct digest *d = NULL;

    if (secret_new(text, len, &a->token, e) < 0 || digest_new(DIGEST_SHA256, &d, e) < 0)
        return -1;
    digest_sha256(text, len, a->token_digest);
    digest_update(d, label, sizeof label - 1);
    digest_update(d, text, len);
    digest_final(d, md);
    digest_free(d);
    str_hex(a->session, md, SHA256_BYTES);
    return 0;
}

static int fresh_token(struct auth *a, struct err *e)
{
    char text[FRESH_DIGITS + 1];
    int r;

    rand_hex(text, FRESH_DIGITS);
    r = adopt(a, text, FRESH_DIGITS, e);
    secret_wipe(text, sizeof text);
    return r;
}

static int check_token_text(const char *text, const char *file, struct err *e)
{
    if (strlen(text) < AUTH_MIN_TOKEN)
        return err_set(e, ERR_USAGE,
                       "token file %s: the token needs %d characters or more; `openssl "
                       "rand -hex 24` makes one",
                       file, AUTH_MIN_TOKEN);
    for (const char *c = text; *c; c++)
        if (!isgraph((unsigned char)*c))
            return err_set(e, ERR_USAGE,
                           "token file %s: one line of printable characters is wanted",
                           file);
    return 0;
}

static int read_token(int fd, const char *file, struct auth *a, struct err *e)
{
    auto_buf struct buf b = BUF_INIT;
    char *text;
    int r;

    if (io_read_fd(fd, 4096, &b, file, e) < 0)
        return -1;
    buf_addc(&b, 0);
    if (buf_check(&b, e) < 0)
        return -1;
    text = str_trim(b.data);
    r = check_token_text(text, file, e);
    if (r == 0)
        r = adopt(a, text, strlen(text), e);
    secret_wipe(b.data, b.len);
    return r;
}

static int token_from_file(struct auth *a, const char *file, struct err *e)
{
    auto_fd int fd = open(file, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    struct stat st;

    if (fd < 0) {
        err_sys(e, "token file %s", file);
        e->kind = ERR_USAGE;
        return -1;
    }
    if (fstat(fd, &st) < 0)
        return err_sys(e, "token file %s", file);
    if (!S_ISREG(st.st_mode))
        return err_set(e, ERR_USAGE, "token file %s is no regular file", file);
    if (st.st_mode & 077)
        return err_set(e, ERR_USAGE,
                       "token file %s can be read by others: `chmod 600 %s`, and make a "
                       "new token if somebody may have seen it",
                       file, file);
    return read_token(fd, file, a, e);
}

static int add_hosts(struct auth *a, const struct strv *hosts, struct err *e)
{
    if (!hosts)
        return 0;
    vec_foreach (h, hosts) {
        auto_free char *name = NULL;

        if (request_host_split(*h, &name, e) < 0)
            return err_set(e, ERR_USAGE,
                           "--host %.100s: a host name or address is wanted", *h);
        if (strv_add_once(&a->hosts, name, e) < 0)
            return -1;
    }
    return 0;
}

int auth_init(struct auth *a, enum auth_token how, const char *file,
              const struct strv *hosts, struct err *e)
{
    struct auth new = {0};
    int r = add_hosts(&new, hosts, e);

    if (r == 0 && how == AUTH_TOKEN_FILE)
        r = token_from_file(&new, file, e);
    else if (r == 0 && how == AUTH_TOKEN_FRESH)
        r = fresh_token(&new, e);
    if (r < 0) {
        auth_release(&new);
        return -1;
    }
    *a = new;
    return 0;
}

void auth_release(struct auth *a)
{
    secret_free(a->token);
    strv_release(&a->hosts);
    secret_wipe(a, sizeof *a);
}

static int refuse(int status, struct err *e, const char *why)
{
    err_set(e, ERR_DENIED, "%s", why);
    return status;
}

static bool known_host(const struct auth *a, const char *host_port)
{
    auto_free char *name = NULL;
    struct err e;

    if (request_host_split(host_port, &name, &e) < 0)
        return false;
    return a->any_host || strv_has(&a->hosts, name);
}

int auth_check_host(const struct auth *a, const struct request *rq, struct err *e)
{
    if (rq->host && known_host(a, rq->host))
        return 0;
    return refuse(421, e,
                  "this monitor is not known by that name; start it with --host NAME");
}

bool auth_token_is(const struct auth *a, const char *text)
{
    unsigned char md[SHA256_BYTES];

    /* Digests have one length, so neither length nor content shows in the time. */
    digest_sha256(text, strlen(text), md);
    return CRYPTO_memcmp(md, a->token_digest, sizeof md) == 0;
}

static bool session_is(const struct auth *a, const char *text)
{
    return strlen(text) == SHA256_HEX_LEN - 1 &&
           CRYPTO_memcmp(text, a->session, SHA256_HEX_LEN - 1) == 0;
}

int auth_check_token(const struct auth *a, const struct request *rq, struct err *e)
{
    const char *bearer = request_bearer(rq->authorization);
    auto_free char *cookie = NULL;

    if (!a->token)
        return 0;
    if (rq->authorization)
        return bearer && auth_token_is(a, bearer)
                   ? 0
                   : refuse(401, e, "the token is not this monitor's");
    if (request_cookie_get(rq->cookie, AUTH_COOKIE, &cookie, e) < 0)
        return 500;
    if (cookie && session_is(a, cookie))
        return 0;
    return refuse(401, e, "a token is needed: Authorization: Bearer TOKEN");
}

int auth_check_same_origin(const struct auth *a, const struct request *rq, struct err *e)
{
    const char *scheme = a->tls ? "https://" : "http://", *rest = NULL;

    if (rq->fetch_site && !str_eq(rq->fetch_site, "same-origin"))
        return refuse(403, e, "requests from another site's pages are refused");
    if (!rq->origin)
        return 0;
    if (str_starts(rq->origin, scheme))
        rest = rq->origin + strlen(scheme);
    else if (a->any_host && str_starts(rq->origin, "https://")) /* the proxy's TLS */
        rest = rq->origin + strlen("https://");
    if (!rest || !rq->host || strcasecmp(rest, rq->host) != 0)
        return refuse(403, e, "requests from another site's pages are refused");
    return 0;
}
