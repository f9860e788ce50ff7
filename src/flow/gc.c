/* `hotadd gc`: what is tagged as hotadd's and accounted for by no job of the journal. A
 * crash in the middle leaves fewer orphans; it may be run again. */
#include "aws/ec2_import.h"
#include "aws/imds.h"
#include "aws/wait.h"
#include "base/json.h"
#include "base/log.h"
#include "base/str.h"
#include "flow/flow.h"
#include "flow/restore.h"

/* Tasks before what they make, instances before their volumes and groups, images before
 * their snapshots. */
static const char *const removal_order[] = {"import-image-task", "import-snapshot-task",
                                            "instance",          "image",
                                            "snapshot",          "volume",
                                            "security-group"};
#define N_TYPES (sizeof removal_order / sizeof removal_order[0])

struct gc {
    struct aws *aws;
    const struct cancel *cancel;
    struct journal *journal;
    char *proxy; /* owned: this machine's instance id */
    json_t *found;
};

static int remove_one(struct gc *g, const char *type, const char *id, struct err *e)
{
    if (str_starts(type, "import-"))
        return ec2_cancel_import_task(g->aws, id, false, e);
    if (str_eq(type, "instance"))
        return ec2_terminate_instances(g->aws, id, false, e) < 0
                   ? -1
                   : ec2_wait_instance_terminated(g->aws, id, NULL, e);
    if (str_eq(type, "image"))
        return ec2_deregister_image(g->aws, id, false, e);
    if (str_eq(type, "snapshot"))
        return ec2_delete_snapshot(g->aws, id, false, e);
    if (str_eq(type, "security-group"))
        return ec2_delete_security_group(g->aws, id, false, e);
    return volume_delete_anywhere(g->aws, id, e);
}

/* Of either kind. */
static int task_is_active(struct gc *g, const char *id, bool *ret, struct err *e)
{
    struct ec2_import_snapshot_task snapshot = {0};
    struct ec2_import_image_task image = {0};
    int r;

    if (str_starts(id, "import-snap-")) {
        r = ec2_describe_import_snapshot_task(g->aws, id, &snapshot, e);
        *ret = r == 0 && str_eq(snapshot.status, "active");
        ec2_import_snapshot_task_release(&snapshot);
    } else {
        r = ec2_describe_import_image_task(g->aws, id, &image, e);
        *ret = r == 0 && str_eq(image.status, "active");
        ec2_import_image_task_release(&image);
    }
    return r;
}

/* Terminated instances and deleted things keep their tags for a while. */
static int still_there(struct gc *g, const char *type, const char *id, bool *ret,
                       struct err *e)
{
    struct ec2_instance i = {0};
    struct ec2_volume v = {0};
    int r;

    *ret = true;
    if (str_starts(type, "import-")) {
        r = task_is_active(g, id, ret, e);
    } else if (str_eq(type, "instance")) {
        r = ec2_describe_instance(g->aws, id, &i, e);
        if (r == 0)
            *ret = !str_eq(i.state, "terminated") && !str_eq(i.state, "shutting-down");
        ec2_instance_release(&i);
    } else if (str_eq(type, "volume")) {
        r = ec2_describe_volume(g->aws, id, &v, e);
        if (r == 0)
            *ret = !str_eq(v.state, "deleting") && !str_eq(v.state, "deleted");
        ec2_volume_release(&v);
    } else {
        return 0;
    }
    if (r < 0 && e->kind == ERR_NOT_FOUND) {
        *ret = false;
        return 0;
    }
    return r;
}

static const char *value_for(const struct ec2_taggeds *tags, const char *id)
{
    vec_foreach (t, tags)
        if (str_eq(t->resource_id, id))
            return t->value;
    return "";
}

static int look_at(struct gc *g, const struct ec2_tagged *t, const char *proxy,
                   enum flow_gc how, struct err *e)
{
    bool mine = str_eq(proxy, g->proxy), there, removed = false;
    char owner[JOB_ID_LEN];

    if (journal_resource_owner(g->journal, t->resource_id, owner, e) < 0)
        return -1;
    if (*owner)
        return 0;
    if (still_there(g, t->resource_type, t->resource_id, &there, e) < 0)
        return -1;
    if (!there)
        return 0;
    if (how == FLOW_GC_REMOVE && mine) {
        if (remove_one(g, t->resource_type, t->resource_id, e) < 0)
            return err_prefix(e, "%s %s", t->resource_type, t->resource_id);
        removed = true;
    }
    return json_add(g->found,
                    json_pack("{s:s, s:s, s:s, s:s, s:b, s:b}", "id", t->resource_id,
                              "type", t->resource_type, "job", t->value, "proxy", proxy,
                              "other_proxy", !mine, "removed", removed),
                    e);
}

static int collect(struct gc *g, enum flow_gc how, struct err *e)
{
    const struct ec2_filter by_job[] = {{"key", EC2_STRS(TAG_JOB)}};
    const struct ec2_filter by_proxy[] = {{"key", EC2_STRS(TAG_PROXY)}};
    struct ec2_taggeds jobs = {0}, proxies = {0};
    int r = -1;

    if (ec2_describe_tags(g->aws, &(struct ec2_query){.filters = by_job, .n_filters = 1},
                          &jobs, e) < 0 ||
        ec2_describe_tags(g->aws,
                          &(struct ec2_query){.filters = by_proxy, .n_filters = 1},
                          &proxies, e) < 0)
        goto out;
    r = 0;
    for (size_t k = 0; k < N_TYPES && r == 0; k++)
        vec_foreach (t, &jobs) {
            if (!str_eq(t->resource_type, removal_order[k]))
                continue;
            r = look_at(g, t, value_for(&proxies, t->resource_id), how, e);
            if (r < 0)
                break;
        }
out:
    ec2_taggeds_release(&jobs);
    ec2_taggeds_release(&proxies);
    return r;
}

int flow_gc(const struct restore_params *params, enum flow_gc how,
            const struct flow_env *env, json_t **ret, struct err *e)
{
    struct aws_options opt = {
        .region = params->region, .profile = params->aws_profile, .cancel = env->cancel};
    auto_journal struct journal *journal = NULL;
    auto_aws struct aws *aws = NULL;
    struct imds_identity me = {0};
    struct gc g = {.cancel = env->cancel};
    int r;

    if (aws_new(&opt, &aws, e) < 0 || imds_identity(aws_imds(aws), &me, e) < 0)
        return -1;
    g.proxy = take_ptr(me.instance_id);
    imds_identity_release(&me);
    g.aws = aws;
    g.found = json_array();
    r = g.found ? journal_open(env->journal_path, &journal, e) : err_nomem(e);
    g.journal = journal;
    if (r == 0)
        r = collect(&g, how, e);
    free(g.proxy);
    if (r < 0)
        json_decref(g.found);
    else
        *ret = g.found;
    return r;
}
