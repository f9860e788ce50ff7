/* A virtual machine's description; see machine.h. */
#include "disk/machine.h"

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
    *ret = m;
    return 0;
}

void machine_free(struct machine *m)
{
    if (!m)
        return;
    vec_foreach (d, &m->disks) {
        source_free(d->source);
        free(d->name);
    }
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
