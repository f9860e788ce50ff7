/* Replicas and the evidence of their tests; see api.h. What a sync is, only src/sync
 * knows: its JSON passes through, but for pictures, which have addresses of their own. */
#include "web/api.h"

#include "base/base64.h"
#include "base/json.h"
#include "base/str.h"

static int need_syncs(const struct api *a, struct err *e)
{
    return a->o->syncs ? 0 : err_set(e, ERR_NOT_FOUND, "this hotadd has no Live Sync");
}

/* Its name in a path: what says which test it was. */
static const char *test_name(const json_t *test)
{
    return json_str_or(test, "job", json_str_or(test, "id", ""));
}

/* GET /api/v1/syncs */
int api_syncs(struct api *a, const struct request *rq, const struct strv *names,
              struct reply *rp, struct err *e)
{
    json_auto_t *list = NULL, *o = NULL;

    if (a->o->syncs && a->o->syncs->list(a->o->syncs->ctx, &list, e) < 0)
        return -1;
    o = list ? json_pack("{s:O}", "syncs", list) : json_pack("{s:[]}", "syncs");
    return o ? api_reply_json(rp, 200, o, e) : err_nomem(e);
}

/* Pictures are large: their place says only that there is one. */
static int set_pictures_aside(json_t *show, struct err *e)
{
    json_t *tests = json_object_get(show, "tests"), *t;
    size_t i;

    json_array_foreach (tests, i, t)
        if (json_is_string(json_object_get(t, "screenshot")) &&
            json_put(t, "screenshot", json_true(), e) < 0)
            return -1;
    return 0;
}

/* GET /api/v1/syncs/NAME */
int api_sync(struct api *a, const struct request *rq, const struct strv *names,
             struct reply *rp, struct err *e)
{
    json_auto_t *o = NULL;

    if (need_syncs(a, e) < 0 ||
        a->o->syncs->show(a->o->syncs->ctx, names->v[0], &o, e) < 0 ||
        set_pictures_aside(o, e) < 0)
        return -1;
    return api_reply_json(rp, 200, o, e);
}

/* The member of the test names[1] of the sync names[0]; *show owns it. */
static int find_test_text(struct api *a, const struct strv *names, const char *member,
                          json_t **show, const char **ret, struct err *e)
{
    const json_t *t;
    size_t i;

    if (need_syncs(a, e) < 0 ||
        a->o->syncs->show(a->o->syncs->ctx, names->v[0], show, e) < 0)
        return -1;
    json_array_foreach (json_object_get(*show, "tests"), i, t)
        if (str_eq(test_name(t), names->v[1])) {
            *ret = json_str_or(t, member, NULL);
            if (*ret && **ret)
                return 0;
        }
    return err_set(e, ERR_NOT_FOUND, "test %s of sync %s has no %s", names->v[1],
                   names->v[0], member);
}

/* GET /api/v1/syncs/NAME/tests/TEST/console */
int api_sync_console(struct api *a, const struct request *rq, const struct strv *names,
                     struct reply *rp, struct err *e)
{
    json_auto_t *show = NULL;
    const char *text = NULL;

    if (find_test_text(a, names, "console", &show, &text, e) < 0)
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

/* GET /api/v1/syncs/NAME/tests/TEST/screenshot */
int api_sync_screenshot(struct api *a, const struct request *rq, const struct strv *names,
                        struct reply *rp, struct err *e)
{
    json_auto_t *show = NULL;
    const char *text = NULL;

    if (find_test_text(a, names, "screenshot", &show, &text, e) < 0 ||
        base64_decode(text, strlen(text), &rp->body, e) < 0 ||
        buf_check(&rp->body, e) < 0)
        return -1;
    rp->type = picture_type(&rp->body);
    if (!rp->type)
        return err_set(e, ERR_NOT_FOUND, "the screenshot is neither PNG nor JPEG");
    rp->status = 200;
    return 0;
}
