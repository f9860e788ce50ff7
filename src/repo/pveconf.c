/* Reads a Proxmox VE machine configuration, qemu-server.conf: hardware, and the order of
 * the disks. Lines are "key: value"; the first "[section]" ends the present machine (what
 * follows are its snapshots). The backup adds "#qmdump#map:DEVICE:DRIVE:STORAGE:FORMAT:"
 * lines, which tie devices to archives ("DRIVE.img").
 *
 * What is not understood is skipped: a restore needs disks more than a description. */
#include "repo/private.h"

#include "base/str.h"

#include <ctype.h>

#define MAX_LINES 10000

/* In the order in which Proxmox VE itself counts. */
static const struct bus {
    const char *name;
    unsigned n;
} buses[] = {{"ide", 4}, {"scsi", 31}, {"virtio", 16}, {"sata", 6}};
#define N_BUSES (sizeof buses / sizeof buses[0])

struct drive {
    unsigned bus, unit;
    char archive[64];
    bool taken;
};

struct pve {
    struct machine *machine; /* borrowed */
    struct VEC(struct drive) drives;
    char *boot, *bootdisk; /* owned; NULL */
    uint64_t cores, sockets, vcpus;
};

static uint64_t number(const char *s, uint64_t max)
{
    unsigned long long v;
    char *end;

    if (!isdigit((unsigned char)*s))
        return 0;
    v = strtoull(s, &end, 10);
    return v <= max ? v : 0;
}

/* Is `key` a device of a bus, "scsi12"? */
static bool parse_device(const char *key, unsigned *ret_bus, unsigned *ret_unit)
{
    for (unsigned b = 0; b < N_BUSES; b++) {
        size_t n = strlen(buses[b].name);
        struct err e;
        uint64_t unit;

        if (strncmp(key, buses[b].name, n) == 0 && str_to_u64(key + n, &unit, &e) == 0 &&
            unit < buses[b].n) {
            *ret_bus = b;
            *ret_unit = (unsigned)unit;
            return true;
        }
    }
    return false;
}

static struct drive *find_drive(struct pve *v, const char *key)
{
    unsigned bus, unit;

    if (parse_device(key, &bus, &unit))
        vec_foreach (d, &v->drives)
            if (d->bus == bus && d->unit == unit)
                return d;
    return NULL;
}

/* The value of NAME=… among options with commas between; owned; NULL. */
static char *option(const char *value, const char *name)
{
    size_t n = strlen(name);

    for (const char *p = value; *p;) {
        size_t len = strcspn(p, ",");

        if (len > n && strncmp(p, name, n) == 0 && p[n] == '=')
            return strndup(p + n + 1, len - n - 1);
        p += len + (p[len] == ',');
    }
    return NULL;
}

static int add_drive(struct pve *v, const char *key, const char *value, struct err *e)
{
    auto_free char *media = option(value, "media");
    struct drive d = {0};

    if (!parse_device(key, &d.bus, &d.unit) || find_drive(v, key) ||
        (media && str_eq(media, "cdrom")) || str_starts(value, "none") ||
        str_starts(value, "cdrom"))
        return 0;
    snprintf(d.archive, sizeof d.archive, "drive-%s.img", key);
    return vec_push(&v->drives, d, e);
}

static int add_nic(struct pve *v, const char *value, struct err *e)
{
    size_t len = strcspn(value, ",="), mac_len;
    struct machine_nic *n, empty = {0};
    auto_free char *mac = NULL;

    if (v->machine->nics.n >= 32)
        return 0;
    if (vec_push(&v->machine->nics, empty, e) < 0)
        return -1;
    n = &v->machine->nics.v[v->machine->nics.n - 1];
    n->network = option(value, "bridge");
    n->model = option(value, "model");
    mac = option(value, "macaddr");
    if (!n->model) {
        n->model = strndup(value, len);
        if (value[len] == '=') {
            mac_len = strcspn(value + len + 1, ",");
            free(mac);
            mac = strndup(value + len + 1, mac_len);
        }
    }
    n->mac = take_ptr(mac);
    return 0;
}

static void map_drive(struct pve *v, char *rest)
{
    char *device = strsep(&rest, ":"), *drive = strsep(&rest, ":");
    struct drive *d = drive ? find_drive(v, device) : NULL;

    if (d && repo_id_valid(drive) && strlen(drive) < sizeof d->archive - 5)
        snprintf(d->archive, sizeof d->archive, "%s.img", drive);
}

