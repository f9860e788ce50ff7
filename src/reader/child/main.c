/* hotadd-reader: opens an image that somebody else made and serves its disks to hotadd,
 * or compares a package with its manifest; see reader/reader.h and base/helper.h.
 *
 * Requests: {"op": "open"|"open-disk", "path_base64", "disk", "format", "trust_paths",
 * "channels"}, answered with the machine (reader/wire.h), after which the channels are
 * served until standard input closes; {"op": "digests", "path_base64", "format"},
 * answered when they are compared. */
#include "base/auto.h"
#include "base/base64.h"
#include "base/helper_child.h"
#include "base/json.h"
#include "base/str.h"
#include "image/image.h"
#include "reader/child/sandbox.h"
#include "reader/child/serve.h"
#include "reader/wire.h"

#include <limits.h>
#include <poll.h>
#include <sys/stat.h>

struct request {
    const char *op, *path, *disk;
    struct buf path_bytes;
    struct image_options opt;
    uint64_t channels;
};

static void say_note(void *ctx, const char *text)
{
    helper_child_say(json_pack("{s:o}", "note", json_any_text(text)));
}

static void say_progress(void *ctx, const struct progress_state *s)
{
    helper_child_say(json_pack("{s:{s:s, s:I, s:I}}", "progress", "what", s->what, "done",
                               (json_int_t)s->done_bytes, "total",
                               (json_int_t)s->total_bytes));
}

static int parse(const json_t *j, struct request *rq, struct err *e)
{
    const char *coded;

    if (json_need_str(j, "op", &rq->op, e) < 0 ||
        json_need_str(j, "path_base64", &coded, e) < 0 ||
        base64_decode(coded, strlen(coded), &rq->path_bytes, e) < 0 ||
        buf_check(&rq->path_bytes, e) < 0 ||
        json_need_u64(j, "channels", &rq->channels, e) < 0)
        return err_prefix(e, "request");
    rq->path = buf_str(&rq->path_bytes);
    rq->disk = json_str_or(j, "disk", NULL);
    rq->opt = (struct image_options){.format = json_str_or(j, "format", NULL),
                                     .trust_paths = json_bool_or(j, "trust_paths", false),
                                     .note = say_note};
    return rq->channels <= WIRE_CHANNELS ? 0 : err_set(e, ERR_INPUT, "request: channels");
}

/* ---- the sandbox ---- */

/* "" stays, which is no folder. */
static void cut_name(char *path)
{
    char *slash = strrchr(path, '/');

    if (slash)
        slash[slash == path ? 1 : 0] = 0;
    else if (*path)
        memcpy(path, ".", 2);
}

/* The folder that the path names and the one that the file really is in; of a device the
 * device alone. "#DISK" at the end is no part of a file's name. */
static int confine(const struct request *rq, struct err *e)
{
    auto_free char *named = str_dup(rq->path, e);
    char real[PATH_MAX] = "", *hash;
    const char *folders[3] = {named, real, NULL};
    struct stat st;

    if (!named)
        return -1;
    if (rq->opt.trust_paths)
        return sandbox_begin((const char *[]){"/", NULL}, e);
    if (stat(named, &st) < 0 && (hash = strrchr(named, '#'))) {
        *hash = 0;
        if (stat(named, &st) < 0)
            *hash = '#';
    }
    if (!realpath(named, real))
        folders[1] = NULL; /* whoever opens it says so */
    else if (!S_ISBLK(st.st_mode))
        cut_name(real);
    cut_name(named);
    return sandbox_begin(folders, e);
}

/* ---- open ---- */

/* The file's own bytes are the disk: there is nothing to parse. */
static bool is_plain(const struct request *rq, const struct machine *m)
{
    const struct source *s = m->disks.n == 1 ? m->disks.v[0].source : NULL;
    struct stat st;

    return s && str_eq(s->ops->name, "raw") && stat(rq->path, &st) == 0 &&
           (S_ISBLK(st.st_mode) || (uint64_t)st.st_size == s->size_bytes);
}

static int open_and_serve(const struct request *rq, json_t **result, struct err *e)
{
    static struct machine *machine; /* served until the end */
    int r = str_eq(rq->op, "open")
                ? image_open(rq->path, &rq->opt, &machine, e)
                : image_open_disk(rq->path, rq->disk, &rq->opt, &machine, e);
    json_t *j;

    if (r < 0)
        return -1;
    j = wire_machine_json(machine, e);
    if (!j || json_put(j, "plain", json_boolean(is_plain(rq, machine)), e) < 0 ||
        json_put(j, "files", wire_open_files(e), e) < 0 ||
        serve_start(machine, (unsigned)rq->channels, e) < 0 || sandbox_close(e) < 0) {
        json_decref(j);
        return -1;
    }
    *result = j;
    return 0;
}

/* ---- digests ---- */

static int compare_digests(const struct request *rq, json_t **result, struct err *e)
{
    const struct progress progress = {.report = say_progress};
    auto_image_digests struct image_digests *d = NULL;

    if (image_digests_open(rq->path, &rq->opt, &d, e) < 0 || sandbox_close(e) < 0)
        return -1;
    if (image_digests_n(d) && image_digests_verify_all(d, &progress, NULL, e) < 0)
        return -1;
    *result = json_pack("{s:I}", "files", (json_int_t)image_digests_n(d));
    return *result ? 0 : err_nomem(e);
}

static int work(json_t **request, json_t **result, struct err *e)
{
    static struct request rq; /* for as long as it serves */

    if (helper_child_request(request, e) < 0 || parse(*request, &rq, e) < 0 ||
        confine(&rq, e) < 0 || helper_child_watch(e) < 0)
        return -1;
    if (str_eq(rq.op, "open") || str_eq(rq.op, "open-disk"))
        return open_and_serve(&rq, result, e);
    if (str_eq(rq.op, "digests"))
        return compare_digests(&rq, result, e);
    return err_set(e, ERR_INPUT, "request: no such op");
}

int main(int argc, char **argv)
{
    json_auto_t *request = NULL, *result = NULL;
    struct err e = ERR_INIT;
    bool serving;

    if (argc > 1) {
        fprintf(stderr, "hotadd-reader is started by hotadd; see hotadd(1)\n");
        return 2;
    }
    helper_child_begin();
    if (work(&request, &result, &e) < 0)
        return helper_child_error(&e);
    serving = json_object_get(result, "disks");
    helper_child_result(take_ptr(result));
    while (serving)
        poll(NULL, 0, -1); /* the watcher ends us */
    return 0;
}
