/* The record of a sync in the journal: opening, reading and changing it; see sync.h and
 * private.h. Every change is one transaction that saw the newest version, so a crash
 * leaves the record before or after it. */
#include "sync/private.h"

#include "base/json.h"
#include "base/str.h"

/* ---- opening ---- */

int sync_body_state(const json_t *body, enum sync_state *ret, struct err *e)
{
    const char *word = json_str_or(body, "state", "");

    for (int i = 0; i < SYNC_STATES; i++)
        if (str_eq(word, sync_state_name((enum sync_state)i))) {
            *ret = (enum sync_state)i;
            return 0;
        }
    return err_set(e, ERR_UNSUPPORTED,
                   "its record says \"%s\", a state that this hotadd does not know; use "
                   "the version that wrote it",
                   word);
}

/* The config never changes, so what is borrowed from it stays valid over a reload. */
static int take_config(struct sync *s, struct err *e)
{
    const json_t *config = json_object_get(s->record.body, "config");

    if (restore_params_from_json(json_object_get(config, "params"), &s->params, e) < 0)
        return err_prefix(e, "sync %s", s->record.name);
    return 0;
}

static int take_state(struct sync *s, struct err *e)
{
    if (sync_body_state(s->record.body, &s->state, e) < 0)
        return err_prefix(e, "sync %s", s->record.name);
    return 0;
}

int sync_open(struct journal *journal, const char *name, enum sync_open how,
              struct sync **ret, struct err *e)
{
    auto_sync struct sync *s = mem_zalloc(1, sizeof *s, e);

    if (!s)
        return -1;
    s->journal = journal;
    if (how == SYNC_CLAIM && record_claim(journal, KIND_SYNC, name, &s->claim, e) < 0)
        return -1;
    if (record_get(journal, KIND_SYNC, name, &s->record, e) < 0 || take_state(s, e) < 0 ||
        take_config(s, e) < 0)
        return -1;
    *ret = take_ptr(s);
    return 0;
}

void sync_close(struct sync *s)
{
    if (!s)
        return;
    record_claim_drop(s->claim);
    restore_params_release(&s->params);
    record_release(&s->record);
    free(s);
}

const char *sync_name(const struct sync *s)
{
    return s->record.name;
}

enum sync_state sync_state(const struct sync *s)
{
    return s->state;
}

const struct restore_params *sync_params(const struct sync *s)
{
    return &s->params;
}

const json_t *sync_body(const struct sync *s)
{
    return s->record.body;
}

int sync_reload(struct sync *s, struct err *e)
{
    struct record fresh = {0};

    if (record_get(s->journal, KIND_SYNC, s->record.name, &fresh, e) < 0)
        return -1;
    /* The name is the same: who has it of sync_name() may keep it. */
    free(fresh.name);
    fresh.name = take_ptr(s->record.name);
    record_release(&s->record);
    s->record = fresh;
    return take_state(s, e);
}

/* ---- reading the body ---- */

static json_t *config_of(const struct sync *s)
{
    return json_object_get(s->record.body, "config");
}

const char *sync_word(const struct sync *s, const char *member, const char *fallback)
{
    return json_str_or(config_of(s), member, fallback);
}

uint64_t sync_number(const struct sync *s, const char *member, uint64_t fallback)
{
    return json_u64_or(config_of(s), member, fallback);
}

bool sync_flag(const struct sync *s, const char *member)
{
    return json_bool_or(config_of(s), member, false);
}

/* The element of the array whose member has that text. */
static json_t *find_in(const json_t *array, const char *member, const char *text)
{
    json_t *o;
    size_t i;

    json_array_foreach (array, i, o)
        if (str_eq(json_str_or(o, member, ""), text))
            return o;
    return NULL;
}

json_t *sync_point_of(const json_t *body, const char *point)
{
    return point ? find_in(json_object_get(body, "points"), "point", point) : NULL;
}

int sync_point_need(json_t *body, const char *point, int64_t time, json_t **ret,
                    struct err *e)
{
    json_t *points = json_object_get(body, "points"), *entry;
    size_t at = 0;

    *ret = sync_point_of(body, point);
    if (*ret)
        return 0;
    while (at < json_array_size(points) &&
           json_integer_value(json_object_get(json_array_get(points, at), "time")) > time)
        at++;
    entry = json_pack("{s:s, s:I, s:[], s:[]}", "point", point, "time", (json_int_t)time,
                      "pinned_by", "snapshots");
    if (!entry || json_array_insert_new(points, at, entry) < 0)
        return err_nomem(e);
    *ret = entry;
    return 0;
}

