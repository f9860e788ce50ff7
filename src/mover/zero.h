/* Inside src/mover only: finding the zeros in a buffer. */
#ifndef HOTADD_MOVER_ZERO_H
#define HOTADD_MOVER_ZERO_H

#include <stdbool.h>
#include <stddef.h>

#define ZERO_BLOCK_BYTES 4096u

/* A hole in the middle of data is worth a second write only when it saves more than an
 * I/O costs. gp3 gives 3,000 I/Os and 125 MiB a second: one I/O weighs 42 KiB. */
#define ZERO_MIN_HOLE_BYTES (64u << 10)

bool zero_all(const void *data, size_t len);

/* The next run of buf that must be written, at or after *pos: blocks of 4 KiB that are
 * not all zero, joined over holes shorter than ZERO_MIN_HOLE_BYTES. False when there is
 * none left. Moves *pos behind the run. buf must be 4 KiB aligned to its disk offset;
 * only its last block may be shorter. */
bool zero_next_data(const unsigned char *buf, size_t len, size_t *pos, size_t *ret_offset,
                    size_t *ret_len);

#endif
