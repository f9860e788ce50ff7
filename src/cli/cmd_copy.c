/* hotadd copy */
#include "base/json.h"
#include "base/str.h"
#include "cli/progress_view.h"
#include "cli/repo_words.h"
#include "flow/copy.h"

#include <stdio.h>

struct copy_options {
    struct common_options common;
    struct repo_words at;
    char *format, *base;
    uint64_t max_rate, workers;
    bool force, target_is_zero, verify, digest;
};

#define AT(f) offsetof(struct copy_options, f)

static const struct option_def defs[] = {
    {"format", 'f', OPTION_STRING, AT(format), "FORMAT",
     "of a bare image: raw, vmdk, qcow2, vhd, vhdx, vdi"},
    REPO_OPTIONS(struct copy_options, at),
    REPO_AWS_OPTIONS(struct copy_options, at),
    {"base", 0, OPTION_STRING, AT(base), "SOURCE",
     "the target holds this older version: write only what differs"},
    {"force", 0, OPTION_FLAG, AT(force), NULL, "write over what the target holds"},
    {"target-is-zero", 0, OPTION_FLAG, AT(target_is_zero), NULL,
     "the target reads as zeros: write no zeros"},
    {"verify", 0, OPTION_FLAG, AT(verify), NULL, "read back what was written"},
    {"digest", 0, OPTION_FLAG, AT(digest), NULL, "tell a SHA-256 of what was copied"},
    {"max-rate", 0, OPTION_BYTES, AT(max_rate), "BYTES",
     "at most so many bytes of data a second (100M)"},
    {"workers", 0, OPTION_U64, AT(workers), "N",
     "threads (one per core, more where S3 is waited for)"},
    COMMON_OPTIONS(struct copy_options),
    OPTION_END,
};

static int print_answer(const struct copy_options *o, const json_t *a)
{
    char size[32], data[32], speed[32];

    if (o->common.json)
        return command_print_json(a);
    if (o->common.quiet)
        return EXIT_DONE;
    printf("%s: %s %s, %s of data in %.1f s (%s/s)\n", json_str_or(a, "target", "?"),
           str_bytes(size, sizeof size, json_u64_or(a, "size_bytes", 0)),
           json_str_or(a, "what", "copied"),
           str_bytes(data, sizeof data, json_u64_or(a, "data_bytes", 0)),
           json_number_value(json_object_get(a, "seconds")),
           str_bytes(speed, sizeof speed, json_u64_or(a, "data_bytes_per_s", 0)));
    if (o->digest)
        printf("digest %s\n", json_str_or(json_object_get(a, "digest"), "value", "?"));
    return fflush(stdout) == EOF ? EXIT_FAILED : EXIT_DONE;
}

static int copy(const struct copy_options *o, const char *source, const char *target,
                struct err *e)
{
    struct flow_env env = command_begin(&o->common);
    struct copy_params params = {
        .source = source,
        .target = target,
        .base = o->base,
        .format = o->format,
        .repo = repo_words_where(&o->at),
        .force = o->force,
        .target_is_zero = o->target_is_zero,
        .verify = o->verify,
        .digest = o->digest,
        .max_rate = o->max_rate,
        .workers = o->workers,
    };
    json_auto_t *answer = NULL;

    if (flow_copy(&params, &env, &answer, e) < 0)
        return -1;
    progress_view_clear();
    return print_answer(o, answer);
}

int cmd_copy(int argc, char **argv)
{
    static const struct command_help help = {
        .name = "copy",
        .args = "SOURCE[#DISK] TARGET",
        .summary = "Copies one disk of SOURCE to TARGET, a block device or a file. Needs "
                   "no AWS account.",
        .epilogue = "A target that is in use is refused always, one that holds data "
                    "without --force."};
    struct copy_options o = {0};
    struct err e = ERR_INIT;
    int first, code, r = options_parse(argc, argv, &help, defs, &o, &first, &e);

    if (r != 0)
        code = r > 0 ? EXIT_DONE : command_fail(&e, NULL);
    else if (argc - first != 2)
        code = command_usage("copy", "give a source and a target");
    else
        code = (r = copy(&o, argv[first], argv[first + 1], &e)) < 0
                   ? command_fail(&e, NULL)
                   : r;
    options_release(defs, &o);
    return code;
}
