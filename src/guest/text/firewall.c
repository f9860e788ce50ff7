/* iptables-save text walked for one packet; see firewall.h. Jumps nest at most
 * MAX_DEPTH deep, and the whole walk looks at no more than MAX_STEPS rules, so looping
 * or exploding rule sets end as undecided. */
#include "guest/text/firewall.h"

#include "base/auto.h"
#include "base/str.h"
#include "guest/text/text.h"

#include <stdlib.h>
#include <string.h>

#define MAX_DEPTH 16
#define MAX_STEPS 20000

void firewall_answer_release(struct firewall_answer *a)
{
    free(a->because);
    a->because = NULL;
}

static int answer(struct firewall_answer *ret, enum firewall_verdict v, struct err *e,
                  const char *fmt, ...) __attribute__((format(printf, 4, 5)));
static int answer(struct firewall_answer *ret, enum firewall_verdict v, struct err *e,
                  const char *fmt, ...)
{
    auto_buf struct buf b = BUF_INIT;
    va_list ap;
    char *s;

    va_start(ap, fmt);
    buf_vaddf(&b, fmt, ap);
    va_end(ap);
    if (buf_take(&b, &s, e) < 0)
        return -1;
    ret->verdict = v;
    free(ret->because);
    ret->because = s;
    return 0;
}

/* ---- rules ---- */

enum match { MATCH_NO, MATCH_YES, MATCH_MAYBE };

struct rule {
    char *text;  /* owned: for people */
    char *chain; /* owned */
    struct strv words;
};
struct ruleset {
    struct VEC(struct rule) rules;
    struct strv chains, policies; /* side by side; "-" for chains without one */
};

static void ruleset_release(struct ruleset *s)
{
    vec_foreach (r, &s->rules) {
        free(r->text);
        free(r->chain);
        strv_release(&r->words);
    }
    vec_release(&s->rules);
    strv_release(&s->chains);
    strv_release(&s->policies);
}
#define auto_ruleset auto_call(ruleset_release)

static int add_rule(struct ruleset *s, char *line, struct err *e)
{
    struct rule r = {0};

    if (str_set(&r.text, line, e) < 0 || text_words(line, true, &r.words, e) < 0)
        goto fail;
    if (r.words.n < 2) {
        free(r.text);
        strv_release(&r.words);
        return 0;
    }
    if (str_set(&r.chain, r.words.v[1], e) < 0 || vec_push(&s->rules, r, e) < 0)
        goto fail;
    return 0;
fail:
    free(r.text);
    free(r.chain);
    strv_release(&r.words);
    return -1;
}

static int parse_rules(const char *text, struct ruleset *s, struct err *e)
{
    const char *at = text;
    bool filter = false;

    for (;;) {
        auto_free char *line = NULL;
        int r = text_next_trimmed(&at, '#', false, &line, e);

        if (r <= 0)
            return r;
        if (line[0] == '*') {
            filter = str_eq(line, "*filter");
        } else if (filter && line[0] == ':') {
            size_t n = strcspn(line + 1, " \t");
            char *policy = line + 1 + n + strspn(line + 1 + n, " \t");

            if (strv_add_n(&s->chains, line + 1, n, e) < 0 ||
                strv_add_n(&s->policies, policy, strcspn(policy, " \t"), e) < 0)
                return -1;
        } else if (filter && (str_starts(line, "-A ") || str_starts(line, "--append "))) {
            if (add_rule(s, line, e) < 0)
                return -1;
        }
    }
}

/* "22", "20:25", "22,80,8000:8010" */
static enum match ports_match(const char *list, uint16_t port)
{
    for (const char *p = list; *p;) {
        char *end;
        unsigned long lo = strtoul(p, &end, 10), hi = lo;

        if (end == p && *end != ':')
            return str_starts(p, "ssh") && port == 22 ? MATCH_YES : MATCH_MAYBE;
        if (*end == ':') {
            p = end + 1;
            hi = strtoul(p, &end, 10);
            if (end == p)
                hi = 65535;
        }
        if (port >= lo && port <= hi)
            return MATCH_YES;
        if (*end && *end != ',')
            return MATCH_MAYBE;
        p = *end ? end + 1 : end;
    }
    return MATCH_NO;
}

