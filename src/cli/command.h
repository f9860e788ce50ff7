/* What every command of hotadd shares: its entry, exit codes, and the ways it talks. */
#ifndef HOTADD_CLI_COMMAND_H
#define HOTADD_CLI_COMMAND_H

#include "base/cancel.h"
#include "base/err.h"
#include "cli/options.h"
#include "flow/flow.h"

#include <jansson.h>

enum exit_code {
    EXIT_DONE = 0,
    EXIT_FAILED = 1, /* a job that can be resumed says so */
    EXIT_USAGE = 2,
    EXIT_REQUIREMENT = 3,
    EXIT_INTERRUPTED = 130,
};

struct command {
    const char *name;
    const char *summary;
    int (*run)(int argc, char **argv); /* argv[0] is the command; returns the exit code */
};

int cmd_backup(int argc, char **argv);
int cmd_check(int argc, char **argv);
int cmd_convert(int argc, char **argv);
int cmd_restore(int argc, char **argv);
int cmd_copy(int argc, char **argv);
int cmd_import(int argc, char **argv);
int cmd_jobs(int argc, char **argv);
int cmd_resume(int argc, char **argv);
int cmd_undo(int argc, char **argv);
int cmd_drivers(int argc, char **argv);
int cmd_forget(int argc, char **argv);
int cmd_gc(int argc, char **argv);
int cmd_key(int argc, char **argv);
int cmd_list(int argc, char **argv);
int cmd_serve(int argc, char **argv);
int cmd_verify(int argc, char **argv);
int cmd_sync(int argc, char **argv);
int cmd_version(int argc, char **argv);

/* Options that every command takes. */
struct common_options {
    char *journal;
    bool json;
    bool quiet;
    bool debug;
};
/* A table's lines for a struct with a `common` member. */
#define COMMON_OPTIONS(owner)                                                            \
    {.type = OPTION_HEADING, .help = "Common options"},                                  \
        {"journal",     0,                                                               \
         OPTION_STRING, offsetof(owner, common.journal),                                 \
         "FILE",        "journal of jobs (/var/lib/hotadd/journal.db)"},                 \
        {"json",      0,                                                                 \
         OPTION_FLAG, offsetof(owner, common.json),                                      \
         NULL,        "results as JSON on standard output"},                             \
        {"quiet",     'q',                                                               \
         OPTION_FLAG, offsetof(owner, common.quiet),                                     \
         NULL,        "say nothing but errors"},                                         \
    {                                                                                    \
        "debug", 0, OPTION_FLAG, offsetof(owner, common.debug), NULL,                    \
            "say what the libraries do; never shows secrets"                             \
    }

/* Applies them: log level, progress, signals. Returns the environment for flow calls,
 * valid until the process ends. */
struct flow_env command_begin(const struct common_options *o);

/* Says the error once, and how to go on if there is a job (result may be NULL). */
int command_fail(const struct err *e, const json_t *result);

/* A wrong word on the command line. */
int command_usage(const char *command, const char *message);

/* One JSON document on standard output. */
int command_print_json(const json_t *value);

#endif
