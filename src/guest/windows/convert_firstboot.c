/* Staging the first boot; see firstboot.h and edit.h.
 *
 * Everything that the service will use is a file below %SystemRoot%\HotAdd with its
 * digest in the plan, and the plan's digest is in the service's key: a hive is what only
 * administrators can change. The order of the plan's steps is the order of the boot. */
#include "guest/windows/firstboot.h"

#include "base/digest.h"
#include "base/io.h"
#include "base/str.h"
#include "guest/drivers/drivers.h"
#include "guest/windows/edit.h"

#include "config.h"

#include <limits.h>
#include <strings.h>
#include <unistd.h>

#define PROGRAM_MAX_BYTES (16u << 20)
#define MAX_STAGED        2000 /* the service takes a few more */

static const char why[] = "drivers can only be installed by the running Windows";

struct staging {
    struct conversion *c;
    struct edits *x;
    char *folder;            /* owned: "/Windows/HotAdd" */
    struct buf files, steps; /* lines of the plan */
    size_t n_files;
    struct strv device_path; /* folders of drivers, relative */
};

static void staging_release(struct staging *st)
{
    free(st->folder);
    buf_release(&st->files);
    buf_release(&st->steps);
    strv_release(&st->device_path);
}

/* ---- the program ---- */

int firstboot_program(const struct guest_options *o, char **ret, struct err *e)
{
    /* In a build tree both programs are a few folders apart. */
    static const char *const places[] = {FIRSTBOOT_PROGRAM,
                                         "../../firstboot/" FIRSTBOOT_PROGRAM,
                                         "../../../firstboot/" FIRSTBOOT_PROGRAM};
    char self[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);

    if (o->first_boot) {
        *ret = str_dup(o->first_boot, e);
        return *ret ? access(*ret, R_OK) == 0 : -1;
    }
    if (n > 0) {
        self[n] = 0;
        *strrchr(self, '/') = 0;
    }
    for (size_t i = 0; n > 0 && i < sizeof places / sizeof places[0]; i++) {
        auto_free char *path = str_fmt(e, "%s/%s", self, places[i]);

        if (!path)
            return -1;
        if (access(path, R_OK) == 0) {
            *ret = take_ptr(path);
            return 1;
        }
    }
    *ret = str_dup(HOTADD_LIBEXECDIR "/" FIRSTBOOT_PROGRAM, e);
    return *ret ? access(*ret, R_OK) == 0 : -1;
}

/* ---- files ---- */

static int stage(struct staging *st, const char *name, const struct buf *data,
                 const char *what, struct err *e)
{
    auto_free char *path = str_fmt(e, "%s/%s", st->folder, name);
    unsigned char digest[SHA256_BYTES];
    char hex[SHA256_HEX_LEN];

    if (++st->n_files > MAX_STAGED)
        return err_set(
            e, ERR_UNSUPPORTED,
            "AWS's packages have more than %d files; leave those out that this "
            "guest does not need",
            MAX_STAGED);
    digest_sha256(buf_str(data), data->len, digest);
    buf_addf(&st->files, "file\t%s\t%s\n", str_hex(hex, digest, sizeof digest), name);
    if (!path || buf_check(&st->files, e) < 0)
        return -1;
    return convert_write(st->c, path, data, 0700, what, why, e);
}

static int stage_text(struct staging *st, const char *name, const char *text,
                      const char *what, struct err *e)
{
    auto_buf struct buf b = BUF_INIT;

    buf_adds(&b, text);
    return buf_check(&b, e) < 0 ? -1 : stage(st, name, &b, what, e);
}

/* The folder of an INF that serves this guest goes as a whole. */
static bool folder_wanted(const struct bundle *b, const char *name, uint32_t build,
                          struct err *e)
{
    const char *slash = strrchr(name, '/');
    size_t n = slash ? (size_t)(slash - name) + 1 : 0;

