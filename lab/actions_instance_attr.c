/* Attributes of instances. ModifyInstanceAttribute changes one attribute a call, named
 * either by Attribute and Value or by a parameter of its own. */
#include "lab/groups.h"
#include "lab/instance.h"
#include "lab/volume.h"

#include "base/base64.h"
#include "base/str.h"

static int need_stopped(const json_t *doc, const char *attr, struct err *e)
{
    if (str_eq(instance_state(doc), "stopped"))
        return 0;
    return refuse(
        e, "IncorrectInstanceState",
        "The instance '%s' is not in the 'stopped' state: its %s cannot be changed",
        json_str_or(doc, "instanceId", ""), attr);
}

static int to_bool(const char *attr, const char *value, bool *ret, struct err *e)
{
    json_t *node = json_pack("{s:s}", attr, value);
    int r;

    if (!node)
        return err_nomem(e);
    r = q_bool(node, attr, ret, e);
    json_decref(node);
    return r < 0 ? -1 : 0;
}

static int set_bool(json_t *doc, const char *member, const char *attr, const char *value,
                    struct err *e)
{
    bool on;

    if (to_bool(attr, value, &on, e) < 0)
        return -1;
    return json_put(doc, member, json_boolean(on), e);
}

static int set_type(struct act *a, json_t *doc, const char *value, struct err *e)
{
    const struct instance_type *t = type_find(value);
    bool arm = str_eq(json_str_or(doc, "architecture", ""), "arm64");

    if (need_stopped(doc, "instance type", e) < 0)
        return -1;
    if (!t)
        return refuse_value(e, "InstanceType", value, "");
    if (arm != ((t->family->arch & TYPE_ARM) != 0))
        return refuse(e, "InvalidParameterCombination",
                      "The architecture of the instance does not fit the instance type "
                      "'%s'",
                      value);
    if (t->family->ena == TYPE_REQUIRED && !json_bool_or(doc, "enaSupport", false))
        return refuse(e, "InvalidParameterCombination",
                      "Enhanced networking with the Elastic Network Adapter (ENA) is "
                      "required for the '%s' instance type",
                      value);
    if (str_eq(json_str_or(doc, "currentInstanceBootMode", ""), "uefi") &&
        !t->family->uefi)
        return refuse(e, "InvalidParameterCombination",
                      "The instance type '%s' does not support UEFI", value);
    return json_put(doc, "instanceType", json_string(t->name), e);
}

static int set_user_data(json_t *doc, const char *value, struct err *e)
{
    auto_buf struct buf data = BUF_INIT;

    if (need_stopped(doc, "user data", e) < 0)
        return -1;
    if (base64_decode(value, strlen(value), &data, e) < 0)
        return refuse(e, "InvalidParameterValue", "Invalid BASE64 encoding of user data");
    return json_put(doc, "_userData", json_string(value), e);
}

static int set_shutdown(json_t *doc, const char *value, struct err *e)
{
    if (!str_eq(value, "stop") && !str_eq(value, "terminate"))
        return refuse_value(e, "instanceInitiatedShutdownBehavior", value, "");
    return json_put(doc, "_shutdown", json_string(value), e);
}

static int set_source_check(struct act *a, json_t *doc, const char *value, struct err *e)
{
    json_t *id, *eni;
    size_t i;

    if (set_bool(doc, "sourceDestCheck", "sourceDestCheck", value, e) < 0)
        return -1;
    json_array_foreach (json_object_get(doc, "_interfaces"), i, id)
        if (store_edit(a->lab->store, "network-interface", json_string_value(id), &eni,
                       e) < 0 ||
            set_bool(eni, "sourceDestCheck", "sourceDestCheck", value, e) < 0)
            return -1;
    return 0;
}

static int set_ena(json_t *doc, const char *value, struct err *e)
{
    if (need_stopped(doc, "ENA support", e) < 0)
        return -1;
    return set_bool(doc, "enaSupport", "enaSupport", value, e);
}

static int set_ebs_optimized(json_t *doc, const char *value, struct err *e)
{
    if (need_stopped(doc, "EBS optimization", e) < 0)
        return -1;
    return set_bool(doc, "ebsOptimized", "ebsOptimized", value, e);
}

/* 1: changed; 0: no attribute of that name. */
static int set_attribute(struct act *a, json_t *doc, const char *attr, const char *value,
                         struct err *e)
{
    int r;

