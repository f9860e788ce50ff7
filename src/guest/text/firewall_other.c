/* nftables, firewalld zones, SuSEfirewall2, TCP wrappers and sshd's ports; see
 * firewall.h. */
#include "guest/text/firewall.h"

#include "base/auto.h"
#include "base/str.h"
#include "base/xml.h"
#include "guest/text/shvar.h"
#include "guest/text/text.h"

#include <stdlib.h>
#include <string.h>

#define MAX_ZONE_BYTES (1u << 20)

static int answer(struct firewall_answer *ret, enum firewall_verdict v, struct err *e,
                  const char *because)
{
    if (str_set(&ret->because, because, e) < 0)
        return -1;
    ret->verdict = v;
    return 0;
}

/* Comments and quoted texts would be taken for statements. */
static int without_comments(const char *text, char **ret, struct err *e)
{
    auto_buf struct buf b = BUF_INIT;
    bool comment = false, quote = false;

    for (const char *p = text; *p; p++) {
        if (*p == '\n')
            comment = quote = false;
        else if (*p == '"' && !comment)
            quote = !quote;
        else if (*p == '#' && !quote)
            comment = true;
        buf_addc(&b, comment || quote ? ' ' : *p);
    }
    return buf_take(&b, ret, e);
}

int firewall_nft(const char *text, uint16_t port, struct firewall_answer *ret,
                 struct err *e)
{
    auto_free char *s = NULL;

    if (without_comments(text, &s, e) < 0)
        return -1;
    if (text_has_word(s, "include"))
        return answer(ret, FIREWALL_UNDECIDED, e,
                      "the nftables rules include other files");
    if (!strstr(s, "hook input") && !strstr(s, "hook ingress") &&
        !strstr(s, "hook prerouting"))
        return answer(ret, FIREWALL_OPEN, e, "no chain filters incoming packets");
    if (!text_has_word(s, "drop") && !text_has_word(s, "reject") &&
        !text_has_word(s, "queue"))
        return answer(ret, FIREWALL_OPEN, e, "no nftables rule drops or rejects");
    if (!text_has_word(s, "accept"))
        return answer(ret, FIREWALL_CLOSED, e, "nftables rules drop and none accepts");
    return answer(ret, FIREWALL_UNDECIDED, e, "nftables rules that drop some packets");
}

static int element_port(xmlNode *node, uint16_t port, bool *ret, struct err *e)
{
    auto_free char *number = NULL, *protocol = NULL;
    unsigned long lo, hi;
    char *end;

    *ret = false;
    if (xml_attr(node, "port", &number, e) < 0 ||
        xml_attr(node, "protocol", &protocol, e) < 0)
        return -1;
    if (!number || !protocol || !str_eq(protocol, "tcp"))
        return 0;
    lo = hi = strtoul(number, &end, 10);
    if (*end == '-')
        hi = strtoul(end + 1, &end, 10);
    *ret = !*end && port >= lo && port <= hi;
    return 0;
}

int firewall_zone(const char *xml, size_t len, uint16_t port, uint16_t ssh_port,
                  struct firewall_answer *ret, struct err *e)
{
    auto_xml xmlDoc *doc = NULL;
    auto_free char *target = NULL;
    xmlNode *zone;

    if (xml_parse(xml, len, MAX_ZONE_BYTES, "firewalld zone", &doc, e) < 0)
        return -1;
    zone = xml_root(doc);
    if (!xml_is(zone, "zone"))
        return err_set(e, ERR_INPUT, "firewalld zone: the root element is no <zone>");
    if (xml_child(zone, "rule"))
        return answer(ret, FIREWALL_UNDECIDED, e, "the firewalld zone has rich rules");
    if (xml_attr(zone, "target", &target, e) < 0)
        return -1;
    if (target && str_eq(target, "ACCEPT"))
        return answer(ret, FIREWALL_OPEN, e, "the zone's target is ACCEPT");
    for (XML_EACH (s, xml_child(zone, "service"))) {
        auto_free char *name = NULL;

        if (xml_attr(s, "name", &name, e) < 0)
            return -1;
        if (name && str_eq(name, "ssh") && port == ssh_port)
            return answer(ret, FIREWALL_OPEN, e, "the zone lets service ssh in");
    }
    for (XML_EACH (p, xml_child(zone, "port"))) {
        bool hit;

        if (element_port(p, port, &hit, e) < 0)
            return -1;
        if (hit)
            return answer(ret, FIREWALL_OPEN, e, "the zone opens the port");
    }
    return answer(ret, FIREWALL_CLOSED, e,
                  "the zone names neither service ssh nor the port");
}

