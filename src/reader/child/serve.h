/* Answering requests of the channels: a thread for each. */
#ifndef HOTADD_READER_CHILD_SERVE_H
#define HOTADD_READER_CHILD_SERVE_H

#include "disk/machine.h"

/* Serves the disks of `m` (borrowed) on `channels` sockets until the process ends; see
 * reader/wire.h for the descriptors. Returns at once. */
int serve_start(const struct machine *m, unsigned channels,
                struct err *e) err_warn_unused;

#endif
