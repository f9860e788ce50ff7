/* Inside flow: the tables that the job engine runs. */
#ifndef HOTADD_FLOW_FLOWS_H
#define HOTADD_FLOW_FLOWS_H

#include "job/job.h"

extern const struct job_flow convert_flow;
extern const struct job_flow restore_flow;
extern const struct job_flow import_flow;

/* How restores and conversions undo what they made. */
extern const struct job_resource_kind restore_resources[];

/* By the kind that the journal keeps; NULL for one that this hotadd does not know. */
const struct job_flow *flow_of_kind(const char *kind);

#endif
