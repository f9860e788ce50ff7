/* The folder of AWS's packages; see drivers.h. Only facts are kept in memory; archives
 * are unpacked again when they are needed, and must then have the same digest. */
#include "guest/drivers/drivers.h"

#include "base/digest.h"
#include "base/io.h"
#include "base/str.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#define MAX_FILES 500

#define DRIVERS "https://s3.amazonaws.com/ec2-windows-drivers-downloads/"

/* Builds and ceilings as AWS documents them for its drivers and launch agents. */
const struct package_kind package_kinds[] = {
    {"ena", "ENA network driver", "AwsEnaNetworkDriver", PACKAGE_DRIVER,
     "PCI\\VEN_1D0F&DEV_EC2", "2.6.0", 9600, 26100,
     DRIVERS "ENA/Latest/AwsEnaNetworkDriver.zip"},
    {"nvme", "NVMe storage driver", "AWSNVMe", PACKAGE_DRIVER, "PCI\\VEN_1D0F&DEV_",
     "1.5.1", 9600, 26100, DRIVERS "NVMe/Latest/AWSNVMe.zip"},
    {"pv", "Xen PV drivers", "AWSPVDriver", PACKAGE_MSI, NULL, "8.4.3", 9600, 20348,
     DRIVERS "AWSPV/Latest/AWSPVDriver.zip"},
    {"ec2config", "EC2Config service", "EC2Install", PACKAGE_EXE, NULL, NULL, 9600, 9600,
     "https://s3.amazonaws.com/ec2-downloads-windows/EC2Config/EC2Install.zip"},
    {"ec2launch", "EC2Launch scripts", "EC2-Windows-Launch", PACKAGE_SCRIPT, NULL, NULL,
     14393, 17763,
     "https://s3.amazonaws.com/ec2-downloads-windows/EC2Launch/latest/"
     "EC2-Windows-Launch.zip"},
    {"ec2launch-v2", "EC2Launch v2", "AmazonEC2Launch", PACKAGE_BARE_MSI, NULL, NULL,
     9600, 26100,
     "https://s3.amazonaws.com/amazon-ec2launch-v2/windows/amd64/latest/"
     "AmazonEC2Launch.msi"},
    {0},
};

const struct package_kind *package_kind_named(const char *id)
{
    for (const struct package_kind *k = package_kinds; k->id; k++)
        if (str_eq(k->id, id))
            return k;
    return NULL;
}

static void package_release(struct driver_package *p)
{
    free(p->path);
    free(p->version);
    free(p->fault);
    vec_foreach (f, &p->infs)
        inf_release(f);
    vec_release(&p->infs);
}

void driver_store_free(struct driver_store *s)
{
    if (!s)
        return;
    vec_foreach (p, &s->packages)
        package_release(p);
    vec_release(&s->packages);
    free(s->dir);
    free(s);
}

/* ---- versions ---- */

int version_compare(const char *a, const char *b)
{
    while (*a || *b) {
        unsigned long x = strtoul(a, (char **)&a, 10), y = strtoul(b, (char **)&b, 10);

        if (x != y)
            return x < y ? -1 : 1;
        /* What is no number ends the comparison. */
        if ((*a && *a != '.') || (*b && *b != '.'))
            return 0;
        a += *a == '.';
        b += *b == '.';
    }
    return 0;
}

/* "AWSPVDriver-8.4.3.zip", or a folder "8.4.3": digits and dots, two dots at least. */
static int version_in_path(const char *path, const char *dir, char **ret, struct err *e)
{
    for (const char *p = path + strlen(dir); *p; p++) {
        size_t n = strspn(p, "0123456789."), dots = 0;

        if (!isdigit((unsigned char)*p))
            continue;
        for (size_t i = 0; i < n; i++)
            dots += p[i] == '.' && isdigit((unsigned char)p[i + 1]);
        while (n && p[n - 1] == '.')
            n--;
        if (dots >= 2) {
            *ret = str_ndup(p, n, e);
            return *ret ? 0 : -1;
        }
        p += n ? n - 1 : 0;
    }
    return str_set(ret, "", e);
}

/* ---- one package ---- */

static int read_package(const struct driver_package *p, struct buf *ret,
                        char digest[SHA256_HEX_LEN], struct err *e)
{
    unsigned char d[SHA256_BYTES];

    if (io_read_file(p->path, BUNDLE_MAX_BYTES, ret, e) < 0)
        return -1;
    digest_sha256(buf_str(ret), ret->len, d);
    str_hex(digest, d, sizeof d);
    return 0;
}

