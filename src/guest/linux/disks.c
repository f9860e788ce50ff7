/* What else names disks: crypttab, the resume device, mdadm.conf, and the copies of such
 * files inside an initramfs; see linux.h. */
#include "guest/linux/linux.h"

#include "base/str.h"
#include "guest/text/disks.h"
#include "guest/text/text.h"

#include <string.h>

#define INSIDE_MAX (1u << 20)

const char *const linux_mdadm_files[] = {"/etc/mdadm.conf", "/etc/mdadm/mdadm.conf",
                                         NULL};

/* A volume without a UUID of its own (swap with a random key) has its partition's. */
static int stable_name(void *ctx, const char *spec, char **ret, struct err *e)
{
    const struct subject *s = ctx;
    uint32_t disk, partition;
    const struct volume *v;

    *ret = NULL;
    if (device_name(spec, &disk, &partition) == DEVICE_STABLE)
        return 0;
    v = linux_volume(s, spec);
    if (!v || !(v->fs.uuid[0] || v->partuuid[0]))
        return 0;
    *ret = v->fs.uuid[0] ? linux_uuid_spec(v, e) : str_fmt(e, "PARTUUID=%s", v->partuuid);
    return *ret ? 0 : -1;
}

int linux_crypttab(const struct subject *s, const char *text, struct buf *out,
                   struct err *e)
{
    const struct cmdline_map map = {stable_name, (void *)s};

    return crypttab_rewrite(text, &map, out, e);
}

/* RESUME=/dev/sda5: the initramfs would wait for it at each boot. */
int linux_resume(const struct subject *s, const char *text, struct buf *out,
                 struct err *e)
{
    const char *at = text;
    struct text_line l;

    while (text_next(&at, &l)) {
        auto_free char *line = str_ndup(l.s, l.len, e), *spec = NULL;
        uint32_t disk, partition;

        if (!line)
            return -1;
        if (str_starts(line, "RESUME=") &&
            device_name(line + 7, &disk, &partition) != DEVICE_STABLE) {
            const struct volume *v = linux_volume(s, line + 7);

            spec = v && v->fs.uuid[0] ? linux_uuid_spec(v, e) : str_dup("none", e);
            if (!spec)
                return -1;
            buf_addf(out, "RESUME=%s", spec);
        } else {
            buf_adds(out, line);
        }
        text_add_end(out, l);
    }
    return buf_check(out, e);
}

/* ---- inside an initramfs ---- */

void linux_insides_release(struct linux_insides *x)
{
    vec_foreach (i, x)
        buf_release(&i->text);
    vec_release(x);
}

/* The text that a file of the image must have; empty when there is none of it. */
static int rewrite_inside(const struct subject *s, const struct initrd *im,
                          const char *path, const char *text, struct buf *out,
                          struct err *e)
{
    if (str_starts(path, "etc/lvm/"))
        return lvm_conf_rewrite(
            text, initrd_has_file(im, "etc/lvm/devices/system.devices"), out, e);
    if (str_ends(path, "resume"))
        return linux_resume(s, text, out, e);
    return mdadm_conf_rewrite(text, out, e);
}

static int look_inside(const struct subject *s, const struct initrd *im, const char *path,
                       const char *seen, struct linux_insides *ret, struct err *e)
{
    auto_buf struct buf text = BUF_INIT;
    struct linux_inside x = {.path = path, .seen = seen};

    if (initrd_has_file(im, path) && initrd_read(im, path, INSIDE_MAX, &text, e) < 0)
        return -1;
    if (rewrite_inside(s, im, path, buf_str(&text), &x.text, e) < 0) {
        buf_release(&x.text);
        return -1;
    }
    if (str_eq(buf_str(&text), buf_str(&x.text))) {
        /* Perhaps by an earlier supplement of ours, which may be replaced. */
        if (!text.len || !initrd_has_file(im, INITRD_SUPPLEMENT_MARK)) {
            buf_release(&x.text);
            return 0;
        }
        x.seen = NULL;
    }
    if (vec_push(ret, x, e) < 0) {
        buf_release(&x.text);
        return -1;
    }
    return 0;
}

int linux_inside_initramfs(const struct subject *s, size_t i, struct linux_insides *ret,
                           struct err *e)
{
    static const struct {
        const char *path, *seen;
    } files[] = {
        {"etc/lvm/lvm.conf", "hides NVMe disks by a filter or a list of devices"},
        {"etc/mdadm.conf", "lists the old disks"},
        {"etc/mdadm/mdadm.conf", "lists the old disks"},
        {"conf/conf.d/resume", "names a disk of the old machine"},
    };
    const struct initrd *im = s->images.v[i].initrd;

    for (size_t n = 0; im && n < sizeof files / sizeof files[0]; n++)
        if (look_inside(s, im, files[n].path, files[n].seen, ret, e) < 0)
            return -1;
    return 0;
}
