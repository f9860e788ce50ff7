/* What every command shares; see command.h.
 *
 * SIGINT, SIGTERM and SIGHUP only set the cancellation flag, which the handler may do:
 * the job engine then stops cleanly and the command says how to go on. A second SIGINT or
 * SIGTERM ends the process at once, as people expect; the journal allows it. */
#include "cli/command.h"

#include "base/json.h"
#include "base/log.h"
#include "base/str.h"
#include "cli/progress_view.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#define DEFAULT_JOURNAL "/var/lib/hotadd/journal.db"

/* Reached by the signal handler: there is one process, one cancellation. */
static struct cancel stop = {.event_fd = -1};
static volatile sig_atomic_t asked_to_stop;

static void on_signal(int sig)
{
    if (asked_to_stop++)
        _exit(EXIT_INTERRUPTED);
    cancel_request(&stop);
}

/* A lost terminal, of which the kernel and the shell may both tell: no impatience. */
static void on_hangup(int sig)
{
    cancel_request(&stop);
}

static void watch_signals(void)
{
    struct sigaction sa = {.sa_handler = on_signal}, hangup;
    struct err e = ERR_INIT;

    if (cancel_init(&stop, &e) < 0) {
        log_warning("%s; an interruption will not be clean", e.msg);
        return;
    }
    sigaction(SIGINT, &sa, NULL);
    sigaction(SIGTERM, &sa, NULL);
    /* Of nohup it stays ignored. */
    if (sigaction(SIGHUP, NULL, &hangup) == 0 && hangup.sa_handler != SIG_IGN) {
        sa.sa_handler = on_hangup;
        sigaction(SIGHUP, &sa, NULL);
    }
    /* A closed pipe or connection is an error to be read, not a death; so is a limit. */
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
}

struct flow_env command_begin(const struct common_options *o)
{
    enum log_level level = o->quiet ? LOG_ERROR : o->debug ? LOG_DEBUG : LOG_INFO;

    log_setup("hotadd", level, o->json ? LOG_JSON : LOG_TEXT);
    watch_signals();
    return (struct flow_env){
        .journal_path = o->journal ? o->journal : DEFAULT_JOURNAL,
        .cancel = stop.event_fd >= 0 ? &stop : NULL,
        .progress = progress_view_start(o->json, o->quiet),
    };
}

static void say_how_to_go_on(const json_t *result)
{
    const char *id = json_str_or(result, "id", NULL);
    const char *state = json_str_or(result, "state", "");

    if (!id)
        return;
    if (str_eq(state, "failed") || str_eq(state, "interrupted"))
        log_info("job %s is %s: `hotadd resume %s` goes on, `hotadd undo %s` removes "
                 "what it made",
                 id, state, id, id);
    else if (str_eq(state, "undoing"))
        log_info("job %s is not wholly undone: `hotadd undo %s` goes on", id, id);
}

int command_fail(const struct err *e, const json_t *result)
{
    progress_view_clear();
    if (*e->request_id)
        log_error("%s (request %s)", e->msg, e->request_id);
    else
        log_error("%s", e->msg);
    say_how_to_go_on(result);
    switch (e->kind) {
    case ERR_USAGE:
        return EXIT_USAGE;
    case ERR_REQUIREMENT:
        return EXIT_REQUIREMENT;
    case ERR_CANCELLED:
        return EXIT_INTERRUPTED;
    default:
        return EXIT_FAILED;
    }
}

int command_usage(const char *command, const char *message)
{
    log_error("%s; see `hotadd %s --help`", message, command);
    return EXIT_USAGE;
}

int command_print_json(const json_t *value)
{
    if (json_dumpf(value, stdout, JSON_INDENT(2) | JSON_PRESERVE_ORDER) < 0 ||
        putchar('\n') == EOF || fflush(stdout) == EOF) {
        log_error("standard output: %s", strerror(errno));
        return EXIT_FAILED;
    }
    return EXIT_DONE;
}
