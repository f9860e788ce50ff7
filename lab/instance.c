/* Instances' documents; see instance.h. An instance's volumes are found through their
 * attachments, its interface through `_interfaces`: nothing is kept twice. */
#include "lab/instance.h"

#include "lab/device.h"
#include "lab/volume.h"
#include "lab/zones.h"

#include "base/rand.h"
#include "base/str.h"

#include <arpa/inet.h>

static const struct {
    const char *name;
    int code;
} states[] = {{"pending", 0},     {"running", 16},  {"shutting-down", 32},
              {"terminated", 48}, {"stopping", 64}, {"stopped", 80}};

const char *instance_state(const json_t *doc)
{
    return json_str_or(json_object_get(doc, "instanceState"), "name", "");
}

int instance_set_state(json_t *doc, const char *name, struct err *e)
{
    for (size_t i = 0; i < sizeof states / sizeof states[0]; i++)
        if (str_eq(states[i].name, name))
            return json_put(doc, "instanceState",
                            json_pack("{s:i, s:s}", "code", states[i].code, "name", name),
                            e);
    return err_set(e, ERR_FAILED, "'%s' is no state of an instance", name);
}

int instance_set_reason(json_t *doc, const char *code, const char *message, struct err *e)
{
    auto_free char *text = NULL;
    char when[LAB_TIME_LEN];

    if (!*code) {
        json_object_del(doc, "stateReason");
        return json_put(doc, "reason", json_string(""), e);
    }
    text = str_fmt(e, "%s (%s)",
                   str_eq(code, "Client.UserInitiatedShutdown") ? "User initiated" : code,
                   lab_time(when, lab_now_ms()));
    if (!text || json_put(doc, "reason", json_string(text), e) < 0)
        return -1;
    return json_put(doc, "stateReason",
                    json_pack("{s:s, s:s}", "code", code, "message", message), e);
}

const char *instance_zone(const json_t *doc)
{
    return json_str_or(json_object_get(doc, "placement"), "availabilityZone", "");
}

bool instance_is_proxy(const json_t *doc)
{
    return json_bool_or(doc, "_proxy", false);
}

bool instance_boots(const struct lab *lab, const json_t *doc)
{
    return !lab->set.no_machines && !instance_is_proxy(doc);
}

static bool ip_taken(struct lab *lab, const char *subnet_id, const char *ip)
{
    struct err e = ERR_INIT;
    json_t *docs, *d;
    bool taken = false;
    size_t i;

    if (store_list(lab->store, "network-interface", &docs, &e) < 0)
        return true;
    json_array_foreach (docs, i, d)
        taken = taken || (str_eq(json_str_or(d, "subnetId", ""), subnet_id) &&
                          str_eq(json_str_or(d, "privateIpAddress", ""), ip));
    json_decref(docs);
    return taken;
}

/* Network and size of "172.31.0.0/20", which is our own writing. */
static int subnet_range(const json_t *subnet, uint32_t *ret_net, uint32_t *ret_hosts,
                        struct err *e)
{
    const char *cidr = json_str_or(subnet, "cidrBlock", "");
    struct in_addr in;
    char net[20];
    unsigned bits = 0;

    if (sscanf(cidr, "%19[0-9.]/%u", net, &bits) != 2 || bits < 16 || bits > 28 ||
        inet_pton(AF_INET, net, &in) != 1)
        return err_set(e, ERR_FAILED, "bad address range '%.40s' of a subnet", cidr);
    *ret_net = ntohl(in.s_addr);
    *ret_hosts = 1u << (32 - bits);
    return 0;
}