static int unpack(const struct driver_package *p, struct buf *bytes, struct bundle *ret,
                  struct err *e)
{
    struct bundle_file f = {0};

    if (p->kind->form != PACKAGE_BARE_MSI)
        return bundle_read(buf_str(bytes), bytes->len, ret, e);
    /* An OLE compound file, which every .msi is. */
    if (bytes->len < 512 ||
        memcmp(bytes->data, "\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", 8) != 0)
        return err_set(e, ERR_INPUT, "no Windows Installer package");
    f.name = str_dup(strrchr(p->path, '/') + 1, e);
    if (!f.name || vec_push(&ret->files, f, e) < 0) {
        free(f.name);
        return -1;
    }
    ret->files.v[0].data = *bytes;
    *bytes = (struct buf)BUF_INIT;
    return 0;
}

static bool has_file(const struct bundle *b, const char *like, const char *name)
{
    const char *slash = strrchr(like, '/');
    size_t n = slash ? (size_t)(slash - like) + 1 : 0;

    vec_foreach (f, &b->files)
        if (!strncasecmp(f->name, like, n) && !strcasecmp(f->name + n, name))
            return true;
    return false;
}

/* A driver is whole when its catalog and its files lie beside it. */
static int check_driver(const struct bundle *b, const struct bundle_file *x,
                        const struct inf *f, struct err *e)
{
    if (!*f->catalog || !has_file(b, x->name, f->catalog))
        return err_set(e, ERR_INPUT,
                       "%s: its catalog %s is not there; Windows would not "
                       "trust the driver",
                       x->name, *f->catalog ? f->catalog : "(none is named)");
    vec_foreach (n, &f->files)
        if (bundle_name_ends(*n, ".sys") && !has_file(b, x->name, *n))
            return err_set(e, ERR_INPUT, "%s: its file %s is not there", x->name, *n);
    return 0;
}

static int read_infs(struct driver_package *p, const struct bundle *b, struct err *e)
{
    vec_foreach (x, &b->files) {
        auto_inf struct inf f = {0};

        if (!bundle_name_ends(x->name, ".inf"))
            continue;
        if (inf_parse(buf_str(&x->data), x->data.len, &f, e) < 0)
            return err_prefix(e, "%s", x->name);
        if (check_driver(b, x, &f, e) < 0 || vec_push(&p->infs, f, e) < 0)
            return -1;
        if (version_compare(p->version, f.version) < 0 &&
            str_set(&p->version, f.version, e) < 0) {
            f = (struct inf){0};
            return -1;
        }
        f = (struct inf){0};
    }
    return p->infs.n ? 0 : err_set(e, ERR_INPUT, "no .inf file in it");
}

static int need_suffix(const struct bundle *b, const char *suffix, struct err *e)
{
    vec_foreach (f, &b->files)
        if (bundle_name_ends(f->name, suffix))
            return 0;
    return err_set(e, ERR_INPUT, "no %s file in it", suffix);
}

static int look_into(struct driver_package *p, struct err *e)
{
    auto_bundle struct bundle b = {0};
    auto_buf struct buf bytes = BUF_INIT;

    if (read_package(p, &bytes, p->sha256, e) < 0 || unpack(p, &bytes, &b, e) < 0)
        return -1;
    switch (p->kind->form) {
    case PACKAGE_DRIVER:
        return read_infs(p, &b, e);
    case PACKAGE_MSI:
        return need_suffix(&b, ".msi", e);
    case PACKAGE_EXE:
        return need_suffix(&b, ".exe", e);
    case PACKAGE_SCRIPT:
        return need_suffix(&b, ".psm1", e);
    case PACKAGE_BARE_MSI:
        break;
    }
    return 0;
}

static const struct package_kind *kind_of(const char *name)
{
    for (const struct package_kind *k = package_kinds; k->id; k++)
        if (!strncasecmp(name, k->stem, strlen(k->stem)) &&
            bundle_name_ends(name, k->form == PACKAGE_BARE_MSI ? ".msi" : ".zip"))
            return k;
    return NULL;
}

static int add_package(struct driver_store *s, const char *dir, const char *name,
                       struct err *e)
{
    struct driver_package p = {.kind = kind_of(name)};
    struct err why = ERR_INIT;
    int r = 0;

