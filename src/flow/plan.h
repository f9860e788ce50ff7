/* What a restore or conversion is going to do, decided before anything is created and
 * kept in the journal, so that a resumed job goes on with the same decisions. */
#ifndef HOTADD_FLOW_PLAN_H
#define HOTADD_FLOW_PLAN_H

#include "base/auto.h"
#include "base/strv.h"

#include <jansson.h>
#include <stdint.h>
#include <stdio.h>

struct plan_volume {
    char *name;            /* owned: of the source's disk */
    uint64_t source_bytes; /* of the source's disk */
    uint64_t size_gib;     /* of the volume: rounded up */
    char *snapshot_id; /* owned: what the volume is made of; NULL: it begins empty… */
    char *copy_of;     /* …or, owned: a volume it is a copy of */
};

/* All strings are owned; "" or NULL where nothing applies. */
#define PLAN_STRINGS(X)                                                                  \
    X(kind) /* "convert", "restore" */                                                   \
    X(name) /* of the instance */                                                        \
    X(source)                                                                            \
    X(guest) /* "Debian GNU/Linux 12 (bookworm)" */                                      \
    X(account)                                                                           \
    X(region)                                                                            \
    X(zone)          /* of proxy and volumes */                                          \
    X(instance_zone) /* NULL: the same */                                                \
    X(proxy_id)                                                                          \
    X(proxy_type)                                                                        \
    X(platform)  /* as VM Import is told it: Linux, Windows; NULL: not known */          \
    X(boot_mode) /* legacy-bios, uefi */                                                 \
    X(instance_type)                                                                     \
    X(instance_type_why)                                                                 \
    X(hypervisor) /* of that type: nitro, xen */                                         \
    X(profile)    /* what the guest is made to drive: nitro, xen, both */                \
    X(subnet_id)                                                                         \
    X(subnet_why)                                                                        \
    X(finisher)                                                                          \
    X(finisher_why)                                                                      \
    X(finisher_others) /* why not the other two */                                       \
    X(disk_format)     /* import: of the objects */                                      \
    X(bucket)                                                                            \
    X(carrier_id) /* AMI; NULL: one is made */                                           \
    X(carrier_why)                                                                       \
    X(licence)                                                                           \
    X(volume_type)                                                                       \
    X(encryption)

struct plan {
#define AS_FIELD(f) char *f;
    PLAN_STRINGS(AS_FIELD)
#undef AS_FIELD
    struct strv security_group_ids; /* empty: the VPC's default */
    struct VEC(struct plan_volume) volumes;
    uint64_t slot_limit; /* EBS volumes the proxy takes in all */
    bool proxy_xen;      /* the proxy's hypervisor shows /dev/xvd names */
    json_t *guest_info;  /* owned; NULL when the guest was not looked into */
    json_t *notes;       /* owned array of strings: warnings for the user */
};

void plan_free(struct plan *p);
DEFINE_AUTO_PTR(struct plan, plan_free)
#define auto_plan auto_call(plan_free_autop)

int plan_new(struct plan **ret, struct err *e) err_warn_unused;
/* Sets a string field to a formatted text. */
int plan_set(char **field, struct err *e, const char *fmt, ...)
    __attribute__((format(printf, 3, 4))) err_warn_unused;
int plan_note(struct plan *p, struct err *e, const char *fmt, ...)
    __attribute__((format(printf, 3, 4))) err_warn_unused;

/* Owned; NULL with e set when out of memory. */
json_t *plan_json(const struct plan *p, struct err *e);
int plan_from_json(const json_t *o, struct plan **ret, struct err *e) err_warn_unused;

/* For people. */
void plan_print(const struct plan *p, FILE *out);
/* Findings as a table; all of them, or only those that are not simply met. */
void plan_print_findings(const json_t *guest_info, bool all, FILE *out);

#endif
