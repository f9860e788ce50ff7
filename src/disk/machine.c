/* A virtual machine's description; see machine.h. */
#include "disk/machine.h"

#include "base/buf.h"
#include "base/json.h"
#include "base/str.h"

int machine_new(const char *name, struct machine **ret, struct err *e)
{
    struct machine *m = mem_zalloc(1, sizeof *m, e);

    if (!m)
        return -1;
    m->name = str_dup(name, e);
    if (!m->name) {
        free(m);
        return -1;
    }
    str_blank_controls(m->name);
    *ret = m;
    return 0;
}

static void disk_release(struct machine_disk *d)
{
    source_free(d->source);
    free(d->name);
    free(d->origin);
}

void machine_free(struct machine *m)
{
    if (!m)
        return;
    vec_foreach (d, &m->disks)
        disk_release(d);
    vec_foreach (n, &m->nics) {
        free(n->mac);
        free(n->model);
        free(n->network);
    }
    vec_release(&m->disks);
    vec_release(&m->nics);
    free(m->guest_id);
    free(m->name);
    free(m);
}

void machine_keep_disk(struct machine *m, size_t i)
{
    struct machine_disk kept = m->disks.v[i];

    for (size_t k = 0; k < m->disks.n; k++)
        if (k != i)
            disk_release(&m->disks.v[k]);
    m->disks.v[0] = kept;
    m->disks.n = 1;
}

static int list_disks(const struct machine *m, const char *what, const char *disk,
                      struct err *e)
{
    auto_buf struct buf b = BUF_INIT;

    for (size_t i = 0; i < m->disks.n; i++)
        buf_addf(&b, "%s%zu (%s)", i ? ", " : "", i + 1, m->disks.v[i].name);
    if (disk)
        return err_set(e, ERR_USAGE, "%s has no disk \"%s\"; it has %s", what, disk,
                       buf_str(&b));
    return err_set(e, ERR_USAGE, "%s has several disks, say which: %s", what,
                   buf_str(&b));
}

int machine_disk_find(const struct machine *m, const char *what, const char *disk,
                      size_t *ret, struct err *e)
{
    struct err ignored;
    uint64_t n;

    if (!disk && m->disks.n == 1) {
        *ret = 0;
        return 0;
    }
    if (!disk)
        return list_disks(m, what, NULL, e);
    for (size_t i = 0; i < m->disks.n; i++)
        if (str_eq(m->disks.v[i].name, disk)) {
            *ret = i;
            return 0;
        }
    if (str_to_u64(disk, &n, &ignored) < 0 || n < 1 || n > m->disks.n)
        return list_disks(m, what, disk, e);
    *ret = (size_t)n - 1;
    return 0;
}

const char *firmware_name(enum firmware f)
{
    return f == FIRMWARE_BIOS ? "bios" : f == FIRMWARE_UEFI ? "uefi" : "unknown";
}

json_t *machine_json(const struct machine *m, struct err *e)
{
    json_auto_t *disks = json_array(), *nics = json_array();
    json_t *o;

    vec_foreach (d, &m->disks)
        if (json_add(disks,
                     json_pack("{s:s, s:I, s:s}", "name", d->name, "size_bytes",
                               (json_int_t)d->size_bytes, "format",
                               d->source ? d->source->ops->name : "none"),
                     e) < 0)
            return NULL;
    vec_foreach (n, &m->nics)
        if (json_add(nics,
                     json_pack("{s:s?, s:s?, s:s?}", "mac", n->mac, "model", n->model,
                               "network", n->network),
                     e) < 0)
            return NULL;
    o = json_pack("{s:s, s:s?, s:i, s:I, s:s, s:b, s:O, s:O}", "name", m->name,
                  "guest_id", m->guest_id, "cpus", (int)m->cpus, "memory_bytes",
                  (json_int_t)m->memory_bytes, "firmware", firmware_name(m->firmware),
                  "secure_boot", m->secure_boot, "disks", disks, "nics", nics);
    if (!o)
        err_nomem(e);
    return o;
}
