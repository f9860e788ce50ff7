/* Files of syncs, and the rules in them. What is accepted must be whole: names, groups
 * that are there, rules that can be applied. */
#include "base/str.h"
#include "sync/file.h"
#include "sync/retention.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define N 40

static void try_rules(const char *text)
{
    struct keep_rules rules;
    struct err e = ERR_INIT;
    int64_t times[N];
    bool keep[N];
    uint64_t kept = 0, most = 0;

    if (keep_rules_parse(text, &rules, &e) < 0)
        return;
    for (int i = 0; i < N; i++)
        times[i] = 1767225600 - (int64_t)i * i * 7000;
    keep_choose(&rules, times, N, keep);
    for (int i = 0; i < N; i++)
        kept += keep[i];
    for (int i = 0; i < KEEP_PERIODS; i++)
        most += rules.n[i];
    assert(kept <= most);
}

static void try_window(const char *text)
{
    struct err e = ERR_INIT;
    unsigned in = 0;

    if (window_check(text, &e) < 0)
        return;
    for (unsigned m = 0; m < 1440; m++)
        in += window_contains(text, m);
    assert(in > 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    auto_sync_file struct sync_file f = {0};
    struct err e = ERR_INIT;

    if (sync_file_parse((const char *)data, len, "fuzz", &f, &e) < 0) {
        assert(e.kind != ERR_NONE && f.n == 0);
        return 0;
    }
    vec_foreach (s, &f) {
        assert((s->kind == SYNC_FILE_DEFAULTS) == (*s->name == 0));
        assert(sync_file_find(&f, s->kind, s->name) == s);
        vec_foreach (l, &s->lines) {
            if (str_eq(l->key, "keep"))
                try_rules(l->value);
            else if (str_eq(l->key, "window"))
                try_window(l->value);
            else if (str_eq(l->key, "group") && s->kind != SYNC_FILE_GROUP)
                assert(sync_file_find(&f, SYNC_FILE_GROUP, l->value));
        }
    }
    return 0;
}
