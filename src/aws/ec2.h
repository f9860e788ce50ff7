/* EC2 (Query API, version 2016-11-15): one C function per API action, named after it,
 * with structs that hold what hotadd uses and nothing more.
 *
 * Inputs are borrowed for the call; NULL, 0 and EC2_DEFAULT mean "parameter not sent".
 * Results own their strings and lists; strings are never NULL ("" when EC2 left them
 * out). Every result type has a _release(). Outputs are untouched on failure. Nothing
 * here waits for a state: see wait.h.
 *
 * Dry runs: every mutating call takes `dry_run`. With it EC2 only says whether the call
 * would be allowed: 0 (outputs zeroed, safe to release) when it would, ERR_DENIED when
 * not; ec2_allowed() turns other errors into "not known".
 *
 * Lost replies: calls are repeated after a lost connection, so each says below why that
 * is safe. *Token*: EC2's ClientToken makes the repetition harmless; the caller must
 * keep the token in its journal before the call, and calling again with the same token
 * after a crash returns the same resource. *State*: we look whether the first try took
 * effect and answer accordingly, so the call may be entered again after a crash.
 *
 * Lists are read to their end over all pages (at most EC2_MAX_ITEMS items: more is
 * ERR_UNSUPPORTED). See aws.h for threads, blocking and errors. */
#ifndef HOTADD_AWS_EC2_H
#define HOTADD_AWS_EC2_H

#include "aws/aws.h"
#include "base/buf.h"
#include "base/vec.h"

#include <stddef.h>
#include <stdint.h>

#define EC2_MAX_ITEMS 100000

/* ---- Words shared by many calls ---- */

struct ec2_strs {
    const char *const *v;
    size_t n;
};
/* EC2_STRS("vol-1", "vol-2"): a borrowed list as long as its block. */
#define EC2_STRS(...)                                                                    \
    ((struct ec2_strs){.v = (const char *const[]){__VA_ARGS__},                          \
                       .n = sizeof((const char *const[]){__VA_ARGS__}) /                 \
                            sizeof(const char *)})

struct ec2_filter {
    const char *name; /* "tag:hotadd:job", "attachment.instance-id" */
    struct ec2_strs values;
};

/* What to describe: all that fit every condition given. */
struct ec2_query {
    struct ec2_strs ids; /* an unknown id is ERR_NOT_FOUND for the whole call */
    const struct ec2_filter *filters;
    size_t n_filters;
    struct ec2_strs owners; /* images and snapshots only: "self", "amazon", account */
};

struct ec2_tag_in {
    const char *key, *value;
};

struct ec2_tags_in {
    const struct ec2_tag_in *v;
    size_t n;
};

enum ec2_flag { EC2_DEFAULT = 0, EC2_NO, EC2_YES };

struct ec2_tag {
    char *key, *value;
};
struct ec2_tags VEC(struct ec2_tag);

/* Value of a tag, borrowed, or NULL. */
const char *ec2_tag_value(const struct ec2_tags *tags, const char *key);

enum ec2_verdict { EC2_ALLOWED, EC2_DENIED, EC2_UNKNOWN };
/* Reads the outcome (0 or -1 and its error) of a call made with dry_run. */
enum ec2_verdict ec2_allowed(int outcome, const struct err *e);

/* ---- Volumes ---- */

struct ec2_attachment {
    char *instance_id;
    char *device; /* the requested name, "/dev/sdf" */
    char *state;  /* attaching, attached, detaching, detached, busy */
    bool delete_on_termination;
};
struct ec2_attachments VEC(struct ec2_attachment);

struct ec2_volume {
    char *id;
    char *state; /* creating, available, in-use, deleting, deleted, error */
    char *zone;
    char *type; /* gp3, … */
    char *snapshot_id;
    char *kms_key_id;
    uint64_t size_gib;
    uint64_t iops;
    uint64_t throughput_mibps;
    bool encrypted;
    struct ec2_attachments attachments;
    struct ec2_tags tags;
};
struct ec2_volumes VEC(struct ec2_volume);

