/* The region's zones. */
#ifndef HOTADD_LAB_ZONES_H
#define HOTADD_LAB_ZONES_H

#include "base/err.h"
#include "base/json.h"

#define ZONES_N 3

/* "us-east-1a" for 0; NULL past the last. */
const char *zone_name(size_t i);
/* "use1-az1" of a zone's name, "" for none of ours. */
const char *zone_id_of(const char *name);
bool zone_exists(const char *name);

/* The zone named by AvailabilityZone or AvailabilityZoneId; InvalidZone.NotFound. The
 * result lives for ever; *ret is untouched when neither is given. */
int zone_from_params(const json_t *params, const char **ret,
                     struct err *e) err_warn_unused;

#endif
