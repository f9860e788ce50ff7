/* VM Import's thread; see importer.h.
 *
 * Files are read and written without the lab's lock. A snapshot's file exists before its
 * document does: what a crash leaves in between is swept at the next start, and the
 * stage begins anew. */
#include "lab/importer.h"

#include "lab/copier.h"
#include "lab/import_disk.h"
#include "lab/s3_store.h"

#include "base/auto.h"
#include "base/log.h"
#include "base/str.h"

#include <sys/stat.h>
#include <time.h>

#define MAX_WAIT_MS 60000

struct importer {
    struct lab *lab;
    pthread_t thread;
    pthread_cond_t work;   /* with the lab's lock: there is some, or stopping */
    bool stopping;         /* guarded by the lab's lock */
    char task[RES_ID_LEN]; /* under way, "" for none; guarded by the lab's lock */
    struct cancel cancel;  /* of the child under way; made anew under the lab's lock */
    unsigned shown;        /* percent last written down */
};

/* A task while its disks are worked on: copies, for when the lock is let go. */
struct job {
    const char *kind; /* of the store */
    char id[RES_ID_LEN];
    json_t *disks; /* owned, deep */
};

static const char *const kinds[] = {"import-image-task", "import-snapshot-task"};

static bool task_ends(const char *stage)
{
    return !*stage;
}

static int edit(struct importer *m, const struct job *j, json_t **ret, struct err *e)
{
    return store_edit(m->lab->store, j->kind, j->id, ret, e);
}

/* The same for a stage that is to go on: not when the task was cancelled meanwhile. */
static int edit_active(struct importer *m, const struct job *j, json_t **ret,
                       struct err *e)
{
    if (edit(m, j, ret, e) < 0)
        return -1;
    return str_eq(json_str_or(*ret, "_stage", ""), "cancelling")
               ? err_set(e, ERR_CANCELLED, "cancelled")
               : 0;
}

static int next_stage(struct importer *m, json_t *task, const char *stage, struct err *e)
{
    if (json_put(task, "_stage", json_string(stage), e) < 0)
        return -1;
    return json_put(task, "_due", json_integer(lab_now_ms() + m->lab->set.delay_ms), e);
}

/* ---- Ends ---- */

static int end_task(json_t *task, const char *status, const char *message, struct err *e)
{
    json_object_del(task, "_stage");
    json_object_del(task, "_due");
    json_object_del(task, "_fail");
    return import_report(task, status, message, 0, e);
}

/* What was made for a task that failed goes. */
static int drop_snapshots(struct importer *m, json_t *task, struct err *e)
{
    const json_t *d;

    for (size_t i = 0; (d = import_detail(task, i)); i++) {
        const char *id = json_string_value(json_object_get(d, "snapshotId"));
        auto_free char *path = id ? lab_snapshot_path(m->lab, id, e) : NULL;

        if (id && (!path || store_delete(m->lab->store, "snapshot", id, e) < 0))
            return -1;
        if (id)
            unlink(path);
        json_object_del(import_detail(task, i), "snapshotId");
    }
    return 0;
}

static int fail_task(struct importer *m, const struct job *j, const char *message,
                     struct err *e)
{
    json_t *task;

    if (edit(m, j, &task, e) < 0 || drop_snapshots(m, task, e) < 0)
        return -1;
    return end_task(task, "deleted", message, e);
}

/* ---- Disks, without the lock ---- */

static int open_object(struct importer *m, const json_t *disk, int *ret_fd, struct err *e)
{
    const char *bucket = json_str_or(disk, "bucket", "");
    struct s3_object o = {0};
    int r = s3_object_find(m->lab->s3, bucket, json_str_or(disk, "key", ""), &o, e);

    if (r == 0)
        r = s3_store_open_file(m->lab->s3, o.file, ret_fd, e);
    s3_object_release(&o);
    if (r < 0 && e->kind == ERR_CLOUD)
        return err_set(e, ERR_INPUT,
                       "ClientError: Disk validation failed [We do not have access to "
                       "the given resource. Reason 404 Not Found]");
    return r;
}

static int measure_object(struct importer *m, json_t *disk, struct err *e)
{
    auto_fd int fd = -1;
    uint64_t bytes = 0;
    struct stat st;

    if (open_object(m, disk, &fd, e) < 0)
        return -1;
    if (fstat(fd, &st) < 0)
        return err_sys(e, "size of the object");
    if (import_disk_size(fd, json_str_or(disk, "format", ""), &m->cancel, &bytes, e) < 0)
        return -1;
    if (bytes > IMPORT_MAX_BYTES)
        return err_set(e, ERR_INPUT,
                       "ClientError: Disk validation failed [The disk is larger than 8 "
                       "TiB]");
    if (json_put(disk, "gib",
                 json_integer((json_int_t)((bytes + (1ull << 30) - 1) >> 30)), e) < 0)
        return -1;
    return json_put(disk, "stored", json_integer((json_int_t)st.st_size), e);
}

