/* hotadd sync test, failover, undo-failover, failback, commit */
#include "cli/cmd_sync.h"

#include "base/json.h"
#include "base/str.h"
#include "cli/command.h"
#include "cli/progress_view.h"
#include "sync/failover.h"

#include <stdio.h>

struct failover_options {
    struct common_options common;
    struct restore_params instance;
    char *at;
    bool keep;
    bool evidence;
    bool scheduled;
    char *every;
    bool planned;
    struct strv backup_hook, stop_hook;
    bool stop; /* failback */
    uint64_t max_rate;
    bool retire; /* commit */
};

#define AT(f)       offsetof(struct failover_options, f)
#define INSTANCE(f) offsetof(struct failover_options, instance.f)

/* What counts instead of the sync's own settings, for this launch. */
#define INSTANCE_OPTIONS                                                                 \
    {.type = OPTION_HEADING, .help = "The instance, where it differs from the sync's"},  \
        {"name", 0, OPTION_STRING, INSTANCE(name), "NAME", "its Name tag"},              \
        {"instance-type",         't',    OPTION_STRING,                                 \
         INSTANCE(instance_type), "TYPE", "instance type"},                              \
        {"subnet", 0, OPTION_STRING, INSTANCE(subnet), "ID", "subnet"},                  \
        {"security-group",          0,    OPTION_LIST,                                   \
         INSTANCE(security_groups), "ID", "security group; may be repeated"},            \
        {"key-name", 0, OPTION_STRING, INSTANCE(key_name), "NAME", "key pair"},          \
        {"iam-profile",         0,          OPTION_STRING,                               \
         INSTANCE(iam_profile), "NAME|ARN", "instance profile"},                         \
        {"private-ip",         0,         OPTION_STRING,                                 \
         INSTANCE(private_ip), "ADDRESS", "private IPv4 address"},                       \
        {"tag",          0,           OPTION_LIST,                                       \
         INSTANCE(tags), "KEY=VALUE", "tag of instance and volumes; may be repeated"},   \
        {"boot-timeout",           0,         OPTION_U64,                                \
         INSTANCE(boot_timeout_s), "SECONDS", "for the status checks (900)"},            \
        {"skip-check",         0,    OPTION_FLAG,                                        \
         INSTANCE(skip_check), NULL, "it ran on EC2 before: launch it as it is"},        \
    {                                                                                    \
        "device-root", 0, OPTION_STRING, INSTANCE(device_root), "DIR",                   \
            "where attached volumes appear (/dev)"                                       \
    }

static const struct option_def test_defs[] = {
    {"at", 0, OPTION_STRING, AT(at), "TIME", "a point's time (what the replica holds)"},
    {"keep", 0, OPTION_FLAG, AT(keep), NULL, "remove nothing; `hotadd undo --done JOB`"},
    {"every", 0, OPTION_STRING, AT(every), "TIME",
     "launch nothing: `sync watch` tests so often, as 7d, 12h; never"},
    {"scheduled", 0, OPTION_FLAG, AT(scheduled), NULL,
     "with the settings that --every was given with"},
    {"evidence", 0, OPTION_FLAG, AT(evidence), NULL,
     "launch nothing: print what the last test kept"},
    INSTANCE_OPTIONS,
    COMMON_OPTIONS(struct failover_options),
    OPTION_END,
};

static const struct option_def failover_defs[] = {
    {"at", 0, OPTION_STRING, AT(at), "TIME", "a point's time (what the replica holds)"},
    {"planned", 0, OPTION_FLAG, AT(planned), NULL,
     "bring the replica up to date first, while the source runs"},
    {"backup-hook", 0, OPTION_LIST, AT(backup_hook), "WORD",
     "planned: program that makes a backup; repeat for its arguments"},
    {"stop-hook", 0, OPTION_LIST, AT(stop_hook), "WORD",
     "planned: program that stops the source; repeat for its arguments"},
    INSTANCE_OPTIONS,
    COMMON_OPTIONS(struct failover_options),
    OPTION_END,
};

/* ---- test and failover ---- */

static void print_test(const json_t *t)
{
    printf("sync %s: %s %s, instance %s, %.0f s\n", json_str_or(t, "sync", "?"),
           json_str_or(t, "point", "?"),
           json_bool_or(t, "booted", false) ? "boots" : "did not boot",
           json_str_or(t, "instance_id", "none"),
           json_real_value(json_object_get(t, "seconds")));
    if (json_bool_or(t, "kept", false))
        printf("kept, as asked; `hotadd undo --done %s` removes it\n",
               json_str_or(t, "job", "?"));
    if (json_str_or(t, "console", NULL))
        printf("last of the console:\n%s\n", json_str_or(t, "console", ""));
}

