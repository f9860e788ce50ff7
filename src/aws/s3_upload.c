/* Disks as objects; see s3_upload.h.
 *
 * Part i + 1 is block i of the disk; the last one also carries the trailer. Parts of
 * zeros are copied by S3 from an object of zeros, so that they cost no traffic. A crash
 * leaves parts, which S3 lists. */
#include "aws/s3_upload.h"

#include "base/log.h"
#include "base/str.h"

#include <assert.h>
#include <inttypes.h>
#include <stdatomic.h>

#define MIN_PART ((uint64_t)8 << 20)

struct upload_sink {
    struct sink base;
    struct s3_bucket *bucket; /* borrowed */
    char *key, *id, *zero_key;
    unsigned char *trailer;
    size_t trailer_len;
    unsigned char *zeros; /* part_bytes of them and the trailer's place; never written */
    _Atomic bool zero_by_data; /* S3 would not copy */
};

static struct upload_sink *self(struct sink *s)
{
    return (struct upload_sink *)s;
}

uint32_t s3_upload_part_bytes(uint64_t size_bytes)
{
    uint64_t part = MIN_PART;

    while (part < S3_UPLOAD_MAX_PART && size_bytes > S3_MAX_PARTS * part)
        part *= 2;
    return (uint32_t)part;
}

static uint64_t n_parts(uint64_t size_bytes)
{
    uint64_t part = s3_upload_part_bytes(size_bytes);

    return (size_bytes + part - 1) / part;
}

/* Of the disk, in part i. */
static uint64_t len_of(uint64_t size_bytes, uint64_t i)
{
    uint64_t part = s3_upload_part_bytes(size_bytes), left = size_bytes - i * part;

    return left < part ? left : part;
}

/* ---- Parts ---- */

static int send_part(struct upload_sink *u, uint64_t i, const void *data, size_t len,
                     struct err *e)
{
    auto_free char *etag = NULL;
    auto_free unsigned char *whole = NULL;
    bool last = i + 1 == n_parts(u->base.size_bytes);

    if (last && u->trailer_len) {
        whole = malloc(len + u->trailer_len);
        if (!whole)
            return err_nomem(e);
        memcpy(whole, data, len);
        memcpy(whole + len, u->trailer, u->trailer_len);
        data = whole;
        len += u->trailer_len;
    }
    return s3_upload_part(u->bucket, u->key, u->id, (unsigned)(i + 1), data, len, &etag,
                          e);
}

static int upload_write(struct sink *s, const void *buf, size_t len, uint64_t offset,
                        struct err *e)
{
    assert(offset % s->block_bytes == 0);
    assert(len % s->block_bytes == 0 || offset + len == s->size_bytes);
    for (uint64_t at = 0; at < len; at += s->block_bytes) {
        uint64_t i = (offset + at) / s->block_bytes;

        if (send_part(self(s), i, (const char *)buf + at,
                      (size_t)len_of(s->size_bytes, i), e) < 0)
            return -1;
    }
    return 0;
}

/* An endpoint that cannot copy, or may not read, gets the zeros themselves. */
static int copy_zeros(struct upload_sink *u, uint64_t i, bool *ret_done, struct err *e)
{
    auto_free char *etag = NULL;

    *ret_done = false;
    if (!u->zero_key || atomic_load(&u->zero_by_data) ||
        len_of(u->base.size_bytes, i) != u->base.block_bytes ||
        (u->trailer_len && i + 1 == n_parts(u->base.size_bytes)))
        return 0;
    if (s3_upload_part_copy(u->bucket, u->key, u->id, (unsigned)(i + 1), u->zero_key,
                            &etag, e) == 0) {
        *ret_done = true;
        return 0;
    }
    if (e->kind != ERR_UNSUPPORTED && e->kind != ERR_DENIED)
        return -1;
    log_debug("%s; sending zeros as data", e->msg);
    atomic_store(&u->zero_by_data, true);
    return 0;
}

