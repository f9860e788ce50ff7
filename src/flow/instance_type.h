/* Which instance type a machine gets: the smallest that has its CPUs and memory, that
 * its guest can drive and that boots the way its disks do. A pure choice over
 * DescribeInstanceTypes' answer. */
#ifndef HOTADD_FLOW_INSTANCE_TYPE_H
#define HOTADD_FLOW_INSTANCE_TYPE_H

#include "aws/ec2.h"

struct type_wish {
    uint64_t cpus;         /* 0: not described, any */
    uint64_t memory_bytes; /* 0: not described, any */
    const char *boot_mode; /* "legacy-bios" or "uefi" */
    bool nitro_ok;         /* the guest drives NVMe and ENA */
    bool xen_ok;           /* the guest drives xen-blkfront and xen-netfront */
};

/* Whether the machine can run on this type at all: architecture, hypervisor, boot mode.
 * Size is the user's choice. -1 with ERR_REQUIREMENT says why not and what would do. */
int instance_type_fits(const struct ec2_instance_type *type, const struct type_wish *wish,
                       struct err *e) err_warn_unused;

/* The best of `types`, borrowed from it. Preference: fewest vCPUs and least memory that
 * suffice, then current generation, then general purpose before others, newest first;
 * burstable types only where nothing else is as small. ERR_REQUIREMENT when none fits.
 */
int instance_type_choose(const struct ec2_instance_types *types,
                         const struct type_wish *wish,
                         const struct ec2_instance_type **ret,
                         struct err *e) err_warn_unused;

#endif
