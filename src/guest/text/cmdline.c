/* Kernel command lines; see cmdline.h. The spacing of what was there is not kept. */
#include "guest/text/cmdline.h"

#include "base/auto.h"
#include "base/str.h"
#include "guest/text/text.h"

#include <string.h>

/* The value when the word is key or key=value, else NULL. The kernel takes '-' and '_'
 * in parameter names as equal. */
static const char *value_of(const char *word, const char *key)
{
    for (; *key; word++, key++) {
        char a = *word == '-' ? '_' : *word, b = *key == '-' ? '_' : *key;

        if (a != b)
            return NULL;
    }
    return *word == '=' ? word + 1 : !*word ? word : NULL;
}

int cmdline_get(const char *args, const char *key, char **ret, struct err *e)
{
    auto_strv struct strv words = {0};
    auto_free char *value = NULL;

    if (text_words(args, true, &words, e) < 0)
        return -1;
    vec_foreach (w, &words) {
        const char *v = value_of(*w, key);

        if (v && str_set(&value, v, e) < 0)
            return -1;
    }
    *ret = take_ptr(value);
    return 0;
}

static bool has_key(const struct strv *words, const char *key)
{
    vec_foreach (w, words)
        if (value_of(*w, key))
            return true;
    return false;
}

static bool has_serial(const struct strv *words)
{
    vec_foreach (w, words) {
        const char *v = value_of(*w, "console");

        if (v && str_starts(v, "ttyS0") && (!v[5] || v[5] == ','))
            return true;
    }
    return false;
}

static int map_word(const struct cmdline_map *map, char **word, struct err *e)
{
    static const char *const keys[] = {"root", "resume"};

    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        const char *v = value_of(*word, keys[i]);
        auto_free char *to = NULL, *new_word = NULL;

        if (!v || !*v)
            continue;
        if (map->fn(map->ctx, v, &to, e) < 0)
            return -1;
        if (!to)
            continue;
        new_word = str_fmt(e, "%s=%s", keys[i], to);
        if (!new_word)
            return -1;
        free(*word);
        *word = take_ptr(new_word);
    }
    return 0;
}

static int add_wanted(struct strv *words, const struct cmdline_want *want, struct err *e)
{
    if (want->serial_console && !has_serial(words)) {
        if (!has_key(words, "console") && strv_add(words, "console=tty0", e) < 0)
            return -1;
        if (strv_add(words, "console=ttyS0,115200n8", e) < 0)
            return -1;
    }
    if (want->eth_names && (strv_add_once(words, "net.ifnames=0", e) < 0 ||
                            strv_add_once(words, "biosdevname=0", e) < 0))
        return -1;
    if (want->xen_disk_names && !has_key(words, "xen_blkfront.sda_is_xvda") &&
        strv_add(words, "xen_blkfront.sda_is_xvda=1", e) < 0)
        return -1;
    if (want->nvme_timeout) {
        auto_free char *key =
            str_ndup(want->nvme_timeout, strcspn(want->nvme_timeout, "="), e);

        if (!key || (!has_key(words, key) && strv_add(words, want->nvme_timeout, e) < 0))
            return -1;
    }
    return 0;
}

/* An open quote would swallow what we add. */
static bool quotes_closed(const char *s)
{
    char quote = 0;

    for (; *s; s++)
        if (*s == '"' || *s == '\'')
            quote = !quote ? *s : quote == *s ? 0 : quote;
    return !quote;
}

int cmdline_apply(const char *args, const struct cmdline_want *want, struct buf *out,
                  struct err *e)
{
    auto_strv struct strv words = {0};
    auto_free char *joined = NULL;

    if (!quotes_closed(args))
        return err_set(e, ERR_UNSUPPORTED, "kernel options with an open quote: %s", args);
    if (text_words(args, true, &words, e) < 0)
        return -1;
    if (want->map)
        vec_foreach (w, &words)
            if (map_word(want->map, w, e) < 0)
                return -1;
    if (add_wanted(&words, want, e) < 0 || strv_join(&words, " ", &joined, e) < 0)
        return -1;
    buf_adds(out, joined);
    return buf_check(out, e);
}
