/* hotadd jobs */
#include "base/clock.h"
#include "base/json.h"
#include "base/str.h"
#include "cli/command.h"

#include <inttypes.h>
#include <stdio.h>

struct jobs_options {
    struct common_options common;
    bool forget;
};

static const struct option_def defs[] = {
    {"forget", 0, OPTION_FLAG, offsetof(struct jobs_options, forget), NULL,
     "remove the record of a job that is done or undone"},
    COMMON_OPTIONS(struct jobs_options),
    OPTION_END,
};

static void print_short(const struct job_info *i)
{
    char when[CLOCK_ISO_LEN];
    int percent =
        i->total_bytes ? (int)((double)i->done_bytes * 100 / (double)i->total_bytes) : 0;

    printf("%-17s %-8s %-12s %-16s %3d %%  %s  %s\n", i->id, i->kind,
           job_state_name(i->state), i->step ? i->step : "-", percent,
           clock_iso8601(when, i->created_s), i->title);
}

static int print_list(struct journal *j, bool json, struct err *e)
{
    auto_job_infos struct job_infos infos = {0};
    json_auto_t *list = json ? json_array() : NULL;

    if (journal_jobs(j, &infos, e) < 0)
        return -1;
    if (!json && !infos.n)
        printf("no jobs\n");
    vec_foreach (i, &infos) {
        json_t *o;

        if (!json) {
            print_short(i);
            continue;
        }
        o = job_info_json(i, e);
        if (!o || json_add(list, o, e) < 0)
            return -1;
    }
    return json ? command_print_json(list) : EXIT_DONE;
}

static void print_events(const struct job_events *events)
{
    char when[CLOCK_ISO_LEN];

    vec_foreach (v, events)
        printf("  %s  %-15s %s%s%s\n", clock_iso8601(when, v->time_s),
               v->step ? v->step : "-",
               v->level == JOB_EVENT_INFO ? "" : job_event_level_name(v->level),
               v->level == JOB_EVENT_INFO ? "" : ": ", v->message);
}

static void print_long(const struct job_info *i)
{
    char done[32], total[32];

    print_short(i);
    for (size_t s = 0; s < i->steps.n; s++) {
        const struct job_step_info *st = &i->steps.v[s];

        printf("  step      %-16s %-8s", st->name, job_step_state_name(st->state));
        if (st->started_s && st->ended_s)
            printf("  %" PRId64 " s", st->ended_s - st->started_s);
        if (st->runs > 1)
            printf("  entered %u times", st->runs);
        putchar('\n');
    }
    if (i->total_bytes)
        printf("  data      %s of %s durable\n",
               str_bytes(done, sizeof done, i->done_bytes),
               str_bytes(total, sizeof total, i->total_bytes));
    for (size_t r = 0; r < i->resources.n; r++)
        printf("  resource  %-16s %-8s  %s\n", i->resources.v[r].key,
               job_resource_state_name(i->resources.v[r].state),
               i->resources.v[r].cloud_id ? i->resources.v[r].cloud_id : "-");
    if (i->error.kind != ERR_NONE)
        printf("  error     %s: %s\n", i->error_step ? i->error_step : "-", i->error.msg);
}

static int print_one(struct journal *j, const char *id, bool json, struct err *e)
{
    auto_job_info struct job_info info = {0};
    auto_job_events struct job_events events = {0};
    json_auto_t *o = NULL;

    if (journal_job(j, id, &info, e) < 0)
        return -1;
    if (json) {
        o = job_info_json(&info, e);
        return o ? command_print_json(o) : -1;
    }
    if (journal_events(j, id, 100, &events, e) < 0)
        return -1;
    print_long(&info);
    print_events(&events);
    return EXIT_DONE;
}

static int jobs(const struct jobs_options *o, const char *id, struct err *e)
{
    struct flow_env env = command_begin(&o->common);
    auto_journal struct journal *j = NULL;

    if (journal_open(env.journal_path, &j, e) < 0)
        return -1;
    if (o->forget)
        return id ? journal_forget(j, id, e)
                  : err_set(e, ERR_USAGE, "--forget: give a job");
    return id ? print_one(j, id, o->common.json, e) : print_list(j, o->common.json, e);
}

int cmd_jobs(int argc, char **argv)
{
    static const struct command_help help = {
        .name = "jobs",
        .args = "[JOB]",
        .summary = "Lists the jobs in the journal; with JOB, its steps, what it made, "
                   "and its events."};
    struct jobs_options o = {0};
    struct err e = ERR_INIT;
    int first, code, r = options_parse(argc, argv, &help, defs, &o, &first, &e);

    if (r != 0)
        code = r > 0 ? EXIT_DONE : command_fail(&e, NULL);
    else if (argc - first > 1)
        code = command_usage("jobs", "give at most one job");
    else
        code = (r = jobs(&o, argv[first], &e)) < 0 ? command_fail(&e, NULL) : r;
    options_release(defs, &o);
    return code;
}
