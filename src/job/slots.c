/* Leases of attach slots; see slots.h. A lease is taken before AttachVolume and given
 * back after the detach, each in one transaction: a crash leaves leases, never
 * attachments without one. */
#include "job/slots.h"

#include "base/clock.h"
#include "base/str.h"
#include "job/job_private.h"

#include <assert.h>

/* AttachVolume may take this long to show in DescribeInstances. */
#define UNSEEN_S 300

static void slot_release(struct job_slot *s)
{
    free(s->key);
    free(s->name);
}

void job_slots_release(struct job_slots *v)
{
    vec_foreach (s, v)
        slot_release(s);
    vec_release(v);
}

static bool listed(const char *const *v, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (str_eq(v[i], name))
            return true;
    return false;
}

struct lease {
    struct job_slot slot;
    int64_t job_seq, leased_s;
    enum job_state state;
};
struct leases VEC(struct lease);

static void leases_release(struct leases *v)
{
    vec_foreach (l, v)
        slot_release(&l->slot);
    vec_release(v);
}

static int read_lease(struct journal *j, sqlite3_stmt *s, struct lease *ret,
                      struct err *e)
{
    struct lease l = {0};
    int state;

    if (db_text(j, s, 0, &l.slot.key, e) < 0 || db_text(j, s, 1, &l.slot.name, e) < 0 ||
        db_text_into(j, s, 2, l.slot.job, sizeof l.slot.job, e) < 0 ||
        db_word(j, s, 5, job_state_words, &state, e) < 0) {
        slot_release(&l.slot);
        return -1;
    }
    l.job_seq = sqlite3_column_int64(s, 3);
    l.leased_s = sqlite3_column_int64(s, 4);
    l.state = (enum job_state)state;
    *ret = l;
    return 0;
}

static int read_leases(struct journal *j, const char *proxy, struct leases *ret,
                       struct err *e)
{
    auto_stmt sqlite3_stmt *s = NULL;
    int r;

    if (db_query(j, &s, e,
                 "SELECT slot.key, slot.name, job.id, job.seq, slot.leased_s, job.state"
                 " FROM slot JOIN job ON job.seq = slot.job WHERE proxy = ?"
                 " ORDER BY slot.name",
                 "s", proxy) < 0)
        return -1;
    while ((r = db_step(j, s, e)) > 0) {
        struct lease l;

        if (read_lease(j, s, &l, e) < 0)
            return -1;
        if (vec_push(ret, l, e) < 0) {
            slot_release(&l.slot);
            return -1;
        }
    }
    return r;
}

static bool is_stale(struct journal *j, const struct lease *l,
                     const struct job_slot_request *req)
{
    if (listed(req->in_use, req->n_in_use, l->slot.name))
        return false;
    if (l->state == JOB_DONE || l->state == JOB_UNDONE)
        return true;
    return !lock_held(j->lock_fd, LOCK_BYTE_JOB(l->job_seq)) &&
           clock_real_s() - l->leased_s > UNSEEN_S;
}

static int drop_stale(struct journal *j, const struct job_slot_request *req,
                      struct leases *all, struct err *e)
{
    size_t kept = 0;

    for (size_t i = 0; i < all->n; i++) {
        struct lease *l = &all->v[i];

        if (!is_stale(j, l, req)) {
            struct lease swap = all->v[kept];

            all->v[kept++] = *l;
            *l = swap;
            continue;
        }
        if (db_run(j, e, "DELETE FROM slot WHERE proxy = ? AND name = ?", "ss",
                   req->proxy, l->slot.name) < 0)
            return -1;
    }
    while (all->n > kept)
        slot_release(&all->v[--all->n].slot);
    return 0;
}

static const struct lease *lease_of(const struct job *job, const struct leases *all,
                                    const char *key)
{
    vec_foreach (l, all)
        if (l->job_seq == job->seq && str_eq(l->slot.key, key))
            return l;
    return NULL;
}

static bool name_leased(const struct leases *all, const char *name)
{
    vec_foreach (l, all)
        if (str_eq(l->slot.name, name))
            return true;
    return false;
}

/* What is attached and what is about to be, each counted once. */
static size_t count_taken(const struct job_slot_request *req, const struct leases *all)
{
    size_t n = req->n_in_use;

    vec_foreach (l, all)
        n += !listed(req->in_use, req->n_in_use, l->slot.name);
    return n;
}

