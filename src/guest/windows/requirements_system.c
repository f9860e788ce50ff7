/* Requirements of a Windows guest as a whole: version, hives, file system, disks. */
#include "guest/windows/windows.h"

#include "base/str.h"
#include "guest/windows/requirements.h"

#include <strings.h>

static int check_supported(const struct subject *s, struct verdict *v, struct err *e)
{
    const struct windows *w = s->windows;
    const char *kind = w->installation_type ? w->installation_type : "unknown";

    if (s->options->purpose == GUEST_RESTORE || s->options->method == GUEST_IMPORT)
        return verdict_not_needed(v, e, "%s, build %u; hotadd does not convert it here",
                                  s->info->product_name, w->build);
    if (!w->build)
        return verdict_unknown(v, e, "SOFTWARE: CurrentBuildNumber is not to be read");
    if (!windows_version_of(w->build))
        return verdict_refused(v, e, "CurrentBuildNumber %u (%s)", w->build,
                               s->info->product_name);
    if (strncasecmp(kind, "Server", 6) != 0)
        return verdict_refused(v, e, "InstallationType %s", kind);
    return verdict_met(v, e, "CurrentBuildNumber %u, InstallationType %s", w->build,
                       kind);
}

const struct requirement windows_supported = {
    .id = "windows-supported",
    .title = "A Windows that hotadd converts",
    .why = "drivers and registry differ between versions, and EC2 licenses servers only",
    .remedy = "Windows Server 2012 R2, 2016, 2019, 2022 and 2025 are converted; use the "
              "import finisher for others",
    .methods = FOR_OURS,
    .check = check_supported,
};

static int check_arch(const struct subject *s, struct verdict *v, struct err *e)
{
    if (!s->info->arch)
        return verdict_unknown(v, e, "PROCESSOR_ARCHITECTURE is not to be read");
    if (str_eq(s->info->arch, "x86_64"))
        return verdict_met(v, e, "PROCESSOR_ARCHITECTURE AMD64");
    return verdict_refused(v, e, "PROCESSOR_ARCHITECTURE %s", s->info->arch);
}

const struct requirement windows_arch = {
    .id = "windows-arch",
    .title = "64-bit x86",
    .why = "AWS's drivers are 64-bit",
    .remedy = "move its roles to a 64-bit server",
    .methods = FOR_ALL,
    .check = check_arch,
};

static int check_hives(const struct subject *s, struct verdict *v, struct err *e)
{
    const struct windows *w = s->windows;

    if (!w->sys.hive)
        return verdict_refused(v, e, "%s: %s", w->sys.path,
                               w->sys.fault ? w->sys.fault : "not read");
    if (!w->soft.hive)
        return verdict_refused(v, e, "%s: %s", w->soft.path,
                               w->soft.fault ? w->soft.fault : "not read");
    if (!w->control_set)
        return verdict_refused(v, e,
                               "%s: Select\\Current names no control set that is "
                               "there",
                               w->sys.path);
    if (w->sys.replayed || w->soft.replayed)
        return verdict_met(v, e,
                           "SYSTEM and SOFTWARE were not closed; %u and %u changes from "
                           "their logs are counted in",
                           w->sys.replayed, w->soft.replayed);
    return verdict_met(v, e, "SYSTEM and SOFTWARE are whole; %s is current",
                       w->control_set);
}

const struct requirement windows_hives = {
    .id = "windows-hives",
    .title = "A registry that can be edited",
    .why =
        "the newest changes of a running Windows are in transaction logs alone; editing "
        "a hive without them would lose them",
    .remedy = "shut the machine down in Windows (shutdown /s /t 0) and back it up again",
    .methods = FOR_OURS,
    .check = check_hives,
};

/* ---- the volume ---- */

/* 1 a saved session, 0 none. "hibr" is written while there is one to resume. */
static int hibernated(const struct subject *s, struct err *e)
{
    auto_buf struct buf head = BUF_INIT;
    auto_free char *path = NULL;
    int r = windows_path(&s->fs, "/", "hiberfil.sys", &path, e);

    if (r <= 0)
        return r;
    if (gfs_read_head(&s->fs, path, 4, &head, e) < 0)
        return -1;
    return head.len == 4 &&
           (!strncasecmp(head.data, "hibr", 4) || !strncasecmp(head.data, "rstr", 4));
}

static bool discards_session(const struct subject *s)
{
    return s->options->discard_hibernation && s->options->purpose == GUEST_CONVERT &&
           s->options->method != GUEST_IMPORT;
}

static int check_hibernation(const struct subject *s, struct verdict *v, struct err *e)
{
    int r = hibernated(s, e);

    if (r < 0)
        return -1;
    if (!r && s->windows->ntfs != NTFS_HIBERNATED)
        return verdict_met(v, e, "no saved session in \\hiberfil.sys");
    if (discards_session(s))
        return verdict_fixable(v, FINDING_FIX_CONVERT, e,
                               "%s: \\hiberfil.sys holds a saved session, which is "
                               "discarded as asked",
                               s->root->device);
    return verdict_refused(v, e, "%s: \\hiberfil.sys holds a saved session",
                           s->root->device);
}

