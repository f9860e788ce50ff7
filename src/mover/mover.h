/* The copy engine: the data of any number of disks from sources to sinks, in parallel,
 * in bounded memory.
 *
 * Workers (threads of mover_run) each take the next unit of the disk that is furthest
 * behind, fetch it, find its zeros and write the rest, with writes in flight while the
 * next unit is decoded. Nothing reaches a sink before its fetch, digest checks of the
 * source included, has succeeded. See docs/mover.md. */
#ifndef HOTADD_MOVER_MOVER_H
#define HOTADD_MOVER_MOVER_H

#include "base/cancel.h"
#include "base/digest.h"
#include "base/err.h"
#include "base/progress.h"
#include "disk/extent.h"
#include "disk/sink.h"
#include "disk/source.h"

struct mover_disk {
    /* Borrowed. The sink is at least as large as the source; the rest of it reads as
     * zeros afterwards: left alone when known_zero, else zeroed. */
    struct source *source;
    struct sink *sink;
    /* Borrowed, may be NULL: ranges made durable by an earlier run, not copied again. */
    const struct extent_set *already;
    /* Borrowed, may be NULL: what the sink holds now, outside of `already`. Then the copy
     * is a delta: both are fetched and only the 4 KiB (or the sink's blocks) that differ
     * are written, zeros included. Beyond its end the sink holds what known_zero says. */
    struct source *base;
    /* May be NULL: SHA256_BYTES that a successful run fills with the digest of the
     * source's content: SHA-256 of the SHA-256 digests of its pieces of 4 MiB, in order.
     * Not with `already`, which is not read. */
    unsigned char *sha256;
    /* May be NULL. The ranges are written, flushed and, if asked for, verified. Called
     * on the thread that called mover_run, never two at once, no lock held. -1 stops the
     * run with that error. */
    int (*durable)(void *ctx, size_t disk_index, const struct extent *v, size_t n,
                   struct err *e);
    void *durable_ctx;
};

enum mover_verify {
    MOVER_VERIFY_NONE,
    /* After each flush, what was written is read back and its SHA-256 compared with that
     * of the data as fetched; only then is it durable. */
    MOVER_VERIFY_READ_BACK,
};

enum mover_check {
    MOVER_CHECK_NONE,
    /* For tests: each buffer is hashed after the fetch and again when its last write is
     * complete; a difference is a bug of ours and fails the run. */
    MOVER_CHECK_BUFFERS,
};

enum mover_io {
    MOVER_IO_AUTO,      /* io_uring where the kernel and the sink allow it */
    MOVER_IO_OPERATIONS /* the sink's own operations only */
};

/* All zero is the default. */
struct mover_options {
    /* 0: one per usable core, or as many as a source or sink says that pay, each waiting
     * for a service, as far as the pool reaches. At most 64. */
    unsigned workers;
    /* All buffers of all workers, at most; 0: what the workers want, up to 64 MiB unless
     * the units are large (docs/mover.md). Runs that overlap in time share the process's
     * 192 MiB and may get less; a run waits when too little is left. */
    uint64_t pool_bytes;
    uint64_t max_bytes_per_s;      /* of data fetched, all disks together; 0: no limit */
    uint64_t flush_interval_bytes; /* per disk; 0: 512 MiB */
    uint64_t flush_interval_ns;    /* 0: 5 s */
    enum mover_verify verify;
    enum mover_check check;
    enum mover_io io;
    /* The buffers may be filled by a source in another process, which spares a copy and
     * lets it change them later (base/shared.h): for sinks that only pass bytes on. */
    bool shared_buffers;
    const struct cancel *cancel; /* may be NULL */
    /* May be NULL. Called on the thread that called mover_run, about five times a second
     * and once at the end. */
    const struct progress *progress;
    const char *what; /* for progress; borrowed; NULL: "copy" */
};

struct mover_result {
    uint64_t total_bytes;    /* of all sources */
    uint64_t already_bytes;  /* skipped, done by an earlier run */
    uint64_t data_bytes;     /* fetched */
    uint64_t compared_bytes; /* of the bases fetched */
    uint64_t written_bytes;  /* the others were there already: zeros, or the base's */
    uint64_t zeroed_bytes;   /* zeroed by the sink */
    uint64_t verified_bytes; /* read back */
    uint64_t elapsed_ns;
    unsigned workers;
    bool io_uring;       /* at least one worker wrote through io_uring */
    bool registered;     /* with registered buffers */
    uint64_t pool_bytes; /* really allocated; never above the option */
};

/* Blocks until everything is copied and flushed, or has stopped. On failure the first
 * error is in e (it names the disk), every worker has stopped, no write is in flight,
 * and what was written completely has been flushed and reported as durable if its
 * sink's flushes all succeeded. ret is filled in either case, with what was done.
 * ERR_CANCELLED after cancel_request(). The sinks are not freed. */
int mover_run(const struct mover_disk *disks, size_t n, const struct mover_options *opt,
              struct mover_result *ret, struct err *e) err_warn_unused;

#endif
