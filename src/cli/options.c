/* Options by table; see options.h. */
#include "cli/options.h"

#include "base/buf.h"
#include "base/str.h"
#include "config.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <ini.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define MAX_OPTIONS 80
#define LONG_BASE   1000 /* getopt's value of the option at index 0 */
#define HELP_COLUMN 28

static void *value_of(const struct option_def *d, void *values)
{
    return (char *)values + d->offset;
}

static int set_flag(bool *flag, const char *text, const char *where, struct err *e)
{
    if (!text || str_eq(text, "1") || !strcasecmp(text, "yes") ||
        !strcasecmp(text, "true") || !strcasecmp(text, "on"))
        *flag = true;
    else if (!*text || str_eq(text, "0") || !strcasecmp(text, "no") ||
             !strcasecmp(text, "false") || !strcasecmp(text, "off"))
        *flag = false;
    else
        return err_set(e, ERR_USAGE, "%s: '%s' is neither yes nor no", where, text);
    return 0;
}

/* `first` tells a list that this is the first value of a stronger place (argv over
 * environment over file): it replaces what weaker places gave. */
static int set_value(const struct option_def *d, void *values, const char *text,
                     bool first, const char *where, struct err *e)
{
    void *v = value_of(d, values);
    struct strv *list = v;
    int r = 0;

    switch (d->type) {
    case OPTION_FLAG:
        return set_flag(v, text, where, e);
    case OPTION_STRING:
        return str_set(v, text, e);
    case OPTION_U64:
        r = str_to_u64(text, v, e);
        break;
    case OPTION_BYTES:
        r = str_to_bytes(text, v, e);
        break;
    case OPTION_LIST:
        if (first)
            strv_release(list);
        return strv_add(list, text, e);
    case OPTION_HEADING:
        break;
    }
    if (r < 0) {
        err_prefix(e, "%s", where);
        e->kind = ERR_USAGE;
    }
    return r;
}

/* ---- hotadd.conf ---------------------------------------------------------------- */

struct conf_reader {
    const char *path;
    const char *command;
    const struct option_def *defs;
    void *values;
    struct err *e;
    bool failed;
};

static const struct option_def *find_def(const struct option_def *defs, const char *name)
{
    for (; defs->name || defs->type == OPTION_HEADING; defs++)
        if (defs->name && defs->type != OPTION_HEADING && str_eq(defs->name, name))
            return defs;
    return NULL;
}

static int conf_line(void *ctx, const char *section, const char *name, const char *value)
{
    struct conf_reader *r = ctx;
    bool own = str_eq(section, r->command), common = str_eq(section, "defaults");
    const struct option_def *d;
    char where[300];

    if (r->failed || (!own && !common))
        return 1;
    d = find_def(r->defs, name);
    snprintf(where, sizeof where, "%s: [%s] %s", r->path, section, name);
    if (!d) {
        /* A default for another command is no mistake; one in our own section is. */
        if (own) {
            err_set(r->e, ERR_USAGE, "%s: hotadd %s has no such option", where,
                    r->command);
            r->failed = true;
        }
        return 1;
    }
    if (set_value(d, r->values, value, true, where, r->e) < 0)
        r->failed = true;
    return 1;
}

static int read_conf(const struct command_help *help, const struct option_def *defs,
                     void *values, struct err *e)
{
    const char *given = getenv("HOTADD_CONFIG");
    const char *path = given ? given : HOTADD_SYSCONFDIR "/hotadd/hotadd.conf";
    struct conf_reader r = {path, help->name, defs, values, e, false};
    FILE *f;
    int line;

    if (given && !*given)
        return 0;
    f = fopen(path, "re");
    if (!f)
        return errno == ENOENT && !given ? 0 : err_sys(e, "%s", path);
    line = ini_parse_file(f, conf_line, &r);
    fclose(f);
    if (r.failed)
        return -1;
    if (line != 0)
        return err_set(e, ERR_USAGE, "%s: line %d: not `[section]` or `key = value`",
                       path, line);
    return 0;
}

/* ---- environment ---------------------------------------------------------------- */

static int read_env(const struct option_def *defs, void *values, struct err *e)
{
    for (const struct option_def *d = defs; d->name || d->type == OPTION_HEADING; d++) {
        char name[64] = "HOTADD_";
        size_t n = strlen(name);
        const char *text;

        if (d->type == OPTION_HEADING)
            continue;
        for (const char *p = d->name; *p && n < sizeof name - 1; p++)
            name[n++] = *p == '-' ? '_' : (char)toupper((unsigned char)*p);
        name[n] = 0;
        text = getenv(name);
        if (text && set_value(d, values, text, true, name, e) < 0)
            return -1;
    }
    return 0;
}

/* ---- command line --------------------------------------------------------------- */

/* Characters: the bytes of UTF-8 that continue one take no column. */
static int columns(const char *s)
{
    int n = 0;

    for (; *s; s++)
        n += ((unsigned char)*s & 0xc0) != 0x80;
    return n;
}

