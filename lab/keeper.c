/* States that change by themselves; see keeper.h.
 *
 * Each change is committed on its own, so that one that cannot be written does not hold
 * up the others. */
#include "lab/keeper.h"

#include "lab/copier.h"
#include "lab/creds.h"
#include "lab/device.h"
#include "lab/instance.h"
#include "lab/machines.h"
#include "lab/volume.h"

#include "base/log.h"
#include "base/str.h"
#include "base/vec.h"

#include <dirent.h>

#define BUSY_RETRY_MS  500
#define IDLE_ROUND_MS  2000
#define BUSY_ROUND_MS  250
#define TERMINATED_MS  3600000ll
#define TOKEN_LIFE_MS  86400000ll
#define PRUNE_EVERY_MS 600000ll

struct keeper {
    struct lab *lab;
    pthread_t thread;
};

static bool due(const json_t *doc, int64_t now)
{
    const json_t *v = json_object_get(doc, "_due");

    return v && json_integer_value(v) <= now;
}

/* ---- What needs no waiting ---- */

static int settle_attachments(json_t *doc, int64_t now, struct err *e)
{
    json_t *att;
    size_t i;

    json_array_foreach (json_object_get(doc, "attachmentSet"), i, att)
        if (due(att, now) && str_eq(json_str_or(att, "status", ""), "attaching")) {
            json_object_del(att, "_due");
            if (json_put(att, "status", json_string("attached"), e) < 0)
                return -1;
        }
    return 0;
}

static bool volume_wants(const json_t *doc, int64_t now)
{
    json_t *att;
    size_t i;

    if (due(doc, now) && !json_object_get(doc, "_copy"))
        return true;
    json_array_foreach (json_object_get(doc, "attachmentSet"), i, att)
        if (due(att, now) && str_eq(json_str_or(att, "status", ""), "attaching"))
            return true;
    return false;
}

static int settle_volume(struct lab *lab, json_t *doc, int64_t now, struct err *e)
{
    const char *status = json_str_or(doc, "status", "");

    if (due(doc, now) && !json_object_get(doc, "_copy")) {
        if (str_eq(status, "deleting"))
            return volume_delete(lab, json_str_or(doc, "volumeId", ""), e);
        json_object_del(doc, "_due");
        if (str_eq(status, "creating") &&
            json_put(doc, "status", json_string("available"), e) < 0)
            return -1;
    }
    return settle_attachments(doc, now, e);
}

static bool snapshot_wants(const json_t *doc, int64_t now)
{
    return due(doc, now) && !json_object_get(doc, "_copy");
}

static int settle_snapshot(struct lab *lab, json_t *doc, int64_t now, struct err *e)
{
    char when[LAB_TIME_LEN];

    json_object_del(doc, "_due");
    if (!str_eq(json_str_or(doc, "status", ""), "pending"))
        return 0;
    /* Begun through the EBS direct APIs and never sealed. */
    if (json_bool_or(doc, "_open", false)) {
        json_object_del(doc, "_open");
        return json_put(doc, "status", json_string("error"), e);
    }
    if (json_put(doc, "status", json_string("completed"), e) < 0 ||
        json_put(doc, "completionTime", json_string(lab_time(when, now)), e) < 0)
        return -1;
    return json_put(doc, "progress", json_string("100%"), e);
}

static bool plain_wants(const json_t *doc, int64_t now)
{
    return due(doc, now);
}

/* An image is available once its snapshots are complete. */
static int settle_image(struct lab *lab, json_t *doc, int64_t now, struct err *e)
{
    json_t *m;
    size_t i;

    json_array_foreach (json_object_get(doc, "blockDeviceMapping"), i, m) {
        const char *id = json_str_or(json_object_get(m, "ebs"), "snapshotId", "");
        const json_t *snap = store_get(lab->store, "snapshot", id);

        if (snap && str_eq(json_str_or(snap, "status", ""), "pending"))
            return 0;
    }
    json_object_del(doc, "_due");
    return json_put(doc, "imageState", json_string("available"), e);
}

static int settle_modification(struct lab *lab, json_t *doc, int64_t now, struct err *e)
{
    const char *state = json_str_or(doc, "modificationState", "");
    bool first = str_eq(state, "modifying");
    char when[LAB_TIME_LEN];

    if (json_put(doc, "modificationState",
                 json_string(first ? "optimizing" : "completed"), e) < 0 ||
        json_put(doc, "progress", json_integer(first ? 50 : 100), e) < 0)
        return -1;
    if (first)
        return json_put(doc, "_due", json_integer(now + lab->set.delay_ms), e);
    json_object_del(doc, "_due");
    return json_put(doc, "endTime", json_string(lab_time(when, now)), e);
}

