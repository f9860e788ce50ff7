/* nbdkit plugin that serves one disk of any source hotadd reads, read-only:
 *
 *     nbdkit -r hotadd source=web01.ova disk=1
 *     nbdkit -r hotadd source=web01@2026-01-02T03:04:05Z repo=/backup
 *
 * Small reads are the rule (file systems) and units are large (grain runs), so a few
 * aligned windows of decoded bytes are kept. Nothing is ever written; a crash leaves
 * nothing. */
#include "base/minmax.h"
#include "base/str.h"
#include "config.h"
#include "flow/open_source.h"

#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>

#include <assert.h>
#include <inttypes.h>
#include <pthread.h>

#define THREAD_MODEL NBDKIT_THREAD_MODEL_PARALLEL

#define WINDOW_MIN_BYTES (256u << 10)
#define CACHE_BYTES      (64u << 20)
#define WINDOWS_MIN      8

struct window {
    pthread_mutex_t lock; /* guards valid and data's bytes */
    uint64_t start;       /* guarded by cache.lock, as are used and pins */
    uint64_t used;
    unsigned pins;
    bool valid;
    unsigned char *data; /* owned, window_bytes; NULL until first used */
};

static struct {
    char *source_name; /* parameters, owned */
    char *disk;
    char *format;
    char *repo, *ns, *key, *key_password_file, *region, *aws_profile;
    bool trust_paths;
    struct flow_source opened;
    struct source *source; /* opened's */
    uint64_t window_bytes;
    pthread_mutex_t lock; /* guards every window's start, used and pins, and clock */
    uint64_t clock;
    struct window *windows; /* owned */
    size_t n_windows;
} plugin = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* The parameters that are words; `path`: of a file or folder. */
static const struct parameter {
    const char *name;
    char **value;
    bool path;
} parameters[] = {
    {"source", &plugin.source_name, false},
    {"disk", &plugin.disk, false},
    {"format", &plugin.format, false},
    {"repo", &plugin.repo, true},
    {"ns", &plugin.ns, false},
    {"key", &plugin.key, true},
    {"key-password-file", &plugin.key_password_file, true},
    {"region", &plugin.region, false},
    {"aws-profile", &plugin.aws_profile, false},
};
#define N_PARAMETERS (sizeof parameters / sizeof parameters[0])

/* nbdkit changes its folder when it goes into the background. */
static int make_absolute(char **value)
{
    char *path;

    if (strstr(*value, "://"))
        return 0;
    path = nbdkit_absolute_path(*value);
    if (!path)
        return -1;
    free(*value);
    *value = path;
    return 0;
}

static int hotadd_config(const char *key, const char *value)
{
    struct err e = ERR_INIT;

    if (str_eq(key, "trust-paths")) {
        int r = nbdkit_parse_bool(value);

        plugin.trust_paths = r > 0;
        return r < 0 ? -1 : 0;
    }
    for (size_t i = 0; i < N_PARAMETERS; i++) {
        const struct parameter *p = &parameters[i];

        if (!str_eq(key, p->name))
            continue;
        if (str_set(p->value, value, &e) < 0) {
            nbdkit_error("%s", e.msg);
            return -1;
        }
        return p->path ? make_absolute(p->value) : 0;
    }
    nbdkit_error("unknown parameter '%s'; nbdkit --help hotadd lists them", key);
    return -1;
}

static struct source_spec source_spec(void)
{
    return (struct source_spec){.source = plugin.source_name,
                                .format = plugin.format,
                                .trust_paths = plugin.trust_paths,
                                .repo = {.at = plugin.repo,
                                         .ns = plugin.ns,
                                         .key = plugin.key,
                                         .password_file = plugin.key_password_file,
                                         .region = plugin.region,
                                         .aws_profile = plugin.aws_profile}};
}

static int hotadd_config_complete(void)
{
    struct source_spec spec;

    if (!plugin.source_name) {
        nbdkit_error("the parameter source=PATH is missing");
        return -1;
    }
    spec = source_spec();
    return source_is_point(&spec) ? 0 : make_absolute(&plugin.source_name);
}

