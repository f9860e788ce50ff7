/* hotadd sync create */
#include "base/buf.h"
#include "base/io.h"
#include "base/log.h"
#include "base/str.h"
#include "cli/cmd_sync.h"
#include "cli/restore_options.h"
#include "sync/file.h"

#include <stdio.h>

#define MAX_OPTIONS    80
#define MAX_FILE_BYTES (4u << 20)

struct create_options {
    struct restore_options r; /* first: restore's table describes it */
    char *file;
    char *group;
    uint64_t group_priority, group_delay_s, priority, rpo_s;
    char *window;
    char *keep;
    bool keep_attached;
};

#define AT(f) offsetof(struct create_options, f)

static const struct option_def own[] = {
    {"vm", 0, OPTION_STRING, AT(r.params.source), "ID", "the machine to follow"},
    {"file", 0, OPTION_STRING, AT(file), "FILE",
     "create the syncs that FILE describes; see hotadd-sync(1)"},

    {.type = OPTION_HEADING, .help = "The passes"},
    {"rpo", 0, OPTION_U64, AT(rpo_s), "SECONDS",
     "how old what the replica holds may become (3600)"},
    {"window", 0, OPTION_STRING, AT(window), "HH:MM-HH:MM",
     "start passes only then; several with commas (always)"},
    {"priority", 0, OPTION_U64, AT(priority), "N", "smaller first, in its group (100)"},
    {"group", 0, OPTION_STRING, AT(group), "NAME",
     "passes of a group run together (default)"},
    {"group-priority", 0, OPTION_U64, AT(group_priority), "N",
     "smaller groups first (100)"},
    {"group-delay", 0, OPTION_U64, AT(group_delay_s), "SECONDS",
     "`run` waits so long before this group (0)"},
    {"keep", 0, OPTION_STRING, AT(keep), "RULES",
     "snapshots to keep: last=N,hourly=N,daily=N,… or none (last=3)"},
    {"keep-attached", 0, OPTION_FLAG, AT(keep_attached), NULL,
     "leave the volumes attached between passes while slots allow"},
    OPTION_END,
};

/* Of restore's options those that have no meaning for a sync. */
static bool is_for_sync(const struct option_def *d)
{
    static const char *const others[] = {"dry-run",    "on-failure",   "format",
                                         "skip-check", "skip-digests", NULL};

    for (size_t i = 0; d->name && others[i]; i++)
        if (str_eq(d->name, others[i]))
            return false;
    return true;
}

static bool is_end(const struct option_def *d)
{
    return !d->name && d->type != OPTION_HEADING;
}

/* Ours and restore's, in one table. */
static void merge_tables(struct option_def out[MAX_OPTIONS])
{
    size_t n = 0;

    for (const struct option_def *d = own; !is_end(d); d++)
        out[n++] = *d;
    for (const struct option_def *d = restore_option_table(); !is_end(d); d++)
        if (is_for_sync(d) && n < MAX_OPTIONS - 1)
            out[n++] = *d;
    out[n] = (struct option_def)OPTION_END;
}

static int create_one(const char *name, struct create_options *o,
                      const struct flow_env *env, struct err *e)
{
    const struct sync_config config = {.name = name,
                                       .params = &o->r.params,
                                       .group = o->group,
                                       .group_priority = o->group_priority,
                                       .group_delay_s = o->group_delay_s,
                                       .priority = o->priority,
                                       .rpo_s = o->rpo_s,
                                       .window = o->window,
                                       .keep = o->keep,
                                       .keep_attached = o->keep_attached};

    if (!o->r.params.source)
        return err_set(e, ERR_USAGE, "sync %s: name the machine with --vm", name);
    if (!o->r.params.repo)
        return err_set(e, ERR_USAGE, "sync %s: name the repository with --repo", name);
    return restore_params_make_absolute(&o->r.params, e) < 0
               ? -1
               : sync_create(&config, env, e);
}

/* ---- from a file ---- */

static int take_section(const struct option_def *defs, struct create_options *o,
                        const struct sync_file_section *s, const char *file,
                        struct err *e)
{
    char where[300];

