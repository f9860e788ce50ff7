/* create-instance, by the finisher that was planned, and first-boot. Both may be entered
 * again after a crash anywhere. */
#include "aws/wait.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/str.h"
#include "flow/finish.h"
#include "flow/windows.h"

#define CONSOLE_LINES       12
#define DEFAULT_BOOT_WAIT_S 900
#define WINDOWS_BOOT_WAIT_S 3600 /* drivers, installers and their restarts */
#define PROMPT_WAIT_NS      (180 * NS_PER_S)
#define PROMPT_POLL_NS      (3 * NS_PER_S)

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

/* ---- create-instance ---- */

int step_create_instance(struct job *job, void *vctx, struct err *e)
{
    static int (*const finishers[N_FINISHERS])(struct job *, struct restore_ctx *,
                                               struct err *) = {
        [FINISH_SWAP] = finish_swap,
        [FINISH_IMAGE] = finish_image,
        [FINISH_IMPORT] = finish_import,
    };
    struct restore_ctx *ctx = vctx;

    return finishers[finisher_of_plan(ctx->plan)](job, ctx, e);
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
