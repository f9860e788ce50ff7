/* QEMU's command line for an instance; see vm_args.h.
 *
 * The machine is laid out as Nitro lays out its own: Intel's 440FX with everything on
 * bus 0, display in slot 3, root volume in slot 4, network in slot 5 (so that Linux calls
 * it ens5), further volumes from slot 31 downwards, and Amazon's names in the DMI tables,
 * by which cloud-init and others tell where they are. Nothing else: -nodefaults.
 *
 * File names reach QEMU as JSON or with their commas doubled, never as option syntax. */
#include "lab/vm_args.h"

#include "base/json.h"
#include "base/str.h"
#include "base/vec.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define SLOT_DISPLAY 3
#define SLOT_ROOT    4
#define SLOT_NETWORK 5
#define SLOT_LAST    31

/* ---- the description ---- */

static bool is_id(const char *id, const char *prefix)
{
    const char *hex = id ? id + strlen(prefix) : "";

    return id && str_starts(id, prefix) && strlen(hex) >= 8 && strlen(hex) <= 17 &&
           !hex[strspn(hex, "0123456789abcdef")];
}

static int read_mac(const char *text, uint8_t mac[6], struct err *e)
{
    char hex[13];
    size_t n = 0;

    for (size_t i = 0; text && text[i] && n < 12; i++) {
        if ((i + 1) % 3 == 0 && text[i] == ':')
            continue;
        hex[n++] = text[i];
    }
    hex[n] = 0;
    if (!text || strlen(text) != 17 || str_unhex(hex, mac, 6, e) < 0 || (mac[0] & 1))
        return err_set(e, ERR_USAGE, "%.40s is not a MAC address",
                       text ? text : "nothing");
    return 0;
}

static int read_subnet(const char *cidr, struct in_addr *base, unsigned *prefix_len,
                       struct err *e)
{
    const char *slash = cidr ? strchr(cidr, '/') : NULL;
    auto_free char *ip = NULL;
    uint64_t n;

    if (!slash)
        return err_set(e, ERR_USAGE, "%.40s is not a subnet", cidr ? cidr : "nothing");
    ip = str_ndup(cidr, (size_t)(slash - cidr), e);
    if (!ip)
        return -1;
    if (inet_pton(AF_INET, ip, base) != 1 || str_to_u64(slash + 1, &n, e) < 0 || n < 16 ||
        n > 28)
        return err_set(e, ERR_USAGE, "%.40s is not a subnet of /16 to /28", cidr);
    *prefix_len = (unsigned)n;
    base->s_addr &= htonl(~0u << (32 - n));
    return 0;
}

/* EC2 keeps the first four addresses and the last of a subnet: .1 router, .2 DNS. */
static int read_addresses(const struct vm_spec *spec, struct dhcp_lease *l, struct err *e)
{
    struct in_addr base;
    uint32_t host, size;

    if (read_subnet(spec->subnet_cidr, &base, &l->prefix_len, e) < 0)
        return -1;
    if (!spec->private_ip || inet_pton(AF_INET, spec->private_ip, &l->address) != 1)
        return err_set(e, ERR_USAGE, "%.40s is not an IPv4 address",
                       spec->private_ip ? spec->private_ip : "nothing");
    size = 1u << (32 - l->prefix_len);
    host = ntohl(l->address.s_addr) - ntohl(base.s_addr);
    if (host < 4 || host >= size - 1)
        return err_set(e, ERR_USAGE, "%s is not an address an instance may have in %s",
                       spec->private_ip, spec->subnet_cidr);
    l->router.s_addr = htonl(ntohl(base.s_addr) + 1);
    l->dns.s_addr = htonl(ntohl(base.s_addr) + 2);
    return 0;
}

static int check_hostname(const char *name, struct dhcp_lease *l, struct err *e)
{
    if (!name)
        name = "";
    if (strlen(name) >= sizeof l->hostname ||
        name[strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                          "0123456789-.")])
        return err_set(e, ERR_USAGE, "%.80s is not a host name", name);
    memcpy(l->hostname, name, strlen(name) + 1);
    return 0;
}

static int check_disks(const struct vm_spec *spec, struct err *e)
{
    size_t roots = 0;

    if (spec->n_disks > VM_MAX_DISKS)
        return err_set(e, ERR_UNSUPPORTED, "%zu volumes: a machine has slots for %d",
                       spec->n_disks, VM_MAX_DISKS);
    for (size_t i = 0; i < spec->n_disks; i++) {
        if (!is_id(spec->disks[i].volume_id, "vol-"))
            return err_set(e, ERR_USAGE, "%.40s is not a volume id",
                           spec->disks[i].volume_id ? spec->disks[i].volume_id
                                                    : "nothing");
        roots += spec->disks[i].is_root;
    }
    if (roots != 1)
        return err_set(e, ERR_USAGE, "%s has %zu root volumes, not one",
                       spec->instance_id, roots);
    return 0;
}