    if (str_eq(attr, "instanceType"))
        r = set_type(a, doc, value, e);
    else if (str_eq(attr, "userData"))
        r = set_user_data(doc, value, e);
    else if (str_eq(attr, "disableApiTermination"))
        r = set_bool(doc, "_noApiTermination", attr, value, e);
    else if (str_eq(attr, "disableApiStop"))
        r = set_bool(doc, "_noApiStop", attr, value, e);
    else if (str_eq(attr, "instanceInitiatedShutdownBehavior"))
        r = set_shutdown(doc, value, e);
    else if (str_eq(attr, "sourceDestCheck"))
        r = set_source_check(a, doc, value, e);
    else if (str_eq(attr, "enaSupport"))
        r = set_ena(doc, value, e);
    else if (str_eq(attr, "ebsOptimized"))
        r = set_ebs_optimized(doc, value, e);
    else if (str_eq(attr, "sriovNetSupport"))
        r = json_put(doc, "sriovNetSupport", json_string(value), e);
    else
        return 0;
    return r < 0 ? -1 : 1;
}

/* DeleteOnTermination of an attached volume, by its device name. */
static int set_mapping(struct act *a, const json_t *doc, const json_t *m, struct err *e)
{
    const char *id = json_str_or(doc, "instanceId", "");
    const char *device = q_str(m, "DeviceName");
    const char *volume = q_str(q_sub(m, "Ebs"), "VolumeId");
    const json_t *found = NULL;
    json_t *volumes, *v, *edit;
    bool gone = true;
    size_t i;
    int r;

    if (!device)
        return refuse_missing(e, "deviceName");
    r = q_bool(q_sub(m, "Ebs"), "DeleteOnTermination", &gone, e);
    if (r < 0 || volumes_of_instance(a->lab, id, &volumes, e) < 0)
        return -1;
    json_array_foreach (volumes, i, v)
        if (str_eq(json_str_or(volume_attachment(v, id), "device", ""), device))
            found = store_get(a->lab->store, "volume", json_str_or(v, "volumeId", ""));
    json_decref(volumes);
    if (!found || (volume && !str_eq(volume, json_str_or(found, "volumeId", ""))))
        return refuse(e, "InvalidInstanceAttributeValue",
                      "No device is currently mapped at %.60s", device);
    if (r == 0)
        return 0;
    if (store_edit(a->lab->store, "volume", json_str_or(found, "volumeId", ""), &edit,
                   e) < 0)
        return -1;
    return json_put(volume_attachment(edit, id), "deleteOnTermination",
                    json_boolean(gone), e);
}

static int set_groups(struct act *a, json_t *doc, const json_t *ids, struct err *e)
{
    json_t *groups, *id, *eni;
    size_t i;
    int r = 0;

    if (groups_resolve(a->lab, json_str_or(doc, "vpcId", ""), ids, NULL, &groups, e) < 0)
        return -1;
    json_array_foreach (json_object_get(doc, "_interfaces"), i, id)
        if (r == 0) {
            r = store_edit(a->lab->store, "network-interface", json_string_value(id),
                           &eni, e);
            if (r == 0)
                r = json_put(eni, "groupSet", json_incref(groups), e);
        }
    if (r < 0) {
        json_decref(groups);
        return -1;
    }
    return json_put(doc, "groupSet", groups, e);
}

/* The attribute given by a parameter of its own, as {wire name, attribute}. */
static int find_change(const struct act *a, const char **ret_attr, const char **ret_value,
                       struct err *e)
{
    static const char *const names[][2] = {
        {"InstanceType", "instanceType"},
        {"UserData", "userData"},
        {"DisableApiTermination", "disableApiTermination"},
        {"DisableApiStop", "disableApiStop"},
        {"InstanceInitiatedShutdownBehavior", "instanceInitiatedShutdownBehavior"},
        {"SourceDestCheck", "sourceDestCheck"},
        {"EnaSupport", "enaSupport"},
        {"EbsOptimized", "ebsOptimized"},
        {"SriovNetSupport", "sriovNetSupport"},
        {"Kernel", "kernel"},
        {"Ramdisk", "ramdisk"}};
    size_t n = 0;

    *ret_attr = q_str(a->params, "Attribute");
    *ret_value = q_str(a->params, "Value");
    n += *ret_attr && *ret_value;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const char *v = q_str(q_sub(a->params, names[i][0]), "Value");

        if (!v)
            continue;
        *ret_attr = names[i][1];
        *ret_value = v;
        n++;
    }
    n += q_list(a->params, "BlockDeviceMapping") != NULL;
    n += q_list(a->params, "GroupId") != NULL;
    if (n > 1)
        return refuse(e, "InvalidParameterCombination",
                      "Fields for multiple attribute types specified");
    if (n == 0)
        return refuse(e, "InvalidParameterCombination", "No attributes specified.");
    return 0;
}