    vec_foreach (f, &b->files) {
        auto_inf struct inf inf = {0};

        if (strncmp(f->name, name, n) != 0 || strchr(f->name + n, '/') ||
            !bundle_name_ends(f->name, ".inf"))
            continue;
        if (inf_parse(buf_str(&f->data), f->data.len, &inf, e) == 0 &&
            inf_serves(&inf, build))
            return true;
    }
    return false;
}

static int add_driver_file(struct staging *st, const struct bundle_file *f,
                           const char *kind, const char *what, struct err *e)
{
    auto_free char *name = str_fmt(e, "drivers/%s/%s", kind, f->name);
    char *slash;

    if (!name || stage(st, name, &f->data, what, e) < 0)
        return -1;
    if (!bundle_name_ends(name, ".inf"))
        return 0;
    buf_addf(&st->steps, "driver\t%s\n", name);
    slash = strrchr(name, '/');
    *slash = 0;
    return buf_check(&st->steps, e) < 0 ? -1 : strv_add_once(&st->device_path, name, e);
}

static int stage_driver(struct staging *st, const struct driver_package *p, struct err *e)
{
    auto_bundle struct bundle b = {0};
    auto_free char *what = str_fmt(e, "%s %s", p->kind->title, p->version);

    if (!what || driver_package_read(p, &b, e) < 0)
        return -1;
    vec_foreach (f, &b.files) {
        struct err ignored;

        if (folder_wanted(&b, f->name, st->c->s->windows->build, &ignored) &&
            add_driver_file(st, f, p->kind->id, what, e) < 0)
            return -1;
    }
    return 0;
}

/* An installer, which is run as the step's word says. */
static int stage_installer(struct staging *st, const struct driver_package *p,
                           const char *step, const char *suffix, struct err *e)
{
    auto_bundle struct bundle b = {0};
    auto_free char *what = str_fmt(e, "%s %s", p->kind->title, p->version);

    if (!what || driver_package_read(p, &b, e) < 0)
        return -1;
    vec_foreach (f, &b.files) {
        auto_free char *name = str_fmt(e, "packages/%s/%s", p->kind->id, f->name);

        if (!name || stage(st, name, &f->data, what, e) < 0)
            return -1;
        if (bundle_name_ends(name, suffix))
            buf_addf(&st->steps, "%s\t%s\n", step, name);
    }
    return buf_check(&st->steps, e);
}

/* EC2Launch: the archive as it is, and the script that unpacks it. */
static int stage_script(struct staging *st, const struct driver_package *p, struct err *e)
{
    auto_buf struct buf archive = BUF_INIT, script = BUF_INIT;
    auto_free char *beside = str_ndup(p->path, strlen(p->path), e);

    if (!beside)
        return -1;
    *strrchr(beside, '/') = 0;
    auto_free char *path = str_fmt(e, "%s/install.ps1", beside);
    if (!path || io_read_file(p->path, BUNDLE_MAX_BYTES, &archive, e) < 0)
        return -1;
    if (io_read_file(path, 1u << 20, &script, e) < 0)
        return err_prefix(e, "EC2Launch needs AWS's install.ps1 beside its archive");
    if (stage(st, "packages/ec2launch/EC2-Windows-Launch.zip", &archive,
              "EC2Launch scripts", e) < 0 ||
        stage(st, "packages/ec2launch/install.ps1", &script, "EC2Launch scripts", e) < 0)
        return -1;
    buf_adds(&st->steps, "script\tpackages/ec2launch/install.ps1\n");
    return buf_check(&st->steps, e);
}

/* ---- launch agents ---- */

