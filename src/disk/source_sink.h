/* What a sink holds, as a source: an attached volume to be read. */
#ifndef HOTADD_DISK_SOURCE_SINK_H
#define HOTADD_DISK_SOURCE_SINK_H

#include "disk/sink.h"
#include "disk/source.h"

/* Every unit is data: what is zero shows when it is read. The sink is given over; it
 * stays the caller's on failure. Nobody may write to it meanwhile. */
int source_sink_new(struct sink *sink, struct source **ret,
                    struct err *e) err_warn_unused;

/* The same of its first size_bytes, at most the sink's, which need be no whole number of
 * blocks; the sink stays the caller's and must outlive the source. */
int source_sink_borrow(struct sink *sink, uint64_t size_bytes, struct source **ret,
                       struct err *e) err_warn_unused;

#endif
