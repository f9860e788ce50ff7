/* The EBS direct APIs; see ebs.h. All calls read, so each may be repeated. */
#include "aws/ebs_impl.h"

#include "aws/call.h"
#include "aws/uri.h"
#include "base/base64.h"
#include "base/digest.h"
#include "base/json.h"
#include "base/log.h"
#include "base/str.h"

#include <assert.h>
#include <inttypes.h>

#define GIB        ((uint64_t)1 << 30)
#define MAX_GIB    65536
#define MAX_BLOCK  (16u << 20)
#define MAX_ANSWER (8u << 20) /* a page has at most 10,000 blocks of some 100 bytes */
#define MAX_PAGES  1000000
#define DATA_TRIES 3
#define PAGE       "10000"

/* ---- reading a page ---- */

void ebs_cursor_release(struct ebs_cursor *c)
{
    free(c->token);
    *c = (struct ebs_cursor){0};
}

static int read_shape(const json_t *page, struct ebs_cursor *c, struct err *e)
{
    uint64_t gib, block;

    if (json_need_u64(page, "VolumeSize", &gib, e) < 0 ||
        json_need_u64(page, "BlockSize", &block, e) < 0)
        return -1;
    if (gib == 0 || gib > MAX_GIB || block < 512 || block > MAX_BLOCK ||
        (block & (block - 1)))
        return err_set(e, ERR_INPUT,
                       "a volume of %" PRIu64 " GiB in blocks of %" PRIu64 " bytes", gib,
                       block);
    if (c->shaped &&
        (c->shape.volume_bytes != gib * GIB || c->shape.block_bytes != block))
        return err_set(e, ERR_INPUT, "sizes that differ from those of the page before");
    c->shape = (struct ebs_shape){gib * GIB, (uint32_t)block};
    c->shaped = true;
    return 0;
}

static bool is_token(const char *s)
{
    size_t n = 0;

    for (; s[n]; n++)
        if (!((s[n] >= '0' && s[n] <= '9') || (s[n] >= 'a' && s[n] <= 'z') ||
              (s[n] >= 'A' && s[n] <= 'Z') || strchr("+/=", s[n])))
            return false;
    return n > 0 && n < EBS_TOKEN_LEN;
}

static int read_block(const json_t *o, enum ebs_list kind, struct ebs_cursor *c,
                      uint64_t *ret_index, const char **ret_token, struct err *e)
{
    bool changed = kind == EBS_CHANGED_BLOCKS;
    const char *token = json_str_or(o, changed ? "SecondBlockToken" : "BlockToken", NULL);

    if (json_need_u64(o, "BlockIndex", ret_index, e) < 0)
        return -1;
    if (*ret_index < c->next_index)
        return err_set(e, ERR_INPUT, "block %" PRIu64 " out of order", *ret_index);
    /* A volume that shrank between two snapshots cannot be; one that grew can. */
    if (*ret_index >= c->shape.volume_bytes / c->shape.block_bytes)
        return err_set(e, ERR_INPUT, "block %" PRIu64 " of a volume of %" PRIu64 " bytes",
                       *ret_index, c->shape.volume_bytes);
    if ((!token && !changed) || (token && !is_token(token)))
        return err_set(e, ERR_INPUT, "block %" PRIu64 " with no sound token", *ret_index);
    *ret_token = token;
    return 0;
}

static int read_next(const json_t *page, struct ebs_cursor *c, struct err *e)
{
    const char *next = json_str_or(page, "NextToken", "");

    if (*next && c->token && str_eq(next, c->token))
        return err_set(e, ERR_INPUT, "the same page twice");
    return str_set(&c->token, *next ? next : NULL, e);
}

