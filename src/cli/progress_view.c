/* Progress for people and programs; see progress_view.h.
 *
 * One view per process, because a terminal is one thing: its state is static, guarded
 * by a mutex since reports come from mover threads and log lines from anywhere. */
#include "cli/progress_view.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "base/str.h"

#include <inttypes.h>
#include <jansson.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define LINE_EVERY_NS (10 * NS_PER_S)
#define JSON_EVERY_NS NS_PER_S

static struct {
    pthread_mutex_t lock; /* guards all below */
    enum progress_view_kind kind;
    bool drawn;         /* a bar stands on the current terminal line */
    uint64_t last_ns;   /* when a line or JSON object was last printed */
    char last_what[80]; /* the work it was about */
} view = {.lock = PTHREAD_MUTEX_INITIALIZER};

static int percent(const struct progress_state *s)
{
    if (!s->total_bytes)
        return 0;
    return (int)((double)s->done_bytes * 100 / (double)s->total_bytes);
}

static unsigned terminal_columns(void)
{
    struct winsize ws;

    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &ws) == 0 && ws.ws_col >= 40)
        return ws.ws_col;
    return 80;
}

static void add_eta(struct buf *b, uint64_t eta_s)
{
    if (eta_s == UINT64_MAX)
        return;
    if (eta_s >= 3600)
        buf_addf(b, ", %" PRIu64 " h %02" PRIu64 " min left", eta_s / 3600,
                 eta_s / 60 % 60);
    else
        buf_addf(b, ", %" PRIu64 ":%02" PRIu64 " left", eta_s / 60, eta_s % 60);
}

static void add_figures(struct buf *b, const struct progress_state *s)
{
    char data[32], rate[32];

    buf_addf(b, "%3d %%", percent(s));
    /* Work that moves no data (looking into a guest) has its percentage only. */
    if (s->data_bytes)
        buf_addf(b, "  %s of data, %s/s", str_bytes(data, sizeof data, s->data_bytes),
                 str_bytes(rate, sizeof rate, s->bytes_per_s));
    add_eta(b, s->eta_s);
}

static void draw_bar(const struct progress_state *s)
{
    auto_buf struct buf figures = BUF_INIT;
    auto_buf struct buf b = BUF_INIT;
    unsigned columns = terminal_columns(), room, full;

    buf_addf(&b, "\r\033[K%s ", s->what);
    if (!s->total_bytes) {
        buf_adds(&b, "…");
    } else {
        add_figures(&figures, s);
        room = (unsigned)strlen(s->what) + (unsigned)figures.len + 5;
        room = room < columns ? columns - room : 0;
        room = room > 40 ? 40 : room;
        full = room * (unsigned)percent(s) / 100;
        if (room >= 8) {
            buf_addc(&b, '[');
            for (unsigned i = 0; i < room; i++)
                buf_addc(&b, i < full ? '=' : ' ');
            buf_adds(&b, "] ");
        }
        buf_add(&b, figures.data, figures.len);
    }
    io_write_best_effort(STDERR_FILENO, buf_str(&b), b.len);
    view.drawn = true;
}

static void print_line(const struct progress_state *s)
{
    auto_buf struct buf b = BUF_INIT;

    buf_addf(&b, "%s: ", s->what);
    if (s->total_bytes)
        add_figures(&b, s);
    else
        buf_adds(&b, "working");
    buf_addc(&b, '\n');
    io_write_best_effort(STDERR_FILENO, buf_str(&b), b.len);
}

static void print_json(const struct progress_state *s)
{
    json_auto_t *o =
        json_pack("{s:s, s:s, s:I, s:I, s:I, s:I}", "event", "progress", "what", s->what,
                  "done_bytes", (json_int_t)s->done_bytes, "total_bytes",
                  (json_int_t)s->total_bytes, "data_bytes", (json_int_t)s->data_bytes,
                  "bytes_per_s", (json_int_t)s->bytes_per_s);
    auto_buf struct buf b = BUF_INIT;
    char *text;

    if (o && s->eta_s != UINT64_MAX)
        json_object_set_new(o, "eta_s", json_integer((json_int_t)s->eta_s));
    text = o ? json_dumps(o, JSON_COMPACT) : NULL;
    if (!text)
        return;
    buf_addf(&b, "%s\n", text);
    free(text);
    io_write_best_effort(STDERR_FILENO, buf_str(&b), b.len);
}

static void report(void *ctx, const struct progress_state *s)
{
    uint64_t now_ns = clock_mono_ns(), every_ns;
    bool last = s->total_bytes && s->done_bytes >= s->total_bytes, fresh;

    pthread_mutex_lock(&view.lock);
    fresh = !str_eq(view.last_what, s->what);
    every_ns = view.kind == PROGRESS_VIEW_JSON ? JSON_EVERY_NS : LINE_EVERY_NS;
    if (view.kind == PROGRESS_VIEW_BAR) {
        draw_bar(s);
    } else if (fresh || last || now_ns - view.last_ns >= every_ns) {
        if (view.kind == PROGRESS_VIEW_JSON)
            print_json(s);
        else
            print_line(s);
        view.last_ns = now_ns;
    }
    snprintf(view.last_what, sizeof view.last_what, "%s", s->what);
    pthread_mutex_unlock(&view.lock);
}

void progress_view_clear(void)
{
    pthread_mutex_lock(&view.lock);
    if (view.drawn)
        io_write_best_effort(STDERR_FILENO, "\r\033[K", 4);
    view.drawn = false;
    pthread_mutex_unlock(&view.lock);
}

const struct progress *progress_view_start(bool json, bool quiet)
{
    static const struct progress p = {.report = report};

    if (quiet)
        return NULL;
    view.kind = json                    ? PROGRESS_VIEW_JSON
                : isatty(STDERR_FILENO) ? PROGRESS_VIEW_BAR
                                        : PROGRESS_VIEW_LINES;
    if (view.kind == PROGRESS_VIEW_BAR)
        log_set_before_line(progress_view_clear);
    return &p;
}
