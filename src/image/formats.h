/* Between the readers of this folder; everybody else uses image/image.h. */
#ifndef HOTADD_IMAGE_FORMATS_H
#define HOTADD_IMAGE_FORMATS_H

#include "base/vec.h"
#include "image/blob.h"
#include "image/image.h"

enum image_format {
    FORMAT_UNKNOWN,
    FORMAT_RAW,
    FORMAT_VMDK_SPARSE, /* a sparse extent, its descriptor inside */
    FORMAT_VMDK_TEXT,   /* a descriptor on its own */
    FORMAT_VMDK_COWD,   /* ESX's vmfsSparse delta */
    FORMAT_VMDK_SESPARSE,
    FORMAT_QCOW2,
    FORMAT_VHD,
    FORMAT_VHDX,
    FORMAT_VDI,
    FORMAT_TAR,
    FORMAT_OVF,
    FORMAT_VMX,
    FORMAT_UTF16, /* text of any kind */
    FORMAT_GZIP,
    FORMAT_BZIP2,
    FORMAT_XZ,
    FORMAT_ZSTD,
    FORMAT_ZIP,
};

/* Looks at the beginning (and, for VHD, the end) of a blob. */
int image_detect(const struct blob *b, enum image_format *ret,
                 struct err *e) err_warn_unused;

/* Does it begin with a mark of UTF-16 and a letter of ASCII? */
bool image_is_utf16(const void *text, size_t n);

/* Does a disk's content look like one: a partition table, a file system, LVM? */
int image_looks_like_disk(const struct blob *b, bool *ret, struct err *e) err_warn_unused;

/* For messages: "qcow2", "a tar archive". */
const char *image_format_text(enum image_format f);

/* How files named in a description are found. */
struct image_dir;

/* The folder that holds `path`. */
int image_dir_of(const char *path, const struct image_options *opt,
                 struct image_dir **ret, struct err *e) err_warn_unused;
/* The members of a tar archive, seen from the folder of one of them. `members` is
 * borrowed and must outlive the result. */
struct tar_members;
int image_dir_of_tar(const struct blob *tar, const struct tar_members *members,
                     const char *member, struct image_dir **ret,
                     struct err *e) err_warn_unused;
void image_dir_free(struct image_dir *d);
DEFINE_AUTO_PTR(struct image_dir, image_dir_free)
#define auto_image_dir auto_call(image_dir_free_autop)

/* Opens a file by the name a description uses. ERR_NOT_FOUND when there is none. `who`
 * is the description's name, for the error. */
int image_dir_open(const struct image_dir *d, const char *name, const char *who,
                   struct blob **ret, struct err *e) err_warn_unused;

/* The folder in which the file of that name lies, for what it names itself. */
int image_dir_sub(const struct image_dir *d, const char *name, struct image_dir **ret,
                  struct err *e) err_warn_unused;

/* A disk in any single-image format. `dir` serves extents that a VMDK descriptor names;
 * NULL: there can be none. `b` is borrowed. */
int image_open_blob(const struct blob *b, const struct image_dir *dir,
                    const struct image_options *opt, struct source **ret,
                    struct err *e) err_warn_unused;

/* Sources. Each copies the blob (a slice of all of it) and the name. */
int raw_open(const struct blob *b, struct source **ret, struct err *e) err_warn_unused;
int zero_open(uint64_t size_bytes, const char *desc, struct source **ret,
              struct err *e) err_warn_unused;
/* `format` is FORMAT_VMDK_SPARSE or FORMAT_VMDK_TEXT. */
int vmdk_open(const struct blob *b, enum image_format format, const struct image_dir *dir,
              const struct image_options *opt, struct source **ret,
              struct err *e) err_warn_unused;
int nbd_uri_open(const char *uri, const struct image_options *opt, struct source **ret,
                 struct err *e) err_warn_unused;
int vhdx_open(const struct blob *b, struct source **ret, struct err *e) err_warn_unused;
int qcow2_open(const struct blob *b, struct source **ret, struct err *e) err_warn_unused;
int vhd_open(const struct blob *b, struct source **ret, struct err *e) err_warn_unused;
int vdi_open(const struct blob *b, struct source **ret, struct err *e) err_warn_unused;

/* Descriptions. `only`: open that disk alone (counting from 0), the others get a NULL
 * source. */
#define IMAGE_ALL_DISKS SIZE_MAX
#define IMAGE_NO_DISKS  (SIZE_MAX - 1)

struct ovf_package;
int ovf_machine(struct ovf_package *p, const struct image_options *opt, size_t only,
                struct machine **ret, struct err *e) err_warn_unused;
int vmx_machine(const struct blob *text, const struct image_dir *dir,
                const struct image_options *opt, size_t only, struct machine **ret,
                struct err *e) err_warn_unused;

/* Opens the disk in the file that a description calls `name` and that is `b`, when it is
 * wanted, and appends it to the machine. `name` is copied. */
int image_add_disk(struct machine *m, const char *name, const struct blob *b,
                   const struct image_dir *dir, const struct image_options *opt,
                   bool wanted, struct err *e) err_warn_unused;

/* The file name without folders, and without its extension when `strip`. Owned. */
char *image_base_name(const char *path, bool strip, struct err *e) err_warn_unused;

/* nbd://… and the like. */
bool image_is_uri(const char *s);

void image_note(const struct image_options *opt, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* A whole small text, refused when it holds a NUL or more than max bytes. Owned. */
int image_read_text(const struct blob *b, size_t max, char **ret, size_t *ret_len,
                    struct err *e) err_warn_unused;

#endif
