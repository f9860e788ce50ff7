/* One table per command describes its options: it is what getopt_long parses by, what
 * --help prints, and what environment and hotadd.conf may set. */
#ifndef HOTADD_CLI_OPTIONS_H
#define HOTADD_CLI_OPTIONS_H

#include "base/err.h"
#include "base/strv.h"

#include <stddef.h>
#include <stdint.h>

enum option_type {
    OPTION_FLAG,   /* bool */
    OPTION_STRING, /* char *, owned by the command's struct */
    OPTION_U64,    /* uint64_t */
    OPTION_BYTES,  /* uint64_t, "10G" */
    OPTION_LIST,   /* struct strv: may be given several times */
    OPTION_HEADING /* no option: a line between groups in --help */
};

struct option_def {
    const char *name; /* long name, without dashes */
    char letter;      /* 0 for none */
    enum option_type type;
    size_t offset;   /* of the value in the command's struct */
    const char *arg; /* "SIZE", for --help; NULL for flags */
    const char *help;
};

#define OPTION_END                                                                       \
    {                                                                                    \
        0                                                                                \
    }

struct command_help {
    const char *name;     /* "convert" */
    const char *args;     /* "SOURCE" */
    const char *summary;  /* one sentence */
    const char *epilogue; /* more for --help, or NULL */
};

/* Fills `values` (zeroed by the caller) from, in rising order of precedence: hotadd.conf
 * (section [defaults], then the one named after the command; keys are option names),
 * the environment (HOTADD_ and the name in capitals, dashes as underscores), argv.
 * *ret_first_arg is the index of the first word that is no option. Returns 1 when
 * --help was asked for and printed. */
int options_parse(int argc, char **argv, const struct command_help *help,
                  const struct option_def *defs, void *values, int *ret_first_arg,
                  struct err *e) err_warn_unused;

/* Gives the option of that name the value, as a file or the command line would. `where`
 * names the place in errors. ERR_USAGE: there is no such option. */
int option_set(const struct option_def *defs, void *values, const char *name,
               const char *text, const char *where, struct err *e) err_warn_unused;

/* Releases the strings and lists that the table describes. */
void options_release(const struct option_def *defs, void *values);

#endif