static int purge_instance(struct lab *lab, json_t *doc, struct err *e)
{
    return store_delete(lab->store, "instance", json_str_or(doc, "instanceId", ""), e);
}

static int settle_instance(struct lab *lab, json_t *doc, int64_t now, struct err *e)
{
    const char *state = instance_state(doc);
    bool up = json_bool_or(doc, "_up", false);

    if (str_eq(state, "pending") && (up || !instance_boots(lab, doc))) {
        json_object_del(doc, "_due");
        json_object_del(doc, "_launching");
        return instance_set_state(doc, "running", e);
    }
    if (str_eq(state, "stopping") && !up) {
        json_object_del(doc, "_due");
        json_object_del(doc, "_force");
        return instance_set_state(doc, "stopped", e);
    }
    if (str_eq(state, "shutting-down") && !up) {
        if (instance_release(lab, doc, e) < 0 ||
            json_put(doc, "_due", json_integer(now + TERMINATED_MS), e) < 0)
            return -1;
        json_object_del(doc, "_interfaces");
        json_object_del(doc, "privateIpAddress");
        json_object_del(doc, "subnetId");
        json_object_del(doc, "vpcId");
        return instance_set_state(doc, "terminated", e);
    }
    if (str_eq(state, "terminated"))
        return purge_instance(lab, doc, e);
    return 0;
}

static bool instance_wants(const json_t *doc, int64_t now)
{
    return due(doc, now);
}

static const struct settler {
    const char *kind, *id_member;
    bool (*wants)(const json_t *doc, int64_t now);
    int (*settle)(struct lab *lab, json_t *doc, int64_t now, struct err *e);
} settlers[] = {
    {"volume", "volumeId", volume_wants, settle_volume},
    {"snapshot", "snapshotId", snapshot_wants, settle_snapshot},
    {"image", "imageId", plain_wants, settle_image},
    {"modification", "volumeId", plain_wants, settle_modification},
    {"instance", "instanceId", instance_wants, settle_instance},
};

static void settle_one(struct lab *lab, const struct settler *s, const char *id,
                       int64_t now)
{
    struct err e = ERR_INIT;
    json_t *doc;

    if (store_edit(lab->store, s->kind, id, &doc, &e) == 0 &&
        s->settle(lab, doc, now, &e) == 0 && store_commit(lab->store, &e) == 0)
        return;
    store_rollback(lab->store);
    log_warning("%s %s: %s", s->kind, id, e.msg);
}

void keeper_settle(struct lab *lab)
{
    int64_t now = lab_now_ms();
    struct err e = ERR_INIT;
    json_t *docs, *d;
    size_t i;

    for (size_t k = 0; k < sizeof settlers / sizeof settlers[0]; k++) {
        if (store_list(lab->store, settlers[k].kind, &docs, &e) < 0)
            return;
        json_array_foreach (docs, i, d)
            if (settlers[k].wants(d, now))
                settle_one(lab, &settlers[k], json_str_or(d, settlers[k].id_member, ""),
                           now);
        json_decref(docs);
    }
}

/* ---- Devices that go away ---- */

/* The first volume with an attachment that is to be taken off now. */
static bool next_detach(struct lab *lab, int64_t now, char volume[RES_ID_LEN],
                        char instance[RES_ID_LEN], bool *ret_force)
{
    struct err e = ERR_INIT;
    json_t *docs, *d, *att;
    bool found = false;
    size_t i, j;

    if (store_list(lab->store, "volume", &docs, &e) < 0)
        return false;
    json_array_foreach (docs, i, d)
        json_array_foreach (json_object_get(d, "attachmentSet"), j, att) {
            const char *status = json_str_or(att, "status", "");

            if (found || !due(att, now) ||
                (!str_eq(status, "detaching") && !str_eq(status, "busy")))
                continue;
            snprintf(volume, RES_ID_LEN, "%s", json_str_or(d, "volumeId", ""));
            snprintf(instance, RES_ID_LEN, "%s", json_str_or(att, "instanceId", ""));
            *ret_force = json_bool_or(att, "_force", false);
            found = true;
        }
    json_decref(docs);
    return found;
}

