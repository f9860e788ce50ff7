/* Waiters; see wait.h. aws_wait() is the loop, everything else is a look at one thing. */
#include "aws/wait.h"

#include "aws/client.h"
#include "aws/retry.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"

#define SEEN_LEN   160
#define MINUTE_NS  (60 * NS_PER_S)
#define GIB_BYTES  (1024ull * 1024 * 1024)
#define BUSY_LOOKS 8 /* in a row, after which a hint is logged */

struct loop {
    uint64_t start_ns, deadline_ns, pause_ns, max_ns;
    char seen[SEEN_LEN];
};

static uint64_t after(uint64_t start_ns, uint64_t ns)
{
    uint64_t t;

    return __builtin_add_overflow(start_ns, ns, &t) ? UINT64_MAX : t;
}

static void loop_begin(struct loop *l, const struct wait_options *o)
{
    l->start_ns = clock_mono_ns();
    l->deadline_ns =
        after(l->start_ns, o && o->timeout_ns ? o->timeout_ns : 5 * MINUTE_NS);
    l->pause_ns = o && o->first_ns ? o->first_ns : NS_PER_S;
    l->max_ns = o && o->max_ns ? o->max_ns : 15 * NS_PER_S;
    if (l->max_ns < l->pause_ns)
        l->max_ns = l->pause_ns;
    snprintf(l->seen, sizeof l->seen, "nothing yet");
}

/* Errors that waiting may mend. */
static bool passes(const struct aws *aws, const struct loop *l, const struct err *e)
{
    if (e->kind == ERR_NOT_FOUND)
        return clock_mono_ns() < after(l->start_ns, aws->client->settle_ns);
    return e->retryable && e->kind != ERR_CANCELLED;
}

/* Half of the pause is fixed, half of it random, so that many jobs do not march in step
 * and none hammers. */
static int loop_pause(struct aws *aws, struct loop *l, struct err *e)
{
    uint64_t now_ns = clock_mono_ns();
    uint64_t ns = l->pause_ns / 2 + retry_jitter_ns(l->pause_ns / 2, l->pause_ns / 2, 0);

    if (now_ns >= l->deadline_ns)
        return 0;
    if (ns > l->deadline_ns - now_ns)
        ns = l->deadline_ns - now_ns;
    if (cancel_sleep_ns(aws->client->cancel, ns, e) < 0)
        return -1;
    l->pause_ns = l->pause_ns + l->pause_ns / 2;
    if (l->pause_ns > l->max_ns)
        l->pause_ns = l->max_ns;
    return 0;
}

int aws_wait(struct aws *aws, const char *what, wait_look_fn *look, void *ctx,
             const struct wait_options *options, struct err *e)
{
    struct loop l;

    loop_begin(&l, options);
    for (;;) {
        enum wait_state state = WAIT_MORE;

        if (look(aws, ctx, &state, l.seen, sizeof l.seen, e) < 0) {
            if (!passes(aws, &l, e))
                return err_prefix(e, "waiting for %s", what);
            snprintf(l.seen, sizeof l.seen, "%s",
                     e->aws_code[0] ? e->aws_code : err_kind_name(e->kind));
        }
        if (state == WAIT_DONE)
            return 0;
        if (clock_mono_ns() >= l.deadline_ns)
            return err_set(
                e, ERR_TIMEOUT, "gave up waiting for %s after %llu s: last seen: %s",
                what, (unsigned long long)((clock_mono_ns() - l.start_ns) / NS_PER_S),
                l.seen);
        log_debug("waiting for %s: %s", what, l.seen);
        if (loop_pause(aws, &l, e) < 0)
            return err_prefix(e, "waiting for %s", what);
    }
}

/* The caller's options with a default deadline. */
static struct wait_options with_default(const struct wait_options *o, uint64_t timeout_ns)
{
    struct wait_options r = o ? *o : (struct wait_options){0};

    if (!r.timeout_ns)
        r.timeout_ns = timeout_ns;
    return r;
}

static void see(char *seen, size_t len, const char *state)
{
    snprintf(seen, len, "%s", state[0] ? state : "no state");
}

/* ---- Volumes ---- */

struct volume_wait {
    const char *volume_id, *instance_id;
    struct ec2_volume last; /* owned */
    unsigned busy;          /* looks in a row that found it so */
};

static int look_volume(struct aws *aws, struct volume_wait *w, char *seen, size_t len,
                       struct err *e)
{
    struct ec2_volume v;

