/* Plain restore: the source ran on EC2 already, so nothing is injected. */
#include "flow/flows.h"
#include "flow/import.h"

static const struct job_step steps[] = {
    {"create-volumes", step_create_volumes},
    {"attach-volumes", step_attach_volumes},
    {"restore-data", step_restore_data},
    {"detach-volumes", step_detach_volumes},
    {"create-instance", step_create_instance},
    {"first-boot", step_first_boot},
    {NULL, NULL},
};

const struct job_resource_kind restore_resources[] = {
    {KIND_VOLUME, remove_volume},
    {KIND_ATTACHMENT, remove_attachment},
    {KIND_SNAPSHOT, remove_snapshot},
    {KIND_IMAGE, remove_image},
    {KIND_INSTANCE, remove_instance},
    {KIND_LAUNCHED_VOLUME, remove_launched_volume},
    {KIND_IMPORT_TASK, remove_import_task},
    {KIND_OBJECT, remove_object},
    {NULL, NULL},
};

const struct job_flow restore_flow = {
    .kind = "restore",
    .steps = steps,
    .resources = restore_resources,
};