const struct requirement windows_hibernation = {
    .id = "windows-hibernation",
    .title = "Shut down, not hibernated",
    .why =
        "a saved session holds the file system in memory: Windows would write over what "
        "was changed, and resume on hardware that is not there",
    .remedy = "start the source machine, run powercfg /h off (which also ends Fast "
              "Startup), shut it down and back it up again; or give "
              "--discard-hibernation, and what the session had not stored is lost",
    .methods = FOR_ALL,
    .check = check_hibernation,
};

static int check_fs_clean(const struct subject *s, struct verdict *v, struct err *e)
{
    switch (s->windows->ntfs) {
    case NTFS_UNKNOWN:
        return verdict_unknown(v, e, "%s was not asked", s->root->device);
    case NTFS_DAMAGED:
        return verdict_refused(v, e, "%s cannot be mounted for writing", s->root->device);
    case NTFS_UNCLEAN:
        return verdict_met(v, e,
                           "%s was not unmounted; its journal is reset and Windows "
                           "checks it at the first boot",
                           s->root->device);
    case NTFS_HIBERNATED:
        if (discards_session(s))
            return verdict_met(v, e,
                               "%s holds a saved session, which is discarded; Windows "
                               "checks it at the first boot",
                               s->root->device);
        return verdict_refused(v, e, "%s holds a saved session", s->root->device);
    case NTFS_CLEAN:
        break;
    }
    return verdict_met(v, e, "%s was unmounted", s->root->device);
}

const struct requirement windows_fs_clean = {
    .id = "windows-fs-clean",
    .title = "A file system that can be written",
    .why = "writing into a damaged NTFS makes the damage worse",
    .remedy = "run chkdsk /f in the source machine, restart it, and back it up again",
    .methods = FOR_OURS,
    .check = check_fs_clean,
};

static int check_encryption(const struct subject *s, struct verdict *v, struct err *e)
{
    vec_foreach (x, &s->storage.volumes)
        if (str_eq(x->fs.type, "BitLocker"))
            return verdict_unknown(v, e, "%s is encrypted; the system's volume is not",
                                   x->device);
    return verdict_met(v, e, "no volume is encrypted by BitLocker");
}

const struct requirement windows_encryption = {
    .id = "windows-encryption",
    .title = "Not encrypted by BitLocker",
    .why = "the key is bound to the TPM of the old machine",
    .remedy = "turn BitLocker off for that volume (manage-bde -off); EBS can encrypt it",
    .methods = FOR_ALL,
    .check = check_encryption,
};

#define NEEDED_BYTES (2ull << 30)

static int check_space(const struct subject *s, struct verdict *v, struct err *e)
{
    uint64_t room;

    if (gfs_space(&s->fs, "/", &room, e) < 0)
        return -1;
    if (room >= NEEDED_BYTES)
        return verdict_met(v, e, "%llu MiB free on the system's volume",
                           (unsigned long long)(room >> 20));
    return verdict_refused(v, e, "%llu MiB free on the system's volume, 2048 are needed",
                           (unsigned long long)(room >> 20));
}

const struct requirement windows_space = {
    .id = "windows-space",
    .title = "2 GiB free for drivers",
    .why = "drivers are kept and unpacked there, and their installation makes a restore "
           "point",
    .remedy = "free some space in the source machine, or enlarge its disk",
    .methods = FOR_ALL,
    .check = check_space,
};

/* ---- the boot disk ---- */

static bool dynamic(const struct storage_disk *d)
{
    vec_foreach (p, &d->partitions)
        if (p->dynamic_disk)
            return true;
    return false;
}

static int check_gpt(const struct subject *s, struct verdict *v, struct err *e)
{
    if (s->options->purpose == GUEST_RESTORE)
        return verdict_met(v, e, "%s: GPT, as on the instance it came from",
                           s->root->device);
    if (!s->info->boots_uefi)
        return verdict_refused(v, e, "GPT without an EFI system partition");
    if (s->options->windows_gpt)
        return verdict_met(v, e,
                           "GPT with an EFI system partition; boots by UEFI, as "
                           "asked");
    return verdict_refused(v, e, "GPT with an EFI system partition");
}

static int check_boot_disk(const struct subject *s, struct verdict *v, struct err *e)
{
    const struct storage_disk *d;

    if (s->root->disk >= s->storage.disks.n)
        return verdict_refused(v, e, "%s is on no plain disk", s->root->device);
    d = &s->storage.disks.v[s->root->disk];
    if (dynamic(d))
        return verdict_refused(v, e, "%s is a dynamic disk", d->device);
    if (str_eq(d->table, "gpt"))
        return check_gpt(s, v, e);
    vec_foreach (x, &s->storage.disks)
        vec_foreach (p, &x->partitions)
            if (str_eq(x->table, "msdos") && p->active && x->boot_code)
                return verdict_met(v, e, "MBR; %s starts its active partition %u",
                                   x->device, p->number);
    return verdict_refused(v, e, "%s: no active partition or no boot code", d->device);
}

const struct requirement windows_boot_disk = {
    .id = "windows-boot-disk",
    .title = "A boot disk that EC2 starts",
    .why = "an MBR disk starts on any instance. A GPT disk needs UEFI: instance type, "
           "carrier and firmware must agree, which is a choice of its own. Dynamic disks "
           "are known to Windows alone",
    .remedy =
        "give --windows-gpt to launch a UEFI instance from a UEFI carrier, or use the "
        "import finisher; convert a dynamic disk to a basic one; see that the boot "
        "disk is the first",
    .methods = FOR_OURS,
    .check = check_boot_disk,
};
