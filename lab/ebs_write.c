/* Writing snapshots through the EBS direct APIs: a pending snapshot is begun, blank or
 * as a copy of its parent, gets its blocks, and is sealed.
 *
 * Its document carries `_open` until CompleteSnapshot, and is in error when that does not
 * come before the time-out. Which blocks were written, with their checksums, is in a file
 * beside the data, so that a restart in between loses nothing. */
#include "lab/copier.h"
#include "lab/ebs_impl.h"
#include "lab/snapshot.h"

#include "base/auto.h"
#include "base/base64.h"
#include "base/digest.h"
#include "base/io.h"
#include "base/str.h"

#include <errno.h>
#include <fcntl.h>

#define MARK_BYTES (1 + SHA256_BYTES)

/* ---- StartSnapshot ---- */

static int check_parent(struct ebs_call *c, struct ebs_start *s, const json_t **ret,
                        struct err *e)
{
    *ret = NULL;
    if (!s->parent)
        return 0;
    if (ebs_find(c->lab, s->parent, ret, e) < 0)
        return -1;
    if (s->has_encrypted)
        return ebs_refuse(e, "ValidationException", "INVALID_PARAMETER_VALUE",
                          "Encrypted and ParentSnapshotId may not be given together: "
                          "the parent's encryption goes on");
    if (s->gib < json_u64_or(*ret, "volumeSize", 0))
        return ebs_refuse(e, "ValidationException", "INVALID_VOLUME_SIZE",
                          "VolumeSize is smaller than the parent snapshot's");
    s->encrypted = json_bool_or(*ret, "encrypted", false);
    return 0;
}

/* {Key, Value} to {key, value}, as documents have it. */
static json_t *tag_set(const json_t *tags)
{
    json_t *set = json_array(), *t;
    size_t i;

    json_array_foreach (tags, i, t)
        if (json_array_append_new(set, json_pack("{s:s, s:s}", "key",
                                                 json_str_or(t, "Key", ""), "value",
                                                 json_str_or(t, "Value", ""))) < 0) {
            json_decref(set);
            return NULL;
        }
    return set;
}

static int put_snapshot(struct ebs_call *c, const struct ebs_start *s,
                        const json_t *parent, char id[RES_ID_LEN], struct err *e)
{
    auto_free char *from = s->parent ? str_fmt(e, "snapshots/%s.raw", s->parent) : NULL;
    auto_free char *path = NULL;
    int64_t now = lab_now_ms();
    char when[LAB_TIME_LEN];
    json_t *doc;

    path = lab_snapshot_path(c->lab, res_new_id(RES_SNAPSHOT, id), e);
    if (!path || (s->parent && !from) ||
        (!s->parent && copier_make_blank(path, s->gib << 30, e) < 0))
        return -1;
    doc = json_pack(
        "{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:I, s:b, s:s*, s:s, s:o, s:s, s:s*, s:s*,"
        " s:b, s:I, s:I}",
        "snapshotId", id, "volumeId", "vol-ffffffff", "status", "pending", "startTime",
        lab_time(when, now), "progress", "0%", "ownerId", LAB_ACCOUNT, "description",
        s->description ? s->description : "", "volumeSize", (json_int_t)s->gib,
        "encrypted", s->encrypted, "kmsKeyId", s->kms_key, "storageTier", "standard",
        "tagSet", tag_set(s->tags), "_lineage", parent ? snapshot_lineage(parent) : id,
        "_parent", s->parent, "_copy", from, "_open", 1, "_made", (json_int_t)now, "_due",
        (json_int_t)(now + (int64_t)s->timeout_min * 60000));
    return store_put(c->lab->store, "snapshot", id, doc, e);
}

