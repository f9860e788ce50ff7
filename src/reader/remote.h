/* A source whose bytes another process decodes. */
#ifndef HOTADD_READER_REMOTE_H
#define HOTADD_READER_REMOTE_H

#include "base/helper.h"
#include "disk/source.h"
#include "reader/wire.h"

#include <pthread.h>
#include <stdatomic.h>

/* The process; each source holds a reference. */
struct reader {
    atomic_uint refs;
    struct helper helper;
    json_t *files;            /* owned; those it has open, wire_has_file() */
    void *memory;             /* shared_alloc()ed; a slot for each channel */
    pthread_mutex_t mapping;  /* guards maps and n_maps */
    uint64_t maps[WIRE_MAPS]; /* ids of shared memory that it was given */
    uint32_t n_maps;
    unsigned n_channels;
    pthread_mutex_t lock; /* guards busy, gone and why */
    pthread_cond_t freed; /* a channel is free, or it is gone */
    bool gone;
    struct err why;
    struct reader_channel {
        int fd; /* owned */
        bool busy;
    } channels[WIRE_CHANNELS];
};

void reader_unref(struct reader *r);

/* Disk `disk` of the reader, in that format; takes a reference, and over s->desc. */
int remote_source(struct reader *r, uint32_t disk, const char *format,
                  const struct source *s, struct source **ret,
                  struct err *e) err_warn_unused;

#endif
