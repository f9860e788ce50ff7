/* Inside src/sync: tests by schedule, for `watch`. */
#ifndef HOTADD_SYNC_FAILOVER_SCHEDULE_H
#define HOTADD_SYNC_FAILOVER_SCHEDULE_H

#include "base/child.h"
#include "sync/failover.h"

#define KEY_TEST_EVERY    "test_every_s"
#define KEY_TEST_INSTANCE "test_instance"

/* Is a test due at that time? Never while the sync's state allows none. */
bool failover_test_due(const struct sync *s, int64_t now_s);

/* The settings that scheduled tests have. Fills *ret, zeroed by the caller. */
int failover_scheduled_instance(const struct sync *s, struct restore_params *ret,
                                struct err *e) err_warn_unused;

/* At most one test at a time. */
struct test_runner {
    struct child child; /* pid -1: none runs */
    char *name;         /* owned: whose test runs, or ran last */
    uint64_t next_ns;   /* when to look again */
};
#define TEST_RUNNER_INIT                                                                 \
    {                                                                                    \
        .child = CHILD_INIT                                                              \
    }

/* Called about once a second: reaps, looks what is due, starts. */
int test_runner_turn(struct test_runner *t, struct journal *journal,
                     const struct strv *names, const char *program,
                     const struct flow_env *env, struct err *e) err_warn_unused;
/* Asks a running test to end, and waits until it has removed what it made. */
void test_runner_stop(struct test_runner *t);

#endif
