/* Instances: their documents, states and what they are made of. Under the lab's lock. */
#ifndef HOTADD_LAB_INSTANCE_H
#define HOTADD_LAB_INSTANCE_H

#include "lab/act.h"
#include "lab/types.h"

struct instance_spec {
    const json_t *image; /* its document */
    const struct instance_type *type;
    const json_t *subnet;     /* its document */
    const json_t *groups;     /* [{groupId, groupName}] */
    const char *private_ip;   /* NULL: the next free one */
    const char *key_name;     /* NULL: none */
    const char *profile;      /* name of the instance profile, NULL: none */
    const char *user_data;    /* base 64, NULL: none */
    const char *client_token; /* "" for none */
    const char *shutdown;     /* "stop", "terminate" */
    const json_t *metadata;   /* MetadataOptions as given, NULL: defaults */
    const char *reservation;  /* "r-…" */
    json_int_t launch_index;
    bool ebs_optimized, monitoring, no_api_termination, keep_interface, proxy;
};

/* Makes the instance's document (state pending) and its network interface. The tag set
 * is taken over; *ret_doc is borrowed from the store. */
int instance_create(struct act *a, const struct instance_spec *s, json_t *tag_set,
                    json_t **ret_doc, struct err *e) err_warn_unused;

/* As DescribeInstances shows it: with its volumes and interfaces; owned. */
int instance_view(struct act *a, const json_t *doc, json_t **ret,
                  struct err *e) err_warn_unused;

/* "running"; "" for a broken document. Borrowed. */
const char *instance_state(const json_t *doc);
int instance_set_state(json_t *doc, const char *name, struct err *e) err_warn_unused;
/* State transition reason and code, as in stateReason. */
int instance_set_reason(json_t *doc, const char *code, const char *message,
                        struct err *e) err_warn_unused;

const char *instance_zone(const json_t *doc);
bool instance_is_proxy(const json_t *doc);
/* Whether a machine boots for it (not for the proxy, nor with --no-machines). */
bool instance_boots(const struct lab *lab, const json_t *doc);

/* Changes or checks metadata options with the members of a MetadataOptions structure. */
int instance_set_metadata(json_t *doc, const json_t *options,
                          struct err *e) err_warn_unused;

/* Removes the volumes that go with it, lets the others go, and its interface. */
int instance_release(struct lab *lab, json_t *doc, struct err *e) err_warn_unused;

/* The first free host address of a subnet, or `wanted` if that is free. out holds 16. */
int instance_pick_ip(struct lab *lab, const json_t *subnet, const char *wanted, char *out,
                     struct err *e) err_warn_unused;

#endif
