/* hotadd check */
#include "base/json.h"
#include "base/str.h"
#include "cli/progress_view.h"
#include "cli/repo_words.h"
#include "cli/restore_options.h"

#include <inttypes.h>
#include <stdio.h>

struct check_options {
    struct common_options common;
    struct restore_params params;
    char *for_what;
    bool all;
};

#define AT(f) offsetof(struct check_options, f)

static const struct option_def defs[] = {
    {"format", 'f', OPTION_STRING, AT(params.format), "FORMAT",
     "of a bare image: raw, vmdk, qcow2, vhd, vhdx, vdi"},
    REPO_OPTIONS(struct check_options, params),
    REPO_AWS_OPTIONS(struct check_options, params),
    {"for", 0, OPTION_STRING, AT(for_what), "WHAT",
     "what it is checked for: convert, restore or import (convert)"},
    {"profile", 0, OPTION_STRING, AT(params.profile), "PROFILE",
     "what the guest is to drive: nitro, xen or both (nitro)"},
    {"fix", 0, OPTION_FLAG, AT(params.fix), NULL,
     "as a conversion with --fix would see it"},
    {"windows-gpt", 0, OPTION_FLAG, AT(params.windows_gpt), NULL,
     "as a conversion with --windows-gpt would see it"},
    {"discard-hibernation", 0, OPTION_FLAG, AT(params.discard_hibernation), NULL,
     "as a conversion with --discard-hibernation would see it"},
    {"drivers", 0, OPTION_STRING, AT(params.drivers), "DIR",
     "AWS's packages for Windows (/var/lib/hotadd/drivers)"},
    {"first-boot", 0, OPTION_STRING, AT(params.first_boot), "WAY",
     "of Windows: by a service, or by autologon (service)"},
    {"logon-user", 0, OPTION_STRING, AT(params.logon_user), "NAME",
     "autologon: an administrator, [DOMAIN\\]NAME (Administrator)"},
    {"logon-password-file", 0, OPTION_STRING, AT(params.logon_password_file), "FILE",
     "autologon: its first line is that user's password"},
    {"all", 'a', OPTION_FLAG, AT(all), NULL, "also what is met and what is not needed"},
    COMMON_OPTIONS(struct check_options),
    OPTION_END,
};

static void print_machine(const json_t *m)
{
    uint64_t cpus = json_u64_or(m, "cpus", 0), memory = json_u64_or(m, "memory_bytes", 0);
    const json_t *d;
    char size[32];
    size_t i;

    /* Of a disk image alone nothing but its size is known. */
    printf("%s: ", json_str_or(m, "name", "?"));
    if (cpus)
        printf("%" PRIu64 " vCPUs, ", cpus);
    if (memory)
        printf("%s memory, ", str_bytes(size, sizeof size, memory));
    printf("firmware %s\n", json_str_or(m, "firmware", "unknown"));
    json_array_foreach (json_object_get(m, "disks"), i, d)
        printf("  disk %zu  %s  %s, %s\n", i + 1,
               str_bytes(size, sizeof size, json_u64_or(d, "size_bytes", 0)),
               json_str_or(d, "format", "?"), json_str_or(d, "name", "?"));
}

static int print_answer(const struct check_options *o, const json_t *answer, bool blocked)
{
    const json_t *guest = json_object_get(answer, "guest");

    if (o->common.json)
        return command_print_json(answer);
    print_machine(json_object_get(answer, "machine"));
    printf("guest: %s, %s\n", json_str_or(guest, "product_name", "unknown"),
           json_str_or(guest, "arch", "unknown architecture"));
    plan_print_findings(guest, o->all, stdout);
    printf("%s\n", blocked ? "It cannot be converted as it is: see above."
                           : "It can be converted.");
    return fflush(stdout) == EOF ? EXIT_FAILED : EXIT_DONE;
}

static int check(struct check_options *o, const char *source, struct err *e)
{
    const char *kind = o->for_what ? o->for_what : "convert";
    struct restore_params *p = &o->params;
    struct flow_env env = command_begin(&o->common);
    json_auto_t *answer = NULL;
    bool blocked = false;
    int r;

    if (!str_eq(kind, "convert") && !str_eq(kind, "restore") && !str_eq(kind, "import"))
        return err_set(e, ERR_USAGE, "--for %s: must be convert, restore or import",
                       kind);
    if (restore_params_check(p, e) < 0 || str_set(&p->source, source, e) < 0 ||
        restore_params_make_absolute(p, e) < 0)
        return -1;
    r = flow_check(p, kind, &env, &answer, &blocked, e);
    progress_view_clear();
    if (r < 0)
        return -1;
    if (print_answer(o, answer, blocked) != EXIT_DONE)
        return EXIT_FAILED;
    return blocked ? EXIT_REQUIREMENT : EXIT_DONE;
}

int cmd_check(int argc, char **argv)
{
    static const struct command_help help = {
        .name = "check",
        .args = "SOURCE",
        .summary = "Says what the machine in SOURCE is and whether it can be converted, "
                   "with a reason and\na remedy for each requirement that is not met. "
                   "Only reads; needs no AWS account.",
        .epilogue = "hotadd-requirements(7) explains each requirement."};
    struct check_options o = {0};
    struct err e = ERR_INIT;
    int first, code, r = options_parse(argc, argv, &help, defs, &o, &first, &e);

    if (r != 0)
        code = r > 0 ? EXIT_DONE : command_fail(&e, NULL);
    else if (argc - first != 1)
        code = command_usage("check", "give one source");
    else
        code = (r = check(&o, argv[first], &e)) < 0 ? command_fail(&e, NULL) : r;
    options_release(defs, &o);
    free(o.params.source);
    return code;
}
