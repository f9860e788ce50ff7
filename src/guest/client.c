/* Starting hotadd-guest and talking to it; see guest.h.
 *
 * The child leads a process group that holds its appliance too, so that one signal ends
 * all of it: on cancellation, at the deadline, and on any error of ours. Should we be
 * killed, it sees its standard input close. It writes below a directory of its own,
 * removed afterwards; a kill of ours leaves that directory in /tmp. */
#include "guest/guest.h"

#include "base/clock.h"
#include "base/helper.h"
#include "base/io.h"
#include "base/log.h"
#include "base/str.h"

#include <stdlib.h>

#define DEADLINE_NS (600 * NS_PER_S)
#define GRACE_NS    (5 * NS_PER_S)

/* ---- the request ---- */

static json_t *disks_json(const struct guest_disk *disks, size_t n, struct err *e)
{
    json_auto_t *a = json_array();

    for (size_t i = 0; i < n; i++) {
        json_t *d = disks[i].nbd_socket
                        ? json_pack("{s:s, s:s}", "socket", disks[i].nbd_socket, "export",
                                    disks[i].nbd_export ? disks[i].nbd_export : "")
                        : json_pack("{s:s}", "path", disks[i].path);

        if (json_add(a, d, e) < 0)
            return NULL;
    }
    return take_ptr(a);
}

static int request_json(const char *op, const struct guest_disk *disks, size_t n,
                        const struct guest_options *o, json_t **ret, struct err *e)
{
    json_auto_t *list = disks_json(disks, n, e);
    json_t *j;

    if (!list)
        return -1;
    j = json_pack(
        "{s:s, s:O, s:{s:s, s:s, s:s, s:s, s:b, s:b, s:b, s:b, s:s?, s:s?, s:s, "
        "s:s?, s:s?}}",
        "op", op, "disks", list, "options", "method", guest_method_name(o->method),
        "profile", guest_profile_name(o->profile), "purpose",
        guest_purpose_name(o->purpose), "firmware", firmware_name(o->firmware), "fix",
        o->fix, "dry_run", o->dry_run, "windows_gpt", o->windows_gpt,
        "discard_hibernation", o->discard_hibernation, "drivers", o->drivers,
        "first_boot", o->first_boot, "first_boot_way",
        first_boot_way_name(o->first_boot_way), "logon_user", o->logon_user,
        "logon_password_file", o->logon_password_file);
    if (!j)
        return err_nomem(e);
    *ret = j;
    return 0;
}

/* ---- its answer ---- */

static int ask_in(const char *temp, const json_t *request, const struct guest_options *o,
                  const struct cancel *cancel, const struct progress *progress,
                  json_t **ret, struct err *e)
{
    auto_free char *variable = str_fmt(e, "LIBGUESTFS_TMPDIR=%s", temp);
    struct helper_spec spec = {.name = "hotadd-guest",
                               .folder = "guest",
                               .program = o->program,
                               .variable = variable};
    struct helper_ask what = {
        .request = request,
        .deadline_ns = clock_mono_ns() + (o->deadline_ns ? o->deadline_ns : DEADLINE_NS),
        .cancel = cancel,
        .progress = progress};
    struct helper h = HELPER_INIT;
    int r;

    if (!variable)
        return -1;
    r = helper_start(&spec, &h, e);
    if (r == 0)
        r = helper_ask(&h, &what, ret, e);
    if (r < 0 && e->kind == ERR_TIMEOUT)
        err_set(e, ERR_TIMEOUT, "the guest could not be examined in time");
    helper_stop(&h, r == 0 ? 0 : GRACE_NS);
    return r;
}

static int ask(const char *op, const struct guest_disk *disks, size_t n,
               const struct guest_options *o, const struct cancel *cancel,
               const struct progress *progress, json_t **ret, struct err *e)
{
    const char *base = getenv("TMPDIR");
    auto_free char *temp = str_fmt(e, "%s/hotadd-guest-XXXXXX", base ? base : "/tmp");
    json_auto_t *request = NULL;
    struct err ignored = ERR_INIT;
    int r;

    if (!temp || request_json(op, disks, n, o, &request, e) < 0)
        return -1;
    if (!n)
        return err_set(e, ERR_USAGE, "a guest has at least one disk");
    if (!mkdtemp(temp))
        return err_sys(e, "%s", temp);
    r = ask_in(temp, request, o, cancel, progress, ret, e);
    if (io_remove_tree(temp, &ignored) < 0)
        log_debug("%s", ignored.msg);
    return r;
}

int guest_check(const struct guest_disk *disks, size_t n, const struct guest_options *o,
                const struct cancel *cancel, const struct progress *progress,
                struct guest_info **ret, struct err *e)
{
    json_auto_t *j = NULL;

    if (ask("check", disks, n, o, cancel, progress, &j, e) < 0)
        return err_prefix(e, "check the guest");
    return guest_info_from_json(j, ret, e);
}

int guest_convert(const struct guest_disk *disks, size_t n, const struct guest_options *o,
                  const struct cancel *cancel, const struct progress *progress,
                  struct guest_report **ret, struct err *e)
{
    json_auto_t *j = NULL;

    if (ask("convert", disks, n, o, cancel, progress, &j, e) < 0)
        return err_prefix(e, "convert the guest");
    return guest_report_from_json(j, ret, e);
}
