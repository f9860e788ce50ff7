/* hotadd sync: which subcommand, and those that are small. */
#include "cli/cmd_sync.h"

#include "base/json.h"
#include "base/log.h"
#include "base/str.h"
#include "cli/progress_view.h"

#include <stdio.h>

static const struct command commands[] = {
    {"create", "follow a machine of a repository", cmd_sync_create},
    {"run", "bring replicas to the newest point, once", cmd_sync_run},
    {"watch", "serve: passes as soon as there are new points", cmd_sync_watch},
    {"list", "all syncs, with their lag", cmd_sync_list},
    {"show", "one sync: lag, points, history, errors", cmd_sync_show},
    {"pause", "no passes until resume", cmd_sync_pause},
    {"resume", "passes again", cmd_sync_resume},
    {"resync", "compare the volumes with the newest point and mend them",
     cmd_sync_resync},
    {"verify", "prove by digest that a replica holds its point", cmd_sync_verify},
    {"delete", "end a sync", cmd_sync_delete},
};
#define N_COMMANDS (sizeof commands / sizeof commands[0])

static void print_help(FILE *out)
{
    fprintf(out, "usage: hotadd sync COMMAND [OPTIONS] [ARGUMENTS]\n\n"
                 "Live Sync: replicas of machines on EBS volumes, kept fresh from their "
                 "backups.\n\nCommands:\n");
    for (size_t i = 0; i < N_COMMANDS; i++)
        fprintf(out, "  %-14s%s\n", commands[i].name, commands[i].summary);
    fprintf(out,
            "\n`hotadd sync COMMAND --help` tells of each; so does hotadd-sync(1).\n");
}

int cmd_sync(int argc, char **argv)
{
    if (argc < 2) {
        print_help(stderr);
        return EXIT_USAGE;
    }
    if (str_eq(argv[1], "--help") || str_eq(argv[1], "-h")) {
        print_help(stdout);
        return EXIT_DONE;
    }
    for (size_t i = 0; i < N_COMMANDS; i++)
        if (str_eq(argv[1], commands[i].name))
            return commands[i].run(argc - 1, argv + 1);
    log_error("there is no command '%s'; see `hotadd sync --help`", argv[1]);
    return EXIT_USAGE;
}

/* ---- pause, resume ---- */

struct name_options {
    struct common_options common;
};

static const struct option_def name_defs[] = {
    COMMON_OPTIONS(struct name_options),
    OPTION_END,
};

static int with_each(int argc, char **argv, const struct command_help *help,
                     int (*act)(const char *name, const struct flow_env *env,
                                struct err *e))
{
    struct name_options o = {0};
    struct err e = ERR_INIT;
    struct flow_env env;
    int first, r = options_parse(argc, argv, help, name_defs, &o, &first, &e);
    int code = EXIT_DONE;

    if (r != 0) {
        code = r > 0 ? EXIT_DONE : command_fail(&e, NULL);
    } else if (argc == first) {
        code = command_usage(help->name, "give a sync's name");
    } else {
        env = command_begin(&o.common);
        for (int i = first; i < argc && code == EXIT_DONE; i++)
            if (act(argv[i], &env, &e) < 0)
                code = command_fail(&e, NULL);
    }
    options_release(name_defs, &o);
    return code;
}

int cmd_sync_pause(int argc, char **argv)
{
    static const struct command_help help = {
        .name = "sync pause",
        .args = "NAME...",
        .summary = "No more passes until resume. One that runs is finished."};

    return with_each(argc, argv, &help, sync_pause);
}

int cmd_sync_resume(int argc, char **argv)
{
    static const struct command_help help = {.name = "sync resume",
                                             .args = "NAME...",
                                             .summary = "Passes again after a pause."};

    return with_each(argc, argv, &help, sync_resume);
}

/* ---- verify ---- */