struct ec2_create_volume_in {
    const char *zone; /* required */
    const char *type; /* NULL: EC2's default, gp2: say gp3 */
    uint64_t size_gib;
    uint64_t iops;
    uint64_t throughput_mibps;
    enum ec2_flag encrypted;
    const char *kms_key_id; /* implies encrypted */
    const char *snapshot_id;
    uint64_t initialization_rate_mibps; /* with snapshot_id: 100 to 300 */
    const char *client_token;           /* required */
    struct ec2_tags_in tags;
    bool dry_run;
};

/* Lost reply: token. */
int ec2_create_volume(struct aws *aws, const struct ec2_create_volume_in *in,
                      struct ec2_volume *ret, struct err *e) err_warn_unused;

struct ec2_copy_volumes_in {
    const char *source_volume_id; /* required; same zone */
    const char *type;
    uint64_t size_gib;
    uint64_t iops;
    uint64_t throughput_mibps;
    const char *client_token; /* required */
    struct ec2_tags_in tags;
    bool dry_run;
};

/* A clone of the volume as it is now, in its zone. An endpoint too old for it answers
 * InvalidAction: ERR_UNSUPPORTED. Lost reply: token. */
int ec2_copy_volumes(struct aws *aws, const struct ec2_copy_volumes_in *in,
                     struct ec2_volume *ret, struct err *e) err_warn_unused;

/* A volume that is gone already counts as deleted, after settle time. ERR_BUSY while
 * attached. Lost reply: state. */
int ec2_delete_volume(struct aws *aws, const char *volume_id, bool dry_run,
                      struct err *e) err_warn_unused;

/* Attached to that instance at that device already counts as success; anywhere else is
 * ERR_BUSY naming the place. Returns when EC2 accepted it: ec2_wait_attached().
 * Lost reply: state. */
int ec2_attach_volume(struct aws *aws, const char *volume_id, const char *instance_id,
                      const char *device, bool dry_run, struct err *e) err_warn_unused;

/* Not attached to that instance (any more) counts as success. Returns when EC2 accepted
 * it: ec2_wait_detached(). Flush and close the device first. Lost reply: state. */
int ec2_detach_volume(struct aws *aws, const char *volume_id, const char *instance_id,
                      bool dry_run, struct err *e) err_warn_unused;

struct ec2_modify_volume_in {
    const char *volume_id; /* required */
    const char *type;
    uint64_t size_gib;
    uint64_t iops;
    uint64_t throughput_mibps;
    bool dry_run;
};

/* A volume that has, or is being given, exactly these settings counts as success (EC2
 * allows one modification per six hours: ERR_BUSY). Lost reply: state. */
int ec2_modify_volume(struct aws *aws, const struct ec2_modify_volume_in *in,
                      struct err *e) err_warn_unused;

int ec2_describe_volumes(struct aws *aws, const struct ec2_query *query,
                         struct ec2_volumes *ret, struct err *e) err_warn_unused;
int ec2_describe_volume(struct aws *aws, const char *volume_id, struct ec2_volume *ret,
                        struct err *e) err_warn_unused;
void ec2_volume_release(struct ec2_volume *v);
void ec2_volumes_release(struct ec2_volumes *v);

/* Whether new volumes are encrypted whatever CreateVolume says. */
int ec2_get_ebs_encryption_by_default(struct aws *aws, bool *ret,
                                      struct err *e) err_warn_unused;

/* ---- Snapshots ---- */

struct ec2_snapshot {
    char *id;
    char *state; /* pending, completed, error, recoverable, recovering */
    char *state_message;
    char *volume_id;
    char *description;
    char *progress; /* "45%" */
    char *owner_id;
    char *start_time; /* "2026-01-02T03:04:05.000Z" */
    uint64_t size_gib;
    bool encrypted;
    struct ec2_tags tags;
};
struct ec2_snapshots VEC(struct ec2_snapshot);

struct ec2_create_snapshot_in {
    const char *volume_id; /* required */
    const char *description;
    const char *client_token; /* required; see below */
    struct ec2_tags_in tags;
    bool dry_run;
};

/* EC2 has no ClientToken here: the token is kept as tag hotadd:token on the snapshot,
 * and looked for before the first try and after a lost reply. So it behaves as *token*,
 * given that EC2 shows a new snapshot within settle time. */
