/* hotadd version */
#include "cli/command.h"
#include "config.h"

#include <stdio.h>

struct version_options {
    bool json;
};

static const struct option_def defs[] = {
    {"json", 0, OPTION_FLAG, offsetof(struct version_options, json), NULL,
     "as JSON on standard output"},
    OPTION_END,
};

int cmd_version(int argc, char **argv)
{
    static const struct command_help help = {
        .name = "version", .args = "", .summary = "Prints the version of hotadd."};
    struct version_options o = {0};
    struct err e = ERR_INIT;
    json_auto_t *v = NULL;
    int first, r = options_parse(argc, argv, &help, defs, &o, &first, &e);

    if (r != 0)
        return r > 0 ? EXIT_DONE : command_fail(&e, NULL);
    if (!o.json) {
        printf("hotadd %s\n", HOTADD_VERSION);
        return EXIT_DONE;
    }
    v = json_pack("{s:s}", "version", HOTADD_VERSION);
    return v ? command_print_json(v) : EXIT_FAILED;
}