    if (!p.kind)
        return 0;
    p.path = str_fmt(e, "%s/%s", dir, name);
    if (!p.path || version_in_path(p.path, s->dir, &p.version, e) < 0) {
        package_release(&p);
        return -1;
    }
    if (look_into(&p, &why) < 0) {
        if (why.kind == ERR_NOMEM)
            r = err_nomem(e);
        else
            r = str_set(&p.fault, why.msg, e);
    }
    if (r == 0)
        r = vec_push(&s->packages, p, e);
    if (r < 0)
        package_release(&p);
    return r;
}

/* ---- the folder ---- */

/* Names, sorted; 0 when there is no such folder. */
static int list(const char *dir, struct strv *ret, struct err *e)
{
    DIR *d = opendir(dir);
    struct dirent *x;
    int r = 1;

    if (!d)
        return errno == ENOENT || errno == ENOTDIR ? 0 : err_sys(e, "%s", dir);
    while (r > 0 && (x = readdir(d)))
        if (x->d_name[0] != '.' && strv_add(ret, x->d_name, e) < 0)
            r = -1;
    closedir(d);
    if (r > 0 && ret->n > MAX_FILES)
        r = err_set(e, ERR_INPUT, "%s: more than %d files; is it the right folder?", dir,
                    MAX_FILES);
    strv_sort(ret);
    return r;
}

static int look_at(struct driver_store *s, const char *dir, int depth, struct err *e)
{
    auto_strv struct strv names = {0};
    int r = list(dir, &names, e);

    if (r <= 0)
        return r;
    vec_foreach (n, &names) {
        auto_free char *path = str_fmt(e, "%s/%s", dir, *n);
        struct stat st;

        if (!path)
            return -1;
        if (stat(path, &st) < 0)
            continue; /* removed meanwhile, or a dead link */
        if (S_ISDIR(st.st_mode) && depth == 0 && look_at(s, path, 1, e) < 0)
            return -1;
        if (S_ISREG(st.st_mode) && add_package(s, dir, *n, e) < 0)
            return -1;
    }
    return 1;
}

int driver_store_open(const char *dir, struct driver_store **ret, struct err *e)
{
    auto_driver_store struct driver_store *s = mem_zalloc(1, sizeof *s, e);
    int r;

    if (!s || str_set(&s->dir, dir, e) < 0)
        return -1;
    r = look_at(s, dir, 0, e);
    if (r < 0)
        return -1;
    s->exists = r > 0;
    *ret = take_ptr(s);
    return 0;
}

/* ---- choosing ---- */

/* A driver serves a system when its INF says so; and AWS tells of newest versions for
 * 2012 R2, which later INFs do not always rule out. */
bool driver_package_serves(const struct driver_package *p, uint32_t build)
{
    const struct package_kind *k = p->kind;

    if (p->fault || build < k->first || build > k->last)
        return false;
    if (build == 9600 && k->ceiling && *p->version &&
        version_compare(p->version, k->ceiling) > 0 &&
        strncmp(p->version, k->ceiling, strlen(k->ceiling)) != 0)
        return false;
    if (k->form != PACKAGE_DRIVER)
        return true;
    vec_foreach (f, &p->infs)
        if (inf_serves_device(f, build, k->device))
            return true;
    return false;
}

const struct driver_package *driver_store_choose(const struct driver_store *s,
                                                 const char *kind, uint32_t build)
{
    const struct driver_package *best = NULL;

    vec_foreach (p, &s->packages)
        if (str_eq(p->kind->id, kind) && driver_package_serves(p, build) &&
            (!best || version_compare(best->version, p->version) < 0))
            best = p;
    return best;
}

int driver_package_read(const struct driver_package *p, struct bundle *ret, struct err *e)
{
    auto_bundle struct bundle b = {0};
    auto_buf struct buf bytes = BUF_INIT;
    char digest[SHA256_HEX_LEN];

    if (read_package(p, &bytes, digest, e) < 0)
        return -1;
    if (!str_eq(digest, p->sha256))
        return err_set(e, ERR_FAILED, "%s changed while it was used; run again", p->path);
    if (unpack(p, &bytes, &b, e) < 0)
        return err_prefix(e, "%s", p->path);
    *ret = b;
    b = (struct bundle){0};
    return 0;
}
