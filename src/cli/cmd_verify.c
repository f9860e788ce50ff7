/* hotadd verify */
#include "base/clock.h"
#include "base/json.h"
#include "base/str.h"
#include "cli/progress_view.h"
#include "cli/repo_words.h"
#include "flow/verify.h"

#include <inttypes.h>
#include <stdio.h>

struct verify_options {
    struct common_options common;
    struct repo_words at;
    bool skip_verified;
    char *since;
    bool mark_bad;
    bool no_record;
    uint64_t max_rate;
    uint64_t workers;
};

#define AT(f) offsetof(struct verify_options, f)

static const struct option_def defs[] = {
    REPO_OPTIONS(struct verify_options, at),
    {"skip-verified", 0, OPTION_FLAG, AT(skip_verified), NULL,
     "leave out points that were verified and found good"},
    {"since", 0, OPTION_STRING, AT(since), "TIME",
     "…at that time or later: 2026-01-02T03:04:05Z"},
    {"mark-bad", 0, OPTION_FLAG, AT(mark_bad), NULL,
     "rename damaged chunks to .N.bad, so that backups store them anew"},
    {"no-record", 0, OPTION_FLAG, AT(no_record), NULL,
     "do not write the result into the points"},
    {"max-rate", 0, OPTION_BYTES, AT(max_rate), "BYTES",
     "read at most so many bytes a second (100M)"},
    {"workers", 0, OPTION_U64, AT(workers), "N",
     "threads (one per core, more where S3 is waited for)"},
    REPO_AWS_OPTIONS(struct verify_options, at),
    COMMON_OPTIONS(struct verify_options),
    OPTION_END,
};

static void print_damage(const json_t *d)
{
    const char *disk = json_str_or(d, "disk", NULL);

    printf("damaged: %s", json_str_or(d, "point", "?"));
    if (disk)
        printf(", %s at byte %" PRIu64, disk, json_u64_or(d, "offset", 0));
    printf(": %s: %s\n", json_str_or(d, "kind", "?"), json_str_or(d, "message", "?"));
    if (json_str_or(d, "file", NULL))
        printf("         in %s\n", json_str_or(d, "file", ""));
}

static void print_result(const json_t *r)
{
    double seconds = json_real_value(json_object_get(r, "seconds"));
    uint64_t bytes = json_u64_or(r, "bytes", 0), points = json_u64_or(r, "points", 0),
             chunks = json_u64_or(r, "chunks", 0),
             keyless = json_u64_or(r, "points_without_key", 0);
    char size[32], rate[32];
    const json_t *d;
    size_t i;

    json_array_foreach (json_object_get(r, "damages"), i, d)
        print_damage(d);
    printf("%" PRIu64 " point%s verified, %" PRIu64 " damaged, %" PRIu64
           " skipped; %" PRIu64 " chunk%s, %" PRIu64 " damaged; %s in %.1f s (%s/s)\n",
           points, points == 1 ? "" : "s", json_u64_or(r, "points_bad", 0),
           json_u64_or(r, "points_skipped", 0), chunks, chunks == 1 ? "" : "s",
           json_u64_or(r, "chunks_bad", 0), str_bytes(size, sizeof size, bytes), seconds,
           str_bytes(rate, sizeof rate,
                     seconds > 0 ? (uint64_t)((double)bytes / seconds) : 0));
    if (keyless)
        printf("%" PRIu64 " of them without the key: what is encrypted by its checksums "
               "only, no signatures\n",
               keyless);
}

static int verify(const struct verify_options *o, const char *vm, struct err *e)
{
    struct flow_env env = command_begin(&o->common);
    struct verify_params p = {.repo = repo_words_where(&o->at),
                              .name = vm,
                              .options = {.skip_verified = o->skip_verified || o->since,
                                          .mark_bad = o->mark_bad,
                                          .no_record = o->no_record},
                              .max_rate = o->max_rate,
                              .workers = (unsigned)o->workers};
    json_auto_t *result = NULL;
    bool damaged = false;
    int r;

    if (o->since && clock_parse_iso8601(o->since, &p.options.verified_since, e) < 0) {
        e->kind = ERR_USAGE;
        return err_prefix(e, "--since %s", o->since);
    }
    if (o->workers > 1024)
        return err_set(e, ERR_USAGE, "--workers %" PRIu64 ": at most 1024", o->workers);
    r = flow_verify(&p, &env, &result, &damaged, e);
    progress_view_clear();
    if (r < 0)
        return -1;
    if (o->common.json) {
        if (command_print_json(result) != EXIT_DONE)
            return EXIT_FAILED;
    } else {
        print_result(result);
        if (fflush(stdout) == EOF)
            return EXIT_FAILED;
    }
    return damaged ? EXIT_FAILED : EXIT_DONE;
}

int cmd_verify(int argc, char **argv)
{
    static const struct command_help help = {
        .name = "verify",
        .args = "[VM[@TIME]]",
        .summary = "Reads every chunk of the recovery points and checks it completely: "
                   "all points of the\nrepository, those of a machine, or one. What is "
                   "damaged is named, with its place."};
    struct verify_options o = {0};
    struct err e = ERR_INIT;
    int first, code, r = options_parse(argc, argv, &help, defs, &o, &first, &e);

    if (r != 0)
        code = r > 0 ? EXIT_DONE : command_fail(&e, NULL);
    else if (argc - first > 1)
        code = command_usage("verify", "give at most one machine or recovery point");
    else
        code = (r = verify(&o, argv[first], &e)) < 0 ? command_fail(&e, NULL) : r;
    options_release(defs, &o);
    return code;
}
