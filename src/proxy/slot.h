/* Device names and their number: what AttachVolume may be asked for. Pure functions over
 * facts that a flow has from DescribeInstances and DescribeInstanceTypes; leasing is
 * job/slots.h.
 *
 * Sources: EC2 User Guide, "Device names on Linux instances" (/dev/sd[f-p], then
 * /dev/xvd[b-c][a-z]) and "Amazon EBS volume limits for Amazon EC2 instances" (most Nitro
 * types share 28 attachments among network interfaces, EBS volumes and instance store
 * volumes; DescribeInstanceTypes EbsInfo.MaximumEbsAttachments, AttachmentLimitType). */
#ifndef HOTADD_PROXY_SLOT_H
#define HOTADD_PROXY_SLOT_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum proxy_hypervisor { PROXY_NITRO, PROXY_XEN };

#define PROXY_SLOT_NAMES    63 /* sdf to sdp, xvdba to xvdbz, xvdca to xvdcz */
#define PROXY_SLOT_NAME_LEN 16

/* The names that may be asked for, in order of preference; static strings, the array has
 * PROXY_SLOT_NAMES of them. Same for both hypervisors. */
const char *const *proxy_slot_names(void);

struct proxy_limit_facts {
    enum proxy_hypervisor hypervisor;
    /* EbsInfo.MaximumEbsAttachments; 0: the answer did not have it. */
    uint32_t maximum_ebs_attachments;
    /* EbsInfo.AttachmentLimitType: "shared", "dedicated"; NULL: absent. */
    const char *attachment_limit_type;
    uint32_t network_interfaces; /* attached to the instance */
    uint32_t instance_store;     /* NVMe instance store volumes of the type */
};

/* How many EBS volumes the instance takes in all, root included. Where the API does not
 * say: 28 shared on Nitro (network interfaces and instance store subtracted), 40 on Xen
 * (AWS promises no more; beyond it boots fail). */
uint32_t proxy_slot_limit(const struct proxy_limit_facts *facts);

/* The next name that is not among `taken` ("/dev/sdf" and "/dev/xvdf", "xvdf" and "sdf"
 * count as one). ERR_BUSY when n_taken has reached limit or no name is left. *ret is a
 * static string. */
int proxy_slot_next(const char *const *taken, size_t n_taken, uint32_t limit,
                    const char **ret, struct err *e) err_warn_unused;

/* The names none of `taken` stands for, in order of preference, into out, which holds
 * PROXY_SLOT_NAMES; returns how many. For job_slots_lease(). */
size_t proxy_slot_free_names(const char *const *taken, size_t n_taken,
                             const char *out[PROXY_SLOT_NAMES]);

/* True when both name the same slot: prefixes /dev/, sd and xvd make no difference. */
bool proxy_slot_same(const char *a, const char *b);

/* The name under which a Xen guest shows an API name: "/dev/sdf" → "xvdf". "" when the
 * name is not a device name. Returns out. */
char *proxy_slot_xen_name(const char *api_name, char out[PROXY_SLOT_NAME_LEN]);

#endif
