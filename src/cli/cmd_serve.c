/* hotadd serve: the monitor, until it is told to stop. */
#include "base/json.h"
#include "base/log.h"
#include "base/secret.h"
#include "base/str.h"
#include "cli/command.h"
#include "sync/sync.h"
#include "web/web.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define DEFAULT_LISTEN "127.0.0.1:8321"

struct serve_options {
    struct common_options common;
    char *listen, *token_file, *tls_cert, *tls_key;
    struct strv hosts;
    bool read_only;
};

static const struct option_def defs[] = {
    {"listen", 0, OPTION_STRING, offsetof(struct serve_options, listen), "PLACE",
     "ADDRESS:PORT or unix:PATH (127.0.0.1:8321)"},
    {"token-file", 0, OPTION_STRING, offsetof(struct serve_options, token_file), "FILE",
     "file with the token, readable by its owner only"},
    {"host", 0, OPTION_LIST, offsetof(struct serve_options, hosts), "NAME",
     "another name by which browsers ask for it"},
    {"tls-cert", 0, OPTION_STRING, offsetof(struct serve_options, tls_cert), "FILE",
     "serve HTTPS with this certificate and its chain, PEM"},
    {"tls-key", 0, OPTION_STRING, offsetof(struct serve_options, tls_key), "FILE",
     "the certificate's key, PEM"},
    {"read-only", 0, OPTION_FLAG, offsetof(struct serve_options, read_only), NULL,
     "show everything, start nothing"},
    COMMON_OPTIONS(struct serve_options),
    OPTION_END,
};

/* ---- Live Sync, as the monitor asks for it ---- */

static int list_syncs(void *ctx, json_t **ret, struct err *e)
{
    return sync_list(ctx, ret, e);
}

static enum sync_state state_by_name(const char *name)
{
    for (int s = SYNC_NEW; s < SYNC_STATES; s++)
        if (str_eq(name, sync_state_name((enum sync_state)s)))
            return (enum sync_state)s;
    return SYNC_DELETING; /* which nothing but delete may follow */
}

/* For each command null, or why it cannot be given now and what to do instead. */
static int add_commands(json_t *sync, const char *name, struct err *e)
{
    enum sync_state state = state_by_name(json_str_or(sync, "state", ""));
    json_auto_t *o = json_object();

    for (int c = SYNC_RUN; c < SYNC_COMMANDS; c++) {
        struct err why = ERR_INIT;
        bool may = sync_allowed(name, state, (enum sync_command)c, &why) == 0;

        if (json_put(o, sync_command_name((enum sync_command)c),
                     may ? json_null() : json_string(why.msg), e) < 0)
            return -1;
    }
    return json_put(sync, "commands", json_incref(o), e);
}

static int show_sync(void *ctx, const char *name, json_t **ret, struct err *e)
{
    json_auto_t *o = NULL;

    if (sync_show(name, ctx, &o, e) < 0 || add_commands(o, name, e) < 0)
        return -1;
    *ret = json_incref(o);
    return 0;
}

/* ---- the command ---- */

/* " --journal FILE" for commands that people copy, quoted for a shell; nothing where the
 * environment says it, to them as to us. Owned. */
static int mend_tail(const char *journal, char **ret, struct err *e)
{
    const char *said = getenv("HOTADD_JOURNAL");
    auto_buf struct buf b = BUF_INIT;

    if (journal && !(said && str_eq(said, journal))) {
        buf_adds(&b, " --journal '");
        for (const char *c = journal; *c; c++)
            if (*c == '\'')
                buf_adds(&b, "'\\''");
            else
                buf_addc(&b, *c);
        buf_addc(&b, '\'');
    }
    return buf_take(&b, ret, e);
}

/* The token made for this run is shown once, to a person. */
static int say_where(const struct web *w, bool json, struct err *e)
{
    json_auto_t *o = json ? json_pack("{s:s}", "listen", web_where(w)) : NULL;
    auto_free char *url = NULL;

    if (json)
        return o && command_print_json(o) == EXIT_DONE ? 0 : err_nomem(e);
    if (web_login_url(w, &url, e) < 0)
        return -1;
    printf("monitor: %s\n", url ? url : web_where(w));
    if (url)
        secret_wipe(url, strlen(url));
    if (fflush(stdout) == EOF)
        return err_sys(e, "standard output");
    return 0;
}

static int wait_for_end(const struct cancel *cancel, struct err *e)
{
    struct pollfd p = {.fd = cancel ? cancel->event_fd : -1, .events = POLLIN};

    while (!cancel_requested(cancel))
        if (poll(&p, 1, -1) < 0 && errno != EINTR)
            return err_sys(e, "poll");
    return 0;
}

static int own_path(char *out, size_t out_len, struct err *e)
{
    ssize_t n = readlink("/proc/self/exe", out, out_len - 1);

    if (n < 0)
        return err_sys(e, "/proc/self/exe");
    out[n] = 0;
    return 0;
}

static int serve(const struct serve_options *o, struct err *e)
{
    struct flow_env env = command_begin(&o->common);
    const char *place = o->listen ? o->listen : DEFAULT_LISTEN;
    auto_free char *tail = NULL;
    struct web_syncs syncs = {list_syncs, show_sync, &env};
    char program[PATH_MAX];
    struct web_options wo = {.listen = place,
                             .token_file = o->token_file,
                             .hosts = &o->hosts,
                             .tls_cert = o->tls_cert,
                             .tls_key = o->tls_key,
                             .journal_path = env.journal_path,
                             .program = program,
                             .read_only = o->read_only,
                             .syncs = &syncs};
    struct web *w = NULL;
    int r;

    if (!o->token_file && !str_starts(place, "unix:") &&
        (o->common.json || !isatty(STDOUT_FILENO)))
        return err_set(
            e, ERR_USAGE,
            "there is no terminal to show a new token on: give --token-file, or "
            "listen on unix:PATH");
    if (mend_tail(o->common.journal, &tail, e) < 0 ||
        own_path(program, sizeof program, e) < 0)
        return -1;
    wo.mend_tail = tail;
    if (web_start(&wo, &w, e) < 0)
        return -1;
    log_info("serving the monitor at %s", web_where(w));
    r = say_where(w, o->common.json, e);
    if (r == 0)
        r = wait_for_end(env.cancel, e);
    web_stop(w);
    return r;
}

int cmd_serve(int argc, char **argv)
{
    static const struct command_help help = {
        .name = "serve",
        .args = "",
        .summary =
            "Serves the monitor: a page with the jobs and replicas of this proxy, what "
            "is "
            "wrong and\nwhat mends it; an API, an event stream and Prometheus metrics.",
        .epilogue =
            "Without --token-file a token is made and shown once on the terminal. "
            "Other addresses\nthan loopback need --tls-cert, --tls-key and "
            "--token-file."};
    struct serve_options o = {0};
    struct err e = ERR_INIT;
    int first, code, r = options_parse(argc, argv, &help, defs, &o, &first, &e);

    if (r != 0)
        code = r > 0 ? EXIT_DONE : command_fail(&e, NULL);
    else if (argc != first)
        code = command_usage("serve", "give options only");
    else
        code = serve(&o, &e) < 0 ? command_fail(&e, NULL) : EXIT_DONE;
    options_release(defs, &o);
    return code;
}
