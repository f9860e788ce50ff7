/* restore-data and inject-drivers.
 *
 * A volume is opened as fresh, and looked at, only until the job's first write to it;
 * from then on the journal's durable ranges say what need not be copied again. A crash
 * leaves a partly written volume whose other parts are zero or what will be written. */
#include "base/json.h"
#include "base/str.h"
#include "flow/finish.h"
#include "mover/mover.h"

#include <inttypes.h>

#define GIB ((uint64_t)1 << 30)

/* ---- restore-data ---- */

struct copy {
    struct job *job;
    struct flow_source source; /* owned; its machine's sources are what is copied */
    size_t n;
    struct mover_disk *disks;   /* n, owned with their sinks */
    struct extent_set *already; /* n, owned */
};
#define auto_copy auto_call(copy_release)

static void copy_release(struct copy *c)
{
    for (size_t i = 0; i < c->n; i++) {
        sink_free(c->disks[i].sink);
        extent_set_release(&c->already[i]);
    }
    free(c->disks);
    free(c->already);
    flow_source_close(&c->source);
}

static int note_durable(void *ctx, size_t disk, const struct extent *v, size_t n,
                        struct err *e)
{
    struct copy *c = ctx;

    return job_ranges_done(c->job, (uint32_t)disk, v, n, e);
}

/* The source must still be what was planned from: a resume may come days later. */
static int check_same_source(const struct machine *m, const struct plan *plan,
                             struct err *e)
{
    if (m->disks.n != plan->volumes.n)
        return err_set(e, ERR_INPUT,
                       "%s has %zu disks now and had %zu when the job began; `hotadd "
                       "undo` the job and begin anew",
                       plan->source, m->disks.n, plan->volumes.n);
    for (size_t i = 0; i < m->disks.n; i++)
        if (m->disks.v[i].source->size_bytes != plan->volumes.v[i].source_bytes)
            return err_set(e, ERR_INPUT,
                           "%s: disk %zu has %" PRIu64 " bytes now and had %" PRIu64
                           " when the job began; `hotadd undo` the job and begin anew",
                           plan->source, i + 1, m->disks.v[i].source->size_bytes,
                           plan->volumes.v[i].source_bytes);
    return 0;
}

/* The journal's value "written/N" holds the id of the volume that the job began to write
 * disk N to: set, durably, before the first write can happen. */
int volume_written_before(struct job *job, size_t i, const char *volume, bool *ret,
                          struct err *e)
{
    json_auto_t *was = NULL;
    char name[KEY_LEN];

    if (job_value_get(job, disk_key(name, "written", i), &was, e) < 0)
        return -1;
    *ret = str_eq_null(json_string_value(was), volume);
    return 0;
}

int volume_note_written(struct job *job, size_t i, const char *volume, struct err *e)
{
    json_auto_t *now = json_string(volume);
    char name[KEY_LEN];

    return now ? job_value_set(job, disk_key(name, "written", i), now, e) : err_nomem(e);
}

/* A recovery point that is gone does not come back: nothing is gained by a resume. */
int source_open_again(const struct source_spec *spec, const struct plan *plan,
                      const struct cancel *cancel, struct flow_source *ret, struct err *e)
{
    if (flow_source_open(spec, cancel, ret, e) == 0)
        return check_same_source(ret->machine, plan, e);
    if (source_is_point(spec) && e->kind == ERR_NOT_FOUND)
        err_prefix(e,
                   "recovery point %s, which the job was planned from, is gone from %s; "
                   "`hotadd undo` the job and begin anew",
                   spec->source, spec->repo.at);
    return -1;
}

static int prepare_disk(struct copy *c, struct restore_ctx *ctx, size_t i, struct err *e)
{
    const struct plan_volume *pv = &ctx->plan->volumes.v[i];
    struct mover_disk *d = &c->disks[i];
    auto_free char *volume = NULL;
    struct proxy_device device;
    bool ours;

    if (volume_id_of(c->job, i, &volume, e) < 0 ||
        job_disk_size(c->job, (uint32_t)i, pv->source_bytes, e) < 0 ||
        job_ranges(c->job, (uint32_t)i, &c->already[i], e) < 0 ||
        volume_written_before(c->job, i, volume, &ours, e) < 0 ||
        volume_device(c->job, ctx, i, &device, e) < 0 ||
        proxy_device_open(&ctx->paths, &device, pv->size_gib * GIB,
                          ours ? PROXY_OURS : PROXY_FRESH, job_cancel(c->job), &d->sink,
                          e) < 0 ||
        volume_note_written(c->job, i, volume, e) < 0)
        return -1;
    d->source = c->source.machine->disks.v[i].source;
    d->already = &c->already[i];
    d->durable = note_durable;
    d->durable_ctx = c;
    return 0;
}

