/* The file of `hotadd sync create --file`: many syncs at once. INI, like hotadd.conf:
 *   [defaults]   options for all of them
 *   [group X]    priority = N, delay = SECONDS, and options for its syncs
 *   [sync NAME]  group = X, and options: the names of `sync create`'s
 * The same option again is a mistake unless it can be given several times; of places the
 * narrower counts. */
#ifndef HOTADD_SYNC_FILE_H
#define HOTADD_SYNC_FILE_H

#include "base/err.h"
#include "base/strv.h"

#include <stdbool.h>

struct sync_file_line {
    char *key, *value; /* owned */
};

enum sync_file_kind { SYNC_FILE_DEFAULTS, SYNC_FILE_GROUP, SYNC_FILE_SYNC };

struct sync_file_section {
    enum sync_file_kind kind;
    char *name; /* owned: of the group or sync; "" for the defaults */
    struct VEC(struct sync_file_line) lines;
};

struct sync_file VEC(struct sync_file_section);
void sync_file_release(struct sync_file *f);
#define auto_sync_file auto_call(sync_file_release)

/* `what` names the text in errors (ERR_USAGE, with the place). Every group that a sync
 * names has a section, and no section is there twice. */
int sync_file_parse(const char *text, size_t len, const char *what, struct sync_file *ret,
                    struct err *e) err_warn_unused;

/* The value in that section, or NULL. Borrowed. */
const char *sync_file_get(const struct sync_file_section *s, const char *key);
/* NULL when there is none. */
const struct sync_file_section *sync_file_find(const struct sync_file *f,
                                               enum sync_file_kind kind,
                                               const char *name);

#endif