static void show_progress(void *ctx, unsigned percent)
{
    struct importer *m = ctx;
    struct err e = ERR_INIT;
    json_t *task;

    if (percent < m->shown + 5)
        return;
    m->shown = percent;
    pthread_mutex_lock(&m->lab->lock);
    for (size_t k = 0; k < 2; k++) {
        if (!store_get(m->lab->store, kinds[k], m->task))
            continue;
        /* Of an image's task the conversion is the part from 19 to 39. */
        if (store_edit(m->lab->store, kinds[k], m->task, &task, &e) < 0 ||
            import_report(task, NULL, NULL,
                          (int)(k == 0 ? 19 + percent / 5 : percent * 9 / 10), &e) < 0 ||
            store_commit(m->lab->store, &e) < 0)
            store_rollback(m->lab->store);
    }
    pthread_mutex_unlock(&m->lab->lock);
}

static int make_file(struct importer *m, const json_t *disk, const char *id,
                     struct err *e)
{
    const char *from = json_string_value(json_object_get(disk, "snapshot"));
    uint64_t bytes = json_u64_or(disk, "gib", 0) << 30;
    auto_free char *path = lab_snapshot_path(m->lab, id, e);
    auto_free char *source = NULL;
    auto_fd int fd = -1;

    if (!path)
        return -1;
    if (from) {
        source = lab_snapshot_path(m->lab, from, e);
        return source ? copier_copy_file(source, path, bytes, e) : -1;
    }
    m->shown = 0;
    if (open_object(m, disk, &fd, e) < 0)
        return -1;
    return import_disk_convert(fd, json_str_or(disk, "format", ""), path, bytes,
                               &m->cancel, show_progress, m, e);
}

static int measure_disks(struct importer *m, const struct job *j, struct err *e)
{
    json_t *d;
    size_t i;

    json_array_foreach (j->disks, i, d)
        if (!json_object_get(d, "snapshot") && measure_object(m, d, e) < 0)
            return -1;
    return 0;
}

/* An image's first disk must look like one that boots. */
static int look_at_disk(struct importer *m, const struct job *j, json_t *disk,
                        const char *id, struct err *e)
{
    auto_free char *path = lab_snapshot_path(m->lab, id, e);
    struct import_traits t;

    if (!path || import_disk_traits(path, &t, e) < 0)
        return -1;
    if (!t.partitions)
        return err_set(e, ERR_INPUT,
                       "ClientError: No valid partitions. Not a valid volume.");
    if (json_put(disk, "uefi", json_boolean(t.uefi), e) < 0)
        return -1;
    return json_put(disk, "ntfs", json_boolean(t.ntfs), e);
}

static int make_files(struct importer *m, const struct job *j, struct err *e)
{
    char id[RES_ID_LEN];
    json_t *d;
    size_t i;

    json_array_foreach (j->disks, i, d) {
        res_new_id(RES_SNAPSHOT, id);
        if (json_put(d, "made", json_string(id), e) < 0 || make_file(m, d, id, e) < 0)
            return -1;
        if (i == 0 && j->kind == kinds[0] && look_at_disk(m, j, d, id, e) < 0)
            return -1;
    }
    return 0;
}

/* Files of a conversion that came to nothing. */
static void remove_files(struct importer *m, const struct job *j)
{
    json_t *d;
    size_t i;

    json_array_foreach (j->disks, i, d) {
        const char *id = json_string_value(json_object_get(d, "made"));
        struct err e = ERR_INIT;
        auto_free char *path = id ? lab_snapshot_path(m->lab, id, &e) : NULL;

        if (path && !store_get(m->lab->store, "snapshot", id))
            unlink(path);
    }
}

/* ---- Stages; with the lock, which those that touch files let go ---- */

static int stage_pending(struct importer *m, struct job *j, struct err *e)
{
    json_t *task;

    if (edit_active(m, j, &task, e) < 0 ||
        import_report(task, "active", import_is_image(task) ? "validating" : "pending", 2,
                      e) < 0)
        return -1;
    return next_stage(m, task, "validating", e);
}

