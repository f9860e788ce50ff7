/* What an OVF description says, before any disk is opened. Format: DMTF DSP0243 (1.1 and
 * 2.1) with CIM's resource allocation (DSP1041, DSP1042), and the additions of VMware and
 * VirtualBox. docs/formats/ovf.md lists what is read. */
#ifndef HOTADD_IMAGE_OVF_H
#define HOTADD_IMAGE_OVF_H

#include "base/vec.h"
#include "disk/machine.h"

/* CIM_ResourceAllocationSettingData.ResourceType */
enum ovf_resource {
    OVF_CPU = 3,
    OVF_MEMORY = 4,
    OVF_IDE = 5,
    OVF_SCSI = 6,
    OVF_ETHERNET = 10,
    OVF_DISK = 17,
    OVF_STORAGE = 20, /* SATA or NVMe, told apart by the subtype */
};

/* Strings are owned; NULL when absent. */
struct ovf_file {
    char *id, *href, *compression;
    uint64_t size, chunk; /* 0: not given */
};

struct ovf_disk {
    char *id, *file;         /* file: id of an ovf_file; NULL: an empty disk */
    uint64_t capacity_bytes; /* 0: not given as a number */
    bool is_delta;
};

struct ovf_item {
    unsigned type;
    char *instance, *parent, *subtype, *connection, *address, *host, *name;
    uint64_t quantity;
    char *units;
    unsigned position; /* AddressOnParent */
    bool has_position;
};

struct ovf {
    char *name, *guest_id, *system_type;
    enum firmware firmware;
    bool secure_boot;
    struct VEC(struct ovf_file) files;
    struct VEC(struct ovf_disk) disks;
    struct VEC(struct ovf_item) items;
};

int ovf_parse(const char *text, size_t len, const char *name, struct ovf *ret,
              struct err *e) err_warn_unused;
void ovf_release(struct ovf *o);

/* Bytes in a unit: "byte * 2^20", "MegaBytes", "" or NULL for a byte. */
int ovf_units(const char *units, uint64_t *ret_bytes, struct err *e) err_warn_unused;

#endif