int ec2_create_snapshot(struct aws *aws, const struct ec2_create_snapshot_in *in,
                        struct ec2_snapshot *ret, struct err *e) err_warn_unused;

struct ec2_create_snapshots_in {
    const char *instance_id; /* required */
    const char *description;
    const char *client_token; /* required; as with ec2_create_snapshot() */
    struct ec2_tags_in tags;
    bool dry_run;
};

/* Snapshots of all volumes of an instance, of one and the same moment (crash-consistent),
 * in no particular order: `volume_id` says which is which. Token as above: either none or
 * all of them exist. */
int ec2_create_snapshots(struct aws *aws, const struct ec2_create_snapshots_in *in,
                         struct ec2_snapshots *ret, struct err *e) err_warn_unused;

/* As ec2_delete_volume(). ERR_BUSY while an image uses it. */
int ec2_delete_snapshot(struct aws *aws, const char *snapshot_id, bool dry_run,
                        struct err *e) err_warn_unused;

/* Without owners, ids and filters this would list every public snapshot: refused. */
int ec2_describe_snapshots(struct aws *aws, const struct ec2_query *query,
                           struct ec2_snapshots *ret, struct err *e) err_warn_unused;
int ec2_describe_snapshot(struct aws *aws, const char *snapshot_id,
                          struct ec2_snapshot *ret, struct err *e) err_warn_unused;
void ec2_snapshot_release(struct ec2_snapshot *s);
void ec2_snapshots_release(struct ec2_snapshots *s);

/* ---- Images ---- */

/* A line of a block device mapping, of an image or a launch. */
struct ec2_mapping {
    char *device;
    char *snapshot_id;
    char *volume_id; /* instances only */
    char *type;
    uint64_t size_gib;
    bool delete_on_termination;
    bool encrypted;
};
struct ec2_mappings VEC(struct ec2_mapping);

struct ec2_image {
    char *id;
    char *name;
    char *description;
    char *state; /* pending, available, invalid, deregistered, failed, error */
    char *state_reason;
    char *owner_id;
    char *owner_alias; /* "amazon", … */
    char *creation_date;
    char *architecture; /* i386, x86_64, arm64 */
    char *platform;     /* "windows" or "" */
    char *platform_details;
    char *usage_operation; /* billing code, "RunInstances:0002" */
    char *boot_mode;       /* legacy-bios, uefi, uefi-preferred, "" (type's default) */
    char *imds_support;    /* "v2.0" or "" */
    char *tpm_support;
    char *virtualization_type; /* hvm, paravirtual */
    char *hypervisor;
    char *root_device_name;
    char *root_device_type;
    bool ena_support;
    bool is_public;
    struct ec2_mappings mappings;
    struct ec2_tags tags;
};
struct ec2_images VEC(struct ec2_image);

/* What a new image or instance shall find at a device. */
struct ec2_mapping_in {
    const char *device;      /* required */
    bool no_device;          /* leave out what the image has at that device */
    const char *snapshot_id; /* the rest is ignored with no_device */
    uint64_t size_gib;
    const char *type;
    uint64_t iops;
    uint64_t throughput_mibps;
    enum ec2_flag delete_on_termination;
    enum ec2_flag encrypted;
    const char *kms_key_id;
};

struct ec2_register_image_in {
    const char *name; /* required; unique in account and region */
    const char *description;
    const char *architecture;        /* required: EC2's own default is i386 */
    const char *virtualization_type; /* required: EC2's own default is paravirtual */
    const char *root_device_name;    /* required */
    const char *boot_mode;           /* required: legacy-bios, uefi, uefi-preferred */
    enum ec2_flag ena_support;       /* required: EC2_YES or EC2_NO */
    const char *imds_support;        /* "v2.0": IMDSv2 only, cannot be undone */
    const char *tpm_support;
    const struct ec2_mapping_in *mappings; /* at least the root's */
    size_t n_mappings;
    const char *client_token; /* required; kept as tag hotadd:token */
    struct ec2_tags_in tags;
    bool dry_run;
};

