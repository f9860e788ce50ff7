/* Opening whatever a path or URI names; see image.h. The only file that knows all the
 * readers. */
#include "image/package.h"

#include "base/log.h"
#include "base/str.h"

#include <inttypes.h>
#include <stdarg.h>
#include <strings.h>

#define MAX_TEXT_HEAD 3 /* a byte order mark */

bool image_is_uri(const char *s)
{
    return str_starts(s, "nbd://") || str_starts(s, "nbds://") ||
           str_starts(s, "nbd+unix://") || str_starts(s, "nbds+unix://");
}

void image_note(const struct image_options *opt, const char *fmt, ...)
{
    char text[sizeof((struct err *)0)->msg];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    log_debug("%s", text);
    if (opt && opt->note)
        opt->note(opt->note_ctx, text);
}

static int refuse(const struct blob *b, enum image_format f, struct err *e)
{
    switch (f) {
    case FORMAT_VMDK_COWD:
    case FORMAT_VMDK_SESPARSE:
        return err_set(e, ERR_UNSUPPORTED,
                       "%s is %s, ESX's format of snapshot deltas: consolidate the VM's "
                       "snapshots, or export it as OVF",
                       b->name, image_format_text(f));
    case FORMAT_GZIP:
    case FORMAT_BZIP2:
    case FORMAT_XZ:
    case FORMAT_ZSTD:
    case FORMAT_ZIP:
        return err_set(
            e, ERR_UNSUPPORTED,
            "%s is %s: its parts cannot be reached in any order; decompress it "
            "first",
            b->name, image_format_text(f));
    case FORMAT_UTF16:
        return err_set(e, ERR_UNSUPPORTED,
                       "%s is %s: save it as UTF-8 (`iconv -f UTF-16 -t UTF-8`)", b->name,
                       image_format_text(f));
    default:
        return err_set(e, ERR_UNSUPPORTED, "%s is %s, where a disk image is expected",
                       b->name, image_format_text(f));
    }
}

int image_read_text(const struct blob *b, size_t max, char **ret, size_t *ret_len,
                    struct err *e)
{
    auto_free char *text = NULL;

    if (b->len > max)
        return err_set(e, ERR_INPUT,
                       "%s: %" PRIu64 " bytes of text; at most %zu are read", b->name,
                       b->len, max);
    text = mem_zalloc(b->len + 1, 1, e);
    if (!text || blob_read(b, text, b->len, 0, e) < 0)
        return -1;
    if (image_is_utf16(text, b->len))
        return refuse(b, FORMAT_UTF16, e);
    if (strlen(text) != b->len)
        return err_set(e, ERR_INPUT, "%s: a NUL byte at byte %zu: this is no text file",
                       b->name, strlen(text));
    if (memcmp(text, "\xef\xbb\xbf", b->len < MAX_TEXT_HEAD ? b->len : MAX_TEXT_HEAD) ==
            0 &&
        b->len >= MAX_TEXT_HEAD)
        memmove(text, text + MAX_TEXT_HEAD, b->len - MAX_TEXT_HEAD + 1);
    *ret_len = strlen(text);
    *ret = take_ptr(text);
    return 0;
}

/* ------------------------------------------------------------- single disk images */

static const struct {
    const char *name;
    enum image_format format;
} format_names[] = {
    {"raw", FORMAT_RAW}, {"vmdk", FORMAT_VMDK_SPARSE}, {"qcow2", FORMAT_QCOW2},
    {"vhd", FORMAT_VHD}, {"vpc", FORMAT_VHD},          {"vhdx", FORMAT_VHDX},
    {"vdi", FORMAT_VDI},
};

static int wanted_format(const struct image_options *opt, enum image_format *ret,
                         struct err *e)
{
    *ret = FORMAT_UNKNOWN;
    if (!opt || !opt->format)
        return 0;
    for (size_t i = 0; i < sizeof format_names / sizeof format_names[0]; i++)
        if (str_eq(opt->format, format_names[i].name)) {
            *ret = format_names[i].format;
            return 0;
        }
    return err_set(e, ERR_USAGE,
                   "unknown image format \"%s\": raw, vmdk, qcow2, vhd, vhdx and vdi are "
                   "read",
                   opt->format);
}

static bool is_vmdk(enum image_format f)
{
    return f == FORMAT_VMDK_SPARSE || f == FORMAT_VMDK_TEXT || f == FORMAT_VMDK_COWD ||
           f == FORMAT_VMDK_SESPARSE;
}

/* The format to read the blob as: what was asked for, when its content agrees, else what
 * it is. */
