/* What every target of a disk copy speaks. An attached volume, a file and a test's
 * memory are sinks; only `proxy` opens devices and hands their descriptors over. */
#ifndef HOTADD_DISK_SINK_H
#define HOTADD_DISK_SINK_H

#include "base/auto.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sink;

struct sink_ops {
    const char *name;

    /* Offset, length and buffer are multiples of sink.align, except that the last write
     * may end at size_bytes. Threads: any number at once, never overlapping. */
    int (*write)(struct sink *s, const void *buf, size_t len, uint64_t offset,
                 struct err *e);
    /* The range must read as zeros afterwards. Same threads, same alignment. */
    int (*zero)(struct sink *s, uint64_t offset, uint64_t len, struct err *e);
    /* Everything written before the call is durable when it returns 0. After a failure
     * all of it counts as unwritten (fsync does not report twice). */
    int (*flush)(struct sink *s, struct err *e);
    /* For verification. */
    int (*read)(struct sink *s, void *buf, size_t len, uint64_t offset, struct err *e);
    void (*free)(struct sink *s); /* closes; flush first: it cannot report */
};

/* Embedded as the first member. */
struct sink {
    const struct sink_ops *ops;
    uint64_t size_bytes;
    uint32_t align; /* bytes; a power of two, at most 4096 */
    /* 0, or a power of two: every write and zero covers whole blocks of this size (the
     * last one of the disk may be short). A repository's chunks are such blocks. */
    uint32_t block_bytes;
    uint32_t calls_at_once; /* so many writes under way pay where each call waits for a
                               service; 0: as many as there are cores */
    int fd;          /* for io_uring: reads and writes on it at `offset` mean the same as
                        the operations above; -1 when there is none */
    bool known_zero; /* reads as zeros wherever nothing was written: zeros are skipped */
    char *desc;      /* owned; names it in errors: "vol-0123 (/dev/nvme1n1)" */
};

void sink_free(struct sink *s);
DEFINE_AUTO_PTR(struct sink, sink_free)
#define auto_sink auto_call(sink_free_autop)

enum sink_zeros { SINK_ZEROS_UNKNOWN, SINK_KNOWN_ZERO };

/* A sink that drops everything and is "zero" everywhere: to verify or digest a source. */
int sink_drop_new(uint64_t size_bytes, struct sink **ret, struct err *e) err_warn_unused;

/* A sink over a descriptor of a block device or regular file, opened by the caller for
 * reading and writing (O_DIRECT or not), and given over: free() closes it. Regular files
 * must have their full size already. Zeros go out as BLKZEROOUT or
 * FALLOC_FL_ZERO_RANGE/PUNCH_HOLE, or, where the kernel cannot, as writes. `desc` is
 * copied. On failure fd stays the caller's. */
int sink_fd_new(int fd, const char *desc, enum sink_zeros zeros, struct sink **ret,
                struct err *e) err_warn_unused;

#endif
