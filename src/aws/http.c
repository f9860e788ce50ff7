/* HTTP by libcurl; see http.h.
 *
 * Each handle is an easy handle with a multi handle of its own, so that waiting can also
 * watch the cancellation's eventfd, and so that its connection stays its own. Idle
 * handles wait in a list. Nothing here survives a crash. */
#include "aws/http.h"

#include "base/clock.h"
#include "base/secret.h"
#include "base/str.h"
#include "config.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <pthread.h>

#define MAX_HEADER_BYTES (64 * 1024)
#define MAX_IDLE         64 /* as many as threads that may be at it */
/* Of an answer that is no success: its reason is wanted, however little else is. */
#define MAX_REFUSAL (256 * 1024)
/* Bodies beyond this move in pieces of this size; libcurl's own are of 16 and 64 KiB. */
#define LARGE_BYTES (256 * 1024)

struct handle {
    CURL *easy;
    CURLM *multi;
    struct handle *next;
};

struct http {
    pthread_mutex_t lock; /* guards idle and n_idle */
    struct handle *idle;
    size_t n_idle;
    char *ca_bundle;
    const struct cancel *cancel;
};

/* What libcurl's callbacks fill. */
struct transfer {
    CURL *easy; /* borrowed */
    const struct http_request *request;
    struct http_answer *answer;
    int status;
    bool sized; /* the answer says how long it is */
    bool too_large;
    bool nomem;
};

static void handle_free(struct handle *h)
{
    if (h->easy)
        curl_easy_cleanup(h->easy);
    if (h->multi)
        curl_multi_cleanup(h->multi);
    free(h);
}

static int handle_new(struct handle **ret, struct err *e)
{
    struct handle *h = mem_zalloc(1, sizeof *h, e);

    if (!h)
        return -1;
    h->easy = curl_easy_init();
    h->multi = curl_multi_init();
    if (!h->easy || !h->multi) {
        handle_free(h);
        return err_nomem(e);
    }
    *ret = h;
    return 0;
}

static int handle_get(struct http *http, struct handle **ret, struct err *e)
{
    struct handle *h;

    pthread_mutex_lock(&http->lock);
    h = http->idle;
    if (h) {
        http->idle = h->next;
        http->n_idle--;
    }
    pthread_mutex_unlock(&http->lock);
    if (!h)
        return handle_new(ret, e);
    *ret = h;
    return 0;
}

static void handle_put(struct http *http, struct handle *h)
{
    pthread_mutex_lock(&http->lock);
    if (http->n_idle < MAX_IDLE) {
        h->next = http->idle;
        http->idle = h;
        http->n_idle++;
        h = NULL;
    }
    pthread_mutex_unlock(&http->lock);
    if (h)
        handle_free(h);
}

int http_new(const char *ca_bundle, const struct cancel *cancel, struct http **ret,
             struct err *e)
{
    struct http *h;
    CURLcode c;

    if (ca_bundle && access(ca_bundle, R_OK) < 0) {
        err_sys(e, "CA bundle %s", ca_bundle);
        e->kind = ERR_USAGE;
        return -1;
    }
    /* Counted and thread-safe since libcurl 7.84. */
    c = curl_global_init(CURL_GLOBAL_DEFAULT);
    if (c != CURLE_OK)
        return err_set(e, ERR_FAILED, "libcurl: %s", curl_easy_strerror(c));
    h = mem_zalloc(1, sizeof *h, e);
    if (!h || (ca_bundle && str_set(&h->ca_bundle, ca_bundle, e) < 0)) {
        free(h);
        curl_global_cleanup();
        return -1;
    }
    pthread_mutex_init(&h->lock, NULL);
    h->cancel = cancel;
    *ret = h;
    return 0;
}

void http_free(struct http *h)
{
    if (!h)
        return;
    while (h->idle) {
        struct handle *next = h->idle->next;

        handle_free(h->idle);
        h->idle = next;
    }
    pthread_mutex_destroy(&h->lock);
    free(h->ca_bundle);
    free(h);
    curl_global_cleanup();
}

void http_answer_release(struct http_answer *a)
{
    if (a->secret && a->body.data)
        secret_wipe(a->body.data, a->body.cap);
    buf_release(&a->headers);
    buf_release(&a->body);
    *a = (struct http_answer)HTTP_ANSWER_INIT;
}

