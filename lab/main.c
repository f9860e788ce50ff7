/* hotadd-lab: a small EC2 of our own. Commands and their options. */
#include "lab/control.h"
#include "lab/faults.h"
#include "lab/serve.h"

#include "base/log.h"
#include "base/str.h"

#include "config.h"

#include <getopt.h>

enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

static const char usage[] =
    "usage: hotadd-lab serve --state DIR [--listen 127.0.0.1:PORT] [--daemon]\n"
    "                        [--delay-ms N] [--impaired-s N] [--role-ttl-s N]\n"
    "                        [--block-token-s N] [--max-volumes N] [--max-gib N] "
    "[--no-machines]\n"
    "       hotadd-lab env --state DIR\n"
    "       hotadd-lab status --state DIR [--json]\n"
    "       hotadd-lab stop --state DIR\n"
    "       hotadd-lab faults --state DIR [list [--json]]\n"
    "       hotadd-lab faults --state DIR add ACTION EFFECT [--times N] [--ms N]\n"
    "                        [--message TEXT] [--who KEY-OR-ROLE]\n"
    "       hotadd-lab faults --state DIR clear [FAULT]\n"
    "       hotadd-lab --help | --version\n"
    "\n"
    "EFFECT is an error code (VolumeInUse, SlowDown, ...) or one of delay, "
    "drop-request,\n"
    "drop-reply, drop-body, deny, fail, eventual. ACTION is an API action or '*'.\n";

struct options {
    struct serve_options serve;
    bool json, help, version;
    json_int_t times, ms;
    const char *message, *who;
    char **words; /* what is left after the options; borrowed */
    int n_words;
};

enum {
    OPT_STATE = 256,
    OPT_LISTEN,
    OPT_DAEMON,
    OPT_DELAY,
    OPT_IMPAIRED,
    OPT_ROLE_TTL,
    OPT_BLOCK_TOKEN,
    OPT_MAX_VOLUMES,
    OPT_MAX_GIB,
    OPT_NO_MACHINES,
    OPT_JSON,
    OPT_TIMES,
    OPT_MS,
    OPT_MESSAGE,
    OPT_WHO,
    OPT_HELP,
    OPT_VERSION,
};

static const struct option long_options[] = {
    {"state", required_argument, NULL, OPT_STATE},
    {"listen", required_argument, NULL, OPT_LISTEN},
    {"daemon", no_argument, NULL, OPT_DAEMON},
    {"delay-ms", required_argument, NULL, OPT_DELAY},
    {"impaired-s", required_argument, NULL, OPT_IMPAIRED},
    {"role-ttl-s", required_argument, NULL, OPT_ROLE_TTL},
    {"block-token-s", required_argument, NULL, OPT_BLOCK_TOKEN},
    {"max-volumes", required_argument, NULL, OPT_MAX_VOLUMES},
    {"max-gib", required_argument, NULL, OPT_MAX_GIB},
    {"no-machines", no_argument, NULL, OPT_NO_MACHINES},
    {"json", no_argument, NULL, OPT_JSON},
    {"times", required_argument, NULL, OPT_TIMES},
    {"ms", required_argument, NULL, OPT_MS},
    {"message", required_argument, NULL, OPT_MESSAGE},
    {"who", required_argument, NULL, OPT_WHO},
    {"help", no_argument, NULL, OPT_HELP},
    {"version", no_argument, NULL, OPT_VERSION},
    {NULL, 0, NULL, 0},
};

static int number(const char *name, const char *text, uint64_t max, json_int_t *ret,
                  struct err *e)
{
    uint64_t v;

    if (str_to_u64(text, &v, e) < 0 || v > max)
        return err_set(e, ERR_USAGE, "--%s %.40s: expected a number up to %llu", name,
                       text, (unsigned long long)max);
    *ret = (json_int_t)v;
    return 0;
}

static int take_number(int opt, const char *text, struct options *o, struct err *e)
{
    struct lab_settings *set = &o->serve.set;
    json_int_t v = 0;

    switch (opt) {
    case OPT_DELAY:
        if (number("delay-ms", text, 600000, &v, e) < 0)
            return -1;
        set->delay_ms = v;
        return 0;
    case OPT_IMPAIRED:
        if (number("impaired-s", text, 86400, &v, e) < 0)
            return -1;
        set->impaired_ms = v * 1000;
        return 0;
    case OPT_ROLE_TTL:
        if (number("role-ttl-s", text, 43200, &v, e) < 0)
            return -1;
        set->role_ttl_ms = v * 1000;
        return 0;
    case OPT_BLOCK_TOKEN:
        if (number("block-token-s", text, 604800, &v, e) < 0)
            return -1;
        set->block_token_ms = v * 1000;
        return 0;
    case OPT_MAX_VOLUMES:
        if (number("max-volumes", text, 1000000, &v, e) < 0)
            return -1;
        set->max_volumes = v;
        return 0;
    case OPT_MAX_GIB:
        if (number("max-gib", text, 1ull << 30, &v, e) < 0)
            return -1;
        set->max_disk_gib = v;
        return 0;
    case OPT_TIMES:
        return number("times", text, 1000000, &o->times, e);
    default:
        return number("ms", text, FAULT_MAX_DELAY_MS, &o->ms, e);
    }
}

