/* Linux initramfs images: read any, extend one with drivers, without running guest code.
 *
 * An image is a memory buffer of the caller's. Parsing unpacks it as a stream and keeps
 * only metadata (about 150 bytes an entry) and the few small files that decide how an
 * image works; the contents of any other file are unpacked again when asked for. Peak
 * memory is therefore the image, the metadata and one decompressor window, never the
 * unpacked tree.
 *
 * All questions are answered from the *kernel's view*: the tree that results when the
 * kernel unpacks every segment in order (docs/formats/initramfs.md), not from a list of
 * archive members. Paths are relative to the image's root; a leading '/' is ignored.
 *
 * Everything here is computation on memory: nothing blocks, nothing touches the disk,
 * no globals; one object belongs to one thread at a time, different objects are
 * independent. Images are hostile input: limits hold before memory is spent, and errors
 * name the segment and its offset (ERR_INPUT: damaged; ERR_UNSUPPORTED: valid, but not
 * something this code can extend, such as the pack format).
 *
 * Sources: Documentation/driver-api/early-userspace/buffer-format.rst and
 * init/initramfs.c of Linux for the format and its rules. */
#ifndef HOTADD_GUEST_INITRD_INITRD_H
#define HOTADD_GUEST_INITRD_INITRD_H

#include "base/buf.h"
#include "base/err.h"
#include "guest/initrd/modules.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* ---- reading ---- */

enum initrd_format {
    INITRD_RAW, /* an uncompressed newc archive */
    INITRD_GZIP,
    INITRD_BZIP2,
    INITRD_LZMA,
    INITRD_XZ,
    INITRD_LZ4, /* legacy framing, the only one the kernel reads */
    INITRD_ZSTD,
    INITRD_LZO, /* as lzop writes it */
};

/* "gzip", "uncompressed", … */
const char *initrd_format_name(enum initrd_format format);

struct initrd_limits {
    uint64_t max_unpacked_bytes; /* sum over all segments */
    size_t max_entries;
};
#define INITRD_LIMITS_DEFAULT                                                            \
    {                                                                                    \
        .max_unpacked_bytes = 512ull << 20, .max_entries = 200000                        \
    }
#define INITRD_MAX_UNPACKED_BYTES (1ull << 30) /* larger limits are lowered to this */

struct initrd_segment {
    enum initrd_format format;
    uint64_t offset, len_bytes; /* in the image, without padding around it */
    uint64_t unpacked_bytes;
    size_t first_entry, n_entries;
    bool early; /* microcode or ACPI tables that must stay in front */
};

/* One archive member as stored. */
struct initrd_entry {
    const char *path; /* as spelled in the archive */
    const char *link; /* target of a symbolic link, else NULL */
    uint32_t mode, uid, gid, nlink, mtime, ino;
    uint32_t dev_major, dev_minor; /* with ino: identity among hard links */
    uint32_t rdev_major, rdev_minor;
    uint32_t size_bytes;
    uint64_t header_offset, data_offset; /* in the unpacked segment */
    size_t segment;
};

struct initrd;

/* Parses the whole image. `image` is borrowed until initrd_free(). limits may be NULL. */
int initrd_parse(const void *image, size_t len_bytes, const struct initrd_limits *limits,
                 struct initrd **ret, struct err *e) err_warn_unused;
void initrd_free(struct initrd *im);
DEFINE_AUTO_PTR(struct initrd, initrd_free)
#define auto_initrd auto_call(initrd_free_autop)

/* Borrowed arrays; the count is returned. */
size_t initrd_segments(const struct initrd *im, const struct initrd_segment **ret);
size_t initrd_entries(const struct initrd *im, const struct initrd_entry **ret);

/* What the kernel would have at a path. */
struct initrd_stat {
    uint32_t mode, uid, gid, nlink;
    uint32_t rdev_major, rdev_minor;
    uint64_t size_bytes;
    const char *link; /* borrowed; target of a symbolic link, else NULL */
};

enum initrd_follow { INITRD_NOFOLLOW, INITRD_FOLLOW };

/* Does the path exist? Symbolic links in its directories are followed always, a final
 * one as `follow` says. ret may be NULL. */
bool initrd_stat(const struct initrd *im, const char *path, enum initrd_follow follow,
                 struct initrd_stat *ret);

/* Exists after following links, with S_IFREG or S_IFDIR respectively. */
bool initrd_has_file(const struct initrd *im, const char *path);
bool initrd_has_dir(const struct initrd *im, const char *path);

/* The spelling that leads to the same place without passing a symbolic link (final one
 * included), so that it can be written there: "lib/modules/K" becomes
 * "usr/lib/modules/K" where lib is a link. Parts that do not exist yet are kept.
 * Owned result. ERR_INPUT when something on the way is no directory, or links loop. */
int initrd_canonical(const struct initrd *im, const char *path, char **ret,
                     struct err *e) err_warn_unused;

/* Appends a regular file's contents (links followed). ERR_NOT_FOUND; ERR_INPUT when it
 * is larger than max_bytes or no regular file. May unpack the file's segment again. */
int initrd_read(const struct initrd *im, const char *path, size_t max_bytes,
                struct buf *out, struct err *e) err_warn_unused;

