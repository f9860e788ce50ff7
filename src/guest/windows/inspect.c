/* What a Windows guest is; see windows.h. Only reads: hives whose logs had to be replayed
 * are clean in memory alone until a conversion writes them. */
#include "guest/windows/windows.h"

#include "base/str.h"
#include "guest/drivers/drivers.h"
#include "guest/windows/hivelog.h"

#include <strings.h>

#define LOG_MAX_BYTES (64u << 20)

static const struct windows_version versions[] = {
    {9600, "Windows Server 2012 R2", "ec2config"},
    {14393, "Windows Server 2016", "ec2launch"},
    {17763, "Windows Server 2019", "ec2launch"},
    {20348, "Windows Server 2022", "ec2launch-v2"},
    {26100, "Windows Server 2025", "ec2launch-v2"},
};

const struct windows_version *windows_version_of(uint32_t build)
{
    for (size_t i = 0; i < sizeof versions / sizeof versions[0]; i++)
        if (versions[i].build == build)
            return &versions[i];
    return NULL;
}

static void hive_file_release(struct hive_file *f)
{
    hive_free(f->hive);
    free(f->path);
    free(f->fault);
}

void windows_free(struct windows *w)
{
    if (!w)
        return;
    hive_file_release(&w->sys);
    hive_file_release(&w->soft);
    hive_file_release(&w->sam);
    hive_file_release(&w->bcd);
    free(w->root);
    free(w->control_set);
    free(w->installation_type);
    free(w->product_type);
    free(w->arch);
    driver_store_free(w->drivers);
    free(w->drivers_fault);
    free(w);
}

/* ---- hives ---- */

static int read_log(const struct gfs *fs, const char *hive, const char *suffix,
                    struct buf *ret, struct err *e)
{
    auto_free char *name = str_fmt(e, "%s%s", strrchr(hive, '/') + 1, suffix),
                   *dir = str_ndup(hive, (size_t)(strrchr(hive, '/') - hive), e),
                   *path = NULL;
    int r = name && dir ? windows_path(fs, dir, name, &path, e) : -1;

    if (r <= 0)
        return r;
    return gfs_read(fs, path, LOG_MAX_BYTES, ret, e);
}

static int open_hive(const struct gfs *fs, struct hive_file *f, const char *name,
                     struct err *e)
{
    auto_buf struct buf bytes = BUF_INIT, log1 = BUF_INIT, log2 = BUF_INIT;

    if (gfs_read(fs, f->path, HIVE_MAX_BYTES, &bytes, e) < 0)
        return -1;
    if (hivelog_header(bytes.data, bytes.len).state == HIVE_DIRTY &&
        (read_log(fs, f->path, ".LOG1", &log1, e) < 0 ||
         read_log(fs, f->path, ".LOG2", &log2, e) < 0))
        return -1;
    if (hivelog_replay(&bytes, log1.data, log1.len, log2.data, log2.len, &f->replayed,
                       e) < 0)
        return err_prefix(e, "it was not closed");
    return hive_open(bytes.data, bytes.len, name, &f->hive, e);
}

/* The guest's fault is remembered for the finding, ours ends the check. */
static int need_hive(struct subject *s, struct hive_file *f, const char *name,
                     struct err *e)
{
    auto_free char *rest = str_fmt(e, "System32/config/%s", name);
    struct err why = ERR_INIT;
    int r;

    if (!rest)
        return -1;
    r = windows_path(&s->fs, s->windows->root, rest, &f->path, e);
    if (r < 0)
        return -1;
    if (open_hive(&s->fs, f, name, &why) == 0)
        return 0;
    if (why.kind != ERR_INPUT && why.kind != ERR_NOT_FOUND) {
        *e = why;
        return -1;
    }
    return str_set(&f->fault, why.msg, e);
}

/* ---- boot configuration ---- */

int windows_read_bcd(const struct gfs *fs, struct buf *ret, char **ret_path,
                     struct err *e)
{
    static const char *const places[] = {"Boot/BCD", "EFI/Microsoft/Boot/BCD"};

    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        auto_free char *path = NULL;
        int r = windows_path(fs, "/", places[i], &path, e);

        if (r < 0 || (r > 0 && gfs_read(fs, path, HIVE_MAX_BYTES, ret, e) < 0))
            return -1;
        if (r > 0) {
            *ret_path = take_ptr(path);
            return 1;
        }
    }
    return 0;
}

static int open_bcd(struct hive_file *f, const struct buf *bytes, struct err *e)
{
    if (hivelog_header(bytes->data, bytes->len).state == HIVE_DIRTY)
        return err_set(e, ERR_INPUT, "it was not closed");
    return hive_open(bytes->data, bytes->len, "BCD", &f->hive, e);
}

/* From the volume that starts, or, where that is the system's own, from there. */
static int look_at_bcd(struct subject *s, const struct buf *given, struct err *e)
{
    struct hive_file *f = &s->windows->bcd;
    auto_buf struct buf own = BUF_INIT;
    struct err why = ERR_INIT;
    int r = given->len ? str_set(&f->path, "BCD", e)
                       : windows_read_bcd(&s->fs, &own, &f->path, &why);

    if (given->len && r < 0)
        return -1;
    if (given->len || r > 0)
        r = open_bcd(f, given->len ? given : &own, &why);
    if (r >= 0)
        return 0;
    if (why.kind != ERR_INPUT && why.kind != ERR_NOT_FOUND) {
        *e = why;
        return -1;
    }
    return str_set(&f->fault, why.msg, e);
}

/* ---- facts ---- */