static void tell_copied(struct job *job, const struct mover_result *r)
{
    double s = (double)r->elapsed_ns / 1e9;
    char data[32], total[32], rate[32];

    job_event(job, JOB_EVENT_INFO, "%s of data written for %s of disk in %.1f s (%s/s)%s",
              str_bytes(data, sizeof data, r->written_bytes),
              str_bytes(total, sizeof total, r->total_bytes), s,
              str_bytes(rate, sizeof rate,
                        s > 0 ? (uint64_t)((double)r->written_bytes / s) : 0),
              r->verified_bytes ? ", read back and verified" : "");
}

int step_restore_data(struct job *job, void *vctx, struct err *e)
{
    struct restore_ctx *ctx = vctx;
    struct mover_options opt = {
        .max_bytes_per_s = ctx->params->max_rate,
        .shared_buffers = true,
        .verify = ctx->params->verify ? MOVER_VERIFY_READ_BACK : MOVER_VERIFY_NONE,
        .cancel = job_cancel(job),
        .progress = ctx->progress,
        .what = "restore-data",
    };
    struct source_spec spec = restore_params_source(ctx->params, ctx->plan->source);
    auto_copy struct copy c = {.job = job};
    struct mover_result result;

    if (source_open_again(&spec, ctx->plan, job_cancel(job), &c.source, e) < 0)
        return -1;
    c.disks = mem_zalloc(c.source.machine->disks.n, sizeof *c.disks, e);
    c.already =
        c.disks ? mem_zalloc(c.source.machine->disks.n, sizeof *c.already, e) : NULL;
    if (!c.already)
        return -1;
    c.n = c.source.machine->disks.n;
    for (size_t i = 0; i < c.n; i++)
        if (prepare_disk(&c, ctx, i, e) < 0)
            return err_prefix(e, "disk %zu", i + 1);
    if (mover_run(c.disks, c.n, &opt, &result, e) < 0)
        return -1;
    tell_copied(job, &result);
    return 0;
}

/* ---- inject-drivers ---- */

static int keep_report(struct job *job, const struct guest_report *report, struct err *e)
{
    json_auto_t *o = guest_report_json(report, e);
    size_t done = 0;

    if (!o)
        return -1;
    vec_foreach (edit, &report->edits) {
        if (!edit->done)
            continue;
        job_event(job, JOB_EVENT_INFO, "%s: %s", edit->path, edit->what);
        done++;
    }
    if (!done)
        job_event(job, JOB_EVENT_INFO, "the guest needed no change");
    return job_value_set(job, "guest-report", o, e);
}

int step_inject_drivers(struct job *job, void *vctx, struct err *e)
{
    struct restore_ctx *ctx = vctx;
    size_t n = ctx->plan->volumes.n;
    auto_free struct proxy_device *devices = mem_zalloc(n, sizeof *devices, e);
    auto_free struct guest_disk *disks = devices ? mem_zalloc(n, sizeof *disks, e) : NULL;
    auto_guest_report struct guest_report *report = NULL;
    struct guest_options opt = guest_options_for(
        ctx->params, RESTORE_CONVERT,
        finisher_of_plan(ctx->plan) == FINISH_IMAGE ? GUEST_IMAGE : GUEST_SWAP);

    opt.firmware = str_eq(ctx->plan->boot_mode, "uefi") ? FIRMWARE_UEFI : FIRMWARE_BIOS;
    opt.program = ctx->guest_program;
    if (!disks)
        return -1;
    if (finisher_of_plan(ctx->plan) == FINISH_IMPORT) {
        job_event(job, JOB_EVENT_INFO, "the guest is left to Amazon's VM Import");
        return 0;
    }
    for (size_t i = 0; i < n; i++) {
        if (volume_device(job, ctx, i, &devices[i], e) < 0)
            return -1;
        disks[i].path = devices[i].path;
    }
    if (guest_convert(disks, n, &opt, job_cancel(job), ctx->progress, &report, e) < 0)
        return -1;
    return keep_report(job, report, e);
}