const char *sync_snapshot_of(const json_t *point, const char *disk)
{
    const json_t *o = find_in(json_object_get(point, "snapshots"), "disk", disk);

    return o ? json_str_or(o, "snapshot", NULL) : NULL;
}

json_t *sync_disk_of(const json_t *body, const char *name)
{
    return find_in(json_object_get(body, "disks"), "name", name);
}

static int add_member(const json_t *array, const char *member, struct strv *ret,
                      struct err *e)
{
    const json_t *o;
    size_t i;

    json_array_foreach (array, i, o) {
        const char *id = json_str_or(o, member, NULL);

        if (id && strv_add_once(ret, id, e) < 0)
            return -1;
    }
    return 0;
}

int sync_body_resources(const json_t *body, struct strv *ret, struct err *e)
{
    const json_t *p;
    size_t i;

    if (add_member(json_object_get(body, "disks"), "volume", ret, e) < 0 ||
        json_to_strv(json_object_get(body, "retired"), ret, e) < 0)
        return -1;
    json_array_foreach (json_object_get(body, "points"), i, p)
        if (add_member(json_object_get(p, "snapshots"), "snapshot", ret, e) < 0)
            return -1;
    return 0;
}

int sync_connect(const struct sync *s, const struct flow_env *env, struct aws **ret,
                 struct err *e)
{
    struct aws_options opt = {.region = s->params.region,
                              .profile = s->params.aws_profile,
                              .cancel = env->cancel};

    return aws_new(&opt, ret, e);
}

struct repo_where sync_where(const struct sync *s)
{
    return restore_params_source(&s->params, NULL).repo;
}

/* ---- changing ---- */

/* One try, on the newest body. */
static int edit_once(struct sync *s, sync_edit_fn *edit, void *ctx, struct err *e)
{
    json_auto_t *body = json_deep_copy(s->record.body);
    auto_strv struct strv ids = {0};

    if (!body)
        return err_nomem(e);
    if (edit(body, ctx, e) < 0 || sync_body_resources(body, &ids, e) < 0)
        return -1;
    if (record_put(s->journal, KIND_SYNC, s->record.name, s->record.version, body, &ids,
                   e) < 0)
        return e->kind == ERR_BUSY && e->retryable ? 1 : -1;
    return 0;
}

int sync_edit(struct sync *s, sync_edit_fn *edit, void *ctx, struct err *e)
{
    /* What the caller borrowed from the body for its change stays there until then. */
    json_t *before = json_incref(s->record.body);
    int r;

    /* Each round that fails means that another process made a change: it ends. */
    while ((r = edit_once(s, edit, ctx, e)) > 0)
        if (sync_reload(s, e) < 0) {
            r = -1;
            break;
        }
    if (r == 0)
        r = sync_reload(s, e);
    json_decref(before);
    return r;
}

struct setting {
    const char *member;
    json_t *value; /* borrowed */
};

static int edit_set(json_t *body, void *ctx, struct err *e)
{
    struct setting *set = ctx;

    return json_put(body, set->member, json_incref(set->value), e);
}

int sync_set(struct sync *s, const char *member, json_t *value, struct err *e)
{
    json_auto_t *mine = value;
    struct setting set = {member, mine};

    return mine ? sync_edit(s, edit_set, &set, e) : err_nomem(e);
}

struct movement {
    const char *name;
    enum sync_state from, to;
    const char *member;
    const json_t *detail;
};

static int edit_move(json_t *body, void *ctx, struct err *e)
{
    const struct movement *m = ctx;
    enum sync_state now;

    if (sync_body_state(body, &now, e) < 0)
        return -1;
    if (now != m->from)
        return err_set(e, ERR_BUSY, "sync %s is %s by now, not %s: look at it again",
                       m->name, sync_state_name(now), sync_state_name(m->from));
    if (m->detail && json_put(body, m->member, json_deep_copy(m->detail), e) < 0)
        return -1;
    return json_put(body, "state", json_string(sync_state_name(m->to)), e);
}

int sync_move(struct sync *s, enum sync_state from, enum sync_state to,
              const char *member, const json_t *detail, struct err *e)
{
    struct movement m = {s->record.name, from, to, member, detail};

    return sync_edit(s, edit_move, &m, e);
}
