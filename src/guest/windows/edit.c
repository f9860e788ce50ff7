/* Registry edits; see edit.h. */
#include "guest/windows/edit.h"

#include "base/str.h"

void edits_release(struct edits *x)
{
    buf_release(&x->sys_what);
    buf_release(&x->soft_what);
}

/* r: what a change of hive.h returned. */
static int tell(struct edits *x, enum win_hive which, int r, const char *what,
                struct err *e)
{
    struct buf *b = which == WIN_SOFTWARE ? &x->soft_what : &x->sys_what;

    if (r <= 0)
        return r;
    if (!strstr(buf_str(b), what))
        buf_addf(b, "%s%s", b->len ? "; " : "", what);
    return buf_check(b, e);
}

int edit_u32(struct edits *x, enum win_hive which, const char *path, const char *name,
             uint32_t value, const char *what, struct err *e)
{
    auto_free char *full = NULL;
    struct hive *h;

    if (windows_key(x->s, which, path, &h, &full, e) < 0)
        return -1;
    return tell(x, which, hive_set_u32(h, full, name, value, e), what, e);
}

int edit_str(struct edits *x, enum win_hive which, const char *path, const char *name,
             uint32_t type, const char *value, const char *what, struct err *e)
{
    auto_free char *full = NULL;
    struct hive *h;

    if (windows_key(x->s, which, path, &h, &full, e) < 0)
        return -1;
    return tell(x, which, hive_set_str(h, full, name, type, value, e), what, e);
}

int edit_strv(struct edits *x, enum win_hive which, const char *path, const char *name,
              const struct strv *values, const char *what, struct err *e)
{
    auto_free char *full = NULL;
    struct hive *h;

    if (windows_key(x->s, which, path, &h, &full, e) < 0)
        return -1;
    return tell(x, which, hive_set_strv(h, full, name, values, e), what, e);
}

int edit_bytes(struct edits *x, enum win_hive which, const char *path, const char *name,
               uint32_t type, const struct buf *value, const char *what, struct err *e)
{
    auto_free char *full = NULL;
    struct hive *h;

    if (windows_key(x->s, which, path, &h, &full, e) < 0)
        return -1;
    return tell(x, which, hive_set(h, full, name, type, value->data, value->len, e), what,
                e);
}

int edit_delete_value(struct edits *x, enum win_hive which, const char *path,
                      const char *name, const char *what, struct err *e)
{
    auto_free char *full = NULL;
    struct hive *h;

    if (windows_key(x->s, which, path, &h, &full, e) < 0)
        return -1;
    return tell(x, which, hive_delete_value(h, full, name, e), what, e);
}

int edit_delete_key(struct edits *x, enum win_hive which, const char *path,
                    const char *what, struct err *e)
{
    auto_free char *full = NULL;
    struct hive *h;

    if (windows_key(x->s, which, path, &h, &full, e) < 0)
        return -1;
    return tell(x, which, hive_delete_key(h, full, e), what, e);
}
