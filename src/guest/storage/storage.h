/* The guest's disks: partition tables and what each volume holds, read from a few
 * sectors, which under emulation is a hundred times quicker than parted and blkid in the
 * appliance. Pure, except for the caller's reader; sectors are hostile.
 *
 * Sources: UEFI 2.10 section 5 (GPT, MBR); the on-disk headers of Linux 6.1 (ext4, XFS,
 * Btrfs, JFS, swap, md), LVM2's label, LUKS 1 and 2, NTFS and FAT boot sectors. */
#ifndef HOTADD_GUEST_STORAGE_STORAGE_H
#define HOTADD_GUEST_STORAGE_STORAGE_H

#include "base/auto.h"
#include "base/buf.h"
#include "base/vec.h"

#include <stdbool.h>
#include <stdint.h>

struct partition {
    uint32_t number; /* as Linux numbers it, from 1 */
    uint64_t offset_bytes, size_bytes;
    bool active;       /* MBR: the one that boot code starts */
    uint8_t mbr_type;  /* 0 on GPT */
    char uuid[40];     /* PARTUUID as Linux writes it */
    bool esp;          /* EFI system partition */
    bool bios_boot;    /* GPT: holds GRUB's core image */
    bool container;    /* MBR extended partition: holds others */
    bool dynamic_disk; /* Windows LDM */
};

struct storage_disk {
    char *device;      /* owned: "/dev/sda" */
    const char *table; /* "msdos", "gpt", "none" */
    uint64_t size_bytes;
    bool boot_code; /* something to run in sector 0 */
    bool grub;      /* which says GRUB */
    struct VEC(struct partition) partitions;
};

/* Reads len bytes at offset of the disk, all of them. */
typedef int (*sector_read_fn)(void *ctx, uint64_t offset, size_t len, struct buf *out,
                              struct err *e);

/* Fills table, boot_code and partitions of `disk`, whose device and size are set.
 * A damaged table is ERR_INPUT. */
int partitions_read(struct storage_disk *disk, sector_read_fn read, void *ctx,
                    struct err *e) err_warn_unused;

/* What a volume (partition, logical volume, whole disk) holds. */
struct fs_facts {
    char type[24];  /* as blkid names it: "ext4", "LVM2_member", "crypto_LUKS"; "" unknown
                     */
    char uuid[48];  /* "" none */
    char label[64]; /* as stored; "" none */
    bool unreplayed; /* ext3/4: its journal holds changes */
    bool errors;     /* ext*: the kernel found errors and no check was made since */
};
#define FS_PROBE_BYTES 69632 /* how much of the beginning fs_probe() looks at */

/* data: the first FS_PROBE_BYTES, or less if the volume is smaller. */
void fs_probe(const void *data, size_t len, struct fs_facts *ret);

/* Linux software RAID keeps its mark at the end in formats 0.90 and 1.0: where to read
 * 4096 bytes each, and whether they are one. */
void md_end_offsets(uint64_t size_bytes, uint64_t ret[2]);
bool md_at_end(const void *data, size_t len);

/* A volume of the guest. */
struct volume {
    char *device; /* owned: "/dev/sda1", "/dev/vg/root" */
    struct fs_facts fs;
    uint64_t size_bytes;
    uint32_t disk;      /* index; UINT32_MAX for logical volumes and md */
    uint32_t partition; /* number; 0: whole disk */
    char partuuid[40];  /* "" none */
    char array[40];     /* software RAID: "0", "root"; the guest calls it /dev/md0 or
                         * /dev/md/root, whatever number it has here; "" none */
    bool esp;
};

struct storage {
    struct VEC(struct storage_disk) disks;
    struct VEC(struct volume) volumes;
};
void storage_release(struct storage *s);

/* Borrowed; NULL when there is none. */
const struct volume *storage_at(const struct storage *s, uint32_t disk,
                                uint32_t partition);
const struct volume *storage_by_uuid(const struct storage *s, const char *uuid);
const struct volume *storage_by_label(const struct storage *s, const char *label);
const struct volume *storage_by_partuuid(const struct storage *s, const char *uuid);
/* Also an array by what the guest calls it. */
const struct volume *storage_by_device(const struct storage *s, const char *device);

/* A file system that a Linux root may be on. */
bool fs_is_linux_root(const char *type);
/* That the appliance can mount as a guest's. */
bool fs_is_mountable(const char *type);

#endif