/* ---- Where we may go ---- */

static bool host_is_loopback(const char *host)
{
    struct in_addr v4;
    struct in6_addr v6;

    size_t len = strlen(host);

    /* libcurl resolves these names to loopback without asking DNS (RFC 6761). */
    if (strcasecmp(host, "localhost") == 0 ||
        (len > 10 && strcasecmp(host + len - 10, ".localhost") == 0))
        return true;
    if (inet_pton(AF_INET, host, &v4) == 1)
        return ntohl(v4.s_addr) >> 24 == 127;
    if (inet_pton(AF_INET6, host, &v6) == 1)
        return IN6_IS_ADDR_LOOPBACK(&v6);
    return false;
}

/* 169.254.0.0/16, and fd00:ec2::/32 where EC2 puts its IPv6 metadata services. */
static bool host_is_link_local(const char *host)
{
    struct in_addr v4;
    struct in6_addr v6;

    if (inet_pton(AF_INET, host, &v4) == 1)
        return ntohl(v4.s_addr) >> 16 == 0xa9fe;
    if (inet_pton(AF_INET6, host, &v6) == 1)
        return memcmp(v6.s6_addr, "\xfd\x00\x0e\xc2", 4) == 0;
    return false;
}

static int judge(const char *url, const char *scheme, char *host, enum http_reach reach,
                 struct err *e)
{
    size_t len = strlen(host);

    if (len > 2 && host[0] == '[') { /* libcurl keeps the brackets of IPv6 */
        host[len - 1] = 0;
        host++;
    }
    if (str_eq(scheme, "https"))
        return 0;
    if (!str_eq(scheme, "http"))
        return err_set(e, ERR_USAGE, "%s: only https is spoken here", url);
    if (host_is_loopback(host) || (reach == HTTP_LINK_LOCAL && host_is_link_local(host)))
        return 0;
    return err_set(e, ERR_USAGE,
                   "%s: plain http is allowed to loopback only; use https (and "
                   "AWS_CA_BUNDLE for a certificate authority of your own)",
                   url);
}

int http_url_check(const char *url, enum http_reach reach, struct err *e)
{
    CURLU *u = curl_url();
    char *scheme = NULL, *host = NULL, *user = NULL;
    int ret = -1;

    if (!u)
        return err_nomem(e);
    if (curl_url_set(u, CURLUPART_URL, url, 0) != CURLUE_OK ||
        curl_url_get(u, CURLUPART_SCHEME, &scheme, 0) != CURLUE_OK ||
        curl_url_get(u, CURLUPART_HOST, &host, 0) != CURLUE_OK)
        err_set(e, ERR_USAGE, "'%.200s' is no URL", url);
    else if (curl_url_get(u, CURLUPART_USER, &user, 0) == CURLUE_OK)
        err_set(e, ERR_USAGE, "an endpoint URL must not hold a user name: host %s", host);
    else
        ret = judge(url, scheme, host, reach, e);
    curl_free(scheme);
    curl_free(host);
    curl_free(user);
    curl_url_cleanup(u);
    return ret;
}

/* ---- One request ---- */

/* Most bytes that an answer with this status may have. One with secrets must fit into
 * what was reserved for it. */
static size_t max_body(const struct http_request *r, int status)
{
    if (status / 100 != 2 && r->max_answer < MAX_REFUSAL && !r->secret_answer)
        return MAX_REFUSAL;
    return r->into ? r->into_len : r->max_answer;
}

/* Room for all that is to come, so that a large answer is not moved as it grows. */
static bool reserve_announced(const struct transfer *t, size_t at_least)
{
    size_t most = max_body(t->request, t->status);
    curl_off_t announced = -1;
    struct err e;

    curl_easy_getinfo(t->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &announced);
    if (announced < (curl_off_t)at_least || (size_t)announced > most)
        return true;
    return buf_reserve(&t->answer->body, (size_t)announced, &e) == 0;
}