static int make_cache(struct err *e)
{
    plugin.window_bytes = plugin.source->unit_max_bytes > WINDOW_MIN_BYTES
                              ? plugin.source->unit_max_bytes
                              : WINDOW_MIN_BYTES;
    plugin.n_windows = CACHE_BYTES / plugin.window_bytes;
    if (plugin.n_windows < WINDOWS_MIN)
        plugin.n_windows = WINDOWS_MIN;
    plugin.windows = mem_zalloc(plugin.n_windows, sizeof *plugin.windows, e);
    if (!plugin.windows)
        return -1;
    for (size_t i = 0; i < plugin.n_windows; i++) {
        pthread_mutex_init(&plugin.windows[i].lock, NULL);
        plugin.windows[i].start = UINT64_MAX;
    }
    return 0;
}

static void note(void *ctx, const char *text)
{
    nbdkit_debug("%s", text);
}

/* Before the fork, where a failure still ends nbdkit and its --run command; later, that
 * command would wait for an answer for ever. The source is only looked at: threads,
 * children and connections that are made here would be lost in, or shared with, another
 * process. Not at an NBD server, which may be one that ends with its first client. */
static int hotadd_get_ready(void)
{
    auto_flow_source struct flow_source s = {0};
    struct source_spec spec = source_spec();
    struct err e = ERR_INIT;

    if (strstr(plugin.source_name, "://"))
        return 0;
    if (flow_source_open_disk(&spec, plugin.disk, NULL, &s, &e) < 0) {
        nbdkit_error("%s", e.msg);
        return -1;
    }
    return 0;
}

/* After the fork into the background: readers may start threads and children. */
static int hotadd_after_fork(void)
{
    struct source_spec spec = source_spec();
    struct err e = ERR_INIT;

    spec.note = note;
    if (flow_source_open_disk(&spec, plugin.disk, NULL, &plugin.opened, &e) < 0) {
        nbdkit_error("%s", e.msg);
        return -1;
    }
    plugin.source = plugin.opened.machine->disks.v[0].source;
    if (make_cache(&e) < 0) {
        nbdkit_error("%s", e.msg);
        return -1;
    }
    return 0;
}

static void hotadd_unload(void)
{
    for (size_t i = 0; i < plugin.n_windows && plugin.windows; i++) {
        free(plugin.windows[i].data);
        pthread_mutex_destroy(&plugin.windows[i].lock);
    }
    free(plugin.windows);
    flow_source_close(&plugin.opened);
    for (size_t i = 0; i < N_PARAMETERS; i++)
        free(*parameters[i].value);
}

static void *hotadd_open(int readonly)
{
    return NBDKIT_HANDLE_NOT_NEEDED;
}

static int64_t hotadd_get_size(void *handle)
{
    return (int64_t)plugin.source->size_bytes;
}

static int yes(void *handle)
{
    return 1;
}

/* Reading ahead into the cache is done by reading. */
static int can_cache(void *handle)
{
    return NBDKIT_CACHE_EMULATE;
}

/* Anything goes; whole windows go best. */
static int block_size(void *handle, uint32_t *min, uint32_t *preferred, uint32_t *max)
{
    *min = 1;
    *preferred = 65536;
    *max = 32u << 20;
    return 0;
}

/* ---- reading ---- */

static int fail(const struct err *e)
{
    nbdkit_error("%s", e->msg);
    nbdkit_set_error(e->sys_errno ? e->sys_errno : EIO);
    return -1;
}

/* Pins the window that begins at start: the one that holds it, else the one unused for
 * longest. NULL when every window is being read at this moment. */
static struct window *pin(uint64_t start)
{
    struct window *best = NULL;

    pthread_mutex_lock(&plugin.lock);
    for (size_t i = 0; i < plugin.n_windows; i++) {
        struct window *w = &plugin.windows[i];

        if (w->start == start) {
            best = w;
            break;
        }
        if (w->pins == 0 && (!best || w->used < best->used))
            best = w;
    }
    if (best) {
        best->pins++;
        best->used = ++plugin.clock;
        if (best->start != start) {
            best->start = start;
            best->valid = false; /* nobody else has it pinned */
        }
    }
    pthread_mutex_unlock(&plugin.lock);
    return best;
}

static void unpin(struct window *w)
{
    pthread_mutex_lock(&plugin.lock);
    w->pins--;
    pthread_mutex_unlock(&plugin.lock);
}

/* Reads a whole window; it begins at a multiple of the largest unit, so units fit. */
static int fill(uint64_t start, unsigned char *data, struct err *e)
{
    uint64_t left = plugin.source->size_bytes - start;
    size_t len = (size_t)(left < plugin.window_bytes ? left : plugin.window_bytes);
    auto_free void *scratch = NULL;

    if (posix_memalign(&scratch, 4096, plugin.source->unit_max_bytes))
        return err_nomem(e);
    return source_pread(plugin.source, data, len, start, scratch, e);
}

