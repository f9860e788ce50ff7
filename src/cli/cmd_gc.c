/* hotadd gc */
#include "base/json.h"
#include "base/str.h"
#include "cli/command.h"

#include <stdio.h>

struct gc_options {
    struct common_options common;
    char *region;
    char *aws_profile;
    bool remove;
};

static const struct option_def defs[] = {
    {"remove", 0, OPTION_FLAG, offsetof(struct gc_options, remove), NULL,
     "remove them, waiting until they are gone"},
    {"region", 0, OPTION_STRING, offsetof(struct gc_options, region), "REGION",
     "AWS region (the proxy's)"},
    {"aws-profile", 0, OPTION_STRING, offsetof(struct gc_options, aws_profile), "NAME",
     "profile of ~/.aws/config"},
    COMMON_OPTIONS(struct gc_options),
    OPTION_END,
};

static void print_found(const json_t *found)
{
    const json_t *o;
    size_t i;

    if (!json_array_size(found))
        printf("nothing: every resource of hotadd's belongs to a job\n");
    json_array_foreach (found, i, o)
        printf("%-9s %-22s  job %s%s%s\n", json_str_or(o, "type", "?"),
               json_str_or(o, "id", "?"), json_str_or(o, "job", "?"),
               json_bool_or(o, "other_proxy", false) ? ", of another proxy's journal"
                                                     : "",
               json_bool_or(o, "removed", false) ? ", removed" : "");
}

static int gc(const struct gc_options *o, struct err *e)
{
    struct flow_env env = command_begin(&o->common);
    struct restore_params params = {.region = o->region, .aws_profile = o->aws_profile};
    json_auto_t *found = NULL;

    if (flow_gc(&params, o->remove ? FLOW_GC_REMOVE : FLOW_GC_LIST, &env, &found, e) < 0)
        return -1;
    if (o->common.json)
        return command_print_json(found);
    print_found(found);
    return EXIT_DONE;
}

int cmd_gc(int argc, char **argv)
{
    static const struct command_help help = {
        .name = "gc",
        .args = "",
        .summary = "Lists everything tagged by hotadd that no job of this proxy's "
                   "journal accounts for,\nand removes it when told."};
    struct gc_options o = {0};
    struct err e = ERR_INIT;
    int first, code, r = options_parse(argc, argv, &help, defs, &o, &first, &e);

    if (r != 0)
        code = r > 0 ? EXIT_DONE : command_fail(&e, NULL);
    else if (argc != first)
        code = command_usage("gc", "no arguments are taken");
    else
        code = (r = gc(&o, &e)) < 0 ? command_fail(&e, NULL) : r;
    options_release(defs, &o);
    return code;
}
