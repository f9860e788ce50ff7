/* The plan of a first boot, as the service reads it. */
#include "plan.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static struct fb_plan plan;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > FB_PLAN_BYTES)
        return 0;
    if (size)
        memcpy(plan.text, data, size);
    if (fb_plan_parse(&plan, size))
        return 0;
    for (size_t i = 0; i < plan.n_files; i++)
        if (strstr(plan.files[i].path, "../") || plan.files[i].path[0] == '/')
            abort();
    for (unsigned i = 0; i < plan.n_steps; i++)
        if (!fb_verb_name(plan.steps[i].verb))
            abort();
    return 0;
}