static int no_room(const struct job *job, const struct job_slot_request *req,
                   const struct leases *all, size_t want, size_t taken, struct err *e)
{
    const struct lease *other = NULL;
    size_t others = 0;

    vec_foreach (l, all)
        if (l->job_seq != job->seq) {
            other = l;
            others++;
        }
    err_set(e, ERR_BUSY,
            "%zu more volumes are to be attached to %s, which takes %zu and has %zu: "
            "wait for other jobs%s%s, or detach what is not needed",
            want, req->proxy, req->limit, taken, other ? ", such as " : "",
            other ? other->slot.job : "");
    if (others > 1)
        err_prefix(e, "%zu slots are leased by other jobs", others);
    e->retryable = true;
    return -1;
}

static int lease_one(struct job *job, const struct job_slot_request *req, const char *key,
                     struct leases *all, struct err *e)
{
    struct lease l = {.job_seq = job->seq, .leased_s = clock_real_s()};
    const char *name = NULL;

    for (size_t i = 0; i < req->n_names && !name; i++)
        if (!listed(req->in_use, req->n_in_use, req->names[i]) &&
            !name_leased(all, req->names[i]))
            name = req->names[i];
    if (!name)
        return err_set(e, ERR_BUSY, "%s: no device name is free for another volume",
                       req->proxy);
    memcpy(l.slot.job, job->id, sizeof l.slot.job);
    if (db_run(job->journal, e,
               "INSERT INTO slot(proxy, name, job, key, leased_s) VALUES(?, ?, ?, ?, ?)",
               "ssisi", req->proxy, name, job->seq, key, l.leased_s) < 0)
        return -1;
    if (str_set(&l.slot.key, key, e) < 0 || str_set(&l.slot.name, name, e) < 0 ||
        vec_push(all, l, e) < 0) {
        slot_release(&l.slot);
        return -1;
    }
    return 0;
}

static int lease_all(struct job *job, const struct job_slot_request *req,
                     struct leases *all, struct err *e)
{
    size_t want = 0, taken;

    if (read_leases(job->journal, req->proxy, all, e) < 0 ||
        drop_stale(job->journal, req, all, e) < 0)
        return -1;
    for (size_t i = 0; i < req->n_keys; i++)
        want += !lease_of(job, all, req->keys[i]);
    taken = count_taken(req, all);
    if (want && (taken > req->limit || want > req->limit - taken))
        return no_room(job, req, all, want, taken, e);
    for (size_t i = 0; i < req->n_keys; i++)
        if (!lease_of(job, all, req->keys[i]) &&
            lease_one(job, req, req->keys[i], all, e) < 0)
            return -1;
    return 0;
}

static int slot_push(struct job_slots *v, const struct job_slot *from, struct err *e)
{
    struct job_slot s = *from;

    s.key = s.name = NULL;
    if (str_set(&s.key, from->key, e) < 0 || str_set(&s.name, from->name, e) < 0 ||
        vec_push(v, s, e) < 0) {
        slot_release(&s);
        return -1;
    }
    return 0;
}

int job_slots_lease(struct job *job, const struct job_slot_request *req,
                    struct job_slots *ret, struct err *e)
{
    auto_call(leases_release) struct leases all = {0};
    auto_job_slots struct job_slots v = {0};

    if (db_begin(job->journal, e) < 0 ||
        db_end(job->journal, lease_all(job, req, &all, e), e) < 0)
        return -1;
    for (size_t i = 0; i < req->n_keys; i++) {
        const struct lease *l = lease_of(job, &all, req->keys[i]);

        assert(l);
        if (slot_push(&v, &l->slot, e) < 0)
            return -1;
    }
    *ret = v;
    v = (struct job_slots){0};
    return 0;
}

int job_slot_release(struct job *job, const char *proxy, const char *key, struct err *e)
{
    return db_run(job->journal, e,
                  "DELETE FROM slot WHERE proxy = ? AND job = ? AND key = ?", "sis",
                  proxy, job->seq, key) < 0
               ? -1
               : 0;
}

int journal_slots(struct journal *j, const char *proxy, struct job_slots *ret,
                  struct err *e)
{
    auto_call(leases_release) struct leases all = {0};
    auto_job_slots struct job_slots v = {0};

    if (read_leases(j, proxy, &all, e) < 0)
        return -1;
    vec_foreach (l, &all)
        if (slot_push(&v, &l->slot, e) < 0)
            return -1;
    *ret = v;
    v = (struct job_slots){0};
    return 0;
}
