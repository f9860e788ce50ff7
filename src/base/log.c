/* Log lines; see log.h. The only process-wide state of hotadd: set at start-up, before
 * threads exist, and read-only afterwards. */
#include "base/log.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/str.h"

#include <jansson.h>
#include <string.h>
#include <unistd.h>

static struct {
    const char *name;
    enum log_level level;
    enum log_format format;
    void (*before_line)(void);
} conf = {.name = "hotadd", .level = LOG_INFO, .format = LOG_TEXT};

void log_setup(const char *name, enum log_level level, enum log_format format)
{
    conf.name = name;
    conf.level = level;
    conf.format = format;
}

enum log_level log_level(void)
{
    return conf.level;
}

void log_set_before_line(void (*before_line)(void))
{
    conf.before_line = before_line;
}

static const char *level_name(enum log_level level)
{
    switch (level) {
    case LOG_ERROR:
        return "error";
    case LOG_WARNING:
        return "warning";
    case LOG_DEBUG:
        return "debug";
    default:
        return "info";
    }
}

static void format_json(struct buf *line, enum log_level level, const char *msg)
{
    char when[CLOCK_ISO_LEN];
    json_t *o;
    char *text;

    clock_iso8601(when, clock_real_s());
    o = json_pack("{s:s, s:s, s:s, s:s}", "time", when, "level", level_name(level),
                  "program", conf.name, "message", msg);
    text = o ? json_dumps(o, JSON_COMPACT | JSON_PRESERVE_ORDER) : NULL;
    buf_adds(line, text ? text : "{\"level\":\"error\",\"message\":\"unprintable\"}");
    free(text);
    json_decref(o);
}

void log_line(enum log_level level, const char *fmt, ...)
{
    auto_buf struct buf msg = BUF_INIT;
    auto_buf struct buf line = BUF_INIT;
    va_list ap;

    if (level > conf.level)
        return;
    va_start(ap, fmt);
    buf_vaddf(&msg, fmt, ap);
    va_end(ap);
    if (msg.len)
        str_blank_controls(msg.data);
    if (conf.format == LOG_JSON)
        format_json(&line, level, buf_str(&msg));
    else if (level == LOG_INFO)
        buf_addf(&line, "%s: %s", conf.name, buf_str(&msg));
    else
        buf_addf(&line, "%s: %s: %s", conf.name, level_name(level), buf_str(&msg));
    buf_addc(&line, '\n');
    if (conf.before_line)
        conf.before_line();
    if (!line.failed)
        io_write_best_effort(STDERR_FILENO, line.data, line.len);
}
