/* Copies of volume data; see copier.h.
 *
 * One thread takes one document at a time. What is to be copied is found in the store,
 * so a restart needs no list of its own; half-written files are overwritten. */
#include "lab/copier.h"

#include "lab/res.h"

#include "base/io.h"
#include "base/log.h"
#include "base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#define COPY_BLOCK (1u << 20)

struct copier {
    struct lab *lab;
    pthread_t thread;
    pthread_cond_t work;  /* with the lab's lock: something to copy, or stopping */
    pthread_cond_t ended; /* with the lab's lock: a copy has ended */
    bool kicked, stopping;
};

int copier_make_blank(const char *path, uint64_t size, struct err *e)
{
    auto_fd int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    if (fd < 0)
        return err_sys(e, "%s: create", path);
    if (ftruncate(fd, (off_t)size) < 0) {
        err_sys(e, "%s: make it %llu bytes long", path, (unsigned long long)size);
        unlink(path);
        return -1;
    }
    return 0;
}

static int copy_run(int in, int out, off_t from, off_t to, char *block, const char *dst,
                    struct err *e)
{
    while (from < to) {
        size_t want = to - from < (off_t)COPY_BLOCK ? (size_t)(to - from) : COPY_BLOCK;
        ssize_t n = pread(in, block, want, from);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_sys(e, "%s: read the source at byte %lld", dst, (long long)from);
        if (n == 0)
            return 0; /* the source shrank: the rest is a hole */
        if (io_pwrite_full(out, block, (size_t)n, (uint64_t)from, dst, e) < 0)
            return -1;
        from += n;
    }
    return 0;
}

static int copy_data(int in, int out, off_t size, const char *dst, struct err *e)
{
    auto_free char *block = mem_zalloc(1, COPY_BLOCK, e);
    off_t at = 0, hole;

    if (!block)
        return -1;
    while (at < size) {
        off_t data = lseek(in, at, SEEK_DATA);

        if (data < 0 && errno == ENXIO)
            return 0;
        if (data < 0)
            return err_sys(e, "%s: look for data in the source", dst);
        hole = lseek(in, data, SEEK_HOLE);
        if (hole < 0)
            return err_sys(e, "%s: look for holes in the source", dst);
        if (copy_run(in, out, data, hole < size ? hole : size, block, dst, e) < 0)
            return -1;
        at = hole;
    }
    return 0;
}

static int copy_open_files(int in, int out, uint64_t min_size, const char *dst,
                           struct err *e)
{
    struct stat st;
    off_t size;

    if (fstat(in, &st) < 0)
        return err_sys(e, "%s: size of the source", dst);
    size = st.st_size > (off_t)min_size ? st.st_size : (off_t)min_size;
    if (ioctl(out, FICLONE, in) < 0 && copy_data(in, out, st.st_size, dst, e) < 0)
        return -1;
    if (ftruncate(out, size) < 0)
        return err_sys(e, "%s: make it %lld bytes long", dst, (long long)size);
    if (fsync(out) < 0)
        return err_sys(e, "%s: sync", dst);
    return 0;
}

