/* The region's zones; see zones.h. */
#include "lab/zones.h"

#include "lab/refuse.h"
#include "lab/lab.h"
#include "lab/query.h"

#include "base/str.h"

static const char *const names[ZONES_N] = {LAB_REGION "a", LAB_REGION "b",
                                           LAB_REGION "c"};
static const char *const ids[ZONES_N] = {"use1-az1", "use1-az2", "use1-az4"};

const char *zone_name(size_t i)
{
    return i < ZONES_N ? names[i] : NULL;
}

const char *zone_id_of(const char *name)
{
    for (size_t i = 0; i < ZONES_N; i++)
        if (str_eq(names[i], name))
            return ids[i];
    return "";
}

bool zone_exists(const char *name)
{
    return *zone_id_of(name) != 0;
}

int zone_from_params(const json_t *params, const char **ret, struct err *e)
{
    const char *name = q_str(params, "AvailabilityZone");
    const char *id = q_str(params, "AvailabilityZoneId");

    if (name && id)
        return refuse(e, "InvalidParameterCombination",
                      "AvailabilityZone and AvailabilityZoneId cannot be used together");
    if (!name && !id)
        return 0;
    for (size_t i = 0; i < ZONES_N; i++)
        if (name ? str_eq(names[i], name) : str_eq(ids[i], id)) {
            *ret = names[i];
            return 0;
        }
    return refuse(e, "InvalidZone.NotFound", "The zone '%.60s' does not exist.",
                  name ? name : id);
}
