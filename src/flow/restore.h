/* Inside flow: what the steps of restore and convert share. */
#ifndef HOTADD_FLOW_RESTORE_H
#define HOTADD_FLOW_RESTORE_H

#include "aws/ec2.h"
#include "base/cancel.h"
#include "base/progress.h"
#include "disk/machine.h"
#include "flow/params.h"
#include "flow/plan.h"
#include "guest/guest.h"
#include "job/job.h"
#include "proxy/device.h"

/* Resource kinds and keys, as the journal shows them. */
#define KIND_VOLUME     "volume"     /* "volume/0": the machine's disk 0 */
#define KIND_ATTACHMENT "attachment" /* "attachment/0": that volume to the proxy */
#define KIND_INSTANCE   "instance"
#define KIND_SNAPSHOT   "snapshot"
#define KIND_IMAGE      "image"
#define KEY_INSTANCE    "instance"

/* Tags on everything a job makes. */
#define TAG_JOB     "hotadd:job"
#define TAG_KEY     "hotadd:key"     /* the resource's key in the job */
#define TAG_PROXY   "hotadd:proxy"   /* the instance whose journal knows the job */
#define TAG_CARRIER "hotadd:carrier" /* on carrier AMIs: their boot mode */

struct restore_ctx {
    const struct restore_params *params; /* borrowed, as is all below */
    struct plan *plan;
    struct aws *aws;
    const struct cancel *cancel;
    const struct progress *progress;
    struct proxy_paths paths;
    const char *guest_program; /* NULL: the installed one */
};

/* ---- cloud.c: tags and lookups ---- */

#define TAGS_MAX 48
struct tag_set {
    struct ec2_tag_in v[TAGS_MAX];
    size_t n;
    char *owned[TAGS_MAX]; /* keys and values cut from the user's words */
    size_t n_owned;
};
#define auto_tag_set auto_call(tag_set_release)
void tag_set_release(struct tag_set *t);

/* The tags of the job's resource `key`: ours, Name (name may be NULL), the user's. */
int tag_set_fill(struct tag_set *ret, struct job *job, const struct restore_ctx *ctx,
                 const char *key, const char *name, struct err *e) err_warn_unused;
struct ec2_tags_in tag_set_in(const struct tag_set *t);

/* The id of a resource that may or may not have been made: found by its tags. *ret is
 * NULL when there is none, decided only after EC2 had time to know, and a call that a
 * process of the job had under way when it died had time to end. Owned. */
int cloud_find_tagged(struct aws *aws, struct job *job, const char *key,
                      const char *resource_type, char **ret,
                      struct err *e) err_warn_unused;

/* The id of a journaled resource: what the journal knows, else what the tags show, as
 * cloud_find_tagged(). Owned. */
int cloud_id_of(struct aws *aws, struct job *job, const struct job_resource *r,
                const char *resource_type, char **ret, struct err *e) err_warn_unused;

/* job_resource_intend() for what has no client token in EC2 (snapshots): if it was
 * intended before and has no id, what the call of then may have made is looked for, and
 * ret is JOB_RESOURCE_MADE if it is there. `kind` is EC2's resource type too. */
int cloud_intend(struct aws *aws, struct job *job, const char *kind, const char *key,
                 struct job_resource *ret, struct err *e) err_warn_unused;

/* Detaches a volume from wherever it is, once it is created, deletes it, waits until it
 * is gone; gone already is success. */
int volume_delete_anywhere(struct aws *aws, const char *id,
                           struct err *e) err_warn_unused;

/* Removers for the job engine; see job.h. */
int remove_volume(struct job *job, void *ctx, const struct job_resource *r,
                  struct err *e);
int remove_attachment(struct job *job, void *ctx, const struct job_resource *r,
                      struct err *e);
int remove_instance(struct job *job, void *ctx, const struct job_resource *r,
                    struct err *e);
int remove_snapshot(struct job *job, void *ctx, const struct job_resource *r,
                    struct err *e);
int remove_image(struct job *job, void *ctx, const struct job_resource *r, struct err *e);

/* ---- The steps, named as the documentation names them ---- */

