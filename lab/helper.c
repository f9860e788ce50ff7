/* Where helpers are; see helper.h. */
#include "lab/helper.h"

#include "base/auto.h"
#include "base/str.h"

#include "config.h"

#include <limits.h>

char *helper_path(const char *name, const char *variable, struct err *e)
{
    const char *named = getenv(variable);
    char self[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    auto_free char *beside = NULL;
    char *slash;

    if (named && *named)
        return str_dup(named, e);
    self[n > 0 ? n : 0] = 0;
    slash = strrchr(self, '/');
    if (slash) {
        *slash = 0;
        beside = str_fmt(e, "%s/%s", self, name);
        if (!beside)
            return NULL;
        if (access(beside, X_OK) == 0)
            return take_ptr(beside);
    }
    return str_fmt(e, HOTADD_LIBEXECDIR "/%s", name);
}
