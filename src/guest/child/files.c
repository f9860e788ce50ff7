/* The guest's files through libguestfs; see appliance.h. pread and write are single
 * messages; uploads of more than their limit go through a file in memory. No call here
 * starts a program in the appliance, except copying, syncing and, on NTFS, access lists.
 */
#include "guest/child/appliance.h"

#include "base/io.h"
#include "base/str.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define WRITE_MAX (1u << 20)
#define NEW_MODE  0644 /* of what write and upload make */

static int fail(const struct appliance *a, struct err *e, const char *path)
{
    return appliance_error(a, e, path);
}

static void fill(const struct guestfs_statns *st, struct gfs_stat *ret)
{
    uint32_t mode = (uint32_t)st->st_mode;

    *ret = (struct gfs_stat){.mode = mode & 07777,
                             .uid = (uint32_t)st->st_uid,
                             .gid = (uint32_t)st->st_gid,
                             .size_bytes = (uint64_t)st->st_size};
    ret->type = S_ISREG(mode)   ? GFS_FILE
                : S_ISDIR(mode) ? GFS_DIR
                : S_ISLNK(mode) ? GFS_LINK
                                : GFS_OTHER;
}

/* ELOOP and ENOTDIR mean that nothing is there, too. */
static bool absent(const struct appliance *a)
{
    int n = guestfs_last_errno(a->g);

    return n == ENOENT || n == ENOTDIR || n == ELOOP;
}

static int file_lstat(void *ctx, const char *path, struct gfs_stat *ret, struct err *e)
{
    struct appliance *a = ctx;
    struct guestfs_statns *st = guestfs_lstatns(a->g, path);

    if (!st) {
        if (!absent(a))
            return fail(a, e, path);
        *ret = (struct gfs_stat){.type = GFS_ABSENT};
        return 0;
    }
    fill(st, ret);
    guestfs_free_statns(st);
    return 0;
}

static int file_stat(void *ctx, const char *path, struct gfs_stat *ret, struct err *e)
{
    struct appliance *a = ctx;
    struct guestfs_statns *st = guestfs_statns(a->g, path);

    if (!st) {
        if (!absent(a))
            return fail(a, e, path);
        *ret = (struct gfs_stat){.type = GFS_ABSENT};
        return 0;
    }
    fill(st, ret);
    guestfs_free_statns(st);
    return 0;
}

static int file_readlink(void *ctx, const char *path, char **ret, struct err *e)
{
    struct appliance *a = ctx;
    char *s = guestfs_readlink(a->g, path);

    if (!s)
        return fail(a, e, path);
    *ret = s;
    return 0;
}

static int file_list(void *ctx, const char *dir, struct strv *ret, struct err *e)
{
    struct appliance *a = ctx;
    char **names = guestfs_ls(a->g, dir);
    int r = 0;

    if (!names)
        return fail(a, e, dir);
    for (char **p = names; *p; p++) {
        if (r == 0)
            r = strv_add(ret, *p, e);
        free(*p);
    }
    free(names);
    return r;
}

static int file_pread(void *ctx, const char *path, uint64_t offset, size_t len,
                      struct buf *out, struct err *e)
{
    struct appliance *a = ctx;
    size_t got = 0;
    auto_free char *data = guestfs_pread(a->g, path, (int)len, (int64_t)offset, &got);

    if (!data)
        return fail(a, e, path);
    buf_add(out, data, got);
    return buf_check(out, e);
}

static int file_space(void *ctx, const char *path, uint64_t *ret, struct err *e)
{
    struct appliance *a = ctx;
    struct guestfs_statvfs *v = guestfs_statvfs(a->g, path);

    if (!v)
        return fail(a, e, path);
    if (__builtin_mul_overflow((uint64_t)v->bavail, (uint64_t)v->frsize, ret))
        *ret = UINT64_MAX;
    guestfs_free_statvfs(v);
    return 0;
}

static const struct gfs_ops file_ops = {
    .stat = file_stat,
    .lstat = file_lstat,
    .readlink = file_readlink,
    .list = file_list,
    .pread = file_pread,
    .space = file_space,
};

struct gfs appliance_gfs(struct appliance *a)
{
    return (struct gfs){.ops = &file_ops, .ctx = a};
}

/* ---- writing ---- */

static int upload(struct appliance *a, const char *path, const void *data, size_t len,
                  struct err *e)
{
    auto_fd int fd = memfd_create("hotadd-upload", MFD_CLOEXEC);
    char name[64];

    if (fd < 0)
        return err_sys(e, "memory file");
    if (io_write_full(fd, data, len, "memory file", e) < 0)
        return -1;
    snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    return guestfs_upload(a->g, name, path) < 0 ? fail(a, e, path) : 0;
}

