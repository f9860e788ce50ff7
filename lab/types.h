/* Instance types: what each machine has and can boot. */
#ifndef HOTADD_LAB_TYPES_H
#define HOTADD_LAB_TYPES_H

#include "base/err.h"
#include "base/json.h"

#include <stdbool.h>

enum type_arch { TYPE_X86 = 1, TYPE_I386 = 2, TYPE_ARM = 4 };
enum type_need { TYPE_UNSUPPORTED, TYPE_SUPPORTED, TYPE_REQUIRED };

struct type_family {
    const char *name;       /* "m5" */
    const char *hypervisor; /* "nitro", "xen" */
    const char *cpu;        /* manufacturer */
    double ghz;
    unsigned arch;            /* enum type_arch, or-ed */
    enum type_need ena, nvme; /* nvme: how EBS volumes appear */
    bool bios, uefi, current, burstable;
    bool dedicated;     /* EBS volumes do not share slots with interfaces */
    unsigned ebs_limit; /* shared: with interfaces; else volumes alone */
    unsigned threads;   /* per core */
};

struct instance_type {
    const char *name; /* "m5.large" */
    unsigned vcpus;
    unsigned memory_mib;
    unsigned interfaces; /* most network interfaces */
    unsigned addresses;  /* IPv4 per interface */
    const struct type_family *family;
};

/* NULL when there is none of that name. */
const struct instance_type *type_find(const char *name);

/* The i-th type, NULL after the last. */
const struct instance_type *type_at(size_t i);

/* Volumes that an instance with so many interfaces may have. */
unsigned type_volume_limit(const struct instance_type *t, unsigned interfaces);

/* As DescribeInstanceTypes answers it; owned. */
int type_document(const struct instance_type *t, json_t **ret,
                  struct err *e) err_warn_unused;

#endif
