/* From an OVF package to a machine with opened disks. */
#include "image/ovf.h"
#include "image/package.h"

#include "base/str.h"

#include <inttypes.h>
#include <strings.h>

#define MAX_OVF_BYTES (8u << 20)
#define MAX_DISKS     256u
#define MAX_CHUNKS    100000u

/* A disk of the machine, before it is opened. */
struct place {
    const struct ovf_disk *disk;
    const struct ovf_item *item, *controller;
    unsigned rank;    /* of the controller's kind */
    uint64_t address; /* of the controller among its kind */
    size_t order;     /* in the description */
};

static const struct ovf_item *find_item(const struct ovf *o, const char *instance)
{
    if (instance)
        vec_foreach (i, &o->items)
            if (i->instance && str_eq(i->instance, instance))
                return i;
    return NULL;
}

static const struct ovf_disk *find_disk(const struct ovf *o, const char *id)
{
    vec_foreach (d, &o->disks)
        if (str_eq(d->id, id))
            return d;
    return NULL;
}

static const struct ovf_file *find_file(const struct ovf *o, const char *id)
{
    vec_foreach (f, &o->files)
        if (str_eq(f->id, id))
            return f;
    return NULL;
}

/* A BIOS and Linux meet SCSI disks first, then SATA, NVMe and IDE; within a kind, by
 * the controllers' addresses. */
static unsigned controller_rank(const struct ovf_item *c)
{
    if (!c)
        return 9;
    if (c->type == OVF_SCSI)
        return 0;
    if (c->type == OVF_STORAGE)
        return c->subtype && strcasestr(c->subtype, "nvme") ? 2 : 1;
    return c->type == OVF_IDE ? 3 : 4;
}

static int compare_places(const void *pa, const void *pb)
{
    const struct place *a = pa, *b = pb;

    if (a->rank != b->rank)
        return a->rank < b->rank ? -1 : 1;
    if (a->address != b->address)
        return a->address < b->address ? -1 : 1;
    if (a->controller != b->controller)
        return a->controller < b->controller ? -1 : 1;
    if (a->item->position != b->item->position)
        return a->item->position < b->item->position ? -1 : 1;
    return a->order < b->order ? -1 : a->order > b->order;
}

/* HostResource: "ovf:/disk/vmdisk1"; VirtualBox leaves the scheme out. */
static int place_disk(const struct ovf *o, const struct ovf_item *i, const char *name,
                      struct place *ret, struct err *e)
{
    const char *host = i->host ? i->host : "", *id = strstr(host, "/disk/");
    struct err ignored;

    if (!id || (id != host && !str_starts(host, "ovf:/")))
        return err_set(e, ERR_UNSUPPORTED,
                       "%s: the disk \"%s\" is at \"%s\"; disks of the package "
                       "(ovf:/disk/…) are read",
                       name, i->name ? i->name : "", host);
    ret->item = i;
    ret->disk = find_disk(o, id + 6);
    if (!ret->disk)
        return err_set(e, ERR_INPUT,
                       "%s: \"%s\" names a disk that the DiskSection does "
                       "not list",
                       name, host);
    ret->controller = find_item(o, i->parent);
    ret->rank = controller_rank(ret->controller);
    if (ret->controller && ret->controller->address &&
        str_to_u64(ret->controller->address, &ret->address, &ignored) < 0)
        ret->address = 0; /* a PCI address: the order in the description decides */
    return 0;
}

static int hardware(const struct ovf *o, const char *name, struct machine *m,
                    struct err *e)
{
    m->firmware = o->firmware;
    m->secure_boot = o->secure_boot;
    if (str_set(&m->guest_id, o->guest_id, e) < 0)
        return -1;
    vec_foreach (i, &o->items) {
        uint64_t unit;

        if (i->type == OVF_CPU) {
            if (i->quantity > 4096)
                return err_set(e, ERR_INPUT, "%s: %" PRIu64 " CPUs", name, i->quantity);
            m->cpus = (uint32_t)i->quantity;
        }
        if (i->type != OVF_MEMORY)
            continue;
        if (ovf_units(i->units ? i->units : "byte * 2^20", &unit, e) < 0)
            return err_prefix(e, "%s: memory", name);
        if (__builtin_mul_overflow(i->quantity, unit, &m->memory_bytes) ||
            m->memory_bytes > (uint64_t)1 << 50)
            return err_set(e, ERR_INPUT, "%s: more than 2^50 bytes of memory", name);
    }
    return 0;
}