static bool any_address(const char *s)
{
    return str_eq(s, "0.0.0.0/0") || str_eq(s, "0/0") || str_eq(s, "::/0");
}

static bool any_ethernet(const char *name)
{
    return str_eq(name, "eth0") || str_eq(name, "eth+") || str_eq(name, "e+") ||
           str_eq(name, "+");
}

static enum match negate(enum match m, bool not )
{
    if (!not || m == MATCH_MAYBE)
        return m;
    return m == MATCH_YES ? MATCH_NO : MATCH_YES;
}

/* One option with its value against our packet: from anywhere, NEW, TCP, to `port`. An
 * address range matches some peers only, an interface name other than eth0 may be the
 * one that becomes eth0. */
static enum match option_match(const char *key, const char *value, uint16_t port)
{
    if (str_eq(key, "-p") || str_eq(key, "--protocol"))
        return str_eq(value, "tcp") || str_eq(value, "all") || str_eq(value, "6")
                   ? MATCH_YES
                   : MATCH_NO;
    if (str_eq(key, "--dport") || str_eq(key, "--destination-port") ||
        str_eq(key, "--dports") || str_eq(key, "--destination-ports"))
        return ports_match(value, port);
    if (str_eq(key, "-i") || str_eq(key, "--in-interface"))
        return str_eq(value, "lo")   ? MATCH_NO
               : any_ethernet(value) ? MATCH_YES
                                     : MATCH_MAYBE;
    if (str_eq(key, "-s") || str_eq(key, "--source"))
        return any_address(value)          ? MATCH_YES
               : str_starts(value, "127.") ? MATCH_NO
                                           : MATCH_MAYBE;
    if (str_eq(key, "-d") || str_eq(key, "--destination"))
        return any_address(value)                                       ? MATCH_YES
               : str_starts(value, "127.") || str_starts(value, "224.") ? MATCH_NO
                                                                        : MATCH_MAYBE;
    if (str_eq(key, "--state") || str_eq(key, "--ctstate"))
        return text_has_word(value, "NEW") ? MATCH_YES : MATCH_NO;
    if (str_eq(key, "--icmp-type") || str_eq(key, "--icmpv6-type"))
        return MATCH_NO;
    if (str_eq(key, "--tcp-flags"))
        return MATCH_MAYBE;
    return MATCH_MAYBE;
}

/* Whole rule: NO wins over MAYBE. ret_target and ret_goto are borrowed. */
static enum match rule_match(const struct rule *r, uint16_t port, const char **ret_target,
                             bool *ret_goto)
{
    enum match all = MATCH_YES;
    bool not = false;

    *ret_target = NULL;
    *ret_goto = false;
    for (size_t i = 2; i < r->words.n; i++) {
        const char *w = r->words.v[i], *v = i + 1 < r->words.n ? r->words.v[i + 1] : "";
        enum match m;

        if (str_eq(w, "!")) {
            not = true;
            continue;
        }
        if (str_eq(w, "-j") || str_eq(w, "--jump") || str_eq(w, "-g") ||
            str_eq(w, "--goto")) {
            *ret_target = v;
            *ret_goto = w[1] == 'g' || str_eq(w, "--goto");
            break; /* what follows belongs to the target */
        }
        if (str_eq(w, "-m") || str_eq(w, "--match")) {
            i++;
            continue;
        }
        if (str_eq(w, "--comment")) {
            i++;
            continue;
        }
        if (str_eq(w, "--syn")) {
            m = negate(MATCH_YES, not );
        } else {
            m = negate(option_match(w, v, port), not );
            /* Options of unknown matches may have no value: never swallow the next. */
            i += str_eq(w, "--tcp-flags") ? 2 : v[0] != '-' && !str_eq(v, "!");
        }
        not = false;
        if (m == MATCH_NO)
            return MATCH_NO;
        if (m == MATCH_MAYBE)
            all = MATCH_MAYBE;
    }
    return all;
}

