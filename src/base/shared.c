/* Shared memory and where it is; see shared.h. The list of it is the one mutable global
 * here: a buffer is known by its address, wherever it was handed on to. */
#include "base/shared.h"

#include "base/auto.h"
#include "base/str.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>

struct region {
    struct region *next;
    char *at;
    size_t len;
    uint64_t id;
    int fd; /* owned */
};

static struct {
    pthread_mutex_t lock; /* guards the rest */
    struct region *first; /* owned */
    uint64_t last_id;
} regions = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* Sealed: who has the descriptor could otherwise cut it, and our reading would be a
 * SIGBUS. */
static int make(size_t bytes, struct region *r, struct err *e)
{
    auto_fd int fd = memfd_create("hotadd", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    if (fd < 0 || ftruncate(fd, (off_t)bytes) < 0 ||
        fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
        return err_sys(e, "shared memory of %zu bytes", bytes);
    r->at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (r->at == MAP_FAILED)
        return err_sys(e, "shared memory of %zu bytes", bytes);
    r->len = bytes;
    r->fd = take_fd(&fd);
    return 0;
}

int shared_alloc(size_t bytes, void **ret, struct err *e)
{
    struct region *r = mem_zalloc(1, sizeof *r, e);

    if (!r)
        return -1;
    if (make(bytes, r, e) < 0) {
        free(r);
        return -1;
    }
    pthread_mutex_lock(&regions.lock);
    r->id = ++regions.last_id;
    r->next = regions.first;
    regions.first = r;
    pthread_mutex_unlock(&regions.lock);
    *ret = r->at;
    return 0;
}

void shared_free(void *p)
{
    struct region **at, *r;

    if (!p)
        return;
    pthread_mutex_lock(&regions.lock);
    for (at = &regions.first; (*at)->at != p; at = &(*at)->next)
        ;
    r = *at;
    *at = r->next;
    pthread_mutex_unlock(&regions.lock);
    munmap(r->at, r->len);
    close(r->fd);
    free(r);
}

bool shared_find(const void *p, size_t len, struct shared_place *ret)
{
    uintptr_t wanted = (uintptr_t)p;
    bool found = false;

    pthread_mutex_lock(&regions.lock);
    for (const struct region *r = regions.first; r && !found; r = r->next) {
        uintptr_t start = (uintptr_t)r->at;

        if (wanted < start || wanted - start >= r->len || len > r->len - (wanted - start))
            continue;
        *ret = (struct shared_place){.id = r->id, .fd = r->fd, .offset = wanted - start};
        found = true;
    }
    pthread_mutex_unlock(&regions.lock);
    return found;
}
