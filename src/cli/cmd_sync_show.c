/* hotadd sync list, show */
#include "cli/cmd_sync.h"

#include "base/json.h"
#include "base/str.h"

#include <inttypes.h>
#include <stdio.h>

struct show_options {
    struct common_options common;
};

static const struct option_def defs[] = {
    COMMON_OPTIONS(struct show_options),
    OPTION_END,
};

/* "3 min", "2 h", "-" for what is not known. */
static const char *duration(char out[32], const json_t *seconds)
{
    uint64_t s = (uint64_t)json_integer_value(seconds);

    if (!json_is_integer(seconds))
        return "-";
    if (s < 120)
        snprintf(out, 32, "%" PRIu64 " s", s);
    else if (s < 7200)
        snprintf(out, 32, "%" PRIu64 " min", s / 60);
    else if (s < 172800)
        snprintf(out, 32, "%" PRIu64 " h", s / 3600);
    else
        snprintf(out, 32, "%" PRIu64 " days", s / 86400);
    return out;
}

static void print_short(const json_t *o)
{
    char lag[32], rpo[32], written[32];
    const json_t *error = json_object_get(o, "error");

    printf("%-20s %-13s %-8s lag %-8s RPO %-7s %-6s %3" PRIu64 " passes, %s written\n",
           json_str_or(o, "name", "?"), json_str_or(o, "state", "?"),
           json_bool_or(o, "running", false) ? "running" : "",
           duration(lag, json_object_get(o, "lag_s")),
           duration(rpo, json_object_get(o, "rpo_s")),
           json_bool_or(o, "rpo_met", false) ? "met" : "MISSED",
           json_u64_or(o, "passes", 0),
           str_bytes(written, sizeof written, json_u64_or(o, "total_written_bytes", 0)));
    if (json_is_object(error))
        printf("  error at %s: %s\n", json_str_or(error, "time", "?"),
               json_str_or(error, "message", "?"));
}

static void print_points(const json_t *o)
{
    const json_t *p, *s;
    size_t i, k;

    json_array_foreach (json_object_get(o, "points"), i, p) {
        printf("  point     %s%s ", json_str_or(p, "time", "?"),
               json_array_size(json_object_get(p, "pinned_by")) ? " (in use)" : "");
        json_array_foreach (json_object_get(p, "snapshots"), k, s)
            printf(" %s", json_str_or(s, "snapshot", "?"));
        putchar('\n');
    }
}

static void print_history(const json_t *o)
{
    char written[32], changed[32];
    const json_t *h;
    size_t i;

    json_array_foreach (json_object_get(o, "history"), i, h) {
        if (i == 10)
            break;
        if (json_str_or(h, "error", NULL))
            printf("  failed    %s  %s\n", json_str_or(h, "ended", "?"),
                   json_str_or(h, "error", ""));
        else
            printf(
                "  pass      %s  %" PRIu64 " s, %s written of %s that changed\n",
                json_str_or(h, "ended", "?"), json_u64_or(h, "seconds", 0),
                str_bytes(written, sizeof written, json_u64_or(h, "written_bytes", 0)),
                str_bytes(changed, sizeof changed, json_u64_or(h, "changed_bytes", 0)));
    }
}

static void print_long(const json_t *o)
{
    char bytes[32];
    const json_t *d;
    size_t i;

    print_short(o);
    printf("  machine   %s of %s\n", json_str_or(o, "vm", "?"),
           json_str_or(o, "repo", "?"));
    printf("  replica   %s\n", json_str_or(o, "point", "not seeded yet"));
    printf("  newest    %s, seen %s\n", json_str_or(o, "newest", "not looked for yet"),
           json_str_or(o, "newest_seen", "never"));
    printf("  keep      %s; group %s, window %s\n", json_str_or(o, "keep", "?"),
           json_str_or(o, "group", "?"), json_str_or(o, "window", "always"));
    if (json_str_or(o, "job", NULL))
        printf("  pass      job %s has not finished\n", json_str_or(o, "job", ""));
    json_array_foreach (json_object_get(o, "disks"), i, d)
        printf("  disk      %s, %s, %s\n", json_str_or(d, "name", "?"),
               str_bytes(bytes, sizeof bytes, json_u64_or(d, "size_bytes", 0)),
               json_str_or(d, "volume", "?"));
    print_points(o);
    print_history(o);
}

static int list(const struct show_options *o, struct err *e)
{
    struct flow_env env = command_begin(&o->common);
    json_auto_t *all = NULL;
    const json_t *one;
    size_t i;

    if (sync_list(&env, &all, e) < 0)
        return -1;
    if (o->common.json)
        return command_print_json(all);
    if (!json_array_size(all))
        printf("no syncs; `hotadd sync create` makes one\n");
    json_array_foreach (all, i, one)
        print_short(one);
    return EXIT_DONE;
}

static int show(const struct show_options *o, const char *name, struct err *e)
{
    struct flow_env env = command_begin(&o->common);
    json_auto_t *one = NULL;

    if (sync_show(name, &env, &one, e) < 0)
        return -1;
    if (o->common.json)
        return command_print_json(one);
    print_long(one);
    return EXIT_DONE;
}

static int begin(int argc, char **argv, const struct command_help *help, bool one)
{
    struct show_options o = {0};
    struct err e = ERR_INIT;
    int first, code, r = options_parse(argc, argv, help, defs, &o, &first, &e);

    if (r != 0) {
        code = r > 0 ? EXIT_DONE : command_fail(&e, NULL);
    } else if (argc - first != one) {
        code = command_usage(help->name,
                             one ? "give one sync's name" : "no arguments are taken");
    } else {
        r = one ? show(&o, argv[first], &e) : list(&o, &e);
        code = r < 0 ? command_fail(&e, NULL) : r;
    }
    options_release(defs, &o);
    return code;
}

int cmd_sync_list(int argc, char **argv)
{
    static const struct command_help help = {
        .name = "sync list",
        .args = "",
        .summary = "Lists the syncs: state, how old what the replica holds is, and "
                   "whether that meets\nthe target (RPO)."};

    return begin(argc, argv, &help, false);
}

int cmd_sync_show(int argc, char **argv)
{
    static const struct command_help help = {
        .name = "sync show",
        .args = "NAME",
        .summary = "Shows one sync: lag, recovery points at the destination, passes, "
                   "errors."};

    return begin(argc, argv, &help, true);
}
