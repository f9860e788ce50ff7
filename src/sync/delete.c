/* Ending a sync. The record says "deleting" first; then what goes is deleted and what
 * stays loses its tags; the record goes last, so a crash leaves a sync that can be
 * deleted again. */
#include "sync/pass.h"

#include "base/json.h"
#include "base/log.h"
#include "base/str.h"

static int edit_deleting(json_t *body, void *ctx, struct err *e)
{
    enum sync_state now;

    if (sync_body_state(body, &now, e) < 0 || sync_allowed(ctx, now, SYNC_DELETE, e) < 0)
        return -1;
    return json_put(body, "state", json_string(sync_state_name(SYNC_DELETING)), e);
}

/* A test's clones are made from these snapshots; its instances belong to its jobs. */
static int check_pins(const struct sync *s, struct err *e)
{
    const json_t *p;
    size_t i;

    json_array_foreach (json_object_get(s->record.body, "points"), i, p) {
        const json_t *pins = json_object_get(p, "pinned_by");

        if (json_array_size(pins))
            return err_set(e, ERR_BUSY, "sync %s: %s is in use by %s: end that first",
                           s->record.name, json_str_or(p, "point", "?"),
                           json_string_value(json_array_get(pins, 0)));
    }
    return 0;
}

static bool stays(const char *id, enum sync_keep keep)
{
    return keep == SYNC_KEEP_ALL ||
           (keep == SYNC_KEEP_SNAPSHOTS && str_starts(id, "snap-"));
}

static int untag(struct pass *pass, const struct strv *ids, struct err *e)
{
    static const char *const keys[] = {TAG_JOB, TAG_KEY, TAG_PROXY, TAG_SYNC};
    struct ec2_tag_in tags[sizeof keys / sizeof keys[0]];

    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        tags[i] = (struct ec2_tag_in){keys[i], NULL};
    vec_foreach (id, ids)
        if (ec2_delete_tags(pass->base.aws, EC2_STRS(*id),
                            (struct ec2_tags_in){tags, sizeof keys / sizeof keys[0]},
                            false, e) < 0 &&
            e->kind != ERR_NOT_FOUND)
            return err_prefix(e, "%s", *id);
    return 0;
}

/* What goes is moved to "retired", which a pass's last step knows how to empty. */
struct leaving {
    enum sync_keep keep;
};

static int edit_retire_all(json_t *body, void *ctx, struct err *e)
{
    const struct leaving *l = ctx;
    auto_strv struct strv ids = {0};
    json_t *retired = json_array();

    if (sync_body_resources(body, &ids, e) < 0) {
        json_decref(retired);
        return -1;
    }
    /* Retired already stays so; of the rest what is not kept becomes it. */
    vec_foreach (id, &ids)
        if (!stays(*id, l->keep) && json_add(retired, json_string(*id), e) < 0) {
            json_decref(retired);
            return -1;
        }
    if (json_put(body, "retired", retired, e) < 0)
        return -1;
    if (l->keep != SYNC_KEEP_ALL && json_put(body, "disks", json_array(), e) < 0)
        return -1;
    return l->keep == SYNC_KEEP_NOTHING ? json_put(body, "points", json_array(), e) : 0;
}

static int delete_retired(struct pass *pass, struct err *e)
{
    auto_strv struct strv ids = {0};

    if (json_to_strv(json_object_get(pass->sync->record.body, "retired"), &ids, e) < 0)
        return -1;
    vec_foreach (id, &ids) {
        if (pass_remove_retired(pass, *id, e) < 0)
            return err_prefix(e, "%s", *id);
        log_info("sync %s: %s deleted", pass->sync->record.name, *id);
    }
    return 0;
}

static int empty(struct pass *pass, enum sync_keep keep, struct err *e)
{
    struct leaving l = {keep};
    auto_strv struct strv kept = {0}, all = {0};

    /* Jobs first: what they attached is detached, what the record does not know is
     * removed. */
    if (pass_sweep(pass, NULL, e) < 0 ||
        sync_set(pass->sync, "job", json_null(), e) < 0 ||
        sync_edit(pass->sync, edit_retire_all, &l, e) < 0 ||
        delete_retired(pass, e) < 0 ||
        sync_body_resources(pass->sync->record.body, &all, e) < 0)
        return -1;
    vec_foreach (id, &all)
        if (stays(*id, keep) && strv_add(&kept, *id, e) < 0)
            return -1;
    return untag(pass, &kept, e);
}

static bool made_something(const struct sync *s)
{
    auto_strv struct strv ids = {0};
    struct err ignored;

    return sync_body_resources(s->record.body, &ids, &ignored) < 0 || ids.n ||
           !json_is_null(json_object_get(s->record.body, "job"));
}

int sync_delete(const char *name, enum sync_keep keep, const struct flow_env *env,
                struct err *e)
{
    auto_journal struct journal *journal = NULL;
    auto_sync struct sync *s = NULL;
    auto_pass struct pass pass = {0};

    if (journal_open(env->journal_path, &journal, e) < 0 ||
        sync_open(journal, name, SYNC_CLAIM, &s, e) < 0 || check_pins(s, e) < 0 ||
        sync_edit(s, edit_deleting, (void *)name, e) < 0)
        return -1;
    /* Without an account to reach, a sync that made nothing can still go. */
    if (made_something(s) &&
        (pass_init(&pass, s, env, e) < 0 || empty(&pass, keep, e) < 0))
        return err_prefix(e, "deleting sync %s (`hotadd sync delete %s` goes on)", name,
                          name);
    if (sync_reload(s, e) < 0)
        return -1;
    return record_remove(journal, KIND_SYNC, name, s->record.version, e);
}
