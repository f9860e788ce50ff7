/* From a VMX description to a machine with opened disks. */
#include "image/formats.h"
#include "image/vmx.h"

#include "base/str.h"

#include <ctype.h>
#include <inttypes.h>
#include <strings.h>

#define MAX_VMX_BYTES (1u << 20)

/* In the order in which a BIOS and Linux meet them (as ovf_machine.c has it), with how
 * many controllers and units VMware allows. */
static const struct bus {
    const char *name;
    unsigned controllers, units;
} buses[] = {
    {"scsi", 4, 65},
    {"sata", 4, 30},
    {"nvme", 4, 15},
    {"ide", 2, 2},
};
#define N_BUSES (sizeof buses / sizeof buses[0])

struct place {
    const struct bus *bus;
    unsigned controller, unit;
    const char *file;
};

struct places {
    struct VEC(struct place) all;
};

static bool is_true(const char *v)
{
    return v && (strcasecmp(v, "true") == 0 || str_eq(v, "1"));
}

/* A file name like "vm-000002.vmdk" is a snapshot's delta. */
static bool is_delta_name(const char *file)
{
    size_t n = strlen(file);

    if (n < 12 || file[n - 12] != '-' || strcasecmp(file + n - 5, ".vmdk") != 0)
        return false;
    for (size_t i = n - 11; i < n - 5; i++)
        if (!isdigit((unsigned char)file[i]))
            return false;
    return true;
}

static int check_type(const struct place *p, const char *type, const char *name,
                      struct err *e)
{
    static const char *const disks[] = {"scsi-hardDisk", "ata-hardDisk",  "disk",
                                        "sata-hardDisk", "nvme-hardDisk", "hardDisk"};

    if (!type)
        return 0;
    for (size_t i = 0; i < sizeof disks / sizeof disks[0]; i++)
        if (strcasecmp(type, disks[i]) == 0)
            return 0;
    return err_set(
        e, ERR_UNSUPPORTED,
        "%s: %s%u:%u is of type \"%s\": raw devices of its host cannot be read; "
        "clone the disk to a VMDK, or remove it from the VM",
        name, p->bus->name, p->controller, p->unit, type);
}

static bool is_removable(const char *type, const char *file)
{
    return (type && (strcasestr(type, "cdrom") || strcasestr(type, "floppy"))) || !file ||
           !*file || strcasecmp(file, "auto detect") == 0 || str_ends(file, ".iso") ||
           str_ends(file, ".flp");
}

static int find_unit(const struct vmx *v, struct place p, const char *name,
                     struct places *out, struct err *e)
{
    const char *b = p.bus->name;
    const char *type = vmx_get(v, "%s%u:%u.deviceType", b, p.controller, p.unit);

    p.file = vmx_get(v, "%s%u:%u.fileName", b, p.controller, p.unit);
    if (!is_true(vmx_get(v, "%s%u:%u.present", b, p.controller, p.unit)) ||
        is_removable(type, p.file))
        return 0;
    if (check_type(&p, type, name, e) < 0)
        return -1;
    if (is_delta_name(p.file))
        return err_set(e, ERR_UNSUPPORTED,
                       "%s: %s%u:%u is the snapshot delta %s: delete or consolidate the "
                       "VM's snapshots first",
                       name, b, p.controller, p.unit, p.file);
    return vec_push(&out->all, p, e);
}

static int find_places(const struct vmx *v, const char *name, struct places *out,
                       struct err *e)
{
    for (size_t i = 0; i < N_BUSES; i++)
        for (unsigned c = 0; c < buses[i].controllers; c++) {
            const char *present = vmx_get(v, "%s%u.present", buses[i].name, c);

            /* IDE controllers are always there. */
            if (present && !is_true(present))
                continue;
            for (unsigned u = 0; u < buses[i].units; u++) {
                struct place p = {.bus = &buses[i], .controller = c, .unit = u};

                if (find_unit(v, p, name, out, e) < 0)
                    return -1;
            }
        }
    if (out->all.n == 0)
        return err_set(e, ERR_UNSUPPORTED, "%s: the VM has no disk", name);
    return 0;
}

/* bios.hddOrder = "scsi0:1,scsi0:0": those come first. */
static void order_for_boot(const struct vmx *v, struct places *p)
{
    const char *s = vmx_get(v, "bios.hddOrder");
    size_t front = 0;

    while (s && *s && front < p->all.n) {
        size_t n = strcspn(s, ",");

        for (size_t i = front; i < p->all.n; i++) {
            struct place *x = p->all.v, found = x[i];
            char id[32];

            snprintf(id, sizeof id, "%s%u:%u", found.bus->name, found.controller,
                     found.unit);
            if (strlen(id) != n || strncasecmp(id, s, n) != 0)
                continue;
            memmove(&x[front + 1], &x[front], (i - front) * sizeof *x);
            x[front++] = found;
            break;
        }
        s += n + (s[n] == ',');
    }
}