    if (ec2_describe_volume(aws, w->volume_id, &v, e) < 0)
        return -1;
    ec2_volume_release(&w->last);
    w->last = v;
    see(seen, len, v.state);
    return 0;
}

static int look_available(struct aws *aws, void *ctx, enum wait_state *ret, char *seen,
                          size_t len, struct err *e)
{
    struct volume_wait *w = ctx;

    if (look_volume(aws, w, seen, len, e) < 0)
        return -1;
    if (str_eq(w->last.state, "available"))
        *ret = WAIT_DONE;
    if (str_eq(w->last.state, "error") || str_starts(w->last.state, "delet"))
        return err_set(e, ERR_CLOUD,
                       "%s is in state %s (for an encrypted volume: may the credentials "
                       "use its KMS key?)",
                       w->volume_id, w->last.state);
    return 0;
}

int ec2_wait_volume_available(struct aws *aws, const char *volume_id,
                              const struct wait_options *options, struct ec2_volume *ret,
                              struct err *e)
{
    struct wait_options o = with_default(options, 5 * MINUTE_NS);
    struct volume_wait w = {.volume_id = volume_id};
    auto_free char *what = str_fmt(e, "volume %s to become available", volume_id);
    int done = what ? aws_wait(aws, what, look_available, &w, &o, e) : -1;

    if (done == 0 && ret)
        *ret = w.last;
    else
        ec2_volume_release(&w.last);
    return done;
}

static int look_deleted(struct aws *aws, void *ctx, enum wait_state *ret, char *seen,
                        size_t len, struct err *e)
{
    struct volume_wait *w = ctx;

    if (look_volume(aws, w, seen, len, e) < 0) {
        if (e->kind != ERR_NOT_FOUND)
            return -1;
        *ret = WAIT_DONE;
        return 0;
    }
    if (str_eq(w->last.state, "deleted"))
        *ret = WAIT_DONE;
    return 0;
}

int ec2_wait_volume_deleted(struct aws *aws, const char *volume_id,
                            const struct wait_options *options, struct err *e)
{
    struct wait_options o = with_default(options, 5 * MINUTE_NS);
    struct volume_wait w = {.volume_id = volume_id};
    auto_free char *what = str_fmt(e, "volume %s to be deleted", volume_id);
    int done = what ? aws_wait(aws, what, look_deleted, &w, &o, e) : -1;

    ec2_volume_release(&w.last);
    return done;
}

/* "" when it is not attached there. */
static const char *attachment_state(const struct volume_wait *w)
{
    vec_foreach (a, &w->last.attachments)
        if (str_eq(a->instance_id, w->instance_id) && !str_eq(a->state, "detached"))
            return a->state;
    return "";
}

static int look_attached(struct aws *aws, void *ctx, enum wait_state *ret, char *seen,
                         size_t len, struct err *e)
{
    struct volume_wait *w = ctx;
    const char *state;

    if (look_volume(aws, w, seen, len, e) < 0)
        return -1;
    state = attachment_state(w);
    snprintf(seen, len, "volume %s, attachment %s", w->last.state,
             state[0] ? state : "not there");
    if (str_eq(state, "attached"))
        *ret = WAIT_DONE;
    if (str_eq(w->last.state, "error") || str_starts(w->last.state, "delet"))
        return err_set(e, ERR_CLOUD, "%s is in state %s", w->volume_id, w->last.state);
    return 0;
}

int ec2_wait_attached(struct aws *aws, const char *volume_id, const char *instance_id,
                      const struct wait_options *options, struct err *e)
{
    struct wait_options o = with_default(options, 5 * MINUTE_NS);
    struct volume_wait w = {.volume_id = volume_id, .instance_id = instance_id};
    auto_free char *what =
        str_fmt(e, "volume %s to be attached to %s", volume_id, instance_id);
    int done = what ? aws_wait(aws, what, look_attached, &w, &o, e) : -1;

    ec2_volume_release(&w.last);
    return done;
}

static int look_detached(struct aws *aws, void *ctx, enum wait_state *ret, char *seen,
                         size_t len, struct err *e)
{
    struct volume_wait *w = ctx;
    const char *state;

    if (look_volume(aws, w, seen, len, e) < 0) {
        if (e->kind != ERR_NOT_FOUND)
            return -1;
        *ret = WAIT_DONE;
        return 0;
    }
    state = attachment_state(w);
    see(seen, len, state);
    if (!state[0])
        *ret = WAIT_DONE;
    w->busy = str_eq(state, "busy") ? w->busy + 1 : 0;
    if (w->busy == BUSY_LOOKS)
        log_debug("%s stays busy: something in %s still has it open", w->volume_id,
                  w->instance_id);
    return 0;
}