static int keep_measures(const struct job *j, json_t *task, struct err *e)
{
    json_t *d;
    size_t i;

    json_array_foreach (j->disks, i, d) {
        json_t *detail = import_detail(task, i), *stored = json_object_get(d, "stored");

        if (stored && json_object_set(detail, "diskImageSize", stored) < 0)
            return err_nomem(e);
    }
    return json_object_set(task, "_disks", j->disks) < 0 ? err_nomem(e) : 0;
}

static int stage_validating(struct importer *m, struct job *j, struct err *e)
{
    const char *fail;
    json_t *task;
    int r;

    pthread_mutex_unlock(&m->lab->lock);
    r = measure_disks(m, j, e);
    pthread_mutex_lock(&m->lab->lock);
    if (r < 0 || edit_active(m, j, &task, e) < 0)
        return -1;
    fail = json_string_value(json_object_get(task, "_fail"));
    if (fail)
        return err_set(e, ERR_INPUT, "%s", fail);
    if (keep_measures(j, task, e) < 0 ||
        import_report(task, "active",
                      import_is_image(task) ? "converting" : "downloading/converting", 19,
                      e) < 0)
        return -1;
    return next_stage(m, task, "converting", e);
}

static int keep_snapshots(struct importer *m, const struct job *j, json_t *task,
                          struct err *e)
{
    json_t *d;
    size_t i;

    json_array_foreach (j->disks, i, d) {
        const char *id = json_str_or(d, "made", "");
        json_t *detail = import_detail(task, i);

        if (import_add_snapshot(m->lab, task, id, json_u64_or(d, "gib", 0), e) < 0 ||
            json_put(detail, "snapshotId", json_string(id), e) < 0 ||
            json_put(detail, "status", json_string("completed"), e) < 0)
            return -1;
        json_object_del(detail, "progress");
        json_object_del(detail, "statusMessage");
    }
    return json_object_set(task, "_disks", j->disks) < 0 ? err_nomem(e) : 0;
}

static int stage_converting(struct importer *m, struct job *j, struct err *e)
{
    json_t *task;
    int r;

    pthread_mutex_unlock(&m->lab->lock);
    r = make_files(m, j, e);
    pthread_mutex_lock(&m->lab->lock);
    if (r == 0)
        r = edit_active(m, j, &task, e);
    if (r < 0 || keep_snapshots(m, j, task, e) < 0)
        return -1;
    if (!import_is_image(task))
        return end_task(task, "completed", "", e);
    if (import_report(task, "active", "updating", 39, e) < 0)
        return -1;
    return next_stage(m, task, "updating", e);
}

/* What Amazon does inside the guest, the lab only takes its time for. */
static int stage_waiting(struct importer *m, struct job *j, const char *message,
                         int progress, const char *next, struct err *e)
{
    json_t *task;

    if (edit_active(m, j, &task, e) < 0 ||
        import_report(task, "active", message, progress, e) < 0)
        return -1;
    return next_stage(m, task, next, e);
}

static int stage_preparing(struct importer *m, struct job *j, struct err *e)
{
    json_t *task;

    if (edit_active(m, j, &task, e) < 0 || import_add_image(m->lab, task, e) < 0)
        return -1;
    return end_task(task, "completed", "", e);
}

static int stage_cancelling(struct importer *m, struct job *j, struct err *e)
{
    json_t *task;

    if (edit(m, j, &task, e) < 0 || drop_snapshots(m, task, e) < 0)
        return -1;
    return end_task(task, "deleted",
                    json_str_or(task, "_reason",
                                "User initiated task "
                                "cancelation"),
                    e);
}

static int run_stage(struct importer *m, struct job *j, const char *stage, struct err *e)
{
    if (str_eq(stage, "pending"))
        return stage_pending(m, j, e);
    if (str_eq(stage, "validating"))
        return stage_validating(m, j, e);
    if (str_eq(stage, "converting"))
        return stage_converting(m, j, e);
    if (str_eq(stage, "updating"))
        return stage_waiting(m, j, "booting", 58, "booting", e);
    if (str_eq(stage, "booting"))
        return stage_waiting(m, j, "preparing ami", 76, "preparing", e);
    if (str_eq(stage, "preparing"))
        return stage_preparing(m, j, e);
    return stage_cancelling(m, j, e);
}

/* ---- The thread ---- */

