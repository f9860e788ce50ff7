/* Inside flow: finishers, the ways in which restored volumes become an instance. See
 * docs/finishers.md.
 *
 * Each is entered again after a crash anywhere: it asks the journal, then the cloud, then
 * acts. When it is done, what it needed on the way is gone. */
#ifndef HOTADD_FLOW_FINISH_H
#define HOTADD_FLOW_FINISH_H

#include "aws/ec2_import.h"
#include "flow/restore.h"

enum finisher {
    FINISH_SWAP,   /* the volumes take the place of a carrier's disk */
    FINISH_IMAGE,  /* their snapshots are registered as an image */
    FINISH_IMPORT, /* Amazon's VM Import makes an image of their snapshots */
};
#define N_FINISHERS 3

const char *finisher_name(enum finisher f); /* "swap", "image", "import" */
/* What the plan says; swap when it says nothing. */
enum finisher finisher_of_plan(const struct plan *plan);

/* ---- finish.c: the choice ---- */

/* What it depends on. Borrowed; NULL where unknown. */
struct finish_facts {
    bool windows;
    const char *guest;     /* product name */
    const char *boot_mode; /* legacy-bios, uefi */
    const char *volume_zone, *instance_zone;
    bool byol;           /* the user's own Windows licence */
    bool amazon_image;   /* Amazon has images of this Windows, or the user named one */
    bool carrier;        /* the user named one */
    bool keep_image;     /* the user wants an image */
    const char *refused; /* a requirement of swap and image that the guest does not meet:
                          * "linux-dhcp: Address by DHCP"; NULL: none */
    size_t n_disks;
    uint64_t largest_bytes; /* disk */
};

struct finish_choice {
    enum finisher finisher;
    char why[500];
    char others[1100]; /* "not image: …; not import: …" */
};

/* `wanted`: a finisher's name or "auto"; NULL: swap. ERR_REQUIREMENT says why the wanted
 * one, or none, can be used. */
int finish_choose(const struct finish_facts *f, const char *wanted,
                  struct finish_choice *ret, struct err *e) err_warn_unused;

/* ---- The finishers: create-instance ---- */

int finish_swap(struct job *job, struct restore_ctx *ctx, struct err *e) err_warn_unused;
int finish_image(struct job *job, struct restore_ctx *ctx, struct err *e) err_warn_unused;
int finish_import(struct job *job, struct restore_ctx *ctx,
                  struct err *e) err_warn_unused;

/* ---- launch.c: what they share ---- */

#define KIND_LAUNCHED_VOLUME "launched-volume" /* "launched/0": made by RunInstances */
#define KEY_LAUNCHED         "launched"

int remove_launched_volume(struct job *job, void *ctx, const struct job_resource *r,
                           struct err *e);

/* RunInstances with all that the user asked of the instance; its volumes are tagged with
 * `volume_key`. */
int run_instance(struct job *job, struct restore_ctx *ctx, const char *image,
                 const struct ec2_mapping_in *mappings, size_t n, const char *volume_key,
                 const struct job_resource *r, struct ec2_instance *ret,
                 struct err *e) err_warn_unused;

/* Launches the job's instance from the image and waits until it runs; notes it and the
 * volumes it was launched with. Once that is done, asking again does nothing. */
int launch_from_image(struct job *job, struct restore_ctx *ctx, const char *image,
                      const struct ec2_mapping_in *mappings, size_t n,
                      struct err *e) err_warn_unused;
/* Whether it was. */
int launched_before(struct job *job, bool *ret, struct err *e) err_warn_unused;

/* An instance just launched may not be visible yet: EC2 is eventually consistent. */
int describe_settled(struct restore_ctx *ctx, const char *id, struct ec2_instance *ret,
                     struct err *e) err_warn_unused;

/* Name of disk i at an instance: the root's name, then the others in the guest's order.
 * NULL: too many. `buf` is for Windows' names. */
const char *device_for(const struct plan *plan, const char *root_device, size_t disk,
                       char buf[16]);

/* The mapping of disk i with the settings that the user asked for. */
struct ec2_mapping_in mapping_of(const struct restore_ctx *ctx, const char *device,
                                 const char *snapshot);

/* Removes the resource unless it is gone, or was never intended. */
int drop_resource(struct job *job, struct restore_ctx *ctx, const char *key,
                  int (*remove)(struct job *job, void *ctx, const struct job_resource *r,
                                struct err *e),
                  struct err *e) err_warn_unused;

/* ---- finish_image.c ---- */

#define KEY_IMAGE "image"

/* Snapshots of all of the job's volumes, complete; the volumes are removed. *ret is an
 * array of n owned ids, owned. */
int snapshots_of_volumes(struct job *job, struct restore_ctx *ctx, struct strv *ret,
                         struct err *e) err_warn_unused;
int drop_snapshots(struct job *job, struct restore_ctx *ctx,
                   struct err *e) err_warn_unused;

/* ---- import_task.c: VM Import ---- */

#define KIND_IMPORT_TASK "import-task"
#define KEY_IMPORT_IMAGE "import/image"
#define KEY_IMPORTED     "imported/image"

int remove_import_task(struct job *job, void *ctx, const struct job_resource *r,
                       struct err *e);

/* ImportImage to its end; the image and its snapshots become the job's. Owned. */
int import_image(struct job *job, struct restore_ctx *ctx,
                 const struct ec2_import_disk_in *disks, size_t n, char **ret,
                 struct err *e) err_warn_unused;
/* ImportSnapshot of disks 1 to n - 1, at once; theirs are "imported/snapshot/I" (I of the
 * disk). `disks` are all of them. */
int import_snapshots(struct job *job, struct restore_ctx *ctx,
                     const struct ec2_import_disk_in *disks, size_t n,
                     struct err *e) err_warn_unused;
/* Launches from the imported image; `data` (may be empty) are snapshots of further
 * disks, from disk `first` on. */
int launch_imported(struct job *job, struct restore_ctx *ctx, const char *image,
                    const struct strv *data, size_t first, struct err *e) err_warn_unused;
/* Image and snapshots of the import, unless they are to be kept. */
int drop_imported(struct job *job, struct restore_ctx *ctx,
                  struct err *e) err_warn_unused;

#endif
