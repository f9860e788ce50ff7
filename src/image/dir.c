/* Finding the files that a description names: beside it on disk, confined to its folder,
 * or among the members of its archive. Keeps a descriptor of the folder, so that a
 * folder replaced meanwhile does not matter. */
#include "image/formats.h"
#include "image/tar.h"

#include "base/str.h"

#include <ctype.h>
#include <fcntl.h>

struct image_dir {
    /* A folder… */
    int fd;     /* owned; -1: an archive */
    char *path; /* owned: the folder, with a slash at its end, or "" */
    bool trust;
    /* …or an archive. */
    struct blob *tar; /* owned */
    const struct tar_members *members;
    char *prefix; /* owned: folder of the description in it, with a slash, or "" */
};

void image_dir_free(struct image_dir *d)
{
    if (!d)
        return;
    if (d->fd >= 0)
        close(d->fd);
    blob_free(d->tar);
    free(d->prefix);
    free(d->path);
    free(d);
}

int image_dir_of(const char *path, const struct image_options *opt,
                 struct image_dir **ret, struct err *e)
{
    auto_image_dir struct image_dir *d = mem_zalloc(1, sizeof *d, e);
    const char *slash = strrchr(path, '/');

    if (!d)
        return -1;
    d->fd = -1;
    d->trust = opt && opt->trust_paths;
    d->path = str_ndup(path, slash ? (size_t)(slash - path) + 1 : 0, e);
    if (!d->path)
        return -1;
    d->fd = open(*d->path ? d->path : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (d->fd < 0)
        return err_sys(e, "%s: open", *d->path ? d->path : ".");
    *ret = take_ptr(d);
    return 0;
}

int image_dir_of_tar(const struct blob *tar, const struct tar_members *members,
                     const char *member, struct image_dir **ret, struct err *e)
{
    auto_image_dir struct image_dir *d = mem_zalloc(1, sizeof *d, e);
    const char *slash = strrchr(member, '/');

    if (!d)
        return -1;
    d->fd = -1;
    d->members = members;
    d->prefix = str_ndup(member, slash ? (size_t)(slash - member) + 1 : 0, e);
    if (!d->prefix || blob_slice(tar, 0, tar->len, tar->name, &d->tar, e) < 0)
        return -1;
    *ret = take_ptr(d);
    return 0;
}

static int hex_digit(char c)
{
    return isdigit((unsigned char)c) ? c - '0' : tolower((unsigned char)c) - 'a' + 10;
}

/* "my%20disk.vmdk" as "my disk.vmdk": an OVF's href is a URI. NULL out of memory. */
static char *unescape(const char *s, struct err *e)
{
    char *out = mem_zalloc(strlen(s) + 1, 1, e), *p = out;

    if (!out)
        return NULL;
    while (*s) {
        if (*s == '%' && isxdigit((unsigned char)s[1]) && isxdigit((unsigned char)s[2])) {
            *p++ = (char)(hex_digit(s[1]) << 4 | hex_digit(s[2]));
            s += 3;
        } else {
            *p++ = *s++;
        }
    }
    return out;
}

static int open_member(const struct image_dir *d, const char *name, struct blob **ret,
                       struct err *e)
{
    auto_free char *full = str_fmt(e, "%s%s", d->prefix, name);
    auto_free char *shown = NULL;
    const struct tar_member *m;

    if (!full)
        return -1;
    m = tar_find(d->members, full);
    if (!m)
        return err_set(e, ERR_NOT_FOUND, "%s: no member \"%s\"", d->tar->name, full);
    shown = str_fmt(e, "%s: %s", d->tar->name, m->name);
    if (!shown)
        return -1;
    return blob_slice(d->tar, m->offset, m->len, shown, ret, e);
}

static int open_file(const struct image_dir *d, const char *name, struct blob **ret,
                     struct err *e)
{
    auto_free char *full =
        name[0] == '/' ? str_dup(name, e) : str_fmt(e, "%s%s", d->path, name);

    if (!full)
        return -1;
    if (blob_open(d->trust ? -1 : d->fd, d->trust ? full : name, full, ret, e) == 0)
        return 0;
    if (e->kind == ERR_SYS && e->sys_errno == ENOENT)
        err_set(e, ERR_NOT_FOUND, "%s does not exist", full);
    return -1;
}

static int open_name(const struct image_dir *d, const char *name, struct blob **ret,
                     struct err *e)
{
    while (str_starts(name, "./"))
        name += 2;
    return d->fd < 0 ? open_member(d, name, ret, e) : open_file(d, name, ret, e);
}

int image_dir_open(const struct image_dir *d, const char *name, const char *who,
                   struct blob **ret, struct err *e)
{
    auto_free char *plain = NULL;
    struct err first;

    if (strstr(name, "://"))
        return err_set(
            e, ERR_UNSUPPORTED,
            "%s: names \"%s\": files elsewhere are not fetched; copy it beside "
            "the description",
            who, name);
    if (open_name(d, name, ret, e) == 0)
        return 0;
    if (e->kind != ERR_NOT_FOUND || !strchr(name, '%'))
        return err_prefix(e, "%s", who);
    first = *e;
    plain = unescape(name, e);
    if (!plain)
        return -1;
    if (open_name(d, plain, ret, e) == 0)
        return 0;
    *e = first;
    return err_prefix(e, "%s", who);
}

int image_dir_sub(const struct image_dir *d, const char *name, struct image_dir **ret,
                  struct err *e)
{
    auto_image_dir struct image_dir *sub = mem_zalloc(1, sizeof *sub, e);
    const char *slash = strrchr(name, '/');
    auto_free char *part = str_ndup(name, slash ? (size_t)(slash - name) + 1 : 0, e);

    if (!sub)
        return -1;
    sub->fd = -1;
    if (!part)
        return -1;
    sub->trust = d->trust;
    sub->members = d->members;
    if (d->fd < 0) {
        sub->prefix = str_fmt(e, "%s%s", d->prefix, part);
        if (!sub->prefix ||
            blob_slice(d->tar, 0, d->tar->len, d->tar->name, &sub->tar, e) < 0)
            return -1;
    } else {
        sub->path = part[0] == '/' ? take_ptr(part) : str_fmt(e, "%s%s", d->path, part);
        if (!sub->path)
            return -1;
        sub->fd = open(*sub->path ? sub->path : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        /* The name may have been meant with its %20s decoded; then this folder does. */
        if (sub->fd < 0)
            sub->fd = fcntl(d->fd, F_DUPFD_CLOEXEC, 3);
        if (sub->fd < 0)
            return err_sys(e, "%s: open", sub->path);
    }
    *ret = take_ptr(sub);
    return 0;
}

char *image_base_name(const char *path, bool strip, struct err *e)
{
    const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
    const char *dot = strip ? strrchr(base, '.') : NULL;

    return dot && dot > base ? str_ndup(base, (size_t)(dot - base), e) : str_dup(base, e);
}