int ebs_page_read(const char *text, size_t len, enum ebs_list kind, struct ebs_cursor *c,
                  ebs_block_fn *each, void *ctx, struct err *e)
{
    json_auto_t *page = NULL;
    const json_t *blocks, *o;
    size_t i;

    if (json_parse(text, len, "the answer", &page, e) < 0 || read_shape(page, c, e) < 0)
        return -1;
    blocks =
        json_object_get(page, kind == EBS_CHANGED_BLOCKS ? "ChangedBlocks" : "Blocks");
    if (blocks && !json_is_array(blocks))
        return err_set(e, ERR_INPUT, "no list of blocks");
    json_array_foreach (blocks, i, o) {
        const char *token = NULL;
        uint64_t index;
        int r;

        if (read_block(o, kind, c, &index, &token, e) < 0)
            return -1;
        r = each(ctx, &c->shape, index, token, e);
        if (r != 0)
            return r;
        c->next_index = index + 1;
    }
    return read_next(page, c, e);
}

/* ---- lists ---- */

struct listing {
    enum ebs_list kind;
    const char *action;
    const char *snapshot_id; /* whose blocks: the second of two */
    const char *first_id;    /* NULL with EBS_SNAPSHOT_BLOCKS */
    uint64_t start;
};

static void add_query(struct buf *q, const char *name, const char *value)
{
    buf_addf(q, "%s%s=", q->len ? "&" : "", name);
    uri_encode(q, value, strlen(value));
}

static int send_page(struct aws *aws, const struct listing *l, const struct ebs_cursor *c,
                     struct reply *ret, struct err *e)
{
    bool changed = l->kind == EBS_CHANGED_BLOCKS;
    auto_buf struct buf query = BUF_INIT;
    auto_buf struct buf path = BUF_INIT;
    char start[24];

    buf_adds(&path, "/snapshots/");
    uri_encode(&path, l->snapshot_id, strlen(l->snapshot_id));
    buf_adds(&path, changed ? "/changedblocks" : "/blocks");
    if (changed)
        add_query(&query, "firstSnapshotId", l->first_id);
    add_query(&query, "maxResults", PAGE);
    if (c->token)
        add_query(&query, "pageToken", c->token);
    snprintf(start, sizeof start, "%" PRIu64, l->start);
    if (l->start && !c->token)
        add_query(&query, "startingBlockIndex", start);
    if (buf_check(&path, e) < 0 || buf_check(&query, e) < 0)
        return -1;
    return call_send(aws,
                     &(struct call){.service = AWS_EBS,
                                    .action = l->action,
                                    .method = "GET",
                                    .path = buf_str(&path),
                                    .query = buf_str(&query),
                                    .max_answer = MAX_ANSWER},
                     ret, NULL, e);
}

static int list(struct aws *aws, const struct listing *l, ebs_block_fn *each, void *ctx,
                struct ebs_shape *ret, struct err *e)
{
    struct ebs_cursor c = {.next_index = l->start};
    int pages = 0, r = 0;

    do {
        auto_reply struct reply reply = REPLY_INIT;

        r = send_page(aws, l, &c, &reply, e);
        if (r == 0) {
            r = ebs_page_read(buf_str(&reply.http.body), reply.http.body.len, l->kind, &c,
                              each, ctx, e);
            if (r < 0)
                err_prefix(e, "%s: %s", l->action, l->snapshot_id);
        }
    } while (r == 0 && c.token && ++pages < MAX_PAGES);
    if (r == 0 && c.token)
        r = err_set(e, ERR_INPUT, "%s: %s: pages without end", l->action, l->snapshot_id);
    if (r >= 0 && ret)
        *ret = c.shape;
    ebs_cursor_release(&c);
    return r < 0 ? -1 : 0;
}

int ebs_list_snapshot_blocks(struct aws *aws, const char *snapshot_id, uint64_t start,
                             ebs_block_fn *each, void *ctx, struct ebs_shape *ret,
                             struct err *e)
{
    const struct listing l = {.kind = EBS_SNAPSHOT_BLOCKS,
                              .action = "ListSnapshotBlocks",
                              .snapshot_id = snapshot_id,
                              .start = start};

    return list(aws, &l, each, ctx, ret, e);
}

int ebs_list_changed_blocks(struct aws *aws, const char *first_snapshot_id,
                            const char *second_snapshot_id, uint64_t start,
                            ebs_block_fn *each, void *ctx, struct ebs_shape *ret,
                            struct err *e)
{
    const struct listing l = {.kind = EBS_CHANGED_BLOCKS,
                              .action = "ListChangedBlocks",
                              .snapshot_id = second_snapshot_id,
                              .first_id = first_snapshot_id,
                              .start = start};

