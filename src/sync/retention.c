/* Retention and windows; see retention.h. */
#include "sync/retention.h"

#include "base/str.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

static const char *const words[KEEP_PERIODS] = {"last",   "hourly",  "daily",
                                                "weekly", "monthly", "yearly"};

#define KEEP_MAX 10000

/* ---- rules ---- */

static int parse_one(const char *word, size_t len, struct keep_rules *r, struct err *e)
{
    for (size_t i = 0; i < KEEP_PERIODS; i++) {
        size_t n = strlen(words[i]);
        char digits[16];

        if (len <= n + 1 || strncmp(word, words[i], n) != 0 || word[n] != '=')
            continue;
        snprintf(digits, sizeof digits, "%.*s", (int)(len - n - 1), word + n + 1);
        if (len - n - 1 >= sizeof digits || str_to_u64(digits, &r->n[i], e) < 0 ||
            r->n[i] > KEEP_MAX)
            return err_set(e, ERR_USAGE, "keep %.*s: a number from 0 to %d is wanted",
                           (int)len, word, KEEP_MAX);
        return 0;
    }
    return err_set(e, ERR_USAGE,
                   "keep %.*s: write last=N, hourly=N, daily=N, weekly=N, monthly=N or "
                   "yearly=N, separated by commas, or none",
                   (int)len, word);
}

int keep_rules_parse(const char *text, struct keep_rules *ret, struct err *e)
{
    struct keep_rules r = {0};

    if (!text)
        text = KEEP_DEFAULT;
    if (str_eq(text, "none")) {
        *ret = r;
        return 0;
    }
    for (const char *p = text;; p++) {
        size_t len = strcspn(p, ",");

        if (parse_one(p, len, &r, e) < 0)
            return -1;
        p += len;
        if (!*p)
            break;
    }
    *ret = r;
    return 0;
}

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

/* A number that is the same for times of one period and for no others. */
static int64_t period_of(enum keep_period p, int64_t t)
{
    time_t tt = (time_t)t;
    struct tm tm = {0};

    switch (p) {
    case KEEP_HOURLY:
        return floor_div(t, 3600);
    case KEEP_DAILY:
        return floor_div(t, 86400);
    case KEEP_WEEKLY: /* 1970-01-01 was a Thursday */
        return floor_div(floor_div(t, 86400) + 3, 7);
    default:
        gmtime_r(&tt, &tm);
        return p == KEEP_MONTHLY ? tm.tm_year * 12 + tm.tm_mon : tm.tm_year;
    }
}

/* A period in which an earlier rule keeps a point already. */
static bool covered(enum keep_period p, int64_t period, const int64_t *times, size_t n,
                    const bool *before)
{
    for (size_t i = 0; i < n; i++)
        if (before[i] && period_of(p, times[i]) == period)
            return true;
    return false;
}

static void choose_period(enum keep_period p, uint64_t count, const int64_t *times,
                          size_t n, bool *keep)
{
    int64_t last = INT64_MIN;

    /* Times fall, so a period's points are neighbours and its newest comes first; what
     * this rule keeps is never of a period that it meets again. */
    for (size_t i = 0; i < n && count; i++) {
        int64_t period = period_of(p, times[i]);

        if (period == last)
            continue;
        last = period;
        if (keep[i] || covered(p, period, times, n, keep))
            continue;
        keep[i] = true;
        count--;
    }
}

void keep_choose(const struct keep_rules *rules, const int64_t *times, size_t n,
                 bool *keep)
{
    for (size_t i = 0; i < n; i++)
        keep[i] = i < rules->n[KEEP_LAST];
    for (int p = KEEP_HOURLY; p < KEEP_PERIODS; p++)
        choose_period((enum keep_period)p, rules->n[p], times, n, keep);
}

/* ---- windows ---- */

#define DAY_MINUTES 1440u

/* "HH:MM" at *p; 24:00 is the day's end. */
static bool take_time(const char **p, unsigned *ret)
{
    const char *s = *p;
    unsigned h, m;

    for (int i = 0; i < 5; i++)
        if (i == 2 ? s[i] != ':' : s[i] < '0' || s[i] > '9')
            return false;
    h = (unsigned)(s[0] - '0') * 10 + (unsigned)(s[1] - '0');
    m = (unsigned)(s[3] - '0') * 10 + (unsigned)(s[4] - '0');
    if (m > 59 || h * 60 + m > DAY_MINUTES)
        return false;
    *p = s + 5;
    *ret = h * 60 + m;
    return true;
}

/* The window at *p, and moves to the next; false at a mistake. */
static bool take_window(const char **p, unsigned *ret_from, unsigned *ret_to)
{
    if (!take_time(p, ret_from) || *(*p)++ != '-' || !take_time(p, ret_to) ||
        *ret_from == *ret_to || *ret_from == DAY_MINUTES)
        return false;
    if (**p == ',')
        return *++*p != 0;
    return **p == 0;
}

int window_check(const char *text, struct err *e)
{
    unsigned from, to;

    if (!text)
        return 0;
    for (const char *p = text; *p || p == text;)
        if (!take_window(&p, &from, &to))
            return err_set(e, ERR_USAGE,
                           "window %s: write HH:MM-HH:MM, several separated by commas",
                           text);
    return 0;
}

bool window_contains(const char *text, unsigned minute)
{
    unsigned from, to;

    if (!text)
        return true;
    for (const char *p = text; *p;) {
        if (!take_window(&p, &from, &to))
            return false;
        if (from < to ? minute >= from && minute < to : minute >= from || minute < to)
            return true;
    }
    return false;
}

bool window_open(const char *text, int64_t unix_s)
{
    time_t t = (time_t)unix_s;
    struct tm tm = {0};

    if (!text)
        return true;
    localtime_r(&t, &tm);
    return window_contains(text, (unsigned)tm.tm_hour * 60 + (unsigned)tm.tm_min);
}