struct walk {
    const struct ruleset *set;
    uint16_t port;
    size_t steps;
    /* A rule that may or may not accept or drop was passed; the end is then certain only
     * if it would be the same. */
    bool maybe_accept, maybe_drop;
    const char *maybe_rule;
};

enum outcome { OUT_FALL, OUT_ACCEPT, OUT_DROP, OUT_LOST };

static bool harmless(const char *target)
{
    static const char *const names[] = {"LOG",      "NFLOG", "ULOG",  "MARK",
                                        "CONNMARK", "AUDIT", "TRACE", "TCPMSS"};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (str_eq(target, names[i]))
            return true;
    return false;
}

static enum outcome walk_chain(struct walk *w, const char *chain, int depth,
                               const char **ret_rule);

static enum outcome take_target(struct walk *w, const char *target, int depth,
                                const struct rule *r, const char **ret_rule)
{
    *ret_rule = r->text;
    if (str_eq(target, "ACCEPT"))
        return OUT_ACCEPT;
    if (str_eq(target, "DROP") || str_eq(target, "REJECT") || str_eq(target, "TARPIT"))
        return OUT_DROP;
    if (harmless(target))
        return OUT_FALL;
    if (!strv_has(&w->set->chains, target))
        return OUT_LOST;
    return walk_chain(w, target, depth + 1, ret_rule);
}

static enum outcome walk_chain(struct walk *w, const char *chain, int depth,
                               const char **ret_rule)
{
    if (depth > MAX_DEPTH)
        return OUT_LOST;
    vec_foreach (r, &w->set->rules) {
        const char *target, *rule = r->text;
        enum outcome o;
        enum match m;
        bool is_goto;

        if (!str_eq(r->chain, chain))
            continue;
        if (++w->steps > MAX_STEPS)
            return OUT_LOST;
        m = rule_match(r, w->port, &target, &is_goto);
        if (m == MATCH_NO || !target)
            continue;
        if (str_eq(target, "RETURN")) {
            if (m == MATCH_YES)
                return OUT_FALL;
            w->maybe_accept = w->maybe_drop = true;
            w->maybe_rule = r->text;
            continue;
        }
        o = take_target(w, target, depth, r, &rule);
        if (o == OUT_LOST || (o != OUT_FALL && m == MATCH_YES)) {
            *ret_rule = rule;
            return o;
        }
        if (o != OUT_FALL) {
            w->maybe_accept |= o == OUT_ACCEPT;
            w->maybe_drop |= o == OUT_DROP;
            w->maybe_rule = r->text;
        } else if (is_goto && m == MATCH_YES) {
            return OUT_FALL;
        }
    }
    return OUT_FALL;
}

int firewall_iptables(const char *text, uint16_t port, struct firewall_answer *ret,
                      struct err *e)
{
    auto_ruleset struct ruleset set = {0};
    struct walk w = {.set = &set, .port = port};
    const char *rule = "INPUT";
    auto_free char *policy_text = NULL;
    enum outcome o;

    if (parse_rules(text, &set, e) < 0)
        return -1;
    o = walk_chain(&w, "INPUT", 0, &rule);
    if (o == OUT_FALL) {
        const char *policy = "ACCEPT";

        for (size_t i = 0; i < set.chains.n; i++)
            if (str_eq(set.chains.v[i], "INPUT"))
                policy = set.policies.v[i];
        policy_text = str_fmt(e, "policy %s of INPUT", policy);
        if (!policy_text)
            return -1;
        rule = policy_text;
        o = str_eq(policy, "ACCEPT") ? OUT_ACCEPT : OUT_DROP;
    }
    /* Rules that match some peers only: accepting a few before all are dropped leaves
     * the rest shut, dropping a few before all are accepted is somebody's wish; in both
     * cases nobody but the user knows whether that suits. */
    if (o == OUT_LOST || (o == OUT_ACCEPT && w.maybe_drop) ||
        (o == OUT_DROP && w.maybe_accept))
        return answer(ret, FIREWALL_UNDECIDED, e, "%s",
                      w.maybe_rule ? w.maybe_rule : rule);
    return answer(ret, o == OUT_ACCEPT ? FIREWALL_OPEN : FIREWALL_CLOSED, e, "%s", rule);
}

