/* Reading snapshots through the EBS direct APIs: which blocks there are, which differ
 * from an older snapshot, and their data.
 *
 * A block is listed when it holds a byte that is not zero. EC2 lists whatever was ever
 * written; a client must not depend on either. Pages look at so many blocks at most, so
 * a page may be short or empty and still not be the last. */
#include "lab/ebs_impl.h"
#include "lab/snapshot.h"

#include "base/auto.h"
#include "base/base64.h"
#include "base/digest.h"
#include "base/io.h"
#include "base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#define MAX_RESULTS 10000u
#define MIN_RESULTS 100u
#define LOOKED_AT   8192u /* blocks read for one page */
#define PURPOSE_LEN 160

static int open_snapshot(const struct lab *lab, const char *id, int *ret_fd,
                         struct err *e)
{
    auto_free char *path = lab_snapshot_path(lab, id, e);

    if (!path)
        return -1;
    *ret_fd = open(path, O_RDONLY | O_CLOEXEC);
    return *ret_fd < 0 ? err_sys(e, "%s: open", path) : 0;
}

static void block_purpose(char out[PURPOSE_LEN], const char *snapshot, uint64_t block)
{
    snprintf(out, PURPOSE_LEN, "block %s %llu", snapshot, (unsigned long long)block);
}

/* ---- Lists ---- */

/* A list under way: blocks of `second`, or where they differ from `first`. */
struct list {
    struct ebs_call *c;
    unsigned char key[EBS_KEY_BYTES];
    const char *first, *second; /* ids; first may be NULL */
    int first_fd, second_fd;
    uint64_t first_blocks, blocks; /* in all */
    uint64_t from, max, gib;
    int64_t expires_s;
    json_t *found;          /* owned */
    unsigned char *a, *b;   /* a block each; owned */
    char page[PURPOSE_LEN]; /* what page tokens are for */
};

static void list_release(struct list *l)
{
    auto_fd_fn(&l->first_fd);
    auto_fd_fn(&l->second_fd);
    json_decref(l->found);
    free(l->a);
    free(l->b);
}

static bool is_zero(const unsigned char *p)
{
    return p[0] == 0 && memcmp(p, p + 1, EBS_BLOCK_BYTES - 1) == 0;
}

/* The first block from `block` on that a file has data in; UINT64_MAX: none. */
static uint64_t next_data(int fd, uint64_t block)
{
    off_t at = fd < 0 ? -1 : lseek(fd, (off_t)(block * EBS_BLOCK_BYTES), SEEK_DATA);

    return at < 0 ? UINT64_MAX : (uint64_t)at / EBS_BLOCK_BYTES;
}

static int read_block(int fd, uint64_t block, uint64_t blocks, unsigned char *out,
                      const char *what, struct err *e)
{
    if (fd < 0 || block >= blocks) {
        memset(out, 0, EBS_BLOCK_BYTES);
        return 0;
    }
    return io_pread_full(fd, out, EBS_BLOCK_BYTES, block * EBS_BLOCK_BYTES, what, e);
}

static int add_block(struct list *l, uint64_t block, bool in_first, struct err *e)
{
    char purpose[PURPOSE_LEN], first[EBS_TOKEN_LEN], second[EBS_TOKEN_LEN];
    bool changed = l->c->target.action == EBS_LIST_CHANGED;

    block_purpose(purpose, l->second, block);
    ebs_token_make(l->key, purpose, block, l->expires_s, second);
    if (!changed)
        return json_add(l->found,
                        json_pack("{s:I, s:s}", "BlockIndex", (json_int_t)block,
                                  "BlockToken", second),
                        e);
    if (in_first) {
        block_purpose(purpose, l->first, block);
        ebs_token_make(l->key, purpose, block, l->expires_s, first);
    }
    return json_add(l->found,
                    json_pack("{s:I, s:s*, s:s}", "BlockIndex", (json_int_t)block,
                              "FirstBlockToken", in_first ? first : NULL,
                              "SecondBlockToken", second),
                    e);
}

