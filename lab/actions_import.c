/* VM Import: not part of the lab yet; says so in EC2's own words. */
#include "lab/act.h"

static int not_here(struct act *a, struct err *e)
{
    return refuse(
        e, "UnsupportedOperation",
        "This lab does not carry out %s: it has no VM Import/Export service yet",
        a->name);
}

const struct action actions_import[] = {
    {"ImportImage", not_here, NULL},
    {"ImportSnapshot", not_here, NULL},
    {"DescribeImportImageTasks", not_here, NULL},
    {"DescribeImportSnapshotTasks", not_here, NULL},
    {NULL, NULL, NULL},
};
