/* hotadd convert, hotadd restore */
#include "base/json.h"
#include "base/log.h"
#include "base/str.h"
#include "cli/progress_view.h"
#include "cli/restore_options.h"

#include <stdio.h>

static void show_plan(void *ctx, const struct plan *plan)
{
    const struct restore_options *o = ctx;

    if (o->common.quiet || o->common.json)
        return;
    progress_view_clear();
    plan_print(plan, stderr);
}

static void indent_lines(const char *text)
{
    for (const char *p = text; *p;) {
        size_t n = strcspn(p, "\n");

        printf("  | %.*s\n", (int)n, p);
        p += n + (p[n] == '\n');
    }
}

static void print_result(const json_t *result)
{
    const json_t *i = json_object_get(result, "instance");
    const char *console = json_str_or(i, "console", "");

    printf("job %s: %s\n", json_str_or(result, "id", "?"),
           json_str_or(result, "state", "?"));
    if (!i)
        return;
    printf("instance %s: %s, status checks %s, %s in %s\n",
           json_str_or(i, "instance_id", "?"), json_str_or(i, "state", "?"),
           json_str_or(i, "status_checks", "?"), json_str_or(i, "type", "?"),
           json_str_or(i, "zone", "?"));
    printf("address: %s%s%s\n", json_str_or(i, "private_ip", "none"),
           *json_str_or(i, "public_ip", "") ? ", public " : "",
           json_str_or(i, "public_ip", ""));
    if (*console) {
        printf("console:\n");
        indent_lines(console);
    }
}

static int dry_run(const char *kind, const struct restore_options *o,
                   const struct flow_env *env)
{
    auto_plan struct plan *plan = NULL;
    json_auto_t *json = NULL;
    struct err e = ERR_INIT;
    int r = flow_plan(kind, &o->params, env, &plan, &e);

    if (plan && o->common.json) {
        json = plan_json(plan, &e);
        if (!json || command_print_json(json) != EXIT_DONE)
            return EXIT_FAILED;
    } else if (plan && r == 0) {
        plan_print(plan, stdout);
    }
    if (plan && !o->common.json)
        plan_print_findings(plan->guest_info, r == 0, r == 0 ? stdout : stderr);
    return r < 0 ? command_fail(&e, NULL) : EXIT_DONE;
}

static int run(const char *kind, struct restore_options *o, struct flow_env *env)
{
    bool undo = o->on_failure && str_eq(o->on_failure, "undo");
    json_auto_t *result = NULL;
    struct err e = ERR_INIT;
    int r;

    env->show_plan = show_plan;
    env->show_ctx = o;
    r = flow_start(kind, &o->params, undo ? FLOW_UNDO : FLOW_KEEP, env, &result, &e);
    progress_view_clear();
    if (result && o->common.json)
        command_print_json(result);
    if (r < 0)
        return command_fail(&e, result);
    if (!o->common.json)
        print_result(result);
    return EXIT_DONE;
}

int restore_execute(const char *kind, struct restore_options *o)
{
    struct flow_env env = command_begin(&o->common);

    return o->dry_run ? dry_run(kind, o, &env) : run(kind, o, &env);
}

static int start(int argc, char **argv, const struct command_help *help)
{
    struct restore_options o = {0};
    struct err e = ERR_INIT;
    int code, r = restore_options_parse(argc, argv, help, &o, &e);

    if (r == 0)
        code = restore_execute(help->name, &o);
    else
        code = r > 0 ? EXIT_DONE : command_fail(&e, NULL);
    restore_options_release(&o);
    return code;
}

int cmd_convert(int argc, char **argv)
{
    static const struct command_help help = {
        .name = "convert",
        .args = "SOURCE",
        .summary = "Makes an EC2 instance of the machine in SOURCE (OVA, OVF, VMX, VMDK, "
                   "raw, qcow2,\nVHD, VHDX, NBD): creates volumes, attaches them to this "
                   "proxy, restores the data,\ninjects drivers, detaches them, makes the "
                   "instance, and watches its first boot."};

    return start(argc, argv, &help);
}

int cmd_restore(int argc, char **argv)
{
    static const struct command_help help = {
        .name = "restore",
        .args = "SOURCE",
        .summary = "Makes an EC2 instance of the machine in SOURCE, which ran on EC2 "
                   "before: as convert,\nbut nothing in the guest is changed."};

    return start(argc, argv, &help);
}
