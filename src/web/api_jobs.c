/* Jobs, their events, and what they left as evidence; see api.h. */
#include "web/api.h"

#include "base/json.h"
#include "base/str.h"
#include "web/describe.h"
#include "web/sse.h"

#define MAX_EVENTS 1000

static bool wanted(const struct job_info *i, const char *state)
{
    bool finished = i->state == JOB_DONE || i->state == JOB_UNDONE;

    return !state || str_eq(state, job_state_name(i->state)) ||
           (str_eq(state, "open") && !finished);
}

/* GET /api/v1/jobs?state=WORD&max=N: the newest, oldest of them first. */
int api_jobs(struct api *a, const struct request *rq, const struct strv *names,
             struct reply *rp, struct err *e)
{
    auto_job_infos struct job_infos v = {0};
    auto_free char *state = NULL;
    json_auto_t *list = json_array(), *o = NULL;
    uint64_t max;

    if (request_query_get(rq->query, "state", &state, e) < 0 ||
        request_query_u64(rq->query, "max", 200, 10000, &max, e) < 0 ||
        api_journal(a, e) < 0 || journal_jobs(a->journal, &v, e) < 0)
        return -1;
    for (size_t i = v.n; i > 0 && json_array_size(list) < max; i--) {
        const struct job_info *job = &v.v[i - 1];
        json_t *one;

        if (!wanted(job, state))
            continue;
        one = describe_job(job, feed_pace(a->feed, job), DESCRIBE_SHORT, a->tail, e);
        if (!one || json_array_insert_new(list, 0, one) < 0)
            return one ? err_nomem(e) : -1;
    }
    o = json_pack("{s:O}", "jobs", list);
    return o ? api_reply_json(rp, 200, o, e) : err_nomem(e);
}

/* What steps kept: the instance with its checks and console, and what was changed in the
 * guest. */
static int add_evidence(struct api *a, const char *id, json_t *o, struct err *e)
{
    static const struct {
        const char *value, *member;
    } kept[] = {{"result", "instance"}, {"guest-report", "guest_report"}};

    for (size_t i = 0; i < sizeof kept / sizeof kept[0]; i++) {
        json_t *v = NULL;

        if (journal_value(a->journal, id, kept[i].value, &v, e) < 0 ||
            json_put(o, kept[i].member, v ? v : json_null(), e) < 0)
            return -1;
    }
    return 0;
}

/* GET /api/v1/jobs/ID */
int api_job(struct api *a, const struct request *rq, const struct strv *names,
            struct reply *rp, struct err *e)
{
    auto_job_info struct job_info i = {0};
    json_auto_t *o = NULL;

    if (api_journal(a, e) < 0 || journal_job(a->journal, names->v[0], &i, e) < 0)
        return -1;
    o = describe_job(&i, feed_pace(a->feed, &i), DESCRIBE_FULL, a->tail, e);
    if (!o || add_evidence(a, i.id, o, e) < 0)
        return -1;
    return api_reply_json(rp, 200, o, e);
}

static int reply_events(const struct job_events *v, struct reply *rp, struct err *e)
{
    json_auto_t *list = json_array(), *o = NULL;

    vec_foreach (ev, v) {
        json_t *one = describe_event(ev, e);

        if (!one || json_add(list, one, e) < 0)
            return -1;
    }
    o = json_pack("{s:O}", "events", list);
    return o ? api_reply_json(rp, 200, o, e) : err_nomem(e);
}

/* GET /api/v1/jobs/ID/events?max=N: the newest. */
int api_job_events(struct api *a, const struct request *rq, const struct strv *names,
                   struct reply *rp, struct err *e)
{
    auto_job_events struct job_events v = {0};
    uint64_t max;

    if (request_query_u64(rq->query, "max", 200, MAX_EVENTS, &max, e) < 0 ||
        api_journal(a, e) < 0 || journal_events(a->journal, names->v[0], max, &v, e) < 0)
        return -1;
    return reply_events(&v, rp, e);
}

/* GET /api/v1/events?after=SEQ&max=N: of all jobs; without `after` the newest. */
int api_events(struct api *a, const struct request *rq, const struct strv *names,
               struct reply *rp, struct err *e)
{
    auto_job_events struct job_events v = {0};
    uint64_t max, after, last;

    if (api_journal(a, e) < 0 || journal_last_event(a->journal, &last, e) < 0 ||
        request_query_u64(rq->query, "max", 100, MAX_EVENTS, &max, e) < 0 ||
        request_query_u64(rq->query, "after", last > max ? last - max : 0, INT64_MAX,
                          &after, e) < 0 ||
        journal_events_after(a->journal, after, max, &v, e) < 0)
        return -1;
    return reply_events(&v, rp, e);
}

/* GET /api/v1/jobs/ID/console: the end of the instance's console, as text. */
int api_job_console(struct api *a, const struct request *rq, const struct strv *names,
                    struct reply *rp, struct err *e)
{
    json_auto_t *result = NULL;
    const char *text;

    if (api_journal(a, e) < 0 ||
        journal_value(a->journal, names->v[0], "result", &result, e) < 0)
        return -1;
    text = json_str_or(result, "console", NULL);
    if (!text)
        return err_set(e, ERR_NOT_FOUND, "job %s has no console text", names->v[0]);
    return api_reply_text(rp, text, e);
}

/* GET /api/v1/stream */
int api_stream(struct api *a, const struct request *rq, const struct strv *names,
               struct reply *rp, struct err *e)
{
    if (rq->method == REQUEST_HEAD)
        return err_set(e, ERR_USAGE, "a stream has no end to measure: use GET");
    if (api_journal(a, e) < 0 ||
        feed_join(a->feed, a->journal, sse_last_id(rq->last_event_id), &rp->stream, e) <
            0)
        return -1;
    rp->status = 200;
    rp->type = "text/event-stream";
    return 0;
}
