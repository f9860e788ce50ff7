/* Metrics; see metrics.h. Units are the base units, names end in them; what can only rise
 * ends in _total. Only jobs that are not finished have series of their own, so that their
 * number stays small however long the journal gets. */
#include "web/metrics.h"

#include "base/json.h"
#include "base/str.h"
#include "config.h"

#include <inttypes.h>

void metrics_add_label(struct buf *out, const char *value)
{
    for (const char *c = value; *c; c++)
        if (*c == '\n')
            buf_adds(out, "\\n");
        else if (*c == '\\' || *c == '"')
            buf_addf(out, "\\%c", *c);
        else
            buf_addc(out, *c);
}

static void head(struct buf *out, const char *name, const char *type, const char *help)
{
    buf_addf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* One gauge or counter without labels. */
static void plain(struct buf *out, const char *name, const char *type, const char *help,
                  uint64_t value)
{
    head(out, name, type, help);
    buf_addf(out, "%s %" PRIu64 "\n", name, value);
}

static void add_states(struct buf *out, const struct job_infos *jobs)
{
    size_t n[JOB_UNDONE + 1] = {0};

    vec_foreach (i, jobs)
        n[i->state]++;
    head(out, "hotadd_jobs", "gauge", "Jobs in the journal by state.");
    for (int s = JOB_RUNNING; s <= JOB_UNDONE; s++)
        buf_addf(out, "hotadd_jobs{state=\"%s\"} %zu\n",
                 job_state_name((enum job_state)s), n[s]);
}

enum job_metric {
    JOB_DONE_BYTES,
    JOB_SIZE_BYTES,
    JOB_CREATED_SECONDS,
    JOB_UPDATED_SECONDS
};

static uint64_t value_of(const struct job_info *i, enum job_metric m)
{
    switch (m) {
    case JOB_DONE_BYTES:
        return i->done_bytes;
    case JOB_SIZE_BYTES:
        return i->total_bytes;
    case JOB_CREATED_SECONDS:
        return (uint64_t)i->created_s;
    default:
        return (uint64_t)i->updated_s;
    }
}

static void add_open_jobs(struct buf *out, const struct job_infos *jobs)
{
    static const struct {
        const char *name, *help;
        enum job_metric metric;
    } all[] = {
        {"hotadd_job_durable_bytes",
         "Bytes of an unfinished job's disks that are durable.", JOB_DONE_BYTES},
        {"hotadd_job_size_bytes", "Size of an unfinished job's disks.", JOB_SIZE_BYTES},
        {"hotadd_job_created_timestamp_seconds", "When an unfinished job began.",
         JOB_CREATED_SECONDS},
        {"hotadd_job_changed_timestamp_seconds",
         "When an unfinished job last changed its state or step.", JOB_UPDATED_SECONDS},
    };

    for (size_t k = 0; k < sizeof all / sizeof all[0]; k++) {
        head(out, all[k].name, "gauge", all[k].help);
        vec_foreach (i, jobs) {
            if (i->state == JOB_DONE || i->state == JOB_UNDONE)
                continue;
            buf_addf(out, "%s{job=\"%s\",kind=\"", all[k].name, i->id);
            metrics_add_label(out, i->kind);
            buf_adds(out, "\",title=\"");
            metrics_add_label(out, i->title);
            buf_addf(out, "\",state=\"%s\"} %" PRIu64 "\n", job_state_name(i->state),
                     value_of(i, all[k].metric));
        }
    }
}

static void add_last_done(struct buf *out, const struct job_infos *jobs)
{
    head(out, "hotadd_last_done_timestamp_seconds", "gauge",
         "When the last job of its kind was done.");
    for (size_t a = 0; a < jobs->n; a++) {
        const struct job_info *i = &jobs->v[a];
        bool newest = i->state == JOB_DONE;

        for (size_t b = 0; b < jobs->n && newest; b++)
            if (b != a && jobs->v[b].state == JOB_DONE &&
                str_eq(jobs->v[b].kind, i->kind) &&
                (jobs->v[b].updated_s > i->updated_s ||
                 (jobs->v[b].updated_s == i->updated_s && b > a)))
                newest = false;
        if (!newest)
            continue;
        buf_adds(out, "hotadd_last_done_timestamp_seconds{kind=\"");
        metrics_add_label(out, i->kind);
        buf_addf(out, "\"} %" PRId64 "\n", i->updated_s);
    }
}

static void add_sync_value(struct buf *out, const char *name, const char *sync,
                           const json_t *value)
{
    if (!json_is_number(value) && !json_is_boolean(value))
        return;
    buf_addf(out, "%s{sync=\"", name);
    metrics_add_label(out, sync);
    buf_addf(out, "\"} %.17g\n",
             json_is_boolean(value) ? (double)json_is_true(value)
                                    : json_number_value(value));
}

static void add_syncs(struct buf *out, const json_t *syncs)
{
    static const struct {
        const char *name, *type, *help, *member;
    } all[] = {
        {"hotadd_sync_lag_seconds", "gauge", "Age of what the replica holds.", "lag_s"},
        {"hotadd_sync_rpo_seconds", "gauge", "How old the replica may be.", "rpo_s"},
        {"hotadd_sync_rpo_met", "gauge", "1 while the replica is younger than that.",
         "rpo_met"},
        {"hotadd_sync_passes_total", "counter", "Passes that ended well.", "passes"},
        {"hotadd_sync_written_bytes_total", "counter", "Bytes written by passes.",
         "total_written_bytes"},
    };
    const json_t *s;
    size_t i;

    if (!json_array_size(syncs))
        return;
    for (size_t k = 0; k < sizeof all / sizeof all[0]; k++) {
        head(out, all[k].name, all[k].type, all[k].help);
        json_array_foreach (syncs, i, s)
            add_sync_value(out, all[k].name, json_str_or(s, "name", ""),
                           json_object_get(s, all[k].member));
    }
    head(out, "hotadd_sync_state", "gauge", "1 for the state that the sync is in.");
    json_array_foreach (syncs, i, s) {
        buf_adds(out, "hotadd_sync_state{sync=\"");
        metrics_add_label(out, json_str_or(s, "name", ""));
        buf_adds(out, "\",state=\"");
        metrics_add_label(out, json_str_or(s, "state", ""));
        buf_adds(out, "\"} 1\n");
    }
}

static void add_server(struct buf *out, const struct metrics_server *m)
{
    head(out, "hotadd_monitor_requests_total", "counter",
         "Requests answered, by class of status.");
    for (int c = 2; c <= 5; c++)
        buf_addf(out, "hotadd_monitor_requests_total{code=\"%dxx\"} %" PRIu64 "\n", c,
                 m->requests[c]);
    head(out, "hotadd_monitor_refused_total", "counter",
         "Requests refused, by what was wrong.");
    buf_addf(out, "hotadd_monitor_refused_total{reason=\"token\"} %" PRIu64 "\n",
             m->wrong_tokens);
    buf_addf(out, "hotadd_monitor_refused_total{reason=\"host\"} %" PRIu64 "\n",
             m->wrong_hosts);
    buf_addf(out, "hotadd_monitor_refused_total{reason=\"origin\"} %" PRIu64 "\n",
             m->wrong_origins);
    plain(out, "hotadd_monitor_stream_clients", "gauge",
          "Clients that listen to the event stream.", m->clients);
    plain(out, "hotadd_monitor_start_timestamp_seconds", "gauge",
          "When this monitor started.", (uint64_t)m->started_s);
}

void metrics_write(struct buf *out, const struct job_infos *jobs, const json_t *syncs,
                   uint64_t last_event, const struct metrics_server *server)
{
    head(out, "hotadd_build_info", "gauge", "The version of hotadd that serves this.");
    buf_adds(out, "hotadd_build_info{version=\"" HOTADD_VERSION "\"} 1\n");
    add_states(out, jobs);
    add_open_jobs(out, jobs);
    add_last_done(out, jobs);
    plain(out, "hotadd_journal_events_total", "counter",
          "Events ever written to the journal.", last_event);
    add_syncs(out, syncs);
    add_server(out, server);
}
