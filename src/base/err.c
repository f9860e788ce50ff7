/* The error record; see err.h. Holds no state: a crash leaves nothing. */
#include "base/err.h"

#include "base/str.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

int err_vset(struct err *e, enum err_kind kind, const char *fmt, va_list ap)
{
    char msg[sizeof e->msg];

    vsnprintf(msg, sizeof msg, fmt, ap);
    str_blank_controls(msg); /* they quote foreign input: file names, API answers */
    memset(e, 0, sizeof *e);
    e->kind = kind;
    memcpy(e->msg, msg, sizeof msg);
    return -1;
}

int err_set(struct err *e, enum err_kind kind, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    err_vset(e, kind, fmt, ap);
    va_end(ap);
    return -1;
}

__attribute__((format(printf, 3, 0))) static int set_sys(struct err *e, int n,
                                                         const char *fmt, va_list ap)
{
    const char *remedy = "";
    char text[128];
    size_t len;

    err_vset(e, ERR_SYS, fmt, ap);
    e->sys_errno = n;
    if (n == ENOMEM) {
        e->kind = ERR_NOMEM;
    } else if (n == ENOSPC || n == EDQUOT) {
        e->kind = ERR_NOSPACE;
        remedy = " (free some there, then try again)";
    } else if (n == EBUSY) {
        e->kind = ERR_BUSY;
    } else if (n == EMFILE) {
        remedy = " (raise the limit with ulimit -n)";
    }
    len = strlen(e->msg);
    /* GNU strerror_r: returns the text, which need not be in the buffer. */
    snprintf(e->msg + len, sizeof e->msg - len, ": %s%s",
             strerror_r(n, text, sizeof text), remedy);
    return -1;
}

int err_sys(struct err *e, const char *fmt, ...)
{
    int n = errno;
    va_list ap;

    va_start(ap, fmt);
    set_sys(e, n, fmt, ap);
    va_end(ap);
    return -1;
}

int err_sys_n(struct err *e, int sys_errno, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    set_sys(e, sys_errno, fmt, ap);
    va_end(ap);
    return -1;
}

int err_prefix(struct err *e, const char *fmt, ...)
{
    char old[sizeof e->msg], prefix[400];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(prefix, sizeof prefix, fmt, ap);
    va_end(ap);
    memcpy(old, e->msg, sizeof old);
    /* A chain of prefixes longer than the record loses the end of the story. */
    snprintf(e->msg, sizeof e->msg, "%s: %.*s", prefix,
             (int)(sizeof e->msg - sizeof prefix - 2), old);
    str_blank_controls(e->msg);
    return -1;
}

int err_nomem(struct err *e)
{
    return err_set(e, ERR_NOMEM, "out of memory");
}

const char *err_kind_name(enum err_kind kind)
{
    static const char *const names[] = {
        [ERR_NONE] = "none",
        [ERR_FAILED] = "failed",
        [ERR_SYS] = "system",
        [ERR_NOMEM] = "no-memory",
        [ERR_USAGE] = "usage",
        [ERR_INPUT] = "input",
        [ERR_UNSUPPORTED] = "unsupported",
        [ERR_REQUIREMENT] = "requirement",
        [ERR_DENIED] = "denied",
        [ERR_NOT_FOUND] = "not-found",
        [ERR_EXISTS] = "exists",
        [ERR_BUSY] = "busy",
        [ERR_NOSPACE] = "no-space",
        [ERR_TIMEOUT] = "timeout",
        [ERR_NETWORK] = "network",
        [ERR_CLOUD] = "cloud",
        [ERR_CANCELLED] = "cancelled",
    };

    if ((size_t)kind >= sizeof names / sizeof names[0])
        return "unknown";
    return names[kind];
}

void err_clear(struct err *e)
{
    memset(e, 0, sizeof *e);
}
