/* The options of convert and restore (and, of the guest's part, of check). */
#ifndef HOTADD_CLI_RESTORE_OPTIONS_H
#define HOTADD_CLI_RESTORE_OPTIONS_H

#include "cli/command.h"

struct restore_options {
    struct common_options common;
    struct restore_params params;
    char *on_failure;
    bool dry_run;
};

/* Fills o from the command line, with params.source made absolute. 1: --help. */
int restore_options_parse(int argc, char **argv, const struct command_help *help,
                          struct restore_options *o, struct err *e) err_warn_unused;
/* restore's table, for commands whose options struct begins with a struct
 * restore_options. */
const struct option_def *restore_option_table(void);
void restore_options_release(struct restore_options *o);

/* "file.ova" becomes absolute; URIs stay. Replaces *source. */
int source_make_absolute(char **source, struct err *e) err_warn_unused;

/* The same for all that is a file: the source unless it is a recovery point, repository
 * and key files. A job may be resumed from another folder. */
int restore_params_make_absolute(struct restore_params *p, struct err *e) err_warn_unused;

#endif