static int choose_format(const struct blob *b, const struct image_options *opt,
                         enum image_format *ret, struct err *e)
{
    enum image_format want, is;

    if (wanted_format(opt, &want, e) < 0)
        return -1;
    if (want == FORMAT_RAW) {
        *ret = FORMAT_RAW;
        return 0;
    }
    if (image_detect(b, &is, e) < 0)
        return -1;
    if (want != FORMAT_UNKNOWN && is != want && !(is_vmdk(want) && is_vmdk(is)))
        return err_set(e, ERR_INPUT, "%s is %s, not %s", b->name, image_format_text(is),
                       image_format_text(want));
    *ret = is;
    return 0;
}

static bool named_raw(const char *name)
{
    static const char *const ends[] = {".img", ".raw", ".dd", ".bin"};

    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++)
        if (strlen(name) > strlen(ends[i]) &&
            strcasecmp(name + strlen(name) - strlen(ends[i]), ends[i]) == 0)
            return true;
    return false;
}

/* Nothing marks a raw image, so anything would pass: it must at least be called one, be
 * a device, or hold what disks hold. */
static int open_as_raw(const struct blob *b, struct source **ret, struct err *e)
{
    bool plausible;

    if (str_ends(b->name, "-flat.vmdk"))
        return err_set(e, ERR_USAGE,
                       "%s is the data of a flat VMDK: name the small .vmdk file that "
                       "describes it (or say --format raw)",
                       b->name);
    if (image_looks_like_disk(b, &plausible, e) < 0)
        return -1;
    if (!b->is_device && !(plausible || named_raw(b->name)))
        return err_set(e, ERR_UNSUPPORTED,
                       "%s is of no known format, and no partition table or file system "
                       "is in it: if it is a raw disk image, say so with --format raw",
                       b->name);
    if (b->len % 512)
        return err_set(e, ERR_INPUT,
                       "%s has %" PRIu64
                       " bytes, which is no multiple of 512: if it is a "
                       "raw disk image, it is truncated; say --format raw to read it so",
                       b->name, b->len);
    return raw_open(b, ret, e);
}

int image_open_blob(const struct blob *b, const struct image_dir *dir,
                    const struct image_options *opt, struct source **ret, struct err *e)
{
    enum image_format f = FORMAT_UNKNOWN;

    if (choose_format(b, opt, &f, e) < 0)
        return -1;
    switch (f) {
    case FORMAT_RAW:
        return raw_open(b, ret, e);
    case FORMAT_UNKNOWN:
        return open_as_raw(b, ret, e);
    case FORMAT_VMDK_SPARSE:
    case FORMAT_VMDK_TEXT:
        return vmdk_open(b, f, dir, opt, ret, e);
    case FORMAT_VHDX:
        return vhdx_open(b, ret, e);
    case FORMAT_QCOW2:
        return qcow2_open(b, ret, e);
    case FORMAT_VHD:
        return vhd_open(b, ret, e);
    case FORMAT_VDI:
        return vdi_open(b, ret, e);
    default:
        return refuse(b, f, e);
    }
}

int image_add_disk(struct machine *m, const char *name, const struct blob *b,
                   const struct image_dir *dir, const struct image_options *opt,
                   bool wanted, struct err *e)
{
    auto_free char *copy = str_dup(name, e);
    auto_image_dir struct image_dir *sub = NULL;
    auto_source struct source *s = NULL;
    struct machine_disk d = {0};

    if (!copy || (wanted && (image_dir_sub(dir, name, &sub, e) < 0 ||
                             image_open_blob(b, sub, opt, &s, e) < 0)))
        return -1;
    d.name = copy;
    d.source = s;
    d.size_bytes = s ? s->size_bytes : 0;
    if (vec_push(&m->disks, d, e) < 0)
        return -1;
    take_ptr(copy);
    take_ptr(s);
    return 0;
}

/* ----------------------------------------------------------------------- machines */

/* The source becomes the machine's only disk. */
static int machine_of_source(const char *name, struct source **s, struct machine **ret,
                             struct err *e)
{
    auto_machine struct machine *m = NULL;
    struct machine_disk d = {0};

    if (machine_new(name, &m, e) < 0)
        return -1;
    d.name = str_dup(name, e);
    d.source = *s;
    d.size_bytes = (*s)->size_bytes;
    if (!d.name || vec_push(&m->disks, d, e) < 0) {
        free(d.name);
        return -1;
    }
    *s = NULL;
    *ret = take_ptr(m);
    return 0;
}

