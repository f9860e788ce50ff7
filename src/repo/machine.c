/* The machine of a recovery point: from our own description, a Proxmox VE config, or just
 * the archives that there are; see private.h and repo.h.
 *
 * Our description is JSON in a blob of its own, listed (and so signed and encrypted) like
 * any other file:
 *   {"version": 1, "name", "guest_id", "cpus", "memory_bytes", "firmware", "secure_boot",
 *    "disks": [{"archive", "name", "controller", "unit", "origin"}],
 *    "nics": [{"mac", "model", "network"}]} */
#include "repo/private.h"

#include "base/json.h"
#include "base/str.h"

#include <assert.h>
#include <inttypes.h>

#define MAX_DISKS 256
#define MAX_NICS  64

void described_release(struct described *d)
{
    machine_free(d->machine);
    d->machine = NULL;
    strv_release(&d->archives);
}

static int add_disk(struct described *d, const char *archive, const char *name,
                    uint32_t controller, uint32_t unit, struct err *e)
{
    struct machine_disk x = {.controller = controller, .unit = unit};

    if (strv_has(&d->archives, archive))
        return err_set(e, ERR_INPUT, "disk %.200s is described twice", archive);
    x.name = str_dup(name, e);
    if (!x.name)
        return -1;
    if (vec_push(&d->machine->disks, x, e) < 0) {
        free(x.name);
        return -1;
    }
    return strv_add(&d->archives, archive, e);
}

/* ---- our own ---- */

static int parse_disks(const json_t *a, struct described *d, struct err *e)
{
    const json_t *o;
    size_t i;

    if (!json_is_array(a) || json_array_size(a) > MAX_DISKS)
        return err_set(e, ERR_INPUT, "\"disks\" is no list of disks");
    json_array_foreach (a, i, o) {
        const char *archive;

        if (json_need_str(o, "archive", &archive, e) < 0)
            return -1;
        if (!repo_id_valid(archive))
            return err_set(e, ERR_INPUT, "'%.200s' is not an archive's name", archive);
        if (add_disk(d, archive, json_str_or(o, "name", archive),
                     (uint32_t)json_u64_or(o, "controller", 0),
                     (uint32_t)json_u64_or(o, "unit", i), e) < 0 ||
            str_set(&d->machine->disks.v[i].origin, json_str_or(o, "origin", NULL), e) <
                0)
            return -1;
    }
    return 0;
}

static int parse_nics(const json_t *a, struct machine *m, struct err *e)
{
    const json_t *o;
    size_t i;

    if (json_array_size(a) > MAX_NICS)
        return err_set(e, ERR_INPUT, "\"nics\" is a very long list");
    json_array_foreach (a, i, o) {
        struct machine_nic n = {0};

        if (vec_push(&m->nics, n, e) < 0 ||
            str_set(&m->nics.v[i].mac, json_str_or(o, "mac", NULL), e) < 0 ||
            str_set(&m->nics.v[i].model, json_str_or(o, "model", NULL), e) < 0 ||
            str_set(&m->nics.v[i].network, json_str_or(o, "network", NULL), e) < 0)
            return -1;
    }
    return 0;
}

static enum firmware parse_firmware(const char *s)
{
    for (int f = FIRMWARE_UNKNOWN; f <= FIRMWARE_UEFI; f++)
        if (str_eq(s, firmware_name((enum firmware)f)))
            return (enum firmware)f;
    return FIRMWARE_UNKNOWN;
}