int vm_spec_check(const struct vm_spec *spec, struct dhcp_lease *ret_lease, struct err *e)
{
    struct dhcp_lease l = {0};
    const char *type = spec->instance_type ? spec->instance_type : "";

    if (!is_id(spec->instance_id, "i-"))
        return err_set(e, ERR_USAGE, "%.40s is not an instance id",
                       spec->instance_id ? spec->instance_id : "nothing");
    if (strlen(type) > 40 || type[strspn(type, "abcdefghijklmnopqrstuvwxyz0123456789.-")])
        return err_set(e, ERR_USAGE, "%.40s is not an instance type", type);
    if (read_mac(spec->mac, l.mac, e) < 0 || read_addresses(spec, &l, e) < 0 ||
        check_hostname(spec->hostname, &l, e) < 0 || check_disks(spec, e) < 0)
        return -1;
    *ret_lease = l;
    return 0;
}

int vm_memory_for(uint64_t wanted_bytes, uint64_t host_free_bytes, const char *limit,
                  uint64_t *ret_bytes, struct err *e)
{
    uint64_t max = VM_MEMORY_DEFAULT;

    if (limit && *limit && str_to_bytes(limit, &max, e) < 0)
        return err_prefix(e, "HOTADD_LAB_MAX_MEMORY");
    if (max > wanted_bytes)
        max = wanted_bytes;
    if (max > host_free_bytes / 2)
        max = host_free_bytes / 2;
    if (max < VM_MEMORY_MIN)
        max = VM_MEMORY_MIN;
    *ret_bytes = max & ~((1ull << 20) - 1);
    return 0;
}

/* ---- the command line ---- */

static int add(struct vm_args *a, const char *arg, struct err *e)
{
    char *copy = str_dup(arg, e);

    if (!copy)
        return -1;
    if (vec_push(a, copy, e) < 0) {
        free(copy);
        return -1;
    }
    return 0;
}

static int addf(struct vm_args *a, struct err *e, const char *option, const char *fmt,
                ...) __attribute__((format(printf, 4, 5)));

static int addf(struct vm_args *a, struct err *e, const char *option, const char *fmt,
                ...)
{
    auto_buf struct buf b = BUF_INIT;
    va_list ap;

    va_start(ap, fmt);
    buf_vaddf(&b, fmt, ap);
    va_end(ap);
    if (buf_check(&b, e) < 0 || add(a, option, e) < 0)
        return -1;
    return add(a, buf_str(&b), e);
}

/* QEMU's option syntax wants commas in values doubled. */
static int add_with_path(struct vm_args *a, const char *option, const char *before,
                         const char *path, const char *after, struct err *e)
{
    auto_buf struct buf b = BUF_INIT;

    buf_adds(&b, before);
    for (const char *s = path; *s; s++) {
        buf_addc(&b, *s);
        if (*s == ',')
            buf_addc(&b, ',');
    }
    buf_adds(&b, after);
    if (buf_check(&b, e) < 0)
        return -1;
    return addf(a, e, option, "%s", buf_str(&b));
}

/* -blockdev with a JSON value, which `node` (taken over) is. */
static int add_blockdev(struct vm_args *a, json_t *node, struct err *e)
{
    json_auto_t *mine = node;
    auto_free char *text = NULL;

    if (!mine)
        return err_nomem(e);
    if (json_text(mine, &text, e) < 0 || add(a, "-blockdev", e) < 0)
        return -1;
    return add(a, text, e);
}

static bool is_block_device(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISBLK(st.st_mode);
}

/* Past the page cache where the file system can do it: the host's memory stays free, and
 * the device of a volume that moves between proxy and machine sees the same bytes. */
static bool takes_direct_io(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECT | O_CLOEXEC);

    if (fd < 0)
        return false;
    close(fd);
    return true;
}

/* What an imported machine's old home had, one for all disks. */
static const struct {
    const char *controller, *disk, *bus;
    size_t most; /* disks */
} old_homes[] = {
    [VM_DISKS_PVSCSI] = {"pvscsi", "scsi-hd", "disks.0,scsi-id=", 27},
    [VM_DISKS_LSISAS] = {"mptsas1068", "scsi-hd", "disks.0,scsi-id=", 8},
    [VM_DISKS_AHCI] = {"ich9-ahci", "ide-hd", "disks.", 6},
};