static int note_detached(struct lab *lab, const char *volume, const char *instance,
                         bool busy, struct err *e)
{
    json_t *doc, *att;

    if (store_edit(lab->store, "volume", volume, &doc, e) < 0)
        return e->kind == ERR_NOT_FOUND ? 0 : -1;
    att = volume_attachment(doc, instance);
    if (!att)
        return 0;
    if (busy) {
        if (json_put(att, "status", json_string("busy"), e) < 0 ||
            json_put(att, "_due", json_integer(lab_now_ms() + BUSY_RETRY_MS), e) < 0)
            return -1;
    } else if (volume_drop_attachment(doc, instance, e) < 0) {
        return -1;
    }
    return store_commit(lab->store, e);
}

/* With the lock held; lets it go while the device is taken away. */
static void detach_due(struct lab *lab)
{
    char volume[RES_ID_LEN], instance[RES_ID_LEN];
    int64_t now = lab_now_ms();
    bool force, busy;

    while (!lab->stopping && next_detach(lab, now, volume, instance, &force)) {
        const json_t *owner = store_get(lab->store, "instance", instance);
        bool proxy = owner && instance_is_proxy(owner);
        struct err e = ERR_INIT;

        busy = false;
        if (proxy) {
            pthread_mutex_unlock(&lab->lock);
            if (device_detach(lab->state_dir, volume, force, &busy, &e) < 0) {
                log_warning("%s: detach: %s", volume, e.msg);
                busy = true;
            }
            pthread_mutex_lock(&lab->lock);
        }
        if (note_detached(lab, volume, instance, busy, &e) < 0) {
            store_rollback(lab->store);
            log_warning("%s: detach: %s", volume, e.msg);
            return;
        }
    }
}

/* ---- Old things ---- */

static void prune(struct lab *lab)
{
    int64_t now = lab_now_ms();
    struct err e = ERR_INIT;
    json_t *tokens = NULL, *d;
    const char *key;
    size_t i;
    int r;

    r = store_list(lab->store, "token", &tokens, &e);
    json_array_foreach (tokens, i, d) {
        key = json_str_or(d, "key", "");
        if (r == 0 && *key &&
            now - json_integer_value(json_object_get(d, "_made")) > TOKEN_LIFE_MS)
            r = store_delete(lab->store, "token", key, &e);
    }
    json_decref(tokens);
    if (r < 0 || creds_prune(lab, &e) < 0 || store_commit(lab->store, &e) < 0) {
        store_rollback(lab->store);
        log_warning("clean up: %s", e.msg);
    }
}

/* ---- The thread ---- */

/* The earliest `_due` of documents and attachments. */
static int64_t next_due(struct lab *lab, int64_t limit)
{
    struct err e = ERR_INIT;
    json_t *docs, *d, *att;
    size_t i, j;

    for (size_t k = 0; k < sizeof settlers / sizeof settlers[0]; k++) {
        if (store_list(lab->store, settlers[k].kind, &docs, &e) < 0)
            return limit;
        json_array_foreach (docs, i, d) {
            const json_t *v = json_object_get(d, "_due");

            if (v && json_integer_value(v) < limit)
                limit = json_integer_value(v);
            json_array_foreach (json_object_get(d, "attachmentSet"), j, att) {
                v = json_object_get(att, "_due");
                if (v && json_integer_value(v) < limit)
                    limit = json_integer_value(v);
            }
        }
        json_decref(docs);
    }
    return limit;
}

static void wait_for_work(struct lab *lab)
{
    int64_t now = lab_now_ms();
    int64_t most = now + (machines_any(lab) ? BUSY_ROUND_MS : IDLE_ROUND_MS);
    int64_t until = next_due(lab, most);
    struct timespec ts;

    /* What is due but cannot go on yet (a copy, a machine) is not worth spinning. */
    if (until < now + 10)
        until = now + 10;
    ts.tv_sec = (time_t)(until / 1000);
    ts.tv_nsec = (long)(until % 1000) * 1000000;
    pthread_cond_timedwait(&lab->wake, &lab->lock, &ts);
}

static void *keeper_main(void *arg)
{
    struct keeper *k = arg;
    struct lab *lab = k->lab;
    int64_t pruned = 0;

    pthread_mutex_lock(&lab->lock);
    while (!lab->stopping) {
        machines_tick(lab);
        keeper_settle(lab);
        detach_due(lab);
        if (lab_now_ms() - pruned > PRUNE_EVERY_MS) {
            prune(lab);
            pruned = lab_now_ms();
        }
        if (!lab->stopping)
            wait_for_work(lab);
    }
    pthread_mutex_unlock(&lab->lock);
    return NULL;
}

int keeper_start(struct lab *lab, struct keeper **ret, struct err *e)
{
    struct keeper *k = mem_zalloc(1, sizeof *k, e);
    int n;

    if (!k)
        return -1;
    k->lab = lab;
    n = pthread_create(&k->thread, NULL, keeper_main, k);
    if (n) {
        free(k);
        return err_sys_n(e, n, "start the lab's keeper thread");
    }
    *ret = k;
    return 0;
}