/* Passwords, names and disks of a moved machine are left alone. */
static const struct agent {
    const char *kind, *file, *place, *text;
} agents[] = {
    {"ec2config", "config/ec2config.xml",
     "%ProgramFiles%\\Amazon\\Ec2ConfigService\\Settings\\Config.xml",
     "<?xml version=\"1.0\" standalone=\"yes\"?>\r\n<Ec2ConfigurationSettings>\r\n"
     "<Plugins>\r\n"
     "<Plugin><Name>Ec2SetPassword</Name><State>Disabled</State></Plugin>\r\n"
     "<Plugin><Name>Ec2SetComputerName</Name><State>Disabled</State></Plugin>\r\n"
     "<Plugin><Name>Ec2InitializeDrives</Name><State>Disabled</State></Plugin>\r\n"
     "<Plugin><Name>Ec2EventLog</Name><State>Disabled</State></Plugin>\r\n"
     "<Plugin><Name>Ec2OutputRDPCert</Name><State>Enabled</State></Plugin>\r\n"
     "<Plugin><Name>Ec2SetDriveLetter</Name><State>Disabled</State></Plugin>\r\n"
     "</Plugins>\r\n</Ec2ConfigurationSettings>\r\n"},
    {"ec2launch", "config/LaunchConfig.json",
     "%ProgramData%\\Amazon\\EC2-Windows\\Launch\\Config\\LaunchConfig.json",
     "{\r\n \"setComputerName\": false,\r\n \"setMonitorAlwaysOn\": false,\r\n"
     " \"setWallpaper\": false,\r\n \"addDnsSuffixList\": true,\r\n"
     " \"extendBootVolumeSize\": false,\r\n \"handleUserData\": false,\r\n"
     " \"adminPasswordType\": \"DoNothing\"\r\n}\r\n"},
    {"ec2launch-v2", "config/agent-config.yml",
     "%ProgramData%\\Amazon\\EC2Launch\\config\\agent-config.yml",
     "version: 1.0\r\nconfig:\r\n- stage: postReady\r\n  tasks:\r\n"
     "  - task: startSsm\r\n"},
};

static int add_copy(struct staging *st, const struct agent *a, struct err *e)
{
    buf_addf(&st->steps, "copy\t%s\t%s\n", a->file, a->place);
    return buf_check(&st->steps, e);
}

/* Its configuration first, so that its service finds it, and again after an installer
 * that brings its own. */
static int stage_agent(struct staging *st, const struct driver_package *p, struct err *e)
{
    const struct agent *a = NULL;
    int r;

    for (size_t i = 0; i < sizeof agents / sizeof agents[0]; i++)
        if (str_eq(agents[i].kind, p->kind->id))
            a = &agents[i];
    if (!a)
        return 0;
    if (stage_text(st, a->file, a->text, "configuration of AWS's launch agent", e) < 0 ||
        add_copy(st, a, e) < 0)
        return -1;
    r = p->kind->form == PACKAGE_SCRIPT     ? stage_script(st, p, e)
        : p->kind->form == PACKAGE_BARE_MSI ? stage_installer(st, p, "msi", ".msi", e)
                                            : stage_installer(st, p, "exe", ".exe", e);
    return r < 0 ? -1 : add_copy(st, a, e);
}

static const struct driver_package *choose(const struct staging *st, const char *kind)
{
    const struct windows *w = st->c->s->windows;

    return w->drivers ? driver_store_choose(w->drivers, kind, w->build) : NULL;
}

static int stage_packages(struct staging *st, struct err *e)
{
    const struct subject *s = st->c->s;
    const struct windows_version *v = windows_version_of(s->windows->build);
    const struct driver_package *ena = choose(st, "ena"), *nvme = choose(st, "nvme"),
                                *pv = choose(st, "pv"),
                                *agent = v ? choose(st, v->launch) : NULL;

    if (s->options->profile != GUEST_XEN && ((nvme && stage_driver(st, nvme, e) < 0) ||
                                             (ena && stage_driver(st, ena, e) < 0)))
        return -1;
    /* It restarts the machine by itself, so it comes after all other drivers. */
    if (s->options->profile != GUEST_NITRO && pv) {
        if (s->windows->product_type &&
            !strcasecmp(s->windows->product_type, "LanmanNT") &&
            edit_str(st->x, WIN_SOFTWARE, "Wow6432Node\\Amazon\\AWSPVDriverSetup",
                     "DisableDCCheck", REG_T_SZ, "true",
                     "Xen drivers on a domain controller", e) < 0)
            return -1;
        if (stage_installer(st, pv, "msi", ".msi", e) < 0)
            return -1;
    }
    return agent ? stage_agent(st, agent, e) : 0;
}

