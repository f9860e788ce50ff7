/* An EC2 instance as a machine to back up: "ec2://i-0123…". */
#ifndef HOTADD_FLOW_EC2_MACHINE_H
#define HOTADD_FLOW_EC2_MACHINE_H

#include "aws/ec2.h"
#include "disk/machine.h"

#include <jansson.h>

/* The instance's id, borrowed from the source's name; NULL: no such source. */
const char *ec2_source_instance(const char *source);

/* ERR_USAGE unless it is "ec2://i-" and hexadecimal digits. */
int ec2_source_check(const char *source, struct err *e) err_warn_unused;

/* The hardware of an instance as it is now, for a journal: {instance, name, cpus,
 * memory_bytes, firmware, nics: [mac], disks: [{device, volume, size_gib}]}, disks in the
 * order in which the guest boots from them, the root's first. ERR_REQUIREMENT for one
 * without EBS volumes or that is terminated. Owned. */
int ec2_machine_describe(struct aws *aws, const char *instance_id, json_t **ret,
                         struct err *e) err_warn_unused;

/* A machine of it; its disks have no sources yet. Owned. */
int ec2_machine_new(const json_t *described, struct machine **ret,
                    struct err *e) err_warn_unused;

/* Which of two device names comes first: "/dev/sdf" before "xvdba"; as strcmp(). */
int ec2_device_order(const char *a, const char *b);

#endif
