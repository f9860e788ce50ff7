/* Conversion: VMware (and others) to Amazon, in the seven steps of the documentation. */
#include "flow/flows.h"
#include "flow/restore.h"

static const struct job_step steps[] = {
    {"create-volumes", step_create_volumes}, {"attach-volumes", step_attach_volumes},
    {"restore-data", step_restore_data},     {"inject-drivers", step_inject_drivers},
    {"detach-volumes", step_detach_volumes}, {"create-instance", step_create_instance},
    {"first-boot", step_first_boot},         {NULL, NULL},
};

const struct job_flow convert_flow = {
    .kind = "convert",
    .steps = steps,
    .resources = restore_resources,
};