static size_t on_body(char *data, size_t size, size_t n, void *ctx)
{
    struct transfer *t = ctx;
    const struct http_request *r = t->request;
    struct http_answer *a = t->answer;
    bool into = r->into && t->status / 100 == 2;
    size_t len = size * n;

    if (len > max_body(r, t->status) - (into ? a->into_len : a->body.len)) {
        t->too_large = true;
        return 0;
    }
    if (into) {
        memcpy((char *)r->into + a->into_len, data, len);
        a->into_len += len;
        return len;
    }
    if (!a->body.data)
        t->nomem |= !reserve_announced(t, len);
    buf_add(&a->body, data, len);
    t->nomem |= a->body.failed;
    return t->nomem ? 0 : len;
}

/* "HTTP/1.1 206 Partial Content" */
static int status_of(const char *line, size_t len)
{
    const char *p = memchr(line, ' ', len);
    int status = 0;

    for (p = p ? p + 1 : line + len; p < line + len && *p >= '0' && *p <= '9'; p++)
        status = status < 100 ? status * 10 + *p - '0' : 1000;
    return status;
}

static bool header_is(const char *line, size_t len, const char *name)
{
    size_t n = strlen(name);

    return len >= n && strncasecmp(line, name, n) == 0;
}

static size_t on_header(char *data, size_t size, size_t n, void *ctx)
{
    struct transfer *t = ctx;
    struct buf *h = &t->answer->headers;
    size_t len = size * n, keep = len;

    if (len >= 5 && memcmp(data, "HTTP/", 5) == 0) {
        buf_reset(h); /* what came before was a "100 Continue" */
        t->status = status_of(data, len);
        t->sized = false;
    }
    t->sized |= header_is(data, len, "Content-Length:") ||
                header_is(data, len, "Transfer-Encoding:");
    if (len > MAX_HEADER_BYTES - h->len) {
        t->too_large = true;
        return 0;
    }
    while (keep && (data[keep - 1] == '\r' || data[keep - 1] == '\n'))
        keep--;
    buf_add(h, data, keep);
    buf_addc(h, '\n');
    t->nomem |= h->failed;
    return t->nomem ? 0 : len;
}

static void wipe_list(struct curl_slist *list)
{
    for (struct curl_slist *l = list; l; l = l->next)
        secret_wipe(l->data, strlen(l->data));
    curl_slist_free_all(list);
}

static int header_list(const struct http_request *r, struct curl_slist **ret,
                       struct err *e)
{
    /* Without a value: libcurl shall not wait for 100 Continue, nor call a body a form
     * on its own account. */
    static const char *const none[] = {"Expect:", "Content-Type:"};
    size_t n_none = 2;
    struct curl_slist *list = NULL;
    auto_buf struct buf line = BUF_INIT;
    int done = 0;

    for (size_t i = 0; i < r->n_headers; i++)
        if (strcasecmp(r->headers[i].name, "Content-Type") == 0)
            n_none = 1;
    for (size_t i = 0; i < r->n_headers + n_none && done == 0; i++) {
        struct curl_slist *longer;

        buf_reset(&line);
        if (i < r->n_headers)
            buf_addf(&line, "%s: %s", r->headers[i].name, r->headers[i].value);
        else
            buf_adds(&line, none[i - r->n_headers]);
        longer = line.failed ? NULL : curl_slist_append(list, buf_str(&line));
        if (longer)
            list = longer;
        else
            done = err_nomem(e);
    }
    if (line.data)
        secret_wipe(line.data, line.cap);
    if (done < 0)
        wipe_list(list);
    else
        *ret = list;
    return done;
}

static long ms_of(uint64_t ns)
{
    uint64_t ms = ns / NS_PER_MS;

    return ms > 3600000 ? 3600000 : ms < 1 ? 1 : (long)ms;
}

/* The same while the status is not known yet. */
static size_t announced_max(const struct http_request *r)
{
    size_t good = max_body(r, 200), bad = max_body(r, 400);

    return good > bad ? good : bad;
}

static void set_method(CURL *c, const struct http_request *r)
{
    if (str_eq(r->method, "HEAD")) {
        curl_easy_setopt(c, CURLOPT_NOBODY, 1L);
    } else if (str_eq(r->method, "GET") && !r->body) {
        curl_easy_setopt(c, CURLOPT_HTTPGET, 1L);
    } else {
        curl_easy_setopt(c, CURLOPT_POST, 1L);
        curl_easy_setopt(c, CURLOPT_POSTFIELDS, r->body ? r->body : "");
        curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)r->body_len);
        curl_easy_setopt(c, CURLOPT_CUSTOMREQUEST, r->method);
    }
}

