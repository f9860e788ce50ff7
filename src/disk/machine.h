/* A virtual machine as its source describes it: what the instance must be like. Filled
 * by readers of OVF, VMX and recovery points, read by requirements and flows. */
#ifndef HOTADD_DISK_MACHINE_H
#define HOTADD_DISK_MACHINE_H

#include "base/auto.h"
#include "base/vec.h"
#include "disk/source.h"

#include <jansson.h>

enum firmware { FIRMWARE_UNKNOWN, FIRMWARE_BIOS, FIRMWARE_UEFI };

struct machine_disk {
    char *name;            /* owned: file name or id in the description, for people */
    struct source *source; /* owned */
    char *origin; /* owned: what exactly it was read from, when a later read can ask what
                     changed since then ("snap-0123…"); else NULL */
    uint64_t size_bytes;
    uint32_t controller; /* order of the controller in the description */
    uint32_t unit;       /* position on it */
};

struct machine_nic {
    char *mac;     /* owned; NULL when not described */
    char *model;   /* owned: "VmxNet3", "E1000"; NULL when not described */
    char *network; /* owned; NULL when not described */
};

/* Disks are in the order in which the guest's BIOS sees them: the first is the boot
 * disk (/dev/sda), the second /dev/sdb. */
struct machine {
    char *name;     /* owned, never NULL */
    char *guest_id; /* owned: VMware's ("debian12_64Guest"); NULL when not described */
    uint32_t cpus;  /* 0: not described */
    uint64_t memory_bytes; /* 0: not described */
    enum firmware firmware;
    bool secure_boot;
    struct VEC(struct machine_disk) disks;
    struct VEC(struct machine_nic) nics;
};

int machine_new(const char *name, struct machine **ret, struct err *e) err_warn_unused;
void machine_free(struct machine *m);
DEFINE_AUTO_PTR(struct machine, machine_free)
#define auto_machine auto_call(machine_free_autop)

/* The disk that `disk` names: its number, counting from 1, or its name; NULL: the only
 * one there is. ERR_USAGE lists the disks of `what`. */
int machine_disk_find(const struct machine *m, const char *what, const char *disk,
                      size_t *ret, struct err *e) err_warn_unused;

/* The machine keeps that disk alone. */
void machine_keep_disk(struct machine *m, size_t i);

const char *firmware_name(enum firmware f); /* "bios", "uefi", "unknown" */

/* For --json, plans and the journal: names, sizes and hardware, not the sources. The
 * result is owned; NULL when out of memory (e set). */
json_t *machine_json(const struct machine *m, struct err *e) err_warn_unused;

#endif
