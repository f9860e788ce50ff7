/* Errors as the API answers them: ERR_CLOUD with EC2's code in aws_code. */
#ifndef HOTADD_LAB_REFUSE_H
#define HOTADD_LAB_REFUSE_H

#include "base/err.h"

/* Returns -1. */
int refuse(struct err *e, const char *code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* "The request must contain the parameter NAME". */
int refuse_missing(struct err *e, const char *name);
/* "Value (V) for parameter NAME is invalid. WHY" */
int refuse_value(struct err *e, const char *name, const char *value, const char *why);

/* The HTTP status that goes with a code. */
unsigned refuse_status(const char *code);

#endif
