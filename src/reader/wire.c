/* The words between hotadd and hotadd-reader; see wire.h. Pure functions: what comes
 * from the reader is believed only as far as it is checked here. */
#include "reader/wire.h"

#include "base/json.h"
#include "base/str.h"

#include <dirent.h>

#define MAX_DISKS 1024
#define MAX_NICS  1024
/* Larger than any disk; keeps sums of offsets and lengths from overflowing. */
#define MAX_BYTES ((uint64_t)1 << 60)

static json_t *disk_json(const struct machine_disk *d)
{
    const struct source *s = d->source;
    json_t *o = json_pack(
        "{s:o, s:o, s:s, s:I, s:I, s:I, s:I, s:I, s:I}", "name", json_any_text(d->name),
        "desc", json_any_text(s->desc), "format", s->ops->name, "size_bytes",
        (json_int_t)s->size_bytes, "align", (json_int_t)s->unit_align, "unit_max_bytes",
        (json_int_t)s->unit_max_bytes, "fetch_bytes", (json_int_t)s->fetch_bytes,
        "controller", (json_int_t)d->controller, "unit", (json_int_t)d->unit);

    if (o && s->data_bytes_hint <= MAX_BYTES)
        json_object_set_new(o, "data_bytes",
                            json_integer((json_int_t)s->data_bytes_hint));
    return o;
}

static json_t *text_or_null(const char *s)
{
    return s ? json_any_text(s) : json_null();
}

json_t *wire_machine_json(const struct machine *m, struct err *e)
{
    json_auto_t *disks = json_array(), *nics = json_array();
    json_t *o;

    vec_foreach (d, &m->disks)
        if (json_add(disks, disk_json(d), e) < 0)
            return NULL;
    vec_foreach (n, &m->nics)
        if (json_add(nics,
                     json_pack("{s:o, s:o, s:o}", "mac", text_or_null(n->mac), "model",
                               text_or_null(n->model), "network",
                               text_or_null(n->network)),
                     e) < 0)
            return NULL;
    o = json_pack("{s:o, s:o, s:I, s:I, s:i, s:b, s:O, s:O}", "name",
                  json_any_text(m->name), "guest_id", text_or_null(m->guest_id), "cpus",
                  (json_int_t)m->cpus, "memory_bytes", (json_int_t)m->memory_bytes,
                  "firmware", (int)m->firmware, "secure_boot", m->secure_boot, "disks",
                  disks, "nics", nics);
    if (!o)
        err_nomem(e);
    return o;
}

/* ---- open files ---- */

/* [device, inode] of a file, [number] of a block device; NULL: neither. Numbers of 64
 * bits, which JSON's are with a sign. */
static json_t *file_json(const struct stat *st)
{
    if (S_ISREG(st->st_mode))
        return json_pack("[I, I]", (json_int_t)st->st_dev, (json_int_t)st->st_ino);
    return S_ISBLK(st->st_mode) ? json_pack("[I]", (json_int_t)st->st_rdev) : NULL;
}

json_t *wire_open_files(struct err *e)
{
    json_auto_t *files = json_array();
    DIR *d = opendir("/proc/self/fd");

    if (!files || !d) {
        if (d)
            closedir(d);
        err_sys(e, "/proc/self/fd: list");
        return NULL;
    }
    for (struct dirent *ent; (ent = readdir(d));) {
        struct stat st;
        json_t *f = fstatat(dirfd(d), ent->d_name, &st, 0) == 0 ? file_json(&st) : NULL;

        if (f && json_add(files, f, e) < 0) {
            closedir(d);
            return NULL;
        }
    }
    closedir(d);
    return take_ptr(files);
}

bool wire_has_file(const json_t *files, const struct stat *file)
{
    json_auto_t *wanted = file_json(file);
    bool found = false;

    for (size_t i = 0; wanted && i < json_array_size(files) && !found; i++)
        found = json_equal(json_array_get(files, i), wanted);
    return found;
}

/* ---- the other way ---- */

static int number(const json_t *o, const char *key, uint64_t max, uint64_t *ret,
                  struct err *e)
{
    if (json_need_u64(o, key, ret, e) < 0)
        return -1;
    return *ret <= max ? 0 : err_set(e, ERR_FAILED, "%s is too large", key);
}

static int read_disk(const json_t *o, uint32_t i, wire_source_fn *make, void *ctx,
                     struct machine_disk *d, struct err *e)
{
    const char *name, *desc, *format;
    uint64_t align, unit_max, fetch, controller, unit;
    struct source s = {0};

