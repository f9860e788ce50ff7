/* Carrying changes out inside the guest; see convert.h.
 *
 * Order: originals, journal (state "applying"), sync; new contents beside the old files,
 * sync; renames, then removals, sync; journal ("done"). So whoever looks after a crash
 * finds the original of every file that was touched, and no half-written file under its
 * own name. Large files are finished one by one, so that /boot needs room for one. */
#include "guest/convert.h"

#include "base/auto.h"
#include "base/clock.h"
#include "base/digest.h"
#include "base/json.h"
#include "base/str.h"

#include "config.h"

#include <string.h>

#define SUFFIX      GFS_STAGED_SUFFIX
#define LARGE_BYTES (1u << 20)
#define SPARE_BYTES (64ull << 20) /* stay free on the file system of the originals */

struct work {
    const char *dir;             /* the state folder */
    char *journal, *journal_new; /* owned */
    const struct gfs *fs;
    const struct gfs_write_ops *ops;
    const struct overlay *o;
    /* Side by side with the changes: has an original, which was made just now. */
    struct VEC(bool) kept, fresh;
};

static int parent_of(const char *path, char **ret, struct err *e)
{
    const char *slash = strrchr(path, '/');

    *ret = str_ndup(path, slash == path ? 1 : (size_t)(slash - path), e);
    return *ret ? 0 : -1;
}

static int make_parents(struct work *w, const char *path, uint32_t mode, struct err *e)
{
    auto_free char *dir = NULL;
    int r;

    if (parent_of(path, &dir, e) < 0)
        return -1;
    r = gfs_is_dir(w->fs, dir, e);
    return r ? (r < 0 ? -1 : 0) : w->ops->mkdirs(w->fs->ctx, dir, mode, e);
}

/* ---- originals ---- */

static int original_of(const struct work *w, const struct change *c, char **ret,
                       struct err *e)
{
    *ret = str_fmt(e, "%s/" GUEST_ORIGINALS "%s", w->dir, c->path);
    return *ret ? 0 : -1;
}

static int room_for(struct work *w, uint64_t size_bytes, struct err *e)
{
    uint64_t room;

    if (size_bytes <= LARGE_BYTES)
        return 1;
    if (gfs_space(w->fs, w->dir, &room, e) < 0)
        return -1;
    return room >= size_bytes + SPARE_BYTES;
}

static int copy_original(struct work *w, const struct change *c,
                         const struct gfs_stat *st, const char *to, struct err *e)
{
    auto_free char *temp = str_fmt(e, "%s" SUFFIX, to);
    auto_buf struct buf b = BUF_INIT;
    struct gfs_stat left;

    if (!temp || make_parents(w, to, 0700, e) < 0 || gfs_lstat(w->fs, temp, &left, e) < 0)
        return -1;
    if (left.type != GFS_ABSENT && w->ops->remove(w->fs->ctx, temp, e) < 0)
        return -1;
    if (st->type != GFS_FILE || st->size_bytes > LARGE_BYTES)
        return w->ops->copy(w->fs->ctx, c->path, temp, e);
    /* Cheaper than starting a program in the appliance. */
    if (gfs_read(w->fs, c->path, LARGE_BYTES, &b, e) < 0)
        return -1;
    return w->ops->put(w->fs->ctx, temp, buf_str(&b), b.len, 0600, c->path, e);
}

/* *ret_kept: there is one, from now or from an earlier conversion, whose file is the
 * older and therefore the original. */
static int keep_original(struct work *w, const struct change *c, bool *ret_kept,
                         bool *ret_fresh, struct err *e)
{
    auto_free char *to = NULL;
    struct gfs_stat st;
    int r;

    *ret_kept = *ret_fresh = false;
    if (!c->existed)
        return 0;
    if (original_of(w, c, &to, e) < 0 || gfs_lstat(w->fs, to, &st, e) < 0)
        return -1;
    *ret_kept = st.type != GFS_ABSENT;
    if (*ret_kept)
        return 0;
    if (gfs_lstat(w->fs, c->path, &st, e) < 0)
        return -1;
    r = room_for(w, st.type == GFS_FILE ? st.size_bytes : 0, e);
    if (r <= 0)
        return r;
    *ret_kept = *ret_fresh = true;
    return copy_original(w, c, &st, to, e) < 0
               ? err_prefix(e, "keep the original of %s", c->path)
               : 0;
}

