/* What others want to know of snapshots. */
#ifndef HOTADD_LAB_SNAPSHOT_H
#define HOTADD_LAB_SNAPSHOT_H

#include "base/json.h"

/* What two snapshots must share for their blocks to be compared: snapshots of a volume,
 * of volumes made from these, and those begun on a parent have one. Borrowed. */
const char *snapshot_lineage(const json_t *snapshot);

/* That of the next snapshot of a volume. Borrowed. */
const char *volume_lineage(const json_t *volume);

#endif