int firewall_zone_open(const char *xml, uint16_t port, struct buf *out, struct err *e)
{
    const char *end = NULL;

    for (const char *p = xml; (p = strstr(p, "</zone>")); p++)
        end = p;
    if (!end)
        return err_set(e, ERR_INPUT, "firewalld zone: no </zone>");
    buf_add(out, xml, (size_t)(end - xml));
    buf_addf(out, "  <port port=\"%u\" protocol=\"tcp\"/>\n%s", port, end);
    return buf_check(out, e);
}

#define SUSE_PORTS "FW_SERVICES_EXT_TCP"

/* "22", "20:30", "ssh" */
static bool suse_port(const char *word, uint16_t port)
{
    char *end;
    unsigned long lo = strtoul(word, &end, 10), hi = lo;

    if (port == 22 && str_eq(word, "ssh"))
        return true;
    if (end == word)
        return false;
    if (*end == ':')
        hi = strtoul(end + 1, &end, 10);
    return !*end && port >= lo && port <= hi;
}

int firewall_suse(const char *text, uint16_t port, struct firewall_answer *ret,
                  struct err *e)
{
    auto_free char *ports = NULL, *services = NULL;
    auto_strv struct strv words = {0}, names = {0};

    if (shvar_get(text, SUSE_PORTS, &ports, e) < 0 ||
        shvar_get(text, "FW_CONFIGURATIONS_EXT", &services, e) < 0 ||
        (ports && text_words(ports, false, &words, e) < 0) ||
        (services && text_words(services, false, &names, e) < 0))
        return -1;
    vec_foreach (w, &words)
        if (suse_port(*w, port))
            return answer(ret, FIREWALL_OPEN, e, SUSE_PORTS " has the port");
    if (port == 22 && strv_has(&names, "sshd"))
        return answer(ret, FIREWALL_OPEN, e, "FW_CONFIGURATIONS_EXT has sshd");
    return answer(ret, FIREWALL_CLOSED, e,
                  "neither " SUSE_PORTS " nor FW_CONFIGURATIONS_EXT lets sshd in");
}

int firewall_suse_open(const char *text, uint16_t port, struct buf *out, struct err *e)
{
    auto_free char *ports = NULL, *more = NULL;

    if (shvar_get(text, SUSE_PORTS, &ports, e) < 0)
        return -1;
    more = str_fmt(e, "%s%s%u", ports ? ports : "", ports && *ports ? " " : "", port);
    return more ? shvar_set(text, SUSE_PORTS, more, out, e) : -1;
}

/* "daemons : clients": does a line name sshd (or ALL) and ALL clients? */
static bool wrapper_names_all(const char *text)
{
    const char *at = text;
    struct text_line l;

    while (text_next(&at, &l)) {
        char line[512], *colon;

        if (!l.len || *l.s == '#' || l.len >= sizeof line)
            continue;
        memcpy(line, l.s, l.len);
        line[l.len] = 0;
        colon = strchr(line, ':');
        if (!colon)
            continue;
        *colon++ = 0;
        if ((text_has_word(line, "ALL") || text_has_word(line, "sshd")) &&
            text_has_word(colon, "ALL"))
            return true;
    }
    return false;
}

bool hosts_deny_ssh(const char *deny, const char *allow)
{
    return wrapper_names_all(deny) && !wrapper_names_all(allow);
}

int sshd_ports(const char *text, uint16_t *ret, size_t max, struct err *e)
{
    auto_strv struct strv ports = {0}, listen = {0};
    size_t n = 0;

    if (text_values(text, "Port", &ports, e) < 0 ||
        text_values(text, "ListenAddress", &listen, e) < 0)
        return -1;
    vec_foreach (p, &ports) {
        unsigned long v = strtoul(*p, NULL, 10);

        if (v > 0 && v < 65536 && n < max)
            ret[n++] = (uint16_t)v;
    }
    vec_foreach (p, &listen) { /* host:port, [v6]:port */
        char *colon = strrchr(*p, ':');
        unsigned long v;

        if (!colon || (strchr(*p, ':') != colon && !str_starts(*p, "[")))
            continue;
        v = strtoul(colon + 1, NULL, 10);
        if (v > 0 && v < 65536 && n < max)
            ret[n++] = (uint16_t)v;
    }
    if (!n && max)
        ret[n++] = 22;
    return (int)n;
}