static int add_nic(const struct ovf_item *i, struct machine *m, struct err *e)
{
    struct machine_nic n = {0};

    /* VirtualBox's addresses are twelve bare digits; both forms pass. */
    if (str_set(&n.mac, i->address, e) < 0 || str_set(&n.model, i->subtype, e) < 0 ||
        str_set(&n.network, i->connection, e) < 0 || vec_push(&m->nics, n, e) < 0) {
        free(n.mac);
        free(n.model);
        free(n.network);
        return -1;
    }
    return 0;
}

/* ------------------------------------------------------------------ the files */

static void free_blobs(struct blob **v, size_t n)
{
    for (size_t i = 0; i < n; i++)
        blob_free(v[i]);
    free(v);
}

/* href.000000000, href.000000001, …, each of the chunk size but the last. */
static int open_chunks(const struct ovf_package *p, const struct ovf_file *f,
                       struct blob **ret, struct err *e)
{
    uint64_t n = f->size / f->chunk + (f->size % f->chunk != 0), got = 0;
    auto_free char *shown = str_fmt(e, "%s: %s.*", p->ovf->name, f->href);
    struct blob **parts;
    int r = 0;

    if (!shown)
        return -1;
    if (f->size == 0 || n > MAX_CHUNKS)
        return err_set(e, ERR_INPUT,
                       "%s: %s is split in chunks, but its size is not given or they are "
                       "more than %u",
                       p->ovf->name, f->href, MAX_CHUNKS);
    parts = mem_zalloc(n, sizeof(struct blob *), e);
    if (!parts)
        return -1;
    while (r == 0 && got < n) {
        uint64_t want = got + 1 < n ? f->chunk : f->size - got * f->chunk;
        auto_free char *name = str_fmt(e, "%s.%09" PRIu64, f->href, got);

        r = name ? image_dir_open(p->dir, name, p->ovf->name, &parts[got], e) : -1;
        if (r == 0 && parts[got++]->len != want)
            r = err_set(e, ERR_INPUT,
                        "%s has %" PRIu64 " bytes, its description wants %" PRIu64
                        ": it is truncated or damaged",
                        parts[got - 1]->name, parts[got - 1]->len, want);
    }
    if (r == 0)
        r = blob_concat(parts, n, shown, ret, e);
    free_blobs(parts, got);
    return r;
}

static int open_file(const struct ovf_package *p, const struct ovf_file *f,
                     const struct image_options *opt, struct blob **ret, struct err *e)
{
    auto_blob struct blob *b = NULL;

    if (f->compression && *f->compression && strcasecmp(f->compression, "identity") != 0)
        return err_set(
            e, ERR_UNSUPPORTED,
            "%s: %s is compressed as a whole (%s), so that its parts cannot be "
            "reached: decompress it and remove ovf:compression, or export "
            "streamOptimized disks",
            p->ovf->name, f->href, f->compression);
    if (f->chunk)
        return open_chunks(p, f, ret, e);
    if (image_dir_open(p->dir, f->href, p->ovf->name, &b, e) < 0)
        return -1;
    if (f->size && b->len < f->size)
        return err_set(e, ERR_INPUT,
                       "%s has %" PRIu64 " bytes, its description says %" PRIu64
                       ": it is truncated",
                       b->name, b->len, f->size);
    if (f->size && b->len > f->size)
        image_note(opt, "%s has %" PRIu64 " bytes, its description says %" PRIu64,
                   b->name, b->len, f->size);
    *ret = take_ptr(b);
    return 0;
}

static int add_empty(struct machine *m, const struct ovf_disk *d, const char *name,
                     bool wanted, struct err *e)
{
    struct machine_disk out = {.size_bytes = d->capacity_bytes};
    auto_free char *desc = str_fmt(e, "%s: %s", name, d->id);
    auto_free char *id = str_dup(d->id, e);
    auto_source struct source *s = NULL;

    if (!desc || !id)
        return -1;
    if (d->capacity_bytes == 0 || d->capacity_bytes % 512)
        return err_set(e, ERR_INPUT,
                       "%s: the empty disk \"%s\" has a capacity of %" PRIu64 " bytes",
                       name, d->id, d->capacity_bytes);
    if (wanted && zero_open(d->capacity_bytes, desc, &s, e) < 0)
        return -1;
    out.name = id;
    out.source = s;
    if (vec_push(&m->disks, out, e) < 0)
        return -1;
    take_ptr(id);
    take_ptr(s);
    return 0;
}

