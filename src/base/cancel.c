/* A request to stop; see cancel.h. */
#include "base/cancel.h"

#include "base/clock.h"

#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

int cancel_init(struct cancel *c, struct err *e)
{
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

    if (fd < 0)
        return err_sys(e, "eventfd");
    atomic_init(&c->requested, false);
    c->event_fd = fd;
    return 0;
}

void cancel_release(struct cancel *c)
{
    if (c->event_fd >= 0)
        close(c->event_fd);
    c->event_fd = -1;
}

void cancel_request(struct cancel *c)
{
    uint64_t one = 1;
    int saved = errno;

    atomic_store(&c->requested, true);
    /* Only a full counter makes this fail, and then it is readable already. */
    if (write(c->event_fd, &one, sizeof one) < 0)
        errno = saved;
}

bool cancel_requested(const struct cancel *c)
{
    return c && atomic_load_explicit(&c->requested, memory_order_relaxed);
}

int cancel_check(const struct cancel *c, struct err *e)
{
    return cancel_requested(c) ? err_set(e, ERR_CANCELLED, "interrupted") : 0;
}

int cancel_sleep_ns(const struct cancel *c, uint64_t ns, struct err *e)
{
    uint64_t deadline_ns = clock_mono_ns() + ns;

    for (;;) {
        struct pollfd p = {.fd = c ? c->event_fd : -1, .events = POLLIN};
        uint64_t now_ns = clock_mono_ns(), left_ns;
        struct timespec ts;

        if (cancel_check(c, e) < 0)
            return -1;
        if (now_ns >= deadline_ns)
            return 0;
        left_ns = deadline_ns - now_ns;
        ts.tv_sec = (time_t)(left_ns / NS_PER_S);
        ts.tv_nsec = (long)(left_ns % NS_PER_S);
        if (ppoll(&p, 1, &ts, NULL) < 0 && errno != EINTR)
            return err_sys(e, "poll");
    }
}
