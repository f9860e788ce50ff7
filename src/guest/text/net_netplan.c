/* netplan's YAML through libyaml's document tree; see net.h. Aliases stay references and
 * the walk goes four levels deep at most, so nothing expands. */
#include "guest/text/net.h"

#include "base/auto.h"
#include "base/str.h"

#include <string.h>
#include <yaml.h>

static const char *scalar(yaml_node_t *n)
{
    return n && n->type == YAML_SCALAR_NODE ? (const char *)n->data.scalar.value : NULL;
}

static yaml_node_t *member(yaml_document_t *d, yaml_node_t *map, const char *key)
{
    if (!map || map->type != YAML_MAPPING_NODE)
        return NULL;
    for (yaml_node_pair_t *p = map->data.mapping.pairs.start;
         p < map->data.mapping.pairs.top; p++) {
        const char *k = scalar(yaml_document_get_node(d, p->key));

        if (k && str_eq(k, key))
            return yaml_document_get_node(d, p->value);
    }
    return NULL;
}

static bool truth(yaml_node_t *n)
{
    static const char *const yes[] = {"true", "True", "TRUE", "yes", "Yes", "YES",
                                      "on",   "On",   "ON",   "y",   "Y"};
    const char *s = scalar(n);

    for (size_t i = 0; s && i < sizeof yes / sizeof yes[0]; i++)
        if (str_eq(s, yes[i]))
            return true;
    return false;
}

/* The first IPv4 address of an addresses: list, whose items are strings or mappings
 * whose key is the address. */
static int first_address(yaml_document_t *d, yaml_node_t *list, char **ret, struct err *e)
{
    if (!list || list->type != YAML_SEQUENCE_NODE)
        return 0;
    for (yaml_node_item_t *i = list->data.sequence.items.start;
         i < list->data.sequence.items.top && !*ret; i++) {
        yaml_node_t *n = yaml_document_get_node(d, *i);
        const char *s = scalar(n);

        if (!s && n && n->type == YAML_MAPPING_NODE &&
            n->data.mapping.pairs.start < n->data.mapping.pairs.top)
            s = scalar(yaml_document_get_node(d, n->data.mapping.pairs.start->key));
        if (s && !strchr(s, ':') && str_set(ret, s, e) < 0)
            return -1;
    }
    return 0;
}

/* Fills p with what the definition says; what it leaves out stays. */
static int read_device(yaml_document_t *d, const char *id, yaml_node_t *body,
                       struct net_profile *p, struct err *e)
{
    yaml_node_t *match = member(d, body, "match"), *dhcp4 = member(d, body, "dhcp4");
    const char *mac = scalar(member(d, match, "macaddress")),
               *name = scalar(member(d, match, "name"));

    /* With only a driver to match, any of that driver's cards. */
    if (match && !name)
        name = scalar(member(d, match, "driver"));
    if (dhcp4)
        p->dhcp4 = truth(dhcp4);
    if (match && str_set(&p->name, name, e) < 0)
        return -1;
    if (!match && !p->id && str_set(&p->name, id, e) < 0)
        return -1;
    if (mac && str_set(&p->mac, mac, e) < 0)
        return -1;
    return first_address(d, member(d, body, "addresses"), &p->address, e);
}

static int one_device(yaml_document_t *d, const char *id, yaml_node_t *body,
                      enum net_kind kind, const char *file, struct net_profiles *to,
                      struct err *e)
{
    struct net_profile p = {.kind = kind, .automatic = true};

    vec_foreach (known, to)
        if (str_eq_null(known->id, id) && known->kind == kind)
            return read_device(d, id, body, known, e);
    if (str_set(&p.file, file, e) < 0 || read_device(d, id, body, &p, e) < 0 ||
        str_set(&p.id, id, e) < 0) {
        net_profile_release(&p);
        return -1;
    }
    return net_profiles_add(to, &p, e);
}

static int walk(yaml_document_t *d, const char *file, struct net_profiles *to,
                struct err *e)
{
    static const struct {
        const char *key;
        enum net_kind kind;
    } kinds[] = {{"ethernets", NET_ETHERNET}, {"bonds", NET_STACKED},
                 {"bridges", NET_STACKED},    {"vlans", NET_STACKED},
                 {"wifis", NET_OTHER},        {"tunnels", NET_OTHER}};
    yaml_node_t *network = member(d, yaml_document_get_root_node(d), "network");

    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        yaml_node_t *group = member(d, network, kinds[i].key);

        if (!group || group->type != YAML_MAPPING_NODE)
            continue;
        for (yaml_node_pair_t *p = group->data.mapping.pairs.start;
             p < group->data.mapping.pairs.top; p++) {
            const char *id = scalar(yaml_document_get_node(d, p->key));

            if (id && one_device(d, id, yaml_document_get_node(d, p->value),
                                 kinds[i].kind, file, to, e) < 0)
                return -1;
        }
    }
    return 0;
}

int net_netplan(const char *text, size_t len, const char *file, struct net_profiles *to,
                struct err *e)
{
    yaml_parser_t parser;
    yaml_document_t d;
    int r;

    if (!yaml_parser_initialize(&parser))
        return err_nomem(e);
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, len);
    if (!yaml_parser_load(&parser, &d)) {
        r = err_set(e, ERR_INPUT, "%s: line %zu: %s", file, parser.problem_mark.line + 1,
                    parser.problem ? parser.problem : "not YAML");
        yaml_parser_delete(&parser);
        return r;
    }
    r = walk(&d, file, to, e);
    yaml_document_delete(&d);
    yaml_parser_delete(&parser);
    return r;
}
