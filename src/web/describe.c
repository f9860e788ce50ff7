/* Jobs as JSON, with the way out of what went wrong; see describe.h. */
#include "web/describe.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/str.h"

/* Which commands go on with a job and take it back. Passes and failovers belong to their
 * sync, whose commands take its name. */
struct way_out {
    const char *kind, *resume,
        *undo;                   /* undo NULL: the next run finishes or replaces it */
    bool resume_sync, undo_sync; /* by the sync's name, not the job's id */
};

static struct way_out way_out_of(const char *kind)
{
    static const struct way_out ways[] = {
        {"sync", "sync run", NULL, true, true},
        {"test-failover", "sync test", "undo", true, false},
        {"failover", "sync failover", "sync undo-failover", true, true},
        {"failback", "sync failback", NULL, true, true},
    };

    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++)
        if (str_eq(ways[i].kind, kind))
            return ways[i];
    return (struct way_out){kind, "resume", "undo", false, false};
}

/* What the kind of an error asks for before a second try; the message has the details. */
static const char *hint_for(enum err_kind kind)
{
    switch (kind) {
    case ERR_DENIED:
        return "Credentials or a permission are missing: hotadd-aws(7) lists what the "
               "proxy's role needs. Grant it, then go on.";
    case ERR_REQUIREMENT:
        return "A requirement is not met: change what the message names, then go on.";
    case ERR_NOSPACE:
        return "Space ran out: free some where the message says, then go on.";
    case ERR_NETWORK:
    case ERR_TIMEOUT:
        return "An answer did not come: see whether the endpoint is reachable from here, "
               "then go on.";
    case ERR_BUSY:
        return "Something else holds what the job needs: wait for it or end it, then go "
               "on.";
    case ERR_INPUT:
        return "The source is damaged or not what it says: going on meets the same bytes "
               "unless it is replaced.";
    default:
        return NULL;
    }
}

static int add_mend(json_t *list, const char *action, const char *does, const char *words,
                    const char *target, const char *tail, struct err *e)
{
    auto_free char *command = str_fmt(e, "hotadd %s %s%s", words, target, tail);

    if (!command)
        return -1;
    return json_add(
        list,
        json_pack("{s:s, s:s, s:s}", "action", action, "command", command, "does", does),
        e);
}

static size_t count_made(const struct job_info *i)
{
    size_t n = 0;

    vec_foreach (r, &i->resources)
        n += r->state != JOB_RESOURCE_GONE;
    return n;
}

static int add_mends(json_t *list, const struct job_info *i, const char *tail,
                     struct err *e)
{
    struct way_out way = way_out_of(i->kind);
    const char *sync = json_str_or(i->params, "sync", i->title);
    size_t made = count_made(i);
    char does[160];

    if (i->state != JOB_UNDOING) {
        snprintf(does, sizeof does,
                 "Goes on%s%s; data that is durable is not copied again.",
                 i->error_step ? " from " : "", i->error_step ? i->error_step : "");
        if (add_mend(list, "resume", does, way.resume, way.resume_sync ? sync : i->id,
                     tail, e) < 0)
            return -1;
    }
    if (!way.undo)
        return 0;
    snprintf(does, sizeof does,
             "Removes the %zu resource%s it made, and waits until %s gone.", made,
             made == 1 ? "" : "s", made == 1 ? "it is" : "they are");
    return add_mend(list, "undo",
                    made ? does : "Closes the job, which has made nothing that is left.",
                    way.undo, way.undo_sync ? sync : i->id, tail, e);
}

/* null when nothing is wrong. */
static json_t *problem_of(const struct job_info *i, const char *tail, struct err *e)
{
    json_auto_t *mends = NULL;
    const char *what, *message = i->error.msg;
    json_t *o;

    if (i->state == JOB_FAILED)
        what = "failed";
    else if (i->state == JOB_INTERRUPTED)
        what = "interrupted";
    else if (i->state == JOB_UNDOING && !i->owner_pid)
        what = "undo is not complete";
    else
        return json_null();
    mends = json_array();
    if (!mends || add_mends(mends, i, tail, e) < 0)
        return NULL;
    if (i->error.kind == ERR_NONE)
        message = i->state == JOB_UNDOING
                      ? "The process that removed what the job made has ended early."
                      : "The process that worked on the job has ended; the journal has "
                        "all that is needed to go on.";
    o = json_pack("{s:s, s:o, s:s?, s:s?, s:O}", "what", what, "message",
                  json_any_text(message), "step", i->error_step ? i->error_step : i->step,
                  "hint", hint_for(i->error.kind), "mend", mends);
    if (!o)
        err_nomem(e);
    return o;
}

static json_t *known(uint64_t n)
{
    return n == PACE_UNKNOWN ? json_null() : json_integer((json_int_t)n);
}

json_t *describe_job(const struct job_info *i, struct pace pace,
                     enum describe_depth depth, const char *tail, struct err *e)
{
    json_auto_t *o = job_info_json(i, e);
    json_t *problem;

    if (!o)
        return NULL;
    problem = problem_of(i, tail, e);
    if (!problem || json_put(o, "problem", problem, e) < 0 ||
        json_put(o, "bytes_per_s", known(pace.bytes_per_s), e) < 0 ||
        json_put(o, "eta_s", known(pace.eta_s), e) < 0)
        return NULL;
    if (depth == DESCRIBE_SHORT) {
        json_object_del(o, "params");
        json_object_del(o, "resources");
    }
    return json_incref(o);
}

json_t *describe_event(const struct job_event_info *ev, struct err *e)
{
    char when[CLOCK_ISO_LEN];
    json_t *o = json_pack("{s:I, s:s, s:s, s:s, s:s?, s:o}", "seq", (json_int_t)ev->seq,
                          "job", ev->job, "time", clock_iso8601(when, ev->time_s),
                          "level", job_event_level_name(ev->level), "step", ev->step,
                          "message", json_any_text(ev->message));

    if (!o)
        err_nomem(e);
    return o;
}