    if (json_need_str(o, "name", &name, e) < 0 ||
        json_need_str(o, "desc", &desc, e) < 0 ||
        json_need_str(o, "format", &format, e) < 0 ||
        number(o, "size_bytes", MAX_BYTES, &s.size_bytes, e) < 0 ||
        number(o, "align", WIRE_SLOT_BYTES, &align, e) < 0 ||
        number(o, "unit_max_bytes", WIRE_SLOT_BYTES, &unit_max, e) < 0 ||
        number(o, "fetch_bytes", WIRE_SLOT_BYTES, &fetch, e) < 0 ||
        number(o, "controller", UINT32_MAX, &controller, e) < 0 ||
        number(o, "unit", UINT32_MAX, &unit, e) < 0)
        return -1;
    if (!align || align & (align - 1) || !unit_max || unit_max % align)
        return err_set(e, ERR_FAILED, "disk %u: units that cannot be", i + 1);
    s.unit_align = (uint32_t)align;
    s.unit_max_bytes = (uint32_t)unit_max;
    s.fetch_bytes = (uint32_t)fetch;
    s.data_bytes_hint = json_u64_or(o, "data_bytes", UINT64_MAX);
    d->controller = (uint32_t)controller;
    d->unit = (uint32_t)unit;
    d->size_bytes = s.size_bytes;
    d->name = str_dup(name, e);
    s.desc = d->name ? str_dup(desc, e) : NULL;
    if (s.desc && make(ctx, i, format, &s, &d->source, e) == 0)
        return 0;
    free(s.desc);
    free(d->name);
    return -1;
}

static int set_text(char **field, const json_t *o, const char *key, struct err *e)
{
    return str_set(field, json_str_or(o, key, NULL), e);
}

static int read_nic(const json_t *o, struct machine *m, struct err *e)
{
    struct machine_nic nic = {0};

    if (vec_push(&m->nics, nic, e) < 0)
        return -1;
    struct machine_nic *n = &m->nics.v[m->nics.n - 1];

    return set_text(&n->mac, o, "mac", e) < 0 || set_text(&n->model, o, "model", e) < 0 ||
                   set_text(&n->network, o, "network", e) < 0
               ? -1
               : 0;
}

static int read_hardware(const json_t *j, struct machine *m, struct err *e)
{
    uint64_t cpus, firmware;

    if (set_text(&m->guest_id, j, "guest_id", e) < 0 ||
        number(j, "cpus", UINT32_MAX, &cpus, e) < 0 ||
        number(j, "memory_bytes", MAX_BYTES, &m->memory_bytes, e) < 0 ||
        number(j, "firmware", FIRMWARE_UEFI, &firmware, e) < 0)
        return -1;
    m->cpus = (uint32_t)cpus;
    m->firmware = (enum firmware)firmware;
    m->secure_boot = json_bool_or(j, "secure_boot", false);
    return 0;
}

int wire_machine(const json_t *j, wire_source_fn *make, void *ctx, struct machine **ret,
                 struct err *e)
{
    const json_t *disks = json_object_get(j, "disks"), *nics = json_object_get(j, "nics");
    auto_machine struct machine *m = NULL;
    const char *name;

    if (json_need_str(j, "name", &name, e) < 0 || machine_new(name, &m, e) < 0 ||
        read_hardware(j, m, e) < 0)
        return -1;
    if (json_array_size(disks) > MAX_DISKS || json_array_size(nics) > MAX_NICS)
        return err_set(e, ERR_FAILED, "more disks or cards than can be");
    for (size_t i = 0; i < json_array_size(disks); i++) {
        struct machine_disk d = {0};

        if (read_disk(json_array_get(disks, i), (uint32_t)i, make, ctx, &d, e) < 0)
            return -1;
        if (vec_push(&m->disks, d, e) < 0) {
            source_free(d.source);
            free(d.name);
            return -1;
        }
    }
    for (size_t i = 0; i < json_array_size(nics); i++)
        if (read_nic(json_array_get(nics, i), m, e) < 0)
            return -1;
    *ret = take_ptr(m);
    return 0;
}

/* ---- replies ---- */

int wire_check_reply(const struct wire_request *rq, const struct source *s,
                     const struct wire_reply *reply, size_t len, struct err *e)
{
    uint64_t offset = rq->unit.offset;

    if (len != sizeof *reply)
        return err_set(e, ERR_FAILED, "%s: the reader's reply has %zu bytes", s->desc,
                       len);
    if (reply->kind != ERR_NONE) {
        err_set(e, reply->kind <= ERR_CANCELLED ? (enum err_kind)reply->kind : ERR_FAILED,
                "%.*s", (int)sizeof reply->msg - 1, reply->msg);
        e->sys_errno = reply->sys_errno;
        e->retryable = reply->retryable;
        return -1;
    }
    if (rq->op != WIRE_UNITS_AT)
        return 0;
    if (!reply->n_units || reply->n_units > WIRE_UNITS)
        return err_set(e, ERR_FAILED, "%s: the reader told of %u units", s->desc,
                       reply->n_units);
    for (uint32_t i = 0; i < reply->n_units; i++) {
        if (offset >= s->size_bytes ||
            !source_may_tell(s, &reply->units[i], offset, rq->limit_bytes))
            return err_set(e, ERR_FAILED,
                           "%s: the reader told of a unit at byte %llu that cannot be",
                           s->desc, (unsigned long long)offset);
        offset += reply->units[i].len;
    }
    return 0;
}
