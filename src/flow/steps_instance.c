/* create-instance by the swap finisher, and first-boot.
 *
 * Swap: launch from the carrier, stop, take the carrier's disk off and delete it, put
 * the restored volumes on, start. Each part looks at the instance first, so the step
 * may be entered again after a crash anywhere. */
#include "aws/wait.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/str.h"
#include "flow/restore.h"
#include "flow/windows.h"
#include "proxy/slot.h"

#include <inttypes.h>

#define KEY_CARRIER_ROOT    "carrier/root"
#define CONSOLE_LINES       12
#define DEFAULT_BOOT_WAIT_S 900
#define WINDOWS_BOOT_WAIT_S 3600 /* drivers, installers and their restarts */
#define PROMPT_WAIT_NS      (180 * NS_PER_S)
#define PROMPT_POLL_NS      (3 * NS_PER_S)
#define SETTLE_TRIES        10
#define SETTLE_WAIT_NS      (2 * NS_PER_S)

static int instance_id(struct job *job, char **ret, struct err *e)
{
    auto_job_resource struct job_resource r = {0};

    if (job_resource_get(job, KEY_INSTANCE, &r, e) < 0)
        return -1;
    if (r.state != JOB_RESOURCE_MADE)
        return err_set(e, ERR_NOT_FOUND, "job %s has no instance", job_id(job));
    *ret = str_dup(r.cloud_id, e);
    return *ret ? 0 : -1;
}

/* ---- launch from the carrier ---- */

static int run_carrier(struct job *job, struct restore_ctx *ctx, const char *image,
                       const struct job_resource *r, struct ec2_instance *ret,
                       struct err *e)
{
    const struct restore_params *p = ctx->params;
    auto_tag_set struct tag_set tags = {0};
    auto_tag_set struct tag_set root_tags = {0};

    if (tag_set_fill(&tags, job, ctx, KEY_INSTANCE, ctx->plan->name, e) < 0 ||
        tag_set_fill(&root_tags, job, ctx, KEY_CARRIER_ROOT, NULL, e) < 0)
        return -1;
    return ec2_run_instances(
        ctx->aws,
        &(struct ec2_run_instances_in){
            .image_id = image,
            .type = ctx->plan->instance_type,
            .subnet_id = ctx->plan->subnet_id,
            .security_group_ids = {(const char *const *)ctx->plan->security_group_ids.v,
                                   ctx->plan->security_group_ids.n},
            .key_name = p->key_name,
            .iam_profile = p->iam_profile,
            .private_ip = p->private_ip,
            .imdsv2_required = !str_eq_null(p->imds, "optional"),
            .client_token = r->token,
            .tags = tag_set_in(&tags),
            .volume_tags = tag_set_in(&root_tags)},
        ret, e);
}

static int launch(struct job *job, struct restore_ctx *ctx, char **ret_id, struct err *e)
{
    auto_job_resource struct job_resource r = {0}, root = {0};
    struct ec2_instance i = {0};
    auto_free char *image = NULL;
    int rc;

    if (carrier_ensure(job, ctx, &image, e) < 0 ||
        /* The launch makes the carrier's disk too: it is intended first and undone
         * last, after the instance. */
        job_resource_intend(job, KIND_VOLUME, KEY_CARRIER_ROOT, NULL, &root, e) < 0 ||
        job_resource_intend(job, KIND_INSTANCE, KEY_INSTANCE, NULL, &r, e) < 0)
        return -1;
    if (r.state == JOB_RESOURCE_MADE) {
        *ret_id = str_dup(r.cloud_id, e);
        return *ret_id ? 0 : -1;
    }
    if (run_carrier(job, ctx, image, &r, &i, e) < 0)
        return -1;
    rc = job_resource_made(job, KEY_INSTANCE, i.id, NULL, e);
    if (rc == 0) {
        job_event(job, JOB_EVENT_INFO, "instance %s, %s, launched from carrier %s", i.id,
                  ctx->plan->instance_type, image);
        rc = (*ret_id = str_dup(i.id, e)) ? 0 : -1;
    }
    ec2_instance_release(&i);
    return rc;
}

/* ---- swap the disks ---- */

static const struct ec2_mapping *mapping_at(const struct ec2_instance *i,
                                            const char *device)
{
    vec_foreach (m, &i->mappings)
        if (proxy_slot_same(m->device, device))
            return m;
    return NULL;
}

static bool has_volume(const struct ec2_instance *i, const char *volume)
{
    vec_foreach (m, &i->mappings)
        if (str_eq(m->volume_id, volume))
            return true;
    return false;
}

static int stop(struct restore_ctx *ctx, struct ec2_instance *i, struct err *e)
{
    struct ec2_instance stopped = {0};
    auto_free char *id = str_dup(i->id, e);

    if (!id)
        return -1;
    /* Its disk is blank: nothing in it could shut down in an orderly way. */
    if (!str_eq(i->state, "stopped") &&
        (ec2_wait_instance_running(ctx->aws, id, NULL, NULL, e) < 0 ||
         ec2_stop_instances(ctx->aws, id, true, false, e) < 0 ||
         ec2_wait_instance_stopped(ctx->aws, id, NULL, NULL, e) < 0))
        return -1;
    if (ec2_describe_instance(ctx->aws, id, &stopped, e) < 0)
        return -1;
    ec2_instance_release(i);
    *i = stopped;
    return 0;
}