static int answer_start(struct ebs_call *c, const char *id, struct err *e)
{
    const json_t *doc = store_get(c->lab->store, "snapshot", id);
    const char *about = json_str_or(doc, "description", "");
    json_t *tags = json_array(), *t;
    size_t i;
    int r = tags ? 0 : err_nomem(e);

    json_array_foreach (json_object_get(doc, "tagSet"), i, t)
        if (r == 0)
            r = json_add(tags,
                         json_pack("{s:O, s:O}", "Key", json_object_get(t, "key"),
                                   "Value", json_object_get(t, "value")),
                         e);
    c->out =
        json_pack("{s:s*, s:s, s:s, s:s, s:f, s:I, s:I, s:o, s:s*, s:s*}", "Description",
                  *about ? about : NULL, "SnapshotId", id, "OwnerId", LAB_ACCOUNT,
                  "Status", json_str_or(doc, "status", "pending"), "StartTime",
                  (double)json_integer_value(json_object_get(doc, "_made")) / 1000,
                  "VolumeSize", (json_int_t)json_u64_or(doc, "volumeSize", 0),
                  "BlockSize", (json_int_t)EBS_BLOCK_BYTES, "Tags", tags,
                  "ParentSnapshotId", json_string_value(json_object_get(doc, "_parent")),
                  "KmsKeyArn", json_string_value(json_object_get(doc, "kmsKeyId")));
    return r < 0 ? -1 : c->out ? 0 : err_nomem(e);
}

static void body_digest(const struct ebs_call *c, char hex[SHA256_HEX_LEN])
{
    unsigned char sum[SHA256_BYTES];

    digest_sha256(buf_str(&c->rq->body), c->rq->body.len, sum);
    str_hex(hex, sum, sizeof sum);
}

/* 1: this token made a snapshot already, whose id is in `id`. */
static int find_token(struct ebs_call *c, const char *key, char id[RES_ID_LEN],
                      struct err *e)
{
    const json_t *doc = store_get(c->lab->store, "token", key);
    char hex[SHA256_HEX_LEN];

    if (!doc)
        return 0;
    body_digest(c, hex);
    if (!str_eq(hex, json_str_or(doc, "digest", "")))
        return refuse(e, "ConflictException",
                      "The client token was used before with other parameters");
    snprintf(id, RES_ID_LEN, "%s", json_str_or(doc, "result", ""));
    return 1;
}

static int save_token(struct ebs_call *c, const char *key, const char *id, struct err *e)
{
    char hex[SHA256_HEX_LEN];

    body_digest(c, hex);
    return store_put(c->lab->store, "token", key,
                     json_pack("{s:s, s:s, s:s, s:I}", "key", key, "digest", hex,
                               "result", id, "_made", (json_int_t)lab_now_ms()),
                     e);
}

/* With the lab's lock. */
static int start_snapshot(struct ebs_call *c, struct ebs_start *s, struct err *e)
{
    auto_free char *key = s->token ? str_fmt(e, "StartSnapshot:%s", s->token) : NULL;
    const json_t *parent;
    char id[RES_ID_LEN];
    int known = 0;

    if (s->token && !key)
        return -1;
    if (key)
        known = find_token(c, key, id, e);
    if (known < 0)
        return -1;
    if (!known) {
        if (check_parent(c, s, &parent, e) < 0 || put_snapshot(c, s, parent, id, e) < 0 ||
            (key && save_token(c, key, id, e) < 0) ||
            store_commit(c->lab->store, e) < 0) {
            store_rollback(c->lab->store);
            return -1;
        }
        copier_kick(c->lab);
    }
    return answer_start(c, id, e);
}

int ebs_start(struct ebs_call *c, struct err *e)
{
    struct ebs_start s;
    int r;

    if (ebs_start_parse(buf_str(&c->rq->body), c->rq->body.len, &s, e) < 0)
        return -1;
    pthread_mutex_lock(&c->lab->lock);
    r = start_snapshot(c, &s, e);
    pthread_mutex_unlock(&c->lab->lock);
    ebs_start_release(&s);
    return r;
}

/* ---- The open snapshot ---- */

