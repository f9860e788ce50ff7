/* What people and the monitor see of syncs; the members are documented in sync.h and
 * docs/live-sync.md. The journal is read and nothing else, so this is cheap enough to be
 * asked every second. */
#include "sync/private.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/str.h"

static json_t *time_json(int64_t s)
{
    char text[CLOCK_ISO_LEN];

    return s ? json_string(clock_iso8601(text, s)) : json_null();
}

static int64_t int_of(const json_t *o, const char *member)
{
    return json_integer_value(json_object_get(o, member));
}

/* Members that people see as the record has them. */
static int copy_members(json_t *to, const json_t *from, const char *const *names,
                        struct err *e)
{
    for (; *names; names++) {
        json_t *v = json_object_get(from, *names);

        if (json_put(to, *names, v ? json_deep_copy(v) : json_null(), e) < 0)
            return -1;
    }
    return 0;
}

int sync_times_to_text(json_t *o, const char *member, struct err *e)
{
    if (!json_is_object(o))
        return 0;
    return json_put(o, member, time_json(int_of(o, member)), e);
}

static int add_points(json_t *o, const json_t *body, struct err *e)
{
    json_auto_t *points = json_deep_copy(json_object_get(body, "points"));
    json_t *p;
    size_t i;

    if (!points)
        return err_nomem(e);
    json_array_foreach (points, i, p)
        if (sync_times_to_text(p, "time", e) < 0)
            return -1;
    return json_put(o, "points", json_incref(points), e);
}

static int add_lag(json_t *o, const struct sync *s, struct err *e)
{
    int64_t held = int_of(s->record.body, "time"), now = clock_real_s();
    int64_t lag = now > held ? now - held : 0;
    uint64_t rpo = sync_number(s, "rpo_s", 0);

    if (json_put(o, "lag_s", held ? json_integer(lag) : json_null(), e) < 0)
        return -1;
    return json_put(o, "rpo_met", json_boolean(held && (uint64_t)lag <= rpo), e);
}

static int add_history(json_t *o, const json_t *body, struct err *e)
{
    json_auto_t *history = json_deep_copy(json_object_get(body, "history"));
    json_t *h;
    size_t i;

    if (!history)
        return err_nomem(e);
    json_array_foreach (history, i, h)
        if (sync_times_to_text(h, "started", e) < 0 ||
            sync_times_to_text(h, "ended", e) < 0)
            return -1;
    h = json_array_get(history, 0);
    if (json_put(o, "last", h ? json_deep_copy(h) : json_null(), e) < 0)
        return -1;
    return json_put(o, "history", json_incref(history), e);
}

static int describe(const struct sync *s, json_t *o, struct err *e)
{
    static const char *const from_config[] = {
        "group",  "group_priority", "group_delay_s", "priority", "rpo_s",
        "window", "keep",           "keep_attached", NULL};
    static const char *const from_body[] = {
        "point",    "disks", "newest", "job", "error", "passes", "total_written_bytes",
        "failover", "tests", NULL};
    const json_t *body = s->record.body;
    bool running = record_claimed(s->journal, KIND_SYNC, s->record.name);

    if (json_put(o, "name", json_string(s->record.name), e) < 0 ||
        json_put(o, "state", json_string(sync_state_name(s->state)), e) < 0 ||
        json_put(o, "vm", json_string(s->params.source), e) < 0 ||
        json_put(o, "repo", json_string(s->params.repo), e) < 0 ||
        json_put(o, "created", time_json(s->record.created_s), e) < 0 ||
        copy_members(o, json_object_get(body, "config"), from_config, e) < 0 ||
        copy_members(o, body, from_body, e) < 0)
        return -1;
    if (json_put(o, "point_time", time_json(int_of(body, "time")), e) < 0 ||
        json_put(o, "newest_time", time_json(int_of(body, "newest_time")), e) < 0 ||
        json_put(o, "newest_seen", time_json(int_of(body, "newest_seen")), e) < 0 ||
        sync_times_to_text(json_object_get(o, "error"), "time", e) < 0 ||
        json_put(o, "running", json_boolean(running), e) < 0)
        return -1;
    return add_lag(o, s, e) < 0 || add_points(o, body, e) < 0 ||
                   add_history(o, body, e) < 0
               ? -1
               : 0;
}

static int show_one(struct journal *journal, const char *name, json_t **ret,
                    struct err *e)
{
    auto_sync struct sync *s = NULL;
    json_auto_t *o = json_object();

    if (!o)
        return err_nomem(e);
    if (sync_open(journal, name, SYNC_LOOK, &s, e) < 0 || describe(s, o, e) < 0)
        return -1;
    *ret = json_incref(o);
    return 0;
}

int sync_show(const char *name, const struct flow_env *env, json_t **ret, struct err *e)
{
    auto_journal struct journal *journal = NULL;

    if (journal_open(env->journal_path, &journal, e) < 0)
        return -1;
    return show_one(journal, name, ret, e);
}

int sync_list(const struct flow_env *env, json_t **ret, struct err *e)
{
    auto_journal struct journal *journal = NULL;
    auto_records struct records records = {0};
    json_auto_t *list = json_array();

    if (!list)
        return err_nomem(e);
    if (journal_open(env->journal_path, &journal, e) < 0 ||
        record_list(journal, KIND_SYNC, &records, e) < 0)
        return -1;
    vec_foreach (r, &records) {
        json_t *o = NULL;

        if (show_one(journal, r->name, &o, e) < 0) {
            if (e->kind == ERR_NOT_FOUND)
                continue; /* deleted meanwhile */
            return -1;
        }
        json_object_del(o, "history");
        if (json_add(list, o, e) < 0)
            return -1;
    }
    *ret = json_incref(list);
    return 0;
}
