/* A string that must never be printed; see secret.h. */
#include "base/secret.h"

#include "base/auto.h"
#include "base/buf.h"
#include "base/io.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>

struct secret {
    size_t map_len;
    size_t len;
    char text[];
};

int secret_new(const char *text, size_t len, struct secret **ret, struct err *e)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), map_len;
    struct secret *s;

    if (len > 1 << 20)
        return err_set(e, ERR_INPUT, "a secret of %zu bytes is not believable", len);
    map_len = (sizeof *s + len + 1 + page - 1) / page * page;
    s = mmap(NULL, map_len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (s == MAP_FAILED)
        return err_sys(e, "mmap");
    /* Both are best effort: limits may forbid locking. */
    (void)mlock(s, map_len);
    (void)madvise(s, map_len, MADV_DONTDUMP);
    s->map_len = map_len;
    s->len = len;
    memcpy(s->text, text, len);
    s->text[len] = 0;
    *ret = s;
    return 0;
}

int secret_read_file(const char *path, struct secret **ret, struct err *e)
{
    struct buf b = BUF_INIT;
    auto_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
    int r;

    if (fd < 0)
        return err_sys(e, "%s", path);
    /* Room for all of it at once: growing would leave copies behind. */
    r = buf_reserve(&b, 2 * SECRET_FILE_BYTES, e);
    if (r == 0)
        r = io_read_fd(fd, SECRET_FILE_BYTES, &b, path, e);
    if (r == 0)
        r = secret_new(buf_str(&b), strcspn(buf_str(&b), "\r\n"), ret, e);
    if (b.data)
        secret_wipe(b.data, b.cap);
    buf_release(&b);
    return r;
}

void secret_free(struct secret *s)
{
    size_t map_len;

    if (!s)
        return;
    map_len = s->map_len;
    secret_wipe(s, sizeof *s + s->len);
    munmap(s, map_len);
}

const char *secret_reveal(const struct secret *s)
{
    return s ? s->text : "";
}

size_t secret_len(const struct secret *s)
{
    return s ? s->len : 0;
}

void secret_wipe(void *data, size_t len)
{
    explicit_bzero(data, len);
}