static int take_option(int opt, struct options *o, struct err *e)
{
    switch (opt) {
    case OPT_STATE:
        o->serve.state_dir = optarg;
        return 0;
    case OPT_LISTEN:
        return serve_parse_listen(optarg, &o->serve.port, e);
    case OPT_DAEMON:
        o->serve.daemon = true;
        return 0;
    case OPT_NO_MACHINES:
        o->serve.set.no_machines = true;
        return 0;
    case OPT_JSON:
        o->json = true;
        return 0;
    case OPT_MESSAGE:
        o->message = optarg;
        return 0;
    case OPT_WHO:
        o->who = optarg;
        return 0;
    case OPT_HELP:
        o->help = true;
        return 0;
    case OPT_VERSION:
        o->version = true;
        return 0;
    case '?':
        return err_set(e, ERR_USAGE, "unknown option, or one without its value");
    default:
        return take_number(opt, optarg, o, e);
    }
}

static int parse(int argc, char **argv, struct options *o, struct err *e)
{
    int opt;

    opterr = 0;
    while ((opt = getopt_long(argc, argv, "", long_options, NULL)) != -1)
        if (take_option(opt, o, e) < 0)
            return -1;
    o->words = argv + optind;
    o->n_words = argc - optind;
    return 0;
}

static int want_words(const struct options *o, int min, int max, struct err *e)
{
    if (o->n_words < min || o->n_words > max)
        return err_set(e, ERR_USAGE, "too %s arguments; see hotadd-lab --help",
                       o->n_words < min ? "few" : "many");
    return 0;
}

static int print_json(json_t *v, struct err *e)
{
    char *text = json_dumps(v, JSON_INDENT(2) | JSON_PRESERVE_ORDER);

    if (!text)
        return err_nomem(e);
    puts(text);
    free(text);
    return 0;
}

static int ask(const struct options *o, json_t *request, json_t **ret, struct err *e)
{
    int r;

    if (!request)
        return err_nomem(e);
    r = control_ask(o->serve.state_dir, request, ret, e);
    json_decref(request);
    return r;
}

static void print_status(const json_t *s)
{
    json_t *i;
    size_t n;

    printf("lab        %s (pid %d)\n", json_str_or(s, "state", ""),
           (int)json_u64_or(s, "pid", 0));
    printf("endpoint   %s\nmetadata   %s\nproxy      %s\n",
           json_str_or(s, "endpoint", ""), json_str_or(s, "metadata", ""),
           json_str_or(s, "proxy", ""));
    printf("volumes %d, snapshots %d, images %d, faults %d\n",
           (int)json_u64_or(s, "volumes", 0), (int)json_u64_or(s, "snapshots", 0),
           (int)json_u64_or(s, "images", 0), (int)json_u64_or(s, "faults", 0));
    json_array_foreach (json_object_get(s, "instances"), n, i) {
        const char *ssh = json_str_or(i, "ssh", "");

        printf("%s  %-13s %-12s %-15s %s%s%s\n", json_str_or(i, "instanceId", ""),
               json_str_or(i, "state", ""), json_str_or(i, "instanceType", ""),
               json_str_or(i, "privateIpAddress", ""), json_str_or(i, "name", ""),
               *ssh ? "  " : "", ssh);
    }
}

static int cmd_status(const struct options *o, struct err *e)
{
    json_t *s;
    int r = 0;

    if (want_words(o, 1, 1, e) < 0 ||
        ask(o, json_pack("{s:s}", "command", "status"), &s, e))
        return -1;
    if (o->json)
        r = print_json(s, e);
    else
        print_status(s);
    json_decref(s);
    return r;
}

/* Waits until the lock is free: then machines and devices are gone, too. */
static int cmd_stop(const struct options *o, struct err *e)
{
    json_t *answer;

    if (want_words(o, 1, 1, e) < 0 ||
        ask(o, json_pack("{s:s}", "command", "stop"), &answer, e) < 0)
        return -1;
    json_decref(answer);
    return serve_wait_ended(o->serve.state_dir, e);
}

static int cmd_env(const struct options *o, struct err *e)
{
    if (want_words(o, 1, 1, e) < 0)
        return -1;
    return serve_print_env(o->serve.state_dir, e);
}