/* Takes the task that has waited longest; *ret_until is when the next one is due. */
static bool next_job(struct importer *m, struct job *j, char stage[24],
                     int64_t *ret_until)
{
    int64_t now = lab_now_ms(), best = INT64_MAX;
    struct err e = ERR_INIT;
    json_t *docs, *d;
    size_t i;

    for (size_t k = 0; k < 2; k++) {
        if (store_list(m->lab->store, kinds[k], &docs, &e) < 0)
            break;
        json_array_foreach (docs, i, d) {
            int64_t due = json_integer_value(json_object_get(d, "_due"));

            if (task_ends(json_str_or(d, "_stage", "")) || due >= best)
                continue;
            best = due;
            j->kind = kinds[k];
            snprintf(j->id, sizeof j->id, "%s", json_str_or(d, "importTaskId", ""));
            snprintf(stage, 24, "%s", json_str_or(d, "_stage", ""));
        }
        json_decref(docs);
    }
    *ret_until = best < now + MAX_WAIT_MS ? best : now + MAX_WAIT_MS;
    if (best > now)
        return false;
    j->disks = json_deep_copy(
        json_object_get(store_get(m->lab->store, j->kind, j->id), "_disks"));
    return j->disks != NULL;
}

/* Writes down how the stage ended. A cancelled child is no failure: the task's document
 * says what comes next. */
static void settle(struct importer *m, struct job *j, int r, const struct err *why)
{
    struct err e = ERR_INIT;

    if (r == 0)
        r = store_commit(m->lab->store, &e);
    else
        e = *why;
    if (r == 0)
        return;
    store_rollback(m->lab->store);
    remove_files(m, j);
    if (e.kind == ERR_CANCELLED)
        return;
    log_warning("%s: %s", j->id, e.msg);
    if (fail_task(m, j,
                  why->kind == ERR_INPUT ? why->msg
                                         : "ServerError: an internal "
                                           "error has occurred during "
                                           "conversion.",
                  &e) < 0 ||
        store_commit(m->lab->store, &e) < 0) {
        store_rollback(m->lab->store);
        log_warning("%s: %s", j->id, e.msg);
        /* The disk is full even for the note: not at once again. */
        pthread_mutex_unlock(&m->lab->lock);
        usleep(500 * 1000);
        pthread_mutex_lock(&m->lab->lock);
    }
}

static void run_job(struct importer *m, struct job *j, const char *stage)
{
    struct err e = ERR_INIT;
    int r;

    snprintf(m->task, sizeof m->task, "%s", j->id);
    r = cancel_init(&m->cancel, &e);
    if (r == 0)
        r = run_stage(m, j, stage, &e);
    settle(m, j, r, &e);
    m->task[0] = 0;
    cancel_release(&m->cancel);
    json_decref(j->disks);
    pthread_cond_broadcast(&m->lab->wake);
}

static void *importer_main(void *arg)
{
    struct importer *m = arg;
    struct job j = {0};
    char stage[24];
    int64_t until;

    pthread_mutex_lock(&m->lab->lock);
    while (!m->stopping) {
        if (next_job(m, &j, stage, &until)) {
            run_job(m, &j, stage);
            memset(&j, 0, sizeof j);
        } else {
            struct timespec ts = {.tv_sec = (time_t)(until / 1000),
                                  .tv_nsec = (long)(until % 1000) * 1000000};

            pthread_cond_timedwait(&m->work, &m->lab->lock, &ts);
        }
    }
    pthread_mutex_unlock(&m->lab->lock);
    return NULL;
}

int importer_start(struct lab *lab, struct err *e)
{
    struct importer *m = mem_zalloc(1, sizeof *m, e);
    int n;

    if (!m)
        return -1;
    m->lab = lab;
    pthread_cond_init(&m->work, NULL);
    n = pthread_create(&m->thread, NULL, importer_main, m);
    if (n) {
        free(m);
        return err_sys_n(e, n, "start the importing thread");
    }
    lab->importer = m;
    return 0;
}

void importer_stop(struct importer *m)
{
    if (!m)
        return;
    pthread_mutex_lock(&m->lab->lock);
    m->stopping = true;
    if (m->task[0])
        cancel_request(&m->cancel);
    pthread_cond_broadcast(&m->work);
    pthread_mutex_unlock(&m->lab->lock);
    pthread_join(m->thread, NULL);
    pthread_cond_destroy(&m->work);
    free(m);
}

void importer_kick(struct lab *lab)
{
    if (lab->importer)
        pthread_cond_signal(&lab->importer->work);
}

void importer_cancel(struct lab *lab, const char *task_id)
{
    if (lab->importer && str_eq(lab->importer->task, task_id))
        cancel_request(&lab->importer->cancel);
    importer_kick(lab);
}
