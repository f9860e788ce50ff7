/* Parsing an image and answering questions about it; see initrd.h.
 *
 * The outer loop is the kernel's (unpack_to_rootfs): zeros are skipped, a '0' at an
 * offset that is a multiple of 4 begins an uncompressed archive, anything else must be
 * the magic number of a compressed one. Where the kernel would give up and boot with what
 * it has (or, before 5.x, with nothing), parsing fails, since whatever we appended would
 * be lost there. The view is built in the same pass. */
#include "guest/initrd/internal.h"

#include "base/str.h"
#include "guest/initrd/codec.h"
#include "guest/initrd/cpio.h"

#include <sys/stat.h>

#define STRING_BLOCK   (256u << 10)
#define STRINGS_MAX    (96u << 20)
#define KEEP_SMALL_MAX (128u << 10) /* lvm.conf with its comments is 100 KiB */
#define KEEP_INDEX_MAX (32u << 20)
#define KEEP_TOTAL_MAX (96u << 20)
#define SEGMENTS_MAX   256

/* ---- parsing ---- */

struct pass {
    struct initrd *im;
    struct cpio_reader reader;
    struct buf *keep; /* where the data of the current member goes, or NULL */
};

/* A copy of s that lives as long as the image's metadata. */
static const char *keep_string(struct initrd *im, const char *s, struct err *e)
{
    size_t len = strlen(s) + 1;
    char *block, *p;

    im->string_bytes += len;
    if (im->string_bytes > STRINGS_MAX) {
        err_set(e, ERR_INPUT, "names take more than %u MiB", STRINGS_MAX >> 20);
        return NULL;
    }
    if (len > im->string_left) {
        if (!(block = malloc(STRING_BLOCK))) {
            err_nomem(e);
            return NULL;
        }
        if (vec_push(&im->strings, block, e) < 0) {
            free(block);
            return NULL;
        }
        im->string_left = STRING_BLOCK;
    }
    p = im->strings.v[im->strings.n - 1] + (STRING_BLOCK - im->string_left);
    memcpy(p, s, len);
    im->string_left -= len;
    return p;
}

/* Small files that say how the image works, and the module index: what extending it will
 * ask for, and would else cost unpacking everything once more each. */
static bool worth_keeping(const char *path, uint32_t size)
{
    const char *base = strrchr(path, '/');

    base = base ? base + 1 : path;
    if (strstr(path, "lib/modules/") && str_starts(base, "modules."))
        return size <= KEEP_INDEX_MAX;
    if (size > KEEP_SMALL_MAX)
        return false;
    return str_starts(path, "conf/") || str_starts(path, "./conf/") ||
           str_eq(base, INITRD_MARKER) || str_eq(base, "lvm.conf") ||
           str_eq(base, "mdadm.conf") || strstr(path, "modules-load.d/") ||
           strstr(path, "pre-udev/");
}

static int on_member(void *ctx, const struct initrd_entry *member, struct err *e)
{
    struct pass *p = ctx;
    struct initrd *im = p->im;
    struct initrd_entry m = *member;
    struct initrd_kept k = {.entry = im->entries.n};

    p->keep = NULL;
    if (im->entries.n >= im->limits.max_entries)
        return err_set(e, ERR_INPUT, "more than %zu members", im->limits.max_entries);
    m.segment = im->segments.n;
    if (!(m.path = keep_string(im, member->path, e)) ||
        (member->link && !(m.link = keep_string(im, member->link, e))))
        return -1;
    if (vec_push(&im->entries, m, e) < 0)
        return -1;
    if (S_ISREG(m.mode) && m.size_bytes && worth_keeping(m.path, m.size_bytes) &&
        m.size_bytes <= KEEP_TOTAL_MAX - im->kept_bytes) {
        if (vec_push(&im->kept, k, e) < 0)
            return -1;
        im->kept_bytes += m.size_bytes;
        p->keep = &im->kept.v[im->kept.n - 1].data;
    }
    return view_apply(im->view, &im->entries.v[k.entry], k.entry, e);
}

static int on_data(void *ctx, const uint8_t *data, size_t len, struct err *e)
{
    struct pass *p = ctx;

    if (!p->keep)
        return 0;
    buf_add(p->keep, data, len);
    return buf_check(p->keep, e);
}

static int on_trailer(void *ctx, struct err *e)
{
    struct pass *p = ctx;

    view_trailer(p->im->view);
    return 0;
}

static const struct cpio_events parse_events = {on_member, on_data, on_trailer};

