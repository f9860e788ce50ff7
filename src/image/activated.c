/* Children by socket activation; see activated.h. A crash of ours leaves nothing here:
 * how each server learns of it is its starter's business. */
#include "image/activated.h"

#include "base/clock.h"
#include "base/str.h"

#include <assert.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#define MAX_ARGS      24
#define STOP_GRACE_NS (5 * NS_PER_S)

static int address(const char *path, struct sockaddr_un *ret, struct err *e)
{
    *ret = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof ret->sun_path)
        return err_set(e, ERR_USAGE, "%s: too long for a socket's name", path);
    memcpy(ret->sun_path, path, strlen(path));
    return 0;
}

int activated_listen(const char *path, int backlog, int *ret_fd, struct err *e)
{
    auto_fd int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_un a;

    if (s < 0)
        return err_sys(e, "socket");
    if (address(path, &a, e) < 0)
        return -1;
    if (bind(s, (const struct sockaddr *)&a, sizeof a) < 0 || listen(s, backlog) < 0)
        return err_sys(e, "%s: listen", path);
    *ret_fd = take_fd(&s);
    return 0;
}

int activated_connect(const char *path, int *ret_fd, struct err *e)
{
    auto_fd int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_un a;

    if (s < 0)
        return err_sys(e, "socket");
    if (address(path, &a, e) < 0)
        return -1;
    if (connect(s, (const struct sockaddr *)&a, sizeof a) < 0)
        return err_sys(e, "%s: connect", path);
    *ret_fd = take_fd(&s);
    return 0;
}

extern char **environ;

static bool is_secret(const char *variable)
{
    return str_starts(variable, "AWS_") || str_starts(variable, "HOTADD_KEY_");
}

/* Owned array of borrowed strings; NULL with e set. */
static const char **environment(enum activated_env which, struct err *e)
{
    size_t n = 0, kept = 0;
    const char **v;

    while (environ[n])
        n++;
    v = mem_zalloc(n + 1, sizeof *v, e);
    for (size_t i = 0; v && i < n; i++)
        if (which == ACTIVATED_WHOLE_ENV || !is_secret(environ[i]))
            v[kept++] = environ[i];
    return v;
}

int activated_start(struct activated *a, const char *const *argv, enum activated_env env,
                    int listen_fd, struct err *e)
{
    /* The shell's process becomes the server, so its number is what LISTEN_PID wants.
     * Descriptor 3 is the protocol's; 4 is its standard error. */
    const char *all[MAX_ARGS + 5] = {
        "/bin/sh", "-c", "LISTEN_FDS=1 LISTEN_PID=$$ exec \"$@\" 2>&4 4>&-", "sh"};
    auto_free const char **envp = environment(env, e);
    size_t n = 4;
    int fds[2];

    if (!envp)
        return -1;
    for (; *argv; argv++) {
        assert(n < MAX_ARGS + 4);
        all[n++] = *argv;
    }
    a->words_fd = memfd_create("stderr", MFD_CLOEXEC);
    if (a->words_fd < 0)
        return err_sys(e, "memfd_create");
    fds[0] = listen_fd;
    fds[1] = a->words_fd;
    return child_spawn(&(struct child_spec){.argv = all,
                                            .env = envp,
                                            .in = CHILD_NULL,
                                            .out = CHILD_NULL,
                                            .err = CHILD_NULL,
                                            .fds = fds,
                                            .n_fds = 2,
                                            .new_group = true},
                       &a->child, e);
}

char *activated_words(const struct activated *a, char *out, size_t out_len)
{
    struct stat st;
    off_t from;
    ssize_t n;

    *out = 0;
    if (a->words_fd < 0 || fstat(a->words_fd, &st) < 0 || st.st_size == 0)
        return out;
    from = st.st_size > (off_t)out_len - 1 ? st.st_size - (off_t)out_len + 1 : 0;
    n = pread(a->words_fd, out, out_len - 1, from);
    out[n > 0 ? n : 0] = 0;
    return str_trim(out);
}

void activated_stop(struct activated *a)
{
    child_stop(&a->child, STOP_GRACE_NS);
    if (a->words_fd >= 0)
        close(a->words_fd);
    a->words_fd = -1;
}