int ec2_wait_detached(struct aws *aws, const char *volume_id, const char *instance_id,
                      const struct wait_options *options, struct err *e)
{
    struct wait_options o = with_default(options, 10 * MINUTE_NS);
    struct volume_wait w = {.volume_id = volume_id, .instance_id = instance_id};
    auto_free char *what =
        str_fmt(e, "volume %s to be detached from %s", volume_id, instance_id);
    int done = what ? aws_wait(aws, what, look_detached, &w, &o, e) : -1;

    if (done < 0 && e->kind == ERR_TIMEOUT && w.busy) {
        err_prefix(e,
                   "something in %s still has %s open: unmount it, close the device, "
                   "try again",
                   instance_id, volume_id);
        e->kind = ERR_BUSY;
    }
    ec2_volume_release(&w.last);
    return done;
}

/* ---- Snapshots ---- */

struct snapshot_wait {
    const char *id;
    const struct progress *progress;
    struct ec2_snapshot last; /* owned */
};

/* "45%" of size GiB. */
static void report(const struct snapshot_wait *w)
{
    struct progress_state p = {.what = "snapshot", .eta_s = UINT64_MAX};
    char *end;
    unsigned long percent = strtoul(w->last.progress, &end, 10);

    if (end == w->last.progress || percent > 100 || w->last.size_gib > UINT32_MAX)
        return;
    p.total_bytes = w->last.size_gib * GIB_BYTES;
    p.done_bytes = p.total_bytes / 100 * percent;
    if (percent == 100)
        p.done_bytes = p.total_bytes;
    progress_report(w->progress, &p);
}

static int look_snapshot(struct aws *aws, void *ctx, enum wait_state *ret, char *seen,
                         size_t len, struct err *e)
{
    struct snapshot_wait *w = ctx;
    struct ec2_snapshot s;

    if (ec2_describe_snapshot(aws, w->id, &s, e) < 0)
        return -1;
    ec2_snapshot_release(&w->last);
    w->last = s;
    snprintf(seen, len, "%s %s", s.state, s.progress);
    report(w);
    if (str_eq(s.state, "completed"))
        *ret = WAIT_DONE;
    if (str_eq(s.state, "error"))
        return err_set(e, ERR_CLOUD, "snapshot %s failed: %s", w->id,
                       s.state_message[0] ? s.state_message : "EC2 does not say why");
    return 0;
}

int ec2_wait_snapshot_completed(struct aws *aws, const char *snapshot_id,
                                const struct wait_options *options,
                                struct ec2_snapshot *ret, struct err *e)
{
    struct wait_options o = with_default(options, 24 * 60 * MINUTE_NS);
    struct snapshot_wait w = {.id = snapshot_id, .progress = o.progress};
    auto_free char *what = str_fmt(e, "snapshot %s to be completed", snapshot_id);
    int done = what ? aws_wait(aws, what, look_snapshot, &w, &o, e) : -1;

    if (done == 0 && ret)
        *ret = w.last;
    else
        ec2_snapshot_release(&w.last);
    return done;
}

/* ---- Images ---- */

struct image_wait {
    const char *id;
    struct ec2_image last; /* owned */
};

static int look_image(struct aws *aws, void *ctx, enum wait_state *ret, char *seen,
                      size_t len, struct err *e)
{
    struct image_wait *w = ctx;
    struct ec2_image i;

    if (ec2_describe_image(aws, w->id, &i, e) < 0)
        return -1;
    ec2_image_release(&w->last);
    w->last = i;
    see(seen, len, i.state);
    if (str_eq(i.state, "available"))
        *ret = WAIT_DONE;
    else if (!str_eq(i.state, "pending") && !str_eq(i.state, "transient"))
        return err_set(e, ERR_CLOUD, "image %s is in state %s: %s", w->id, i.state,
                       i.state_reason[0] ? i.state_reason : "EC2 does not say why");
    return 0;
}

int ec2_wait_image_available(struct aws *aws, const char *image_id,
                             const struct wait_options *options, struct ec2_image *ret,
                             struct err *e)
{
    struct wait_options o = with_default(options, 60 * MINUTE_NS);
    struct image_wait w = {.id = image_id};
    auto_free char *what = str_fmt(e, "image %s to become available", image_id);
    int done = what ? aws_wait(aws, what, look_image, &w, &o, e) : -1;

