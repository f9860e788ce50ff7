/* hotadd sync run, resync, watch */
#include "cli/cmd_sync.h"

#include "base/json.h"
#include "base/log.h"
#include "base/str.h"
#include "cli/progress_view.h"

#include <inttypes.h>
#include <stdio.h>

struct run_options {
    struct common_options common;
    char *to;
    uint64_t concurrency;
    uint64_t max_rate;
    uint64_t poll_s, retry_s; /* watch */
};

#define AT(f) offsetof(struct run_options, f)

static const struct option_def run_defs[] = {
    {"to", 0, OPTION_STRING, AT(to), "POINT",
     "of one sync: to that recovery point (ID@TIME), not the newest"},
    {"concurrency", 0, OPTION_U64, AT(concurrency), "N", "passes at once (2)"},
    {"max-rate", 0, OPTION_BYTES, AT(max_rate), "BYTES",
     "at most so many bytes of data a second, all together (100M)"},
    COMMON_OPTIONS(struct run_options),
    OPTION_END,
};

static const struct option_def watch_defs[] = {
    {"concurrency", 0, OPTION_U64, AT(concurrency), "N", "passes at once (2)"},
    {"max-rate", 0, OPTION_BYTES, AT(max_rate), "BYTES",
     "at most so many bytes of data a second, all together (100M)"},
    {"poll", 0, OPTION_U64, AT(poll_s), "SECONDS",
     "look into repositories at least so often (60)"},
    {"retry", 0, OPTION_U64, AT(retry_s), "SECONDS",
     "after a failed pass, doubled each time up to an hour (60)"},
    COMMON_OPTIONS(struct run_options),
    OPTION_END,
};

void sync_print_result(const json_t *o)
{
    char written[32], changed[32];
    const char *outcome = json_str_or(o, "outcome", "");

    if (str_eq(outcome, "synced"))
        printf("%s: holds %s, %s written of %s that changed, %" PRIu64 " s\n",
               json_str_or(o, "sync", "?"), json_str_or(o, "to", "?"),
               str_bytes(written, sizeof written, json_u64_or(o, "written_bytes", 0)),
               str_bytes(changed, sizeof changed, json_u64_or(o, "changed_bytes", 0)),
               json_u64_or(o, "seconds", 0));
    else if (str_eq(outcome, "current"))
        printf("%s: holds %s, the newest point, already\n", json_str_or(o, "sync", "?"),
               json_str_or(o, "to", "?"));
    else if (json_u64_or(o, "exit", 0))
        printf("%s: failed (exit code %" PRIu64 ")%s%s\n", json_str_or(o, "sync", "?"),
               json_u64_or(o, "exit", 0), json_str_or(o, "error", NULL) ? ": " : "",
               json_str_or(o, "error", ""));
}

/* ---- run ---- */

/* How a pass that stopped goes on is its own affair: by the same command. */
static int told(int r, const json_t *result, bool json)
{
    progress_view_clear();
    if (result && json && command_print_json(result) != EXIT_DONE)
        return EXIT_FAILED;
    if (result && !json && r == 0)
        sync_print_result(result);
    return r < 0 ? -1 : EXIT_DONE;
}

static int run_one(const struct run_options *o, const char *name, struct err *e)
{
    struct flow_env env = command_begin(&o->common);
    const struct sync_run_how how = {.to = o->to, .max_rate = o->max_rate};
    json_auto_t *result = NULL;
    int r = sync_run(name, &how, &env, &result, e);

    return told(r, result, o->common.json);
}

static int run_many(const struct run_options *o, char **names, int n, struct err *e)
{
    struct flow_env env = command_begin(&o->common);
    auto_strv struct strv list = {0};
    json_auto_t *results = NULL;
    const json_t *one;
    size_t i;
    int r;

    if (o->to)
        return err_set(e, ERR_USAGE, "--to: name the one sync that it is for");
    for (int k = 0; k < n; k++)
        if (strv_add_once(&list, names[k], e) < 0)
            return -1;
    r = sync_run_many(&(struct sync_many){.names = &list,
                                          .concurrency = o->concurrency,
                                          .max_rate = o->max_rate},
                      &env, &results, e);
    progress_view_clear();
    if (o->common.json && results) {
        if (command_print_json(results) != EXIT_DONE)
            return EXIT_FAILED;
    } else {
        if (r == 0 && !json_array_size(results))
            printf("no sync has anything to run; `hotadd sync create` makes one\n");
        json_array_foreach (results, i, one)
            sync_print_result(one);
    }
    return r < 0 ? -1 : EXIT_DONE;
}

