/* hotadd forget */
#include "base/json.h"
#include "base/str.h"
#include "cli/repo_words.h"

#include <stdio.h>

struct forget_options {
    struct common_options common;
    struct repo_words at;
};

static const struct option_def defs[] = {
    REPO_OPTIONS(struct forget_options, at),
    REPO_AWS_OPTIONS(struct forget_options, at),
    COMMON_OPTIONS(struct forget_options),
    OPTION_END,
};

static int forget(const struct forget_options *o, const char *point, struct err *e)
{
    struct flow_env env = command_begin(&o->common);
    struct repo_where where = repo_words_where(&o->at);
    auto_flow_repo struct flow_repo repo = {0};
    auto_free char *text = NULL;
    json_auto_t *result = NULL;
    struct repo_name name = {0};
    int r;

    if (flow_repo_name(&where, point, &name, e) < 0)
        return -1;
    if (!repo_is_moment(name.time))
        r = err_set(e, ERR_USAGE, "%s: give the exact time, VM@TIME", point);
    else
        r = flow_repo_open(&where, REPO_MUST_EXIST, env.cancel, &repo, e);
    if (r == 0)
        r = repo_point_remove(repo.repo, &name, e);
    if (r == 0)
        r = (text = flow_point_text(&name, name.time, e)) ? 0 : -1;
    repo_name_release(&name);
    if (r < 0)
        return -1;
    if (!o->common.json) {
        printf("%s: forgotten\n", text);
        return EXIT_DONE;
    }
    result = json_pack("{s:s}", "forgotten", text);
    return result ? command_print_json(result) : err_nomem(e);
}

int cmd_forget(int argc, char **argv)
{
    static const struct command_help help = {
        .name = "forget",
        .args = "VM@TIME",
        .summary = "Removes a recovery point from its repository. Its chunks stay until "
                   "a garbage\ncollection finds that no other point uses them."};
    struct forget_options o = {0};
    struct err e = ERR_INIT;
    int first, code, r = options_parse(argc, argv, &help, defs, &o, &first, &e);

    if (r != 0)
        code = r > 0 ? EXIT_DONE : command_fail(&e, NULL);
    else if (argc - first != 1)
        code = command_usage("forget", "give one recovery point");
    else
        code = (r = forget(&o, argv[first], &e)) < 0 ? command_fail(&e, NULL) : r;
    options_release(defs, &o);
    return code;
}