static int find_control_set(struct windows *w, struct err *e)
{
    uint32_t n = 0;
    int r = hive_get_u32(w->sys.hive, "Select", "Current", &n, e);

    if (r <= 0 || !n || n > 999)
        return r < 0 && e->kind != ERR_INPUT ? -1 : 0;
    w->control_set = str_fmt(e, "ControlSet%03u", n);
    if (!w->control_set)
        return -1;
    r = hive_has_key(w->sys.hive, w->control_set, e);
    if (r == 0) {
        free(w->control_set);
        w->control_set = NULL;
    }
    return r < 0 ? -1 : 0;
}

static int from_software(struct subject *s, struct err *e)
{
    static const char key[] = "Microsoft\\Windows NT\\CurrentVersion";
    struct windows *w = s->windows;
    auto_free char *build = NULL;
    const struct windows_version *v;
    uint64_t n = 0;
    struct err ignored;

    if (windows_str(s, WIN_SOFTWARE, key, "CurrentBuildNumber", &build, e) < 0 ||
        windows_str(s, WIN_SOFTWARE, key, "ProductName", &s->info->product_name, e) < 0 ||
        windows_str(s, WIN_SOFTWARE, key, "InstallationType", &w->installation_type, e) <
            0)
        return -1;
    if (build && str_to_u64(build, &n, &ignored) == 0 && n <= UINT32_MAX)
        w->build = (uint32_t)n;
    v = windows_version_of(w->build);
    s->info->major = w->build == 9600 ? 6 : 10;
    s->info->minor = w->build == 9600 ? 3 : 0;
    if (!s->info->product_name && v)
        return str_set(&s->info->product_name, v->name, e);
    return 0;
}

static int from_system(struct subject *s, struct err *e)
{
    struct windows *w = s->windows;

    if (windows_str(s, WIN_CCS, "Control\\ProductOptions", "ProductType",
                    &w->product_type, e) < 0 ||
        windows_str(s, WIN_CCS, "Control\\ComputerName\\ComputerName", "ComputerName",
                    &s->info->hostname, e) < 0 ||
        windows_str(s, WIN_CCS, "Control\\Session Manager\\Environment",
                    "PROCESSOR_ARCHITECTURE", &w->arch, e) < 0)
        return -1;
    if (w->arch)
        return str_set(&s->info->arch, !strcasecmp(w->arch, "AMD64") ? "x86_64" : w->arch,
                       e);
    return 0;
}

/* A single odd value must not hide the rest: what can be read is, errors that blame the
 * guest leave facts unknown. */
static int facts(struct subject *s, struct err *e)
{
    struct windows *w = s->windows;
    struct err why = ERR_INIT;

    if (w->sys.hive && find_control_set(w, e) < 0)
        return -1;
    if (w->soft.hive && from_software(s, &why) < 0 && why.kind != ERR_INPUT) {
        *e = why;
        return -1;
    }
    if (w->control_set && from_system(s, &why) < 0 && why.kind != ERR_INPUT) {
        *e = why;
        return -1;
    }
    return 0;
}

/* The disk of the system; boots_* as for Linux guests. */
static int boot_facts(struct subject *s, struct err *e)
{
    const struct storage_disk *d;

    if (s->root->disk >= s->storage.disks.n)
        return 0;
    d = &s->storage.disks.v[s->root->disk];
    vec_foreach (p, &d->partitions)
        if (p->active && d->boot_code)
            s->info->boots_bios = true;
    vec_foreach (v, &s->storage.volumes)
        s->info->boots_uefi |= v->esp;
    return str_set(&s->info->partitioning, d->table, e);
}

static int storage_driver(struct subject *s, struct err *e)
{
    auto_free char *path = NULL;
    int r =
        windows_path(&s->fs, s->windows->root, "System32/drivers/stornvme.sys", &path, e);

    s->info->fits_nitro = r > 0;
    s->info->fits_xen = true; /* boots from the emulated IDE controller */
    return r < 0 ? -1 : 0;
}

/* The user's folder being unreadable is a finding, too. */
static int look_at_drivers(struct subject *s, struct err *e)
{
    const char *dir = s->options->drivers ? s->options->drivers : GUEST_DRIVERS_DIR;
    struct err why = ERR_INIT;

    if (driver_store_open(dir, &s->windows->drivers, &why) == 0)
        return 0;
    if (why.kind == ERR_NOMEM) {
        *e = why;
        return -1;
    }
    return str_set(&s->windows->drivers_fault, why.msg, e);
}

int windows_inspect(struct subject *s, enum ntfs_state ntfs, const struct buf *bcd,
                    struct err *e)
{
    struct windows *w = mem_zalloc(1, sizeof *w, e);

    if (!w)
        return -1;
    s->windows = w;
    w->ntfs = ntfs;
    if (windows_path(&s->fs, "/", "Windows", &w->root, e) < 0 ||
        need_hive(s, &w->sys, "SYSTEM", e) < 0 ||
        need_hive(s, &w->soft, "SOFTWARE", e) < 0 ||
        (s->options->first_boot_way == FIRST_BOOT_AUTOLOGON &&
         need_hive(s, &w->sam, "SAM", e) < 0) ||
        look_at_bcd(s, bcd, e) < 0 || facts(s, e) < 0 || boot_facts(s, e) < 0 ||
        storage_driver(s, e) < 0 || look_at_drivers(s, e) < 0)
        return -1;
    if (str_set(&s->info->distro, "windows", e) < 0 ||
        str_set(&s->info->family, "windows", e) < 0)
        return -1;
    return s->info->product_name ? 0 : str_set(&s->info->product_name, "Windows", e);
}
