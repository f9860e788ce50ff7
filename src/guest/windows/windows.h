/* Windows guests: recognised and refused by a requirement of their own in this release;
 * their checks and their conversion take this table's place. */
#ifndef HOTADD_GUEST_WINDOWS_WINDOWS_H
#define HOTADD_GUEST_WINDOWS_WINDOWS_H

#include "guest/subject.h"

extern const struct requirement *const windows_requirements[];

#endif
