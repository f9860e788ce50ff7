/* Registry hives that were not closed: replaying their transaction logs.
 *
 * Since Windows 8.1 and Server 2012 R2 changes may be in SYSTEM.LOG1 and .LOG2 alone for
 * up to an hour, so a backup of a running machine has such hives. libhivex ignores the
 * logs, and what it writes makes Windows ignore them, too: the changes would be lost.
 *
 * Format and rules: "Windows registry file format specification" by M. Suhanov, sections
 * "Format of transaction log files" and "Dirty state of a hive". Pure; all is hostile. */
#ifndef HOTADD_GUEST_WINDOWS_HIVELOG_H
#define HOTADD_GUEST_WINDOWS_HIVELOG_H

#include "base/buf.h"

#include <stdbool.h>
#include <stdint.h>

enum hive_state {
    HIVE_CLEAN,
    HIVE_DIRTY,   /* logs must be replayed */
    HIVE_NO_HIVE, /* no hive at all */
};

struct hive_header {
    enum hive_state state;
    uint32_t primary, secondary; /* sequence numbers */
    bool checksum_ok;
};

/* What the first bytes say. */
struct hive_header hivelog_header(const void *data, size_t len);

/* Replays the logs (either may have len 0: absent or empty) into `hive`, which becomes
 * clean. *ret_entries: how many log entries were applied. A clean hive is left alone,
 * whatever the logs hold. ERR_INPUT, with the reason, when it cannot be done; `hive` is
 * then as before. */
int hivelog_replay(struct buf *hive, const void *log1, size_t log1_len, const void *log2,
                   size_t log2_len, uint32_t *ret_entries, struct err *e) err_warn_unused;

/* The checksum of a base block: its first 508 bytes. */
uint32_t hivelog_checksum(const void *base_block);
/* Marvin32, as 64 bits: the second half is the upper one. */
uint64_t marvin32(uint64_t seed, const void *data, size_t len);
/* The seed of the logs: bytes 82 EF 4D 88 7A 4E 55 C5. */
#define HIVELOG_SEED 0xc5554e7a884def82ull

#endif
