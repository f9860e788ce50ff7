/* Replicas; see api.h. What a sync is, only src/sync knows: its JSON passes through. */
#include "web/api.h"

static int need_syncs(const struct api *a, struct err *e)
{
    return a->o->syncs ? 0 : err_set(e, ERR_NOT_FOUND, "this hotadd has no Live Sync");
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

/* GET /api/v1/syncs/NAME */
int api_sync(struct api *a, const struct request *rq, const struct strv *names,
             struct reply *rp, struct err *e)
{
    json_auto_t *o = NULL;

    if (need_syncs(a, e) < 0 ||
        a->o->syncs->show(a->o->syncs->ctx, names->v[0], &o, e) < 0)
        return -1;
    return api_reply_json(rp, 200, o, e);
}
