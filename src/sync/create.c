/* Creating a sync, and the commands that only change its state: pause, resume. Nothing is
 * made in the cloud here, so a crash leaves a sync or none. */
#include "sync/private.h"

#include "base/json.h"
#include "base/str.h"
#include "sync/retention.h"

#include <ctype.h>

#define NAME_MAX_LEN     64
#define DEFAULT_RPO_S    3600
#define DEFAULT_PRIORITY 100
#define MAX_DELAY_S      86400
#define MAX_RPO_S        ((uint64_t)366 * 86400)

int sync_name_check(const char *name, struct err *e)
{
    size_t n = strlen(name);
    bool good = n > 0 && n <= NAME_MAX_LEN && isalnum((unsigned char)name[0]);

    for (size_t i = 0; i < n && good; i++)
        good = isalnum((unsigned char)name[i]) || strchr("-_.", name[i]);
    if (good)
        return 0;
    return err_set(
        e, ERR_USAGE,
        "sync name '%.100s': letters, digits, '-', '_' and '.', beginning with "
        "a letter or digit, at most %d",
        name, NAME_MAX_LEN);
}

/* ---- the newest point of a machine ---- */

int sync_newest(const struct restore_params *params, const struct cancel *cancel,
                char **ret_point, int64_t *ret_time, struct err *e)
{
    struct repo_where where = restore_params_source(params, NULL).repo;
    auto_flow_repo struct flow_repo repo = {0};
    struct repo_name name = {0};
    char *text = NULL;
    int64_t time = 0;
    int r;

    if (flow_repo_name(&where, params->source, &name, e) < 0)
        return -1;
    r = flow_repo_open(&where, REPO_MUST_EXIST, cancel, &repo, e);
    if (r == 0 && repo_point_find(repo.repo, &name, &time, e) < 0)
        r = e->kind == ERR_NOT_FOUND ? 1 : -1;
    if (r == 0) {
        text = flow_point_text(&name, time, e);
        r = text ? 0 : -1;
    }
    repo_name_release(&name);
    if (r < 0)
        return -1;
    *ret_point = text;
    *ret_time = time;
    return 0;
}

/* ---- create ---- */

static int check_words(const struct sync_config *c, struct err *e)
{
    struct keep_rules rules;
    const struct restore_params *p = c->params;

    if (sync_name_check(c->name, e) < 0 || restore_params_check(p, e) < 0 ||
        keep_rules_parse(c->keep, &rules, e) < 0 || window_check(c->window, e) < 0)
        return -1;
    if (c->group && sync_name_check(c->group, e) < 0)
        return err_prefix(e, "group");
    if (c->group_delay_s > MAX_DELAY_S)
        return err_set(e, ERR_USAGE, "--group-delay: at most a day");
    if (!p->repo)
        return err_set(e, ERR_USAGE, "name the repository with --repo");
    if (!p->source || !*p->source)
        return err_set(e, ERR_USAGE, "name the machine with --vm");
    if (strpbrk(p->source, "@#"))
        return err_set(e, ERR_USAGE,
                       "--vm %s: a sync follows the whole machine; leave out what begins "
                       "with @ or #",
                       p->source);
    if (c->rpo_s > MAX_RPO_S)
        return err_set(e, ERR_USAGE, "--rpo: at most a year");
    return 0;
}

/* A typing mistake in the machine's name shall not wait for ever for its first backup. */
static int check_machine(const struct sync_config *c, const struct flow_env *env,
                         struct err *e)
{
    auto_free char *point = NULL;
    int64_t time;

    if (sync_newest(c->params, env->cancel, &point, &time, e) < 0)
        return -1;
    if (point)
        return 0;
    return err_set(
        e, ERR_NOT_FOUND,
        "%s has no recovery point of %s: back it up first, or see `hotadd list "
        "--repo %s`",
        c->params->repo, c->params->source, c->params->repo);
}