int firewall_iptables_open(const char *text, uint16_t port, struct buf *out,
                           struct err *e)
{
    const char *at = text;
    struct text_line l;
    bool filter = false, done = false;

    while (text_next(&at, &l)) {
        bool rule = l.len && l.s[0] == '-',
             commit = l.len >= 6 && !strncmp(l.s, "COMMIT", 6);

        if (l.len && l.s[0] == '*')
            filter = l.len == 7 && !strncmp(l.s, "*filter", 7);
        if (filter && !done && (rule || commit)) {
            buf_addf(out, "-A INPUT -p tcp -m tcp --dport %u -j ACCEPT\n", port);
            done = true;
        }
        buf_add(out, l.s, l.len);
        buf_addc(out, '\n');
    }
    if (!done)
        return err_set(e, ERR_UNSUPPORTED, "no filter table in the iptables rules");
    return buf_check(out, e);
}

/* ---- ufw: ### tuple ### ACTION PROTO DPORT DST SPORT SRC [APPS] DIRECTION ---- */

static enum match tuple_match(const struct strv *w, uint16_t port, bool *ret_certain)
{
    const char *proto = w->v[4], *dport = w->v[5], *src = w->v[8];
    const char *direction = w->v[w->n - 1];
    enum match m = MATCH_YES;

    *ret_certain = true;
    if (!str_eq(proto, "any") && !str_eq(proto, "tcp"))
        return MATCH_NO;
    if (!str_starts(direction, "in"))
        return MATCH_NO;
    if (!str_eq(dport, "any"))
        m = ports_match(dport, port);
    if (m == MATCH_YES && (!any_address(src) || !any_address(w->v[6]) ||
                           (direction[2] == '_' && !any_ethernet(direction + 3))))
        m = MATCH_MAYBE;
    return m;
}

int firewall_ufw(const char *text, const char *input_policy, uint16_t port,
                 struct firewall_answer *ret, struct err *e)
{
    const char *at = text;
    struct text_line l;
    bool open = str_eq(input_policy, "ACCEPT"), maybe[2] = {false, false};

    while (text_next(&at, &l)) {
        auto_free char *line = str_ndup(l.s, l.len, e);
        auto_strv struct strv w = {0};
        bool certain, allow;
        enum match m;

        if (!line || text_words(line, false, &w, e) < 0)
            return -1;
        if (w.n < 10 || !str_eq(w.v[0], "###") || !str_eq(w.v[1], "tuple"))
            continue;
        m = tuple_match(&w, port, &certain);
        allow = str_starts(w.v[3], "allow") || str_starts(w.v[3], "limit");
        if (m == MATCH_YES && maybe[!allow])
            return answer(ret, FIREWALL_UNDECIDED, e, "ufw rules for some peers only");
        if (m == MATCH_YES)
            return answer(ret, allow ? FIREWALL_OPEN : FIREWALL_CLOSED, e, "%s", line);
        if (m == MATCH_MAYBE)
            maybe[allow] = true;
    }
    if (maybe[!open])
        return answer(ret, FIREWALL_UNDECIDED, e, "ufw rules for some peers only");
    return answer(ret, open ? FIREWALL_OPEN : FIREWALL_CLOSED, e,
                  "DEFAULT_INPUT_POLICY=%s", input_policy);
}

int firewall_ufw_open(const char *text, uint16_t port, struct buf *out, struct err *e)
{
    const char *at = text;
    struct text_line l;
    bool done = false;

    while (text_next(&at, &l)) {
        buf_add(out, l.s, l.len);
        buf_addc(out, '\n');
        if (!done && l.len >= 11 && !strncmp(l.s, "### RULES ##", 11)) {
            buf_addf(out,
                     "\n### tuple ### allow tcp %u 0.0.0.0/0 any 0.0.0.0/0 in\n"
                     "-A ufw-user-input -p tcp --dport %u -j ACCEPT\n",
                     port, port);
            done = true;
        }
    }
    if (!done)
        return err_set(e, ERR_UNSUPPORTED, "no \"### RULES ###\" line in ufw's rules");
    return buf_check(out, e);
}