/* Like all files of ours they appear whole or not at all: a half copy must never be taken
 * for the original later. */
static int keep_originals(struct work *w, struct err *e)
{
    vec_foreach (c, &w->o->changes) {
        bool kept, fresh;

        if (keep_original(w, c, &kept, &fresh, e) < 0 ||
            vec_push(&w->kept, kept, e) < 0 || vec_push(&w->fresh, fresh, e) < 0)
            return -1;
    }
    if (w->ops->sync(w->fs->ctx, e) < 0)
        return -1;
    for (size_t i = 0; i < w->o->changes.n; i++) {
        auto_free char *to = NULL, *temp = NULL;

        if (!w->fresh.v[i])
            continue;
        if (original_of(w, &w->o->changes.v[i], &to, e) < 0)
            return -1;
        temp = str_fmt(e, "%s" SUFFIX, to);
        if (!temp || w->ops->rename(w->fs->ctx, temp, to, e) < 0)
            return -1;
    }
    return 0;
}

/* ---- journal ---- */

static json_t *change_json(const struct work *w, size_t i, struct err *e)
{
    static const char *const kinds[] = {"write", "remove", "link"};
    const struct change *c = &w->o->changes.v[i];
    unsigned char digest[SHA256_BYTES];
    char hex[SHA256_HEX_LEN];
    auto_free char *original = NULL;
    json_t *o;

    digest_sha256(buf_str(&c->data), c->data.len, digest);
    str_hex(hex, digest, sizeof digest);
    if (original_of(w, c, &original, e) < 0)
        return NULL;
    o = json_pack("{s:s, s:s, s:s, s:s, s:b, s:s?, s:s?}", "path", c->path, "action",
                  kinds[c->kind], "what", c->what, "why", c->why, "existed", c->existed,
                  "original", w->kept.v[i] ? original : NULL, "sha256",
                  c->kind == CHANGE_WRITE ? hex : NULL);
    if (!o)
        err_nomem(e);
    return o;
}

/* Entries of earlier conversions whose files are not changed again. */
static int earlier_entries(struct work *w, json_t *files, struct err *e)
{
    auto_buf struct buf text = BUF_INIT;
    struct err ignored;
    json_auto_t *old = NULL;
    size_t i;
    json_t *x;
    int r = gfs_text(w->fs, w->journal, &text, e);

    if (r <= 0)
        return r;
    if (json_parse(buf_str(&text), text.len, w->journal, &old, &ignored) < 0)
        return 0; /* the originals are still there */
    json_array_foreach (json_object_get(old, "files"), i, x) {
        const char *path = json_str_or(x, "path", "");
        bool again = false;

        vec_foreach (c, &w->o->changes)
            again |= str_eq(c->path, path);
        if (!again && json_add(files, json_incref(x), e) < 0)
            return -1;
    }
    return 0;
}

static int write_journal(struct work *w, const char *state, struct err *e)
{
    json_auto_t *files = json_array(), *j = NULL;
    auto_free char *text = NULL;
    char now[CLOCK_ISO_LEN];
    int r;

    if (earlier_entries(w, files, e) < 0)
        return -1;
    for (size_t i = 0; i < w->o->changes.n; i++) {
        json_t *x = change_json(w, i, e);

        if (!x || json_add(files, x, e) < 0)
            return -1;
    }
    j = json_pack("{s:i, s:s, s:s, s:s, s:O}", "version", 1, "by",
                  "hotadd " HOTADD_VERSION, "time", clock_iso8601(now, clock_real_s()),
                  "state", state, "files", files);
    text = j ? json_dumps(j, JSON_INDENT(1) | JSON_PRESERVE_ORDER) : NULL;
    if (!text)
        return err_nomem(e);
    r = w->ops->put(w->fs->ctx, w->journal_new, text, strlen(text), 0600, NULL, e);
    if (r == 0)
        r = w->ops->sync(w->fs->ctx, e);
    return r < 0 ? -1 : w->ops->rename(w->fs->ctx, w->journal_new, w->journal, e);
}

/* ---- changes ---- */

