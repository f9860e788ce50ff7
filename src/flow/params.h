/* What the user asked of a restore or conversion. Kept in the journal as JSON, so that
 * `resume` needs no words but the job's id. Holds no secret: credentials come from the
 * AWS chain each time. */
#ifndef HOTADD_FLOW_PARAMS_H
#define HOTADD_FLOW_PARAMS_H

#include "base/auto.h"
#include "base/err.h"
#include "base/strv.h"
#include "flow/open_source.h"

#include <jansson.h>
#include <stdint.h>

/* The fields, once, for the struct, the JSON and the release. A string left NULL, a
 * number left 0 and a flag left false mean "hotadd chooses" or "no". */
#define RESTORE_PARAM_FIELDS(STR, U64, FLAG, LIST)                                       \
    STR(source) /* absolute path or URI; with repo: VM[@TIME] */                         \
    STR(format) /* of a bare image, when it cannot be seen */                            \
    STR(repo)   /* folder or s3://BUCKET/NAME; the source is a recovery point of it */   \
    STR(ns)     /* its namespace */                                                      \
    STR(key)    /* key file */                                                           \
    STR(key_password_file) /* where its password is; never the password */               \
    STR(name)              /* of the instance; default the machine's */                  \
    STR(region)                                                                          \
    STR(aws_profile)                                                                     \
    STR(zone) /* must be the proxy's */                                                  \
    STR(instance_type)                                                                   \
    STR(subnet)                                                                          \
    LIST(security_groups)                                                                \
    STR(key_name)                                                                        \
    STR(iam_profile) /* instance profile, name or ARN */                                 \
    STR(private_ip)                                                                      \
    LIST(tags)       /* "KEY=VALUE" */                                                   \
    STR(volume_type) /* gp3 */                                                           \
    U64(iops)                                                                            \
    U64(throughput) /* MiB/s */                                                          \
    FLAG(encrypted)                                                                      \
    STR(kms_key)                                                                         \
    FLAG(delete_on_termination)                                                          \
    STR(carrier)     /* AMI a swap launch starts from */                                 \
    STR(finish)      /* swap, image, import or auto */                                   \
    FLAG(keep_image) /* of the image and import finishers */                             \
    STR(licence)     /* of Windows, when imported: aws or byol */                        \
    STR(role)        /* by which EC2 imports; default vmimport */                        \
    STR(bucket)      /* import: where the disks are uploaded to… */                    \
    STR(prefix)      /* …and what their keys begin with */                             \
    STR(disk_format) /* import: raw or vhd */                                            \
    FLAG(one_image)  /* import: data disks too become part of the image */               \
    STR(profile)     /* nitro, xen or both: what the guest is to drive */                \
    STR(imds)        /* required (IMDSv2 only) or optional */                            \
    U64(max_rate)    /* bytes of data per second */                                      \
    FLAG(verify)                                                                         \
    FLAG(skip_digests)                                                                   \
    FLAG(skip_check) /* restore only: do not look into the guest */                      \
    FLAG(fix)                                                                            \
    FLAG(windows_gpt)         /* a Windows guest on GPT shall boot by UEFI */            \
    FLAG(discard_hibernation) /* lose the session that a Windows guest saved */          \
    STR(drivers)              /* folder of AWS's packages for Windows */                 \
    STR(first_boot)           /* of Windows: service or autologon */                     \
    STR(logon_user)           /* for autologon: [DOMAIN\]NAME */                         \
    STR(logon_password_file)  /* where its password is; never the password */            \
    U64(boot_timeout_s)       /* for the first boot's status checks */                   \
    FLAG(no_wait)             /* do not wait for the first boot */                       \
    STR(device_root)          /* where attached volumes appear */

struct restore_params {
#define AS_STR(f)  char *f;
#define AS_U64(f)  uint64_t f;
#define AS_FLAG(f) bool f;
#define AS_LIST(f) struct strv f;
    RESTORE_PARAM_FIELDS(AS_STR, AS_U64, AS_FLAG, AS_LIST)
#undef AS_STR
#undef AS_U64
#undef AS_FLAG
#undef AS_LIST
};

void restore_params_release(struct restore_params *p);

/* Owned; NULL with e set when out of memory. */
json_t *restore_params_json(const struct restore_params *p, struct err *e);

/* Fills *ret (zeroed by the caller). Members it does not know are ignored: a newer
 * hotadd may have written them. */
int restore_params_from_json(const json_t *o, struct restore_params *ret,
                             struct err *e) err_warn_unused;

/* What opens the source. `pinned` is what it was when the job was planned
 * (struct flow_source); NULL: not known yet. Borrows from both. */
struct source_spec restore_params_source(const struct restore_params *p,
                                         const char *pinned);

/* Checks what can be checked without looking anywhere: sizes, words, tags, addresses. */
int restore_params_check(const struct restore_params *p, struct err *e) err_warn_unused;

#endif