int repo_machine_parse(const char *text, size_t len, struct described *ret, struct err *e)
{
    auto_described struct described d = {0};
    json_auto_t *o = NULL;
    const char *name;
    uint64_t cpus;

    if (json_parse(text, len, REPO_MACHINE_BLOB, &o, e) < 0 ||
        json_blank_controls(o, e) < 0)
        return -1;
    if (json_u64_or(o, "version", 0) != 1)
        return err_set(e, ERR_UNSUPPORTED,
                       REPO_MACHINE_BLOB ": of a version that this hotadd does not know");
    if (json_need_str(o, "name", &name, e) < 0 || machine_new(name, &d.machine, e) < 0)
        return -1;
    cpus = json_u64_or(o, "cpus", 0);
    d.machine->cpus = cpus > 4096 ? 0 : (uint32_t)cpus;
    d.machine->memory_bytes = json_u64_or(o, "memory_bytes", 0);
    d.machine->firmware = parse_firmware(json_str_or(o, "firmware", ""));
    d.machine->secure_boot = json_bool_or(o, "secure_boot", false);
    if (str_set(&d.machine->guest_id, json_str_or(o, "guest_id", NULL), e) < 0 ||
        parse_disks(json_object_get(o, "disks"), &d, e) < 0 ||
        parse_nics(json_object_get(o, "nics"), d.machine, e) < 0)
        return err_prefix(e, REPO_MACHINE_BLOB);
    *ret = d;
    d = (struct described){0};
    return 0;
}

static int pack_disks(const struct machine *m, const struct strv *archives, json_t *out,
                      struct err *e)
{
    for (size_t i = 0; i < archives->n; i++) {
        const struct machine_disk *x = i < m->disks.n ? &m->disks.v[i] : NULL;

        if (json_add(out,
                     json_pack("{s:s,s:s,s:I,s:I,s:s*}", "archive", archives->v[i],
                               "name", x ? x->name : archives->v[i], "controller",
                               (json_int_t)(x ? x->controller : 0), "unit",
                               (json_int_t)(x ? x->unit : i), "origin",
                               x ? x->origin : NULL),
                     e) < 0)
            return -1;
    }
    return 0;
}

int repo_machine_text(const struct machine *m, const struct strv *archives, char **ret,
                      struct err *e)
{
    json_auto_t *disks = json_array(), *nics = json_array(), *o = NULL;

    if (!disks || !nics)
        return err_nomem(e);
    if (pack_disks(m, archives, disks, e) < 0)
        return -1;
    vec_foreach (n, &m->nics)
        if (json_add(nics,
                     json_pack("{s:s?,s:s?,s:s?}", "mac", n->mac, "model", n->model,
                               "network", n->network),
                     e) < 0)
            return -1;
    o = json_pack("{s:i,s:s,s:s?,s:I,s:I,s:s,s:b,s:O,s:O}", "version", 1, "name", m->name,
                  "guest_id", m->guest_id, "cpus", (json_int_t)m->cpus, "memory_bytes",
                  (json_int_t)m->memory_bytes, "firmware", firmware_name(m->firmware),
                  "secure_boot", m->secure_boot, "disks", disks, "nics", nics);
    return o ? json_text(o, ret, e) : err_nomem(e);
}

/* ---- choosing ---- */

static int read_description(struct repo *r, const char *path, const struct repo_file *f,
                            struct buf *out, struct err *e)
{
    enum repo_damage_kind kind;

    return repo_read_blob(r, path, f, REPO_MAX_DESCRIPTION, out, &kind, e);
}

static int parse_description(struct repo *r, const char *path,
                             const struct repo_manifest *m, struct described *d,
                             struct err *e)
{
    const struct repo_file *ours = repo_manifest_file(m, REPO_MACHINE_BLOB);
    const struct repo_file *pve = repo_manifest_file(m, REPO_PVE_BLOB);
    auto_buf struct buf text = BUF_INIT;

    if (ours)
        return read_description(r, path, ours, &text, e) < 0 ||
                       repo_machine_parse(buf_str(&text), text.len, d, e) < 0
                   ? -1
                   : 0;
    if (pve)
        return read_description(r, path, pve, &text, e) < 0 ||
                       repo_pveconf_parse(buf_str(&text), text.len, m->id, d, e) < 0
                   ? -1
                   : 0;
    return machine_new(m->id, &d->machine, e);
}

static bool in_manifest(const struct repo_manifest *m, const char *archive)
{
    vec_foreach (f, &m->files) {
        size_t n = strlen(archive);

        if (strncmp(f->name, archive, n) == 0 && str_eq(f->name + n, ".fidx"))
            return true;
    }
    return false;
}

/* Disks that were left out of the backup leave the machine; in a description of ours
 * every disk must be there. */
