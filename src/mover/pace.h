/* Inside src/mover only: the arithmetic of --max-rate and of the progress bar, without a
 * clock of its own, so that tests need none. */
#ifndef HOTADD_MOVER_PACE_H
#define HOTADD_MOVER_PACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Token bucket. One thread at a time. */
struct throttle {
    uint64_t bytes_per_s; /* 0: no limit */
    uint64_t next_ns;     /* when what was granted so far is paid for */
};

/* Grants `bytes` and tells how long to wait before using them. A pause earns at most a
 * tenth of a second of burst. */
uint64_t throttle_take(struct throttle *t, uint64_t now_ns, uint64_t bytes);

#define METER_SAMPLES 32

/* Rate over the last seconds. One thread at a time. */
struct meter {
    struct {
        uint64_t ns, bytes;
    } v[METER_SAMPLES];
    size_t n; /* samples ever added */
};

void meter_add(struct meter *m, uint64_t now_ns, uint64_t bytes_so_far);
uint64_t meter_rate(const struct meter *m); /* bytes per second */

struct eta_facts {
    uint64_t done_bytes, total_bytes; /* position */
    uint64_t start_bytes;             /* position when this run began */
    uint64_t data_bytes;              /* fetched in this run */
    uint64_t data_total_bytes;        /* to fetch in this run; UINT64_MAX: unknown */
    uint64_t bytes_per_s;             /* of data */
};

/* Seconds until the end; UINT64_MAX: unknown. Where the amount of data is unknown, what
 * is left is taken to hold as much of it as what is done. */
uint64_t eta_seconds(const struct eta_facts *f);

#endif