static void print_help(const struct command_help *help, const struct option_def *defs)
{
    printf("usage: hotadd %s [OPTIONS]%s%s\n\n%s\n", help->name, *help->args ? " " : "",
           help->args, help->summary);
    printf("\nOptions:\n");
    for (const struct option_def *d = defs; d->name || d->type == OPTION_HEADING; d++) {
        char left[80], letter[8] = "    ";

        if (d->type == OPTION_HEADING) {
            printf("\n%s:\n", d->help);
            continue;
        }
        if (d->letter)
            snprintf(letter, sizeof letter, "-%c, ", d->letter);
        snprintf(left, sizeof left, "  %s--%s%s%s", letter, d->name, d->arg ? " " : "",
                 d->arg ? d->arg : "");
        if (columns(left) >= HELP_COLUMN)
            printf("%s\n%*s%s\n", left, HELP_COLUMN, "", d->help);
        else
            printf("%s%*s%s\n", left, HELP_COLUMN - columns(left), "", d->help);
    }
    printf("  -h, --help                print this and exit\n");
    if (help->epilogue)
        printf("\n%s\n", help->epilogue);
}

static size_t build_getopt(const struct option_def *defs, struct option *longs,
                           char *shorts)
{
    size_t n = 0, s = 0;

    shorts[s++] = ':';
    for (size_t i = 0; defs[i].name || defs[i].type == OPTION_HEADING; i++) {
        int has_arg = defs[i].type == OPTION_FLAG ? no_argument : required_argument;

        if (defs[i].type == OPTION_HEADING || n >= MAX_OPTIONS - 2)
            continue;
        longs[n++] = (struct option){defs[i].name, has_arg, NULL, LONG_BASE + (int)i};
        if (defs[i].letter) {
            shorts[s++] = defs[i].letter;
            if (has_arg == required_argument)
                shorts[s++] = ':';
        }
    }
    shorts[s++] = 'h';
    shorts[s] = 0;
    longs[n++] = (struct option){"help", no_argument, NULL, 'h'};
    longs[n] = (struct option){0};
    return n;
}

static const struct option_def *def_of(const struct option_def *defs, int c)
{
    if (c >= LONG_BASE)
        return &defs[c - LONG_BASE];
    for (; defs->name || defs->type == OPTION_HEADING; defs++)
        if (defs->type != OPTION_HEADING && defs->letter == c)
            return defs;
    return NULL;
}

static int read_args(int argc, char **argv, const struct command_help *help,
                     const struct option_def *defs, void *values, struct err *e)
{
    struct option longs[MAX_OPTIONS];
    bool seen[MAX_OPTIONS] = {false};
    char shorts[2 * MAX_OPTIONS + 4];
    int c;

    build_getopt(defs, longs, shorts);
    optind = 1;
    while ((c = getopt_long(argc, argv, shorts, longs, NULL)) != -1) {
        const struct option_def *d;
        char where[80];

        if (c == 'h') {
            print_help(help, defs);
            return 1;
        }
        if (c == '?' || c == ':')
            return err_set(e, ERR_USAGE, "%s%s; see `hotadd %s --help`",
                           c == ':' ? "a value is missing after " : "unknown option ",
                           argv[optind - 1], help->name);
        d = def_of(defs, c);
        snprintf(where, sizeof where, "--%s", d->name);
        if (set_value(d, values, optarg, !seen[d - defs], where, e) < 0)
            return -1;
        seen[d - defs] = true;
    }
    return 0;
}

int options_parse(int argc, char **argv, const struct command_help *help,
                  const struct option_def *defs, void *values, int *ret_first_arg,
                  struct err *e)
{
    int r;

    /* --help must work whatever file and environment say: arguments twice. */
    for (int i = 1; i < argc && !str_eq(argv[i], "--"); i++)
        if (str_eq(argv[i], "--help") || str_eq(argv[i], "-h")) {
            print_help(help, defs);
            return 1;
        }
    if (read_conf(help, defs, values, e) < 0 || read_env(defs, values, e) < 0)
        return -1;
    r = read_args(argc, argv, help, defs, values, e);
    if (r != 0)
        return r;
    *ret_first_arg = optind;
    return 0;
}

void options_release(const struct option_def *defs, void *values)
{
    for (const struct option_def *d = defs; d->name || d->type == OPTION_HEADING; d++) {
        if (d->type == OPTION_STRING) {
            char **s = value_of(d, values);

            free(*s);
            *s = NULL;
        } else if (d->type == OPTION_LIST) {
            strv_release(value_of(d, values));
        }
    }
}

int option_set(const struct option_def *defs, void *values, const char *name,
               const char *text, const char *where, struct err *e)
{
    const struct option_def *d = find_def(defs, name);

    if (!d)
        return err_set(e, ERR_USAGE, "%s: there is no such option", where);
    return set_value(d, values, text, false, where, e);
}