static void print_failover(const json_t *f)
{
    const json_t *back = json_object_get(f, "failback");

    if (back)
        printf("sync %s: instance %s is backed up as %s\n", json_str_or(f, "sync", "?"),
               json_str_or(f, "instance", "?"), json_str_or(back, "point", "?"));
    else
        printf("sync %s: instance %s runs %s, status checks %s, address %s\n",
               json_str_or(f, "sync", "?"), json_str_or(f, "instance", "?"),
               json_str_or(f, "point", "?"), json_str_or(f, "status_checks", "?"),
               json_str_or(f, "private_ip", "none"));
}

static void print_evidence(const json_t *v)
{
    printf("instance %s %s\n%s", json_str_or(v, "instance", "?"),
           json_bool_or(v, "booted", false) ? "booted" : "did not boot",
           json_str_or(v, "console", "it wrote nothing to its console\n"));
}

static int show(int r, const json_t *result, bool json, void (*print)(const json_t *),
                const struct err *e)
{
    progress_view_clear();
    if (result && json)
        command_print_json(result);
    else if (result && r == 0)
        print(result);
    return r < 0 ? command_fail(e, NULL) : EXIT_DONE;
}

/* "7d", "12h", "30m", "never". */
static int parse_every(const char *text, uint64_t *ret_s, struct err *e)
{
    static const struct {
        char letter;
        uint64_t seconds;
    } units[] = {{'d', 86400}, {'h', 3600}, {'m', 60}};
    size_t len = strlen(text);
    auto_free char *digits = len ? str_ndup(text, len - 1, e) : NULL;
    struct err ignored;
    uint64_t n;

    *ret_s = 0;
    if (str_eq(text, "never"))
        return 0;
    for (size_t i = 0; digits && i < sizeof units / sizeof units[0]; i++)
        if (text[len - 1] == units[i].letter && str_to_u64(digits, &n, &ignored) == 0 &&
            n > 0 && n < 10000) {
            *ret_s = n * units[i].seconds;
            return 0;
        }
    return err_set(e, ERR_USAGE, "--every %s: write 7d, 12h, 30m or never", text);
}

static int schedule(const struct failover_options *o, const char *name)
{
    struct flow_env env = command_begin(&o->common);
    struct err e = ERR_INIT;
    uint64_t every_s;

    if (restore_params_check(&o->instance, &e) < 0 ||
        parse_every(o->every, &every_s, &e) < 0 ||
        sync_test_schedule(name, every_s, &o->instance, &env, &e) < 0)
        return command_fail(&e, NULL);
    if (!o->common.json)
        printf("sync %s: %s%s\n", name,
               every_s ? "`hotadd sync watch` tests it every " : "not tested by schedule",
               every_s ? o->every : "");
    return EXIT_DONE;
}

static int run_test(const struct failover_options *o, const char *name)
{
    const struct failover_how how = {.at = o->at,
                                     .instance = &o->instance,
                                     .scheduled = o->scheduled,
                                     .keep = o->keep};
    struct flow_env env = command_begin(&o->common);
    json_auto_t *result = NULL;
    struct err e = ERR_INIT;
    int r;

    if (o->every)
        return schedule(o, name);
    if (o->evidence) {
        r = sync_test_evidence(name, NULL, &env, &result, &e);
        return show(r, result, o->common.json, print_evidence, &e);
    }
    if (restore_params_check(&o->instance, &e) < 0)
        return command_fail(&e, NULL);
    r = sync_test(name, &how, &env, &result, &e);
    return show(r, result, o->common.json, print_test, &e);
}

static int run_failover(const struct failover_options *o, const char *name)
{
    const struct failover_how how = {.at = o->at,
                                     .instance = &o->instance,
                                     .planned = o->planned,
                                     .backup_hook = &o->backup_hook,
                                     .stop_hook = &o->stop_hook};
    struct flow_env env = command_begin(&o->common);
    json_auto_t *result = NULL;
    struct err e = ERR_INIT;
    int r;

    if (!o->planned && (o->backup_hook.n || o->stop_hook.n))
        return command_usage("sync failover",
                             "--backup-hook and --stop-hook are for --planned");
    if (restore_params_check(&o->instance, &e) < 0)
        return command_fail(&e, NULL);
    r = sync_failover(name, &how, &env, &result, &e);
    return show(r, result, o->common.json, print_failover, &e);
}

