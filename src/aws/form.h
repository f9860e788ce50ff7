/* Form bodies of the Query protocol: Action=…&Version=…&Name.1.Part=value. Names are the
 * wire names of the API's parameters. Lack of memory is remembered until form_check(). */
#ifndef HOTADD_AWS_FORM_H
#define HOTADD_AWS_FORM_H

#include "base/buf.h"

#include <stdint.h>

struct form {
    const char *action; /* borrowed */
    struct buf body;
};

#define FORM_INIT                                                                        \
    {                                                                                    \
        0                                                                                \
    }
#define auto_form auto_call(form_release)

void form_begin(struct form *f, const char *action, const char *version);
void form_release(struct form *f);

/* A NULL value, and a number that is 0, are not sent. `name` is a format. */
void form_str(struct form *f, const char *value, const char *name, ...)
    __attribute__((format(printf, 3, 4)));
void form_u64(struct form *f, uint64_t value, const char *name, ...)
    __attribute__((format(printf, 3, 4)));
/* Always sent. */
void form_bool(struct form *f, bool value, const char *name, ...)
    __attribute__((format(printf, 3, 4)));

#endif
