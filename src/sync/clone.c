/* What clones of a replica are made from, and keeping it until they are made; see sync.h.
 * Only the record is read: it never names a point that is not complete. */
#include "sync/private.h"

#include "base/json.h"
#include "base/str.h"

void sync_clone_release(struct sync_clone *c)
{
    vec_foreach (d, &c->disks) {
        free(d->name);
        free(d->volume_id);
        free(d->snapshot_id);
    }
    vec_release(&c->disks);
    free(c->point);
    *c = (struct sync_clone){0};
}

static int add_disk(struct sync_clone *c, const char *name, uint64_t bytes, uint64_t gib,
                    const char *volume, const char *snapshot, struct err *e)
{
    struct sync_clone_disk d = {.size_bytes = bytes, .size_gib = gib};

    d.name = str_dup(name, e);
    d.snapshot_id = d.name ? str_dup(snapshot ? snapshot : "", e) : NULL;
    if (!d.snapshot_id || str_set(&d.volume_id, volume, e) < 0 ||
        vec_push(&c->disks, d, e) < 0) {
        free(d.name);
        free(d.snapshot_id);
        free(d.volume_id);
        return -1;
    }
    return 0;
}

/* Do the volumes hold the replica's point, and nothing else? */
static bool volumes_are_exact(const json_t *body)
{
    return json_is_null(json_object_get(body, "dirty")) &&
           !json_bool_or(body, "resync", false) &&
           !str_eq(json_str_or(body, "state", ""), sync_state_name(SYNC_NEEDS_RESYNC));
}

/* The point that the volumes hold: from them, and from its snapshots if it has any. */
static int add_from_volumes(const json_t *body, const json_t *entry, struct sync_clone *c,
                            struct err *e)
{
    const json_t *d;
    size_t i;

    json_array_foreach (json_object_get(body, "disks"), i, d) {
        const char *name = json_str_or(d, "name", "");

        if (add_disk(c, name, json_u64_or(d, "size_bytes", 0),
                     json_u64_or(d, "size_gib", 0), json_str_or(d, "volume", NULL),
                     sync_snapshot_of(entry, name), e) < 0)
            return -1;
    }
    return 0;
}

static int add_from_snapshots(const json_t *entry, struct sync_clone *c, struct err *e)
{
    const json_t *d;
    size_t i;

    json_array_foreach (json_object_get(entry, "snapshots"), i, d)
        if (add_disk(c, json_str_or(d, "disk", ""), json_u64_or(d, "size_bytes", 0),
                     json_u64_or(d, "size_gib", 0), NULL,
                     json_str_or(d, "snapshot", NULL), e) < 0)
            return -1;
    return 0;
}

/* The entry of points of that time, NULL: none. */
static const json_t *entry_at(const json_t *body, int64_t time)
{
    const json_t *p;
    size_t i;

    json_array_foreach (json_object_get(body, "points"), i, p)
        if (json_integer_value(json_object_get(p, "time")) == time)
            return p;
    return NULL;
}

/* The entry of the point that the replica holds may lack disks, where a snapshot could
 * not be made; those of older points were whole when they were recorded. */
static bool entry_is_whole(const json_t *body, const json_t *entry)
{
    return !str_eq(json_str_or(entry, "point", ""), json_str_or(body, "point", "")) ||
           json_array_size(json_object_get(entry, "snapshots")) ==
               json_array_size(json_object_get(body, "disks"));
}

static int no_such_point(const struct sync *s, int64_t time, struct err *e)
{
    char list[500] = "", text[REPO_TIME_LEN];
    const json_t *p;
    size_t i;

    json_array_foreach (json_object_get(s->record.body, "points"), i, p) {
        size_t n = strlen(list);

        snprintf(list + n, sizeof list - n, "%s%s", i ? ", " : "",
                 repo_time_text(json_integer_value(json_object_get(p, "time")), text));
    }
    return err_set(e, ERR_NOT_FOUND,
                   "sync %s has no recovery point of %s at the destination; there are: "
                   "%s",
                   s->record.name, repo_time_text(time, text), *list ? list : "none");
}

int sync_clone_sources(const struct sync *s, int64_t time, struct sync_clone *ret,
                       struct err *e)
{
    const json_t *body = s->record.body;
    const char *point = json_str_or(body, "point", NULL);
    int64_t held = json_integer_value(json_object_get(body, "time"));
    auto_sync_clone struct sync_clone c = {0};
    const json_t *entry;
    bool exact;

    if (!point)
        return err_set(e, ERR_NOT_FOUND,
                       "sync %s has no replica yet; seed it with `hotadd sync run %s`",
                       s->record.name, s->record.name);
    if (time == REPO_LATEST)
        time = held;
    entry = entry_at(body, time);
    exact = time == held && volumes_are_exact(body);
    if (!exact && (!entry || !entry_is_whole(body, entry)))
        return no_such_point(s, time, e);
    c.time = time;
    c.point = str_dup(entry ? json_str_or(entry, "point", point) : point, e);
    if (!c.point || (exact ? add_from_volumes(body, entry, &c, e)
                           : add_from_snapshots(entry, &c, e)) < 0)
        return -1;
    *ret = c;
    c = (struct sync_clone){0};
    return 0;
}

/* ---- pins ---- */

struct pin {
    const struct sync *s;
    int64_t time;
    const char *who;
};

static int without(json_t *array, const char *text, struct err *e)
{
    for (size_t i = json_array_size(array); i-- > 0;)
        if (str_eq_null(json_string_value(json_array_get(array, i)), text) &&
            json_array_remove(array, i) < 0)
            return err_nomem(e);
    return 0;
}

static int edit_pin(json_t *body, void *ctx, struct err *e)
{
    const struct pin *p = ctx;
    json_t *entry = (json_t *)entry_at(body, p->time);
    json_t *pins = json_object_get(entry, "pinned_by");

    if (!entry)
        return no_such_point(p->s, p->time, e);
    if (!pins) {
        pins = json_array();
        if (json_put(entry, "pinned_by", pins, e) < 0)
            return -1;
    }
    return without(pins, p->who, e) < 0 ? -1 : json_add(pins, json_string(p->who), e);
}

static int edit_unpin(json_t *body, void *ctx, struct err *e)
{
    const struct pin *p = ctx;
    json_t *entry = (json_t *)entry_at(body, p->time);

    return without(json_object_get(entry, "pinned_by"), p->who, e);
}

int sync_pin(struct sync *s, int64_t time, const char *who, struct err *e)
{
    struct pin p = {s, time, who};

    return sync_edit(s, edit_pin, &p, e);
}

int sync_unpin(struct sync *s, int64_t time, const char *who, struct err *e)
{
    struct pin p = {s, time, who};

    return sync_edit(s, edit_unpin, &p, e);
}