    assert(first_snapshot_id);
    return list(aws, &l, each, ctx, ret, e);
}

static int add_extent(void *ctx, const struct ebs_shape *shape, uint64_t index,
                      const char *token, struct err *e)
{
    return extent_set_add(ctx, index * shape->block_bytes, shape->block_bytes, e);
}

int ebs_changed_extents(struct aws *aws, const char *first_snapshot_id,
                        const char *second_snapshot_id, struct extent_set *ret,
                        struct err *e)
{
    return ebs_list_changed_blocks(aws, first_snapshot_id, second_snapshot_id, 0,
                                   add_extent, ret, NULL, e);
}

/* ---- data ---- */

static int need_header(const struct reply *r, const char *name, char **ret, struct err *e)
{
    if (http_answer_header(&r->http, name, ret, e) < 0)
        return -1;
    return *ret ? 0 : err_set(e, ERR_INPUT, "the answer has no %s", name);
}

/* Length and digest as the answer's own headers say. */
static int check_data(const struct reply *r, const void *buf, uint32_t block_bytes,
                      struct err *e)
{
    auto_free char *length = NULL, *algorithm = NULL, *want = NULL;
    auto_buf struct buf digest = BUF_INIT;
    unsigned char sum[SHA256_BYTES];
    uint64_t len;

    if (need_header(r, "x-amz-Data-Length", &length, e) < 0 ||
        need_header(r, "x-amz-Checksum-Algorithm", &algorithm, e) < 0 ||
        need_header(r, "x-amz-Checksum", &want, e) < 0 ||
        str_to_u64(length, &len, e) < 0 ||
        base64_decode(want, strlen(want), &digest, e) < 0 || buf_check(&digest, e) < 0)
        return -1;
    if (len != block_bytes || r->http.into_len != block_bytes)
        return err_set(e, ERR_INPUT,
                       "%zu bytes, said to be %" PRIu64 ", where %" PRIu32 " are a block",
                       r->http.into_len, len, block_bytes);
    if (!str_eq(algorithm, "SHA256"))
        return err_set(e, ERR_UNSUPPORTED, "a checksum by %.32s", algorithm);
    digest_sha256(buf, block_bytes, sum);
    if (digest.len != sizeof sum || memcmp(digest.data, sum, sizeof sum) != 0)
        return err_set(e, ERR_INPUT, "the data does not fit its checksum");
    return 0;
}

int ebs_get_snapshot_block(struct aws *aws, const char *snapshot_id, uint64_t index,
                           const char *token, void *buf, uint32_t block_bytes,
                           struct err *e)
{
    auto_buf struct buf path = BUF_INIT;
    auto_buf struct buf query = BUF_INIT;

    buf_adds(&path, "/snapshots/");
    uri_encode(&path, snapshot_id, strlen(snapshot_id));
    buf_addf(&path, "/blocks/%" PRIu64, index);
    add_query(&query, "blockToken", token);
    if (buf_check(&path, e) < 0 || buf_check(&query, e) < 0)
        return -1;
    for (int tries = 1;; tries++) {
        auto_reply struct reply reply = REPLY_INIT;

        if (call_send(aws,
                      &(struct call){.service = AWS_EBS,
                                     .action = "GetSnapshotBlock",
                                     .method = "GET",
                                     .path = buf_str(&path),
                                     .query = buf_str(&query),
                                     .into = buf,
                                     .into_len = block_bytes,
                                     .sized = true},
                      &reply, NULL, e) < 0)
            return -1;
        if (check_data(&reply, buf, block_bytes, e) == 0)
            return 0;
        err_prefix(e, "GetSnapshotBlock: block %" PRIu64 " of %s", index, snapshot_id);
        if (e->kind != ERR_INPUT || tries == DATA_TRIES)
            return -1;
        log_debug("%s; asking again", e->msg);
    }
}