/* ---- registry ---- */

/* Windows looks for drivers of new devices in these folders, too. */
static int add_device_path(struct staging *st, struct err *e)
{
    auto_free char *now = NULL;
    auto_buf struct buf b = BUF_INIT;

    if (windows_str(st->x->s, WIN_SOFTWARE, WIN_PNP, "DevicePath", &now, e) < 0)
        return -1;
    buf_adds(&b, now && *now ? now : "%SystemRoot%\\inf");
    vec_foreach (d, &st->device_path) {
        auto_free char *entry =
            str_fmt(e, "%%SystemRoot%%\\" FIRSTBOOT_FOLDER "\\%s", *d);

        if (!entry)
            return -1;
        for (char *p = entry; *p; p++)
            if (*p == '/')
                *p = '\\';
        if (!strcasestr(buf_str(&b), entry))
            buf_addf(&b, ";%s", entry);
        buf_addf(&st->steps, "device-path\t%s\n", entry);
    }
    if (buf_check(&b, e) < 0 || buf_check(&st->steps, e) < 0)
        return -1;
    return edit_str(st->x, WIN_SOFTWARE, WIN_PNP, "DevicePath", REG_T_EXPAND_SZ,
                    buf_str(&b), "drivers' folders in DevicePath", e);
}

/* A stop at the first boot shall stay on the screen. What it was before is kept in the
 * service's key, since a second conversion finds our value. */
static int hold_crashes(struct staging *st, struct err *e)
{
    static const char what[] = "a crash stays on the screen until the first boot is done";
    uint32_t was;

    if (windows_u32(st->x->s, WIN_CCS, WIN_CRASH, "AutoReboot", 1, &was, e) < 0 ||
        windows_u32(st->x->s, WIN_CCS, FIRSTBOOT_PARAMETERS, "AutoReboot", was, &was, e) <
            0 ||
        edit_u32(st->x, WIN_CCS, FIRSTBOOT_PARAMETERS, "AutoReboot", was, what, e) < 0 ||
        edit_u32(st->x, WIN_CCS, WIN_CRASH, "AutoReboot", 0, what, e) < 0)
        return -1;
    buf_addf(&st->steps,
             "dword\tSYSTEM\\CurrentControlSet\\" WIN_CRASH "\tAutoReboot\t%u\n", was);
    return buf_check(&st->steps, e);
}

/* Values that make the key a service. */
static const char *const service_values[] = {
    "Type",        "Start",     "ErrorControl",   "ObjectName",
    "DisplayName", "ImagePath", "DependOnService"};

static int register_service(struct edits *x, struct err *e)
{
    static const char what[] = "first-boot service registered";
    auto_strv struct strv needs = {0};

    if (strv_add(&needs, "RpcSs", e) < 0 ||
        edit_u32(x, WIN_CCS, FIRSTBOOT_KEY, "Type", 0x10, what, e) < 0 ||
        edit_u32(x, WIN_CCS, FIRSTBOOT_KEY, "Start", 2, what, e) < 0 ||
        edit_u32(x, WIN_CCS, FIRSTBOOT_KEY, "ErrorControl", 1, what, e) < 0 ||
        edit_str(x, WIN_CCS, FIRSTBOOT_KEY, "ObjectName", REG_T_SZ, "LocalSystem", what,
                 e) < 0 ||
        edit_str(x, WIN_CCS, FIRSTBOOT_KEY, "DisplayName", REG_T_SZ, "hotadd first boot",
                 what, e) < 0 ||
        edit_str(x, WIN_CCS, FIRSTBOOT_KEY, "ImagePath", REG_T_EXPAND_SZ,
                 "\"%SystemRoot%\\" FIRSTBOOT_FOLDER "\\" FIRSTBOOT_PROGRAM "\"", what,
                 e) < 0)
        return -1;
    return edit_strv(x, WIN_CCS, FIRSTBOOT_KEY, "DependOnService", &needs, what, e);
}

