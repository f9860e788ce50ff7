/* Reading what changed; see changed.h. Whatever cannot be understood is an error, never
 * "nothing changed": that would be a backup with old data in it. */
#include "flow/changed.h"

#include "base/buf.h"
#include "base/io.h"
#include "base/json.h"
#include "base/str.h"

#include <inttypes.h>

#define MAX_FILE_BYTES (64u << 20)

int changed_map_init(struct changed_map *m, size_t n_disks, struct err *e)
{
    struct changed_disk *v = mem_zalloc(n_disks, sizeof *v, e);

    if (!v)
        return -1;
    *m = (struct changed_map){.v = v, .n = n_disks};
    return 0;
}

void changed_map_release(struct changed_map *m)
{
    for (size_t i = 0; i < m->n; i++) {
        extent_set_release(&m->v[i].known);
        extent_set_release(&m->v[i].changed);
    }
    free(m->v);
    *m = (struct changed_map){0};
}

/* ---- the file ---- */

struct reader {
    struct changed_map *map;
    const char *what;
    size_t line; /* of the text, where the present object begins */
};

static int need_range(const json_t *o, const char *offset_key, uint64_t *ret_offset,
                      uint64_t *ret_len, struct err *e)
{
    if (json_need_u64(o, offset_key, ret_offset, e) < 0 ||
        json_need_u64(o, "length", ret_len, e) < 0)
        return -1;
    if (*ret_len > UINT64_MAX - *ret_offset)
        return err_set(e, ERR_INPUT, "%" PRIu64 " bytes from %" PRIu64 " on are too many",
                       *ret_len, *ret_offset);
    return 0;
}

static int need_disk(const struct reader *r, const json_t *o, struct changed_disk **ret,
                     struct err *e)
{
    uint64_t disk = 1;

    if ((json_object_get(o, "disk") || r->map->n != 1) &&
        json_need_u64(o, "disk", &disk, e) < 0)
        return -1;
    if (disk < 1 || disk > r->map->n)
        return err_set(e, ERR_INPUT, "\"disk\" is %" PRIu64 "; they count from 1 to %zu",
                       disk, r->map->n);
    *ret = &r->map->v[disk - 1];
    return 0;
}

/* VMware's shape. */
static int take_areas(struct changed_disk *d, const json_t *o, const json_t *areas,
                      struct err *e)
{
    uint64_t start, len, at, n;
    const json_t *a;
    size_t i;

    if (!json_is_array(areas))
        return err_set(e, ERR_INPUT, "\"changedArea\" is no array");
    if (need_range(o, "startOffset", &start, &len, e) < 0 ||
        extent_set_add(&d->known, start, len, e) < 0)
        return -1;
    json_array_foreach (areas, i, a) {
        if (need_range(a, "start", &at, &n, e) < 0)
            return err_prefix(e, "changed area %zu", i + 1);
        if (at < start || at + n > start + len)
            return err_set(e, ERR_INPUT,
                           "changed area %zu (%" PRIu64 " bytes at %" PRIu64
                           ") is not inside the object's own range",
                           i + 1, n, at);
        if (extent_set_add(&d->changed, at, n, e) < 0)
            return -1;
    }
    return 0;
}

static int take_object(const struct reader *r, const json_t *o, struct err *e)
{
    const json_t *areas = json_object_get(o, "changedArea");
    struct changed_disk *d = NULL;
    uint64_t offset, len;

    if (!json_is_object(o))
        return err_set(e, ERR_INPUT, "no object, where {\"disk\": …} is expected");
    if (need_disk(r, o, &d, e) < 0)
        return -1;
    if (areas || json_object_get(o, "startOffset"))
        return take_areas(d, o, areas, e);
    if (need_range(o, "offset", &offset, &len, e) < 0)
        return -1;
    d->all_known = true;
    return extent_set_add(&d->changed, offset, len, e);
}

static int take_value(const struct reader *r, const json_t *v, struct err *e)
{
    const json_t *o;
    size_t i;

    if (!json_is_array(v)) {
        if (take_object(r, v, e) < 0)
            return err_prefix(e, "%s: the object at line %zu", r->what, r->line);
        return 0;
    }
    json_array_foreach (v, i, o)
        if (take_object(r, o, e) < 0)
            return err_prefix(e, "%s: element %zu of the array at line %zu", r->what,
                              i + 1, r->line);
    return 0;
}

int changed_parse(const char *text, size_t len, const char *what, struct changed_map *map,
                  struct err *e)
{
    struct reader r = {.map = map, .what = what, .line = 1};
    size_t at = 0;

    for (;;) {
        json_auto_t *v = NULL;
        json_error_t je;

        for (; at < len && memchr(" \t\r\n", text[at], 4); at++)
            r.line += text[at] == '\n';
        if (at == len)
            return 0;
        v = json_loadb(text + at, len - at,
                       JSON_REJECT_DUPLICATES | JSON_DISABLE_EOF_CHECK, &je);
        if (!v)
            return err_set(e, ERR_INPUT, "%s: line %zu: not JSON: %s", what,
                           r.line + (je.line > 0 ? (size_t)je.line - 1 : 0), je.text);
        if (take_value(&r, v, e) < 0)
            return -1;
        for (size_t end = at + (size_t)je.position; at < end; at++)
            r.line += text[at] == '\n';
    }
}

int changed_read(const char *path, struct changed_map *map, struct err *e)
{
    auto_buf struct buf b = BUF_INIT;

    if (io_read_file(path, MAX_FILE_BYTES, &b, e) < 0)
        return -1;
    return changed_parse(buf_str(&b), b.len, path, map, e);
}

/* ---- its use ---- */

/* The whole blocks of [from, to): `to` counts as a block's end at the disk's. */
static int add_whole_blocks(struct extent_set *set, uint64_t from, uint64_t to,
                            uint64_t size, uint64_t block, struct err *e)
{
    uint64_t over = from % block;

    if (over && block - over >= to - from)
        return 0;
    from += over ? block - over : 0;
    if (to != size)
        to -= to % block;
    return to > from ? extent_set_add(set, from, to - from, e) : 0;
}

static int check_inside(const struct extent_set *set, uint64_t size, struct err *e)
{
    const struct extent *last = set->n ? &set->v[set->n - 1] : NULL;

    if (last && last->offset + last->len > size)
        return err_set(e, ERR_INPUT,
                       "what changed reaches to byte %" PRIu64
                       ", and the disk has %" PRIu64 "; is it another disk's?",
                       last->offset + last->len, size);
    return 0;
}

int changed_unchanged(const struct changed_disk *d, uint64_t size_bytes,
                      uint32_t block_bytes, struct extent_set *ret, struct err *e)
{
    uint64_t at = 0, n, known;

    if (check_inside(&d->changed, size_bytes, e) < 0 ||
        check_inside(&d->known, size_bytes, e) < 0)
        return -1;
    /* Runs that are known and did not change, each as long as can be: sets keep
     * neighbours merged, so no block lies in two of them. */
    for (; at < size_bytes; at += n) {
        bool in = extent_set_at(&d->changed, at, size_bytes - at, &n);

        if (in)
            continue;
        if (!d->all_known && !extent_set_at(&d->known, at, n, &known)) {
            n = known;
            continue;
        }
        if (!d->all_known)
            n = known;
        if (add_whole_blocks(ret, at, at + n, size_bytes, block_bytes, e) < 0)
            return -1;
    }
    return 0;
}
