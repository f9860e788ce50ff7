/* hotadd-guest: looks into a guest and converts it, for the client in client.c.
 *
 * One request line of JSON on standard input, progress lines and one result line on
 * standard output, libguestfs's talk on standard error. No credentials reach this
 * process: the client gives it an environment of a few variables. It ends when its
 * standard input closes, so it does not outlive a client that was killed; libguestfs's
 * recovery process then ends the appliance. */
#include "base/auto.h"
#include "base/helper_child.h"
#include "base/json.h"
#include "base/str.h"
#include "guest/child/session.h"

#include <stdio.h>

#define MAX_DISKS 64

static void say_progress(const char *what, unsigned done, unsigned total)
{
    helper_child_say(json_pack("{s:{s:s, s:i, s:i}}", "progress", "what", what, "done",
                               (int)done, "total", (int)total));
}

static int parse_disk(const json_t *j, struct session_request *rq, struct err *e)
{
    struct guest_disk d = {
        .nbd_socket = json_str_or(j, "socket", NULL),
        .nbd_export = json_str_or(j, "export", NULL),
        .path = json_str_or(j, "path", NULL),
    };

    if (!d.nbd_socket == !d.path)
        return err_set(e, ERR_INPUT, "request: a disk needs \"socket\" or \"path\"");
    return vec_push(&rq->disks, d, e);
}

static int parse_request(const json_t *j, struct session_request *rq, struct err *e)
{
    const json_t *disks = json_object_get(j, "disks"), *o = json_object_get(j, "options");
    const char *op;
    size_t i;
    json_t *d;

    if (json_need_str(j, "op", &op, e) < 0)
        return -1;
    rq->convert = str_eq(op, "convert");
    if (!rq->convert && !str_eq(op, "check"))
        return err_set(e, ERR_INPUT, "request: \"op\" is check or convert");
    if (!json_array_size(disks) || json_array_size(disks) > MAX_DISKS)
        return err_set(e, ERR_INPUT, "request: \"disks\" must be 1 to %d disks",
                       MAX_DISKS);
    json_array_foreach ((json_t *)disks, i, d)
        if (parse_disk(d, rq, e) < 0)
            return -1;
    const char *firmware = json_str_or(o, "firmware", "unknown"),
               *purpose = json_str_or(o, "purpose", "convert");
    rq->options.firmware = str_eq(firmware, "bios")   ? FIRMWARE_BIOS
                           : str_eq(firmware, "uefi") ? FIRMWARE_UEFI
                                                      : FIRMWARE_UNKNOWN;
    rq->options.purpose = str_eq(purpose, "restore") ? GUEST_RESTORE : GUEST_CONVERT;
    rq->options.fix = json_bool_or(o, "fix", false);
    rq->options.dry_run = json_bool_or(o, "dry_run", false);
    rq->options.windows_gpt = json_bool_or(o, "windows_gpt", false);
    rq->options.discard_hibernation = json_bool_or(o, "discard_hibernation", false);
    rq->options.drivers = json_str_or(o, "drivers", NULL);
    rq->options.first_boot = json_str_or(o, "first_boot", NULL);
    rq->options.logon_user = json_str_or(o, "logon_user", NULL);
    rq->options.logon_password_file = json_str_or(o, "logon_password_file", NULL);
    if (guest_method_parse(json_str_or(o, "method", "swap"), &rq->options.method, e) <
            0 ||
        first_boot_way_parse(json_str_or(o, "first_boot_way", "service"),
                             &rq->options.first_boot_way, e) < 0)
        return -1;
    return guest_profile_parse(json_str_or(o, "profile", "nitro"), &rq->options.profile,
                               e);
}

static int serve(struct session_request *rq, json_t **request, json_t **result,
                 struct err *e)
{
    if (helper_child_request(request, e) < 0 || parse_request(*request, rq, e) < 0 ||
        helper_child_watch(e) < 0)
        return -1;
    return session_run(rq, say_progress, result, e);
}

int main(int argc, char **argv)
{
    json_auto_t *request = NULL, *result = NULL;
    struct session_request rq = {0};
    struct err e = ERR_INIT;
    int r;

    if (argc > 1) {
        fprintf(stderr, "hotadd-guest is started by hotadd; see hotadd-check(1)\n");
        return 2;
    }
    helper_child_begin();
    r = serve(&rq, &request, &result, &e);
    vec_release(&rq.disks);
    if (r < 0)
        return helper_child_error(&e);
    helper_child_result(take_ptr(result));
    return 0;
}
