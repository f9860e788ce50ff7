/* How every function of hotadd that can fail says what went wrong.
 *
 * Such a function returns 0 (or another non-negative value it documents) or -1, takes
 * a caller-owned `struct err` as its last parameter, never NULL, and on failure fills
 * it and leaves its outputs untouched. A message says what failed, where, and, where
 * we know it, what to do; it never ends in a full stop or newline. */
#ifndef HOTADD_BASE_ERR_H
#define HOTADD_BASE_ERR_H

#include <stdarg.h>
#include <stdbool.h>

enum err_kind {
    ERR_NONE = 0,
    ERR_FAILED,      /* anything not listed below */
    ERR_SYS,         /* a system call; sys_errno is set */
    ERR_NOMEM,       /* out of memory */
    ERR_USAGE,       /* the caller's words: options, configuration */
    ERR_INPUT,       /* damaged or lying data that we did not write */
    ERR_UNSUPPORTED, /* valid, but outside what hotadd does */
    ERR_REQUIREMENT, /* a requirement of source, guest, proxy or account is not met */
    ERR_DENIED,      /* credentials missing, refused, or without the permission */
    ERR_NOT_FOUND,
    ERR_EXISTS,
    ERR_BUSY,
    ERR_NOSPACE,
    ERR_TIMEOUT,
    ERR_NETWORK,   /* no answer from an endpoint */
    ERR_CLOUD,     /* an API answered with an error; aws_code is set */
    ERR_CANCELLED, /* the user or a signal asked us to stop */
};

struct err {
    enum err_kind kind;
    int sys_errno;       /* 0 when no system call was at fault */
    bool retryable;      /* the same call may succeed later, unchanged */
    char aws_code[80];   /* EC2 or S3 error code, "" when there is none */
    char request_id[72]; /* of the failed API call, "" when there is none */
    char msg[1200];      /* UTF-8, one line, control characters replaced */
};

#define ERR_INIT                                                                         \
    {                                                                                    \
        0                                                                                \
    }

#define err_warn_unused __attribute__((warn_unused_result))

/* Each returns -1, so that `return err_set(e, …);` reads well. */
int err_set(struct err *e, enum err_kind kind, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
int err_vset(struct err *e, enum err_kind kind, const char *fmt, va_list ap)
    __attribute__((format(printf, 3, 0)));

/* From errno: "fmt: strerror". ENOMEM, ENOSPC, EDQUOT and EBUSY choose their own kinds; a
 * full disk and too many open files come with their remedy. */
int err_sys(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* As err_sys, for calls that return an error number instead of setting errno. */
int err_sys_n(struct err *e, int sys_errno, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Puts "fmt: " before the message already there; kind and codes stay. */
int err_prefix(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

int err_nomem(struct err *e);

/* A word for the kind, for JSON and tests ("input", "denied", …). */
const char *err_kind_name(enum err_kind kind);

void err_clear(struct err *e);

#endif
