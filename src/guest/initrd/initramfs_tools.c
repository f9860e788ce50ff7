/* initramfs-tools (Debian, Ubuntu): its /init runs modprobe for each line of
 * /conf/modules before it looks for the root device, on top of udev's coldplug. The file
 * is merged, because a second one replaces the first. */
#include "guest/initrd/internal.h"

#include "base/str.h"
#include "guest/initrd/modname.h"
#include "guest/initrd/modules_internal.h"

#include <sys/stat.h>

#define LIST_PATH "conf/modules"
#define LIST_MAX  (1u << 20)

/* Does a line of the list load that module? The first word counts, options follow. */
static bool list_has(const char *list, const char *name)
{
    while (*list) {
        const char *p = list, *word;
        char normal[MODNAME_MAX];
        size_t len;

        if (modules_word(&p, &word, &len) && modname_normal_n(word, len, normal) &&
            str_eq(normal, name))
            return true;
        list += strcspn(list, "\n");
        list += *list == '\n';
    }
    return false;
}

int initrd_tools_load(const struct initrd *im, const char *const *names, size_t n,
                      struct initrd_files *f, struct err *e)
{
    auto_buf struct buf list = BUF_INIT;
    bool changed = false;

    if (initrd_has_file(im, LIST_PATH) &&
        initrd_read(im, LIST_PATH, LIST_MAX, &list, e) < 0)
        return -1;
    /* The shell's read drops a last line without its newline. */
    if (list.len && list.data[list.len - 1] != '\n')
        buf_addc(&list, '\n');
    for (size_t i = 0; i < n; i++) {
        if (list_has(buf_str(&list), names[i]))
            continue;
        buf_addf(&list, "%s\n", names[i]);
        changed = true;
    }
    if (buf_check(&list, e) < 0)
        return -1;
    return changed ? initrd_files_add(f, im, LIST_PATH, S_IFREG | 0644, &list, e) : 0;
}
