/* The instance metadata service, version 2 only: a session token by PUT, then GET.
 *
 * Found at AWS_EC2_METADATA_SERVICE_ENDPOINT, else http://169.254.169.254 (IPv6 mode:
 * http://[fd00:ec2::254]). Plain http is allowed to link-local and loopback addresses
 * only. Every answer is short; a call takes a few seconds at most, also when nothing
 * answers. A `struct imds` may be used by many threads. */
#ifndef HOTADD_AWS_IMDS_H
#define HOTADD_AWS_IMDS_H

#include "base/auto.h"
#include "base/cancel.h"
#include "base/err.h"

struct imds;

/* NULL fields: as the environment says, else the default. */
struct imds_options {
    const char *endpoint;
    const struct cancel *cancel; /* outlives the imds */
};

/* For use without a `struct aws`; with one, aws_imds(). Does no I/O. Owned. */
int imds_new(const struct imds_options *options, struct imds **ret,
             struct err *e) err_warn_unused;
void imds_free(struct imds *imds);

DEFINE_AUTO_PTR(struct imds, imds_free)
#define auto_imds auto_call(imds_free_autop)

/* Text below /latest/, such as "meta-data/instance-id"; owned. ERR_NOT_FOUND when the
 * service has no such path; ERR_NETWORK when nothing answers, with the advice (not on
 * EC2; hop limit inside a container; AWS_EC2_METADATA_DISABLED). */
int imds_get(struct imds *imds, const char *path, char **ret,
             struct err *e) err_warn_unused;

/* Who this machine is, from the identity document and a few paths. */
struct imds_identity {
    char *instance_id; /* i-0123… */
    char *instance_type;
    char *zone;
    char *region;
    char *account;
    char *image_id;
    char *architecture; /* x86_64, arm64 */
    char *mac;
    char *role; /* name of the instance's role, "" when it has none */
};

int imds_identity(struct imds *imds, struct imds_identity *ret,
                  struct err *e) err_warn_unused;
void imds_identity_release(struct imds_identity *id);

#endif
