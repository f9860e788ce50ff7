/* What hotadd and hotadd-reader say to each other about disks.
 *
 * The machine goes as JSON in the helper's result (base/helper.h). Then each channel, a
 * socket that keeps messages apart, carries one request and its reply at a time, and
 * owns one slot of a shared memory that neither side can resize: what a fetch returns is
 * there, or in a buffer of ours that the reader was given (WIRE_MAP). Both are the same
 * build, so that structs go as they are. */
#ifndef HOTADD_READER_WIRE_H
#define HOTADD_READER_WIRE_H

#include "disk/machine.h"

/* Descriptors of the child: the shared memory, then the channels. */
#define WIRE_MEMORY_FD  3
#define WIRE_CHANNEL_FD 4
#define WIRE_CHANNELS   32 /* at most */
#define WIRE_SLOT_BYTES (4u << 20)
#define WIRE_UNITS      32 /* told at once */
#define WIRE_MAPS       64 /* at most: buffers of ours that are filled directly */

enum wire_op {
    WIRE_UNITS_AT,
    WIRE_FETCH,
    WIRE_MAP, /* gives it shared memory, a descriptor beside the message; the first is
                 map 1, the next map 2, … */
};

struct wire_request {
    uint32_t op; /* enum wire_op */
    uint32_t disk;
    uint64_t limit_bytes; /* WIRE_UNITS_AT: of a data unit */
    struct unit unit;     /* WIRE_UNITS_AT: its offset; WIRE_FETCH: all of it */
    uint64_t map_offset;  /* WIRE_FETCH: where in the map the bytes go… */
    uint32_t map;         /* …or 0: into the channel's slot */
};

struct wire_reply {
    uint32_t kind; /* enum err_kind; ERR_NONE: done */
    int32_t sys_errno;
    uint32_t retryable;
    uint32_t n_units;
    union {
        struct unit units[WIRE_UNITS]; /* one behind the other */
        char msg[sizeof(((struct err *)0)->msg)];
    };
};

/* Which disks a machine has and what their sources are like; owned. */
json_t *wire_machine_json(const struct machine *m, struct err *e) err_warn_unused;

/* The files and block devices that this process has open; owned. */
json_t *wire_open_files(struct err *e) err_warn_unused;
/* Whether that file is among them. */
bool wire_has_file(const json_t *files, const struct stat *file);

/* Makes the source of one disk that the JSON describes: `s` is filled but for ops, its
 * desc is owned. Takes over s->desc only on success. */
typedef int wire_source_fn(void *ctx, uint32_t disk, const char *format, struct source *s,
                           struct source **ret, struct err *e);

/* The other way; what cannot be true is ERR_FAILED. *ret is owned. */
int wire_machine(const json_t *j, wire_source_fn *make, void *ctx, struct machine **ret,
                 struct err *e) err_warn_unused;

/* -1 with ERR_FAILED unless the reply is one that can be true for that request of a
 * source, units included. An error that the reader reports is returned as such. */
int wire_check_reply(const struct wire_request *rq, const struct source *s,
                     const struct wire_reply *reply, size_t len,
                     struct err *e) err_warn_unused;

#endif