/* ---- access on NTFS ----
 *
 * ntfs-3g gives files that it makes no access control list of their own, which lets
 * everyone write them; so each gets one. It shows and takes lists, in Windows' form, as
 * this attribute, which it does not list. */
#define NTFS_ACL "system.ntfs_acl"

/* Owner and group Administrators; LocalSystem and Administrators may do everything, here
 * and below; nothing is inherited from above. [MS-DTYP] 2.4.6, self-relative. */
static const char private_acl[] =
    "\x01\x00\x04\x94" /* revision; DACL present, protected, auto-inherited, relative */
    "\x14\x00\x00\x00\x24\x00\x00\x00\x00\x00\x00\x00\x34\x00\x00\x00"
    "\x01\x02\x00\x00\x00\x00\x00\x05\x20\x00\x00\x00\x20\x02\x00\x00"
    "\x01\x02\x00\x00\x00\x00\x00\x05\x20\x00\x00\x00\x20\x02\x00\x00"
    "\x02\x00\x34\x00\x02\x00\x00\x00"
    "\x00\x03\x14\x00\xff\x01\x1f\x00"
    "\x01\x01\x00\x00\x00\x00\x00\x05\x12\x00\x00\x00"
    "\x00\x03\x18\x00\xff\x01\x1f\x00"
    "\x01\x02\x00\x00\x00\x00\x00\x05\x20\x00\x00\x00\x20\x02\x00\x00";

/* A word for the appliance's shell: the guest chose some of the names. */
static void add_quoted(struct buf *b, const char *s)
{
    buf_addc(b, '\'');
    for (; *s; s++)
        if (*s == '\'')
            buf_adds(b, "'\\''");
        else
            buf_addc(b, *s);
    buf_addc(b, '\'');
}

/* guestfs_lsetxattr() takes a text and would send a list only up to its first NUL, so the
 * appliance's own setfattr sets it, from hexadecimal digits. */
static int set_acl(struct appliance *a, const char *acl, size_t len, const char *path,
                   struct err *e)
{
    auto_buf struct buf command = BUF_INIT, inside = BUF_INIT;
    auto_free char *hex = mem_zalloc(2 * len + 1, 1, e), *said = NULL;
    char *args[2] = {NULL, NULL};

    if (!hex)
        return -1;
    buf_addf(&inside, "/sysroot%s", path);
    buf_addf(&command, "setfattr -h -n " NTFS_ACL " -v 0x%s -- ", str_hex(hex, acl, len));
    add_quoted(&command, buf_str(&inside));
    if (buf_check(&inside, e) < 0 || buf_check(&command, e) < 0)
        return -1;
    args[0] = command.data;
    said = guestfs_debug(a->g, "sh", args);
    return said ? 0 : fail(a, e, path);
}

static int make_private(struct appliance *a, const char *path, struct err *e)
{
    return a->ntfs ? set_acl(a, private_acl, sizeof private_acl - 1, path, e) : 0;
}

static int copy_acl(struct appliance *a, const char *from, const char *to, struct err *e)
{
    size_t len = 0;
    auto_free char *acl = a->ntfs ? guestfs_lgetxattr(a->g, from, NTFS_ACL, &len) : NULL;

    if (!a->ntfs)
        return 0;
    return acl ? set_acl(a, acl, len, to, e) : fail(a, e, from);
}

static bool same_folder(const char *a, const char *b)
{
    size_t n = (size_t)(strrchr(a, '/') - a);

    return n == (size_t)(strrchr(b, '/') - b) && memcmp(a, b, n) == 0;
}

/* Owner, mode and extended attributes (SELinux labels, ACLs, capabilities). */
static int copy_attributes(struct appliance *a, const char *from, const char *to,
                           struct err *e)
{
    struct guestfs_statns *st = guestfs_statns(a->g, from);
    struct guestfs_xattr_list *x;
    int r;

    if (!st)
        return fail(a, e, from);
    /* A new file is root's with mode 0644, as most are; each message costs 10 ms under
     * emulation. */
    r = st->st_uid || st->st_gid
            ? guestfs_chown(a->g, (int)st->st_uid, (int)st->st_gid, to)
            : 0;
    if (r == 0 && (st->st_mode & 07777) != NEW_MODE)
        r = guestfs_chmod(a->g, (int)(st->st_mode & 07777), to);
    guestfs_free_statns(st);
    if (r < 0)
        return fail(a, e, to);
    x = guestfs_lgetxattrs(a->g, from);
    for (uint32_t i = 0; x && r == 0 && i < x->len; i++)
        r = guestfs_lsetxattr(a->g, x->val[i].attrname, x->val[i].attrval,
                              (int)x->val[i].attrval_len, to);
    if (x)
        guestfs_free_xattr_list(x);
    /* A file system without extended attributes (VFAT) has none to copy. */
    if (r < 0 && guestfs_last_errno(a->g) != ENOTSUP)
        return fail(a, e, to);
    /* What takes a file's place is for the same people; its original, kept elsewhere, is
     * for administrators: folders do not protect what is in them on Windows. */
    return same_folder(from, to) ? copy_acl(a, from, to, e) : make_private(a, to, e);
}