static int look_at(struct list *l, uint64_t block, struct err *e)
{
    bool differs, in_first;

    if (read_block(l->second_fd, block, l->blocks, l->b, l->second, e) < 0 ||
        read_block(l->first_fd, block, l->first_blocks, l->a, "first snapshot", e) < 0)
        return -1;
    differs = l->first ? memcmp(l->a, l->b, EBS_BLOCK_BYTES) != 0 : !is_zero(l->b);
    in_first = l->first && !is_zero(l->a);
    return differs ? add_block(l, block, in_first, e) : 0;
}

/* *ret_next: where the next page begins, UINT64_MAX after the last. */
static int find_blocks(struct list *l, uint64_t *ret_next, struct err *e)
{
    uint64_t block = l->from;

    for (unsigned looked = 0; block < l->blocks; looked++, block++) {
        uint64_t a = next_data(l->first_fd, block), b = next_data(l->second_fd, block);

        block = a < b ? a : b;
        if (block >= l->blocks)
            break;
        if (json_array_size(l->found) == l->max || looked == LOOKED_AT) {
            *ret_next = block;
            return 0;
        }
        if (look_at(l, block, e) < 0)
            return -1;
    }
    *ret_next = UINT64_MAX;
    return 0;
}

/* With the lab's lock: the snapshots are there and related. */
static int open_list(struct list *l, struct err *e)
{
    struct lab *lab = l->c->lab;
    const json_t *first = NULL, *second;

    if (ebs_key(lab, l->key, e) < 0 || ebs_find(lab, l->second, &second, e) < 0 ||
        (l->first && ebs_find(lab, l->first, &first, e) < 0))
        return -1;
    if (first && !str_eq(snapshot_lineage(first), snapshot_lineage(second)))
        return ebs_refuse(e, "ValidationException", "UNRELATED_SNAPSHOTS",
                          "The snapshots %s and %s are not of one lineage", l->first,
                          l->second);
    l->gib = json_u64_or(second, "volumeSize", 0);
    l->blocks = l->gib * EBS_BLOCKS_OF_GIB;
    if (first) {
        l->first_blocks = json_u64_or(first, "volumeSize", 0) * EBS_BLOCKS_OF_GIB;
        if (l->first_blocks > l->blocks)
            return ebs_refuse(e, "ValidationException", "INVALID_VOLUME_SIZE",
                              "The first snapshot is larger than the second");
        if (open_snapshot(lab, l->first, &l->first_fd, e) < 0)
            return -1;
    }
    l->expires_s = (lab_now_ms() + lab->set.block_token_ms) / 1000;
    return open_snapshot(lab, l->second, &l->second_fd, e);
}

static int read_page(struct list *l, struct err *e)
{
    const struct ebs_target *t = &l->c->target;
    const char *token = json_string_value(json_object_get(t->query, "pageToken"));

    l->max = MAX_RESULTS;
    if (ebs_query_number(t, "maxResults", 1u << 30, &l->max, e) < 0 ||
        ebs_query_number(t, "startingBlockIndex", EBS_MAX_BLOCKS, &l->from, e) < 0)
        return -1;
    if (l->max > MAX_RESULTS)
        return ebs_refuse(e, "ValidationException", "INVALID_PARAMETER_VALUE",
                          "MaxResults is at most %u", MAX_RESULTS);
    if (l->max < MIN_RESULTS)
        l->max = MIN_RESULTS;
    snprintf(l->page, sizeof l->page, "page %s %s", l->second, l->first ? l->first : "-");
    if (token && !ebs_token_check(l->key, l->page, token, lab_now_ms() / 1000, &l->from))
        return ebs_refuse(e, "ValidationException", "INVALID_PAGE_TOKEN",
                          "The page token is not valid or has expired");
    return 0;
}

static int answer_list(struct list *l, const char *set, struct err *e)
{
    char token[EBS_TOKEN_LEN];
    uint64_t next;

    if (find_blocks(l, &next, e) < 0)
        return -1;
    if (next != UINT64_MAX)
        ebs_token_make(l->key, l->page, next, l->expires_s, token);
    l->c->out = json_pack("{s:O, s:I, s:I, s:I, s:s*}", set, l->found, "ExpiryTime",
                          (json_int_t)l->expires_s, "VolumeSize", (json_int_t)l->gib,
                          "BlockSize", (json_int_t)EBS_BLOCK_BYTES, "NextToken",
                          next != UINT64_MAX ? token : NULL);
    return l->c->out ? 0 : err_nomem(e);
}