static int modify_instance_attribute(struct act *a, struct err *e)
{
    json_t *mappings = q_list(a->params, "BlockDeviceMapping");
    json_t *groups = q_list(a->params, "GroupId"), *doc, *m;
    const char *attr, *value;
    size_t i;
    int r;

    if (res_edit(a->lab, RES_INSTANCE, q_str(a->params, "InstanceId"), &doc, e) < 0 ||
        find_change(a, &attr, &value, e) < 0)
        return -1;
    json_array_foreach (mappings, i, m)
        if (set_mapping(a, doc, m, e) < 0)
            return -1;
    if (groups && set_groups(a, doc, groups, e) < 0)
        return -1;
    if (!mappings && !groups) {
        r = set_attribute(a, doc, attr, value, e);
        if (r < 0)
            return -1;
        if (r == 0)
            return refuse_value(e, "attribute", attr, "Unknown attribute.");
    }
    return act_true(a, e);
}

static json_t *value_of(const json_t *v)
{
    return v ? json_pack("{s:O}", "value", v) : json_object();
}

static int put_flag(struct act *a, const char *attr, bool on, struct err *e)
{
    return act_put(a, attr, json_pack("{s:b}", "value", on), e);
}

static int describe_list(struct act *a, const json_t *doc, const char *attr,
                         struct err *e)
{
    json_t *view, *v;

    if (str_eq(attr, "productCodes"))
        return act_put(a, attr, json_array(), e);
    if (instance_view(a, doc, &view, e) < 0)
        return -1;
    v = json_incref(json_object_get(view, attr));
    json_decref(view);
    return act_put(a, attr, v, e);
}

static int describe_instance_attribute(struct act *a, struct err *e)
{
    static const char *const plain[][2] = {
        {"instanceType", "instanceType"},
        {"rootDeviceName", "rootDeviceName"},
        {"sourceDestCheck", "sourceDestCheck"},
        {"enaSupport", "enaSupport"},
        {"ebsOptimized", "ebsOptimized"},
        {"sriovNetSupport", "sriovNetSupport"},
        {"userData", "_userData"},
        {"kernel", "kernelId"},
        {"ramdisk", "ramdiskId"},
        {"instanceInitiatedShutdownBehavior", "_shutdown"}};
    const char *id = q_str(a->params, "InstanceId"),
               *attr = q_str(a->params, "Attribute");
    const json_t *doc;

    if (res_find(a->lab, RES_INSTANCE, id, &doc, e) < 0 ||
        act_put(a, "instanceId", json_string(id), e) < 0)
        return -1;
    for (size_t i = 0; i < sizeof plain / sizeof plain[0]; i++)
        if (str_eq(attr, plain[i][0]))
            return act_put(a, attr, value_of(json_object_get(doc, plain[i][1])), e);
    if (str_eq(attr, "disableApiTermination"))
        return put_flag(a, attr, json_bool_or(doc, "_noApiTermination", false), e);
    if (str_eq(attr, "disableApiStop"))
        return put_flag(a, attr, json_bool_or(doc, "_noApiStop", false), e);
    if (str_eq(attr, "enclaveOptions"))
        return act_put(a, attr, json_incref(json_object_get(doc, attr)), e);
    if (str_eq(attr, "groupSet") || str_eq(attr, "blockDeviceMapping") ||
        str_eq(attr, "productCodes"))
        return describe_list(a, doc, attr, e);
    return refuse_value(e, "attribute", attr, "Unknown attribute.");
}

static int modify_metadata(struct act *a, struct err *e)
{
    const char *id = q_str(a->params, "InstanceId");
    json_t *doc;

    if (res_edit(a->lab, RES_INSTANCE, id, &doc, e) < 0 ||
        instance_set_metadata(doc, a->params, e) < 0 ||
        act_put(a, "instanceId", json_string(id), e) < 0)
        return -1;
    return act_put(a, "instanceMetadataOptions",
                   json_incref(json_object_get(doc, "metadataOptions")), e);
}

const struct action actions_instance_attr[] = {
    {"ModifyInstanceAttribute", modify_instance_attribute, "InstanceId"},
    {"DescribeInstanceAttribute", describe_instance_attribute, "InstanceId Attribute"},
    {"ModifyInstanceMetadataOptions", modify_metadata, "InstanceId"},
    {NULL, NULL, NULL},
};