static int add_controller(struct vm_args *a, const struct vm_spec *spec, struct err *e)
{
    if (spec->controller == VM_DISKS_NVME)
        return 0;
    if (spec->n_disks > old_homes[spec->controller].most)
        return err_set(e, ERR_UNSUPPORTED,
                       "an imported machine's disk controller takes %zu disks at most",
                       old_homes[spec->controller].most);
    return addf(a, e, "-device", "%s,id=disks,addr=%02x.0",
                old_homes[spec->controller].controller, SLOT_ROOT);
}

/* QEMU 7.2 cannot set an NVMe controller's model; the serial number is what tools go
 * by. It is the same on other controllers. */
static int add_drive(struct vm_args *a, enum vm_disks controller, const char *node,
                     const struct vm_disk *d, size_t i, unsigned slot, struct err *e)
{
    const char *boot = d->is_root ? ",bootindex=0" : "";

    if (controller == VM_DISKS_NVME)
        return addf(a, e, "-device",
                    "nvme,id=nvme%zu,drive=%s,serial=vol%s,addr=%02x.0%s", i, node,
                    d->volume_id + 4, slot, boot);
    return addf(a, e, "-device", "%s,drive=%s,serial=vol%s,bus=%s%zu%s",
                old_homes[controller].disk, node, d->volume_id + 4,
                old_homes[controller].bus, i, boot);
}

static int add_disk(struct vm_args *a, enum vm_disks controller, const struct vm_disk *d,
                    size_t i, unsigned slot, struct err *e)
{
    bool direct = takes_direct_io(d->path);
    json_t *file =
        json_pack("{s:s, s:s, s:s, s:s, s:b, s:{s:b, s:b}}", "driver",
                  is_block_device(d->path) ? "host_device" : "file", "filename", d->path,
                  "aio", direct ? "native" : "threads", "discard", "unmap", "read-only",
                  d->read_only, "cache", "direct", direct, "no-flush", false);
    char node[24];

    snprintf(node, sizeof node, "disk%zu", i);
    if (!file)
        return err_set(e, ERR_USAGE, "%s: the name is not UTF-8", d->path);
    if (add_blockdev(a,
                     json_pack("{s:s, s:s, s:s, s:b, s:{s:b, s:b}, s:o}", "driver", "raw",
                               "node-name", node, "discard", "unmap", "read-only",
                               d->read_only, "cache", "direct", direct, "no-flush", false,
                               "file", file),
                     e) < 0)
        return -1;
    return add_drive(a, controller, node, d, i, slot, e);
}

static int add_disks(struct vm_args *a, const struct vm_spec *spec, struct err *e)
{
    unsigned slot = SLOT_LAST;

    if (add_controller(a, spec, e) < 0)
        return -1;
    for (size_t i = 0; i < spec->n_disks; i++) {
        const struct vm_disk *d = &spec->disks[i];

        if (add_disk(a, spec->controller, d, i, d->is_root ? SLOT_ROOT : slot, e) < 0)
            return err_prefix(e, "%s as %s", d->volume_id,
                              d->device_name ? d->device_name : "?");
        slot -= !d->is_root;
    }
    return 0;
}

static int add_firmware(struct vm_args *a, const struct vm_plan *p, struct err *e)
{
    if (!p->uefi_code)
        return 0;
    if (add_blockdev(a,
                     json_pack("{s:s, s:s, s:s, s:b}", "driver", "file", "node-name",
                               "uefi-code", "filename", p->uefi_code, "read-only", true),
                     e) < 0)
        return -1;
    return add_blockdev(a,
                        json_pack("{s:s, s:s, s:s}", "driver", "file", "node-name",
                                  "uefi-vars", "filename", p->uefi_vars),
                        e);
}

/* What says "Amazon EC2" on a Nitro instance. The UUID begins with ec2, and the asset
 * tag is the instance's id. */
static int add_dmi(struct vm_args *a, const struct vm_spec *s, struct err *e)
{
    char uuid[37], hex[33];
    const char *id = s->instance_id + 2;

    snprintf(hex, sizeof hex, "ec2%029d", 0);
    memcpy(hex + 32 - strlen(id), id, strlen(id));
    snprintf(uuid, sizeof uuid, "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12,
             hex + 16, hex + 20);
    if (addf(a, e, "-smbios", "type=0,vendor=Amazon EC2,version=1.0,date=10/16/2017") <
            0 ||
        addf(a, e, "-smbios",
             "type=1,manufacturer=Amazon EC2,product=%s,serial=%s,uuid=%s",
             s->instance_type ? s->instance_type : "hotadd-lab", uuid, uuid) < 0 ||
        addf(a, e, "-smbios", "type=2,manufacturer=Amazon EC2,asset=%s", s->instance_id) <
            0)
        return -1;
    return addf(a, e, "-smbios", "type=3,manufacturer=Amazon EC2,asset=Amazon EC2");
}