/* The name being unique makes repetition safe: an image of ours with that name and the
 * same token is the answer, any other is ERR_EXISTS. Stores the id (owned). The image
 * is tagged by a CreateTags of its own when the endpoint does not know
 * TagSpecification. */
int ec2_register_image(struct aws *aws, const struct ec2_register_image_in *in,
                       char **ret_image_id, struct err *e) err_warn_unused;

/* Gone already counts as success. Its snapshots stay. Lost reply: state. */
int ec2_deregister_image(struct aws *aws, const char *image_id, bool dry_run,
                         struct err *e) err_warn_unused;

/* Without owners, ids and filters: refused. */
int ec2_describe_images(struct aws *aws, const struct ec2_query *query,
                        struct ec2_images *ret, struct err *e) err_warn_unused;
int ec2_describe_image(struct aws *aws, const char *image_id, struct ec2_image *ret,
                       struct err *e) err_warn_unused;
void ec2_image_release(struct ec2_image *i);
void ec2_images_release(struct ec2_images *i);

/* ---- Instances ---- */

struct ec2_group {
    char *id, *name;
};
struct ec2_groups VEC(struct ec2_group);

struct ec2_interface {
    char *id;
    char *mac; /* "0a:…" */
    char *subnet_id;
    char *private_ip;
    uint64_t device_index; /* 0: the primary one */
};
struct ec2_interfaces VEC(struct ec2_interface);

struct ec2_instance {
    char *id;
    char *state; /* pending, running, shutting-down, terminated, stopping, stopped */
    char *state_reason_code; /* "Client.VolumeLimitExceeded: …" is explained here */
    char *state_reason;
    char *type;
    char *image_id;
    char *zone;
    char *subnet_id;
    char *vpc_id;
    char *private_ip, *public_ip;
    char *private_dns, *public_dns;
    char *key_name;
    char *launch_time;
    char *architecture;
    char *hypervisor; /* what EC2 reports: "xen" also for Nitro; ask the type */
    char *platform;   /* "windows" or "" */
    char *platform_details;
    char *usage_operation;
    char *boot_mode;         /* the image's; may be uefi-preferred or "" */
    char *current_boot_mode; /* what it boots by: legacy-bios, uefi, "" */
    char *root_device_name;
    char *iam_profile_arn;
    char *client_token;
    bool ena_support;
    struct ec2_groups security_groups;
    struct ec2_mappings mappings; /* device, volume_id, delete_on_termination */
    size_t n_interfaces;
    struct ec2_interfaces interfaces; /* as many, in EC2's order */
    struct ec2_tags tags;
};
struct ec2_instances VEC(struct ec2_instance);

struct ec2_run_instances_in {
    const char *image_id; /* required */
    const char *type;     /* required */
    const char *zone;     /* for the default subnet; subnet_id decides it else */
    const char *subnet_id;
    struct ec2_strs security_group_ids;
    const char *key_name;
    const char *iam_profile; /* name, or ARN when it begins with "arn:" */
    const char *private_ip;
    enum ec2_flag public_ip; /* needs subnet_id; EC2_DEFAULT: the subnet's rule */
    const void *user_data;   /* raw: encoded here */
    size_t user_data_len;    /* at most 16 KiB */
    const struct ec2_mapping_in *mappings;
    size_t n_mappings;
    bool imdsv2_required;    /* HttpTokens=required */
    uint32_t imds_hop_limit; /* 0: EC2's default */
    enum ec2_flag terminate_on_shutdown;
    const char *client_token;       /* required */
    struct ec2_tags_in tags;        /* of the instance… */
    struct ec2_tags_in volume_tags; /* …and of the volumes it is launched with */
    bool dry_run;
};

/* Launches exactly one. InsufficientInstanceCapacity is ERR_CLOUD with retryable set.
 * Lost reply: token. */
int ec2_run_instances(struct aws *aws, const struct ec2_run_instances_in *in,
                      struct ec2_instance *ret, struct err *e) err_warn_unused;

/* All idempotent by nature (state): asking for what is so already succeeds. A second
 * reboot after a lost reply is possible and harmless to a machine just rebooted.
 * Terminating an instance that is gone counts as success. */
int ec2_start_instances(struct aws *aws, const char *instance_id, bool dry_run,
                        struct err *e) err_warn_unused;
