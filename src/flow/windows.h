/* Inside flow: what is different about Windows guests. AWS's stock image of the same
 * version is the carrier, since it lends the instance its licence; and the first boot is
 * followed by what hotadd's service writes to the console. */
#ifndef HOTADD_FLOW_WINDOWS_H
#define HOTADD_FLOW_WINDOWS_H

#include "flow/restore.h"

/* By what the check of the guest found; false when it was not looked into. */
bool plan_is_windows(const struct plan *p);

/* The newest of Amazon's images of that version and boot mode becomes plan->carrier_id.
 * ERR_REQUIREMENT when there is none. */
int windows_carrier_plan(struct aws *aws, struct plan *plan,
                         struct err *e) err_warn_unused;

/* "Windows Server 2012 R2 Standard" -> "2012-R2", as Amazon's images are named; NULL:
 * no version that it knows. */
const char *windows_image_version(const char *product_name);

/* Waits for the service's last line, reports each line as an event of the job. ERR_FAILED
 * when it is anything but ok, ERR_TIMEOUT when none comes. */
int windows_await_first_boot(struct job *job, struct restore_ctx *ctx, const char *id,
                             uint64_t timeout_s, struct err *e) err_warn_unused;

/* ---- parts, for tests ---- */

/* The service's lines in a console's text, without their beginning. */
int first_boot_lines(const char *text, size_t len, struct strv *ret,
                     struct err *e) err_warn_unused;
/* How many of `now` are known from `before`, whose oldest may be gone: the index of the
 * first new one. */
size_t first_boot_known(const struct strv *before, const struct strv *now);

#endif