static int on_one(int argc, char **argv, const struct command_help *help,
                  const struct option_def *defs,
                  int (*run)(const struct failover_options *o, const char *name))
{
    struct failover_options o = {0};
    struct err e = ERR_INIT;
    int first, code, r = options_parse(argc, argv, help, defs, &o, &first, &e);

    if (r != 0)
        code = r > 0 ? EXIT_DONE : command_fail(&e, NULL);
    else if (argc - first != 1)
        code = command_usage(help->name, "give one sync");
    else
        code = run(&o, argv[first]);
    options_release(defs, &o);
    return code;
}

int cmd_sync_test(int argc, char **argv)
{
    static const struct command_help help = {
        .name = "sync test",
        .args = "NAME",
        .summary = "Boots a clone of the replica where nothing gets in or out, waits for "
                   "its status checks,\nkeeps the console and a screenshot, and removes "
                   "everything. Syncing goes on meanwhile."};

    return on_one(argc, argv, &help, test_defs, run_test);
}

int cmd_sync_failover(int argc, char **argv)
{
    static const struct command_help help = {
        .name = "sync failover",
        .args = "NAME",
        .summary = "Launches a clone of the replica in the machine's place. Goes on with "
                   "one that was\ninterrupted."};

    return on_one(argc, argv, &help, failover_defs, run_failover);
}

/* ---- undo-failover, failback, commit ---- */

static const struct option_def undo_defs[] = {
    COMMON_OPTIONS(struct failover_options),
    OPTION_END,
};

static const struct option_def failback_defs[] = {
    {"stop", 0, OPTION_FLAG, AT(stop), NULL, "stop the instance first"},
    {"max-rate", 0, OPTION_BYTES, AT(max_rate), "BYTES",
     "read at most so many bytes of data a second (100M)"},
    COMMON_OPTIONS(struct failover_options),
    OPTION_END,
};

static const struct option_def commit_defs[] = {
    {"retire", 0, OPTION_FLAG, AT(retire), NULL,
     "delete the replica, its snapshots and the sync"},
    COMMON_OPTIONS(struct failover_options),
    OPTION_END,
};

static int say(int r, const char *name, const char *what, bool json, const struct err *e)
{
    json_auto_t *o = NULL;

    progress_view_clear();
    if (r < 0)
        return command_fail(e, NULL);
    if (!json) {
        printf("sync %s: %s\n", name, what);
        return EXIT_DONE;
    }
    o = json_pack("{s:s, s:s}", "sync", name, "outcome", what);
    return command_print_json(o);
}

static int run_undo(const struct failover_options *o, const char *name)
{
    struct flow_env env = command_begin(&o->common);
    struct err e = ERR_INIT;
    int r = sync_undo_failover(name, &env, &e);

    return say(r, name, "failover undone, syncing goes on", o->common.json, &e);
}

static int run_failback(const struct failover_options *o, const char *name)
{
    const struct failback_how how = {.stop = o->stop, .max_rate = o->max_rate};
    struct flow_env env = command_begin(&o->common);
    json_auto_t *result = NULL;
    struct err e = ERR_INIT;
    int r = sync_failback(name, &how, &env, &result, &e);

    return show(r, result, o->common.json, print_failover, &e);
}

static int run_commit(const struct failover_options *o, const char *name)
{
    struct flow_env env = command_begin(&o->common);
    struct err e = ERR_INIT;
    int r =
        sync_commit(name, o->retire ? SYNC_REPLICA_RETIRE : SYNC_REPLICA_KEEP, &env, &e);

    return say(r, name, o->retire ? "committed, replica deleted" : "committed",
               o->common.json, &e);
}

int cmd_sync_undo_failover(int argc, char **argv)
{
    static const struct command_help help = {
        .name = "sync undo-failover",
        .args = "NAME",
        .summary = "Removes the failover's instance and goes on syncing."};

    return on_one(argc, argv, &help, undo_defs, run_undo);
}

int cmd_sync_failback(int argc, char **argv)
{
    static const struct command_help help = {
        .name = "sync failback",
        .args = "NAME",
        .summary = "Backs the failover's instance up into the repository, as a point of "
                   "the machine that the\nsource can be restored from."};

    return on_one(argc, argv, &help, failback_defs, run_failback);
}

int cmd_sync_commit(int argc, char **argv)
{
    static const struct command_help help = {
        .name = "sync commit",
        .args = "NAME",
        .summary =
            "Makes it final: after a failover the instance stays, after a failback "
            "the source does, and\nthe instance is removed."};

    return on_one(argc, argv, &help, commit_defs, run_commit);
}