/* Calls fn with the canonical path and facts of everything below `dir` ("" is the root),
 * parents first, names sorted, symbolic links not followed. fn's non-zero result ends
 * the walk and is returned. A directory that does not exist is empty. */
int initrd_walk(const struct initrd *im, const char *dir,
                int (*fn)(void *ctx, const char *path, const struct initrd_stat *st,
                          struct err *e),
                void *ctx, struct err *e) err_warn_unused;

/* ---- what kind of image ---- */

enum initrd_tool {
    INITRD_TOOL_UNKNOWN,
    INITRD_TOOL_INITRAMFS_TOOLS,
    INITRD_TOOL_DRACUT,     /* hooks below lib/dracut/hooks */
    INITRD_TOOL_DRACUT_OLD, /* 004 to 009: hook directories at the root (RHEL 6) */
};

struct initrd_kind {
    enum initrd_tool tool;
    bool systemd;     /* /init leads to systemd */
    char version[64]; /* of dracut as it recorded it, "" when unknown */
};

void initrd_identify(const struct initrd *im, struct initrd_kind *ret);
const char *initrd_tool_name(enum initrd_tool tool);

/* Is the module (any spelling of '-' and '_') inside for that kernel, plain or
 * compressed? The canonical path goes to *ret_path (owned) when that is not NULL.
 * Only files count: for built-in modules see modules_find(). 1 yes, 0 no, -1 error. */
int initrd_find_module(const struct initrd *im, const char *kernel, const char *module,
                       char **ret_path, struct err *e) err_warn_unused;

/* The guest's own file of a module, unpacked: an ELF object, put into ret, which must be
 * empty. ERR_NOT_FOUND when there is no such file (it may be built in), ERR_INPUT when it
 * is damaged. */
int initrd_module_object(const struct modules *guest, const char *kernel,
                         const char *module, modules_read_fn read, void *ctx,
                         struct buf *ret, struct err *e) err_warn_unused;

/* ---- extending ---- */

enum initrd_need {
    INITRD_REQUIRED,   /* absent from the guest is ERR_REQUIREMENT */
    INITRD_IF_PRESENT, /* absent is reported and skipped */
};

struct initrd_want {
    const char *module; /* "nvme" */
    enum initrd_need need;
};

/* At the root of every image that initrd_extend() made. */
#define INITRD_SUPPLEMENT_MARK "hotadd.supplement"

/* A configuration file that the image shall have, in place of one it may have. */
struct initrd_extra {
    const char *path; /* "etc/lvm/lvm.conf"; borrowed, as is data */
    const void *data;
    size_t len;
};

enum initrd_join {
    INITRD_JOIN_AUTO,       /* by the format of the last segment */
    INITRD_JOIN_RAW,        /* zero padding, then an uncompressed archive */
    INITRD_JOIN_LZ4,        /* more frames of the same LZ4 stream */
    INITRD_JOIN_RECOMPRESS, /* last segment unpacked, extended, packed with gzip */
};

struct initrd_request {
    const char *kernel;          /* release, the directory below lib/modules */
    const struct modules *guest; /* modules_load() of the same kernel, borrowed */
    const struct initrd_want *want;
    size_t n_want;
    const struct initrd_extra *extra;
    size_t n_extra;
    modules_read_fn read; /* gives module files, "/lib/modules/K/…" */
    void *ctx;
    enum initrd_join join;
};

enum initrd_module_state {
    INITRD_MODULE_ADDED,   /* by this supplement */
    INITRD_MODULE_INSIDE,  /* the image already had it */
    INITRD_MODULE_BUILTIN, /* part of the kernel itself */
    INITRD_MODULE_ABSENT,  /* the guest has no such module (only with IF_PRESENT) */
};

struct initrd_module {
    char *name; /* owned, '_' spelling */
    enum initrd_module_state state;
    bool wanted; /* else a dependency */
};

struct initrd_extension {
    bool nothing_to_do; /* image is empty: keep the old one */
    struct buf image;   /* the complete new image */
    enum initrd_join join;
    struct initrd_kind kind;
    uint64_t supplement_bytes; /* unpacked */
    bool replaced_earlier;     /* an earlier supplement of ours was taken out */
    struct VEC(struct initrd_module) modules; /* wanted first, then dependencies */
};

/* Makes an image that has, besides everything the given one has, the wanted modules with
 * their dependencies, an index that finds them, and orders to load them by name. What is
 * inside already is not added again; an image that lacks nothing is left alone
 * (nothing_to_do), so that extending twice equals extending once. An earlier supplement
 * of ours is replaced, not stacked. The result has passed initrd_check(). Equal inputs
 * give equal bytes.
 * ERR_REQUIREMENT: a required module is nowhere in the guest; ERR_UNSUPPORTED: image of
 * an unknown tool. ret is untouched on failure; release it after success. */
int initrd_extend(const struct initrd *im, const struct initrd_request *rq,
                  struct initrd_extension *ret, struct err *e) err_warn_unused;
void initrd_extension_release(struct initrd_extension *x);
#define auto_initrd_extension auto_call(initrd_extension_release)

/* Would this image load the wanted modules? Every one that is not built in must be
 * visible to the kernel with all it depends on, and the index must lead to files that
 * exist. The error names the first thing missing. Needs no guest files but `guest`. */
int initrd_check(const struct initrd *im, const struct initrd_request *rq,
                 struct err *e) err_warn_unused;

#endif
