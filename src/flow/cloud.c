/* Tags, lookups and removers of what jobs make in the cloud.
 *
 * Every remover may be entered again after any crash: gone already is success, and a
 * resource that was only intended is looked for by its tags. */
#include "aws/wait.h"
#include "base/clock.h"
#include "base/str.h"
#include "flow/restore.h"
#include "job/slots.h"

#include <inttypes.h>

/* How often and how long EC2 is asked for something it may not show yet. A call of a
 * process that died may still be carried out: what it makes is looked for until the job
 * has been in our hands for as long as a call may be under way. */
#define FIND_TRIES        4
#define FIND_WAIT_NS      (1500 * NS_PER_MS)
#define CALL_UNDER_WAY_NS (12 * NS_PER_S)

char *disk_key(char out[KEY_LEN], const char *kind, size_t i)
{
    snprintf(out, KEY_LEN, "%s/%zu", kind, i);
    return out;
}

void tag_set_release(struct tag_set *t)
{
    for (size_t i = 0; i < t->n_owned; i++)
        free(t->owned[i]);
    memset(t, 0, sizeof *t);
}

static void tag_add(struct tag_set *t, const char *key, const char *value)
{
    if (t->n < TAGS_MAX)
        t->v[t->n++] = (struct ec2_tag_in){key, value};
}

/* "KEY=VALUE" was checked by restore_params_check(). */
static int tag_add_user(struct tag_set *t, const char *word, struct err *e)
{
    const char *eq = strchr(word, '=');
    char *key = str_ndup(word, (size_t)(eq - word), e);

    if (!key)
        return -1;
    for (size_t i = 0; i < t->n; i++)
        if (str_eq(t->v[i].key, key)) {
            t->v[i].value = eq + 1; /* the user's Name wins over ours */
            free(key);
            return 0;
        }
    if (t->n_owned == TAGS_MAX) {
        free(key);
        return err_set(e, ERR_USAGE, "too many tags");
    }
    t->owned[t->n_owned++] = key;
    tag_add(t, key, eq + 1);
    return 0;
}

int tag_set_fill(struct tag_set *ret, struct job *job, const struct restore_ctx *ctx,
                 const char *key, const char *name, struct err *e)
{
    memset(ret, 0, sizeof *ret);
    tag_add(ret, TAG_JOB, job_id(job));
    tag_add(ret, TAG_KEY, key);
    tag_add(ret, TAG_PROXY, ctx->plan->proxy_id);
    if (name)
        tag_add(ret, "Name", name);
    vec_foreach (t, &ctx->params->tags)
        if (tag_add_user(ret, *t, e) < 0) {
            tag_set_release(ret);
            return -1;
        }
    return 0;
}

struct ec2_tags_in tag_set_in(const struct tag_set *t)
{
    return (struct ec2_tags_in){t->v, t->n};
}

/* One look: the id of the first resource of that type with both tags. */
static int find_once(struct aws *aws, const char *job, const char *key,
                     const char *resource_type, char **ret, struct err *e)
{
    const struct ec2_filter by_key[] = {
        {"key", EC2_STRS(TAG_KEY)},
        {"value", EC2_STRS(key)},
        {"resource-type", EC2_STRS(resource_type)},
    };
    const struct ec2_filter by_job[] = {
        {"key", EC2_STRS(TAG_JOB)},
        {"value", EC2_STRS(job)},
        {"resource-type", EC2_STRS(resource_type)},
    };
    struct ec2_taggeds keys = {0}, jobs = {0};
    int r = -1;

    /* DescribeTags cannot combine two tags: two answers are intersected. */
    if (ec2_describe_tags(aws, &(struct ec2_query){.filters = by_key, .n_filters = 3},
                          &keys, e) < 0 ||
        ec2_describe_tags(aws, &(struct ec2_query){.filters = by_job, .n_filters = 3},
                          &jobs, e) < 0)
        goto out;
    r = 0;
    vec_foreach (k, &keys)
        vec_foreach (j, &jobs)
            if (!*ret && str_eq(k->resource_id, j->resource_id) &&
                !(*ret = str_dup(k->resource_id, e)))
                r = -1;
out:
    ec2_taggeds_release(&keys);
    ec2_taggeds_release(&jobs);
    return r;
}

int cloud_find_tagged(struct aws *aws, struct job *job, const char *key,
                      const char *resource_type, char **ret, struct err *e)
{
    uint64_t until_ns = job_claimed_ns(job) + CALL_UNDER_WAY_NS;

    *ret = NULL;
    for (int i = 0;; i++) {
        if (find_once(aws, job_id(job), key, resource_type, ret, e) < 0)
            return -1;
        if (*ret || (i + 1 >= FIND_TRIES && clock_mono_ns() >= until_ns))
            return 0;
        if (cancel_sleep_ns(job_cancel(job), FIND_WAIT_NS, e) < 0)
            return -1;
    }
}

int cloud_intend(struct aws *aws, struct job *job, const char *kind, const char *key,
                 struct job_resource *ret, struct err *e)
{
    auto_job_resource struct job_resource was = {0};
    auto_free char *found = NULL;
    int r = job_resource_get(job, key, &was, e);

    if (r < 0 && e->kind != ERR_NOT_FOUND)
        return -1;
    if (r == 0 && was.state == JOB_RESOURCE_INTENDED &&
        (cloud_find_tagged(aws, job, key, kind, &found, e) < 0 ||
         (found && job_resource_made(job, key, found, NULL, e) < 0)))
        return -1;
    return job_resource_intend(job, kind, key, NULL, ret, e);
}

