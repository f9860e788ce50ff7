/* dracut: its init sources every hooks/pre-udev/NAME.sh before udev starts, with or
 * without systemd; with systemd, systemd-modules-load reads etc/modules-load.d too. In
 * 004 (RHEL 6) the hook directories are at the root. Kernel parameters such as
 * rd.driver.pre= are no way: their parser is left out when systemd is in the image. */
#include "guest/initrd/internal.h"

#include "base/str.h"

#include <sys/stat.h>

/* The first that exists; current versions keep hooks below /var and link to them. */
static const char *hook_dir(const struct initrd *im, const struct initrd_kind *kind)
{
    static const char *const dirs[] = {"usr/lib/dracut/hooks", "lib/dracut/hooks",
                                       "var/lib/dracut/hooks"};

    if (kind->tool == INITRD_TOOL_DRACUT_OLD)
        return "";
    for (size_t i = 0; i < sizeof dirs / sizeof dirs[0]; i++)
        if (initrd_has_dir(im, dirs[i]))
            return dirs[i];
    return initrd_has_dir(im, "usr/lib/dracut") ? dirs[0] : dirs[1];
}

int initrd_dracut_load(const struct initrd *im, const struct initrd_kind *kind,
                       const char *const *names, size_t n, struct initrd_files *f,
                       struct err *e)
{
    auto_buf struct buf hook = BUF_INIT, list = BUF_INIT;
    const char *dir = hook_dir(im, kind);
    auto_free char *path = str_fmt(e, "%s%spre-udev/05-hotadd.sh", dir, *dir ? "/" : "");

    if (!path)
        return -1;
    buf_adds(&hook, "#!/bin/sh\n# Drivers of the machine this image was moved to.\n"
                    "for _hotadd_module in");
    for (size_t i = 0; i < n; i++) {
        buf_addf(&hook, " %s", names[i]);
        buf_addf(&list, "%s\n", names[i]);
    }
    buf_adds(&hook, "; do\n    modprobe -q \"$_hotadd_module\" || :\ndone\n"
                    "unset _hotadd_module\n");
    if (buf_check(&hook, e) < 0 || buf_check(&list, e) < 0 ||
        initrd_files_add(f, im, path, S_IFREG | 0755, &hook, e) < 0)
        return -1;
    if (!kind->systemd)
        return 0;
    return initrd_files_add(f, im, "etc/modules-load.d/hotadd.conf", S_IFREG | 0644,
                            &list, e);
}
