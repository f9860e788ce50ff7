/* The state machine of a sync: which command may be given when, and what to do instead.
 * docs/live-sync.md draws it. */
#include "sync/sync.h"

#include "base/buf.h"
#include "base/str.h"

static const char *const state_words[SYNC_STATES] = {
    [SYNC_NEW] = "new",
    [SYNC_ACTIVE] = "active",
    [SYNC_PAUSED] = "paused",
    [SYNC_NEEDS_RESYNC] = "needs-resync",
    [SYNC_FAILING_OVER] = "failing-over",
    [SYNC_FAILED_OVER] = "failed-over",
    [SYNC_UNDOING] = "undoing-failover",
    [SYNC_FAILING_BACK] = "failing-back",
    [SYNC_FAILED_BACK] = "failed-back",
    [SYNC_COMMITTED] = "committed",
    [SYNC_DELETING] = "deleting",
};

static const char *const command_words[SYNC_COMMANDS] = {
    [SYNC_RUN] = "run",           [SYNC_PAUSE] = "pause",
    [SYNC_RESUME] = "resume",     [SYNC_RESYNC] = "resync",
    [SYNC_DELETE] = "delete",     [SYNC_VERIFY] = "verify",
    [SYNC_TEST] = "test",         [SYNC_FAILOVER] = "failover",
    [SYNC_FAILBACK] = "failback", [SYNC_UNDO_FAILOVER] = "undo-failover",
    [SYNC_COMMIT] = "commit",
};

#define OK          NULL
#define SEED        "it has no replica yet; seed it with `hotadd sync run NAME`"
#define NOT_PAUSED  "it is not paused"
#define NO_FAILOVER "there is no failover; `hotadd sync failover NAME` begins one"
#define RESUME_IT   "`hotadd sync resume NAME` first"
#define RESYNC_IT   "`hotadd sync resync NAME` compares the volumes and mends them"
#define FINISH                                                                           \
    "finish it with `hotadd sync failover NAME`, or `hotadd sync undo-failover NAME`"
#define RUNS                                                                             \
    "its instance runs in the machine's place; `hotadd sync undo-failover NAME`, "       \
    "`failback NAME` or `commit NAME` first"
#define UNDO_GOES_ON "`hotadd sync undo-failover NAME` goes on with it"
#define BACK_GOES_ON "`hotadd sync failback NAME` goes on with it"
#define IS_BACK                                                                          \
    "its instance's state is in the repository; `hotadd sync commit NAME` or "           \
    "`hotadd sync undo-failover NAME` first"
#define FOR_GOOD                                                                         \
    "nothing follows a commit; `hotadd sync delete NAME` ends it, and "                  \
    "`hotadd sync create` begins anew"
#define DELETE_GOES_ON "`hotadd sync delete NAME` goes on with it"

/* What to do instead; OK: the command may be given. In the order of enum sync_command:
 * run, pause, resume, resync, delete, verify, test, failover, undo-failover, failback,
 * commit. */
static const char *const instead[SYNC_STATES][SYNC_COMMANDS] = {
    [SYNC_NEW] = {OK, OK, NOT_PAUSED, SEED, OK, SEED, SEED, SEED, NO_FAILOVER,
                  NO_FAILOVER, NO_FAILOVER},
    [SYNC_ACTIVE] = {OK, OK, NOT_PAUSED, OK, OK, OK, OK, OK, NO_FAILOVER, NO_FAILOVER,
                     NO_FAILOVER},
    [SYNC_PAUSED] = {RESUME_IT, OK, OK, RESUME_IT, OK, OK, OK, OK, NO_FAILOVER,
                     NO_FAILOVER, NO_FAILOVER},
    [SYNC_NEEDS_RESYNC] = {RESYNC_IT, RESYNC_IT, RESYNC_IT, OK, OK, OK, OK, OK,
                           NO_FAILOVER, NO_FAILOVER, NO_FAILOVER},
    [SYNC_FAILING_OVER] = {FINISH, FINISH, FINISH, FINISH, FINISH, FINISH, FINISH, OK, OK,
                           FINISH, FINISH},
    [SYNC_FAILED_OVER] = {RUNS, RUNS, RUNS, RUNS, RUNS, OK, RUNS, RUNS, OK, OK, OK},
    [SYNC_UNDOING] = {UNDO_GOES_ON, UNDO_GOES_ON, UNDO_GOES_ON, UNDO_GOES_ON,
                      UNDO_GOES_ON, UNDO_GOES_ON, UNDO_GOES_ON, UNDO_GOES_ON, OK,
                      UNDO_GOES_ON, UNDO_GOES_ON},
    [SYNC_FAILING_BACK] = {BACK_GOES_ON, BACK_GOES_ON, BACK_GOES_ON, BACK_GOES_ON,
                           BACK_GOES_ON, BACK_GOES_ON, BACK_GOES_ON, BACK_GOES_ON,
                           BACK_GOES_ON, OK, BACK_GOES_ON},
    [SYNC_FAILED_BACK] = {IS_BACK, IS_BACK, IS_BACK, IS_BACK, IS_BACK, OK, IS_BACK,
                          IS_BACK, OK, OK, OK},
    [SYNC_COMMITTED] = {FOR_GOOD, FOR_GOOD, FOR_GOOD, FOR_GOOD, OK, FOR_GOOD, FOR_GOOD,
                        FOR_GOOD, FOR_GOOD, FOR_GOOD, FOR_GOOD},
    [SYNC_DELETING] = {DELETE_GOES_ON, DELETE_GOES_ON, DELETE_GOES_ON, DELETE_GOES_ON, OK,
                       DELETE_GOES_ON, DELETE_GOES_ON, DELETE_GOES_ON, DELETE_GOES_ON,
                       DELETE_GOES_ON, DELETE_GOES_ON},
};

const char *sync_state_name(enum sync_state s)
{
    return state_words[s];
}

const char *sync_command_name(enum sync_command c)
{
    return command_words[c];
}

static void add_with_name(struct buf *b, const char *text, const char *name)
{
    for (const char *at; (at = strstr(text, "NAME")); text = at + 4) {
        buf_add(b, text, (size_t)(at - text));
        buf_adds(b, name);
    }
    buf_adds(b, text);
}

int sync_allowed(const char *name, enum sync_state s, enum sync_command c, struct err *e)
{
    auto_buf struct buf b = BUF_INIT;

    if (!instead[s][c])
        return 0;
    add_with_name(&b, instead[s][c], name);
    return err_set(e, ERR_USAGE, "sync %s is %s, so there is no %s: %s", name,
                   state_words[s], command_words[c], buf_str(&b));
}