static int check_wanted_ip(struct lab *lab, const json_t *subnet, const char *wanted,
                           uint32_t net, uint32_t hosts, struct err *e)
{
    const char *id = json_str_or(subnet, "subnetId", "");
    struct in_addr in;
    uint32_t ip;

    if (inet_pton(AF_INET, wanted, &in) != 1)
        return refuse_value(e, "address", wanted, "Invalid IPv4 address");
    ip = ntohl(in.s_addr);
    if (ip < net || ip - net >= hosts)
        return refuse(e, "InvalidParameterValue",
                      "Address %s does not fall within the subnet's address range",
                      wanted);
    /* The first four and the last one are EC2's own. */
    if (ip - net < 4 || ip - net == hosts - 1)
        return refuse(e, "InvalidParameterValue",
                      "Address %s is in subnet's reserved address range", wanted);
    if (ip_taken(lab, id, wanted))
        return refuse(e, "InvalidIPAddress.InUse", "Address %s is in use.", wanted);
    return 0;
}

int instance_pick_ip(struct lab *lab, const json_t *subnet, const char *wanted, char *out,
                     struct err *e)
{
    const char *id = json_str_or(subnet, "subnetId", "");
    uint32_t net = 0, hosts = 0;

    if (subnet_range(subnet, &net, &hosts, e) < 0)
        return -1;
    if (wanted && *wanted) {
        if (check_wanted_ip(lab, subnet, wanted, net, hosts, e) < 0)
            return -1;
        snprintf(out, 16, "%s", wanted);
        return 0;
    }
    for (uint32_t i = 10; i < hosts - 1; i++) {
        struct in_addr in = {.s_addr = htonl(net + i)};
        char text[16];

        inet_ntop(AF_INET, &in, text, sizeof text);
        if (!ip_taken(lab, id, text)) {
            snprintf(out, 16, "%s", text);
            return 0;
        }
    }
    return refuse(e, "InsufficientFreeAddressesInSubnet",
                  "The specified subnet '%s' does not have enough free addresses", id);
}

static char *dns_name(char out[64], const char *ip)
{
    snprintf(out, 64, "ip-%s.ec2.internal", ip);
    for (char *p = out; *p && !str_starts(p, ".ec2"); p++)
        if (*p == '.')
            *p = '-';
    return out;
}

/* The interface's document; its id goes to id_out. */
static int create_interface(struct act *a, const struct instance_spec *s,
                            const char *instance_id, const char *ip,
                            char id_out[RES_ID_LEN], struct err *e)
{
    char mac[24], hex[13], when[LAB_TIME_LEN], att[RES_ID_LEN + 8], r[18], dns[64];
    json_t *doc;

    rand_hex(hex, 10);
    snprintf(mac, sizeof mac, "02:%.2s:%.2s:%.2s:%.2s:%.2s", hex, hex + 2, hex + 4,
             hex + 6, hex + 8);
    snprintf(att, sizeof att, "eni-attach-0%s", rand_hex(r, 16));
    dns_name(dns, ip);
    doc = json_pack(
        "{s:s, s:s, s:s, s:s, s:s, s:s, s:b, s:s, s:s, s:s, s:s, s:s, s:b, s:O, s:[],"
        " s:{s:s, s:s, s:s, s:i, s:s, s:s, s:b, s:i},"
        " s:[{s:s, s:s, s:b}], s:I}",
        "networkInterfaceId", res_new_id(RES_INTERFACE, id_out), "subnetId",
        json_str_or(s->subnet, "subnetId", ""), "vpcId",
        json_str_or(s->subnet, "vpcId", ""), "availabilityZone",
        json_str_or(s->subnet, "availabilityZone", ""), "description", "", "ownerId",
        LAB_ACCOUNT, "requesterManaged", 0, "status", "in-use", "macAddress", mac,
        "privateIpAddress", ip, "privateDnsName", dns, "interfaceType", "interface",
        "sourceDestCheck", 1, "groupSet", s->groups, "tagSet", "attachment",
        "attachmentId", att, "instanceId", instance_id, "instanceOwnerId", LAB_ACCOUNT,
        "deviceIndex", 0, "status", "attached", "attachTime", lab_time(when, a->now_ms),
        "deleteOnTermination", !s->keep_interface, "networkCardIndex", 0,
        "privateIpAddressesSet", "privateIpAddress", ip, "privateDnsName", dns, "primary",
        1, "_made", (json_int_t)a->now_ms);
    return store_put(a->lab->store, "network-interface", id_out, doc, e);
}

