/* Security groups. Their rules are kept and described; machines have no way out of their
 * private network anyway, and SSH comes in through the lab's own listener. */
#include "lab/groups.h"
#include "lab/listing.h"

#include "base/rand.h"
#include "base/str.h"

static const json_t *by_name(struct lab *lab, const char *vpc_id, const char *name)
{
    struct err e = ERR_INIT;
    json_t *docs, *d;
    const json_t *found = NULL;
    size_t i;

    if (store_list(lab->store, "security-group", &docs, &e) < 0)
        return NULL;
    json_array_foreach (docs, i, d)
        if (!found && str_eq(json_str_or(d, "groupName", ""), name) &&
            (!vpc_id || str_eq(json_str_or(d, "vpcId", ""), vpc_id)))
            found =
                store_get(lab->store, "security-group", json_str_or(d, "groupId", ""));
    json_decref(docs);
    return found;
}

static int add_group(json_t *list, const json_t *g, const char *vpc_id, struct err *e)
{
    if (!str_eq(json_str_or(g, "vpcId", ""), vpc_id))
        return refuse(e, "InvalidParameter",
                      "Security group %s and subnet belong to different networks.",
                      json_str_or(g, "groupId", ""));
    return json_add(list,
                    json_pack("{s:s, s:s}", "groupId", json_str_or(g, "groupId", ""),
                              "groupName", json_str_or(g, "groupName", "")),
                    e);
}

static int resolve_into(struct lab *lab, const char *vpc_id, const json_t *ids,
                        const json_t *names, json_t *list, struct err *e)
{
    const json_t *g;
    json_t *v;
    size_t i;

    json_array_foreach (ids, i, v)
        if (res_find(lab, RES_GROUP, json_string_value(v) ? json_string_value(v) : "", &g,
                     e) < 0 ||
            add_group(list, g, vpc_id, e) < 0)
            return -1;
    json_array_foreach (names, i, v) {
        const char *name = json_string_value(v);

        g = name ? by_name(lab, vpc_id, name) : NULL;
        if (!g)
            return refuse(e, "InvalidGroup.NotFound",
                          "The security group '%.60s' does not exist in VPC '%s'",
                          name ? name : "", vpc_id);
        if (add_group(list, g, vpc_id, e) < 0)
            return -1;
    }
    if (json_array_size(list))
        return 0;
    g = by_name(lab, vpc_id, "default");
    return g ? add_group(list, g, vpc_id, e) : 0;
}

int groups_resolve(struct lab *lab, const char *vpc_id, const json_t *ids,
                   const json_t *names, json_t **ret, struct err *e)
{
    json_t *list = json_array();

    if (!list)
        return err_nomem(e);
    if (resolve_into(lab, vpc_id, ids, names, list, e) < 0) {
        json_decref(list);
        return -1;
    }
    *ret = list;
    return 0;
}

static int describe_groups(struct act *a, struct err *e)
{
    static const struct filter_def filters[] = {
        {"description", "groupDescription"},
        {"egress.ip-permission.cidr", "ipPermissionsEgress.ipRanges.cidrIp"},
        {"egress.ip-permission.protocol", "ipPermissionsEgress.ipProtocol"},
        {"group-id", "groupId"},
        {"group-name", "groupName"},
        {"ip-permission.cidr", "ipPermissions.ipRanges.cidrIp"},
        {"ip-permission.from-port", "ipPermissions.fromPort"},
        {"ip-permission.group-id", "ipPermissions.groups.groupId"},
        {"ip-permission.protocol", "ipPermissions.ipProtocol"},
        {"ip-permission.to-port", "ipPermissions.toPort"},
        {"owner-id", "ownerId"},
        {"vpc-id", "vpcId"},
        {NULL, NULL},
    };
    static const struct listing l = {
        .res = RES_GROUP, .ids_param = "GroupId", .filters = filters, .max_page = 1000};
    json_t *names = q_list(a->params, "GroupName"), *all, *out, *g;
    size_t i;
    int r = 0;

    if (listing_run(a, &l, &all, e) < 0)
        return -1;
    if (!names)
        return act_put(a, "securityGroupInfo", all, e);
    out = json_array();
    json_array_foreach (all, i, g)
        if (r == 0 && listing_path_matches(g, "groupName", names))
            r = json_array_append(out, g) < 0 ? err_nomem(e) : 0;
    json_decref(all);
    if (r == 0 && json_array_size(out) == 0)
        r = refuse(e, "InvalidGroup.NotFound",
                   "The security group '%.60s' does not exist",
                   q_str_or(NULL, "", json_string_value(json_array_get(names, 0))));
    if (r < 0) {
        json_decref(out);
        return -1;
    }
    return act_put(a, "securityGroupInfo", out, e);
}

static int default_vpc(struct lab *lab, const char **ret, struct err *e)
{
    json_t *docs;

    if (store_list(lab->store, "vpc", &docs, e) < 0)
        return -1;
    *ret = json_str_or(
        store_get(lab->store, "vpc", json_str_or(json_array_get(docs, 0), "vpcId", "")),
        "vpcId", "");
    json_decref(docs);
    return 0;
}

