/* Which bytes of which disk are durable; see job.h. Ranges of a disk are disjoint and
 * neighbours are merged as they come, so that a copy in order stays one row. A crash
 * leaves ranges of earlier flushes only: what they name is on the disk. */
#include "job/job_private.h"

#include <inttypes.h>

int job_disk_size(struct job *job, uint32_t disk, uint64_t size_bytes, struct err *e)
{
    return db_run(job->journal, e,
                  "INSERT INTO disk(job, disk, size_bytes) VALUES(?, ?, ?)"
                  " ON CONFLICT(job, disk) DO UPDATE SET size_bytes ="
                  " excluded.size_bytes",
                  "iiI", job->seq, (int64_t)disk, size_bytes) < 0
               ? -1
               : 0;
}

/* Widens *x by the row that touches it and begins before it. */
static int widen_left(struct job *job, uint32_t disk, struct extent *x, struct err *e)
{
    auto_stmt sqlite3_stmt *s = NULL;
    uint64_t offset, end, x_end = x->offset + x->len;
    int r;

    if (db_query(job->journal, &s, e,
                 "SELECT offset, offset + len FROM progress WHERE job = ? AND disk = ?"
                 " AND offset < ? ORDER BY offset DESC LIMIT 1",
                 "iiI", job->seq, (int64_t)disk, x->offset) < 0)
        return -1;
    r = db_step(job->journal, s, e);
    if (r <= 0)
        return r;
    offset = db_u64(s, 0);
    end = db_u64(s, 1);
    if (end < x->offset)
        return 0;
    *x = (struct extent){offset, (end > x_end ? end : x_end) - offset};
    return 0;
}

/* Widens *x by the last row that begins in it or right after it: rows are disjoint, so
 * no earlier one reaches further. */
static int widen_right(struct job *job, uint32_t disk, struct extent *x, struct err *e)
{
    auto_stmt sqlite3_stmt *s = NULL;
    uint64_t end;
    int r;

    if (db_query(job->journal, &s, e,
                 "SELECT offset + len FROM progress WHERE job = ? AND disk = ?"
                 " AND offset BETWEEN ? AND ? ORDER BY offset DESC LIMIT 1",
                 "iiII", job->seq, (int64_t)disk, x->offset, x->offset + x->len) < 0)
        return -1;
    r = db_step(job->journal, s, e);
    if (r <= 0)
        return r;
    end = db_u64(s, 0);
    if (end > x->offset + x->len)
        x->len = end - x->offset;
    return 0;
}

static int add_one(struct job *job, uint32_t disk, struct extent x, struct err *e)
{
    if (x.len > INT64_MAX || x.offset > INT64_MAX - x.len)
        return err_set(e, ERR_UNSUPPORTED,
                       "job %s: disk %" PRIu32 " reaches beyond 2^63 bytes", job->id,
                       disk);
    if (widen_left(job, disk, &x, e) < 0 || widen_right(job, disk, &x, e) < 0)
        return -1;
    if (db_run(job->journal, e,
               "DELETE FROM progress WHERE job = ? AND disk = ?"
               " AND offset BETWEEN ? AND ?",
               "iiII", job->seq, (int64_t)disk, x.offset, x.offset + x.len) < 0)
        return -1;
    return db_run(job->journal, e,
                  "INSERT INTO progress(job, disk, offset, len) VALUES(?, ?, ?, ?)",
                  "iiII", job->seq, (int64_t)disk, x.offset, x.len) < 0
               ? -1
               : 0;
}

int job_ranges_done(struct job *job, uint32_t disk, const struct extent *v, size_t n,
                    struct err *e)
{
    int r = 0;

    if (db_begin(job->journal, e) < 0)
        return -1;
    for (size_t i = 0; i < n && r == 0; i++)
        if (v[i].len)
            r = add_one(job, disk, v[i], e);
    return db_end(job->journal, r, e);
}

static int read_ranges(struct job *job, uint32_t disk, struct extent_set *ret,
                       struct err *e)
{
    auto_stmt sqlite3_stmt *s = NULL;
    int r;

    if (db_query(job->journal, &s, e,
                 "SELECT offset, len FROM progress WHERE job = ? AND disk = ?"
                 " ORDER BY offset",
                 "ii", job->seq, (int64_t)disk) < 0)
        return -1;
    while ((r = db_step(job->journal, s, e)) > 0)
        if (extent_set_add(ret, db_u64(s, 0), db_u64(s, 1), e) < 0)
            return -1;
    return r;
}

int job_ranges(struct job *job, uint32_t disk, struct extent_set *ret, struct err *e)
{
    auto_extent_set struct extent_set found = {0};

    if (read_ranges(job, disk, &found, e) < 0)
        return -1;
    for (size_t i = 0; i < found.n; i++)
        if (extent_set_add(ret, found.v[i].offset, found.v[i].len, e) < 0)
            return -1;
    return 0;
}

int job_ranges_forget(struct job *job, uint32_t disk, struct err *e)
{
    return db_run(job->journal, e, "DELETE FROM progress WHERE job = ? AND disk = ?",
                  "ii", job->seq, (int64_t)disk) < 0
               ? -1
               : 0;
}
