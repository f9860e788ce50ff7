/* One lab: opening and closing its state directory; see lab.h.
 *
 * STATE/lab.db holds every document, STATE/volumes and STATE/snapshots the data,
 * STATE/s3 buckets and objects, STATE/dev the devices of the proxy instance, STATE/vm…
 * what machines keep. */
#include "lab/lab.h"

#include "lab/copier.h"
#include "lab/importer.h"
#include "lab/keeper.h"
#include "lab/machines.h"
#include "lab/s3_store.h"

#include "base/io.h"
#include "base/str.h"

#include <sys/stat.h>
#include <time.h>

int64_t lab_now_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_REALTIME, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

char *lab_time(char out[LAB_TIME_LEN], int64_t ms)
{
    time_t t = (time_t)(ms / 1000);
    struct tm tm;
    char day[24];

    out[0] = 0;
    if (gmtime_r(&t, &tm) && strftime(day, sizeof day, "%Y-%m-%dT%H:%M:%S", &tm))
        snprintf(out, LAB_TIME_LEN, "%s.%03dZ", day, (int)(ms % 1000));
    return out;
}

const char *lab_meta(struct lab *lab, const char *key)
{
    return json_string_value(
        json_object_get(store_get(lab->store, "meta", key), "value"));
}

int lab_meta_set(struct lab *lab, const char *key, const char *value, struct err *e)
{
    return store_put(lab->store, "meta", key, json_pack("{s:s}", "value", value), e);
}

char *lab_volume_path(const struct lab *lab, const char *id, struct err *e)
{
    return str_fmt(e, "%s/volumes/%s.raw", lab->state_dir, id);
}

char *lab_snapshot_path(const struct lab *lab, const char *id, struct err *e)
{
    return str_fmt(e, "%s/snapshots/%s.raw", lab->state_dir, id);
}

static int make_dirs(struct lab *lab, struct err *e)
{
    static const char *const subs[] = {"volumes", "snapshots"};

    for (size_t i = 0; i < sizeof subs / sizeof subs[0]; i++) {
        auto_free char *path = str_fmt(e, "%s/%s", lab->state_dir, subs[i]);

        if (!path || io_mkdir_all(path, 0700, e) < 0)
            return -1;
    }
    return 0;
}

static int open_parts(struct lab *lab, struct err *e)
{
    auto_free char *db = str_fmt(e, "%s/lab.db", lab->state_dir);
    mode_t old;
    int r;

    if (!db || make_dirs(lab, e) < 0)
        return -1;
    /* It holds secret keys; its WAL too. */
    old = umask(077);
    r = store_open(db, &lab->store, e);
    if (r == 0)
        r = s3_store_open(lab->state_dir, &lab->s3, e);
    umask(old);
    if (r < 0 || machines_new(lab, &lab->machines, e) < 0 || lab_seed(lab, e) < 0 ||
        keeper_recover(lab, e) < 0)
        return -1;
    return copier_start(lab, e) < 0 ? -1 : importer_start(lab, e);
}

int lab_open(const char *state_dir, const struct lab_settings *set, struct lab **ret,
             struct err *e)
{
    struct lab *lab = mem_zalloc(1, sizeof *lab, e);

    if (!lab)
        return -1;
    lab->set = *set;
    pthread_mutex_init(&lab->lock, NULL);
    pthread_cond_init(&lab->wake, NULL);
    lab->state_dir = str_dup(state_dir, e);
    if (!lab->state_dir || open_parts(lab, e) < 0) {
        lab_close(lab);
        return -1;
    }
    *ret = lab;
    return 0;
}

void lab_close(struct lab *lab)
{
    if (!lab)
        return;
    importer_stop(lab->importer);
    copier_stop(lab->copier);
    machines_free(lab->machines);
    s3_store_close(lab->s3);
    store_close(lab->store);
    pthread_cond_destroy(&lab->wake);
    pthread_mutex_destroy(&lab->lock);
    free(lab->state_dir);
    free(lab);
}
