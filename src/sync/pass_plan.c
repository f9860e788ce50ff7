/* What a pass is going to do: opening the points, looking at the replica's volumes, and
 * deciding per disk. Nothing is made or changed here. */
#include "sync/pass.h"

#include "base/json.h"
#include "base/str.h"

#include <inttypes.h>

int pass_init(struct pass *pass, struct sync *s, const struct flow_env *env,
              struct err *e)
{
    pass->sync = s;
    pass->base = (struct restore_ctx){.params = &s->params,
                                      .cancel = env->cancel,
                                      .progress = env->progress,
                                      .paths = {.dev = s->params.device_root}};
    if (plan_new(&pass->base.plan, e) < 0 ||
        sync_connect(s, env, &pass->base.aws, e) < 0 ||
        preflight_proxy(&s->params, pass->base.aws, pass->base.plan, e) < 0)
        return -1;
    return plan_set(&pass->base.plan->name, e, "%s", s->record.name) < 0 ||
                   plan_set(&pass->base.plan->volume_type, e, "%s",
                            s->params.volume_type ? s->params.volume_type : "gp3") < 0
               ? -1
               : 0;
}

static void close_point(struct repo_point **point, struct machine **machine)
{
    machine_free(*machine);
    repo_point_free(*point);
    *machine = NULL;
    *point = NULL;
}

void pass_release(struct pass *pass)
{
    close_point(&pass->target, &pass->target_m);
    close_point(&pass->held, &pass->held_m);
    flow_repo_close(&pass->repo);
    json_decref(pass->decided);
    plan_free(pass->base.plan);
    aws_free(pass->base.aws);
    *pass = (struct pass){0};
}

/* ---- points ---- */

int pass_open_repo(struct pass *pass, struct err *e)
{
    struct repo_where where = sync_where(pass->sync);

    if (pass->repo.repo)
        return 0;
    return flow_repo_open(&where, REPO_MUST_EXIST, pass->base.cancel, &pass->repo, e);
}

int pass_open_point(struct pass *pass, const char *point, struct repo_point **ret,
                    struct machine **ret_machine, struct err *e)
{
    struct repo_where where = sync_where(pass->sync);
    auto_repo_point struct repo_point *p = NULL;
    struct repo_name name = {0};
    int r;

    if (*ret)
        return 0;
    if (pass_open_repo(pass, e) < 0 || flow_repo_name(&where, point, &name, e) < 0)
        return -1;
    r = repo_point_open(pass->repo.repo, &name, &p, e);
    repo_name_release(&name);
    if (r < 0 || repo_point_machine(p, ret_machine, e) < 0)
        return -1;
    *ret = take_ptr(p);
    return 0;
}

/* ---- the replica's volumes ---- */

enum seen { SEEN_GONE, SEEN_SMALL, SEEN_GOOD };

/* Somebody else's attachment means that he may have written. */
static int check_attachments(struct pass *pass, const struct ec2_volume *v, struct err *e)
{
    vec_foreach (a, &v->attachments) {
        if (str_eq(a->state, "detached") ||
            str_eq(a->instance_id, pass->base.plan->proxy_id))
            continue;
        pass->needs_resync = true;
        return err_set(e, ERR_REQUIREMENT,
                       "replica volume %s is attached to %s, which may have written to "
                       "it: detach it there, then `hotadd sync resync %s`",
                       v->id, a->instance_id, pass->sync->record.name);
    }
    return 0;
}

static int look_at_volume(struct pass *pass, const char *id, uint64_t need_gib,
                          enum seen *ret, uint64_t *ret_gib, struct err *e)
{
    struct ec2_volume v = {0};
    int r = 0;

    if (ec2_describe_volume(pass->base.aws, id, &v, e) < 0) {
        if (e->kind != ERR_NOT_FOUND)
            return -1;
        *ret = SEEN_GONE;
        return 0;
    }
    *ret_gib = v.size_gib;
    if (str_eq(v.state, "deleting") || str_eq(v.state, "deleted") ||
        str_eq(v.state, "error"))
        *ret = SEEN_GONE;
    else if (!str_eq(v.zone, pass->base.plan->zone))
        r = err_set(e, ERR_REQUIREMENT,
                    "replica volume %s is in zone %s and this proxy in %s; run the pass "
                    "on a proxy there",
                    id, v.zone, pass->base.plan->zone);
    else if ((r = check_attachments(pass, &v, e)) == 0)
        *ret = v.size_gib < need_gib ? SEEN_SMALL : SEEN_GOOD;
    ec2_volume_release(&v);
    return r;
}