static int put_platform(json_t *doc, const json_t *image, struct err *e)
{
    static const char *const same[] = {"platform",   "platformDetails", "usageOperation",
                                       "bootMode",   "tpmSupport",      "sriovNetSupport",
                                       "_controller"};

    for (size_t i = 0; i < sizeof same / sizeof same[0]; i++) {
        json_t *v = json_object_get(image, same[i]);

        if (v && json_put(doc, same[i], json_incref(v), e) < 0)
            return -1;
    }
    return 0;
}

static int put_options(struct act *a, json_t *doc, const struct instance_spec *s,
                       struct err *e)
{
    const char *mode = json_str_or(s->image, "bootMode", "legacy-bios");
    bool uefi =
        str_eq(mode, "uefi") || (str_eq(mode, "uefi-preferred") && s->type->family->uefi);
    unsigned cores = s->type->vcpus / s->type->family->threads;
    char arn[200], hex[18], id[32];

    if (s->key_name && json_put(doc, "keyName", json_string(s->key_name), e) < 0)
        return -1;
    if (s->user_data && json_put(doc, "_userData", json_string(s->user_data), e) < 0)
        return -1;
    if (s->profile) {
        snprintf(arn, sizeof arn, "arn:aws:iam::" LAB_ACCOUNT ":instance-profile/%s",
                 s->profile);
        snprintf(id, sizeof id, "AIPA%s", rand_hex(hex, 16));
        if (json_put(doc, "iamInstanceProfile",
                     json_pack("{s:s, s:s}", "arn", arn, "id", id), e) < 0 ||
            json_put(doc, "_profile", json_string(s->profile), e) < 0)
            return -1;
    }
    if (json_put(doc, "cpuOptions",
                 json_pack("{s:i, s:i}", "coreCount", (int)(cores ? cores : 1),
                           "threadsPerCore", (int)s->type->family->threads),
                 e) < 0 ||
        json_put(doc, "currentInstanceBootMode",
                 json_string(uefi ? "uefi" : "legacy-bios"), e) < 0)
        return -1;
    return instance_set_metadata(doc, s->metadata, e);
}

static json_t *base_document(struct act *a, const struct instance_spec *s, const char *id,
                             const char *ip, const char *eni, json_t *tag_set)
{
    const char *imds = json_str_or(s->image, "imdsSupport", "");
    char when[LAB_TIME_LEN], dns[64];

    return json_pack(
        "{s:s, s:s, s:s, s:s, s:s, s:I, s:[], s:s, s:s,"
        " s:{s:s, s:s, s:s, s:s}, s:{s:s}, s:s, s:s, s:s, s:b, s:O, s:s, s:s, s:s,"
        " s:s, s:s, s:o, s:s, s:b, s:b, s:{s:s, s:s, s:i, s:s, s:s, s:s}, s:{s:b},"
        " s:{s:b}, s:{s:s}, s:{s:s},"
        " s:[s], s:s, s:s, s:b, s:b, s:I, s:I}",
        "instanceId", id, "imageId", json_str_or(s->image, "imageId", ""),
        "privateDnsName", dns_name(dns, ip), "dnsName", "", "reason", "",
        "amiLaunchIndex", s->launch_index, "productCodes", "instanceType", s->type->name,
        "launchTime", lab_time(when, a->now_ms), "placement", "availabilityZone",
        json_str_or(s->subnet, "availabilityZone", ""), "availabilityZoneId",
        zone_id_of(json_str_or(s->subnet, "availabilityZone", "")), "groupName", "",
        "tenancy", "default", "monitoring", "state",
        s->monitoring ? "enabled" : "disabled", "subnetId",
        json_str_or(s->subnet, "subnetId", ""), "vpcId",
        json_str_or(s->subnet, "vpcId", ""), "privateIpAddress", ip, "sourceDestCheck", 1,
        "groupSet", s->groups, "architecture", json_str_or(s->image, "architecture", ""),
        "rootDeviceType", "ebs", "rootDeviceName",
        json_str_or(s->image, "rootDeviceName", ""), "virtualizationType",
        json_str_or(s->image, "virtualizationType", ""), "clientToken", s->client_token,
        "tagSet", tag_set, "hypervisor", "xen", "ebsOptimized", s->ebs_optimized,
        "enaSupport", json_bool_or(s->image, "enaSupport", false), "metadataOptions",
        "state", "applied", "httpTokens", *imds ? "required" : "optional",
        "httpPutResponseHopLimit", *imds ? 2 : 1, "httpEndpoint", "enabled",
        "httpProtocolIpv6", "disabled", "instanceMetadataTags", "disabled",
        "enclaveOptions", "enabled", 0, "hibernationOptions", "configured", 0,
        "capacityReservationSpecification", "capacityReservationPreference", "open",
        "maintenanceOptions", "autoRecovery", "default", "_interfaces", eni,
        "_reservation", s->reservation, "_shutdown", s->shutdown, "_noApiTermination",
        s->no_api_termination, "_proxy", s->proxy, "_made", (json_int_t)a->now_ms, "_due",
        (json_int_t)(a->now_ms + a->lab->set.delay_ms));
}

