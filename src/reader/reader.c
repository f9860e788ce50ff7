/* Starting hotadd-reader and asking it; see reader.h. */
#include "reader/reader.h"

#include "reader/remote.h"
#include "reader/wire.h"

#include "base/base64.h"
#include "base/helper.h"
#include "base/json.h"
#include "base/shared.h"
#include "base/str.h"

#include <sched.h>
#include <sys/socket.h>

/* ---- the process and its channels ---- */

/* One for each core that decodes, and one for who else asks. */
static unsigned channels_wanted(void)
{
    cpu_set_t set;
    int n = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;

    return n + 1 < WIRE_CHANNELS ? (unsigned)n + 1 : WIRE_CHANNELS;
}

struct ends {
    int v[1 + WIRE_CHANNELS]; /* the memory; then the reader's ends of channels, owned */
    size_t n;
};

static void ends_close(struct ends *x)
{
    for (size_t i = 1; i < x->n; i++)
        close(x->v[i]);
}

static int make_channels(struct reader *r, struct ends *theirs, struct err *e)
{
    size_t n = channels_wanted(), bytes = n * WIRE_SLOT_BYTES;
    struct shared_place place;

    if (shared_alloc(bytes, &r->memory, e) < 0)
        return -1;
    if (!shared_find(r->memory, bytes, &place))
        return err_set(e, ERR_FAILED, "shared memory is lost");
    theirs->v[theirs->n++] = place.fd;
    while (r->n_channels < n) {
        int pair[2];

        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
            return err_sys(e, "socket");
        r->channels[r->n_channels++].fd = pair[0];
        theirs->v[theirs->n++] = pair[1];
    }
    return 0;
}

static void reader_stop(struct reader *r)
{
    /* They end with their sockets; nothing that matters is under way. */
    helper_stop(&r->helper, 0);
    for (unsigned i = 0; i < r->n_channels; i++)
        close(r->channels[i].fd);
    json_decref(r->files);
    shared_free(r->memory);
    pthread_mutex_destroy(&r->lock);
    pthread_mutex_destroy(&r->mapping);
    pthread_cond_destroy(&r->freed);
    free(r);
}

void reader_unref(struct reader *r)
{
    if (atomic_fetch_sub(&r->refs, 1) == 1)
        reader_stop(r);
}

static int reader_new(struct reader **ret, struct err *e)
{
    auto_call(ends_close) struct ends theirs = {0};
    struct helper_spec spec = {
        .name = "hotadd-reader", .folder = "reader", .fds = theirs.v};
    struct reader *r = mem_zalloc(1, sizeof *r, e);

    if (!r)
        return -1;
    r->helper = (struct helper)HELPER_INIT;
    r->refs = 1;
    pthread_mutex_init(&r->lock, NULL);
    pthread_mutex_init(&r->mapping, NULL);
    pthread_cond_init(&r->freed, NULL);
    if (make_channels(r, &theirs, e) < 0)
        goto failed;
    spec.n_fds = theirs.n;
    if (helper_start(&spec, &r->helper, e) < 0)
        goto failed;
    *ret = r;
    return 0;
failed:
    reader_unref(r);
    return -1;
}

/* ---- requests ---- */

static int ask(struct reader *r, const char *op, const char *path, const char *disk,
               const struct image_options *opt, const struct progress *progress,
               const struct cancel *cancel, json_t **ret, struct err *e)
{
    auto_buf struct buf coded = BUF_INIT; /* a file may have any name */
    json_auto_t *rq = NULL;
    struct helper_ask a = {.deadline_ns = UINT64_MAX,
                           .cancel = cancel,
                           .progress = progress,
                           .note = opt ? opt->note : NULL,
                           .note_ctx = opt ? opt->note_ctx : NULL};

    base64_encode(path, strlen(path), &coded);
    if (buf_check(&coded, e) < 0)
        return -1;
    rq =
        json_pack("{s:s, s:s, s:s?, s:s?, s:b, s:i}", "op", op, "path_base64",
                  buf_str(&coded), "disk", disk, "format", opt ? opt->format : NULL,
                  "trust_paths", opt && opt->trust_paths, "channels", (int)r->n_channels);
    if (!rq)
        return err_set(e, ERR_USAGE, "%s: a disk or format that is not UTF-8", path);
    a.request = rq;
    return helper_ask(&r->helper, &a, ret, e);
}

static int make_source(void *ctx, uint32_t disk, const char *format, struct source *s,
                       struct source **ret, struct err *e)
{
    return remote_source(ctx, disk, format, s, ret, e);
}

/* *ret is NULL when the file's bytes are the disk. */
static int open_there(const char *op, const char *path, const char *disk,
                      const struct image_options *opt, const struct cancel *cancel,
                      struct machine **ret, struct err *e)
{
    json_auto_t *answer = NULL;
    struct reader *r = NULL;
    int rc;

    if (reader_new(&r, e) < 0)
        return -1;
    rc = ask(r, op, path, disk, opt, NULL, cancel, &answer, e);
    if (rc == 0 && json_bool_or(answer, "plain", false))
        *ret = NULL;
    else if (rc == 0) {
        r->files = json_incref(json_object_get(answer, "files"));
        rc = wire_machine(answer, make_source, r, ret, e);
    }
    reader_unref(r);
    return rc;
}

/* What has no format, or one that a library reads. */
static bool is_ours(const char *path_or_uri, const struct image_options *opt)
{
    return strstr(path_or_uri, "://") ||
           (opt && opt->format && str_eq(opt->format, "raw"));
}

static struct image_options as_raw(const struct image_options *opt)
{
    struct image_options raw = opt ? *opt : (struct image_options){0};

    raw.format = "raw";
    return raw;
}

int reader_open(const char *path_or_uri, const struct image_options *opt,
                const struct cancel *cancel, struct machine **ret, struct err *e)
{
    struct image_options raw = as_raw(opt);

    if (is_ours(path_or_uri, opt))
        return image_open(path_or_uri, opt, ret, e);
    if (open_there("open", path_or_uri, NULL, opt, cancel, ret, e) < 0)
        return -1;
    return *ret ? 0 : image_open(path_or_uri, &raw, ret, e);
}

int reader_open_disk(const char *path_or_uri, const char *disk,
                     const struct image_options *opt, const struct cancel *cancel,
                     struct machine **ret, struct err *e)
{
    struct image_options raw = as_raw(opt);
    auto_machine struct machine *m = NULL;

    if (is_ours(path_or_uri, opt))
        return image_open_disk(path_or_uri, disk, opt, ret, e);
    if (open_there("open-disk", path_or_uri, disk, opt, cancel, &m, e) < 0)
        return -1;
    if (!m)
        return image_open_disk(path_or_uri, disk, &raw, ret, e);
    if (m->disks.n != 1)
        return err_set(e, ERR_FAILED, "%s: the reader told of %zu disks", path_or_uri,
                       m->disks.n);
    *ret = take_ptr(m);
    return 0;
}

int reader_verify_digests(const char *path, const struct image_options *opt,
                          const struct progress *progress, const struct cancel *cancel,
                          struct err *e)
{
    json_auto_t *answer = NULL;
    struct reader *r = NULL;
    int rc;

    if (is_ours(path, opt))
        return 0;
    if (reader_new(&r, e) < 0)
        return -1;
    rc = ask(r, "digests", path, NULL, opt, progress, cancel, &answer, e);
    reader_unref(r);
    return rc;
}
