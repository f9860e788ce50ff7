/* Names of modules; see modname.h. */
#include "guest/initrd/modname.h"

#include "base/str.h"

static const struct {
    const char *suffix;
    enum modname_packing packing;
} suffixes[] = {
    {".ko", MODNAME_PLAIN},
    {".ko.gz", MODNAME_GZIP},
    {".ko.xz", MODNAME_XZ},
    {".ko.zst", MODNAME_ZSTD},
};

static bool word_char(char c)
{
    return (unsigned char)c > ' ' && c != 0x7f;
}

bool modname_normal_n(const char *name, size_t len, char out[MODNAME_MAX])
{
    if (!len || len >= MODNAME_MAX)
        return false;
    for (size_t i = 0; i < len; i++) {
        if (!word_char(name[i]) || name[i] == '/')
            return false;
        out[i] = name[i] == '-' ? '_' : name[i];
    }
    out[len] = 0;
    return true;
}

bool modname_normal(const char *name, char out[MODNAME_MAX])
{
    return modname_normal_n(name, strlen(name), out);
}

bool modname_of_path(const char *path, char out[MODNAME_MAX],
                     enum modname_packing *ret_packing, size_t *ret_plain_len)
{
    const char *base = strrchr(path, '/');
    size_t len;

    base = base ? base + 1 : path;
    for (size_t i = 0; i < sizeof suffixes / sizeof suffixes[0]; i++) {
        if (!str_ends(base, suffixes[i].suffix))
            continue;
        len = strlen(base) - strlen(suffixes[i].suffix);
        if (!modname_normal_n(base, len, out))
            return false;
        if (ret_packing)
            *ret_packing = suffixes[i].packing;
        if (ret_plain_len)
            *ret_plain_len = (size_t)(base - path) + len + 3;
        return true;
    }
    return false;
}

static bool part_ok(const char *p, size_t len)
{
    if (!len || (len == 1 && p[0] == '.') || (len == 2 && p[0] == '.' && p[1] == '.'))
        return false;
    for (size_t i = 0; i < len; i++)
        if (!word_char(p[i]))
            return false;
    return len <= 255;
}

bool modname_path_ok(const char *path)
{
    const char *p = *path == '/' ? path + 1 : path;
    char name[MODNAME_MAX];

    if (strlen(path) > MODNAME_PATH_MAX)
        return false;
    for (;;) {
        size_t len = strcspn(p, "/");

        if (!part_ok(p, len))
            return false;
        p += len;
        if (!*p)
            return modname_of_path(path, name, NULL, NULL);
        p++;
    }
}

bool modname_kernel_ok(const char *kernel)
{
    return !strchr(kernel, '/') && part_ok(kernel, strlen(kernel));
}

/* One '[…]' of a pattern at p against c. Returns the byte after it, or NULL when it is
 * not closed. */
static const char *bracket(const char *p, char c, bool *ret_hit)
{
    bool negate = *++p == '!' || *p == '^', hit = false;
    const char *start;

    p += negate;
    for (start = p; *p && (*p != ']' || p == start); p++) {
        if (p[1] == '-' && p[2] && p[2] != ']') {
            hit |= c >= p[0] && c <= p[2];
            p += 2;
        } else {
            hit |= c == *p;
        }
    }
    *ret_hit = hit != negate;
    return *p ? p + 1 : NULL;
}

bool modname_glob(const char *pattern, const char *name)
{
    const char *star = NULL, *resume = NULL;

    /* Greedy, with one place to go back to: the last star. */
    while (*name) {
        const char *after = pattern + 1;
        char c = *pattern == '-' ? '_' : *pattern, n = *name == '-' ? '_' : *name;
        bool hit = c && (c == '?' || c == n);

        if (c == '*') {
            star = pattern++;
            resume = name;
            continue;
        }
        if (c == '[' && !(after = bracket(pattern, *name, &hit)))
            return false;
        if (hit) {
            pattern = after;
            name++;
        } else if (star) {
            pattern = star + 1;
            name = ++resume;
        } else {
            return false;
        }
    }
    while (*pattern == '*')
        pattern++;
    return !*pattern;
}