int cmd_sync_run(int argc, char **argv)
{
    static const struct command_help help = {
        .name = "sync run",
        .args = "[NAME...]",
        .summary =
            "One pass: brings replicas to the newest recovery points, and finishes "
            "what was interrupted.\nWithout names, of all syncs, by group and "
            "priority."};
    struct run_options o = {0};
    struct err e = ERR_INIT;
    int first, code, r = options_parse(argc, argv, &help, run_defs, &o, &first, &e);

    if (r != 0) {
        code = r > 0 ? EXIT_DONE : command_fail(&e, NULL);
    } else if (o.concurrency > 64) {
        code = command_usage("sync run", "--concurrency is at most 64");
    } else {
        r = argc - first == 1 ? run_one(&o, argv[first], &e)
                              : run_many(&o, argv + first, argc - first, &e);
        code = r < 0 ? command_fail(&e, NULL) : r;
    }
    options_release(run_defs, &o);
    return code;
}

/* ---- resync ---- */

static const struct option_def resync_defs[] = {
    COMMON_OPTIONS(struct run_options),
    OPTION_END,
};

static int resync(const struct run_options *o, const char *name, struct err *e)
{
    struct flow_env env = command_begin(&o->common);
    json_auto_t *result = NULL;
    int r = sync_resync(name, &env, &result, e);

    return told(r, result, o->common.json);
}

int cmd_sync_resync(int argc, char **argv)
{
    static const struct command_help help = {
        .name = "sync resync",
        .args = "NAME",
        .summary = "Reads the replica's volumes, writes what differs from the newest "
                   "recovery point, and\ngoes on from there: when nobody knows what the "
                   "volumes hold."};
    struct run_options o = {0};
    struct err e = ERR_INIT;
    int first, code, r = options_parse(argc, argv, &help, resync_defs, &o, &first, &e);

    if (r != 0)
        code = r > 0 ? EXIT_DONE : command_fail(&e, NULL);
    else if (argc - first != 1)
        code = command_usage("sync resync", "give one sync's name");
    else
        code = (r = resync(&o, argv[first], &e)) < 0 ? command_fail(&e, NULL) : r;
    options_release(resync_defs, &o);
    return code;
}

/* ---- watch ---- */

static int watch(const struct run_options *o, struct err *e)
{
    struct flow_env env = command_begin(&o->common);

    return sync_watch(&(struct sync_watch){.many = {.concurrency = o->concurrency,
                                                    .max_rate = o->max_rate},
                                           .poll_s = o->poll_s,
                                           .retry_s = o->retry_s},
                      &env, e);
}

int cmd_sync_watch(int argc, char **argv)
{
    static const struct command_help help = {
        .name = "sync watch",
        .args = "",
        .summary =
            "Serves until it is told to stop (SIGTERM): starts a pass as soon as a "
            "repository has a\nnew recovery point and the sync's window is open."};
    struct run_options o = {0};
    struct err e = ERR_INIT;
    int first, code, r = options_parse(argc, argv, &help, watch_defs, &o, &first, &e);

    if (r != 0)
        code = r > 0 ? EXIT_DONE : command_fail(&e, NULL);
    else if (argc != first)
        code = command_usage("sync watch", "no arguments are taken");
    else if (o.concurrency > 64 || o.poll_s > 86400 || o.retry_s > 3600)
        code = command_usage("sync watch", "--concurrency is at most 64, --poll a day, "
                                           "--retry an hour");
    else
        code = watch(&o, &e) < 0 ? command_fail(&e, NULL) : EXIT_DONE;
    options_release(watch_defs, &o);
    return code;
}
