/* hotadd resume, hotadd undo: both take a job's id and go on from the journal. */
#include "base/json.h"
#include "base/log.h"
#include "base/str.h"
#include "cli/command.h"
#include "cli/progress_view.h"
#include "sync/failover.h"

#include <stdio.h>

struct resume_options {
    struct common_options common;
    bool undo_on_failure;
};

struct undo_options {
    struct common_options common;
    bool done;
};

static const struct option_def resume_defs[] = {
    {"undo-on-failure", 0, OPTION_FLAG, offsetof(struct resume_options, undo_on_failure),
     NULL, "if it fails again, remove what it made"},
    COMMON_OPTIONS(struct resume_options),
    OPTION_END,
};

static const struct option_def undo_defs[] = {
    {"done", 0, OPTION_FLAG, offsetof(struct undo_options, done), NULL,
     "also a job that is done: terminates its instance, deletes its volumes"},
    COMMON_OPTIONS(struct undo_options),
    OPTION_END,
};

/* The end of either: result and error to where they belong. */
static int finish(int r, const struct err *e, const json_t *result, bool json)
{
    const json_t *i = json_object_get(result, "instance");

    progress_view_clear();
    if (result && json)
        command_print_json(result);
    if (r < 0)
        return command_fail(e, result);
    if (json)
        return EXIT_DONE;
    printf("job %s: %s\n", json_str_or(result, "id", "?"),
           json_str_or(result, "state", "?"));
    if (i && str_eq(json_str_or(result, "state", ""), "done"))
        printf("instance %s: %s, status checks %s, address %s\n",
               json_str_or(i, "instance_id", "?"), json_str_or(i, "state", "?"),
               json_str_or(i, "status_checks", "?"),
               json_str_or(i, "private_ip", "none"));
    return EXIT_DONE;
}

int cmd_resume(int argc, char **argv)
{
    static const struct command_help help = {
        .name = "resume",
        .args = "JOB",
        .summary = "Goes on with a job that failed or was interrupted, from the first "
                   "step that is not\ndone; data that is durable is not copied again."};
    struct resume_options o = {0};
    json_auto_t *result = NULL;
    struct flow_env env;
    struct err e = ERR_INIT;
    int first, code, r = options_parse(argc, argv, &help, resume_defs, &o, &first, &e);

    if (r != 0) {
        code = r > 0 ? EXIT_DONE : command_fail(&e, NULL);
    } else if (argc - first != 1) {
        code = command_usage("resume", "give one job");
    } else {
        env = command_begin(&o.common);
        r = failover_job_is(&env, argv[first])
                ? failover_job_resume(argv[first], &env, &result, &e)
                : flow_resume(argv[first], o.undo_on_failure ? FLOW_UNDO : FLOW_KEEP,
                              &env, &result, &e);
        code = finish(r, &e, result, o.common.json);
    }
    options_release(resume_defs, &o);
    return code;
}

int cmd_undo(int argc, char **argv)
{
    static const struct command_help help = {
        .name = "undo",
        .args = "JOB",
        .summary = "Removes everything a job made, newest first, and waits until it is "
                   "gone."};
    struct undo_options o = {0};
    json_auto_t *result = NULL;
    struct flow_env env;
    struct err e = ERR_INIT;
    int first, code, r = options_parse(argc, argv, &help, undo_defs, &o, &first, &e);

    if (r != 0) {
        code = r > 0 ? EXIT_DONE : command_fail(&e, NULL);
    } else if (argc - first != 1) {
        code = command_usage("undo", "give one job");
    } else {
        env = command_begin(&o.common);
        r = failover_job_is(&env, argv[first])
                ? failover_job_undo(argv[first], &env, &result, &e)
                : flow_undo(argv[first],
                            o.done ? FLOW_UNDO_EVEN_DONE : FLOW_UNDO_UNFINISHED, &env,
                            &result, &e);
        code = finish(r, &e, result, o.common.json);
    }
    options_release(undo_defs, &o);
    return code;
}