static int drop_missing(const struct repo_manifest *m, struct described *d, struct err *e)
{
    bool strict = repo_manifest_file(m, REPO_MACHINE_BLOB);
    size_t kept = 0;

    for (size_t i = 0; i < d->archives.n; i++) {
        bool there = in_manifest(m, d->archives.v[i]);

        if (!there && strict)
            return err_set(e, ERR_INPUT,
                           "disk %.200s is described, but not in the manifest",
                           d->archives.v[i]);
        if (!there) {
            free(d->archives.v[i]);
            free(d->machine->disks.v[i].name);
            free(d->machine->disks.v[i].origin);
            continue;
        }
        d->archives.v[kept] = d->archives.v[i];
        d->machine->disks.v[kept++] = d->machine->disks.v[i];
    }
    d->archives.n = d->machine->disks.n = kept;
    return 0;
}

/* The variables of UEFI and the state of a TPM are archives, too, but no disks that a
 * guest sees. */
static bool is_no_disk(const char *name)
{
    return str_starts(name, "drive-efidisk") || str_starts(name, "drive-tpmstate");
}

static int add_others(const struct repo_manifest *m, struct described *d, struct err *e)
{
    vec_foreach (f, &m->files) {
        auto_free char *archive = NULL;

        if (!str_ends(f->name, ".fidx") || is_no_disk(f->name))
            continue;
        archive = str_ndup(f->name, strlen(f->name) - strlen(".fidx"), e);
        if (!archive)
            return -1;
        if (!strv_has(&d->archives, archive) &&
            add_disk(d, archive, archive, 0, (uint32_t)d->archives.n, e) < 0)
            return -1;
    }
    return 0;
}

int repo_describe(struct repo *r, const char *path, const struct repo_manifest *m,
                  struct described *ret, struct err *e)
{
    auto_described struct described d = {0};

    if (parse_description(r, path, m, &d, e) < 0 || drop_missing(m, &d, e) < 0 ||
        add_others(m, &d, e) < 0)
        return strstr(e->msg, path) ? -1 : err_prefix(e, "%s", path);
    if (d.archives.n == 0)
        return err_set(e, ERR_UNSUPPORTED, "%s holds no disk", path);
    *ret = d;
    d = (struct described){0};
    return 0;
}

/* ---- handing out ---- */

static int copy_nics(const struct machine *m, struct machine *out, struct err *e)
{
    vec_foreach (n, &m->nics) {
        struct machine_nic empty = {0}, *c;

        if (vec_push(&out->nics, empty, e) < 0)
            return -1;
        c = &out->nics.v[out->nics.n - 1];
        if (str_set(&c->mac, n->mac, e) < 0 || str_set(&c->model, n->model, e) < 0 ||
            str_set(&c->network, n->network, e) < 0)
            return -1;
    }
    return 0;
}

static int copy_disks(struct repo_point *p, struct machine *out, struct err *e)
{
    for (size_t i = 0; i < p->machine->disks.n; i++) {
        struct machine_disk x = p->machine->disks.v[i], *c;

        x.name = NULL;
        x.origin = NULL;
        x.source = NULL;
        if (vec_push(&out->disks, x, e) < 0)
            return -1;
        c = &out->disks.v[i];
        if (str_set(&c->name, p->machine->disks.v[i].name, e) < 0 ||
            str_set(&c->origin, p->machine->disks.v[i].origin, e) < 0 ||
            repo_source_new(p, i, &c->source, e) < 0)
            return -1;
    }
    return 0;
}

int repo_point_machine(struct repo_point *p, struct machine **ret, struct err *e)
{
    const struct machine *from = p->machine;
    auto_machine struct machine *m = NULL;

    if (machine_new(from->name, &m, e) < 0)
        return -1;
    m->cpus = from->cpus;
    m->memory_bytes = from->memory_bytes;
    m->firmware = from->firmware;
    m->secure_boot = from->secure_boot;
    if (str_set(&m->guest_id, from->guest_id, e) < 0 || copy_nics(from, m, e) < 0 ||
        copy_disks(p, m, e) < 0)
        return -1;
    *ret = take_ptr(m);
    return 0;
}
