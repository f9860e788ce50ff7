/* Sources in another process; see remote.h. Units are told in batches, which are kept
 * until others are asked for, so that walking a disk costs few messages. What is fetched
 * is copied out of the channel's slot: once copied it cannot change any more. Buffers
 * that are shared memory themselves (base/shared.h) are filled directly. */
#include "reader/remote.h"

#include "base/shared.h"
#include "base/str.h"

#include <assert.h>
#include <errno.h>
#include <sys/socket.h>

struct remote {
    struct source base;
    struct source_ops ops; /* for the name's sake */
    char *format;          /* owned */
    struct reader *reader; /* holds a reference */
    uint32_t disk;
    pthread_mutex_t lock; /* guards the batch */
    struct unit batch[WIRE_UNITS];
    uint32_t n_batch;
};

static struct remote *self(struct source *s)
{
    return (struct remote *)s;
}

/* ---- channels ---- */

static struct reader_channel *free_channel(struct reader *r)
{
    for (unsigned i = 0; i < r->n_channels; i++)
        if (!r->channels[i].busy)
            return &r->channels[i];
    return NULL;
}

static int take_channel(struct reader *r, struct reader_channel **ret, struct err *e)
{
    struct reader_channel *c = NULL;

    pthread_mutex_lock(&r->lock);
    while (!r->gone && !(c = free_channel(r)))
        pthread_cond_wait(&r->freed, &r->lock);
    if (r->gone)
        *e = r->why;
    else
        c->busy = true;
    pthread_mutex_unlock(&r->lock);
    *ret = c;
    return c ? 0 : -1;
}

static void give_channel(struct reader *r, struct reader_channel *c)
{
    pthread_mutex_lock(&r->lock);
    c->busy = false;
    pthread_cond_signal(&r->freed);
    pthread_mutex_unlock(&r->lock);
}

/* The first who finds it gone says why; nobody asks it again. Returns -1. */
static int is_gone(struct reader *r, const struct source *s, struct err *e)
{
    pthread_mutex_lock(&r->lock);
    if (!r->gone) {
        helper_gone(&r->helper, &r->why);
        err_prefix(&r->why, "%s", s->desc);
        r->gone = true;
        pthread_cond_broadcast(&r->freed);
    }
    *e = r->why;
    pthread_mutex_unlock(&r->lock);
    return -1;
}