static int add_disks(const struct places *p, const struct blob *text,
                     const struct image_dir *dir, const struct image_options *opt,
                     size_t only, struct machine *m, struct err *e)
{
    for (size_t i = 0; i < p->all.n; i++) {
        const struct place *x = &p->all.v[i];
        auto_blob struct blob *b = NULL;

        if (image_dir_open(dir, x->file, text->name, &b, e) < 0 ||
            image_add_disk(m, x->file, b, dir, opt, only == IMAGE_ALL_DISKS || only == i,
                           e) < 0)
            return -1;
        m->disks.v[i].controller = (uint32_t)(x->bus - buses) * 8 + x->controller;
        m->disks.v[i].unit = x->unit;
    }
    return 0;
}

static int add_nic(const struct vmx *v, unsigned i, struct machine *m, struct err *e)
{
    const char *mac = vmx_get(v, "ethernet%u.address", i);
    const char *model = vmx_get(v, "ethernet%u.virtualDev", i);
    struct machine_nic n = {0};

    if (!is_true(vmx_get(v, "ethernet%u.present", i)))
        return 0;
    if (!mac)
        mac = vmx_get(v, "ethernet%u.generatedAddress", i);
    if (str_set(&n.mac, mac, e) < 0 || str_set(&n.model, model, e) < 0 ||
        str_set(&n.network, vmx_get(v, "ethernet%u.networkName", i), e) < 0 ||
        vec_push(&m->nics, n, e) < 0) {
        free(n.mac);
        free(n.model);
        free(n.network);
        return -1;
    }
    return 0;
}

static int number(const struct vmx *v, const char *key, uint64_t fallback, uint64_t max,
                  const char *name, uint64_t *ret, struct err *e)
{
    const char *text = vmx_get(v, "%s", key);

    *ret = fallback;
    if (!text || !*text)
        return 0;
    if (str_to_u64(text, ret, e) < 0)
        return err_prefix(e, "%s: %s", name, key);
    if (*ret > max)
        return err_set(e, ERR_INPUT, "%s: %s is %" PRIu64, name, key, *ret);
    return 0;
}

static int hardware(const struct vmx *v, const char *name, struct machine *m,
                    struct err *e)
{
    const char *fw = vmx_get(v, "firmware");
    uint64_t cpus, mib;

    /* VMware leaves out a single CPU and the BIOS. */
    if (number(v, "numvcpus", 1, 4096, name, &cpus, e) < 0 ||
        number(v, "memsize", 0, 1ull << 30, name, &mib, e) < 0 ||
        str_set(&m->guest_id, vmx_get(v, "guestOS"), e) < 0)
        return -1;
    m->cpus = (uint32_t)cpus;
    m->memory_bytes = mib << 20;
    m->firmware = fw && strcasecmp(fw, "efi") == 0 ? FIRMWARE_UEFI : FIRMWARE_BIOS;
    m->secure_boot = is_true(vmx_get(v, "uefi.secureBoot.enabled"));
    for (unsigned i = 0; i < 10; i++)
        if (add_nic(v, i, m, e) < 0)
            return -1;
    return 0;
}

static int check_vm(const struct vmx *v, const char *name, struct err *e)
{
    if (vmx_get(v, "encryption.keySafe") || vmx_get(v, "encryption.data"))
        return err_set(e, ERR_UNSUPPORTED,
                       "%s: the VM is encrypted; remove its encryption in VMware first",
                       name);
    return 0;
}

static int build(const struct vmx *v, const struct blob *text,
                 const struct image_dir *dir, const struct image_options *opt,
                 size_t only, struct machine **ret, struct err *e)
{
    auto_free char *fallback = image_base_name(text->name, true, e);
    const char *title = vmx_get(v, "displayName");
    auto_machine struct machine *m = NULL;
    struct places p = {0};
    int r;

    if (!fallback || check_vm(v, text->name, e) < 0 ||
        machine_new(title && *title ? title : fallback, &m, e) < 0 ||
        hardware(v, text->name, m, e) < 0)
        return -1;
    r = find_places(v, text->name, &p, e);
    if (r == 0) {
        order_for_boot(v, &p);
        r = add_disks(&p, text, dir, opt, only, m, e);
    }
    vec_release(&p.all);
    if (r < 0)
        return -1;
    *ret = take_ptr(m);
    return 0;
}

int vmx_machine(const struct blob *text, const struct image_dir *dir,
                const struct image_options *opt, size_t only, struct machine **ret,
                struct err *e)
{
    auto_free char *s = NULL;
    struct vmx v = {0};
    size_t len = 0;
    int r;

    if (image_read_text(text, MAX_VMX_BYTES, &s, &len, e) < 0 ||
        vmx_parse(s, text->name, &v, e) < 0)
        return -1;
    r = build(&v, text, dir, opt, only, ret, e);
    vmx_release(&v);
    return r;
}