static int create_group(struct act *a, struct err *e)
{
    const char *name = q_str(a->params, "GroupName"), *vpc = q_str(a->params, "VpcId");
    const char *text = q_str(a->params, "GroupDescription");
    char id[RES_ID_LEN], arn[128];
    const json_t *found;
    json_t *tags;

    if (vpc ? res_find(a->lab, RES_VPC, vpc, &found, e) < 0
            : default_vpc(a->lab, &vpc, e) < 0)
        return -1;
    if (str_starts(name, "sg-") || strlen(name) > 255)
        return refuse_value(e, "GroupName", name,
                            "Group names may not be in the format sg-*.");
    if (by_name(a->lab, vpc, name))
        return refuse(e, "InvalidGroup.Duplicate",
                      "The security group '%.255s' already exists for VPC '%s'", name,
                      vpc);
    if (tags_from_spec(a->params, "security-group", "security-group", &tags, e) < 0)
        return -1;
    res_new_id(RES_GROUP, id);
    snprintf(arn, sizeof arn,
             "arn:aws:ec2:" LAB_REGION ":" LAB_ACCOUNT ":security-group/%s", id);
    if (store_put(a->lab->store, "security-group", id,
                  json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:[], s:[{s:s, s:[],"
                            " s:[{s:s}], s:[], s:[]}], s:O, s:I}",
                            "groupId", id, "groupName", name, "groupDescription", text,
                            "ownerId", LAB_ACCOUNT, "vpcId", vpc, "securityGroupArn", arn,
                            "ipPermissions", "ipPermissionsEgress", "ipProtocol", "-1",
                            "groups", "ipRanges", "cidrIp", "0.0.0.0/0", "ipv6Ranges",
                            "prefixListIds", "tagSet", tags, "_made",
                            (json_int_t)a->now_ms),
                  e) < 0) {
        json_decref(tags);
        return -1;
    }
    if (act_put(a, "groupId", json_string(id), e) < 0 ||
        act_put(a, "securityGroupArn", json_string(arn), e) < 0) {
        json_decref(tags);
        return -1;
    }
    return act_put(a, "tagSet", tags, e);
}

/* The group a call means, by GroupId or GroupName. */
static int find_group(struct act *a, const json_t **ret, struct err *e)
{
    const char *id = q_str(a->params, "GroupId"), *name = q_str(a->params, "GroupName");

    if (id)
        return res_find(a->lab, RES_GROUP, id, ret, e);
    *ret = name ? by_name(a->lab, NULL, name) : NULL;
    if (*ret)
        return 0;
    return refuse(e, "InvalidGroup.NotFound", "The security group '%.60s' does not exist",
                  name ? name : "");
}

static bool group_used(struct lab *lab, const char *id)
{
    struct err e = ERR_INIT;
    json_t *docs, *d, *want;
    bool used = false;
    size_t i;

    if (store_list(lab->store, "network-interface", &docs, &e) < 0)
        return true;
    want = json_pack("[s]", id);
    json_array_foreach (docs, i, d)
        used = used || listing_path_matches(d, "groupSet.groupId", want);
    json_decref(want);
    json_decref(docs);
    return used;
}

static int delete_group(struct act *a, struct err *e)
{
    const json_t *g;
    const char *id;

    if (find_group(a, &g, e) < 0)
        return -1;
    id = json_str_or(g, "groupId", "");
    if (str_eq(json_str_or(g, "groupName", ""), "default"))
        return refuse(e, "CannotDelete",
                      "the specified group: \"%s\" name: \"default\" "
                      "cannot be deleted by a user",
                      id);
    if (group_used(a->lab, id))
        return refuse(e, "DependencyViolation", "resource %s has a dependent object", id);
    if (act_put(a, "groupId", json_string(id), e) < 0 ||
        store_delete(a->lab->store, "security-group", id, e) < 0)
        return -1;
    return act_true(a, e);
}

/* ---- Rules ---- */

static int copy_ranges(const json_t *from, const char *list, const char *key, json_t *to,
                       const char *set, const char *member, struct err *e)
{
    json_t *out = json_array(), *v;
    size_t i;

    if (json_put(to, set, out, e) < 0)
        return -1;
    json_array_foreach (q_list(from, list), i, v) {
        const char *value = q_str(v, key), *text = q_str(v, "Description");
        json_t *item;

        if (!value)
            return refuse_missing(e, key);
        item = json_pack("{s:s, s:s*}", member, value, "description", text);
        if (json_add(out, item, e) < 0)
            return -1;
    }
    return 0;
}

static int put_ports(const json_t *p, json_t *rule, const char *protocol, struct err *e)
{
    json_int_t from = -1, to = -1;

    if (q_int(p, "FromPort", -1, 65535, &from, e) < 0 ||
        q_int(p, "ToPort", -1, 65535, &to, e) < 0)
        return -1;
    if (str_eq(protocol, "-1"))
        return 0;
    if ((str_eq(protocol, "tcp") || str_eq(protocol, "udp")) && (from < 0 || to < from))
        return refuse(e, "InvalidParameterValue",
                      "Invalid value for portRange. Must specify both from and to ports "
                      "with TCP/UDP.");
    if (json_put(rule, "fromPort", json_integer(from), e) < 0)
        return -1;
    return json_put(rule, "toPort", json_integer(to), e);
}

/* One element of IpPermissions, or the flat parameters of a simple rule, as a rule. */
static int read_rule(const json_t *p, json_t **ret, struct err *e)
{
    const char *protocol = q_str(p, "IpProtocol"), *cidr = q_str(p, "CidrIp");
    json_t *rule;
    int r;

    if (!protocol)
        return refuse_missing(e, "ipProtocol");
    rule = json_pack("{s:s}", "ipProtocol", protocol);
    if (!rule)
        return err_nomem(e);
    r = put_ports(p, rule, protocol, e);
    if (r == 0)
        r = copy_ranges(p, "Groups", "GroupId", rule, "groups", "groupId", e);
    if (r == 0)
        r = copy_ranges(p, "IpRanges", "CidrIp", rule, "ipRanges", "cidrIp", e);
    if (r == 0)
        r = copy_ranges(p, "Ipv6Ranges", "CidrIpv6", rule, "ipv6Ranges", "cidrIpv6", e);
    if (r == 0)
        r = copy_ranges(p, "PrefixListIds", "PrefixListId", rule, "prefixListIds",
                        "prefixListId", e);
    if (r == 0 && cidr)
        r = json_add(json_object_get(rule, "ipRanges"),
                     json_pack("{s:s}", "cidrIp", cidr), e);
    if (r < 0) {
        json_decref(rule);
        return -1;
    }
    *ret = rule;
    return 0;
}

static int read_rules(const struct act *a, json_t **ret, struct err *e)
{
    json_t *list = json_array(), *given = q_list(a->params, "IpPermissions"), *p, *rule;
    size_t i;
    int r = list ? 0 : err_nomem(e);

    json_array_foreach (given, i, p)
        if (r == 0 && (r = read_rule(p, &rule, e)) == 0)
            r = json_add(list, rule, e);
    if (r == 0 && !given && (r = read_rule(a->params, &rule, e)) == 0)
        r = json_add(list, rule, e);
    if (r < 0) {
        json_decref(list);
        return -1;
    }
    *ret = list;
    return 0;
}

static size_t rule_index(const json_t *set, const json_t *rule)
{
    json_t *v;
    size_t i;

    json_array_foreach (set, i, v)
        if (json_equal(v, rule))
            return i;
    return SIZE_MAX;
}

static int change_rules(struct act *a, const char *set_name, bool add, struct err *e)
{
    const json_t *g;
    json_t *doc, *rules, *rule, *set;
    size_t i, at;
    int r = 0;

    if (find_group(a, &g, e) < 0 ||
        store_edit(a->lab->store, "security-group", json_str_or(g, "groupId", ""), &doc,
                   e) < 0 ||
        read_rules(a, &rules, e) < 0)
        return -1;
    set = json_object_get(doc, set_name);
    json_array_foreach (rules, i, rule) {
        if (r < 0)
            break;
        at = rule_index(set, rule);
        if (add && at != SIZE_MAX)
            r = refuse(e, "InvalidPermission.Duplicate",
                       "the specified rule already exists in %s",
                       json_str_or(doc, "groupId", ""));
        else if (!add && at == SIZE_MAX)
            r = refuse(e, "InvalidPermission.NotFound",
                       "The specified rule does not exist in this security group.");
        else if (add)
            r = json_array_append(set, rule) < 0 ? err_nomem(e) : 0;
        else
            json_array_remove(set, at);
    }
    json_decref(rules);
    return r < 0 ? -1 : act_true(a, e);
}

static int authorize_ingress(struct act *a, struct err *e)
{
    return change_rules(a, "ipPermissions", true, e);
}

static int authorize_egress(struct act *a, struct err *e)
{
    return change_rules(a, "ipPermissionsEgress", true, e);
}

static int revoke_ingress(struct act *a, struct err *e)
{
    return change_rules(a, "ipPermissions", false, e);
}

static int revoke_egress(struct act *a, struct err *e)
{
    return change_rules(a, "ipPermissionsEgress", false, e);
}

const struct action actions_group[] = {
    {"DescribeSecurityGroups", describe_groups, NULL},
    {"CreateSecurityGroup", create_group, "GroupName GroupDescription"},
    {"DeleteSecurityGroup", delete_group, "GroupId|GroupName"},
    {"AuthorizeSecurityGroupIngress", authorize_ingress, "GroupId|GroupName"},
    {"AuthorizeSecurityGroupEgress", authorize_egress, "GroupId"},
    {"RevokeSecurityGroupIngress", revoke_ingress, "GroupId|GroupName"},
    {"RevokeSecurityGroupEgress", revoke_egress, "GroupId"},
    {NULL, NULL, NULL},
};