static int parse_sink(void *ctx, const uint8_t *data, size_t len, struct err *e)
{
    struct pass *p = ctx;
    struct initrd *im = p->im;
    size_t eaten;

    if (len > im->limits.max_unpacked_bytes - im->unpacked_bytes)
        return err_set(e, ERR_INPUT, "unpacks to more than the limit of %llu MiB",
                       (unsigned long long)(im->limits.max_unpacked_bytes >> 20));
    im->unpacked_bytes += len;
    return cpio_reader_feed(&p->reader, data, len, &eaten, e);
}

static bool is_early(const struct initrd *im, size_t first)
{
    for (size_t i = first; i < im->entries.n; i++) {
        const char *path = im->entries.v[i].path;

        while (str_starts(path, "./"))
            path += 2;
        if (str_starts(path, "kernel/x86/microcode") ||
            str_starts(path, "kernel/firmware/acpi") || str_eq(path, "early_cpio"))
            return true;
    }
    return false;
}

/* One segment at `offset`; *ret_end is where the next begins. */
static int parse_segment(struct pass *p, struct initrd_segment *s, uint64_t *ret_end,
                         struct err *e)
{
    struct initrd *im = p->im;
    const uint8_t *in = im->image + s->offset;
    size_t left = im->len - s->offset, used = 0;
    int rc;

    if (s->format == INITRD_RAW)
        rc = cpio_reader_feed(&p->reader, in, left, &used, e);
    else
        rc = codec_unpack(s->format, in, left, parse_sink, p, &used, e);
    if (rc < 0 || cpio_reader_finish(&p->reader, e) < 0)
        return -1;
    s->unpacked_bytes = p->reader.pos;
    s->len_bytes = used;
    if (s->format == INITRD_RAW)
        s->len_bytes = s->unpacked_bytes = p->reader.end_pos;
    s->n_entries = im->entries.n - s->first_entry;
    s->early = s->format == INITRD_RAW && is_early(im, s->first_entry);
    *ret_end = s->offset + used;
    return 0;
}

static int start_segment(const struct initrd *im, uint64_t offset, bool after_raw,
                         struct initrd_segment *ret, struct err *e)
{
    const uint8_t *in = im->image + offset;
    const char *refused = NULL;

    *ret = (struct initrd_segment){.offset = offset, .first_entry = im->entries.n};
    if (im->segments.n >= SEGMENTS_MAX)
        return err_set(e, ERR_INPUT, "more than %d segments", SEGMENTS_MAX);
    if (*in == '0' || after_raw) {
        if (offset & 3)
            return err_set(
                e, ERR_INPUT,
                "begins at an offset that is no multiple of 4, where the kernel "
                "does not recognise it");
        if (*in == '0') {
            ret->format = INITRD_RAW;
            return 0;
        }
    }
    switch (codec_detect(in, im->len - offset, &ret->format, &refused)) {
    case CODEC_KNOWN:
        return 0;
    case CODEC_REFUSED:
        return err_set(e, ERR_UNSUPPORTED,
                       "compressed with %s, which hotadd cannot read; have the guest "
                       "rebuild its initramfs with gzip",
                       refused);
    default:
        return err_set(e, ERR_INPUT, "neither an archive nor a known compression");
    }
}

static int parse_all(struct initrd *im, struct err *e)
{
    bool after_raw = false;
    uint64_t at = 0;
    int rc = 0;

    while (at < im->len) {
        struct initrd_segment s = {0};
        struct pass p = {.im = im};
        bool started;

        if (!im->image[at]) {
            at++;
            continue;
        }
        started = start_segment(im, at, after_raw, &s, e) == 0;
        cpio_reader_init(&p.reader,
                         s.format == INITRD_RAW ? CPIO_IN_IMAGE : CPIO_IN_STREAM,
                         &parse_events, &p);
        rc = started ? parse_segment(&p, &s, &at, e) : -1;
        cpio_reader_release(&p.reader);
        if (rc < 0)
            return err_prefix(e, "segment %zu%s%s%s at offset %llu", im->segments.n + 1,
                              started ? " (" : "",
                              started ? initrd_format_name(s.format) : "",
                              started ? ")" : "", (unsigned long long)s.offset);
        after_raw = s.format == INITRD_RAW;
        if (vec_push(&im->segments, s, e) < 0)
            return -1;
    }
    if (!im->segments.n)
        return err_set(e, ERR_INPUT, "no archive in it, %s",
                       im->len ? "only zeros" : "it is empty");
    return 0;
}

