/* What the tests of src/job share: a journal in a directory of its own, and a guard that
 * nothing secret reached the journal's files. */
#ifndef HOTADD_TESTS_UNIT_JOURNAL_TEST_H
#define HOTADD_TESTS_UNIT_JOURNAL_TEST_H

#include "test.h"

#include "base/io.h"
#include "base/log.h"
#include "job/job.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

struct journal_dir {
    char dir[64];
    char path[96]; /* of the journal in it */
};

static inline void journal_dir_make(struct journal_dir *d)
{
    /* Hundreds of crashes sync thousands of times: in memory where there is a place. */
    snprintf(d->dir, sizeof d->dir, "%s/hotadd-test-XXXXXX",
             access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    assert_non_null(mkdtemp(d->dir));
    snprintf(d->path, sizeof d->path, "%s/state/journal.db", d->dir);
}

static inline void journal_dir_remove(struct journal_dir *d)
{
    assert_ok(io_remove_tree(d->dir, e));
}

/* Fails when the text is in the journal, its WAL or its lock file. */
static inline void assert_not_in_journal(const char *journal_path, const char *text)
{
    static const char *const tails[] = {"", "-wal", "-shm", ".lock"};

    for (size_t i = 0; i < sizeof tails / sizeof tails[0]; i++) {
        auto_buf struct buf b = BUF_INIT;
        char path[512];
        struct err e;

        snprintf(path, sizeof path, "%s%s", journal_path, tails[i]);
        if (io_read_file(path, 1u << 30, &b, &e) < 0) {
            assert_int_equal(e.sys_errno, ENOENT);
            continue;
        }
        if (b.len && memmem(b.data, b.len, text, strlen(text)))
            fail_msg("%s holds what must not be in it", path);
    }
}

/* The exit status of fn(arg) in a child process, or 128 + the signal that ended it. */
static inline int in_child(int (*fn)(void *arg), void *arg)
{
    pid_t pid = fork();
    int status;

    assert_true(pid >= 0);
    if (pid == 0)
        _exit(fn(arg));
    while (waitpid(pid, &status, 0) < 0)
        assert_int_equal(errno, EINTR);
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

#endif