static int drop_carrier_root(struct job *job, struct restore_ctx *ctx,
                             const struct ec2_instance *i, const char *root_volume,
                             struct err *e)
{
    const struct ec2_mapping *m = mapping_at(i, i->root_device_name);
    auto_job_resource struct job_resource r = {0};

    if (m && !str_eq(m->volume_id, root_volume) &&
        (job_resource_made(job, KEY_CARRIER_ROOT, m->volume_id, NULL, e) < 0 ||
         ec2_detach_volume(ctx->aws, m->volume_id, i->id, false, e) < 0 ||
         ec2_wait_detached(ctx->aws, m->volume_id, i->id, NULL, e) < 0))
        return -1;
    if (job_resource_get(job, KEY_CARRIER_ROOT, &r, e) < 0)
        return -1;
    if (r.state == JOB_RESOURCE_GONE)
        return 0;
    if (remove_volume(job, ctx, &r, e) < 0)
        return -1;
    return job_resource_gone(job, KEY_CARRIER_ROOT, e);
}

/* Disk 0 at the AMI's root device, the others after it in the guest's order. */
static const char *device_for(const struct ec2_instance *i, size_t disk)
{
    const char *const *names = proxy_slot_names();

    if (disk == 0)
        return i->root_device_name;
    for (size_t n = 0, seen = 0; n < PROXY_SLOT_NAMES; n++) {
        if (proxy_slot_same(names[n], i->root_device_name))
            continue;
        if (++seen == disk)
            return names[n];
    }
    return NULL;
}

static int put_volume(struct job *job, struct restore_ctx *ctx,
                      const struct ec2_instance *i, size_t disk, struct err *e)
{
    const char *device = device_for(i, disk);
    auto_free char *volume = NULL;
    char xvd[PROXY_SLOT_NAME_LEN];

    if (!device)
        return err_set(e, ERR_UNSUPPORTED, "an instance takes at most %d volumes",
                       PROXY_SLOT_NAMES);
    /* Windows' instances name them xvdf and so on, as Xen does. */
    if (disk > 0 && plan_is_windows(ctx->plan))
        device = proxy_slot_xen_name(device, xvd);
    if (volume_id_of(job, disk, &volume, e) < 0)
        return -1;
    if (!has_volume(i, volume) &&
        ec2_attach_volume(ctx->aws, volume, i->id, device, false, e) < 0)
        return -1;
    if (ec2_wait_attached(ctx->aws, volume, i->id, NULL, e) < 0)
        return -1;
    return ec2_modify_delete_on_termination(ctx->aws, i->id, device,
                                            ctx->params->delete_on_termination, false, e);
}

static int swap_disks(struct job *job, struct restore_ctx *ctx, struct ec2_instance *i,
                      struct err *e)
{
    auto_free char *root = NULL;

    if (volume_id_of(job, 0, &root, e) < 0 || stop(ctx, i, e) < 0 ||
        drop_carrier_root(job, ctx, i, root, e) < 0)
        return -1;
    for (size_t d = 0; d < ctx->plan->volumes.n; d++)
        if (put_volume(job, ctx, i, d, e) < 0)
            return err_prefix(e, "disk %zu", d + 1);
    if (str_eq(ctx->plan->hypervisor, "nitro") && !i->ena_support)
        return ec2_modify_ena_support(ctx->aws, i->id, true, false, e);
    return 0;
}

/* An instance just launched may not be visible yet: EC2 is eventually consistent. */
static int describe_settled(struct restore_ctx *ctx, const char *id,
                            struct ec2_instance *ret, struct err *e)
{
    for (int tries = 0;; tries++) {
        if (ec2_describe_instance(ctx->aws, id, ret, e) == 0)
            return 0;
        if (e->kind != ERR_NOT_FOUND || tries == SETTLE_TRIES ||
            cancel_sleep_ns(ctx->cancel, SETTLE_WAIT_NS, e) < 0)
            return -1;
    }
}

int step_create_instance(struct job *job, void *vctx, struct err *e)
{
    struct restore_ctx *ctx = vctx;
    struct ec2_instance i = {0};
    auto_free char *id = NULL;
    json_auto_t *swapped = NULL, *yes = json_true();
    int r;

    if (launch(job, ctx, &id, e) < 0 || job_value_get(job, "swapped", &swapped, e) < 0)
        return -1;
    if (!swapped) {
        if (describe_settled(ctx, id, &i, e) < 0)
            return -1;
        r = swap_disks(job, ctx, &i, e);
        ec2_instance_release(&i);
        if (r < 0 || job_value_set(job, "swapped", yes, e) < 0)
            return -1;
    }
    if (ec2_start_instances(ctx->aws, id, false, e) < 0)
        return -1;
    return ec2_wait_instance_running(ctx->aws, id, NULL, NULL, e);
}