int step_create_volumes(struct job *job, void *ctx, struct err *e);
int step_attach_volumes(struct job *job, void *ctx, struct err *e);
int step_restore_data(struct job *job, void *ctx, struct err *e);
int step_inject_drivers(struct job *job, void *ctx, struct err *e);
int step_detach_volumes(struct job *job, void *ctx, struct err *e);
int step_create_instance(struct job *job, void *ctx, struct err *e);
int step_first_boot(struct job *job, void *ctx, struct err *e);

/* "volume/3" */
#define KEY_LEN 32
char *disk_key(char out[KEY_LEN], const char *kind, size_t i);

/* The id of the volume of disk i: made by create-volumes. Owned. */
int volume_id_of(struct job *job, size_t i, char **ret, struct err *e) err_warn_unused;

/* Opens what the job was planned from, which must still be what it was: a resume may come
 * days later. As flow_source_open(). */
int source_open_again(const struct source_spec *spec, const struct plan *plan,
                      const struct cancel *cancel, struct flow_source *ret,
                      struct err *e) err_warn_unused;
/* Whether the job has begun to write disk i to that volume; note it before the first
 * write can happen. */
int volume_written_before(struct job *job, size_t i, const char *volume, bool *ret,
                          struct err *e) err_warn_unused;
int volume_note_written(struct job *job, size_t i, const char *volume,
                        struct err *e) err_warn_unused;

/* The attached device of disk i: path and identity. */
int volume_device(struct job *job, const struct restore_ctx *ctx, size_t i,
                  struct proxy_device *ret, struct err *e) err_warn_unused;

/* ---- carrier.c: the AMI a swap launch starts from ---- */

/* Decides at planning time: given, found, or (plan->carrier_id left NULL) to be made. */
int carrier_plan(struct aws *aws, const struct restore_params *params, struct plan *plan,
                 struct err *e) err_warn_unused;
/* At run time: makes it if the plan says so. *ret is its id, owned. */
int carrier_ensure(struct job *job, struct restore_ctx *ctx, char **ret,
                   struct err *e) err_warn_unused;

/* ---- preflight.c ---- */

enum restore_kind { RESTORE_PLAIN, RESTORE_CONVERT, RESTORE_IMPORT };
const char *restore_kind_name(enum restore_kind k); /* "restore", "convert", "import" */

/* Everything that can be known before anything is created: source, account, proxy,
 * guest, type, finisher, permissions. The plan is filled as far as it got also on
 * failure, so that findings can be shown. */
int preflight(enum restore_kind kind, const struct restore_params *params,
              struct aws *aws, const struct cancel *cancel,
              const struct progress *progress, struct plan *plan,
              struct err *e) err_warn_unused;

/* The same from an earlier plan, when the source cannot be opened any more: what it says
 * of source and guest stays, what is about account, proxy and instance is decided anew.
 */
int preflight_again(const struct restore_params *params, struct aws *aws,
                    const struct cancel *cancel, uint32_t cpus, uint64_t memory_bytes,
                    struct plan *plan, struct err *e) err_warn_unused;

/* The part of it that is about this machine: identity, zone, attach limit. */
int preflight_proxy(const struct restore_params *params, struct aws *aws,
                    struct plan *plan, struct err *e) err_warn_unused;

/* How the guest is to be looked at and converted. The machine's firmware is for the
 * caller to add. */
struct guest_options guest_options_for(const struct restore_params *params,
                                       enum restore_kind kind, enum guest_method method);

/* Looks into the source's guest, served read-only through nbdkit. `source` should be the
 * pinned one, so that what is looked at is what is restored. Owned. */
int guest_check_source(const struct source_spec *source, size_t n_disks,
                       const struct guest_options *opt, const struct cancel *cancel,
                       const struct progress *progress, struct guest_info **ret,
                       struct err *e) err_warn_unused;

/* ---- permissions.c ---- */

/* Asks EC2, by dry runs, whether what the plan creates may be created, with the real
 * parameters. ERR_DENIED names the actions that are not allowed. */
int permissions_check(struct aws *aws, const struct restore_params *params,
                      const struct plan *plan, struct err *e) err_warn_unused;

#endif
