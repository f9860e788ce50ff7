/* Throttle, rate and ETA; see pace.h. */
#include "mover/pace.h"

#include "base/clock.h"

#define BURST_NS (NS_PER_S / 10)

/* a * b / c without overflow of the product; saturates. */
static uint64_t mul_div(uint64_t a, uint64_t b, uint64_t c)
{
    unsigned __int128 v = (unsigned __int128)a * b / c;

    return v > UINT64_MAX ? UINT64_MAX : (uint64_t)v;
}

uint64_t throttle_take(struct throttle *t, uint64_t now_ns, uint64_t bytes)
{
    uint64_t earliest_ns = now_ns > BURST_NS ? now_ns - BURST_NS : 0, cost_ns, start_ns;

    if (t->bytes_per_s == 0)
        return 0;
    cost_ns = mul_div(bytes, NS_PER_S, t->bytes_per_s);
    start_ns = t->next_ns > earliest_ns ? t->next_ns : earliest_ns;
    t->next_ns = start_ns > UINT64_MAX - cost_ns ? UINT64_MAX : start_ns + cost_ns;
    return start_ns > now_ns ? start_ns - now_ns : 0;
}

void meter_add(struct meter *m, uint64_t now_ns, uint64_t bytes_so_far)
{
    size_t i = m->n++ % METER_SAMPLES;

    m->v[i].ns = now_ns;
    m->v[i].bytes = bytes_so_far;
}

uint64_t meter_rate(const struct meter *m)
{
    size_t last, first;

    if (m->n < 2)
        return 0;
    last = (m->n - 1) % METER_SAMPLES;
    first = m->n > METER_SAMPLES ? m->n % METER_SAMPLES : 0;
    if (m->v[last].ns <= m->v[first].ns)
        return 0;
    return mul_div(m->v[last].bytes - m->v[first].bytes, NS_PER_S,
                   m->v[last].ns - m->v[first].ns);
}

uint64_t eta_seconds(const struct eta_facts *f)
{
    uint64_t left = f->total_bytes > f->done_bytes ? f->total_bytes - f->done_bytes : 0;
    uint64_t data_left, passed;

    if (left == 0)
        return 0;
    if (f->bytes_per_s == 0)
        return UINT64_MAX;
    if (f->data_total_bytes != UINT64_MAX) {
        data_left =
            f->data_total_bytes > f->data_bytes ? f->data_total_bytes - f->data_bytes : 0;
    } else {
        passed = f->done_bytes - f->start_bytes;
        if (passed == 0)
            return UINT64_MAX;
        data_left = mul_div(left, f->data_bytes, passed);
    }
    return data_left / f->bytes_per_s + (data_left % f->bytes_per_s != 0);
}
