/* hotadd import */
#include "base/json.h"
#include "base/str.h"
#include "cli/progress_view.h"
#include "cli/restore_options.h"

#include <stdio.h>

/* Commands of the AWS CLI that make the same, to be read before they are run. */
static int print_setup(const json_t *answer)
{
    const char *role = json_str_or(answer, "role", "");
    const char *policy = json_str_or(answer, "policy_name", "");

    if (json_bool_or(answer, "applied", false)) {
        printf("role %s: %s, policy %s written\n", role,
               json_bool_or(answer, "role_made", false) ? "made" : "was there already",
               policy);
        return EXIT_DONE;
    }
    printf("cat >trust.json <<'END'\n%s\nEND\n", json_str_or(answer, "trust", ""));
    printf("cat >policy.json <<'END'\n%s\nEND\n", json_str_or(answer, "policy", ""));
    printf("aws iam create-role --role-name %s "
           "--assume-role-policy-document file://trust.json\n",
           role);
    printf("aws iam put-role-policy --role-name %s --policy-name %s "
           "--policy-document file://policy.json\n",
           role, policy);
    return fflush(stdout) == EOF ? EXIT_FAILED : EXIT_DONE;
}

static int setup(struct restore_options *o)
{
    struct flow_env env = command_begin(&o->common);
    json_auto_t *answer = NULL;
    struct err e = ERR_INIT;

    if (flow_import_setup(&o->params, o->apply ? FLOW_SETUP_APPLY : FLOW_SETUP_PRINT,
                          &env, &answer, &e) < 0)
        return command_fail(&e, NULL);
    return o->common.json ? command_print_json(answer) : print_setup(answer);
}

int cmd_import(int argc, char **argv)
{
    static const struct command_help help = {
        .name = "import",
        .args = "SOURCE",
        .summary =
            "Makes an EC2 instance of the machine in SOURCE by way of S3 and "
            "Amazon's VM Import:\nuploads its disks to a bucket, has them imported, "
            "launches the instance, watches its\nfirst boot, and removes objects and "
            "image. Nothing is attached, so it runs anywhere."};
    struct restore_options o = {0};
    struct err e = ERR_INIT;
    int code, r = restore_options_parse(argc, argv, &help, &o, &e);

    if (r == 0)
        code = o.setup ? setup(&o) : restore_execute("import", &o);
    else
        code = r > 0 ? EXIT_DONE : command_fail(&e, NULL);
    restore_options_release(&o);
    return code;
}