static void print_verified(const json_t *o)
{
    const json_t *d;
    size_t i;

    json_array_foreach (json_object_get(o, "disks"), i, d)
        printf("%-24s %s  %s\n  point  %s\n  volume %s\n", json_str_or(d, "name", "?"),
               json_str_or(d, "volume", "?"),
               json_bool_or(d, "equal", false) ? "equal" : "DIFFERENT",
               json_str_or(d, "point_digest", "?"), json_str_or(d, "volume_digest", "?"));
    printf("sync %s: the replica %s %s\n", json_str_or(o, "sync", "?"),
           json_bool_or(o, "equal", false) ? "holds" : "does NOT hold",
           json_str_or(o, "point", "?"));
}

static int verify(const struct name_options *o, const char *name, struct err *e)
{
    struct flow_env env = command_begin(&o->common);
    json_auto_t *result = NULL;
    bool equal = false;

    if (sync_verify(name, &env, &result, &equal, e) < 0)
        return -1;
    progress_view_clear();
    if (o->common.json)
        command_print_json(result);
    else
        print_verified(result);
    if (equal)
        return EXIT_DONE;
    log_error("sync %s needs a resync: `hotadd sync resync %s`", name, name);
    return EXIT_FAILED;
}

int cmd_sync_verify(int argc, char **argv)
{
    static const struct command_help help = {
        .name = "sync verify",
        .args = "NAME",
        .summary =
            "Reads the replica's volumes and its recovery point and compares their "
            "digests.\nExit code 1 when they differ."};
    struct name_options o = {0};
    struct err e = ERR_INIT;
    int first, code, r = options_parse(argc, argv, &help, name_defs, &o, &first, &e);

    if (r != 0)
        code = r > 0 ? EXIT_DONE : command_fail(&e, NULL);
    else if (argc - first != 1)
        code = command_usage("sync verify", "give one sync's name");
    else
        code = (r = verify(&o, argv[first], &e)) < 0 ? command_fail(&e, NULL) : r;
    options_release(name_defs, &o);
    return code;
}

/* ---- delete ---- */

struct delete_options {
    struct common_options common;
    char *keep;
};

static const struct option_def delete_defs[] = {
    {"keep", 0, OPTION_STRING, offsetof(struct delete_options, keep), "WHAT",
     "nothing, snapshots, or all: what stays, without hotadd's tags (nothing)"},
    COMMON_OPTIONS(struct delete_options),
    OPTION_END,
};

static int delete_each(const struct delete_options *o, char **names, int n, struct err *e)
{
    struct flow_env env = command_begin(&o->common);
    enum sync_keep keep = SYNC_KEEP_NOTHING;

    if (o->keep && str_eq(o->keep, "snapshots"))
        keep = SYNC_KEEP_SNAPSHOTS;
    else if (o->keep && str_eq(o->keep, "all"))
        keep = SYNC_KEEP_ALL;
    else if (o->keep && !str_eq(o->keep, "nothing"))
        return err_set(e, ERR_USAGE, "--keep %s: must be nothing, snapshots or all",
                       o->keep);
    for (int i = 0; i < n; i++)
        if (sync_delete(names[i], keep, &env, e) < 0)
            return -1;
    return EXIT_DONE;
}

int cmd_sync_delete(int argc, char **argv)
{
    static const struct command_help help = {
        .name = "sync delete",
        .args = "NAME...",
        .summary = "Ends syncs, and deletes their volumes and snapshots unless told to "
                   "keep them."};
    struct delete_options o = {0};
    struct err e = ERR_INIT;
    int first, code, r = options_parse(argc, argv, &help, delete_defs, &o, &first, &e);

    if (r != 0)
        code = r > 0 ? EXIT_DONE : command_fail(&e, NULL);
    else if (argc == first)
        code = command_usage("sync delete", "give a sync's name");
    else
        code = (r = delete_each(&o, argv + first, argc - first, &e)) < 0
                   ? command_fail(&e, NULL)
                   : r;
    options_release(delete_defs, &o);
    return code;
}
