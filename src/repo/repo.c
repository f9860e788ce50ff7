/* Opening repositories and fetching chunks; see repo.h. */
#include "repo/private.h"

#include "base/str.h"
#include "repo/key.h"

#include <errno.h>

static int repo_new(struct store *s, const struct repo_options *opt, struct repo **ret,
                    struct err *e)
{
    struct repo *r = mem_zalloc(1, sizeof *r, e);
    const char *owner = opt && opt->owner ? opt->owner : "root@pam";

    if (!r) {
        store_free(s);
        return -1;
    }
    r->store = s;
    datablob_pool_init(&r->pool, opt ? opt->key : NULL);
    if (opt) {
        r->key = opt->key;
        r->cancel = opt->cancel;
    }
    if (strpbrk(owner, "\r\n") || !strchr(owner, '@')) {
        repo_free(r);
        return err_set(e, ERR_USAGE, "'%.80s' is not an owner like root@pam", owner);
    }
    r->owner = str_dup(owner, e);
    if (!r->owner) {
        repo_free(r);
        return -1;
    }
    *ret = r;
    return 0;
}

int repo_open_dir(const char *path, enum repo_open how, const struct repo_options *opt,
                  struct repo **ret, struct err *e)
{
    struct store *s;

    if (store_dir_new(path, how, &s, e) < 0)
        return -1;
    return repo_new(s, opt, ret, e);
}

int repo_open_objects(struct objects *objects, const char *name, enum repo_open how,
                      const struct repo_options *opt, struct repo **ret, struct err *e)
{
    struct store *s;

    if (store_objects_new(objects, name, how, &s, e) < 0)
        return -1;
    return repo_new(s, opt, ret, e);
}

void repo_free(struct repo *r)
{
    if (!r)
        return;
    datablob_pool_release(&r->pool);
    store_free(r->store);
    free(r->owner);
    free(r);
}

/* ---- chunks ---- */

bool repo_is_damage(const struct err *e)
{
    switch (e->kind) {
    case ERR_INPUT:
    case ERR_NOT_FOUND:
    case ERR_DENIED:
        return true;
    case ERR_SYS:
        /* The disk's fault or the file's; not that of a process short of descriptors. */
        return e->sys_errno == EIO || e->sys_errno == ELOOP || e->sys_errno == EACCES ||
               e->sys_errno == EUCLEAN || e->sys_errno == ENXIO;
    default:
        return false;
    }
}

static int missing(struct repo *r, const unsigned char *digest, struct err *e)
{
    bool bad = r->store->ops->chunk_was_bad(r->store, digest);

    return err_set(e, ERR_NOT_FOUND, "it is missing%s",
                   bad ? " (a verification found it damaged and renamed it to .bad)"
                       : "");
}

/* The chunk's file, into the work's buffer. */
static int read_raw(struct repo *r, struct datablob_work *w, const unsigned char *digest,
                    size_t len, size_t *ret_len, enum repo_damage_kind *kind,
                    struct err *e)
{
    size_t cap = DATABLOB_MAX_RAW(len);

    *kind = REPO_DAMAGE_READ;
    if (r->store->ops->chunk_read(r->store, digest, datablob_raw(w), cap, ret_len, e) <
        0) {
        if (e->kind != ERR_NOT_FOUND)
            return -1;
        *kind = REPO_DAMAGE_MISSING;
        return missing(r, digest, e);
    }
    if (*ret_len > cap) {
        *kind = REPO_DAMAGE_LENGTH;
        return err_set(e, ERR_INPUT, "its file has %zu bytes, too many for %zu of data",
                       *ret_len, len);
    }
    return 0;
}

static int fetch(struct repo *r, struct datablob_work *w,
                 const unsigned char digest[][SHA256_BYTES], size_t n,
                 enum datablob_crypt crypt, void *out, size_t len, size_t *which,
                 enum repo_damage_kind *kind, struct err *e)
{
    for (size_t i = 0; i < n; i++) {
        unsigned char *to = (unsigned char *)out + i * len;
        size_t raw_len;
        int ret;

        *which = i;
        if (read_raw(r, w, digest[i], len, &raw_len, kind, e) < 0)
            return -1;
        ret = datablob_unpack_chunk(w, raw_len, crypt, to, len, kind, e);
        if (ret != 0)
            return ret;
    }
    return datablob_check(w, crypt, digest, n, out, len, which, kind, e);
}

int repo_chunks_fetch(struct repo *r, const unsigned char digest[][SHA256_BYTES],
                      size_t n, enum datablob_crypt crypt, void *out, size_t len,
                      size_t *ret_which, enum repo_damage_kind *ret_kind, struct err *e)
{
    struct datablob_work *w;
    int ret;

    *ret_which = 0;
    *ret_kind = REPO_DAMAGE_READ;
    if (cancel_check(r->cancel, e) < 0 ||
        datablob_take(&r->pool, DATABLOB_MAX_RAW(len), &w, e) < 0)
        return -1;
    ret = fetch(r, w, digest, n, crypt, out, len, ret_which, ret_kind, e);
    datablob_give(&r->pool, w);
    return ret;
}

int repo_chunk_fetch(struct repo *r, const unsigned char digest[SHA256_BYTES],
                     enum datablob_crypt crypt, void *out, size_t len,
                     enum repo_damage_kind *ret_kind, struct err *e)
{
    size_t which;

    return repo_chunks_fetch(r, (const unsigned char(*)[SHA256_BYTES])digest, 1, crypt,
                             out, len, &which, ret_kind, e);
}

int repo_zero_digest(struct repo *r, enum datablob_crypt crypt, size_t len,
                     unsigned char out[SHA256_BYTES], struct err *e)
{
    auto_free void *zeros = mem_zalloc(1, len, e);
    struct datablob_work *w;

    if (!zeros || datablob_take(&r->pool, 0, &w, e) < 0)
        return -1;
    datablob_digest(w, crypt, zeros, len, out);
    datablob_give(&r->pool, w);
    return 0;
}
