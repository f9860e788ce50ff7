/* VM Import: EC2 makes an image of a machine's disks, or a snapshot of one, and changes
 * the guest so that it boots on EC2. One C function per API action, as in ec2.h, whose
 * rules hold here too.
 *
 * Disks are objects in a bucket of the same region, read by a role of the account
 * (iam.h), or, for images, snapshots. */
#ifndef HOTADD_AWS_EC2_IMPORT_H
#define HOTADD_AWS_EC2_IMPORT_H

#include "aws/ec2.h"
#include "aws/wait.h"

#define EC2_IMPORT_ROLE "vmimport" /* the role that EC2 takes when none is named */

/* A disk to be imported: of a bucket, or (images only) a snapshot. */
struct ec2_import_disk_in {
    const char *bucket, *key; /* both, or… */
    const char *snapshot_id;  /* …this */
    const char *format;       /* RAW, VHD, VHDX, VMDK, OVA; NULL with a snapshot */
    const char *description;
};

/* What became, or becomes, of one disk. */
struct ec2_import_disk {
    char *description;
    char *format;
    char *snapshot_id; /* "" until it is made */
    char *status;
    char *status_message;
    char *progress; /* "45" */
};
struct ec2_import_disks VEC(struct ec2_import_disk);

struct ec2_import_image_in {
    const struct ec2_import_disk_in *disks; /* at least one: the first is the boot disk */
    size_t n_disks;
    const char *description;
    const char *architecture; /* x86_64 */
    const char *platform;     /* Windows, Linux: required for UEFI from snapshots */
    const char *boot_mode;    /* legacy-bios, uefi; NULL: EC2 finds out */
    const char *license_type; /* AWS, BYOL; NULL: EC2's rule for the platform */
    const char *role_name;    /* NULL: EC2_IMPORT_ROLE */
    enum ec2_flag encrypted;
    const char *kms_key_id;
    const char *client_token; /* required */
    struct ec2_tags_in tags;  /* of the task; the image gets none */
    bool dry_run;
};

struct ec2_import_image_task {
    char *id;             /* "import-ami-0123…" */
    char *status;         /* active, completed, deleting, deleted */
    char *status_message; /* "converting", or why it failed */
    char *progress;       /* "45" */
    char *image_id;       /* "" until it is made */
    char *platform;
    char *license_type;
    char *boot_mode;
    struct ec2_import_disks disks;
    struct ec2_tags tags;
};
struct ec2_import_image_tasks VEC(struct ec2_import_image_task);

/* Begins; see ec2_wait_import_image(). Lost reply: token. */
int ec2_import_image(struct aws *aws, const struct ec2_import_image_in *in,
                     struct ec2_import_image_task *ret, struct err *e) err_warn_unused;
int ec2_describe_import_image_task(struct aws *aws, const char *task_id,
                                   struct ec2_import_image_task *ret,
                                   struct err *e) err_warn_unused;
void ec2_import_image_task_release(struct ec2_import_image_task *t);

struct ec2_import_snapshot_in {
    struct ec2_import_disk_in disk; /* of a bucket */
    const char *description;
    const char *role_name;
    enum ec2_flag encrypted;
    const char *kms_key_id;
    const char *client_token; /* required */
    struct ec2_tags_in tags;  /* of the task */
    bool dry_run;
};

struct ec2_import_snapshot_task {
    char *id;             /* "import-snap-0123…" */
    char *status;         /* active, completed, deleting, deleted, error */
    char *status_message; /* why it failed */
    char *progress;
    char *snapshot_id; /* "" until it is made */
    struct ec2_tags tags;
};
struct ec2_import_snapshot_tasks VEC(struct ec2_import_snapshot_task);

/* Lost reply: token. */
int ec2_import_snapshot(struct aws *aws, const struct ec2_import_snapshot_in *in,
                        struct ec2_import_snapshot_task *ret,
                        struct err *e) err_warn_unused;
int ec2_describe_import_snapshot_task(struct aws *aws, const char *task_id,
                                      struct ec2_import_snapshot_task *ret,
                                      struct err *e) err_warn_unused;
void ec2_import_snapshot_task_release(struct ec2_import_snapshot_task *t);

/* Of either kind. One that has ended, or is not there, counts as success. Returns when
 * EC2 accepted it. Lost reply: state. */
int ec2_cancel_import_task(struct aws *aws, const char *task_id, bool dry_run,
                           struct err *e) err_warn_unused;

/* Until completed; a task that fails is ERR_CLOUD with EC2's words. Progress goes to
 * options->progress in bytes of total_bytes. `ret` (may be NULL) is to be released.
 * Default 24 h. */
int ec2_wait_import_image(struct aws *aws, const char *task_id, uint64_t total_bytes,
                          const struct wait_options *options,
                          struct ec2_import_image_task *ret,
                          struct err *e) err_warn_unused;
int ec2_wait_import_snapshot(struct aws *aws, const char *task_id, uint64_t total_bytes,
                             const struct wait_options *options,
                             struct ec2_import_snapshot_task *ret,
                             struct err *e) err_warn_unused;

#endif
