/* What Amazon's VM Import asks of a Linux guest and hotadd's own finishers do not:
 * "Limitations for Linux/Unix resources", VM Import/Export User Guide. */
#include "guest/linux/linux.h"

#include "base/str.h"

/* systemd's names by place or address: en, and one of o, p, s, x. */
static bool is_predictable(const char *name)
{
    return str_starts(name, "en") && name[2] && strchr("opsx", name[2]);
}

static int check_names(const struct subject *s, struct verdict *v, struct err *e)
{
    vec_foreach (p, &s->network)
        if (p->kind == NET_ETHERNET && p->name && is_predictable(p->name))
            return verdict_refused(v, e, "%s names %s", p->file, p->name);
    return verdict_met(v, e, "no configuration names a card by its place");
}

const struct requirement linux_import_names = {
    .id = "linux-import-names",
    .title = "Network cards not named by their place",
    .why = "VM Import does not take machines with predictable interface names such as "
           "ens192: the imported one would have no network",
    .remedy = "boot with net.ifnames=0 biosdevname=0 and configure eth0, or use hotadd "
              "convert, which does so",
    .methods = FOR_IMPORT,
    .check = check_names,
};

static int check_btrfs(const struct subject *s, struct verdict *v, struct err *e)
{
    if (!str_eq(s->root->fs.type, "btrfs"))
        return verdict_met(v, e, "%s holds %s", s->root->device, s->root->fs.type);
    vec_foreach (l, &s->fstab)
        if (str_eq(l->type, "btrfs") &&
            (fstab_has_option(l, "subvol") || fstab_has_option(l, "subvolid")))
            return verdict_refused(v, e, "/etc/fstab:%zu mounts a subvolume at %s",
                                   l->number, l->mountpoint);
    return verdict_met(v, e, "%s holds btrfs, and /etc/fstab names no subvolume",
                       s->root->device);
}

const struct requirement linux_import_btrfs = {
    .id = "linux-import-btrfs",
    .title = "No Btrfs subvolumes",
    .why =
        "VM Import mounts a Btrfs as a whole and does not find the system in one of its "
        "subvolumes",
    .remedy = "use hotadd convert, which takes subvolumes",
    .methods = FOR_IMPORT,
    .check = check_btrfs,
};
