/* The threads of hotadd-reader; see serve.h. A request is done before the next one of
 * its channel is read, so that a channel's slot has one user at a time. */
#include "reader/child/serve.h"

#include "reader/wire.h"

#include "base/auto.h"
#include "base/str.h"

#include <errno.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>

struct channel {
    const struct machine *machine;
    int fd;
    void *slot; /* WIRE_SLOT_BYTES */
};

/* What we were given to fill; a map is there for good once it is counted. */
static struct {
    pthread_mutex_t lock; /* guards n, and v below it */
    struct map {
        char *at;
        uint64_t len;
    } v[WIRE_MAPS];
    uint32_t n;
} maps = {.lock = PTHREAD_MUTEX_INITIALIZER};

static int take_map(int fd, struct err *e)
{
    struct stat st;
    struct map m;

    if (fd < 0 || fstat(fd, &st) < 0)
        return err_set(e, ERR_FAILED, "a map without its memory");
    m.len = (uint64_t)st.st_size;
    m.at = mmap(NULL, m.len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (m.at == MAP_FAILED)
        return err_sys(e, "shared memory");
    pthread_mutex_lock(&maps.lock);
    if (maps.n < WIRE_MAPS)
        maps.v[maps.n++] = m;
    else
        munmap(m.at, m.len);
    pthread_mutex_unlock(&maps.lock);
    return 0;
}

static int place_of(const struct channel *c, const struct wire_request *rq, void **ret,
                    struct err *e)
{
    const struct map *m = NULL;

    if (rq->unit.len > WIRE_SLOT_BYTES)
        return err_set(e, ERR_FAILED, "a unit of %llu bytes",
                       (unsigned long long)rq->unit.len);
    *ret = c->slot;
    if (!rq->map)
        return 0;
    pthread_mutex_lock(&maps.lock);
    if (rq->map <= maps.n)
        m = &maps.v[rq->map - 1];
    pthread_mutex_unlock(&maps.lock);
    if (!m || rq->map_offset > m->len || rq->unit.len > m->len - rq->map_offset)
        return err_set(e, ERR_FAILED, "no such place in map %u", rq->map);
    *ret = m->at + rq->map_offset;
    return 0;
}

static int tell_units(const struct machine_disk *d, const struct wire_request *rq,
                      struct wire_reply *reply, struct err *e)
{
    uint64_t at = rq->unit.offset;

    while (reply->n_units < WIRE_UNITS && at < d->source->size_bytes) {
        struct unit *u = &reply->units[reply->n_units];

        /* What came before the failure is true; who asks on gets the error. */
        if (source_unit_at(d->source, at, rq->limit_bytes, u, e) < 0)
            return reply->n_units ? 0 : -1;
        reply->n_units++;
        at += u->len;
    }
    return reply->n_units ? 0 : err_set(e, ERR_INPUT, "nothing is at that byte");
}

static int answer(const struct channel *c, const struct wire_request *rq, int passed,
                  struct wire_reply *reply, struct err *e)
{
    const struct machine_disk *d;
    void *to = NULL;

    if (rq->disk >= c->machine->disks.n)
        return err_set(e, ERR_FAILED, "there is no disk %u", rq->disk);
    d = &c->machine->disks.v[rq->disk];
    if (rq->op == WIRE_UNITS_AT)
        return tell_units(d, rq, reply, e);
    if (rq->op == WIRE_MAP)
        return take_map(passed, e);
    return place_of(c, rq, &to, e) < 0 ? -1 : source_fetch(d->source, &rq->unit, to, e);
}

static void tell_error(struct wire_reply *reply, const struct err *e)
{
    memset(reply, 0, sizeof *reply);
    reply->kind = e->kind;
    reply->sys_errno = e->sys_errno;
    reply->retryable = e->retryable;
    memcpy(reply->msg, e->msg, sizeof reply->msg);
}

/* The request, and the descriptor that came along, else -1; owned. */
static ssize_t receive(int socket, struct wire_request *rq, int *passed)
{
    union {
        struct cmsghdr head;
        char space[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec v = {rq, sizeof *rq};
    struct msghdr m = {.msg_iov = &v,
                       .msg_iovlen = 1,
                       .msg_control = &control,
                       .msg_controllen = sizeof control};
    ssize_t n = recvmsg(socket, &m, MSG_CMSG_CLOEXEC);
    struct cmsghdr *h = n > 0 ? CMSG_FIRSTHDR(&m) : NULL;

    *passed = -1;
    if (h && h->cmsg_level == SOL_SOCKET && h->cmsg_type == SCM_RIGHTS)
        memcpy(passed, CMSG_DATA(h), sizeof *passed);
    return n;
}

/* Until the other side is gone. */
static void *serve(void *arg)
{
    struct channel *c = arg;

    for (;;) {
        struct wire_reply reply = {0};
        struct err e = ERR_INIT;
        struct wire_request rq;
        auto_fd int passed = -1;
        ssize_t n = receive(c->fd, &rq, &passed);

        if (n < 0 && errno == EINTR)
            continue;
        if (n != (ssize_t)sizeof rq)
            break;
        if (answer(c, &rq, passed, &reply, &e) < 0)
            tell_error(&reply, &e);
        while (send(c->fd, &reply, sizeof reply, MSG_NOSIGNAL) < 0)
            if (errno != EINTR)
                goto gone;
    }
gone:
    return NULL;
}

int serve_start(const struct machine *m, unsigned channels, struct err *e)
{
    struct channel *all = mem_zalloc(channels, sizeof *all, e); /* lives as long as we */
    char *memory;

    if (!all)
        return -1;
    memory = mmap(NULL, (size_t)channels * WIRE_SLOT_BYTES, PROT_READ | PROT_WRITE,
                  MAP_SHARED, WIRE_MEMORY_FD, 0);
    if (memory == MAP_FAILED)
        return err_sys(e, "shared memory");
    for (unsigned i = 0; i < channels; i++) {
        pthread_t thread;
        int r;

        all[i] = (struct channel){.machine = m,
                                  .fd = WIRE_CHANNEL_FD + (int)i,
                                  .slot = memory + (size_t)i * WIRE_SLOT_BYTES};
        r = pthread_create(&thread, NULL, serve, &all[i]);
        if (r)
            return err_sys_n(e, r, "thread");
        pthread_detach(thread);
    }
    return 0;
}
