/* Child processes through posix_spawn: nothing runs between fork and exec, descriptors
 * other than those named are closed, signals are reset. A child that must not outlive
 * us watches a pipe (its stdin) for our end, however we end. */
#ifndef HOTADD_BASE_CHILD_H
#define HOTADD_BASE_CHILD_H

#include "base/buf.h"
#include "base/cancel.h"
#include "base/err.h"

#include <stdint.h>
#include <sys/types.h>

struct child {
    pid_t pid;    /* -1 when none */
    int pid_fd;   /* readable when the child has ended; owned */
    int stdin_fd; /* our end of pipes asked for, else -1; owned */
    int stdout_fd;
    int stderr_fd;
};

#define CHILD_INIT                                                                       \
    {                                                                                    \
        .pid = -1, .pid_fd = -1, .stdin_fd = -1, .stdout_fd = -1, .stderr_fd = -1        \
    }

enum child_io {
    CHILD_NULL,    /* /dev/null */
    CHILD_INHERIT, /* ours */
    CHILD_PIPE,    /* a pipe whose other end lands in struct child */
    CHILD_FD,      /* for err: the descriptor err_fd, borrowed */
};

#define CHILD_MAX_FDS 40

struct child_spec {
    const char *const *argv; /* NULL-terminated; argv[0] is looked up in PATH */
    const char *const *env;  /* NULL-terminated; NULL: our own environment */
    enum child_io in, out, err;
    int err_fd;
    /* More descriptors to hand over, at most CHILD_MAX_FDS: fds[i] becomes 3+i in the
     * child. */
    const int *fds;
    size_t n_fds;
    bool new_group; /* lead a process group of its own: terminal signals pass it by */
};

int child_spawn(const struct child_spec *spec, struct child *ret,
                struct err *e) err_warn_unused;

/* Waits at most timeout_ns (UINT64_MAX: for ever) and stores the wait status.
 * ERR_TIMEOUT leaves the child running; ERR_CANCELLED likewise. */
int child_wait(struct child *c, uint64_t timeout_ns, const struct cancel *cancel,
               int *ret_status, struct err *e) err_warn_unused;

/* Asks (SIGTERM), waits up to grace_ns, then kills; reaps. Closes our pipe ends.
 * Nothing to do for a child that was never started or was reaped. */
void child_stop(struct child *c, uint64_t grace_ns);

/* Runs argv to its end, capturing stdout (up to max_out) and stderr (its last 4 KiB,
 * which become part of the error). A non-zero end is ERR_FAILED. */
int child_run(const char *const *argv, size_t max_out, struct buf *out,
              const struct cancel *cancel, uint64_t timeout_ns,
              struct err *e) err_warn_unused;

/* "exit 3" or "signal 9". Returned. */
char *child_status_text(int status, char *out, size_t out_len);

#endif