static void set_options(struct http *http, CURL *c, const struct http_request *r,
                        struct curl_slist *headers, struct transfer *t, char *why)
{
    uint64_t now_ns = clock_mono_ns();

    curl_easy_reset(c);
    curl_easy_setopt(c, CURLOPT_URL, r->url);
    /* The path was signed as it stands. */
    curl_easy_setopt(c, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(c, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(c, CURLOPT_SSL_VERIFYPEER, 1L);
    curl_easy_setopt(c, CURLOPT_SSL_VERIFYHOST, 2L);
    curl_easy_setopt(c, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    if (http->ca_bundle)
        curl_easy_setopt(c, CURLOPT_CAINFO, http->ca_bundle);
    /* Plain http stays on this machine or link: a proxy would carry it away. */
    if (strncasecmp(r->url, "http:", 5) == 0)
        curl_easy_setopt(c, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(c, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(c, CURLOPT_USERAGENT, "hotadd/" HOTADD_VERSION);
    curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT_MS,
                     ms_of(r->connect_ns ? r->connect_ns : 10 * NS_PER_S));
    curl_easy_setopt(c, CURLOPT_TIMEOUT_MS,
                     ms_of(r->deadline_ns > now_ns ? r->deadline_ns - now_ns : 0));
    curl_easy_setopt(c, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(c, CURLOPT_LOW_SPEED_TIME, 30L);
    /* What HEAD announces does not come. */
    if (!str_eq(r->method, "HEAD"))
        curl_easy_setopt(c, CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)announced_max(r));
    if ((r->sized && max_body(r, 200) > LARGE_BYTES) || r->body_len > LARGE_BYTES) {
        curl_easy_setopt(c, CURLOPT_BUFFERSIZE, (long)LARGE_BYTES);
        curl_easy_setopt(c, CURLOPT_UPLOAD_BUFFERSIZE, (long)LARGE_BYTES);
    }
    curl_easy_setopt(c, CURLOPT_FRESH_CONNECT, (long)r->fresh);
    curl_easy_setopt(c, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(c, CURLOPT_WRITEDATA, t);
    curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(c, CURLOPT_HEADERDATA, t);
    curl_easy_setopt(c, CURLOPT_ERRORBUFFER, why);
    set_method(c, r);
}

static int run(struct http *http, struct handle *h, CURLcode *ret, struct err *e)
{
    struct curl_waitfd stop = {.fd = http->cancel ? http->cancel->event_fd : -1,
                               .events = CURL_WAIT_POLLIN};
    CURLMcode m = curl_multi_add_handle(h->multi, h->easy);
    int running = 1;

    while (m == CURLM_OK && running) {
        if (cancel_check(http->cancel, e) < 0) {
            curl_multi_remove_handle(h->multi, h->easy);
            return -1;
        }
        m = curl_multi_perform(h->multi, &running);
        if (m == CURLM_OK && running)
            m = curl_multi_poll(h->multi, &stop, http->cancel ? 1 : 0, 1000, NULL);
    }
    if (m == CURLM_OK) {
        int left;
        const CURLMsg *msg = curl_multi_info_read(h->multi, &left);

        *ret = msg ? msg->data.result : CURLE_FAILED_INIT;
    }
    curl_multi_remove_handle(h->multi, h->easy);
    if (m != CURLM_OK)
        return err_set(e, ERR_FAILED, "libcurl: %s", curl_multi_strerror(m));
    return 0;
}

/* Not sent: name not found, no connection, no TLS session. */
static bool maybe_sent(CURLcode c, CURL *easy)
{
    curl_off_t pretransfer_us = 0;

    if (c == CURLE_COULDNT_RESOLVE_HOST || c == CURLE_COULDNT_RESOLVE_PROXY ||
        c == CURLE_COULDNT_CONNECT || c == CURLE_SSL_CONNECT_ERROR ||
        c == CURLE_PEER_FAILED_VERIFICATION || c == CURLE_SSL_CACERT_BADFILE)
        return false;
    /* Zero until everything before the request itself is done. */
    curl_easy_getinfo(easy, CURLINFO_PRETRANSFER_TIME_T, &pretransfer_us);
    return pretransfer_us > 0;
}

static int explain(CURLcode c, const struct transfer *t, const struct http_request *r,
                   const char *why, struct err *e)
{
    int url_len = (int)strcspn(r->url, "?");
    const char *text = why[0] ? why : curl_easy_strerror(c);

    if (t->nomem || c == CURLE_OUT_OF_MEMORY)
        return err_nomem(e);
    if (t->too_large || c == CURLE_FILESIZE_EXCEEDED)
        return err_set(e, ERR_INPUT, "%.*s: the answer is larger than %zu bytes: refused",
                       url_len, r->url, max_body(r, t->status));
    if (c == CURLE_PEER_FAILED_VERIFICATION || c == CURLE_SSL_CACERT_BADFILE)
        return err_set(e, ERR_NETWORK,
                       "%.*s: its certificate is not trusted: %s (AWS_CA_BUNDLE names "
                       "the authorities of a private endpoint)",
                       url_len, r->url, text);
    err_set(e, c == CURLE_OPERATION_TIMEDOUT ? ERR_TIMEOUT : ERR_NETWORK, "%.*s: %s",
            url_len, r->url, text);
    e->retryable = c != CURLE_URL_MALFORMAT && c != CURLE_UNSUPPORTED_PROTOCOL;
    return -1;
}

/* Fills answer and *sent; the caller releases answer in any case. */
static int perform_on(struct http *http, struct handle *h, const struct http_request *r,
                      struct http_answer *answer, bool *sent, struct err *e)
{
    struct transfer t = {.easy = h->easy, .request = r, .answer = answer};
    char why[CURL_ERROR_SIZE] = "";
    struct curl_slist *headers;
    CURLcode c = CURLE_OK;
    long status = 0;
    int ret;

    if (header_list(r, &headers, e) < 0)
        return -1;
    set_options(http, h->easy, r, headers, &t, why);
    *sent = true;
    ret = run(http, h, &c, e);
    if (ret == 0 && c != CURLE_OK) {
        *sent = maybe_sent(c, h->easy);
        ret = explain(c, &t, r, why, e);
    } else if (ret == 0 && r->sized && !t.sized && t.status / 100 == 2) {
        ret = err_set(e, ERR_NETWORK, "%.*s: the answer does not say how long it is",
                      (int)strcspn(r->url, "?"), r->url);
        e->retryable = true;
    }
    curl_easy_getinfo(h->easy, CURLINFO_RESPONSE_CODE, &status);
    answer->status = (int)status;
    curl_easy_reset(h->easy); /* forgets `why`, `t`, the headers and the body */
    wipe_list(headers);
    return ret;
}

int http_perform(struct http *http, const struct http_request *r, struct http_answer *ret,
                 bool *ret_sent, struct err *e)
{
    struct http_answer answer = {.secret = r->secret_answer};
    struct handle *h = NULL;

    *ret_sent = false;
    if (cancel_check(http->cancel, e) < 0 || http_url_check(r->url, r->reach, e) < 0)
        return -1;
    /* Reserved in one piece, so that growing leaves no copies of secrets behind. */
    if (r->secret_answer && buf_reserve(&answer.body, r->max_answer, e) < 0)
        return -1;
    if (handle_get(http, &h, e) < 0) {
        http_answer_release(&answer);
        return -1;
    }
    if (perform_on(http, h, r, &answer, ret_sent, e) < 0) {
        /* Cheap insurance: whatever state the connection is in, it is not reused. */
        handle_free(h);
        http_answer_release(&answer);
        return -1;
    }
    handle_put(http, h);
    *ret = answer;
    return 0;
}

int http_answer_header(const struct http_answer *a, const char *name, char **ret,
                       struct err *e)
{
    size_t name_len = strlen(name);
    const char *p = buf_str(&a->headers);
    char *value = NULL;

    while (*p) {
        size_t len = strcspn(p, "\n");

        if (len > name_len && p[name_len] == ':' && strncasecmp(p, name, name_len) == 0) {
            value = str_ndup(p + name_len + 1, len - name_len - 1, e);
            if (!value)
                return -1;
            memmove(value, str_trim(value), strlen(str_trim(value)) + 1);
            break;
        }
        p += len + (p[len] == '\n');
    }
    *ret = value;
    return 0;
}