/* ---- deciding ---- */

/* Can a volume of the disk be made that holds the replica's point? */
static bool can_be_remade(const json_t *body, const char *name, enum seen seen)
{
    const json_t *entry = sync_point_of(body, json_str_or(body, "point", NULL));

    if (sync_snapshot_of(entry, name))
        return true;
    /* protect-point makes a snapshot of what is there, if that is exact. */
    return seen == SEEN_SMALL && json_is_null(json_object_get(body, "dirty")) &&
           !json_bool_or(body, "resync", false);
}

static int decide_disk(struct pass *pass, size_t i, json_t *disks, json_t *drop,
                       struct err *e)
{
    const json_t *body = pass->sync->record.body;
    const char *name = repo_point_disk_name(pass->target, i);
    uint64_t bytes = repo_point_disk_size(pass->target, i);
    uint64_t need_gib = (bytes + GIB - 1) / GIB, gib = need_gib;
    const json_t *have = sync_disk_of(body, name);
    const char *volume = have ? json_str_or(have, "volume", NULL) : NULL;
    enum seen seen = SEEN_GONE;
    bool held = false;

    if (bytes == 0 || bytes % 512 || need_gib > 65536)
        return err_set(e, ERR_UNSUPPORTED,
                       "%s: %" PRIu64 " bytes; an EBS volume holds 1 GiB to 64 TiB of "
                       "sectors",
                       name, bytes);
    if (volume && look_at_volume(pass, volume, need_gib, &seen, &gib, e) < 0)
        return -1;
    if (have)
        held = seen == SEEN_GOOD || can_be_remade(body, name, seen);
    if (volume && seen == SEEN_SMALL && json_add(drop, json_string(volume), e) < 0)
        return -1;
    if (seen != SEEN_GOOD) {
        volume = NULL;
        gib = need_gib;
    }
    return json_add(disks,
                    json_pack("{s:s, s:I, s:I, s:b, s:s?}", "name", name, "size_bytes",
                              (json_int_t)bytes, "size_gib", (json_int_t)gib, "held",
                              (int)held, "volume", volume),
                    e);
}

static bool target_has(const struct pass *pass, const char *name)
{
    for (size_t i = 0; i < repo_point_n_disks(pass->target); i++)
        if (str_eq(repo_point_disk_name(pass->target, i), name))
            return true;
    return false;
}

int pass_decide(struct pass *pass, const char *to, json_t **ret, struct err *e)
{
    const json_t *body = pass->sync->record.body;
    json_auto_t *disks = json_array(), *drop = json_array();
    const json_t *d;
    json_t *o;
    size_t i;

    if (!disks || !drop)
        return err_nomem(e);
    if (!repo_point_n_disks(pass->target))
        return err_set(e, ERR_INPUT, "%s has no disks", to);
    for (i = 0; i < repo_point_n_disks(pass->target); i++)
        if (decide_disk(pass, i, disks, drop, e) < 0)
            return -1;
    json_array_foreach (json_object_get(body, "disks"), i, d) {
        const char *volume = json_str_or(d, "volume", NULL);

        if (volume && !target_has(pass, json_str_or(d, "name", "")) &&
            json_add(drop, json_string(volume), e) < 0)
            return -1;
    }
    o = json_pack("{s:s, s:I, s:s?, s:b, s:O, s:O}", "to", to, "time",
                  (json_int_t)repo_point_time(pass->target), "from",
                  json_str_or(body, "point", NULL), "resync",
                  (int)json_bool_or(body, "resync", false), "disks", disks, "drop", drop);
    if (!o)
        return err_nomem(e);
    *ret = o;
    return 0;
}

int pass_take(struct pass *pass, json_t *decided, struct err *e)
{
    struct plan *plan = pass->base.plan;
    const json_t *d;
    size_t i;

    json_decref(pass->decided);
    pass->decided = decided;
    json_array_foreach (json_object_get(decided, "disks"), i, d) {
        struct plan_volume v = {.source_bytes = json_u64_or(d, "size_bytes", 0),
                                .size_gib = json_u64_or(d, "size_gib", 0)};

        v.name = str_dup(json_str_or(d, "name", "?"), e);
        if (!v.name)
            return -1;
        if (vec_push(&plan->volumes, v, e) < 0) {
            free(v.name);
            return -1;
        }
    }
    return 0;
}
