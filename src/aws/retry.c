/* Backoff; see retry.h. */
#include "aws/retry.h"

#include "base/clock.h"
#include "base/rand.h"

uint64_t retry_jitter_ns(uint64_t base_ns, uint64_t cap_ns, unsigned n)
{
    uint64_t limit_ns = n < 32 ? base_ns << n : cap_ns;

    if (n < 32 && limit_ns >> n != base_ns)
        limit_ns = cap_ns;
    if (limit_ns > cap_ns)
        limit_ns = cap_ns;
    return limit_ns ? rand_below(limit_ns + 1) : 0;
}

int retry_pause(struct retry *r, enum retry_cause cause, uint64_t after_ns, struct err *e)
{
    static const unsigned most[] = {
        [RETRY_NOT_SENT] = 5, [RETRY_TRANSIENT] = 8, [RETRY_THROTTLED] = 1000};
    uint64_t now_ns = clock_mono_ns(), pause_ns;

    if (++r->n_tries >= most[cause])
        return 0;
    pause_ns = retry_jitter_ns(r->base_ns, r->cap_ns, r->n_tries - 1);
    if (after_ns > pause_ns)
        pause_ns = after_ns;
    if (now_ns >= r->deadline_ns || pause_ns >= r->deadline_ns - now_ns)
        return 0;
    return cancel_sleep_ns(r->cancel, pause_ns, e) < 0 ? -1 : 1;
}
