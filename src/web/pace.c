/* Rates and what they promise; see pace.h. */
#include "web/pace.h"

#include "base/clock.h"

#define MIN_SPAN_NS (2 * NS_PER_S)

static unsigned at(const struct pace_meter *m, unsigned i)
{
    return (m->first + i) % PACE_SAMPLES;
}

void pace_note(struct pace_meter *m, uint64_t now_ns, uint64_t done_bytes)
{
    if (m->n) {
        uint64_t last = m->v[at(m, m->n - 1)].done_bytes;

        if (done_bytes == last)
            return;
        if (done_bytes < last)
            m->n = 0;
    }
    if (m->n == PACE_SAMPLES) {
        m->first = at(m, 1);
        m->n--;
    }
    m->v[at(m, m->n)].at_ns = now_ns;
    m->v[at(m, m->n)].done_bytes = done_bytes;
    m->n++;
}

static uint64_t windowed(const struct pace_meter *m, uint64_t now_ns)
{
    uint64_t last = m->n ? m->v[at(m, m->n - 1)].done_bytes : 0;

    for (unsigned i = 0; i + 1 < m->n; i++) {
        uint64_t span_ns = now_ns - m->v[at(m, i)].at_ns;

        if (span_ns > PACE_WINDOW_NS)
            continue;
        if (span_ns < MIN_SPAN_NS)
            break;
        return (uint64_t)((double)(last - m->v[at(m, i)].done_bytes) * (double)NS_PER_S /
                          (double)span_ns);
    }
    return PACE_UNKNOWN;
}

/* A step that was entered once copied all of the bytes since it began. */
static uint64_t mean(const struct job_info *i, int64_t now_s)
{
    vec_foreach (s, &i->steps)
        if (s->state == JOB_STEP_RUNNING && s->runs == 1 && s->started_s &&
            now_s - s->started_s >= 2)
            return i->done_bytes / (uint64_t)(now_s - s->started_s);
    return PACE_UNKNOWN;
}

struct pace pace_of(const struct pace_meter *m, const struct job_info *i, uint64_t now_ns,
                    int64_t now_s)
{
    struct pace p = {PACE_UNKNOWN, PACE_UNKNOWN};

    if (i->state != JOB_RUNNING || i->done_bytes == 0 || i->done_bytes >= i->total_bytes)
        return p;
    p.bytes_per_s = windowed(m, now_ns);
    if (p.bytes_per_s == PACE_UNKNOWN && m->n <= 1)
        p.bytes_per_s = mean(i, now_s);
    if (p.bytes_per_s != PACE_UNKNOWN && p.bytes_per_s > 0)
        p.eta_s = (i->total_bytes - i->done_bytes + p.bytes_per_s - 1) / p.bytes_per_s;
    return p;
}