/* e1000e stands in for ENA, which QEMU does not have: an adapter that VMware has too and
 * that every kernel since 2.6.27 and every Windows drives. No option ROM: nothing boots
 * from the network. */
static int add_network(struct vm_args *a, const struct vm_spec *s,
                       const struct vm_plan *p, struct err *e)
{
    char router[INET_ADDRSTRLEN], dns[INET_ADDRSTRLEN];
    int r;

    if (!inet_ntop(AF_INET, &p->lease->router, router, sizeof router) ||
        !inet_ntop(AF_INET, &p->lease->dns, dns, sizeof dns))
        return err_sys(e, "subnet address");
    if (p->tap_fd >= 0)
        r = addf(a, e, "-netdev", "tap,id=net0,fd=%d", p->tap_fd);
    else
        r = addf(a, e, "-netdev",
                 "user,id=net0,restrict=on,ipv6=off,net=%s,host=%s,dns=%s,dhcpstart=%s,"
                 "hostfwd=tcp:127.0.0.1:%u-%s:22",
                 s->subnet_cidr, router, dns, s->private_ip, p->user_port, s->private_ip);
    if (r < 0)
        return -1;
    return addf(a, e, "-device", "e1000e,netdev=net0,mac=%s,addr=%02x.0,romfile=", s->mac,
                SLOT_NETWORK);
}

static int add_machine(struct vm_args *a, const struct vm_spec *s,
                       const struct vm_plan *p, struct err *e)
{
    const char *flash = p->uefi_code ? ",pflash0=uefi-code,pflash1=uefi-vars" : "";

    if (add(a, "qemu-system-x86_64", e) < 0 || add(a, "-nodefaults", e) < 0 ||
        add(a, "-no-user-config", e) < 0 ||
        addf(a, e, "-name", "guest=%s", s->instance_id) < 0)
        return -1;
    if (p->sandbox && addf(a, e, "-sandbox",
                           "on,obsolete=deny,elevateprivileges=deny,spawn=deny,"
                           "resourcecontrol=deny") < 0)
        return -1;
    if (addf(a, e, "-machine", "pc,usb=off,vmport=off%s", flash) < 0 ||
        addf(a, e, "-accel", "%s", p->kvm ? "kvm" : "tcg,thread=multi") < 0 ||
        /* Five-level paging is the one thing of "max" that older boot loaders and
         * kernels stumble over. */
        addf(a, e, "-cpu", "%s", p->kvm ? "host" : "max,la57=off") < 0 ||
        addf(a, e, "-smp", "%u", p->vcpus) < 0 ||
        addf(a, e, "-m", "%llu", (unsigned long long)(p->memory_bytes >> 20)) < 0)
        return -1;
    /* A guest that switches itself off leaves QEMU paused: the monitor decides between
     * the end and a reboot. */
    return add(a, "-no-shutdown", e) < 0 || addf(a, e, "-rtc", "base=utc") < 0 ||
                   addf(a, e, "-boot", "strict=on") < 0
               ? -1
               : 0;
}

static int add_consoles(struct vm_args *a, const struct vm_plan *p, struct err *e)
{
    if (addf(a, e, "-display", "none") < 0 ||
        addf(a, e, "-device", "VGA,addr=%02x.0,vgamem_mb=4", SLOT_DISPLAY) < 0 ||
        /* Appending, so that the monitor may cut the file behind QEMU's back. */
        add_with_path(a, "-chardev", "file,id=console,path=", p->console_path,
                      ",append=on", e) < 0 ||
        addf(a, e, "-serial", "chardev:console") < 0)
        return -1;
    return addf(a, e, "-chardev", "socket,id=qmp,fd=%d", p->qmp_fd) < 0 ||
                   addf(a, e, "-mon", "chardev=qmp,mode=control") < 0
               ? -1
               : 0;
}

int vm_args_build(const struct vm_spec *spec, const struct vm_plan *plan,
                  struct vm_args *ret, struct err *e)
{
    struct vm_args a = {0};
    char *end = NULL;

    if (add_machine(&a, spec, plan, e) < 0 || add_firmware(&a, plan, e) < 0 ||
        add_dmi(&a, spec, e) < 0 || add_consoles(&a, plan, e) < 0 ||
        add_disks(&a, spec, e) < 0 || add_network(&a, spec, plan, e) < 0 ||
        vec_push(&a, end, e) < 0) {
        vm_args_release(&a);
        return -1;
    }
    *ret = a;
    return 0;
}

void vm_args_release(struct vm_args *a)
{
    for (size_t i = 0; i < a->n; i++)
        free(a->v[i]);
    free(a->v);
    *a = (struct vm_args){0};
}