static int take_line(struct pve *v, const char *key, const char *value, struct err *e)
{
    struct machine *m = v->machine;

    if (str_eq(key, "name"))
        return *value ? str_set(&m->name, value, e) : 0;
    if (str_eq(key, "cores"))
        v->cores = number(value, 1024);
    else if (str_eq(key, "sockets"))
        v->sockets = number(value, 64);
    else if (str_eq(key, "vcpus"))
        v->vcpus = number(value, 4096);
    else if (str_eq(key, "memory"))
        m->memory_bytes = number(value + (str_starts(value, "current=") ? 8 : 0), 1 << 26)
                          << 20;
    else if (str_eq(key, "bios"))
        m->firmware = str_eq(value, "ovmf") ? FIRMWARE_UEFI : FIRMWARE_BIOS;
    else if (str_eq(key, "efidisk0"))
        m->secure_boot = strstr(value, "pre-enrolled-keys=1");
    else if (str_eq(key, "boot"))
        return str_set(&v->boot, value, e);
    else if (str_eq(key, "bootdisk"))
        return str_set(&v->bootdisk, value, e);
    else if (str_starts(key, "net") && isdigit((unsigned char)key[3]))
        return add_nic(v, value, e);
    else
        return add_drive(v, key, value, e);
    return 0;
}

/* Twice: devices first, since the lines that map them may come before. */
static int take_lines(struct pve *v, char *text, bool maps, struct err *e)
{
    static const char map[] = "#qmdump#map:";
    size_t n = 0;

    for (char *line; (line = strsep(&text, "\n")) && n < MAX_LINES; n++) {
        char *colon;

        line = str_trim(line);
        if (*line == '[')
            return 0;
        if (maps && str_starts(line, map))
            map_drive(v, line + strlen(map));
        colon = strchr(line, ':');
        if (maps || *line == '#' || !colon)
            continue;
        *colon = 0;
        if (take_line(v, str_trim(line), str_trim(colon + 1), e) < 0)
            return -1;
    }
    return 0;
}

static int take_disk(struct drive *d, struct described *out, struct err *e)
{
    struct machine_disk x = {.controller = d->bus, .unit = d->unit};

    if (d->taken || strv_has(&out->archives, d->archive))
        return 0;
    d->taken = true;
    x.name = str_fmt(e, "%s%u", buses[d->bus].name, d->unit);
    if (!x.name)
        return -1;
    if (vec_push(&out->machine->disks, x, e) < 0) {
        free(x.name);
        return -1;
    }
    return strv_add(&out->archives, d->archive, e);
}

static int by_place(const void *a, const void *b)
{
    const struct drive *x = a, *y = b;

    if (x->bus != y->bus)
        return x->bus < y->bus ? -1 : 1;
    return x->unit < y->unit ? -1 : x->unit > y->unit;
}

/* What boots comes first, the rest as the buses have it. "order=scsi0;net0", or the older
 * "cdn" with a bootdisk. */
static int order_disks(struct pve *v, struct described *out, struct err *e)
{
    auto_free char *order = v->boot ? option(v->boot, "order") : NULL;
    char *rest = order, *key;
    struct drive *d;

    if (v->drives.n)
        qsort(v->drives.v, v->drives.n, sizeof *v->drives.v, by_place);
    while ((key = strsep(&rest, ";")))
        if ((d = find_drive(v, key)) && take_disk(d, out, e) < 0)
            return -1;
    if (v->bootdisk && (d = find_drive(v, v->bootdisk)) && take_disk(d, out, e) < 0)
        return -1;
    vec_foreach (x, &v->drives)
        if (take_disk(x, out, e) < 0)
            return -1;
    return 0;
}

static void count_cpus(const struct pve *v)
{
    uint64_t n = (v->cores ? v->cores : 1) * (v->sockets ? v->sockets : 1);

    v->machine->cpus = (uint32_t)(v->vcpus && v->vcpus < n ? v->vcpus : n);
}

int repo_pveconf_parse(const char *text, size_t len, const char *id,
                       struct described *ret, struct err *e)
{
    auto_free char *once = str_ndup(text, len, e), *again = str_ndup(text, len, e);
    auto_described struct described d = {0};
    struct pve v = {0};
    int r;

    if (!once || !again || machine_new(id, &d.machine, e) < 0)
        return -1;
    v.machine = d.machine;
    v.machine->firmware = FIRMWARE_BIOS; /* SeaBIOS unless said otherwise */
    r = take_lines(&v, once, false, e);
    if (r == 0)
        r = take_lines(&v, again, true, e);
    if (r == 0)
        r = order_disks(&v, &d, e);
    count_cpus(&v);
    vec_release(&v.drives);
    free(v.boot);
    free(v.bootdisk);
    if (r < 0)
        return -1;
    *ret = d;
    d = (struct described){0};
    return 0;
}