/* With the lab's lock, let go while the parent's data are copied. */
static int find_open(struct ebs_call *c, const json_t **ret, struct err *e)
{
    const char *id = c->target.snapshot;
    const json_t *doc;

    copier_wait(c->lab, "snapshot", id);
    doc = store_get(c->lab->store, "snapshot", id);
    if (!doc || !str_eq(json_str_or(doc, "ownerId", ""), LAB_ACCOUNT))
        return ebs_refuse(e, "ResourceNotFoundException", "SNAPSHOT_NOT_FOUND",
                          "The snapshot '%s' does not exist.", id);
    if (!json_bool_or(doc, "_open", false) ||
        !str_eq(json_str_or(doc, "status", ""), "pending"))
        return ebs_refuse(e, "ValidationException", "INVALID_SNAPSHOT_ID",
                          "The snapshot '%s' is not one that can be written: it is %s",
                          id, json_str_or(doc, "status", ""));
    *ret = doc;
    return 0;
}

static int open_marks(const struct lab *lab, const char *id, int *ret_fd, struct err *e)
{
    auto_free char *path = ebs_sums_path(lab, id, e);

    if (!path)
        return -1;
    *ret_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    return *ret_fd < 0 ? err_sys(e, "%s: open", path) : 0;
}

/* ---- PutSnapshotBlock ---- */

/* The headers must be there and true of the body. */
static int check_block(const struct ebs_call *c, unsigned char sum[SHA256_BYTES],
                       struct err *e)
{
    const char *len = http_header_get(c->rq, "x-amz-data-length"),
               *claimed = http_header_get(c->rq, "x-amz-checksum"),
               *algorithm = http_header_get(c->rq, "x-amz-checksum-algorithm");
    auto_buf struct buf text = BUF_INIT;

    if (!len || !str_eq(len, "524288") || c->rq->body.len != EBS_BLOCK_BYTES)
        return ebs_refuse(
            e, "ValidationException", "INVALID_PARAMETER_VALUE",
            "A block is %u bytes long, in x-amz-Data-Length and in the body",
            EBS_BLOCK_BYTES);
    if (!claimed || !algorithm || !str_eq(algorithm, "SHA256"))
        return ebs_refuse(e, "ValidationException", "INVALID_PARAMETER_VALUE",
                          "A block needs its SHA256 checksum");
    digest_sha256(c->rq->body.data, EBS_BLOCK_BYTES, sum);
    base64_encode(sum, SHA256_BYTES, &text);
    if (buf_check(&text, e) < 0)
        return -1;
    if (!str_eq(buf_str(&text), claimed))
        return ebs_refuse(e, "ValidationException", "INVALID_BLOCK",
                          "The block's checksum is not that of its data");
    return 0;
}

static int open_to_write(struct ebs_call *c, int *ret_data, int *ret_marks, struct err *e)
{
    auto_free char *path = lab_snapshot_path(c->lab, c->target.snapshot, e);
    const json_t *doc;

    if (!path || find_open(c, &doc, e) < 0)
        return -1;
    if (c->target.block >= json_u64_or(doc, "volumeSize", 0) * EBS_BLOCKS_OF_GIB)
        return ebs_refuse(e, "ValidationException", "INVALID_BLOCK",
                          "The snapshot has no block %llu",
                          (unsigned long long)c->target.block);
    *ret_data = open(path, O_WRONLY | O_CLOEXEC);
    if (*ret_data < 0)
        return err_sys(e, "%s: open", path);
    return open_marks(c->lab, c->target.snapshot, ret_marks, e);
}

int ebs_put_block(struct ebs_call *c, struct err *e)
{
    const char *claimed = http_header_get(c->rq, "x-amz-checksum");
    unsigned char mark[MARK_BYTES] = {1};
    auto_fd int data = -1, marks = -1;
    int r;

    if (check_block(c, mark + 1, e) < 0)
        return -1;
    pthread_mutex_lock(&c->lab->lock);
    r = open_to_write(c, &data, &marks, e);
    pthread_mutex_unlock(&c->lab->lock);
    if (r < 0 ||
        io_pwrite_full(data, c->rq->body.data, EBS_BLOCK_BYTES,
                       c->target.block * EBS_BLOCK_BYTES, c->target.snapshot, e) < 0 ||
        io_pwrite_full(marks, mark, sizeof mark, c->target.block * MARK_BYTES,
                       c->target.snapshot, e) < 0 ||
        http_header_add(&c->rp->headers, "x-amz-Checksum", claimed, e) < 0)
        return -1;
    c->out = json_object();
    return http_header_add(&c->rp->headers, "x-amz-Checksum-Algorithm", "SHA256", e);
}

