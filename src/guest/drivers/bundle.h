/* The files of an archive (zip) that the user got from AWS, in memory, under limits: what
 * it says of itself is not believed. */
#ifndef HOTADD_GUEST_DRIVERS_BUNDLE_H
#define HOTADD_GUEST_DRIVERS_BUNDLE_H

#include "base/auto.h"
#include "base/buf.h"
#include "base/vec.h"

#include <stdbool.h>

#define BUNDLE_MAX_FILES  2000
#define BUNDLE_FILE_BYTES (64u << 20)
#define BUNDLE_MAX_BYTES  (192u << 20)
#define BUNDLE_NAME_BYTES 180

struct bundle_file {
    char *name; /* owned: relative, parts divided by slashes, fit for Windows */
    struct buf data;
};

struct bundle {
    struct VEC(struct bundle_file) files;
};

/* ERR_INPUT for anything but a sound zip of plain files within the limits above, whose
 * names stay below one folder and differ without regard to case. */
int bundle_read(const void *data, size_t len, struct bundle *ret,
                struct err *e) err_warn_unused;
/* Whether a name ends so, without regard to case. */
bool bundle_name_ends(const char *name, const char *suffix);
void bundle_release(struct bundle *b);
#define auto_bundle auto_call(bundle_release)

#endif
