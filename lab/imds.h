/* The instance metadata service, version 2: tokens by PUT, everything else with one.
 * Serves the proxy instance on a loopback port, and booted guests. */
#ifndef HOTADD_LAB_IMDS_H
#define HOTADD_LAB_IMDS_H

#include "lab/http.h"
#include "lab/lab.h"
#include "lab/vm.h"

#define IMDS_MAX_TTL_S 21600

/* A request for one instance's metadata, by whatever way it came. Takes the lab's lock.
 * Headers have lower-case names. */
int imds_answer(struct lab *lab, const char *instance_id, const struct http_request *rq,
                struct http_reply *rp, struct err *e) err_warn_unused;

/* An http_handler for the proxy instance's listener; ctx is the struct lab. */
void imds_handle(void *ctx, const struct http_request *rq, struct http_reply *rp);

/* For struct vm_imds; ctx is the struct lab. */
int imds_answer_vm(void *ctx, const struct vm_imds_request *req,
                   struct vm_imds_reply *reply, struct err *e);

#endif
