/* What all helpers do; see helper_child.h. */
#include "base/helper_child.h"

#include "base/buf.h"
#include "base/io.h"
#include "base/json.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_REQUEST (1u << 20)

void helper_child_begin(void)
{
    const struct rlimit none = {0, 0};

    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    setrlimit(RLIMIT_CORE, &none);
    signal(SIGPIPE, SIG_IGN);
    umask(077);
    /* The watcher signals our whole group; that must not be our caller's. */
    setpgid(0, 0);
}

/* Byte by byte: what follows the line is not ours to take. */
static int read_line(struct buf *line, struct err *e)
{
    for (;;) {
        char c;
        ssize_t n = read(STDIN_FILENO, &c, 1);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_sys(e, "request");
        if (n == 0)
            return err_set(e, ERR_INPUT, "request: no line on standard input");
        if (c == '\n')
            return buf_check(line, e);
        if (line->len >= MAX_REQUEST)
            return err_set(e, ERR_INPUT, "request: too long");
        buf_addc(line, c);
    }
}

int helper_child_request(json_t **ret, struct err *e)
{
    auto_buf struct buf line = BUF_INIT;

    if (read_line(&line, e) < 0)
        return -1;
    return json_parse(buf_str(&line), line.len, "request", ret, e);
}

/* The client keeps our standard input open for as long as it wants us. */
static void *watch_stdin(void *unused)
{
    char c;
    ssize_t n;

    do
        n = read(STDIN_FILENO, &c, 1);
    while (n > 0 || (n < 0 && errno == EINTR));
    /* The group: children of ours are in it. */
    kill(0, SIGTERM);
    _exit(3);
}

int helper_child_watch(struct err *e)
{
    pthread_t watcher;
    int r = pthread_create(&watcher, NULL, watch_stdin, NULL);

    if (r)
        return err_sys_n(e, r, "thread");
    pthread_detach(watcher);
    return 0;
}

void helper_child_say(json_t *line)
{
    auto_free char *text = line ? json_dumps(line, JSON_COMPACT) : NULL;

    if (text) {
        io_write_best_effort(STDOUT_FILENO, text, strlen(text));
        io_write_best_effort(STDOUT_FILENO, "\n", 1);
    }
    json_decref(line);
}

void helper_child_result(json_t *result)
{
    helper_child_say(json_pack("{s:o}", "result", result));
}

int helper_child_error(const struct err *e)
{
    helper_child_say(json_pack("{s:{s:i, s:o}}", "error", "kind", (int)e->kind, "message",
                               json_any_text(e->msg)));
    return 1;
}
