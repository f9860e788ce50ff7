/* Windows guests in a restore or conversion; see windows.h. */
#include "flow/windows.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/str.h"

#include <strings.h>

#define LINE_PREFIX "hotadd: first-boot: "
#define LAST_LINE   "finished: "
#define POLL_NS     (10 * NS_PER_S)
#define MAX_LINES   2000
#define MAX_LINE    400 /* the service's are shorter */

bool plan_is_windows(const struct plan *p)
{
    return str_eq(json_str_or(p->guest_info, "type", ""), "windows");
}

/* ---- carrier ---- */

const char *windows_image_version(const char *product_name)
{
    static const char *const versions[][2] = {{"2012 R2", "2012-R2"},
                                              {"2016", "2016"},
                                              {"2019", "2019"},
                                              {"2022", "2022"},
                                              {"2025", "2025"}};

    for (size_t i = 0; i < sizeof versions / sizeof versions[0]; i++)
        if (strcasestr(product_name, versions[i][0]))
            return versions[i][1];
    return NULL;
}

/* Images without a boot mode boot by the type's default, which is legacy BIOS; those that
 * prefer UEFI boot by it on all types that can. */
static bool boots_by(const struct ec2_image *i, const char *boot_mode)
{
    if (str_eq(boot_mode, "legacy-bios"))
        return str_eq(i->boot_mode, "") || str_eq(i->boot_mode, "legacy-bios");
    return str_eq(i->boot_mode, "uefi") || str_eq(i->boot_mode, "uefi-preferred");
}

/* Not those with SQL Server, whose licence would be billed, too. */
static bool usable(const struct ec2_image *i, const char *boot_mode)
{
    return str_eq(i->state, "available") && str_eq(i->platform, "windows") &&
           str_eq(i->usage_operation, "RunInstances:0002") &&
           str_eq(i->architecture, "x86_64") && str_eq(i->root_device_type, "ebs") &&
           boots_by(i, boot_mode);
}

int windows_carrier_plan(struct aws *aws, struct plan *plan, struct err *e)
{
    const char *version = windows_image_version(plan->guest ? plan->guest : "");
    auto_free char *full = NULL, *tpm = NULL;
    struct ec2_images images = {0};
    const struct ec2_image *best = NULL;
    int r = 0;

    if (!version)
        return err_set(e, ERR_REQUIREMENT,
                       "there is no image of Amazon's for %s, whose licence the instance "
                       "would take; give one with --carrier",
                       plan->guest ? plan->guest : "this Windows");
    full = str_fmt(e, "Windows_Server-%s*English*Base-*", version);
    tpm = str_fmt(e, "TPM-Windows_Server-%s*English*Base-*", version);
    if (!full || !tpm)
        return -1;
    const struct ec2_filter filters[] = {{"name", EC2_STRS(full, tpm)},
                                         {"state", EC2_STRS("available")}};
    if (ec2_describe_images(aws,
                            &(struct ec2_query){.filters = filters,
                                                .n_filters = 2,
                                                .owners = EC2_STRS("amazon")},
                            &images, e) < 0)
        return -1;
    vec_foreach (i, &images)
        if (usable(i, plan->boot_mode) &&
            (!best || strcmp(best->creation_date, i->creation_date) < 0))
            best = i;
    if (!best)
        r = err_set(e, ERR_REQUIREMENT,
                    "none of Amazon's images of Windows Server %s here boots by %s; give "
                    "one with --carrier",
                    version, plan->boot_mode);
    else if (plan_set(&plan->carrier_id, e, "%s", best->id) < 0 ||
             plan_set(&plan->carrier_why, e, "%s, for its licence", best->name) < 0)
        r = -1;
    ec2_images_release(&images);
    return r;
}

/* ---- first boot ---- */

/* Anyone in the guest may write to its console: a line gets short and plain. */
static int add_line(struct strv *to, const char *s, size_t len, struct err *e)
{
    char line[MAX_LINE + 1];
    size_t n = 0;

    for (size_t i = 0; i < len && n < MAX_LINE && s[i] != '\r'; i++)
        line[n++] = s[i] >= 0x20 && s[i] < 0x7f ? s[i] : '?';
    return strv_add_n(to, line, n, e);
}

int first_boot_lines(const char *text, size_t len, struct strv *ret, struct err *e)
{
    const char *end = text + len, *at = text;

    while (at < end) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        size_t n = (size_t)((stop ? stop : end) - at);
        const char *p = stop ? memmem(at, n, LINE_PREFIX, sizeof LINE_PREFIX - 1) : NULL;

        /* An unfinished line is for the next look. */
        if (!stop)
            break;
        if (p && ret->n < MAX_LINES) {
            p += sizeof LINE_PREFIX - 1;
            if (add_line(ret, p, (size_t)(stop - p), e) < 0)
                return -1;
        }
        at = stop + 1;
    }
    return 0;
}

/* Whether the last n lines of `before` are the first n of `now`. */
static bool overlap(const struct strv *before, const struct strv *now, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!str_eq(before->v[before->n - n + i], now->v[i]))
            return false;
    return true;
}

size_t first_boot_known(const struct strv *before, const struct strv *now)
{
    size_t n = before->n < now->n ? before->n : now->n;

    while (n && !overlap(before, now, n))
        n--;
    return n;
}

static int look(struct restore_ctx *ctx, const char *id, struct strv *ret, struct err *e)
{
    auto_free char *text = NULL;
    size_t len = 0;

    /* Only Nitro can be asked for the newest output. */
    if (ec2_get_console_output(ctx->aws, id, str_eq(ctx->plan->hypervisor, "nitro"),
                               &text, &len, e) < 0)
        return -1;
    return first_boot_lines(text, len, ret, e);
}

/* 1: that was the last. */
static int judge(struct job *job, const char *line, struct err *e)
{
    job_event(job, JOB_EVENT_INFO, "%s", line);
    if (!str_starts(line, LAST_LINE))
        return 0;
    if (str_starts(line + strlen(LAST_LINE), "ok"))
        return 1;
    return err_set(
        e, ERR_FAILED,
        "the first boot of Windows %s; %%SystemRoot%%\\HotAdd\\firstboot.log in "
        "the guest has the details",
        line);
}

int windows_await_first_boot(struct job *job, struct restore_ctx *ctx, const char *id,
                             uint64_t timeout_s, struct err *e)
{
    uint64_t deadline_ns = clock_mono_ns() + timeout_s * NS_PER_S;
    auto_strv struct strv before = {0};

    for (;;) {
        auto_strv struct strv now = {0};
        struct err why = ERR_INIT;
        int r = look(ctx, id, &now, &why);

        if (r < 0 && (why.kind == ERR_DENIED || why.kind == ERR_CANCELLED)) {
            *e = why;
            return -1;
        }
        /* A console that cannot be read for a while is looked at again. */
        if (r == 0 && now.n) {
            for (size_t i = first_boot_known(&before, &now); r == 0 && i < now.n; i++)
                r = judge(job, now.v[i], e);
            if (r != 0)
                return r < 0 ? -1 : 0;
            strv_release(&before);
            before = now;
            now = (struct strv){0};
        }
        if (clock_mono_ns() > deadline_ns)
            return err_set(
                e, ERR_TIMEOUT,
                "instance %s: the first-boot service did not finish within %llu "
                "s; its last line: %s",
                id, (unsigned long long)timeout_s,
                before.n ? before.v[before.n - 1] : "(none)");
        if (cancel_sleep_ns(ctx->cancel, POLL_NS, e) < 0)
            return -1;
    }
}
