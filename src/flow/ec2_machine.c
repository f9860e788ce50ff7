/* What an instance is like, from DescribeInstances, DescribeVolumes and
 * DescribeInstanceTypes; see ec2_machine.h. */
#include "flow/ec2_machine.h"

#include "base/json.h"
#include "base/str.h"

#include <ctype.h>

#define PREFIX   "ec2://"
#define GIB      ((uint64_t)1 << 30)
#define MIB      ((uint64_t)1 << 20)
#define MAX_NICS 64

const char *ec2_source_instance(const char *source)
{
    return str_starts(source, PREFIX) ? source + strlen(PREFIX) : NULL;
}

int ec2_source_check(const char *source, struct err *e)
{
    const char *id = ec2_source_instance(source), *p = id;

    if (p && str_starts(p, "i-")) {
        p += 2;
        while (isxdigit((unsigned char)*p))
            p++;
    }
    if (p && !*p && p - id > 2)
        return 0;
    return err_set(e, ERR_USAGE, "%s: an instance is named " PREFIX "i-0123456789abcdef0",
                   source);
}

/* ---- the order of disks ---- */

/* "sdf", "xvdf" and "/dev/sdf" are "f". */
static const char *letters_of(const char *device)
{
    if (str_starts(device, "/dev/"))
        device += 5;
    if (str_starts(device, "xvd"))
        return device + 3;
    return str_starts(device, "sd") ? device + 2 : device;
}

int ec2_device_order(const char *a, const char *b)
{
    size_t na, nb;

    a = letters_of(a);
    b = letters_of(b);
    na = strlen(a);
    nb = strlen(b);
    return na != nb ? (na < nb ? -1 : 1) : strcmp(a, b);
}

static int mapping_order(const void *a, const void *b)
{
    const struct ec2_mapping *const *x = a, *const *y = b;

    return ec2_device_order((*x)->device, (*y)->device);
}

/* The instance's EBS volumes in order; the array is owned. */
static int order_disks(const struct ec2_instance *i, const struct ec2_mapping ***ret,
                       size_t *ret_n, struct err *e)
{
    const struct ec2_mapping **v = mem_zalloc(i->mappings.n + 1, sizeof *v, e);
    size_t n = 0, root = SIZE_MAX;

    if (!v)
        return -1;
    vec_foreach (m, &i->mappings)
        if (*m->volume_id)
            v[n++] = m;
    qsort(v, n, sizeof *v, mapping_order);
    for (size_t k = 0; k < n; k++)
        if (str_eq(v[k]->device, i->root_device_name))
            root = k;
    if (root != SIZE_MAX && root > 0) {
        const struct ec2_mapping *first = v[root];

        memmove(&v[1], &v[0], root * sizeof *v);
        v[0] = first;
    }
    *ret = v;
    *ret_n = n;
    return 0;
}

/* ---- describing ---- */

static int add_disk(struct aws *aws, const struct ec2_mapping *m, json_t *disks,
                    struct err *e)
{
    struct ec2_volume v = {0};
    int r;

    if (ec2_describe_volume(aws, m->volume_id, &v, e) < 0)
        return err_prefix(e, "%s", m->device);
    r = json_add(disks,
                 json_pack("{s:s, s:s, s:I}", "device", m->device, "volume", v.id,
                           "size_gib", (json_int_t)v.size_gib),
                 e);
    ec2_volume_release(&v);
    return r;
}

static int put_disks(struct aws *aws, const struct ec2_instance *i, json_t *o,
                     struct err *e)
{
    auto_free const struct ec2_mapping **v = NULL;
    json_t *disks = json_array();
    size_t n;

    if (json_put(o, "disks", disks, e) < 0 || order_disks(i, &v, &n, e) < 0)
        return -1;
    if (!n)
        return err_set(e, ERR_REQUIREMENT,
                       "instance %s has no EBS volumes: there is nothing to take "
                       "snapshots of",
                       i->id);
    for (size_t k = 0; k < n; k++)
        if (add_disk(aws, v[k], disks, e) < 0)
            return -1;
    return 0;
}

static int put_nics(const struct ec2_instance *i, json_t *o, struct err *e)
{
    json_t *nics = json_array();

    if (json_put(o, "nics", nics, e) < 0)
        return -1;
    for (uint64_t index = 0; index < MAX_NICS; index++)
        vec_foreach (n, &i->interfaces)
            if (n->device_index == index && *n->mac &&
                json_add(nics, json_string(n->mac), e) < 0)
                return -1;
    return 0;
}

