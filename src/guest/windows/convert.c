/* Converting a Windows guest: the order of the steps; see windows.h.
 *
 * Registry edits are made on the hives in memory and become two changed files; what the
 * first boot needs becomes new ones. Originals and journal go below the system root, into
 * the folder that only administrators may read: SYSTEM holds secrets. */
#include "guest/windows/windows.h"

#include "base/str.h"
#include "guest/convert.h"
#include "guest/windows/edit.h"
#include "guest/windows/firstboot.h"

static int write_hive(struct conversion *c, struct hive_file *f, struct buf *what,
                      struct err *e)
{
    auto_buf struct buf bytes = BUF_INIT;

    if (f->replayed)
        buf_addf(what, "%s%u changes from its logs", what->len ? "; " : "", f->replayed);
    if (!what->len)
        return 0;
    if (buf_check(what, e) < 0 || hive_bytes(f->hive, &bytes, e) < 0)
        return -1;
    return convert_write(c, f->path, &bytes, 0600, buf_str(what),
                         "drivers, services and access as EC2 needs them", e);
}

static int plan(struct conversion *c, struct edits *x, struct err *e)
{
    if (convert_boot_storage(x, e) < 0 || convert_vmware(x, e) < 0 ||
        convert_clock(x, e) < 0)
        return -1;
    if (c->s->options->fix && (convert_dhcp(x, e) < 0 || convert_rdp(x, e) < 0))
        return -1;
    if (convert_first_boot(c, x, e) < 0 ||
        write_hive(c, &c->s->windows->soft, &x->soft_what, e) < 0)
        return -1;
    return write_hive(c, &c->s->windows->sys, &x->sys_what, e);
}

int windows_convert(struct conversion *c, struct err *e)
{
    struct edits x = {.s = c->s};
    int r;

    c->overlay = (struct overlay){.base = c->s->fs};
    c->fs = overlay_gfs(&c->overlay);
    c->overlay.state_dir = str_fmt(e, "%s/" FIRSTBOOT_FOLDER, c->s->windows->root);
    r = c->overlay.state_dir ? plan(c, &x, e) : -1;
    edits_release(&x);
    return r;
}