int cloud_id_of(struct aws *aws, struct job *job, const struct job_resource *r,
                const char *resource_type, char **ret, struct err *e)
{
    if (r->cloud_id) {
        *ret = str_dup(r->cloud_id, e);
        return *ret ? 0 : -1;
    }
    return cloud_find_tagged(aws, job, r->key, resource_type, ret, e);
}

/* One whose attaching was under way when we were stopped is waited for: until then EC2
 * refuses to detach it. What is not attached is detached. */
static int detach(struct aws *aws, const char *volume, const char *instance,
                  struct err *e)
{
    struct err ignored;

    if (ec2_detach_volume(aws, volume, instance, false, e) == 0 ||
        e->kind == ERR_NOT_FOUND)
        return 0;
    if (!str_eq(e->aws_code, "IncorrectState"))
        return -1;
    if (ec2_wait_attached(aws, volume, instance, NULL, &ignored) < 0)
        return -1;
    return ec2_detach_volume(aws, volume, instance, false, e);
}

static int detach_everywhere(struct aws *aws, const struct ec2_volume *v, struct err *e)
{
    vec_foreach (a, &v->attachments) {
        if (str_eq(a->state, "detached"))
            continue;
        if (detach(aws, v->id, a->instance_id, e) < 0 ||
            ec2_wait_detached(aws, v->id, a->instance_id, NULL, e) < 0)
            return -1;
    }
    return 0;
}

/* Readies it for DeleteVolume, which refuses one that is attached or still being created.
 * One that failed to be created can be deleted as it is. */
static int release_volume(struct aws *aws, const struct ec2_volume *v, struct err *e)
{
    if (str_eq(v->state, "creating") &&
        ec2_wait_volume_available(aws, v->id, NULL, NULL, e) < 0 &&
        (e->kind == ERR_CANCELLED || e->retryable))
        return -1;
    return detach_everywhere(aws, v, e);
}

int volume_delete_anywhere(struct aws *aws, const char *id, struct err *e)
{
    struct ec2_volume v = {0};
    int r = 0;

    if (ec2_describe_volume(aws, id, &v, e) < 0)
        return e->kind == ERR_NOT_FOUND ? 0 : -1;
    /* An instance that is terminated takes its volumes along. */
    if (!str_starts(v.state, "delet")) {
        r = release_volume(aws, &v, e);
        if (r == 0 && ec2_delete_volume(aws, id, false, e) < 0)
            r = e->kind == ERR_NOT_FOUND ? 0 : -1;
    }
    ec2_volume_release(&v);
    return r < 0 ? -1 : ec2_wait_volume_deleted(aws, id, NULL, e);
}

int remove_volume(struct job *job, void *vctx, const struct job_resource *r,
                  struct err *e)
{
    struct restore_ctx *ctx = vctx;
    auto_free char *id = NULL;

    if (cloud_id_of(ctx->aws, job, r, "volume", &id, e) < 0)
        return -1;
    return id ? volume_delete_anywhere(ctx->aws, id, e) : 0;
}

int remove_attachment(struct job *job, void *vctx, const struct job_resource *r,
                      struct err *e)
{
    struct restore_ctx *ctx = vctx;
    const char *volume = json_string_value(json_object_get(r->attrs, "volume"));
    const char *slot = json_string_value(json_object_get(r->attrs, "slot"));
    const char *device = json_string_value(json_object_get(r->attrs, "device"));

    if (volume) {
        if (detach(ctx->aws, volume, ctx->plan->proxy_id, e) < 0)
            return -1;
        if (ec2_wait_detached(ctx->aws, volume, ctx->plan->proxy_id, NULL, e) < 0)
            return -1;
        if (device &&
            proxy_device_gone(&ctx->paths, volume, device,
                              clock_mono_ns() + 30 * NS_PER_S, job_cancel(job), e) < 0)
            return -1;
        proxy_quiet_unmark(&ctx->paths, volume);
    }
    return slot ? job_slot_release(job, ctx->plan->proxy_id, slot, e) : 0;
}

int remove_instance(struct job *job, void *vctx, const struct job_resource *r,
                    struct err *e)
{
    struct restore_ctx *ctx = vctx;
    auto_free char *id = NULL;

    if (cloud_id_of(ctx->aws, job, r, "instance", &id, e) < 0)
        return -1;
    if (!id)
        return 0;
    if (ec2_terminate_instances(ctx->aws, id, false, e) < 0)
        return e->kind == ERR_NOT_FOUND ? 0 : -1;
    return ec2_wait_instance_terminated(ctx->aws, id, NULL, e);
}

int remove_snapshot(struct job *job, void *vctx, const struct job_resource *r,
                    struct err *e)
{
    struct restore_ctx *ctx = vctx;
    auto_free char *id = NULL;

    if (cloud_id_of(ctx->aws, job, r, "snapshot", &id, e) < 0)
        return -1;
    return id ? ec2_delete_snapshot(ctx->aws, id, false, e) : 0;
}

int remove_image(struct job *job, void *vctx, const struct job_resource *r, struct err *e)
{
    struct restore_ctx *ctx = vctx;
    auto_free char *id = NULL;

    if (cloud_id_of(ctx->aws, job, r, "image", &id, e) < 0)
        return -1;
    return id ? ec2_deregister_image(ctx->aws, id, false, e) : 0;
}