static int open_image_file(const char *path, const struct blob *b,
                           const struct image_options *opt, struct machine **ret,
                           struct err *e)
{
    auto_free char *name = image_base_name(path, true, e);
    auto_image_dir struct image_dir *dir = NULL;
    auto_source struct source *s = NULL;

    if (!name || image_dir_of(path, opt, &dir, e) < 0 ||
        image_open_blob(b, dir, opt, &s, e) < 0)
        return -1;
    return machine_of_source(name, &s, ret, e);
}

/* The machine is named after the export, else "nbd". */
static int open_uri(const char *uri, const struct image_options *opt,
                    struct machine **ret, struct err *e)
{
    const char *rest = strstr(uri, "://") + 3, *slash = strchr(rest, '/');
    size_t n = slash ? strcspn(slash + 1, "?#") : 0;
    auto_free char *name = n ? str_ndup(slash + 1, n, e) : str_dup("nbd", e);
    auto_source struct source *s = NULL;

    if (opt && opt->format)
        return err_set(e, ERR_USAGE,
                       "%s: an NBD export has no image format; serve the "
                       "image's contents",
                       uri);
    if (!name || nbd_uri_open(uri, opt, &s, e) < 0)
        return -1;
    return machine_of_source(name, &s, ret, e);
}

static int open_vmx(const char *path, const struct blob *b,
                    const struct image_options *opt, size_t only, struct machine **ret,
                    struct err *e)
{
    auto_image_dir struct image_dir *dir = NULL;

    if (image_dir_of(path, opt, &dir, e) < 0)
        return -1;
    return vmx_machine(b, dir, opt, only, ret, e);
}

static int open_path(const char *path, const struct image_options *opt, size_t only,
                     struct machine **ret, struct err *e)
{
    auto_ovf_package struct ovf_package *p = NULL;
    auto_blob struct blob *b = NULL;
    enum image_format f = FORMAT_UNKNOWN;

    if (image_is_uri(path))
        return open_uri(path, opt, ret, e);
    if (strstr(path, "://"))
        return err_set(e, ERR_USAGE,
                       "%s: nbd, nbds, nbd+unix and nbds+unix are the URIs that are read",
                       path);
    if (blob_open(-1, path, path, &b, e) < 0)
        return -1;
    if (b->len == 0)
        return err_set(e, ERR_INPUT, "%s is empty", path);
    if (!(opt && opt->format) && image_detect(b, &f, e) < 0)
        return -1;
    if (f == FORMAT_TAR || f == FORMAT_OVF) {
        if (ovf_package_from(path, b, f, opt, &p, e) < 0)
            return -1;
        return ovf_machine(p, opt, only, ret, e);
    }
    if (f == FORMAT_VMX)
        return open_vmx(path, b, opt, only, ret, e);
    return open_image_file(path, b, opt, ret, e);
}

int image_open(const char *path_or_uri, const struct image_options *opt,
               struct machine **ret, struct err *e)
{
    return open_path(path_or_uri, opt, IMAGE_ALL_DISKS, ret, e);
}

/* ----------------------------------------------------------------------- one disk */

/* "vm.ova#2" is disk 2 of vm.ova, unless a file has that name. */
static int split_fragment(const char *arg, const char *disk, char **ret_path,
                          const char **ret_disk, struct err *e)
{
    const char *hash = strrchr(arg, '#');

    *ret_disk = disk;
    if (disk || !hash || image_is_uri(arg) || access(arg, F_OK) == 0) {
        *ret_path = str_dup(arg, e);
    } else {
        *ret_path = str_ndup(arg, (size_t)(hash - arg), e);
        *ret_disk = hash + 1;
    }
    return *ret_path ? 0 : -1;
}

int image_open_disk(const char *path_or_uri, const char *disk,
                    const struct image_options *opt, struct machine **ret, struct err *e)
{
    auto_machine struct machine *m = NULL;
    auto_free char *path = NULL;
    size_t i;

    if (split_fragment(path_or_uri, disk, &path, &disk, e) < 0)
        return -1;
    /* Once for the names (no disk of a description is opened), once for the disk. */
    if (open_path(path, opt, IMAGE_NO_DISKS, &m, e) < 0 ||
        machine_disk_find(m, path, disk, &i, e) < 0)
        return -1;
    if (!m->disks.v[i].source) {
        machine_free(take_ptr(m));
        if (open_path(path, opt, i, &m, e) < 0)
            return -1;
    }
    /* A description that changed between the two readings. */
    if (i >= m->disks.n || !m->disks.v[i].source)
        return err_set(e, ERR_BUSY, "%s was changed while it was opened", path);
    machine_keep_disk(m, i);
    *ret = take_ptr(m);
    return 0;
}