int ec2_stop_instances(struct aws *aws, const char *instance_id, bool force, bool dry_run,
                       struct err *e) err_warn_unused;
int ec2_reboot_instances(struct aws *aws, const char *instance_id, bool dry_run,
                         struct err *e) err_warn_unused;
int ec2_terminate_instances(struct aws *aws, const char *instance_id, bool dry_run,
                            struct err *e) err_warn_unused;

/* ModifyInstanceAttribute, one attribute a call as EC2 wants it. Idempotent. */
int ec2_modify_delete_on_termination(struct aws *aws, const char *instance_id,
                                     const char *device, bool delete_on_termination,
                                     bool dry_run, struct err *e) err_warn_unused;
/* The instance must be stopped. */
int ec2_modify_ena_support(struct aws *aws, const char *instance_id, bool ena_support,
                           bool dry_run, struct err *e) err_warn_unused;
int ec2_modify_instance_type(struct aws *aws, const char *instance_id, const char *type,
                             bool dry_run, struct err *e) err_warn_unused;
int ec2_modify_security_groups(struct aws *aws, const char *instance_id,
                               struct ec2_strs group_ids, bool dry_run,
                               struct err *e) err_warn_unused;

/* The serial console, decoded; "" when there is none yet. `latest` asks Nitro for what
 * is on it now (up to 64 KiB) instead of the last kept capture; an instance type that
 * cannot (UnsupportedOperation) is asked without. Bytes are the guest's: not to be
 * trusted, may hold NUL (ret_len counts). Owned, NUL-terminated. */
int ec2_get_console_output(struct aws *aws, const char *instance_id, bool latest,
                           char **ret, size_t *ret_len, struct err *e) err_warn_unused;

/* A picture (JPEG) of the screen of a running instance. Owned; the bytes are the
 * service's: not to be trusted. ERR_UNSUPPORTED where there is no screen. */
int ec2_get_console_screenshot(struct aws *aws, const char *instance_id, struct buf *ret,
                               struct err *e) err_warn_unused;

int ec2_describe_instances(struct aws *aws, const struct ec2_query *query,
                           struct ec2_instances *ret, struct err *e) err_warn_unused;
int ec2_describe_instance(struct aws *aws, const char *instance_id,
                          struct ec2_instance *ret, struct err *e) err_warn_unused;
void ec2_instance_release(struct ec2_instance *i);
void ec2_instances_release(struct ec2_instances *i);

struct ec2_instance_status {
    char *instance_id;
    char *state;           /* running, … */
    char *instance_status; /* ok, impaired, insufficient-data, initializing, … */
    char *system_status;
};
struct ec2_instance_statuses VEC(struct ec2_instance_status);

/* Instances that do not run are included. */
int ec2_describe_instance_status(struct aws *aws, const char *instance_id,
                                 struct ec2_instance_status *ret,
                                 struct err *e) err_warn_unused;
void ec2_instance_status_release(struct ec2_instance_status *s);

/* ---- Instance types ---- */

struct ec2_names VEC(char *);

struct ec2_instance_type {
    char *name;
    char *hypervisor; /* nitro, xen, "" for bare metal */
    bool bare_metal;
    bool current_generation;
    bool burstable;
    uint64_t vcpus;
    uint64_t memory_mib;
    char *ena_support;  /* unsupported, supported, required */
    char *nvme_support; /* of EBS: unsupported, supported, required */
    uint64_t max_interfaces;
    uint64_t max_ebs_attachments;                 /* 0: the endpoint does not say */
    char *attachment_limit_type;                  /* shared, dedicated, "" */
    uint64_t ebs_baseline_mbps, ebs_maximum_mbps; /* megabit a second */
    struct ec2_names architectures;
    struct ec2_names boot_modes;           /* legacy-bios, uefi, uefi-preferred */
    struct ec2_names virtualization_types; /* hvm, paravirtual */
};
struct ec2_instance_types VEC(struct ec2_instance_type);

/* `query.ids` are type names ("m5.large"). Thousands of lines without a filter: name
 * types, or filter by hypervisor, vcpu-info.default-vcpus, … */
