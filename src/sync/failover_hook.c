/* The user's programs around a planned failover: a list of arguments, no shell. */
#include "sync/failover_job.h"

#include "base/child.h"
#include "base/log.h"
#include "base/str.h"

#define MAX_OUT    (64u << 10)
#define NO_TIMEOUT UINT64_MAX

extern char **environ;

static const char *const own_names[] = {
    "HOTADD_SYNC=", "HOTADD_VM=", "HOTADD_REPO=", "HOTADD_PHASE="};

static bool is_ours(const char *word)
{
    for (size_t i = 0; i < sizeof own_names / sizeof own_names[0]; i++)
        if (str_starts(word, own_names[i]))
            return true;
    return false;
}

/* Our own environment with four variables more. */
static int make_env(const struct sync *s, const char *phase, struct strv *ret,
                    struct err *e)
{
    const struct restore_params *p = sync_params(s);
    const char *const values[] = {sync_name(s), p->source ? p->source : "",
                                  p->repo ? p->repo : "", phase};

    for (char **v = environ; *v; v++)
        if (!is_ours(*v) && strv_add(ret, *v, e) < 0)
            return -1;
    for (size_t i = 0; i < sizeof own_names / sizeof own_names[0]; i++) {
        auto_free char *word = str_fmt(e, "%s%s", own_names[i], values[i]);

        if (!word || strv_add(ret, word, e) < 0)
            return -1;
    }
    return 0;
}

static const char **terminated(const struct strv *v, struct err *e)
{
    const char **list = mem_zalloc(v->n + 1, sizeof *list, e);

    for (size_t i = 0; list && i < v->n; i++)
        list[i] = v->v[i];
    return list;
}

int failover_hook(const struct strv *argv, const struct sync *s, const char *phase,
                  const struct cancel *cancel, struct err *e)
{
    auto_strv struct strv env = {0};
    auto_free const char **args = NULL, **vars = NULL;
    struct child c = CHILD_INIT;
    char text[40];
    int status;

    if (make_env(s, phase, &env, e) < 0)
        return -1;
    args = terminated(argv, e);
    vars = args ? terminated(&env, e) : NULL;
    if (!vars)
        return -1;
    log_info("%s (%s)", args[0], phase);
    /* Its results are no results of ours: what it says goes where our talk goes. */
    if (child_spawn(&(struct child_spec){.argv = args,
                                         .env = vars,
                                         .in = CHILD_NULL,
                                         .out = CHILD_NULL,
                                         .err = CHILD_INHERIT},
                    &c, e) < 0)
        return err_prefix(e, "hook %s", args[0]);
    if (child_wait(&c, NO_TIMEOUT, cancel, &status, e) < 0) {
        child_stop(&c, 10000000000u);
        return err_prefix(e, "hook %s", args[0]);
    }
    child_stop(&c, 0);
    if (status == 0)
        return 0;
    return err_set(e, ERR_FAILED, "hook %s (%s) ended with %s; nothing was failed over",
                   args[0], phase, child_status_text(status, text, sizeof text));
}
