/* What this release says of Windows; see windows.h. */
#include "guest/windows/windows.h"

static int check_supported(const struct subject *s, struct verdict *v, struct err *e)
{
    if (s->options->method == GUEST_IMPORT)
        return verdict_not_needed(v, e, "%s holds Windows; AWS's import converts it",
                                  s->root->device);
    return verdict_refused(v, e, "%s holds Windows", s->root->device);
}

static const struct requirement windows_supported = {
    .id = "windows-supported",
    .title = "A system that hotadd converts",
    .why = "Windows needs its registry edited offline and AWS's drivers installed at its "
           "first boot; this release converts Linux guests that use initramfs-tools only",
    .remedy =
        "use the import finisher (AWS VM Import converts Windows), or a later release "
        "of hotadd",
    .methods = FOR_ALL,
    .check = check_supported,
};

const struct requirement *const windows_requirements[] = {&windows_supported, NULL};
