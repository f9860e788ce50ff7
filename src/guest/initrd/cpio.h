/* The "newc" archive format: a reader that is fed pieces of a stream, and a writer.
 * Internal to this folder. Format: buffer-format.rst of Linux; the order of checks is
 * that of the kernel's loader, so that what it would refuse is refused here. */
#ifndef HOTADD_GUEST_INITRD_CPIO_H
#define HOTADD_GUEST_INITRD_CPIO_H

#include "base/buf.h"
#include "base/err.h"
#include "guest/initrd/initrd.h"

#include <stdint.h>

#define CPIO_HEADER_BYTES 110
#define CPIO_NAME_MAX     4096 /* the kernel's PATH_MAX, NUL included */
#define CPIO_TRAILER      "TRAILER!!!"

/* What the reader finds. Each returns 0 to go on, 1 to stop feeding, -1 with e set. */
struct cpio_events {
    /* A member; strings live for the call only. For symbolic links the target is
     * already known. member->segment is not set. */
    int (*member)(void *ctx, const struct initrd_entry *member, struct err *e);
    /* Part of the regular file announced last. */
    int (*data)(void *ctx, const uint8_t *data, size_t len, struct err *e);
    int (*trailer)(void *ctx, struct err *e);
};

enum cpio_place {
    CPIO_IN_IMAGE,  /* bytes of the image itself: another segment may follow */
    CPIO_IN_STREAM, /* unpacked bytes: nothing but archives may follow */
};

struct cpio_reader {
    const struct cpio_events *events;
    void *ctx;
    enum cpio_place place;
    enum cpio_state { CPIO_BETWEEN, CPIO_HEADER, CPIO_NAME, CPIO_LINK, CPIO_DATA } state;
    uint64_t pos;     /* bytes eaten */
    uint64_t end_pos; /* after the last member's data, without padding */
    struct buf part;  /* header or name being gathered */
    char *name;       /* of a symbolic link being gathered; owned */
    struct initrd_entry member;
    uint64_t need;      /* bytes still missing in this state */
    uint64_t data_left; /* of the body; padding beyond it */
    uint32_t want_sum, sum;
    bool has_sum, ended, after_trailer;
};

void cpio_reader_init(struct cpio_reader *r, enum cpio_place place,
                      const struct cpio_events *events, void *ctx);
void cpio_reader_release(struct cpio_reader *r);

/* Eats bytes and stores how many. In an image it stops (and sets r->ended) before the
 * first byte that belongs to something else. Returns 1 when an event said stop. */
int cpio_reader_feed(struct cpio_reader *r, const uint8_t *data, size_t len,
                     size_t *ret_eaten, struct err *e) err_warn_unused;

/* The stream is over: -1 if that cuts a member short. */
int cpio_reader_finish(const struct cpio_reader *r, struct err *e) err_warn_unused;

/* ---- writing: equal calls give equal bytes ---- */

struct cpio_writer {
    struct buf out;
    uint32_t next_ino;
    size_t members;
};
#define CPIO_WRITER_INIT                                                                 \
    {                                                                                    \
        .next_ino = 1                                                                    \
    }

/* uid, gid and mtime are 0. Errors are remembered in out (buf_check). data is what the
 * mode asks for: contents of a file, target of a link, nothing for a directory. */
void cpio_writer_add(struct cpio_writer *w, const char *path, uint32_t mode,
                     const void *data, size_t len);
/* The trailer, and zeros up to a multiple of 512. */
void cpio_writer_end(struct cpio_writer *w);
void cpio_writer_release(struct cpio_writer *w);
#define auto_cpio_writer auto_call(cpio_writer_release)

#endif