    if (!s)
        return 0;
    vec_foreach (l, &s->lines) {
        const char *key = l->key;

        if (s->kind == SYNC_FILE_GROUP && str_eq(key, "priority"))
            key = "group-priority";
        else if (s->kind == SYNC_FILE_GROUP && str_eq(key, "delay"))
            key = "group-delay";
        snprintf(where, sizeof where, "%s: [%s%s] %s", file,
                 s->kind == SYNC_FILE_SYNC    ? "sync "
                 : s->kind == SYNC_FILE_GROUP ? "group "
                                              : "defaults",
                 s->name, l->key);
        if (str_eq(key, "file"))
            return err_set(e, ERR_USAGE, "%s: not in a file", where);
        if (option_set(defs, o, key, l->value, where, e) < 0)
            return -1;
    }
    return 0;
}

/* The words that every sync of a file begins with: those of the command line, the
 * environment and hotadd.conf. */
struct words {
    int argc;
    char **argv;
    const struct command_help *help;
    const struct option_def *defs;
};

static int create_section(const struct words *w, const struct sync_file *f,
                          const struct sync_file_section *s, const char *file,
                          const struct flow_env *env, struct err *e)
{
    const struct option_def *defs = w->defs;
    const struct sync_file_section *all = sync_file_find(f, SYNC_FILE_DEFAULTS, "");
    const char *group = sync_file_get(s, "group");
    struct create_options o = {0};
    int first, r;

    if (!group && all)
        group = sync_file_get(all, "group");
    r = options_parse(w->argc, w->argv, w->help, defs, &o, &first, e);
    if (r == 0)
        r = take_section(defs, &o, all, file, e);
    if (r == 0 && group)
        r = take_section(defs, &o, sync_file_find(f, SYNC_FILE_GROUP, group), file, e);
    if (r == 0)
        r = take_section(defs, &o, s, file, e);
    if (r == 0)
        r = create_one(s->name, &o, env, e);
    options_release(defs, &o);
    return r;
}

static int create_from_file(const struct words *w, const char *file,
                            const struct flow_env *env, struct err *e)
{
    auto_buf struct buf text = BUF_INIT;
    auto_sync_file struct sync_file f = {0};
    size_t made = 0, were = 0;

    if (io_read_file(file, MAX_FILE_BYTES, &text, e) < 0 ||
        sync_file_parse(buf_str(&text), text.len, file, &f, e) < 0)
        return -1;
    vec_foreach (s, &f) {
        if (s->kind != SYNC_FILE_SYNC)
            continue;
        if (create_section(w, &f, s, file, env, e) == 0)
            made++;
        else if (e->kind == ERR_EXISTS)
            were++; /* the file again, with more in it */
        else
            return -1;
        err_clear(e);
    }
    if (!made && !were)
        return err_set(e, ERR_USAGE, "%s: describes no sync ([sync NAME])", file);
    log_info("%zu syncs created; %zu of the file were there and stay as they are", made,
             were);
    return EXIT_DONE;
}

static int create(const struct words *w, struct create_options *o, char **words, int n,
                  struct err *e)
{
    struct flow_env env = command_begin(&o->r.common);

    if (o->file)
        return n ? err_set(e, ERR_USAGE, "--file names the syncs: leave %s out", words[0])
                 : create_from_file(w, o->file, &env, e);
    if (n != 1)
        return err_set(e, ERR_USAGE,
                       "give the sync's name; see `hotadd sync create "
                       "--help`");
    if (create_one(words[0], o, &env, e) < 0)
        return -1;
    log_info("sync %s created; `hotadd sync run %s` seeds its replica", words[0],
             words[0]);
    return EXIT_DONE;
}

int cmd_sync_create(int argc, char **argv)
{
    static const struct command_help help = {
        .name = "sync create",
        .args = "NAME",
        .summary = "Makes a sync: a replica of a machine, kept fresh from its backups. "
                   "Nothing is created in\nEC2 before the first pass. The options of the "
                   "instance are for test and failover."};
    struct option_def defs[MAX_OPTIONS];
    struct words w = {argc, argv, &help, defs};
    struct create_options o = {0};
    struct err e = ERR_INIT;
    int first, code, r;

    merge_tables(defs);
    r = options_parse(argc, argv, &help, defs, &o, &first, &e);
    if (r != 0)
        code = r > 0 ? EXIT_DONE : command_fail(&e, NULL);
    else
        code = (r = create(&w, &o, argv + first, argc - first, &e)) < 0
                   ? command_fail(&e, NULL)
                   : r;
    options_release(defs, &o);
    return code;
}