/* ---- CompleteSnapshot ---- */

/* Counts the written blocks, and the digest of their checksums in order. */
static int add_up(int marks, uint64_t *ret_count, struct buf *ret_sum, struct err *e)
{
    unsigned char buf[MARK_BYTES * 1024], sum[DIGEST_MAX_BYTES];
    struct digest *d;
    uint64_t count = 0;
    off_t at = 0;
    ssize_t n;

    if (digest_new(DIGEST_SHA256, &d, e) < 0)
        return -1;
    /* Marks are whole: the file's length is a multiple of theirs. */
    while ((n = pread(marks, buf, sizeof buf, at)) > 0) {
        for (ssize_t i = 0; i + MARK_BYTES <= n; i += MARK_BYTES)
            if (buf[i]) {
                count++;
                digest_update(d, buf + i + 1, SHA256_BYTES);
            }
        at += n;
    }
    digest_final(d, sum);
    digest_free(d);
    if (n < 0)
        return err_sys(e, "checksums of the snapshot");
    base64_encode(sum, SHA256_BYTES, ret_sum);
    *ret_count = count;
    return buf_check(ret_sum, e);
}

static int check_sums(const struct ebs_call *c, int marks, struct err *e)
{
    const char *text = http_header_get(c->rq, "x-amz-changedblockscount"),
               *claimed = http_header_get(c->rq, "x-amz-checksum"),
               *algorithm = http_header_get(c->rq, "x-amz-checksum-algorithm"),
               *method = http_header_get(c->rq, "x-amz-checksum-aggregation-method");
    auto_buf struct buf sum = BUF_INIT;
    uint64_t told, count;
    struct err bad;

    if (add_up(marks, &count, &sum, e) < 0)
        return -1;
    if (!text || str_to_u64(text, &told, &bad) < 0 || told != count)
        return ebs_refuse(e, "ValidationException", "INVALID_PARAMETER_VALUE",
                          "ChangedBlocksCount is %.20s, but %llu blocks were written",
                          text ? text : "missing", (unsigned long long)count);
    if (!claimed)
        return 0;
    if (!algorithm || !str_eq(algorithm, "SHA256") || !method ||
        !str_eq(method, "LINEAR"))
        return ebs_refuse(e, "ValidationException", "INVALID_PARAMETER_VALUE",
                          "A checksum of the snapshot is SHA256, aggregated LINEAR");
    return str_eq(claimed, buf_str(&sum))
               ? 0
               : ebs_refuse(e, "ValidationException", "INVALID_PARAMETER_VALUE",
                            "The checksum is not that of the written blocks");
}

/* With the lab's lock. */
static int seal(struct ebs_call *c, struct err *e)
{
    auto_free char *path = ebs_sums_path(c->lab, c->target.snapshot, e);
    auto_fd int marks = -1;
    const json_t *found;
    json_t *doc;

    if (!path || find_open(c, &found, e) < 0 ||
        open_marks(c->lab, c->target.snapshot, &marks, e) < 0 ||
        check_sums(c, marks, e) < 0 ||
        store_edit(c->lab->store, "snapshot", c->target.snapshot, &doc, e) < 0)
        return -1;
    json_object_del(doc, "_open");
    if (json_put(doc, "_due", json_integer(lab_now_ms() + c->lab->set.delay_ms), e) < 0 ||
        store_commit(c->lab->store, e) < 0) {
        store_rollback(c->lab->store);
        return -1;
    }
    unlink(path);
    pthread_cond_broadcast(&c->lab->wake);
    return 0;
}

int ebs_complete(struct ebs_call *c, struct err *e)
{
    int r;

    pthread_mutex_lock(&c->lab->lock);
    r = seal(c, e);
    pthread_mutex_unlock(&c->lab->lock);
    if (r < 0)
        return -1;
    c->out = json_pack("{s:s}", "Status", "pending");
    return c->out ? 0 : err_nomem(e);
}
