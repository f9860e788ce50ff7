/* Choice of the instance type; see instance_type.h. */
#include "flow/instance_type.h"

#include "base/str.h"

#include <ctype.h>
#include <inttypes.h>

#define MIB ((uint64_t)1 << 20)

static bool hypervisor_ok(const struct ec2_instance_type *t, const struct type_wish *w)
{
    /* Bare metal machines show the same devices as Nitro. */
    bool nitro = t->bare_metal || str_eq(t->hypervisor, "nitro");

    return nitro ? w->nitro_ok : w->xen_ok;
}

int instance_type_fits(const struct ec2_instance_type *t, const struct type_wish *w,
                       struct err *e)
{
    if (!ec2_names_have(&t->architectures, "x86_64"))
        return err_set(e, ERR_REQUIREMENT,
                       "instance type %s is not x86_64, as the machine is; choose an "
                       "Intel or AMD type",
                       t->name);
    if (!hypervisor_ok(t, w))
        return err_set(e, ERR_REQUIREMENT,
                       w->xen_ok ? "instance type %s runs on Nitro, whose NVMe disks or "
                                   "ENA network this guest has no drivers for; choose a "
                                   "Xen type such as t2, m4, c4 or r4"
                                 : "instance type %s runs on Xen, which this guest has "
                                   "no drivers for; choose a Nitro type such as t3 or m5",
                       t->name);
    if (t->boot_modes.n && !ec2_names_have(&t->boot_modes, w->boot_mode))
        return err_set(e, ERR_REQUIREMENT,
                       "instance type %s does not boot by %s, as this machine's disks "
                       "do; choose another type",
                       t->name, w->boot_mode);
    if (t->virtualization_types.n && !ec2_names_have(&t->virtualization_types, "hvm"))
        return err_set(e, ERR_REQUIREMENT, "instance type %s has no HVM; choose another",
                       t->name);
    return 0;
}

static bool suffices(const struct ec2_instance_type *t, const struct type_wish *w)
{
    return t->vcpus >= w->cpus && t->memory_mib >= (w->memory_bytes + MIB - 1) / MIB &&
           !t->bare_metal;
}

/* "m5.large" is 0, "c5.large" 1, …: general purpose first. Exotic families (GPU, FPGA,
 * storage, memory giants) come last. */
static int family_rank(const char *name)
{
    static const char order[] = "mtcr";
    const char *p = strchr(order, name[0]);

    return p && isdigit((unsigned char)name[1]) ? (int)(p - order) : 9;
}

/* Generation and attributes: "m6i" after "m5"; plain before "m5ad" or "m5zn". */
static int generation(const char *name)
{
    return isdigit((unsigned char)name[1]) ? name[1] - '0' : 0;
}

static size_t attributes(const char *name)
{
    return strcspn(name, ".");
}

/* < 0: a is the better choice. */
static int compare(const struct ec2_instance_type *a, const struct ec2_instance_type *b)
{
    /* A vCPU costs about as much as 4 GiB of memory in every general family. */
    uint64_t cost_a = a->vcpus * 4096 + a->memory_mib;
    uint64_t cost_b = b->vcpus * 4096 + b->memory_mib;

    if (cost_a != cost_b)
        return cost_a < cost_b ? -1 : 1;
    if (a->current_generation != b->current_generation)
        return a->current_generation ? -1 : 1;
    if (a->burstable != b->burstable)
        return a->burstable ? 1 : -1;
    if (family_rank(a->name) != family_rank(b->name))
        return family_rank(a->name) - family_rank(b->name);
    if (attributes(a->name) != attributes(b->name))
        return attributes(a->name) < attributes(b->name) ? -1 : 1;
    if (generation(a->name) != generation(b->name))
        return generation(b->name) - generation(a->name);
    return strcmp(a->name, b->name);
}

int instance_type_choose(const struct ec2_instance_types *types,
                         const struct type_wish *wish,
                         const struct ec2_instance_type **ret, struct err *e)
{
    const struct ec2_instance_type *best = NULL;
    struct err why;

    vec_foreach (t, types)
        if (suffices(t, wish) && instance_type_fits(t, wish, &why) == 0 &&
            (!best || compare(t, best) < 0))
            best = t;
    if (!best)
        return err_set(e, ERR_REQUIREMENT,
                       "no instance type here has %" PRIu64 " vCPUs and %" PRIu64
                       " MiB of memory, boots by %s and runs on %s; give one with "
                       "--instance-type",
                       wish->cpus, wish->memory_bytes / MIB, wish->boot_mode,
                       wish->nitro_ok && wish->xen_ok ? "Nitro or Xen"
                       : wish->nitro_ok               ? "Nitro"
                                                      : "Xen");
    *ret = best;
    return 0;
}