void keeper_stop(struct keeper *k)
{
    if (!k)
        return;
    pthread_mutex_lock(&k->lab->lock);
    k->lab->stopping = true;
    pthread_cond_broadcast(&k->lab->wake);
    pthread_mutex_unlock(&k->lab->lock);
    pthread_join(k->thread, NULL);
    free(k);
}

/* ---- Start-up ---- */

static int forget_machines(struct lab *lab, struct err *e)
{
    json_t *docs, *d, *doc;
    size_t i;
    int r = 0;

    if (store_list(lab->store, "instance", &docs, e) < 0)
        return -1;
    json_array_foreach (docs, i, d)
        if (r == 0 && json_bool_or(d, "_up", false)) {
            r = store_edit(lab->store, "instance", json_str_or(d, "instanceId", ""), &doc,
                           e);
            if (r == 0)
                r = json_put(doc, "_up", json_false(), e);
        }
    json_decref(docs);
    return r < 0 ? -1 : store_commit(lab->store, e);
}

/* The volumes of the proxy instance and the paths of their files. */
static int proxy_volumes(struct lab *lab, json_t **ret_volumes, json_t **ret_paths,
                         struct err *e)
{
    const char *proxy = lab_meta(lab, "proxy");
    json_t *paths = json_array(), *volumes, *v;
    size_t i;
    int r = 0;

    if (!paths)
        return err_nomem(e);
    if (volumes_of_instance(lab, proxy ? proxy : "", &volumes, e) < 0) {
        json_decref(paths);
        return -1;
    }
    json_array_foreach (volumes, i, v) {
        auto_free char *path = lab_volume_path(lab, json_str_or(v, "volumeId", ""), e);

        if (r == 0)
            r = path ? json_add(paths, json_string(path), e) : -1;
    }
    if (r < 0) {
        json_decref(paths);
        json_decref(volumes);
        return -1;
    }
    *ret_volumes = volumes;
    *ret_paths = paths;
    return 0;
}

static int resync_devices(struct lab *lab, struct err *e)
{
    struct VEC(struct device_attached) want = {0};
    const char *proxy = lab_meta(lab, "proxy");
    json_t *volumes = NULL, *paths = NULL, *v;
    size_t i;
    int r = 0;

    if (proxy_volumes(lab, &volumes, &paths, e) < 0)
        return -1;
    json_array_foreach (volumes, i, v) {
        const json_t *att = volume_attachment(v, proxy ? proxy : "");
        const json_t *owner = store_get(lab->store, "instance", proxy ? proxy : "");
        struct device_attached d = {json_str_or(v, "volumeId", ""),
                                    json_string_value(json_array_get(paths, i))};

        /* The proxy's own root is this machine's. */
        if (r == 0 && !device_names_clash(json_str_or(att, "device", ""),
                                          json_str_or(owner, "rootDeviceName", "")))
            r = vec_push(&want, d, e);
    }
    if (r == 0)
        r = device_resync(lab->state_dir, want.v, want.n, e);
    vec_release(&want);
    json_decref(volumes);
    json_decref(paths);
    return r;
}

/* Removes vol-….raw, snap-….raw and snap-….sums files that no document names. */
static void sweep(struct lab *lab, const char *sub, const char *kind)
{
    struct err e = ERR_INIT;
    auto_free char *dir = str_fmt(&e, "%s/%s", lab->state_dir, sub);
    DIR *d = dir ? opendir(dir) : NULL;
    struct dirent *de;

    while (d && (de = readdir(d))) {
        char id[RES_ID_LEN];
        size_t n = strcspn(de->d_name, ".");

        if (n >= sizeof id ||
            (!str_eq(de->d_name + n, ".raw") && !str_eq(de->d_name + n, ".sums")))
            continue;
        memcpy(id, de->d_name, n);
        id[n] = 0;
        if (res_type_of_id(id) && !store_get(lab->store, kind, id))
            unlinkat(dirfd(d), de->d_name, 0);
    }
    if (d)
        closedir(d);
}

int keeper_recover(struct lab *lab, struct err *e)
{
    if (!lab->set.no_machines && vm_reap_stale(lab->state_dir, e) < 0)
        return -1;
    if (forget_machines(lab, e) < 0) {
        store_rollback(lab->store);
        return -1;
    }
    sweep(lab, "volumes", "volume");
    sweep(lab, "snapshots", "snapshot");
    return resync_devices(lab, e);
}