static int unregister_service(struct edits *x, struct err *e)
{
    for (size_t i = 0; i < sizeof service_values / sizeof service_values[0]; i++)
        if (edit_delete_value(x, WIN_CCS, FIRSTBOOT_KEY, service_values[i],
                              "first-boot service taken out", e) < 0)
            return -1;
    return 0;
}

static int register_plan(struct edits *x, const char *plan_digest, struct err *e)
{
    static const char what[] = "first boot registered";
    static const char *const progress[] = {"Boots", "Next", "Running", "Failed",
                                           "Restart"};
    bool service = x->s->options->first_boot_way == FIRST_BOOT_SERVICE;

    if ((service ? register_service(x, e) : unregister_service(x, e)) < 0 ||
        convert_logon(x, e) < 0)
        return -1;
    /* How far a first boot got that was interrupted: this is another plan's. */
    for (size_t i = 0; i < sizeof progress / sizeof progress[0]; i++)
        if (edit_delete_value(x, WIN_CCS, FIRSTBOOT_PARAMETERS, progress[i], what, e) < 0)
            return -1;
    return edit_str(x, WIN_CCS, FIRSTBOOT_PARAMETERS, "PlanSha256", REG_T_SZ, plan_digest,
                    what, e);
}

/* ---- all of it ---- */

static int stage_program(struct staging *st, struct err *e)
{
    auto_buf struct buf program = BUF_INIT;
    auto_free char *from = NULL, *to = NULL;

    if (firstboot_program(st->c->s->options, &from, e) < 0 ||
        io_read_file(from, PROGRAM_MAX_BYTES, &program, e) < 0)
        return -1;
    to = str_fmt(e, "%s/" FIRSTBOOT_PROGRAM, st->folder);
    return to ? convert_write(st->c, to, &program, 0700, "first-boot service", why, e)
              : -1;
}

static int write_plan(struct staging *st, struct err *e)
{
    auto_free char *path = str_fmt(e, "%s/" FIRSTBOOT_PLAN, st->folder);
    auto_buf struct buf b = BUF_INIT;
    unsigned char digest[SHA256_BYTES];
    char hex[SHA256_HEX_LEN];

    buf_addf(&b, "hotadd-first-boot\t1\nboots\t%d\n%s%send\n", FIRSTBOOT_STARTS,
             buf_str(&st->files), buf_str(&st->steps));
    if (!path || buf_check(&b, e) < 0)
        return -1;
    digest_sha256(b.data, b.len, digest);
    if (convert_write(st->c, path, &b, 0700, "plan of the first boot", why, e) < 0)
        return -1;
    return register_plan(st->x, str_hex(hex, digest, sizeof digest), e);
}

static int fill(struct staging *st, struct err *e)
{
    if (stage_program(st, e) < 0 || stage_packages(st, e) < 0)
        return -1;
    buf_adds(&st->steps, "dhcp\ndisks\n");
    if (hold_crashes(st, e) < 0 || add_device_path(st, e) < 0)
        return -1;
    return write_plan(st, e);
}

int convert_first_boot(struct conversion *c, struct edits *x, struct err *e)
{
    struct staging st = {.c = c, .x = x};
    int r;

    st.folder = str_fmt(e, "%s/" FIRSTBOOT_FOLDER, c->s->windows->root);
    r = st.folder ? fill(&st, e) : -1;
    staging_release(&st);
    return r < 0 ? err_prefix(e, "prepare the first boot") : 0;
}