static int upload_zero(struct sink *s, uint64_t offset, uint64_t len, struct err *e)
{
    struct upload_sink *u = self(s);

    assert(offset % s->block_bytes == 0);
    for (uint64_t at = 0; at < len; at += s->block_bytes) {
        uint64_t i = (offset + at) / s->block_bytes;
        bool done;

        if (copy_zeros(u, i, &done, e) < 0 ||
            (!done && send_part(u, i, u->zeros, (size_t)len_of(s->size_bytes, i), e) < 0))
            return -1;
    }
    return 0;
}

static int upload_flush(struct sink *s, struct err *e)
{
    return 0; /* S3 keeps a part before it answers */
}

static int upload_read(struct sink *s, void *buf, size_t len, uint64_t offset,
                       struct err *e)
{
    return err_set(e, ERR_UNSUPPORTED, "%s: an upload cannot be read back", s->desc);
}

static void upload_free(struct sink *s)
{
    struct upload_sink *u = self(s);

    free(s->desc);
    free(u->key);
    free(u->id);
    free(u->zero_key);
    free(u->trailer);
    free(u->zeros);
    free(u);
}

static const struct sink_ops ops = {
    .name = "s3-upload",
    .write = upload_write,
    .zero = upload_zero,
    .flush = upload_flush,
    .read = upload_read,
    .free = upload_free,
};

int s3_upload_sink_new(const struct s3_upload_target *to, struct sink **ret,
                       struct err *e)
{
    uint32_t part = s3_upload_part_bytes(to->size_bytes);
    struct upload_sink *u = mem_zalloc(1, sizeof *u, e);

    if (!u)
        return -1;
    assert(to->size_bytes && to->size_bytes <= S3_UPLOAD_MAX_DISK);
    u->base = (struct sink){.ops = &ops,
                            .size_bytes = to->size_bytes,
                            .align = 512,
                            .block_bytes = part,
                            .fd = -1};
    u->bucket = to->bucket;
    u->base.desc = str_fmt(e, "upload %s", to->key);
    u->key = str_dup(to->key, e);
    u->id = str_dup(to->upload_id, e);
    u->zeros = mem_zalloc(1, part, e);
    u->trailer = mem_zalloc(1, to->trailer_len + 1, e);
    if (!u->base.desc || !u->key || !u->id || !u->zeros || !u->trailer ||
        str_set(&u->zero_key, to->zero_key, e) < 0) {
        upload_free(&u->base);
        return -1;
    }
    if (to->trailer_len)
        memcpy(u->trailer, to->trailer, to->trailer_len);
    u->trailer_len = to->trailer_len;
    *ret = &u->base;
    return 0;
}

/* ---- What is there ---- */

static bool is_whole(const struct s3_upload_target *to, const struct s3_part *p)
{
    uint64_t n = n_parts(to->size_bytes), i = p->number - 1;

    return i < n && p->size_bytes ==
                        len_of(to->size_bytes, i) + (i + 1 == n ? to->trailer_len : 0);
}

int s3_upload_ranges(const struct s3_upload_target *to, struct extent_set *ret,
                     struct err *e)
{
    uint64_t part = s3_upload_part_bytes(to->size_bytes);
    struct s3_parts parts = {0};
    int r = s3_list_parts(to->bucket, to->key, to->upload_id, &parts, e);

    vec_foreach (p, &parts)
        if (r == 0 && is_whole(to, p))
            r = extent_set_add(ret, (p->number - 1) * part,
                               len_of(to->size_bytes, p->number - 1), e);
    s3_parts_release(&parts);
    return r;
}

int s3_upload_complete(const struct s3_upload_target *to, struct err *e)
{
    struct s3_parts parts = {0};
    uint64_t n = n_parts(to->size_bytes), i = 0;
    int r = s3_list_parts(to->bucket, to->key, to->upload_id, &parts, e);

    vec_foreach (p, &parts)
        if (r == 0 && p->number == i + 1 && is_whole(to, p))
            i++;
    if (r == 0 && (i != n || parts.n != n))
        r = err_set(e, ERR_FAILED,
                    "%s: part %" PRIu64 " of %" PRIu64 " was not uploaded whole", to->key,
                    i + 1, n);
    if (r == 0)
        r = s3_complete_multipart_upload(to->bucket, to->key, to->upload_id, &parts, e);
    s3_parts_release(&parts);
    return r;
}