static json_t *config_json(const struct sync_config *c, struct err *e)
{
    json_t *params = restore_params_json(c->params, e);
    json_t *o;

    if (!params)
        return NULL;
    o = json_pack("{s:o, s:s, s:I, s:I, s:I, s:I, s:s?, s:s, s:b}", "params", params,
                  "group", c->group ? c->group : "default", "group_priority",
                  (json_int_t)(c->group_priority ? c->group_priority : DEFAULT_PRIORITY),
                  "group_delay_s", (json_int_t)c->group_delay_s, "priority",
                  (json_int_t)(c->priority ? c->priority : DEFAULT_PRIORITY), "rpo_s",
                  (json_int_t)(c->rpo_s ? c->rpo_s : DEFAULT_RPO_S), "window", c->window,
                  "keep", c->keep ? c->keep : KEEP_DEFAULT, "keep_attached",
                  (int)c->keep_attached);
    if (!o)
        err_nomem(e);
    return o;
}

int sync_create(const struct sync_config *config, const struct flow_env *env,
                struct err *e)
{
    auto_journal struct journal *journal = NULL;
    json_auto_t *body = NULL;
    json_t *c;

    if (check_words(config, e) < 0)
        return err_prefix(e, "sync %.64s", config->name);
    if (check_machine(config, env, e) < 0)
        return err_prefix(e, "sync %s", config->name);
    c = config_json(config, e);
    if (!c)
        return -1;
    body = json_pack("{s:s, s:o, s:n, s:i, s:[], s:[], s:n, s:b, s:[], s:n, s:n, s:i, "
                     "s:i, s:n, s:i, s:i, s:[], s:n, s:n}",
                     "state", sync_state_name(SYNC_NEW), "config", c, "point", "time", 0,
                     "disks", "points", "dirty", "resync", 0, "retired", "job", "newest",
                     "newest_time", 0, "newest_seen", 0, "error", "passes", 0,
                     "total_written_bytes", 0, "history", "failover", "tests");
    if (!body)
        return err_nomem(e);
    if (journal_open(env->journal_path, &journal, e) < 0)
        return -1;
    if (record_create(journal, KIND_SYNC, config->name, body, NULL, e) == 0)
        return 0;
    if (e->kind == ERR_EXISTS)
        err_set(e, ERR_EXISTS,
                "there is a sync %s already: choose another name, or see `hotadd sync "
                "show %s`",
                config->name, config->name);
    return -1;
}

/* ---- pause, resume ---- */

struct change {
    const char *name;
    enum sync_command command;
};

static int edit_pause(json_t *body, void *ctx, struct err *e)
{
    const struct change *c = ctx;
    const char *next = sync_state_name(SYNC_PAUSED);
    enum sync_state now;

    if (sync_body_state(body, &now, e) < 0 ||
        sync_allowed(c->name, now, c->command, e) < 0)
        return -1;
    if (c->command == SYNC_RESUME)
        next = sync_state_name(json_str_or(body, "point", NULL) ? SYNC_ACTIVE : SYNC_NEW);
    return json_put(body, "state", json_string(next), e);
}

static int change_state(const char *name, enum sync_command command,
                        const struct flow_env *env, struct err *e)
{
    auto_journal struct journal *journal = NULL;
    auto_sync struct sync *s = NULL;
    struct change c = {name, command};

    /* No claim: a pass that runs ends its work, and the next one does not begin. */
    if (journal_open(env->journal_path, &journal, e) < 0 ||
        sync_open(journal, name, SYNC_LOOK, &s, e) < 0)
        return -1;
    return sync_edit(s, edit_pause, &c, e);
}

int sync_pause(const char *name, const struct flow_env *env, struct err *e)
{
    return change_state(name, SYNC_PAUSE, env, e);
}

int sync_resume(const char *name, const struct flow_env *env, struct err *e)
{
    return change_state(name, SYNC_RESUME, env, e);
}
