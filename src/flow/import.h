/* Inside flow: `hotadd import`, disks through S3 into Amazon's VM Import. */
#ifndef HOTADD_FLOW_IMPORT_H
#define HOTADD_FLOW_IMPORT_H

#include "flow/finish.h"

/* Whether what keeps swap and image from a guest (a requirement's id) is nothing to VM
 * Import, which changes the guest in its own way. */
bool import_takes(const char *requirement);

/* What VM Import asks of a machine, whatever is in it: appends findings. */
int import_limits(const struct machine *m, const struct restore_params *p,
                  struct guest_info *info, struct err *e) err_warn_unused;

/* ---- Steps ---- */

int step_upload_disks(struct job *job, void *ctx, struct err *e);
int step_import_image(struct job *job, void *ctx, struct err *e);
int step_import_snapshots(struct job *job, void *ctx, struct err *e);
int step_create_imported(struct job *job, void *ctx, struct err *e);
int step_clean(struct job *job, void *ctx, struct err *e);

/* ---- import_upload.c ---- */

#define KIND_OBJECT "s3-object"
#define KEY_ZEROS   "object/zeros"

/* Object of disk i. Owned; NULL with e set. */
char *import_key(const struct restore_ctx *ctx, const char *job, size_t i, struct err *e);
/* Deletes it, and aborts whatever uploads of it there are. */
int remove_object(struct job *job, void *ctx, const struct job_resource *r,
                  struct err *e);

/* ---- import_role.c: the role by which EC2 reads the bucket ---- */

/* Policies as JSON; owned, NULL with e set. */
char *import_role_trust(struct err *e);
char *import_role_policy(const char *partition, const char *bucket, struct err *e);

/* Does the trust document let VM Import take the role? Does the policy let it read the
 * objects of the bucket? Documents that make no sense are ERR_INPUT. */
int import_role_trusts(const char *document, bool *ret, struct err *e) err_warn_unused;
int import_role_reads(const char *document, const char *partition, const char *bucket,
                      bool *ret, struct err *e) err_warn_unused;

enum import_role_state {
    IMPORT_ROLE_OK,
    IMPORT_ROLE_UNSEEN, /* the credentials may not look, or a policy of its own says it */
};
/* ERR_REQUIREMENT says what the role lacks and the command that mends it. */
int import_role_check(struct aws *aws, const char *role, const char *bucket,
                      enum import_role_state *ret, struct err *e) err_warn_unused;

#endif
