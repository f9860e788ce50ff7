/* Which recovery points at the destination are kept, and when passes may run: rules as
 * pure functions over the words of `sync create`. */
#ifndef HOTADD_SYNC_RETENTION_H
#define HOTADD_SYNC_RETENTION_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum keep_period {
    KEEP_LAST,
    KEEP_HOURLY,
    KEEP_DAILY,
    KEEP_WEEKLY,
    KEEP_MONTHLY,
    KEEP_YEARLY,
    KEEP_PERIODS
};

struct keep_rules {
    uint64_t n[KEEP_PERIODS]; /* all 0: no snapshots beyond what a pass needs */
};

#define KEEP_DEFAULT "last=3"

/* "last=3,hourly=24,daily=7"; "none". ERR_USAGE. NULL: the default. */
int keep_rules_parse(const char *text, struct keep_rules *ret,
                     struct err *e) err_warn_unused;

/* `times`: of the backups, Unix seconds, newest first. keep[i] becomes true for those
 * that a rule keeps. `last` keeps the newest; each other rule, in turn, the newest point
 * of each of its last N periods (of UTC; weeks begin on Monday) that have no point kept
 * by an earlier rule. Every point counts for one rule only, so
 * "last=3,hourly=24" keeps up to 27. */
void keep_choose(const struct keep_rules *rules, const int64_t *times, size_t n,
                 bool *keep);

/* ---- windows of the day ---- */

/* "22:00-06:00", several separated by commas, in local time; the end is not in it, and
 * one that ends before it begins goes over midnight. ERR_USAGE. NULL: always. */
int window_check(const char *text, struct err *e) err_warn_unused;

/* May a pass start at that minute of the day (0 to 1439)? `text` passed the check. */
bool window_contains(const char *text, unsigned minute);
/* The same now, in the time zone of this process. */
bool window_open(const char *text, int64_t unix_s);

#endif
