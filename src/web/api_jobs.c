/* Jobs, their events, and what they left as evidence; see api.h. */
#include "web/api.h"

#include "base/base64.h"
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

/* What steps kept: the instance with its checks and console, what was changed in the
 * guest, and how a test went. */
static int add_evidence(struct api *a, const char *id, json_t *o, struct err *e)
{
    static const struct {
        const char *value, *member;
    } kept[] = {{"result", "instance"},
                {"guest-report", "guest_report"},
                {"evidence", "evidence"}};

    for (size_t i = 0; i < sizeof kept / sizeof kept[0]; i++) {
        json_t *v = NULL;

        if (journal_value(a->journal, id, kept[i].value, &v, e) < 0)
            return -1;
        /* Pictures have an address of their own. */
        if (json_is_string(json_object_get(v, "screenshot_base64")) &&
            (json_object_del(v, "screenshot_base64") < 0 ||
             json_put(v, "screenshot", json_true(), e) < 0)) {
            json_decref(v);
            return -1;
        }
        if (json_put(o, kept[i].member, v ? v : json_null(), e) < 0)
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

/* A restore keeps its machine as "result", a test failover as "evidence". Borrowed from
 * *value. */
static int find_evidence(struct api *a, const char *id, const char *const members[2],
                         json_t **value, const char **ret, struct err *e)
{
    static const char *const kept[] = {"result", "evidence"};

    if (api_journal(a, e) < 0)
        return -1;
    for (size_t i = 0; i < 2; i++) {
        json_decref(*value);
        *value = NULL;
        if (journal_value(a->journal, id, kept[i], value, e) < 0)
            return -1;
        *ret = json_str_or(*value, members[i], NULL);
        if (*ret && **ret)
            return 0;
    }
    return err_set(e, ERR_NOT_FOUND, "job %s has no %s", id, members[0]);
}

/* GET /api/v1/jobs/ID/console: the end of the instance's console, as text. */
int api_job_console(struct api *a, const struct request *rq, const struct strv *names,
                    struct reply *rp, struct err *e)
{
    static const char *const members[] = {"console", "console"};
    json_auto_t *value = NULL;
    const char *text = NULL;

    if (find_evidence(a, names->v[0], members, &value, &text, e) < 0)
        return -1;
    return api_reply_text(rp, text, e);
}

/* The picture came from outside: only what begins like one is given a picture's type. */
static const char *picture_type(const struct buf *b)
{
    if (b->len > 8 && memcmp(b->data, "\x89PNG\r\n\x1a\n", 8) == 0)
        return "image/png";
    if (b->len > 3 && memcmp(b->data, "\xff\xd8\xff", 3) == 0)
        return "image/jpeg";
    return NULL;
}

/* GET /api/v1/jobs/ID/screenshot */
int api_job_screenshot(struct api *a, const struct request *rq, const struct strv *names,
                       struct reply *rp, struct err *e)
{
    static const char *const members[] = {"screenshot", "screenshot_base64"};
    json_auto_t *value = NULL;
    const char *text = NULL;

    if (find_evidence(a, names->v[0], members, &value, &text, e) < 0 ||
        base64_decode(text, strlen(text), &rp->body, e) < 0 ||
        buf_check(&rp->body, e) < 0)
        return -1;
    rp->type = picture_type(&rp->body);
    if (!rp->type)
        return err_set(e, ERR_NOT_FOUND, "the screenshot is neither PNG nor JPEG");
    rp->status = 200;
    return 0;
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
