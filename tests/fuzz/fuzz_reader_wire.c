/* What hotadd-reader says: the machine as JSON, and behind a NUL byte a reply. */
#include "base/json.h"
#include "base/str.h"
#include "reader/wire.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define SIZE  ((uint64_t)1 << 30)
#define LIMIT ((uint64_t)1 << 20)

static void free_source(struct source *s)
{
    free(s->desc);
    free(s);
}

static const struct source_ops ops = {.name = "fuzz", .free = free_source};

static int make(void *ctx, uint32_t disk, const char *format, struct source *s,
                struct source **ret, struct err *e)
{
    struct source *n = mem_zalloc(1, sizeof *n, e);

    if (!n)
        return -1;
    assert(s->unit_align && s->unit_max_bytes <= WIRE_SLOT_BYTES && s->desc);
    *n = *s;
    n->ops = &ops;
    *ret = n;
    return 0;
}

static void machine(const char *text, size_t len)
{
    auto_machine struct machine *m = NULL;
    json_auto_t *j = NULL;
    struct err e = ERR_INIT;

    if (json_parse(text, len, "fuzz", &j, &e) < 0 ||
        wire_machine(j, make, NULL, &m, &e) < 0)
        return;
    vec_foreach (d, &m->disks)
        assert(d->source && d->name && d->size_bytes == d->source->size_bytes);
}

static void reply(const uint8_t *data, size_t len)
{
    char desc[] = "disk";
    const struct source s = {.size_bytes = SIZE, .unit_align = 4096, .desc = desc};
    const struct wire_request rq = {.limit_bytes = LIMIT, .unit.offset = SIZE / 2};
    struct wire_reply r = {0};
    struct err e = ERR_INIT;
    uint64_t at = SIZE / 2;

    memcpy(&r, data, len < sizeof r ? len : sizeof r);
    if (wire_check_reply(&rq, &s, &r, sizeof r, &e) < 0)
        return;
    for (uint32_t i = 0; i < r.n_units; at += r.units[i++].len)
        assert(r.units[i].offset == at && r.units[i].len <= SIZE - at &&
               (r.units[i].kind == UNIT_ZERO || r.units[i].len <= LIMIT));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    const uint8_t *nul = len ? memchr(data, 0, len) : NULL;

    machine((const char *)data, nul ? (size_t)(nul - data) : len);
    if (nul)
        reply(nul + 1, len - (size_t)(nul + 1 - data));
    return 0;
}