/* `pass` (-1: none) goes along. */
static ssize_t send_request(int fd, const struct wire_request *rq, int pass)
{
    union {
        struct cmsghdr head;
        char space[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct iovec v = {(void *)rq, sizeof *rq};
    struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1};

    if (pass >= 0) {
        m.msg_control = &control;
        m.msg_controllen = sizeof control;
        control.head.cmsg_level = SOL_SOCKET;
        control.head.cmsg_type = SCM_RIGHTS;
        control.head.cmsg_len = CMSG_LEN(sizeof pass);
        memcpy(CMSG_DATA(&control.head), &pass, sizeof pass);
    }
    return sendmsg(fd, &m, MSG_NOSIGNAL);
}

static int exchange(int fd, const struct wire_request *rq, int pass,
                    struct wire_reply *reply, size_t *ret_len)
{
    ssize_t n;

    while ((n = send_request(fd, rq, pass)) < 0 && errno == EINTR)
        ;
    if (n < 0)
        return -1;
    while ((n = recv(fd, reply, sizeof *reply, 0)) < 0 && errno == EINTR)
        ;
    *ret_len = n > 0 ? (size_t)n : 0;
    return n > 0 ? 0 : -1;
}

static int call(struct remote *m, const struct wire_request *rq, int pass,
                struct reader_channel *c, struct wire_reply *reply, struct err *e)
{
    size_t len;

    if (exchange(c->fd, rq, pass, reply, &len) < 0)
        return is_gone(m->reader, &m->base, e);
    return wire_check_reply(rq, &m->base, reply, len, e);
}

/* ---- units ---- */

/* The unit from the batch, if it is there and not too long. */
static bool known_unit(struct remote *m, uint64_t offset, uint64_t limit_bytes,
                       struct unit *ret)
{
    bool found = false;

    pthread_mutex_lock(&m->lock);
    for (uint32_t i = 0; i < m->n_batch && !found; i++) {
        const struct unit *u = &m->batch[i];

        found = u->offset == offset && (u->kind == UNIT_ZERO || u->len <= limit_bytes);
        if (found)
            *ret = *u;
    }
    pthread_mutex_unlock(&m->lock);
    return found;
}

static int remote_unit_at(struct source *s, uint64_t offset, uint64_t limit_bytes,
                          struct unit *ret, struct err *e)
{
    struct remote *m = self(s);
    struct wire_request rq = {
        .op = WIRE_UNITS_AT,
        .disk = m->disk,
        .limit_bytes = limit_bytes < WIRE_SLOT_BYTES ? limit_bytes : WIRE_SLOT_BYTES,
        .unit.offset = offset};
    struct reader_channel *c;
    struct wire_reply reply;
    int r;

    if (known_unit(m, offset, limit_bytes, ret))
        return 0;
    if (take_channel(m->reader, &c, e) < 0)
        return -1;
    r = call(m, &rq, -1, c, &reply, e);
    give_channel(m->reader, c);
    if (r < 0)
        return -1;
    pthread_mutex_lock(&m->lock);
    m->n_batch = reply.n_units;
    memcpy(m->batch, reply.units, reply.n_units * sizeof reply.units[0]);
    pthread_mutex_unlock(&m->lock);
    *ret = reply.units[0];
    return 0;
}

/* The number of the map that the place is in, which the reader is given if it has not
 * got it; 0: it has as many as it takes. */
static int map_of(struct remote *m, const struct shared_place *place,
                  struct reader_channel *c, uint32_t *ret, struct err *e)
{
    const struct wire_request rq = {.op = WIRE_MAP, .disk = m->disk};
    struct reader *r = m->reader;
    struct wire_reply reply;
    int rc = 0;

    *ret = 0;
    pthread_mutex_lock(&r->mapping);
    for (uint32_t i = 0; i < r->n_maps; i++)
        if (r->maps[i] == place->id)
            *ret = i + 1;
    if (!*ret && r->n_maps < WIRE_MAPS) {
        rc = call(m, &rq, place->fd, c, &reply, e);
        if (rc == 0) {
            r->maps[r->n_maps++] = place->id;
            *ret = r->n_maps;
        }
    }
    pthread_mutex_unlock(&r->mapping);
    return rc;
}

static int remote_fetch(struct source *s, const struct unit *u, void *buf, struct err *e)
{
    struct remote *m = self(s);
    struct reader *r = m->reader;
    struct wire_request rq = {.op = WIRE_FETCH, .disk = m->disk, .unit = *u};
    struct shared_place place;
    struct reader_channel *c;
    struct wire_reply reply;
    int rc = 0;

    assert(u->len <= WIRE_SLOT_BYTES); /* no other was told */
    if (take_channel(r, &c, e) < 0)
        return -1;
    if (shared_find(buf, u->len, &place)) {
        rc = map_of(m, &place, c, &rq.map, e);
        rq.map_offset = place.offset;
    }
    if (rc == 0)
        rc = call(m, &rq, -1, c, &reply, e);
    if (rc == 0 && !rq.map)
        memcpy(buf, (const char *)r->memory + (size_t)(c - r->channels) * WIRE_SLOT_BYTES,
               u->len);
    give_channel(r, c);
    return rc;
}

static bool remote_reads(const struct source *s, const struct stat *file)
{
    return wire_has_file(((const struct remote *)s)->reader->files, file);
}

static void remote_free(struct source *s)
{
    struct remote *m = self(s);

    reader_unref(m->reader);
    pthread_mutex_destroy(&m->lock);
    free(m->format);
    free(m->base.desc);
    free(m);
}

int remote_source(struct reader *r, uint32_t disk, const char *format,
                  const struct source *s, struct source **ret, struct err *e)
{
    struct remote *m = mem_zalloc(1, sizeof *m, e);

    if (!m)
        return -1;
    m->format = str_dup(format, e);
    if (!m->format) {
        free(m);
        return -1;
    }
    m->base = *s;
    m->base.ops = &m->ops;
    m->ops = (struct source_ops){.name = m->format,
                                 .unit_at = remote_unit_at,
                                 .fetch = remote_fetch,
                                 .free = remote_free,
                                 .reads = remote_reads};
    m->disk = disk;
    m->reader = r;
    atomic_fetch_add(&r->refs, 1);
    pthread_mutex_init(&m->lock, NULL);
    *ret = &m->base;
    return 0;
}