static int fill_window(struct window *w, uint64_t start, struct err *e)
{
    if (w->valid)
        return 0;
    if (!w->data && posix_memalign((void **)&w->data, 4096, plugin.window_bytes)) {
        w->data = NULL;
        return err_nomem(e);
    }
    if (fill(start, w->data, e) < 0)
        return -1;
    w->valid = true;
    return 0;
}

static int read_window(uint64_t start, uint64_t skip, void *buf, size_t len,
                       struct err *e)
{
    struct window *w = pin(start);
    auto_free void *direct = NULL;
    int r;

    if (!w) {
        if (posix_memalign(&direct, 4096, plugin.window_bytes))
            return err_nomem(e);
        r = fill(start, direct, e);
        if (r == 0)
            memcpy(buf, (char *)direct + skip, len);
        return r;
    }
    pthread_mutex_lock(&w->lock);
    r = fill_window(w, start, e);
    if (r == 0)
        memcpy(buf, w->data + skip, len);
    pthread_mutex_unlock(&w->lock);
    unpin(w);
    return r;
}

static int hotadd_pread(void *handle, void *buf, uint32_t count, uint64_t offset,
                        uint32_t flags)
{
    struct err e = ERR_INIT;
    char *out = buf;

    while (count) {
        uint64_t skip = offset % plugin.window_bytes, left = plugin.window_bytes - skip;
        uint32_t n = left < count ? (uint32_t)left : count;

        if (read_window(offset - skip, skip, out, n, &e) < 0)
            return fail(&e);
        out += n;
        offset += n;
        count -= n;
    }
    return 0;
}

/* No further than was asked: a longer extent than 4 GiB makes nbdkit 1.32 fail an
 * assertion when a client asks for as much as it may. */
static int hotadd_extents(void *handle, uint32_t count, uint64_t offset, uint32_t flags,
                          struct nbdkit_extents *extents)
{
    struct source *s = plugin.source;
    uint64_t pos = offset - offset % s->unit_align, end = offset + count;
    struct err e = ERR_INIT;
    struct unit u;

    while (pos < end) {
        if (source_unit_at(s, pos, plugin.window_bytes, &u, &e) < 0)
            return fail(&e);
        if (nbdkit_add_extent(
                extents, u.offset, min64(u.len, end - pos),
                u.kind == UNIT_ZERO ? NBDKIT_EXTENT_HOLE | NBDKIT_EXTENT_ZERO : 0) < 0)
            return -1;
        pos += u.len;
        if (flags & NBDKIT_FLAG_REQ_ONE)
            return 0;
    }
    return 0;
}

static struct nbdkit_plugin hotadd_plugin = {
    .name = "hotadd",
    .longname = "hotadd sources",
    .description = "serves a disk of an OVA, OVF, VMX, VMDK or other image, or of a "
                   "recovery point, read-only",
    .version = HOTADD_VERSION,
    .magic_config_key = "source",
    .config = hotadd_config,
    .config_complete = hotadd_config_complete,
    .config_help = "source=PATH (required)  OVA, OVF, VMX, disk image or NBD URI,\n"
                   "                        or with repo: VM[@TIME]\n"
                   "disk=N|NAME             which disk, counting from 1\n"
                   "format=FORMAT           of a bare image\n"
                   "repo=DIR|s3://…         repository of recovery points\n"
                   "ns=NAMESPACE            in it\n"
                   "key=FILE                key of encrypted or signed points\n"
                   "key-password-file=FILE  the key's password; else the environment's\n"
                   "                        HOTADD_KEY_PASSWORD\n"
                   "region=REGION           of the bucket\n"
                   "aws-profile=NAME        profile of ~/.aws/config\n"
                   "trust-paths=BOOL        read files outside the description's folder",
    .get_ready = hotadd_get_ready,
    .after_fork = hotadd_after_fork,
    .unload = hotadd_unload,
    .open = hotadd_open,
    .get_size = hotadd_get_size,
    .can_multi_conn = yes,
    .can_extents = yes,
    .can_cache = can_cache,
    .block_size = block_size,
    .pread = hotadd_pread,
    .extents = hotadd_extents,
    .errno_is_preserved = 0,
};

/* What nbdkit looks up; its macro defines it without declaring it. */
struct nbdkit_plugin *plugin_init(void);

NBDKIT_REGISTER_PLUGIN(hotadd_plugin)
