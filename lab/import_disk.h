/* The disks of an import: a stranger's file in one of VM Import's formats turned into a
 * raw file, by qemu-img as a confined child (confine_main.c). No lock is held; each may
 * take as long as copying a disk takes. Failures that the import's status message tells
 * are ERR_INPUT with the words VM Import has for them; others are the lab's own. */
#ifndef HOTADD_LAB_IMPORT_DISK_H
#define HOTADD_LAB_IMPORT_DISK_H

#include "base/cancel.h"
#include "base/err.h"

#include <stdint.h>

/* What import takes: "RAW", "VHD", "VHDX", "VMDK", in any case; in upper case, borrowed
 * for ever, or NULL. */
const char *import_format(const char *name);

/* Checks that the file is in that format (never guessed at) and what size of disk it
 * holds. */
int import_disk_size(int fd, const char *format, const struct cancel *cancel,
                     uint64_t *ret_bytes, struct err *e) err_warn_unused;

/* Called now and then, on the caller's thread, with 0 to 100. */
typedef void import_progress(void *ctx, unsigned percent);

/* Writes the disk to `out_path`, made new, sparse, and out_bytes long (at least the
 * disk's size). On failure the file is gone. */
int import_disk_convert(int fd, const char *format, const char *out_path,
                        uint64_t out_bytes, const struct cancel *cancel,
                        import_progress *progress, void *ctx,
                        struct err *e) err_warn_unused;

/* What the partitions of a raw disk tell of its machine. */
struct import_traits {
    bool partitions; /* there is a table of them, not empty */
    bool uefi;       /* GPT, an EFI system partition, and nothing for BIOS to boot */
    bool ntfs;
};
int import_disk_traits(const char *path, struct import_traits *ret,
                       struct err *e) err_warn_unused;

#endif