int initrd_parse(const void *image, size_t len_bytes, const struct initrd_limits *limits,
                 struct initrd **ret, struct err *e)
{
    static const struct initrd_limits defaults = INITRD_LIMITS_DEFAULT;
    auto_initrd struct initrd *im = mem_zalloc(1, sizeof *im, e);

    if (!im)
        return -1;
    im->image = image;
    im->len = len_bytes;
    im->limits = limits ? *limits : defaults;
    if (im->limits.max_unpacked_bytes > INITRD_MAX_UNPACKED_BYTES)
        im->limits.max_unpacked_bytes = INITRD_MAX_UNPACKED_BYTES;
    if (len_bytes > CODEC_MAX_INPUT)
        return err_set(e, ERR_INPUT, "initramfs: larger than %llu MiB",
                       CODEC_MAX_INPUT >> 20);
    if (view_new(&im->view, e) < 0)
        return -1;
    if (parse_all(im, e) < 0)
        return err_prefix(e, "initramfs");
    *ret = take_ptr(im);
    return 0;
}

void initrd_free(struct initrd *im)
{
    if (!im)
        return;
    vec_foreach (s, &im->strings)
        free(*s);
    vec_foreach (k, &im->kept)
        buf_release(&k->data);
    vec_release(&im->strings);
    vec_release(&im->kept);
    vec_release(&im->segments);
    vec_release(&im->entries);
    view_free(im->view);
    free(im);
}

size_t initrd_segments(const struct initrd *im, const struct initrd_segment **ret)
{
    *ret = im->segments.v;
    return im->segments.n;
}

size_t initrd_entries(const struct initrd *im, const struct initrd_entry **ret)
{
    *ret = im->entries.v;
    return im->entries.n;
}

/* ---- questions ---- */

bool initrd_stat(const struct initrd *im, const char *path, enum initrd_follow follow,
                 struct initrd_stat *ret)
{
    int64_t node = view_lookup(im->view, path, follow);

    if (node < 0)
        return false;
    if (ret)
        view_stat(im->view, (uint32_t)node, ret);
    return true;
}

bool initrd_has_file(const struct initrd *im, const char *path)
{
    struct initrd_stat st;

    return initrd_stat(im, path, INITRD_FOLLOW, &st) && S_ISREG(st.mode);
}

bool initrd_has_dir(const struct initrd *im, const char *path)
{
    struct initrd_stat st;

    return initrd_stat(im, path, INITRD_FOLLOW, &st) && S_ISDIR(st.mode);
}

int initrd_canonical(const struct initrd *im, const char *path, char **ret, struct err *e)
{
    return view_canonical(im->view, path, ret, e);
}

/* Unpacks a segment again to fetch one member. */
struct fetch {
    struct cpio_reader reader;
    uint64_t header_offset;
    uint32_t left;
    bool here;
    struct buf *out;
};

static int fetch_member(void *ctx, const struct initrd_entry *m, struct err *e)
{
    struct fetch *f = ctx;

    f->here = m->header_offset == f->header_offset;
    return 0;
}

static int fetch_data(void *ctx, const uint8_t *data, size_t len, struct err *e)
{
    struct fetch *f = ctx;

    if (!f->here)
        return 0;
    buf_add(f->out, data, len);
    f->left -= (uint32_t)len;
    return buf_check(f->out, e) < 0 ? -1 : !f->left;
}

static int fetch_trailer(void *ctx, struct err *e)
{
    return 0;
}

static const struct cpio_events fetch_events = {fetch_member, fetch_data, fetch_trailer};

static int fetch_sink(void *ctx, const uint8_t *data, size_t len, struct err *e)
{
    struct fetch *f = ctx;
    size_t eaten;

    return cpio_reader_feed(&f->reader, data, len, &eaten, e);
}

static int read_entry(const struct initrd *im, size_t index, struct buf *out,
                      struct err *e)
{
    const struct initrd_entry *m = &im->entries.v[index];
    const struct initrd_segment *s = &im->segments.v[m->segment];
    struct fetch f = {
        .header_offset = m->header_offset, .left = m->size_bytes, .out = out};
    size_t used;
    int rc;

    vec_foreach (k, &im->kept)
        if (k->entry == index) {
            buf_add(out, k->data.data, k->data.len);
            return buf_check(out, e);
        }
    if (s->format == INITRD_RAW) {
        buf_add(out, im->image + s->offset + m->data_offset, m->size_bytes);
        return buf_check(out, e);
    }
    cpio_reader_init(&f.reader, CPIO_IN_STREAM, &fetch_events, &f);
    rc = codec_unpack(s->format, im->image + s->offset, s->len_bytes, fetch_sink, &f,
                      &used, e);
    cpio_reader_release(&f.reader);
    return rc;
}

