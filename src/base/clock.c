/* Time; see clock.h. */
#include "base/clock.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

uint64_t clock_mono_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

int64_t clock_real_s(void)
{
    return (int64_t)time(NULL);
}

char *clock_iso8601(char out[CLOCK_ISO_LEN], int64_t unix_s)
{
    time_t t = (time_t)unix_s;
    struct tm tm;

    if (!gmtime_r(&t, &tm) || !strftime(out, CLOCK_ISO_LEN, "%Y-%m-%dT%H:%M:%SZ", &tm))
        out[0] = 0;
    return out;
}

char *clock_iso8601_basic(char out[CLOCK_ISO_LEN], int64_t unix_s)
{
    time_t t = (time_t)unix_s;
    struct tm tm;

    if (!gmtime_r(&t, &tm) || !strftime(out, CLOCK_ISO_LEN, "%Y%m%dT%H%M%SZ", &tm))
        out[0] = 0;
    return out;
}

int clock_parse_iso8601(const char *s, int64_t *ret_unix_s, struct err *e)
{
    struct tm tm = {0};
    const char *end = strptime(s, "%Y-%m-%dT%H:%M:%S", &tm);

    if (end && *end == '.')
        end += 1 + strspn(end + 1, "0123456789");
    if (!end || strcmp(end, "Z") != 0)
        return err_set(e, ERR_INPUT, "'%.40s' is not a time like 2026-01-02T03:04:05Z",
                       s);
    *ret_unix_s = (int64_t)timegm(&tm);
    return 0;
}