static int add_disk(const struct ovf_package *p, const struct ovf *o,
                    const struct ovf_disk *d, const struct image_options *opt,
                    bool wanted, struct machine *m, struct err *e)
{
    auto_blob struct blob *b = NULL;
    const struct ovf_file *f;
    uint64_t size;

    if (d->is_delta)
        return err_set(e, ERR_UNSUPPORTED,
                       "%s: the disk \"%s\" is a delta of another: consolidate the VM's "
                       "snapshots and export it again",
                       p->ovf->name, d->id);
    if (!d->file)
        return add_empty(m, d, p->ovf->name, wanted, e);
    f = find_file(o, d->file);
    if (!f)
        return err_set(e, ERR_INPUT,
                       "%s: the disk \"%s\" is in file \"%s\", which References does not "
                       "list",
                       p->ovf->name, d->id, d->file);
    if (open_file(p, f, opt, &b, e) < 0 ||
        image_add_disk(m, f->href, b, p->dir, opt, wanted, e) < 0)
        return -1;
    size = m->disks.v[m->disks.n - 1].size_bytes;
    if (wanted && d->capacity_bytes && d->capacity_bytes != size)
        image_note(opt,
                   "%s: its description gives it %" PRIu64 " bytes, the disk itself has "
                   "%" PRIu64 ", which count",
                   b->name, d->capacity_bytes, size);
    return 0;
}

static int add_disks(const struct ovf_package *p, const struct ovf *o,
                     const struct place *places, size_t n,
                     const struct image_options *opt, size_t only, struct machine *m,
                     struct err *e)
{
    uint32_t controller = 0;

    for (size_t i = 0; i < n; i++) {
        bool wanted = only == IMAGE_ALL_DISKS || only == i;

        if (i && places[i].controller != places[i - 1].controller)
            controller++;
        if (add_disk(p, o, places[i].disk, opt, wanted, m, e) < 0)
            return -1;
        m->disks.v[i].controller = controller;
        m->disks.v[i].unit = places[i].item->position;
    }
    return 0;
}

static int place_all(const struct ovf_package *p, const struct ovf *o,
                     struct place *places, size_t *ret_n, struct err *e)
{
    size_t n = 0;

    vec_foreach (i, &o->items) {
        if (i->type != OVF_DISK)
            continue;
        if (n == MAX_DISKS)
            return err_set(e, ERR_UNSUPPORTED, "%s: more than %u disks", p->ovf->name,
                           MAX_DISKS);
        places[n].order = n;
        if (place_disk(o, i, p->ovf->name, &places[n], e) < 0)
            return -1;
        n++;
    }
    if (n == 0)
        return err_set(e, ERR_UNSUPPORTED, "%s: the virtual system has no disk",
                       p->ovf->name);
    qsort(places, n, sizeof *places, compare_places);
    *ret_n = n;
    return 0;
}

static int build(const struct ovf_package *p, const struct ovf *o,
                 const struct image_options *opt, size_t only, struct machine **ret,
                 struct err *e)
{
    auto_free struct place *places = mem_zalloc(MAX_DISKS, sizeof *places, e);
    auto_free char *fallback = image_base_name(p->ovf->name, true, e);
    auto_machine struct machine *m = NULL;
    size_t n = 0;

    if (!places || !fallback ||
        machine_new(o->name && *o->name ? o->name : fallback, &m, e) < 0 ||
        hardware(o, p->ovf->name, m, e) < 0 || place_all(p, o, places, &n, e) < 0 ||
        add_disks(p, o, places, n, opt, only, m, e) < 0)
        return -1;
    vec_foreach (i, &o->items)
        if (i->type == OVF_ETHERNET && add_nic(i, m, e) < 0)
            return -1;
    *ret = take_ptr(m);
    return 0;
}

int ovf_machine(struct ovf_package *p, const struct image_options *opt, size_t only,
                struct machine **ret, struct err *e)
{
    auto_free char *text = NULL;
    struct ovf o = {0};
    size_t len;
    int r;

    if (image_read_text(p->ovf, MAX_OVF_BYTES, &text, &len, e) < 0 ||
        ovf_parse(text, len, p->ovf->name, &o, e) < 0)
        return -1;
    r = build(p, &o, opt, only, ret, e);
    ovf_release(&o);
    return r;
}