static int cmd_serve(const struct options *o, struct err *e)
{
    if (want_words(o, 1, 1, e) < 0)
        return -1;
    return serve_run(&o->serve, e);
}

static void print_fault(const json_t *f)
{
    const json_t *times = json_object_get(f, "times"), *ms = json_object_get(f, "ms");

    printf("%s  %s %s", json_str_or(f, "id", ""), json_str_or(f, "action", ""),
           json_str_or(f, "effect", ""));
    if (times)
        printf(", %d more times", (int)json_integer_value(times));
    if (ms)
        printf(", %d ms", (int)json_integer_value(ms));
    if (json_object_get(f, "who"))
        printf(", for %s", json_str_or(f, "who", ""));
    putchar('\n');
}

static int faults_show(const struct options *o, struct err *e)
{
    json_t *list, *f;
    size_t i;
    int r = 0;

    if (ask(o, json_pack("{s:s}", "command", "faults-list"), &list, e) < 0)
        return -1;
    if (o->json)
        r = print_json(list, e);
    else
        json_array_foreach (list, i, f)
            print_fault(f);
    json_decref(list);
    return r;
}

static int faults_new(const struct options *o, struct err *e)
{
    json_t *f, *answer;

    if (want_words(o, 4, 4, e) < 0)
        return -1;
    f = json_pack("{s:s, s:s}", "action", o->words[2], "effect", o->words[3]);
    if (!f || (o->times && json_object_set_new(f, "times", json_integer(o->times)) < 0) ||
        (o->ms && json_object_set_new(f, "ms", json_integer(o->ms)) < 0) ||
        (o->message && json_object_set_new(f, "message", json_string(o->message)) < 0) ||
        (o->who && json_object_set_new(f, "who", json_string(o->who)) < 0)) {
        json_decref(f);
        return err_nomem(e);
    }
    if (ask(o, json_pack("{s:s, s:o}", "command", "faults-add", "fault", f), &answer, e) <
        0)
        return -1;
    print_fault(answer);
    json_decref(answer);
    return 0;
}

static int faults_remove(const struct options *o, struct err *e)
{
    json_t *answer;

    if (want_words(o, 2, 3, e) < 0 ||
        ask(o,
            o->n_words == 3
                ? json_pack("{s:s, s:s}", "command", "faults-clear", "id", o->words[2])
                : json_pack("{s:s}", "command", "faults-clear"),
            &answer, e) < 0)
        return -1;
    json_decref(answer);
    return 0;
}

static int cmd_faults(const struct options *o, struct err *e)
{
    const char *what = o->n_words > 1 ? o->words[1] : "list";

    if (str_eq(what, "list"))
        return want_words(o, 1, 2, e) < 0 ? -1 : faults_show(o, e);
    if (str_eq(what, "add"))
        return faults_new(o, e);
    if (str_eq(what, "clear"))
        return faults_remove(o, e);
    return err_set(e, ERR_USAGE, "faults: '%.40s' is none of list, add, clear", what);
}

static const struct {
    const char *name;
    int (*run)(const struct options *o, struct err *e);
} commands[] = {{"serve", cmd_serve},
                {"env", cmd_env},
                {"status", cmd_status},
                {"stop", cmd_stop},
                {"faults", cmd_faults}};

static int run(const struct options *o, struct err *e)
{
    if (o->n_words == 0)
        return err_set(e, ERR_USAGE, "no command given; see hotadd-lab --help");
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        if (!str_eq(commands[i].name, o->words[0]))
            continue;
        if (!o->serve.state_dir)
            return err_set(e, ERR_USAGE, "%s needs --state DIR", commands[i].name);
        return commands[i].run(o, e);
    }
    return err_set(e, ERR_USAGE, "'%.40s' is no command; see hotadd-lab --help",
                   o->words[0]);
}

int main(int argc, char **argv)
{
    struct options o = {.serve = {.port = -1,
                                  .set = {.delay_ms = 100,
                                          .impaired_ms = 300000,
                                          .role_ttl_ms = 6 * 3600000,
                                          .block_token_ms = 7 * 86400000ll,
                                          .max_volumes = 5000,
                                          .max_disk_gib = 300 * 1024}}};
    struct err e = ERR_INIT;

    log_setup("hotadd-lab", LOG_INFO, LOG_TEXT);
    if (parse(argc, argv, &o, &e) == 0) {
        if (o.help) {
            fputs(usage, stdout);
            return EXIT_DONE;
        }
        if (o.version) {
            puts("hotadd-lab " HOTADD_VERSION);
            return EXIT_DONE;
        }
        if (run(&o, &e) == 0)
            return EXIT_DONE;
    }
    log_error("%s", e.msg);
    return e.kind == ERR_USAGE ? EXIT_USAGE : EXIT_FAILED;
}