int initrd_read(const struct initrd *im, const char *path, size_t max_bytes,
                struct buf *out, struct err *e)
{
    int64_t node = view_lookup(im->view, path, INITRD_FOLLOW);
    size_t content, before = out->len;
    struct initrd_stat st;

    if (node < 0)
        return err_set(e, ERR_NOT_FOUND, "no /%.200s in the initramfs", path);
    view_stat(im->view, (uint32_t)node, &st);
    if (!S_ISREG(st.mode))
        return err_set(e, ERR_INPUT, "/%.200s in the initramfs is no regular file", path);
    if (st.size_bytes > max_bytes)
        return err_set(e, ERR_INPUT,
                       "/%.200s in the initramfs has %llu bytes, more than %zu", path,
                       (unsigned long long)st.size_bytes, max_bytes);
    content = view_content(im->view, (uint32_t)node);
    if (content == VIEW_NO_FILE || !st.size_bytes)
        return 0;
    if (read_entry(im, content, out, e) == 0)
        return 0;
    out->len = before;
    return err_prefix(e, "/%.200s in the initramfs", path);
}

struct walk {
    const struct initrd *im;
    int (*fn)(void *ctx, const char *path, const struct initrd_stat *st, struct err *e);
    void *ctx;
};

struct child {
    const char *name; /* owned copy, terminated */
    uint32_t node;
};

static int child_cmp(const void *a, const void *b)
{
    return strcmp(((const struct child *)a)->name, ((const struct child *)b)->name);
}

static int walk_dir(const struct walk *w, uint32_t dir, struct buf *path, struct err *e);

static int walk_child(const struct walk *w, const struct child *c, struct buf *path,
                      struct err *e)
{
    size_t len = path->len;
    struct initrd_stat st;
    int rc;

    if (len)
        buf_addc(path, '/');
    buf_adds(path, c->name);
    if (buf_check(path, e) < 0)
        return -1;
    view_stat(w->im->view, c->node, &st);
    rc = w->fn(w->ctx, path->data, &st, e);
    /* Depth is bounded by the view. */
    if (rc == 0 && S_ISDIR(st.mode))
        rc = walk_dir(w, c->node, path, e);
    path->len = len;
    path->data[len] = 0;
    return rc;
}

static int walk_dir(const struct walk *w, uint32_t dir, struct buf *path, struct err *e)
{
    struct view_nodes nodes = {0};
    struct VEC(struct child) children = {0};
    int rc = view_children(w->im->view, dir, &nodes, e);

    for (size_t i = 0; rc == 0 && i < nodes.n; i++) {
        size_t len;
        const char *name = view_name(w->im->view, nodes.v[i], &len);
        struct child c = {.name = str_ndup(name, len, e), .node = nodes.v[i]};

        rc = c.name ? vec_push(&children, c, e) : -1;
        if (rc < 0)
            free((char *)c.name);
    }
    vec_release(&nodes);
    if (rc == 0 && children.n)
        qsort(children.v, children.n, sizeof *children.v, child_cmp);
    for (size_t i = 0; rc == 0 && i < children.n; i++)
        rc = walk_child(w, &children.v[i], path, e);
    vec_foreach (c, &children)
        free((char *)c->name);
    vec_release(&children);
    return rc;
}

int initrd_walk(const struct initrd *im, const char *dir,
                int (*fn)(void *ctx, const char *path, const struct initrd_stat *st,
                          struct err *e),
                void *ctx, struct err *e)
{
    const struct walk w = {.im = im, .fn = fn, .ctx = ctx};
    auto_buf struct buf path = BUF_INIT;
    auto_free char *canonical = NULL;
    int64_t node = view_lookup(im->view, dir, INITRD_FOLLOW);
    struct initrd_stat st;

    if (node < 0)
        return 0;
    view_stat(im->view, (uint32_t)node, &st);
    if (!S_ISDIR(st.mode))
        return 0;
    if (view_path(im->view, (uint32_t)node, &canonical, e) < 0)
        return -1;
    buf_adds(&path, canonical);
    if (buf_reserve(&path, 1, e) < 0)
        return -1;
    return walk_dir(&w, (uint32_t)node, &path, e);
}
