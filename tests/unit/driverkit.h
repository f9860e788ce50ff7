/* Archives and INF files like AWS's, made for tests: no file of AWS is in this tree. */
#ifndef HOTADD_TESTS_UNIT_DRIVERKIT_H
#define HOTADD_TESTS_UNIT_DRIVERKIT_H

#include "base/buf.h"

/* A zip of the files, names and contents alternating, ended by NULL; appended. */
void driverkit_zip(const char *const *files, struct buf *out);

/* An INF for the devices, for systems by decoration, its catalog and its .sys. Owned. */
char *driverkit_inf(const char *class_name, const char *name, const char *version,
                    const char *decoration, const char *id);

/* A folder with driver packages in it, each sound: ENA and NVMe of `version`, PV,
 * EC2Config, EC2Launch and EC2Launch v2. Owned path below /tmp. */
char *driverkit_folder(const char *version, const char *decoration);
void driverkit_put(const char *dir, const char *name, const struct buf *bytes);
void driverkit_remove(char *dir); /* and free it */

#endif