int copier_copy_file(const char *src, const char *dst, uint64_t min_size, struct err *e)
{
    auto_fd int in = open(src, O_RDONLY | O_CLOEXEC);
    auto_fd int out = -1;

    if (in < 0)
        return err_sys(e, "%s: open", src);
    out = open(dst, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (out < 0)
        return err_sys(e, "%s: create", dst);
    if (copy_open_files(in, out, min_size, dst, e) < 0) {
        unlink(dst);
        return -1;
    }
    return 0;
}

struct job {
    const char *kind;
    char id[RES_ID_LEN];
    char *src, *dst; /* owned */
    uint64_t size;
};

static void job_release(struct job *j)
{
    free(j->src);
    free(j->dst);
}

static bool fill_job(struct lab *lab, const char *kind, const char *id, const json_t *doc,
                     struct job *j)
{
    struct err e = ERR_INIT;
    const char *from = json_string_value(json_object_get(doc, "_copy"));
    bool volume = str_eq(kind, "volume");

    if (!from)
        return false;
    j->kind = kind;
    snprintf(j->id, sizeof j->id, "%s", id);
    j->src = str_fmt(&e, "%s/%s", lab->state_dir, from);
    j->dst = volume ? lab_volume_path(lab, id, &e) : lab_snapshot_path(lab, id, &e);
    j->size = json_u64_or(doc, volume ? "size" : "volumeSize", 0) << 30;
    if (j->src && j->dst)
        return true;
    job_release(j);
    return false;
}

/* The first document that waits for data. Volumes first: a snapshot may be of a volume
 * that is still being filled. */
static bool next_job(struct lab *lab, struct job *j)
{
    static const char *const kinds[] = {"volume", "snapshot"};
    struct err e = ERR_INIT;
    json_t *docs, *doc;
    bool found = false;
    size_t i;

    for (size_t k = 0; k < 2 && !found; k++) {
        const char *member = k == 0 ? "volumeId" : "snapshotId";

        if (store_list(lab->store, kinds[k], &docs, &e) < 0)
            return false;
        json_array_foreach (docs, i, doc)
            if (!found)
                found = fill_job(lab, kinds[k], json_str_or(doc, member, ""), doc, j);
        json_decref(docs);
    }
    return found;
}

/* The document may have been deleted meanwhile: then its file goes too. */
static int note_end(struct lab *lab, const struct job *j, bool failed, const char *why,
                    struct err *e)
{
    json_t *doc;

    if (store_edit(lab->store, j->kind, j->id, &doc, e) < 0) {
        unlink(j->dst);
        return e->kind == ERR_NOT_FOUND ? 0 : -1;
    }
    json_object_del(doc, "_copy");
    if (failed) {
        json_object_del(doc, "_due");
        if (json_put(doc, "status", json_string("error"), e) < 0 ||
            json_put(doc, "statusMessage", json_string(why), e) < 0)
            return -1;
    }
    return store_commit(lab->store, e);
}

/* With the lab's lock held; lets it go while copying. */
static void run_job(struct copier *c, struct job *j)
{
    struct err e = ERR_INIT, e2 = ERR_INIT;
    int r;

    pthread_mutex_unlock(&c->lab->lock);
    r = copier_copy_file(j->src, j->dst, j->size, &e);
    pthread_mutex_lock(&c->lab->lock);
    if (r < 0)
        log_warning("%s %s: %s", j->kind, j->id, e.msg);
    if (note_end(c->lab, j, r < 0, e.msg, &e2) < 0) {
        store_rollback(c->lab->store);
        log_warning("%s %s: %s", j->kind, j->id, e2.msg);
        /* The disk is full even for the note: try again later instead of spinning. */
        pthread_mutex_unlock(&c->lab->lock);
        usleep(500 * 1000);
        pthread_mutex_lock(&c->lab->lock);
    }
    pthread_cond_broadcast(&c->ended);
    pthread_cond_broadcast(&c->lab->wake);
}

static void *copier_main(void *arg)
{
    struct copier *c = arg;
    struct job j = {0};

    pthread_mutex_lock(&c->lab->lock);
    while (!c->stopping) {
        c->kicked = false;
        if (next_job(c->lab, &j)) {
            run_job(c, &j);
            job_release(&j);
            memset(&j, 0, sizeof j);
        } else if (!c->kicked) {
            pthread_cond_wait(&c->work, &c->lab->lock);
        }
    }
    pthread_mutex_unlock(&c->lab->lock);
    return NULL;
}

int copier_start(struct lab *lab, struct err *e)
{
    struct copier *c = mem_zalloc(1, sizeof *c, e);
    int n;

    if (!c)
        return -1;
    c->lab = lab;
    pthread_cond_init(&c->work, NULL);
    pthread_cond_init(&c->ended, NULL);
    n = pthread_create(&c->thread, NULL, copier_main, c);
    if (n) {
        free(c);
        return err_sys_n(e, n, "start the copying thread");
    }
    lab->copier = c;
    return 0;
}

void copier_stop(struct copier *c)
{
    if (!c)
        return;
    pthread_mutex_lock(&c->lab->lock);
    c->stopping = true;
    pthread_cond_broadcast(&c->work);
    pthread_cond_broadcast(&c->ended);
    pthread_mutex_unlock(&c->lab->lock);
    pthread_join(c->thread, NULL);
    pthread_cond_destroy(&c->work);
    pthread_cond_destroy(&c->ended);
    free(c);
}

void copier_kick(struct lab *lab)
{
    if (!lab->copier)
        return;
    lab->copier->kicked = true;
    pthread_cond_signal(&lab->copier->work);
}

void copier_wait(struct lab *lab, const char *kind, const char *id)
{
    while (lab->copier && !lab->copier->stopping &&
           json_object_get(store_get(lab->store, kind, id), "_copy"))
        pthread_cond_wait(&lab->copier->ended, &lab->lock);
}