static int stage(struct work *w, const struct change *c, struct err *e)
{
    auto_free char *temp = str_fmt(e, "%s" SUFFIX, c->path);
    auto_free char *dir = NULL;
    struct gfs_stat st;

    if (!temp || make_parents(w, c->path, 0755, e) < 0 ||
        parent_of(c->path, &dir, e) < 0 || gfs_lstat(w->fs, temp, &st, e) < 0)
        return -1;
    /* Left by a conversion that was killed. */
    if (st.type != GFS_ABSENT && w->ops->remove(w->fs->ctx, temp, e) < 0)
        return -1;
    if (c->kind == CHANGE_LINK)
        return w->ops->symlink(w->fs->ctx, c->target, temp, e);
    if (gfs_lstat(w->fs, c->path, &st, e) < 0)
        return -1;
    return w->ops->put(w->fs->ctx, temp, buf_str(&c->data), c->data.len, c->mode,
                       st.type == GFS_FILE ? c->path : NULL, e);
}

static int commit(struct work *w, const struct change *c, struct err *e)
{
    auto_free char *temp = str_fmt(e, "%s" SUFFIX, c->path);

    if (!temp)
        return -1;
    return c->kind == CHANGE_REMOVE ? w->ops->remove(w->fs->ctx, c->path, e)
                                    : w->ops->rename(w->fs->ctx, temp, c->path, e);
}

static bool large(const struct change *c)
{
    return c->kind == CHANGE_WRITE && c->data.len > LARGE_BYTES;
}

static int apply_large(struct work *w, struct err *e)
{
    vec_foreach (c, &w->o->changes)
        if (large(c) && (stage(w, c, e) < 0 || w->ops->sync(w->fs->ctx, e) < 0 ||
                         commit(w, c, e) < 0))
            return err_prefix(e, "%s", c->path);
    return 0;
}

static int apply_small(struct work *w, struct err *e)
{
    vec_foreach (c, &w->o->changes)
        if (!large(c) && c->kind != CHANGE_REMOVE && stage(w, c, e) < 0)
            return err_prefix(e, "%s", c->path);
    if (w->ops->sync(w->fs->ctx, e) < 0)
        return -1;
    /* What takes the place of something is there before that goes: a guest between the
     * two still says what it is configured with. */
    for (int removing = 0; removing < 2; removing++)
        vec_foreach (c, &w->o->changes)
            if (!large(c) && (c->kind == CHANGE_REMOVE) == removing &&
                commit(w, c, e) < 0)
                return err_prefix(e, "%s", c->path);
    return w->ops->sync(w->fs->ctx, e);
}

int changes_unfinished(const struct gfs *fs, struct err *e)
{
    auto_buf struct buf text = BUF_INIT;
    json_auto_t *j = NULL;
    struct err ignored;
    int r = gfs_text(fs, GUEST_STATE_DIR "/" GUEST_JOURNAL, &text, e);

    if (r <= 0)
        return r;
    /* A journal that cannot be read was not written by us. */
    if (json_parse(buf_str(&text), text.len, GUEST_JOURNAL, &j, &ignored) < 0)
        return 0;
    return str_eq(json_str_or(j, "state", ""), "applying");
}

static int apply(struct work *w, struct err *e)
{
    w->journal = str_fmt(e, "%s/" GUEST_JOURNAL, w->dir);
    w->journal_new = str_fmt(e, "%s/" GUEST_JOURNAL SUFFIX, w->dir);
    if (!w->journal || !w->journal_new || make_parents(w, w->journal, 0700, e) < 0 ||
        keep_originals(w, e) < 0 || write_journal(w, "applying", e) < 0 ||
        w->ops->sync(w->fs->ctx, e) < 0 || apply_large(w, e) < 0 ||
        apply_small(w, e) < 0 || write_journal(w, "done", e) < 0)
        return -1;
    return w->ops->sync(w->fs->ctx, e);
}

int changes_apply(const struct gfs *fs, const struct gfs_write_ops *ops,
                  const struct overlay *o, struct err *e)
{
    struct work w = {.fs = fs, .ops = ops, .o = o};
    int r;

    if (!o->changes.n)
        return 0;
    w.dir = o->state_dir ? o->state_dir : GUEST_STATE_DIR;
    r = apply(&w, e);
    free(w.journal);
    free(w.journal_new);
    vec_release(&w.kept);
    vec_release(&w.fresh);
    return r;
}