int instance_create(struct act *a, const struct instance_spec *s, json_t *tag_set,
                    json_t **ret_doc, struct err *e)
{
    char id[RES_ID_LEN], eni[RES_ID_LEN], ip[16], when[LAB_TIME_LEN];
    json_t *doc;

    res_new_id(RES_INSTANCE, id);
    if (instance_pick_ip(a->lab, s->subnet, s->private_ip, ip, e) < 0 ||
        create_interface(a, s, id, ip, eni, e) < 0) {
        json_decref(tag_set);
        return -1;
    }
    doc = base_document(a, s, id, ip, eni, tag_set);
    if (!doc)
        return err_nomem(e);
    if (instance_set_state(doc, "pending", e) < 0 || put_platform(doc, s->image, e) < 0 ||
        put_options(a, doc, s, e) < 0 ||
        json_put(doc, "usageOperationUpdateTime", json_string(lab_time(when, a->now_ms)),
                 e) < 0 ||
        json_put(doc, "_launching", json_true(), e) < 0) {
        json_decref(doc);
        return -1;
    }
    if (store_put(a->lab->store, "instance", id, doc, e) < 0)
        return -1;
    *ret_doc = doc;
    return 0;
}

static int one_of(const json_t *options, const char *key, const char *const *words,
                  struct err *e)
{
    const char *v = q_str(options, key);

    if (!v)
        return 0;
    for (; *words; words++)
        if (str_eq(*words, v))
            return 1;
    return refuse_value(e, key, v, "");
}

int instance_set_metadata(json_t *doc, const json_t *options, struct err *e)
{
    static const char *const tokens[] = {"optional", "required", NULL};
    static const char *const onoff[] = {"enabled", "disabled", NULL};
    static const struct {
        const char *key, *member;
        const char *const *words;
    } table[] = {{"HttpTokens", "httpTokens", tokens},
                 {"HttpEndpoint", "httpEndpoint", onoff},
                 {"HttpProtocolIpv6", "httpProtocolIpv6", onoff},
                 {"InstanceMetadataTags", "instanceMetadataTags", onoff}};
    json_t *set = json_object_get(doc, "metadataOptions");
    json_int_t hops;
    int r;

    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        r = one_of(options, table[i].key, table[i].words, e);
        if (r < 0 ||
            (r > 0 && json_put(set, table[i].member,
                               json_string(q_str(options, table[i].key)), e) < 0))
            return -1;
    }
    r = q_int(options, "HttpPutResponseHopLimit", 1, 64, &hops, e);
    if (r < 0)
        return -1;
    return r ? json_put(set, "httpPutResponseHopLimit", json_integer(hops), e) : 0;
}