static int put_type(struct aws *aws, const struct ec2_instance *i, json_t *o,
                    struct err *e)
{
    struct ec2_instance_types types = {0};
    int r = 0;

    if (ec2_describe_instance_types(aws, &(struct ec2_query){.ids = EC2_STRS(i->type)},
                                    &types, e) < 0)
        return -1;
    if (types.n &&
        (json_put(o, "cpus", json_integer((json_int_t)types.v[0].vcpus), e) < 0 ||
         json_put(o, "memory_bytes",
                  json_integer((json_int_t)(types.v[0].memory_mib * MIB)), e) < 0))
        r = -1;
    ec2_instance_types_release(&types);
    return r;
}

static enum firmware firmware_of(const struct ec2_instance *i)
{
    const char *mode = *i->current_boot_mode ? i->current_boot_mode : i->boot_mode;

    if (str_eq(mode, "uefi"))
        return FIRMWARE_UEFI;
    return str_eq(mode, "legacy-bios") ? FIRMWARE_BIOS : FIRMWARE_UNKNOWN;
}

static int describe(struct aws *aws, const struct ec2_instance *i, json_t **ret,
                    struct err *e)
{
    const char *name = ec2_tag_value(&i->tags, "Name");
    json_auto_t *o = json_pack("{s:s, s:s, s:s}", "instance", i->id, "name",
                               name && *name ? name : i->id, "firmware",
                               firmware_name(firmware_of(i)));

    if (!o)
        return err_nomem(e);
    if (str_eq(i->state, "terminated") || str_eq(i->state, "shutting-down"))
        return err_set(e, ERR_REQUIREMENT,
                       "instance %s is %s: it has no volumes any more", i->id, i->state);
    if (put_type(aws, i, o, e) < 0 || put_nics(i, o, e) < 0 ||
        put_disks(aws, i, o, e) < 0)
        return -1;
    *ret = json_incref(o);
    return 0;
}

int ec2_machine_describe(struct aws *aws, const char *instance_id, json_t **ret,
                         struct err *e)
{
    struct ec2_instance i = {0};
    int r;

    if (ec2_describe_instance(aws, instance_id, &i, e) < 0)
        return -1;
    r = describe(aws, &i, ret, e);
    ec2_instance_release(&i);
    return r;
}

/* ---- the machine ---- */

static int add_machine_disk(struct machine *m, const json_t *o, size_t i, struct err *e)
{
    struct machine_disk d = {.unit = (uint32_t)i};
    const char *device;
    uint64_t gib;

    if (json_need_str(o, "device", &device, e) < 0 ||
        json_need_u64(o, "size_gib", &gib, e) < 0)
        return -1;
    if (gib > UINT64_MAX / GIB)
        return err_set(e, ERR_INPUT, "%s: a volume of impossible size", device);
    d.size_bytes = gib * GIB;
    if (vec_push(&m->disks, d, e) < 0)
        return -1;
    return str_set(&m->disks.v[i].name, device, e);
}

int ec2_machine_new(const json_t *described, struct machine **ret, struct err *e)
{
    const char *firmware = json_str_or(described, "firmware", "");
    auto_machine struct machine *m = NULL;
    const char *name;
    const json_t *o;
    size_t i;

    if (json_need_str(described, "name", &name, e) < 0 || machine_new(name, &m, e) < 0)
        return -1;
    m->cpus = (uint32_t)json_u64_or(described, "cpus", 0);
    m->memory_bytes = json_u64_or(described, "memory_bytes", 0);
    m->firmware = str_eq(firmware, "uefi")   ? FIRMWARE_UEFI
                  : str_eq(firmware, "bios") ? FIRMWARE_BIOS
                                             : FIRMWARE_UNKNOWN;
    json_array_foreach (json_object_get(described, "disks"), i, o)
        if (add_machine_disk(m, o, i, e) < 0)
            return -1;
    json_array_foreach (json_object_get(described, "nics"), i, o) {
        struct machine_nic nic = {0};

        if (vec_push(&m->nics, nic, e) < 0 ||
            str_set(&m->nics.v[i].mac, json_string_value(o), e) < 0 ||
            str_set(&m->nics.v[i].model, "ena", e) < 0)
            return -1;
    }
    *ret = take_ptr(m);
    return 0;
}