int ec2_describe_instance_types(struct aws *aws, const struct ec2_query *query,
                                struct ec2_instance_types *ret,
                                struct err *e) err_warn_unused;
void ec2_instance_types_release(struct ec2_instance_types *t);

bool ec2_names_have(const struct ec2_names *names, const char *name);

/* ---- Where instances live ---- */

struct ec2_zone {
    char *name, *id, *state, *type, *region;
};
struct ec2_zones VEC(struct ec2_zone);

int ec2_describe_availability_zones(struct aws *aws, const struct ec2_query *query,
                                    struct ec2_zones *ret, struct err *e) err_warn_unused;
void ec2_zones_release(struct ec2_zones *z);

struct ec2_subnet {
    char *id, *zone, *zone_id, *vpc_id, *cidr, *state;
    uint64_t free_addresses;
    bool default_for_zone;
    bool public_ip_on_launch;
    struct ec2_tags tags;
};
struct ec2_subnets VEC(struct ec2_subnet);

int ec2_describe_subnets(struct aws *aws, const struct ec2_query *query,
                         struct ec2_subnets *ret, struct err *e) err_warn_unused;
void ec2_subnets_release(struct ec2_subnets *s);

struct ec2_security_group {
    char *id, *name, *description, *vpc_id;
    size_t n_ingress, n_egress; /* rules */
    struct ec2_tags tags;
};
struct ec2_security_groups VEC(struct ec2_security_group);

int ec2_describe_security_groups(struct aws *aws, const struct ec2_query *query,
                                 struct ec2_security_groups *ret,
                                 struct err *e) err_warn_unused;
void ec2_security_groups_release(struct ec2_security_groups *g);

struct ec2_create_security_group_in {
    const char *name;        /* required; unique in its VPC */
    const char *description; /* required */
    const char *vpc_id;      /* required */
    struct ec2_tags_in tags;
    bool dry_run;
};

/* The name being unique makes repetition safe: a group of that name is the answer after
 * a lost reply, else ERR_EXISTS. A new group lets everything out: see below. *ret_id is
 * owned. */
int ec2_create_security_group(struct aws *aws,
                              const struct ec2_create_security_group_in *in,
                              char **ret_id, struct err *e) err_warn_unused;

/* Takes away the rule that every new group has: anything to anywhere, over IPv4 (and the
 * same over IPv6, where the VPC has it). No such rule counts as success. */
int ec2_revoke_default_egress(struct aws *aws, const char *group_id,
                              struct err *e) err_warn_unused;

/* Gone already counts as success. ERR_BUSY while something is in it. */
int ec2_delete_security_group(struct aws *aws, const char *group_id, bool dry_run,
                              struct err *e) err_warn_unused;

struct ec2_key_pair {
    char *id, *name, *type, *fingerprint;
};
struct ec2_key_pairs VEC(struct ec2_key_pair);

/* `query.ids` are key *names*. */
int ec2_describe_key_pairs(struct aws *aws, const struct ec2_query *query,
                           struct ec2_key_pairs *ret, struct err *e) err_warn_unused;
void ec2_key_pairs_release(struct ec2_key_pairs *k);

/* ---- Tags ---- */

struct ec2_tagged {
    char *resource_id;
    char *resource_type; /* volume, snapshot, image, instance, … */
    char *key, *value;
};
struct ec2_taggeds VEC(struct ec2_tagged);

/* Filters such as key=hotadd:job, or tag:hotadd:job=…; `query.ids` are resource ids. */
int ec2_describe_tags(struct aws *aws, const struct ec2_query *query,
                      struct ec2_taggeds *ret, struct err *e) err_warn_unused;
void ec2_taggeds_release(struct ec2_taggeds *t);

/* Both idempotent. delete_tags with a NULL value removes the key whatever its value. */
int ec2_create_tags(struct aws *aws, struct ec2_strs resource_ids,
                    struct ec2_tags_in tags, bool dry_run, struct err *e) err_warn_unused;
int ec2_delete_tags(struct aws *aws, struct ec2_strs resource_ids,
                    struct ec2_tags_in tags, bool dry_run, struct err *e) err_warn_unused;

#endif
