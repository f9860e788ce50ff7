/* What kind of Linux, and how it boots; see linux.h. Boot menu, kernels and network:
 * files of their own. */
#include "guest/linux/linux.h"

#include "base/str.h"
#include "guest/text/shvar.h"
#include "guest/text/text.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* "12", "22.04", "7.9.2009" */
static void parse_version(const char *s, uint32_t *major, uint32_t *minor)
{
    char *end;

    while (*s && !isdigit((unsigned char)*s))
        s++;
    *major = (uint32_t)strtoul(s, &end, 10);
    *minor = *end == '.' ? (uint32_t)strtoul(end + 1, NULL, 10) : 0;
}

static int from_os_release(struct subject *s, const char *text, char **ret_like,
                           struct err *e)
{
    struct guest_info *i = s->info;
    auto_free char *version = NULL;

    if (shvar_get(text, "ID", &i->distro, e) < 0 ||
        shvar_get(text, "PRETTY_NAME", &i->product_name, e) < 0 ||
        shvar_get(text, "VERSION_ID", &version, e) < 0 ||
        shvar_get(text, "ID_LIKE", ret_like, e) < 0)
        return -1;
    if (version)
        parse_version(version, &i->major, &i->minor);
    return 0;
}

/* RHEL and CentOS 6 have no os-release. */
static int from_redhat_release(struct subject *s, const char *text, struct err *e)
{
    struct guest_info *i = s->info;
    const char *id = strstr(text, "CentOS")       ? "centos"
                     : strstr(text, "Oracle")     ? "ol"
                     : strstr(text, "Scientific") ? "scientific"
                                                  : "rhel";
    auto_free char *line = str_ndup(text, strcspn(text, "\n"), e);

    parse_version(text, &i->major, &i->minor);
    if (!line || str_set(&i->product_name, line, e) < 0)
        return -1;
    return str_set(&i->distro, id, e);
}

/* EI_CLASS and e_machine of a program that every Linux has. */
static int inspect_arch(struct subject *s, struct err *e)
{
    static const char *const programs[] = {"/bin/sh", "/sbin/init", "/usr/bin/env"};

    for (size_t i = 0; i < sizeof programs / sizeof programs[0]; i++) {
        auto_buf struct buf b = BUF_INIT;
        const unsigned char *h;
        int r = gfs_is_file(&s->fs, programs[i], e);

        if (r < 0)
            return -1;
        if (!r)
            continue;
        if (gfs_read_head(&s->fs, programs[i], 20, &b, e) < 0)
            return -1;
        h = (const unsigned char *)b.data;
        if (b.len < 20 || memcmp(h, "\177ELF", 4) != 0)
            continue;
        unsigned machine =
            h[5] == 2 ? (unsigned)(h[18] << 8 | h[19]) : (unsigned)(h[18] | h[19] << 8);
        return str_set(&s->info->arch,
                       machine == 62    ? "x86_64"
                       : machine == 183 ? "aarch64"
                       : machine == 3   ? "i686"
                                        : "other",
                       e);
    }
    return 0;
}

static int inspect_hostname(struct subject *s, struct err *e)
{
    auto_buf struct buf b = BUF_INIT;
    const char *at;
    auto_free char *line = NULL;
    int r;

    r = gfs_text(&s->fs, "/etc/hostname", &b, e);
    if (r == 0) {                                             /* Red Hat before 7 */
        r = gfs_is_file(&s->fs, "/etc/sysconfig/network", e); /* SUSE: a directory */
        if (r > 0)
            r = gfs_text(&s->fs, "/etc/sysconfig/network", &b, e);
        return r > 0 ? shvar_get(buf_str(&b), "HOSTNAME", &s->info->hostname, e) : r;
    }
    if (r < 0)
        return -1;
    at = buf_str(&b);
    r = text_next_trimmed(&at, '#', false, &line, e);
    return r > 0 ? str_set(&s->info->hostname, line, e) : r;
}

int linux_inspect_release(struct subject *s, struct err *e)
{
    auto_buf struct buf text = BUF_INIT;
    auto_free char *like = NULL;
    const struct family *family;
    int r = gfs_text(&s->fs, "/etc/os-release", &text, e);

    if (r == 0)
        r = gfs_text(&s->fs, "/usr/lib/os-release", &text, e);
    if (r > 0)
        r = from_os_release(s, buf_str(&text), &like, e);
    else if (r == 0) {
        r = gfs_text(&s->fs, "/etc/redhat-release", &text, e);
        if (r > 0)
            r = from_redhat_release(s, buf_str(&text), e);
    }
    if (r < 0)
        return -1;
    family = s->info->distro ? linux_family(s->info->distro, like) : NULL;
    if (family && str_set(&s->info->family, family->name, e) < 0)
        return -1;
    if (str_set(&s->info->type, "linux", e) < 0 || inspect_arch(s, e) < 0)
        return -1;
    return inspect_hostname(s, e);
}

/* ---- boot ---- */

/* A loader for x86-64 somewhere below EFI. */
static int esp_has_loader(struct subject *s, struct err *e)
{
    auto_free char *efi = NULL;
    auto_strv struct strv vendors = {0};

    if (gfs_join(s->esp, "EFI", &efi, e) < 0 || gfs_list(&s->fs, efi, &vendors, e) < 0)
        return -1;
    vec_foreach (v, &vendors) {
        auto_free char *dir = NULL;
        auto_strv struct strv files = {0};

        if (gfs_join(efi, *v, &dir, e) < 0 || gfs_list(&s->fs, dir, &files, e) < 0)
            return -1;
        vec_foreach (f, &files) {
            size_t n = strlen(*f);

            if (n > 4 && !strcasecmp(*f + n - 4, ".efi"))
                return 1;
        }
    }
    return 0;
}

int linux_inspect_boot(struct subject *s, struct err *e)
{
    const struct storage_disk *d = s->storage.disks.n ? &s->storage.disks.v[0] : NULL;
    int r;

    if (d) {
        bool start = d->grub;

        vec_foreach (p, &d->partitions)
            start |= p->active || p->bios_boot;
        s->info->boots_bios = d->boot_code && start;
        if (str_set(&s->info->partitioning, d->table, e) < 0)
            return -1;
    }
    if (s->esp) {
        r = esp_has_loader(s, e);
        if (r < 0)
            return -1;
        s->info->boots_uefi = r;
    }
    return linux_inspect_menu(s, e);
}

int linux_inspect(struct subject *s, struct err *e)
{
    if (linux_inspect_release(s, e) < 0 || linux_inspect_boot(s, e) < 0 ||
        linux_inspect_kernels(s, e) < 0 || linux_inspect_services(s, e) < 0)
        return -1;
    return linux_inspect_network(s, e);
}
