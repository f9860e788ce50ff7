/* Debian's /etc/network/interfaces (interfaces(5)); see net.h. */
#include "guest/text/net.h"

#include "base/auto.h"
#include "base/str.h"
#include "guest/text/text.h"

#include <ctype.h>
#include <string.h>

static struct net_profile *named(struct net_profiles *to, size_t from, const char *name)
{
    for (size_t i = from; i < to->n; i++)
        if (str_eq_null(to->v[i].name, name))
            return &to->v[i];
    return NULL;
}

static enum net_kind kind_of(const char *name)
{
    if (str_eq(name, "lo"))
        return NET_LOOPBACK;
    if (str_starts(name, "bond") || str_starts(name, "br") || str_starts(name, "vlan") ||
        str_starts(name, "team") || strchr(name, '.'))
        return NET_STACKED;
    if (str_starts(name, "tun") || str_starts(name, "tap") || str_starts(name, "wg") ||
        str_starts(name, "wl") || str_starts(name, "dummy"))
        return NET_OTHER;
    return NET_ETHERNET;
}

/* The profile of an interface, made if this is its first stanza. */
static int profile_of(struct net_profiles *to, const char *name, const char *file,
                      struct net_profile **ret, struct err *e)
{
    *ret = named(to, 0, name);
    if (!*ret) {
        struct net_profile p = {.kind = kind_of(name)};

        p.file = str_dup(file, e);
        p.name = p.file ? str_dup(name, e) : NULL;
        if (!p.name) {
            free(p.file);
            return -1;
        }
        if (net_profiles_add(to, &p, e) < 0)
            return -1;
        *ret = &to->v[to->n - 1];
    }
    return 0;
}

static bool is_auto(const char *word)
{
    return str_eq(word, "auto") || str_starts(word, "allow-");
}

/* Options of an iface stanza. */
static int option(struct net_profile *p, const struct strv *w, struct err *e)
{
    const char *key = w->v[0];

    if (w->n < 2)
        return 0;
    if (str_eq(key, "address") && !strchr(w->v[1], ':') && !p->address)
        return str_set(&p->address, w->v[1], e);
    if (str_starts(key, "bond") || str_starts(key, "bridge") || str_starts(key, "vlan"))
        p->kind = NET_STACKED;
    if (str_eq(key, "hwaddress") && !p->mac)
        return str_set(&p->mac, w->v[w->n - 1], e);
    return 0;
}

static int stanza(const struct strv *w, const char *file, struct net_profiles *to,
                  struct strv *sources, struct net_profile **current, struct err *e)
{
    const char *first = w->v[0];

    if (is_auto(first)) {
        for (size_t i = 1; i < w->n; i++) {
            if (profile_of(to, w->v[i], file, current, e) < 0)
                return -1;
            (*current)->automatic = true;
        }
        *current = NULL;
    } else if (str_eq(first, "iface") && w->n >= 2) {
        if (profile_of(to, w->v[1], file, current, e) < 0)
            return -1;
        if (str_set(&(*current)->file, file, e) < 0)
            return -1;
        if (w->n >= 4 && str_eq(w->v[2], "inet") && str_eq(w->v[3], "dhcp"))
            (*current)->dhcp4 = true;
    } else if (str_eq(first, "source") && w->n >= 2) {
        return strv_add(sources, w->v[1], e);
    } else if (str_eq(first, "source-directory") && w->n >= 2) {
        return strv_addf(sources, e, "%s/", w->v[1]);
    } else if (str_eq(first, "mapping")) {
        *current = NULL;
    } else if (*current) {
        return option(*current, w, e);
    }
    return 0;
}

int net_ifupdown(const char *text, const char *file, struct net_profiles *to,
                 struct strv *sources, struct err *e)
{
    struct net_profile *current = NULL;
    const char *at = text;

    for (;;) {
        auto_free char *line = NULL;
        auto_strv struct strv words = {0};
        int r = text_next_trimmed(&at, '#', true, &line, e);

        if (r <= 0)
            return r;
        if (text_words(line, false, &words, e) < 0 ||
            (words.n && stanza(&words, file, to, sources, &current, e) < 0))
            return -1;
    }
}

/* Does this line begin something that is to be commented out, or end it? */
static bool drops(const struct strv *w, bool dropping)
{
    const char *first = w->v[0];

    if (is_auto(first)) {
        for (size_t i = 1; i < w->n; i++)
            if (!str_eq(w->v[i], "lo"))
                return true;
        return false;
    }
    if (str_eq(first, "iface"))
        return w->n < 2 || !str_eq(w->v[1], "lo");
    if (str_eq(first, "mapping"))
        return true;
    if (str_starts(first, "source"))
        return false;
    return dropping; /* an option of the stanza above */
}

int net_ifupdown_rewrite(const char *text, const char *eth, struct buf *out,
                         struct err *e)
{
    const char *at = text;
    struct text_line l;
    bool dropping = false;

    while (text_next(&at, &l)) {
        auto_free char *line = str_ndup(l.s, l.len, e);
        auto_strv struct strv words = {0};

        if (!line || text_words(line, false, &words, e) < 0)
            return -1;
        if (words.n && words.v[0][0] != '#') {
            dropping = drops(&words, dropping);
            if (dropping)
                buf_adds(out, "#hotadd# ");
            /* "auto lo ens192": loopback must come up still. */
            if (dropping && is_auto(words.v[0]) && strv_has(&words, "lo"))
                buf_addf(out, "%s\nauto lo", line);
            else
                buf_adds(out, line);
        } else {
            buf_adds(out, line);
        }
        buf_addc(out, '\n');
    }
    if (eth)
        buf_addf(out,
                 "\n# By hotadd: EC2 assigns the address by DHCP.\n"
                 "auto %s\niface %s inet dhcp\n",
                 eth, eth);
    return buf_check(out, e);
}
