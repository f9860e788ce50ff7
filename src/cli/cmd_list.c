/* hotadd list */
#include "base/json.h"
#include "base/str.h"
#include "cli/repo_words.h"

#include <inttypes.h>
#include <stdio.h>

struct list_options {
    struct common_options common;
    struct repo_words at;
};

static const struct option_def defs[] = {
    REPO_OPTIONS(struct list_options, at),
    REPO_AWS_OPTIONS(struct list_options, at),
    COMMON_OPTIONS(struct list_options),
    OPTION_END,
};

static const char *crypt_word(const struct repo_entry *x)
{
    return x->crypt == REPO_CRYPT_ENCRYPT     ? "encrypted"
           : x->crypt == REPO_CRYPT_SIGN_ONLY ? "signed"
                                              : "plain";
}

static const char *verify_word(const struct repo_entry *x)
{
    return !x->verified ? "never" : x->verified_bad ? "damaged" : "ok";
}

static void print_entry(const struct repo_entry *x)
{
    char time[REPO_TIME_LEN], size[32], name[200];

    snprintf(name, sizeof name, "%s%s%s/%s", x->ns, *x->ns ? "/" : "", x->type, x->id);
    printf("%-24s %-20s", name, repo_time_text(x->time, time));
    if (!x->finished)
        printf("  unfinished\n");
    else if (!x->readable)
        printf("  its manifest cannot be read\n");
    else
        printf(" %10s  %2zu %s  %-9s  verified %s%s\n",
               str_bytes(size, sizeof size, x->size_bytes), x->n_disks,
               x->n_disks == 1 ? "disk " : "disks", crypt_word(x), verify_word(x),
               x->is_protected ? "  protected" : "");
}

static json_t *entry_json(const struct repo_entry *x, struct err *e)
{
    auto_free char *point = repo_entry_text(x, e);
    char time[REPO_TIME_LEN], verified[REPO_TIME_LEN];
    json_t *o;

    if (!point)
        return NULL;
    o = json_pack("{s:s, s:s, s:s, s:s, s:s, s:b, s:b, s:b, s:s?, s:I, s:I, s:s?, s:b}",
                  "point", point, "ns", x->ns, "type", x->type, "id", x->id, "time",
                  repo_time_text(x->time, time), "finished", x->finished, "readable",
                  x->readable, "protected", x->is_protected, "crypt",
                  x->readable ? crypt_word(x) : NULL, "size_bytes",
                  (json_int_t)x->size_bytes, "disks", (json_int_t)x->n_disks, "verified",
                  x->verified ? repo_time_text(x->verified, verified) : NULL, "damaged",
                  x->verified && x->verified_bad);
    if (!o)
        err_nomem(e);
    return o;
}

static int print_json(const struct repo_entries *entries, struct err *e)
{
    json_auto_t *list = json_array();

    vec_foreach (x, entries) {
        json_t *o = entry_json(x, e);

        if (!o || json_add(list, o, e) < 0)
            return -1;
    }
    return command_print_json(list);
}

static int list(const struct list_options *o, const char *vm, struct err *e)
{
    struct flow_env env = command_begin(&o->common);
    struct repo_where where = repo_words_where(&o->at);
    auto_flow_repo struct flow_repo repo = {0};
    struct repo_entries entries = {0};
    struct repo_name name = {0};
    int r;

    if (flow_repo_name(&where, vm, &name, e) < 0)
        return -1;
    r = flow_repo_open(&where, REPO_MUST_EXIST, env.cancel, &repo, e);
    if (r == 0)
        r = repo_list(repo.repo, vm || where.ns ? &name : NULL, &entries, e);
    repo_name_release(&name);
    if (r < 0)
        return -1;
    if (o->common.json) {
        r = print_json(&entries, e);
    } else {
        if (!entries.n)
            printf("no recovery points\n");
        vec_foreach (x, &entries)
            print_entry(x);
        r = fflush(stdout) == EOF ? EXIT_FAILED : EXIT_DONE;
    }
    repo_entries_release(&entries);
    return r;
}

int cmd_list(int argc, char **argv)
{
    static const struct command_help help = {
        .name = "list",
        .args = "[VM[@TIME]]",
        .summary = "Lists the recovery points of a repository, or those of one machine."};
    struct list_options o = {0};
    struct err e = ERR_INIT;
    int first, code, r = options_parse(argc, argv, &help, defs, &o, &first, &e);

    if (r != 0)
        code = r > 0 ? EXIT_DONE : command_fail(&e, NULL);
    else if (argc - first > 1)
        code = command_usage("list", "give at most one machine");
    else
        code = (r = list(&o, argv[first], &e)) < 0 ? command_fail(&e, NULL) : r;
    options_release(defs, &o);
    return code;
}