static int add_mappings(struct act *a, const char *id, json_t *view, struct err *e)
{
    json_t *volumes, *list = json_array(), *v;
    size_t i;
    int r = 0;

    if (json_put(view, "blockDeviceMapping", list, e) < 0 ||
        volumes_of_instance(a->lab, id, &volumes, e) < 0)
        return -1;
    json_array_foreach (volumes, i, v) {
        const json_t *att = volume_attachment(v, id);
        const char *status = json_str_or(att, "status", "");

        if (r == 0)
            r = json_add(list,
                         json_pack("{s:s, s:{s:s, s:s, s:s, s:b}}", "deviceName",
                                   json_str_or(att, "device", ""), "ebs", "volumeId",
                                   json_str_or(v, "volumeId", ""), "status",
                                   str_eq(status, "busy") ? "detaching" : status,
                                   "attachTime", json_str_or(att, "attachTime", ""),
                                   "deleteOnTermination",
                                   json_bool_or(att, "deleteOnTermination", false)),
                         e);
    }
    json_decref(volumes);
    return r;
}

/* An interface as an instance shows it. */
static json_t *interface_view(const json_t *eni)
{
    static const char *const hidden[] = {"availabilityZone", "requesterManaged",
                                         "tagSet"};
    json_t *view = json_copy((json_t *)eni), *att;

    for (size_t i = 0; view && i < sizeof hidden / sizeof hidden[0]; i++)
        json_object_del(view, hidden[i]);
    att = json_copy(json_object_get(view, "attachment"));
    if (!view || (att && json_object_set_new(view, "attachment", att) < 0)) {
        json_decref(view);
        return NULL;
    }
    json_object_del(att, "instanceId");
    json_object_del(att, "instanceOwnerId");
    return view;
}

static int add_interfaces(struct act *a, const json_t *doc, json_t *view, struct err *e)
{
    json_t *list = json_array(), *id;
    size_t i;

    if (json_put(view, "networkInterfaceSet", list, e) < 0)
        return -1;
    json_array_foreach (json_object_get(doc, "_interfaces"), i, id) {
        const json_t *eni =
            store_get(a->lab->store, "network-interface", json_string_value(id));

        if (eni && json_add(list, interface_view(eni), e) < 0)
            return -1;
    }
    return 0;
}

int instance_view(struct act *a, const json_t *doc, json_t **ret, struct err *e)
{
    json_t *view = json_copy((json_t *)doc);
    const char *id = json_str_or(doc, "instanceId", "");

    if (!view)
        return err_nomem(e);
    if (add_mappings(a, id, view, e) < 0 || add_interfaces(a, doc, view, e) < 0) {
        json_decref(view);
        return -1;
    }
    *ret = view;
    return 0;
}

static int release_volume(struct lab *lab, const json_t *v, const char *instance_id,
                          bool proxy, struct err *e)
{
    const char *id = json_str_or(v, "volumeId", "");
    const json_t *att = volume_attachment(v, instance_id);
    bool gone, busy;
    json_t *doc;

    gone = json_bool_or(att, "deleteOnTermination", false) &&
           json_array_size(json_object_get(v, "attachmentSet")) == 1;
    if (proxy && device_detach(lab->state_dir, id, true, &busy, e) < 0)
        return -1;
    if (gone)
        return volume_delete(lab, id, e);
    if (store_edit(lab->store, "volume", id, &doc, e) < 0)
        return -1;
    return volume_drop_attachment(doc, instance_id, e);
}

int instance_release(struct lab *lab, json_t *doc, struct err *e)
{
    const char *id = json_str_or(doc, "instanceId", "");
    json_t *volumes, *v, *eni;
    size_t i;
    int r = 0;

    if (volumes_of_instance(lab, id, &volumes, e) < 0)
        return -1;
    json_array_foreach (volumes, i, v)
        if (r == 0)
            r = release_volume(lab, v, id, instance_is_proxy(doc), e);
    json_decref(volumes);
    json_array_foreach (json_object_get(doc, "_interfaces"), i, eni)
        if (r == 0)
            r = store_delete(lab->store, "network-interface", json_string_value(eni), e);
    return r;
}
