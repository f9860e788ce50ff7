/* Log lines on standard error (standard output belongs to results).
 *
 * Libraries log at debug only and return errors to their caller; job, flow, web and cli
 * log outcomes, once. Never hand a secret to these functions: the type in secret.h
 * cannot be printed by accident. Lines are written with one write(2), so lines of
 * threads and children do not mix. */
#ifndef HOTADD_BASE_LOG_H
#define HOTADD_BASE_LOG_H

#include <stdarg.h>
#include <stdbool.h>

enum log_level { LOG_QUIET = 0, LOG_ERROR, LOG_WARNING, LOG_INFO, LOG_DEBUG };
enum log_format { LOG_TEXT, LOG_JSON };

/* Called once at start-up, before threads; the default is LOG_INFO and LOG_TEXT.
 * `name` (borrowed for ever) begins each text line. */
void log_setup(const char *name, enum log_level level, enum log_format format);
enum log_level log_level(void);

/* A terminal progress bar, if one is drawn, is erased before a line by this hook; NULL
 * for none. Set at start-up. */
void log_set_before_line(void (*before_line)(void));

void log_line(enum log_level level, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

#define log_error(...)   log_line(LOG_ERROR, __VA_ARGS__)
#define log_warning(...) log_line(LOG_WARNING, __VA_ARGS__)
#define log_info(...)    log_line(LOG_INFO, __VA_ARGS__)
#define log_debug(...)                                                                   \
    do {                                                                                 \
        if (log_level() >= LOG_DEBUG)                                                    \
            log_line(LOG_DEBUG, __VA_ARGS__);                                            \
    } while (0)

#endif