#define SELINUX "security.selinux"

/* A new file gets the SELinux label of its directory, as one that an administrator makes
 * there does; without any label the guest's policy would shut everybody out of it. Where
 * the directory has none, the guest or the file system has no labels. */
static int label_like_parent(struct appliance *a, const char *path, struct err *e)
{
    const char *slash = strrchr(path, '/');
    auto_free char *dir = str_ndup(path, slash == path ? 1 : (size_t)(slash - path), e),
                   *label = NULL;
    size_t len = 0;

    if (!dir)
        return -1;
    label = guestfs_lgetxattr(a->g, dir, SELINUX, &len);
    if (!label || !len)
        return 0;
    return guestfs_lsetxattr(a->g, SELINUX, label, (int)len, path) < 0 ? fail(a, e, path)
                                                                       : 0;
}

/* What is new in a guest is nobody's business but that of those who may. */
static int guard_new(struct appliance *a, const char *path, struct err *e)
{
    return a->ntfs ? make_private(a, path, e) : label_like_parent(a, path, e);
}

static int file_put(void *ctx, const char *path, const void *data, size_t len,
                    uint32_t mode, const char *like, struct err *e)
{
    struct appliance *a = ctx;
    int r = len > WRITE_MAX                            ? upload(a, path, data, len, e)
            : guestfs_write(a->g, path, data, len) < 0 ? fail(a, e, path)
                                                       : 0;

    if (r < 0)
        return -1;
    if (like)
        return copy_attributes(a, like, path, e);
    if (guestfs_chmod(a->g, (int)mode, path) < 0)
        return fail(a, e, path);
    return guard_new(a, path, e);
}

static int file_rename(void *ctx, const char *from, const char *to, struct err *e)
{
    struct appliance *a = ctx;

    return guestfs_rename(a->g, from, to) < 0 ? fail(a, e, to) : 0;
}

static int file_remove(void *ctx, const char *path, struct err *e)
{
    struct appliance *a = ctx;

    return guestfs_rm(a->g, path) < 0 && !absent(a) ? fail(a, e, path) : 0;
}

static int file_symlink(void *ctx, const char *target, const char *path, struct err *e)
{
    struct appliance *a = ctx;

    return guestfs_ln_s(a->g, target, path) < 0 ? fail(a, e, path)
                                                : label_like_parent(a, path, e);
}

/* One by one, so that each has its parent's label or a list of its own: a folder in
 * between that everyone may write would let others put their own in the place of what is
 * below. */
static int file_mkdirs(void *ctx, const char *path, uint32_t mode, struct err *e)
{
    struct appliance *a = ctx;

    for (const char *end = path; *end;) {
        auto_free char *dir = NULL;
        int there;

        end += 1 + strcspn(end + 1, "/");
        dir = str_ndup(path, (size_t)(end - path), e);
        if (!dir)
            return -1;
        there = guestfs_is_dir_opts(a->g, dir, GUESTFS_IS_DIR_OPTS_FOLLOWSYMLINKS, 1, -1);
        if (there < 0)
            return fail(a, e, dir);
        if (!there && guestfs_mkdir_mode(a->g, dir, *end ? 0755 : (int)mode) < 0)
            return fail(a, e, dir);
        if (!there && guard_new(a, dir, e) < 0)
            return -1;
    }
    return 0;
}

static int file_copy(void *ctx, const char *from, const char *to, struct err *e)
{
    struct appliance *a = ctx;

    if (guestfs_cp_a(a->g, from, to) < 0)
        return fail(a, e, from);
    return make_private(a, to, e); /* an original of SYSTEM holds secrets */
}

static int file_sync(void *ctx, struct err *e)
{
    struct appliance *a = ctx;

    return guestfs_sync(a->g) < 0 ? fail(a, e, "write the guest's files to its disks")
                                  : 0;
}

const struct gfs_write_ops appliance_write_ops = {
    .put = file_put,
    .rename = file_rename,
    .remove = file_remove,
    .symlink = file_symlink,
    .mkdirs = file_mkdirs,
    .copy = file_copy,
    .sync = file_sync,
};