    if (done == 0 && ret)
        *ret = w.last;
    else
        ec2_image_release(&w.last);
    return done;
}

/* ---- Instances ---- */

struct instance_wait {
    const char *id, *goal;
    struct ec2_instance last; /* owned */
};

/* States from which a goal is out of reach without another call. */
static bool out_of_reach(const char *goal, const char *state)
{
    if (str_eq(goal, "terminated"))
        return false;
    if (str_eq(state, "terminated") || str_eq(state, "shutting-down"))
        return true;
    return str_eq(goal, "running") && str_eq(state, "stopping");
}

static int look_instance(struct aws *aws, void *ctx, enum wait_state *ret, char *seen,
                         size_t len, struct err *e)
{
    struct instance_wait *w = ctx;
    struct ec2_instance i;

    if (ec2_describe_instance(aws, w->id, &i, e) < 0) {
        /* EC2 forgets a terminated instance after an hour or so. */
        if (e->kind != ERR_NOT_FOUND || !str_eq(w->goal, "terminated"))
            return -1;
        *ret = WAIT_DONE;
        return 0;
    }
    ec2_instance_release(&w->last);
    w->last = i;
    see(seen, len, i.state);
    if (str_eq(i.state, w->goal))
        *ret = WAIT_DONE;
    else if (out_of_reach(w->goal, i.state))
        return err_set(e, ERR_CLOUD, "instance %s is %s instead: %s %s", w->id, i.state,
                       i.state_reason_code,
                       i.state_reason[0] ? i.state_reason : "EC2 does not say why");
    return 0;
}

static int wait_instance(struct aws *aws, const char *id, const char *goal,
                         const struct wait_options *options, uint64_t timeout_ns,
                         struct ec2_instance *ret, struct err *e)
{
    struct wait_options o = with_default(options, timeout_ns);
    struct instance_wait w = {.id = id, .goal = goal};
    auto_free char *what = str_fmt(e, "instance %s to be %s", id, goal);
    int done = what ? aws_wait(aws, what, look_instance, &w, &o, e) : -1;

    if (done == 0 && ret)
        *ret = w.last;
    else
        ec2_instance_release(&w.last);
    return done;
}

int ec2_wait_instance_running(struct aws *aws, const char *instance_id,
                              const struct wait_options *options,
                              struct ec2_instance *ret, struct err *e)
{
    return wait_instance(aws, instance_id, "running", options, 10 * MINUTE_NS, ret, e);
}

int ec2_wait_instance_stopped(struct aws *aws, const char *instance_id,
                              const struct wait_options *options,
                              struct ec2_instance *ret, struct err *e)
{
    return wait_instance(aws, instance_id, "stopped", options, 15 * MINUTE_NS, ret, e);
}

int ec2_wait_instance_terminated(struct aws *aws, const char *instance_id,
                                 const struct wait_options *options, struct err *e)
{
    return wait_instance(aws, instance_id, "terminated", options, 15 * MINUTE_NS, NULL,
                         e);
}

static int look_status(struct aws *aws, void *ctx, enum wait_state *ret, char *seen,
                       size_t len, struct err *e)
{
    const char *id = ctx;
    struct ec2_instance_status s;
    int done = 0;

    if (ec2_describe_instance_status(aws, id, &s, e) < 0)
        return -1;
    snprintf(seen, len, "instance %s, checks: system %s, instance %s", s.state,
             s.system_status, s.instance_status);
    if (str_eq(s.instance_status, "ok") && str_eq(s.system_status, "ok"))
        *ret = WAIT_DONE;
    if (out_of_reach("running", s.state) || str_eq(s.state, "stopped"))
        done = err_set(e, ERR_CLOUD, "instance %s is %s: its console output may say why",
                       id, s.state);
    ec2_instance_status_release(&s);
    return done;
}

int ec2_wait_instance_status_ok(struct aws *aws, const char *instance_id,
                                const struct wait_options *options, struct err *e)
{
    struct wait_options o = with_default(options, 10 * MINUTE_NS);
    auto_free char *what = str_fmt(e, "the status checks of instance %s", instance_id);

    /* The look only reads it. */
    return what ? aws_wait(aws, what, look_status, (void *)(uintptr_t)instance_id, &o, e)
                : -1;
}
