/* What every unit test includes: cmocka with its prerequisites in the order it wants,
 * and checks for functions that fill a struct err. */
#ifndef HOTADD_TESTS_UNIT_TEST_H
#define HOTADD_TESTS_UNIT_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"

/* The call must succeed; its error is printed when not. */
#define assert_ok(call)                                                                  \
    do {                                                                                 \
        struct err e_ = ERR_INIT, *e = &e_;                                              \
        if ((call) < 0)                                                                  \
            fail_msg("%s: %s", #call, e_.msg);                                           \
    } while (0)

/* The call must fail with that kind, and its message must contain `text`. */
#define assert_fails(call, want_kind, text)                                              \
    do {                                                                                 \
        struct err e_ = ERR_INIT, *e = &e_;                                              \
        if ((call) >= 0)                                                                 \
            fail_msg("%s: succeeded", #call);                                            \
        if (e_.kind != (want_kind) || !strstr(e_.msg, (text)))                           \
            fail_msg("%s: got %s: %s", #call, err_kind_name(e_.kind), e_.msg);           \
    } while (0)

/* Ends the test as skipped and says why. */
#define skip_because(why)                                                                \
    do {                                                                                 \
        print_message("skipped: %s\n", (why));                                           \
        skip();                                                                          \
    } while (0)

#endif