/* ---- first-boot ---- */

/* The last lines of the console, without escape sequences and other control bytes. */
static int console_tail(const char *text, size_t len, char **ret, struct err *e)
{
    auto_buf struct buf b = BUF_INIT;
    size_t start = len, lines = 0;

    while (start && lines <= CONSOLE_LINES)
        if (text[--start] == '\n')
            lines++;
    for (size_t i = start; i < len; i++) {
        unsigned char c = (unsigned char)text[i];

        if (c == 0x1b && i + 1 < len && text[i + 1] == '[') {
            for (i += 2; i < len && (text[i] < '@' || text[i] > '~'); i++)
                ;
        } else if (c == '\n' || (c >= 0x20 && c != 0x7f)) {
            buf_addc(&b, (char)c);
        }
    }
    return buf_check(&b, e) < 0 ? -1 : buf_take(&b, ret, e);
}

/* Best effort: a boot is not undone because its console cannot be read. */
static char *console_of(struct restore_ctx *ctx, const char *id)
{
    auto_free char *text = NULL;
    struct err ignored;
    char *tail = NULL;
    size_t len;

    if (ec2_get_console_output(ctx->aws, id, true, &text, &len, &ignored) < 0 ||
        console_tail(text, len, &tail, &ignored) < 0)
        return NULL;
    return tail;
}

/* Status checks pass when the network answers, which may be before the console has its
 * prompt. A guest that writes nothing there is not waited for, and none is for long. */
static char *console_with_prompt(struct restore_ctx *ctx, const char *id)
{
    uint64_t deadline_ns = clock_mono_ns() + PROMPT_WAIT_NS;
    struct err stopped;

    for (;;) {
        char *tail = console_of(ctx, id);

        if (!tail || !*tail || strstr(tail, "login:") || clock_mono_ns() > deadline_ns ||
            cancel_sleep_ns(ctx->cancel, PROMPT_POLL_NS, &stopped) < 0)
            return tail;
        free(tail);
    }
}

static int keep_result(struct job *job, const struct ec2_instance *i, const char *checks,
                       const char *console, struct err *e)
{
    json_auto_t *o = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s?}", "instance_id",
                               i->id, "state", i->state, "status_checks", checks,
                               "private_ip", i->private_ip, "public_ip", i->public_ip,
                               "type", i->type, "zone", i->zone, "console", console);

    return o ? job_value_set(job, "result", o, e) : err_nomem(e);
}

/* A guest whose kernel does not write to the serial port (any that was not converted)
 * can only be looked at. */
static int did_not_boot(struct job *job, const char *id, const char *console,
                        struct err *e)
{
    if (console && *console) {
        job_event(job, JOB_EVENT_ERROR, "last lines of the console: %s", console);
        return err_prefix(e,
                          "instance %s did not boot; `aws ec2 get-console-output "
                          "--instance-id %s --latest` shows why",
                          id, id);
    }
    return err_prefix(
        e,
        "instance %s did not boot and wrote nothing to its serial console; "
        "`aws ec2 get-console-screenshot --instance-id %s` shows its screen",
        id, id);
}

int step_first_boot(struct job *job, void *vctx, struct err *e)
{
    struct restore_ctx *ctx = vctx;
    uint64_t wait_s =
        ctx->params->boot_timeout_s ? ctx->params->boot_timeout_s : DEFAULT_BOOT_WAIT_S;
    struct wait_options opt = {.timeout_ns = wait_s * NS_PER_S, .max_ns = 5 * NS_PER_S};
    struct ec2_instance i = {0};
    auto_free char *id = NULL;
    auto_free char *console = NULL;
    int r = 0;

    if (instance_id(job, &id, e) < 0)
        return -1;
    /* Without its drivers Windows fails the status checks, so they come after. */
    if (!ctx->params->no_wait && plan_is_windows(ctx->plan) &&
        str_eq(ctx->plan->kind, "convert") &&
        windows_await_first_boot(job, ctx, id,
                                 ctx->params->boot_timeout_s ? ctx->params->boot_timeout_s
                                                             : WINDOWS_BOOT_WAIT_S,
                                 e) < 0)
        return -1;
    if (!ctx->params->no_wait)
        r = ec2_wait_instance_status_ok(ctx->aws, id, &opt, e);
    if (r < 0 && e->kind == ERR_CANCELLED)
        return -1;
    console = r < 0 || ctx->params->no_wait || plan_is_windows(ctx->plan)
                  ? console_of(ctx, id)
                  : console_with_prompt(ctx, id);
    if (r < 0)
        return did_not_boot(job, id, console, e);
    if (ec2_describe_instance(ctx->aws, id, &i, e) < 0)
        return -1;
    r = keep_result(job, &i, ctx->params->no_wait ? "not awaited" : "ok", console, e);
    ec2_instance_release(&i);
    return r;
}
