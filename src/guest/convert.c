/* Planning a conversion; see convert.h. */
#include "guest/convert.h"

#include "base/str.h"
#include "guest/linux/linux.h"

int conversion_plan(struct conversion *c, struct err *e)
{
    const struct family *f =
        c->s->info->family ? linux_family_named(c->s->info->family) : NULL;

    c->overlay = (struct overlay){.base = c->s->fs};
    c->fs = overlay_gfs(&c->overlay);
    if (!f)
        return err_set(e, ERR_REQUIREMENT, "this release does not convert %s",
                       c->s->info->product_name ? c->s->info->product_name
                                                : "this guest");
    return f->convert(c, e);
}

void conversion_release(struct conversion *c)
{
    overlay_release(&c->overlay);
}

int convert_write(struct conversion *c, const char *path, const struct buf *data,
                  uint32_t mode, const char *what, const char *why, struct err *e)
{
    if (buf_check(data, e) < 0)
        return -1;
    return overlay_write(&c->overlay, path, buf_str(data), data->len, mode, what, why,
                         e) < 0
               ? -1
               : 0;
}

int convert_remove(struct conversion *c, const char *path, const char *what,
                   const char *why, struct err *e)
{
    return overlay_remove(&c->overlay, path, what, why, e) < 0 ? -1 : 0;
}

int convert_link(struct conversion *c, const char *target, const char *path,
                 const char *what, const char *why, struct err *e)
{
    return overlay_link(&c->overlay, target, path, what, why, e) < 0 ? -1 : 0;
}
