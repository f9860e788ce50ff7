/* Registry hives made from nothing, and logs for them: the fixtures of everything that
 * reads Windows' registry. What real Windows writes is not in this tree. */
#ifndef HOTADD_TESTS_UNIT_HIVEKIT_H
#define HOTADD_TESTS_UNIT_HIVEKIT_H

#include "test.h"

#include "base/buf.h"
#include "guest/windows/hive.h"

/* The call must return exactly that, 1 or 0 for what was found or changed. */
#define assert_gives(want, call)                                                         \
    do {                                                                                 \
        struct err e_ = ERR_INIT, *e = &e_;                                              \
        int r_ = (call);                                                                 \
        if (r_ != (want))                                                                \
            fail_msg("%s: gave %d: %s", #call, r_, e_.msg);                              \
    } while (0)

/* A hive with an empty root key, sequence numbers 1 and 1, appended. */
void hivekit_empty(struct buf *out);

/* Makes the header say that the hive is dirty (checksum right), as far as `secondary`. */
void hivekit_dirty(struct buf *hive, uint32_t primary, uint32_t secondary);

/* A log's head: a copy of the hive's base block, as Windows makes one. */
void hivekit_log(const struct buf *hive, struct buf *out);

/* An entry with the pages of `now` that differ from `old` (both whole hives). */
void hivekit_entry(const struct buf *old, const struct buf *now, uint32_t sequence,
                   struct buf *log);

/* Recomputes the hashes of the entry at `at` of a log, if it fits; its size or 0. */
size_t hivekit_hash(unsigned char *entry, size_t len);

#endif