static int list(struct ebs_call *c, const char *first, const char *set, struct err *e)
{
    struct list l = {.c = c,
                     .first = first,
                     .second = c->target.snapshot,
                     .first_fd = -1,
                     .second_fd = -1,
                     .found = json_array(),
                     .a = mem_zalloc(1, EBS_BLOCK_BYTES, e),
                     .b = mem_zalloc(1, EBS_BLOCK_BYTES, e)};
    int r = l.found && l.a && l.b ? 0 : err_nomem(e);

    if (r == 0) {
        pthread_mutex_lock(&c->lab->lock);
        r = open_list(&l, e);
        pthread_mutex_unlock(&c->lab->lock);
    }
    if (r == 0)
        r = read_page(&l, e);
    if (r == 0)
        r = answer_list(&l, set, e);
    list_release(&l);
    return r;
}

int ebs_list_blocks(struct ebs_call *c, struct err *e)
{
    return list(c, NULL, "Blocks", e);
}

int ebs_list_changed(struct ebs_call *c, struct err *e)
{
    return list(c, json_string_value(json_object_get(c->target.query, "firstSnapshotId")),
                "ChangedBlocks", e);
}

/* ---- One block ---- */

/* With the lab's lock. */
static int open_block(struct ebs_call *c, int *ret_fd, struct err *e)
{
    const char *token = json_string_value(json_object_get(c->target.query, "blockToken"));
    unsigned char key[EBS_KEY_BYTES];
    char purpose[PURPOSE_LEN];
    const json_t *doc;
    uint64_t number;

    if (ebs_find(c->lab, c->target.snapshot, &doc, e) < 0 || ebs_key(c->lab, key, e) < 0)
        return -1;
    if (c->target.block >= json_u64_or(doc, "volumeSize", 0) * EBS_BLOCKS_OF_GIB)
        return ebs_refuse(e, "ValidationException", "INVALID_BLOCK",
                          "The snapshot has no block %llu",
                          (unsigned long long)c->target.block);
    block_purpose(purpose, c->target.snapshot, c->target.block);
    if (!token || !ebs_token_check(key, purpose, token, lab_now_ms() / 1000, &number))
        return ebs_refuse(e, "ValidationException", "INVALID_BLOCK_TOKEN",
                          "The block token is not valid or has expired");
    return open_snapshot(c->lab, c->target.snapshot, ret_fd, e);
}

static int add_header(struct ebs_call *c, const char *name, const char *value,
                      struct err *e)
{
    return http_header_add(&c->rp->headers, name, value, e);
}

int ebs_get_block(struct ebs_call *c, struct err *e)
{
    auto_free unsigned char *data = mem_zalloc(1, EBS_BLOCK_BYTES, e);
    auto_buf struct buf sum = BUF_INIT;
    unsigned char raw[SHA256_BYTES];
    auto_fd int fd = -1;
    int r;

    if (!data)
        return -1;
    pthread_mutex_lock(&c->lab->lock);
    r = open_block(c, &fd, e);
    pthread_mutex_unlock(&c->lab->lock);
    if (r < 0 ||
        io_pread_full(fd, data, EBS_BLOCK_BYTES, c->target.block * EBS_BLOCK_BYTES,
                      c->target.snapshot, e) < 0)
        return -1;
    digest_sha256(data, EBS_BLOCK_BYTES, raw);
    base64_encode(raw, sizeof raw, &sum);
    buf_add(&c->rp->body, data, EBS_BLOCK_BYTES);
    if (buf_check(&c->rp->body, e) < 0 || buf_check(&sum, e) < 0 ||
        add_header(c, "x-amz-Data-Length", "524288", e) < 0 ||
        add_header(c, "x-amz-Checksum", buf_str(&sum), e) < 0)
        return -1;
    c->rp->content_type = "application/octet-stream";
    return add_header(c, "x-amz-Checksum-Algorithm", "SHA256", e);
}
