/* Actions: POST with the name of what is acted on, typed by whoever means it; see api.h.
 * The words of the command are ours and names that were checked: nothing of a request
 * becomes an option. */
#include "web/api.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/str.h"

/* The body must name what is acted on once more. */
static int confirmed(const struct request *rq, const char *name, json_t **ret,
                     struct err *e)
{
    if (request_json(rq, ret, e) < 0)
        return -1;
    if (!str_eq(json_str_or(*ret, "confirm", ""), name))
        return err_set(e, ERR_INPUT, "to confirm, give \"confirm\": \"%s\"", name);
    return 0;
}

static int start(struct api *a, const struct strv *words, struct reply *rp, struct err *e)
{
    json_auto_t *action = NULL;

    if (actions_run(a->actions, words, &action, e) < 0)
        return -1;
    return api_reply_json(rp, 202, action, e);
}

/* POST /api/v1/jobs/ID/actions/{resume,undo} */
int api_job_act(struct api *a, const struct request *rq, const struct strv *names,
                struct reply *rp, struct err *e)
{
    auto_job_info struct job_info i = {0};
    auto_strv struct strv words = {0};
    json_auto_t *body = NULL;
    const char *id = names->v[0], *action = names->v[1];
    bool undo = str_eq(action, "undo");

    if (!undo && !str_eq(action, "resume"))
        return err_set(e, ERR_NOT_FOUND, "jobs have no action %.40s: resume, undo",
                       action);
    if (confirmed(rq, id, &body, e) < 0 || api_journal(a, e) < 0 ||
        journal_job(a->journal, id, &i, e) < 0)
        return -1;
    if (i.owner_pid)
        return err_set(e, ERR_BUSY, "job %s: process %ld works on it", id,
                       (long)i.owner_pid);
    if (strv_add(&words, action, e) < 0 || strv_add(&words, id, e) < 0)
        return -1;
    if (undo && json_bool_or(body, "done", false) && strv_add(&words, "--done", e) < 0)
        return -1;
    return start(a, &words, rp, e);
}

/* A point is chosen by the time of its backup. */
static int add_point(const json_t *body, struct strv *words, struct err *e)
{
    const char *at = json_str_or(body, "at", NULL);
    int64_t when_s;

    if (!at)
        return 0;
    if (clock_parse_iso8601(at, &when_s, e) < 0) {
        e->kind = ERR_INPUT;
        return err_prefix(e, "\"at\"");
    }
    return strv_add(words, "--at", e) < 0 || strv_add(words, at, e) < 0 ? -1 : 0;
}

/* POST /api/v1/syncs/NAME/actions/ACTION */
int api_sync_act(struct api *a, const struct request *rq, const struct strv *names,
                 struct reply *rp, struct err *e)
{
    static const struct {
        const char *name;
        bool at, planned;
    } known[] = {
        {"run", false, false},           {"pause", false, false},
        {"resume", false, false},        {"resync", false, false},
        {"test", true, false},           {"failover", true, true},
        {"undo-failover", false, false}, {"failback", false, false},
    };
    auto_strv struct strv words = {0};
    json_auto_t *body = NULL, *show = NULL;
    const char *name = names->v[0];
    size_t i = 0, n = sizeof known / sizeof known[0];

    while (i < n && !str_eq(known[i].name, names->v[1]))
        i++;
    if (i == n || !a->o->syncs)
        return err_set(e, ERR_NOT_FOUND, "syncs have no action %.40s", names->v[1]);
    if (confirmed(rq, name, &body, e) < 0 ||
        a->o->syncs->show(a->o->syncs->ctx, name, &show, e) < 0)
        return -1;
    if (strv_add(&words, "sync", e) < 0 || strv_add(&words, known[i].name, e) < 0 ||
        strv_add(&words, name, e) < 0 || (known[i].at && add_point(body, &words, e) < 0))
        return -1;
    if (known[i].planned && json_bool_or(body, "planned", false) &&
        strv_add(&words, "--planned", e) < 0)
        return -1;
    return start(a, &words, rp, e);
}

/* GET /api/v1/actions */
int api_actions(struct api *a, const struct request *rq, const struct strv *names,
                struct reply *rp, struct err *e)
{
    json_auto_t *list = NULL, *o = NULL;

    if (actions_list(a->actions, &list, e) < 0)
        return -1;
    o = json_pack("{s:O}", "actions", list);
    return o ? api_reply_json(rp, 200, o, e) : err_nomem(e);
}
