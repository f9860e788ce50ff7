/* Instances: described, started, stopped, rebooted, terminated; their health and their
 * consoles. States change in the keeper. */
#include "lab/instance.h"
#include "lab/listing.h"
#include "lab/machines.h"
#include "lab/volume.h"

#include "base/base64.h"
#include "base/clock.h"
#include "base/str.h"

/* ---- Describe ---- */

static const struct filter_def instance_filters[] = {
    {"architecture", "architecture"},
    {"availability-zone", "placement.availabilityZone"},
    {"availability-zone-id", "placement.availabilityZoneId"},
    {"block-device-mapping.attach-time", "blockDeviceMapping.ebs.attachTime"},
    {"block-device-mapping.delete-on-termination",
     "blockDeviceMapping.ebs.deleteOnTermination"},
    {"block-device-mapping.device-name", "blockDeviceMapping.deviceName"},
    {"block-device-mapping.status", "blockDeviceMapping.ebs.status"},
    {"block-device-mapping.volume-id", "blockDeviceMapping.ebs.volumeId"},
    {"boot-mode", "bootMode"},
    {"client-token", "clientToken"},
    {"current-instance-boot-mode", "currentInstanceBootMode"},
    {"dns-name", "dnsName"},
    {"ebs-optimized", "ebsOptimized"},
    {"ena-support", "enaSupport"},
    {"hypervisor", "hypervisor"},
    {"iam-instance-profile.arn", "iamInstanceProfile.arn"},
    {"iam-instance-profile.id", "iamInstanceProfile.id"},
    {"image-id", "imageId"},
    {"instance-id", "instanceId"},
    {"instance-state-code", "instanceState.code"},
    {"instance-state-name", "instanceState.name"},
    {"instance-type", "instanceType"},
    {"instance.group-id", "groupSet.groupId"},
    {"instance.group-name", "groupSet.groupName"},
    {"key-name", "keyName"},
    {"launch-index", "amiLaunchIndex"},
    {"launch-time", "launchTime"},
    {"metadata-options.http-tokens", "metadataOptions.httpTokens"},
    {"metadata-options.http-endpoint", "metadataOptions.httpEndpoint"},
    {"monitoring-state", "monitoring.state"},
    {"network-interface.network-interface-id", "networkInterfaceSet.networkInterfaceId"},
    {"network-interface.mac-address", "networkInterfaceSet.macAddress"},
    {"network-interface.subnet-id", "networkInterfaceSet.subnetId"},
    {"network-interface.vpc-id", "networkInterfaceSet.vpcId"},
    {"owner-id", "ownerId"},
    {"placement-group-name", "placement.groupName"},
    {"platform", "platform"},
    {"platform-details", "platformDetails"},
    {"private-dns-name", "privateDnsName"},
    {"private-ip-address", "privateIpAddress"},
    {"reason", "reason"},
    {"reservation-id", "_reservation"},
    {"root-device-name", "rootDeviceName"},
    {"root-device-type", "rootDeviceType"},
    {"source-dest-check", "sourceDestCheck"},
    {"state-reason-code", "stateReason.code"},
    {"state-reason-message", "stateReason.message"},
    {"subnet-id", "subnetId"},
    {"tenancy", "placement.tenancy"},
    {"usage-operation", "usageOperation"},
    {"virtualization-type", "virtualizationType"},
    {"vpc-id", "vpcId"},
    {NULL, NULL},
};

/* The reservation of an instance in the answer, made when it is the first of it. */
static json_t *reservation_of(json_t *set, const char *id)
{
    json_t *r;
    size_t i;

    json_array_foreach (set, i, r)
        if (str_eq(json_str_or(r, "reservationId", ""), id))
            return r;
    r = json_pack("{s:s, s:s, s:[], s:[]}", "reservationId", id, "ownerId", LAB_ACCOUNT,
                  "groupSet", "instancesSet");
    return r && json_array_append_new(set, r) == 0 ? r : NULL;
}

static int group_reservations(const json_t *items, json_t *set, struct err *e)
{
    json_t *v, *r;
    size_t i;

    json_array_foreach (items, i, v) {
        r = reservation_of(set, json_str_or(v, "_reservation", ""));
        if (!r || json_array_append(json_object_get(r, "instancesSet"), v) < 0)
            return err_nomem(e);
    }
    return 0;
}

static int describe_instances(struct act *a, struct err *e)
{
    static const struct listing l = {.res = RES_INSTANCE,
                                     .ids_param = "InstanceId",
                                     .filters = instance_filters,
                                     .max_page = 1000,
                                     .view = instance_view};
    json_t *items, *set = json_array();
    int r;

    if (act_put(a, "reservationSet", set, e) < 0 || listing_run(a, &l, &items, e) < 0)
        return -1;
    r = group_reservations(items, set, e);
    json_decref(items);
    return r;
}

/* ---- Status checks ---- */

struct checks {
    const char *instance, *instance_detail, *host, *host_detail;
    int64_t impaired_since_ms; /* 0: not */
};

/* What EC2's two checks would say. The instance check is of what the guest really does:
 * its address taken by DHCP and answered for. The system check is of the host. */
static struct checks judge(const struct act *a, const json_t *doc)
{
    static const struct checks none = {"not-applicable", NULL, "not-applicable", NULL, 0};
    static const struct checks begins = {"initializing", "initializing", "initializing",
                                         "initializing", 0};
    static const struct checks good = {"ok", "passed", "ok", "passed", 0};
    struct machine_view v = machines_view(a->lab, json_str_or(doc, "instanceId", ""));
    struct checks bad = {"impaired", "failed", "ok", "passed", 0};

    if (!str_eq(instance_state(doc), "running"))
        return none;
    if (instance_is_proxy(doc))
        return good;
    if (a->lab->set.no_machines)
        return (struct checks){"insufficient-data", "insufficient-data", "ok", "passed",
                               0};
    if (!v.exists)
        return begins;
    if (v.health.dhcp_lease && v.health.answers)
        return good;
    if (!v.was_healthy && a->now_ms - v.since_ms < a->lab->set.impaired_ms)
        return begins;
    bad.impaired_since_ms = v.since_ms + (v.was_healthy ? 0 : a->lab->set.impaired_ms);
    return bad;
}

static json_t *check_document(const char *status, const char *detail, int64_t since_ms)
{
    char when[LAB_TIME_LEN];

    if (!detail)
        return json_pack("{s:s}", "status", status);
    if (since_ms)
        return json_pack("{s:s, s:[{s:s, s:s, s:s}]}", "status", status, "details",
                         "name", "reachability", "status", detail, "impairedSince",
                         lab_time(when, since_ms));
    return json_pack("{s:s, s:[{s:s, s:s}]}", "status", status, "details", "name",
                     "reachability", "status", detail);
}

static int status_view(struct act *a, const json_t *doc, json_t **ret, struct err *e)
{
    struct checks c = judge(a, doc);
    json_t *view = json_pack(
        "{s:s, s:s, s:s, s:[], s:O, s:o, s:o, s:O, s:O}", "instanceId",
        json_str_or(doc, "instanceId", ""), "availabilityZone", instance_zone(doc),
        "availabilityZoneId",
        json_str_or(json_object_get(doc, "placement"), "availabilityZoneId", ""),
        "eventsSet", "instanceState", json_object_get(doc, "instanceState"),
        "instanceStatus",
        check_document(c.instance, c.instance_detail, c.impaired_since_ms),
        "systemStatus", check_document(c.host, c.host_detail, 0), "_tags",
        json_object_get(doc, "tagSet"), "_seq", json_object_get(doc, "_seq"));

    if (!view)
        return err_nomem(e);
    *ret = view;
    return 0;
}

/* Without IncludeAllInstances only running ones are told of. */
static bool status_shown(const struct act *a, const json_t *doc)
{
    struct err e = ERR_INIT;
    bool all = false;

    return (q_bool(a->params, "IncludeAllInstances", &all, &e) >= 0 && all) ||
           str_eq(instance_state(doc), "running");
}

static int describe_instance_status(struct act *a, struct err *e)
{
    static const struct filter_def filters[] = {
        {"availability-zone", "availabilityZone"},
        {"event.code", "eventsSet.code"},
        {"instance-state-code", "instanceState.code"},
        {"instance-state-name", "instanceState.name"},
        {"instance-status.reachability", "instanceStatus.details.status"},
        {"instance-status.status", "instanceStatus.status"},
        {"system-status.reachability", "systemStatus.details.status"},
        {"system-status.status", "systemStatus.status"},
        {NULL, NULL},
    };
    static const struct listing l = {.res = RES_INSTANCE,
                                     .ids_param = "InstanceId",
                                     .filters = filters,
                                     .max_page = 1000,
                                     .view = status_view,
                                     .show = status_shown};

    return listing_answer(a, &l, "instanceStatusSet", e);
}

/* ---- Start, stop, reboot, terminate ---- */

static int need_state(const json_t *doc, const char *why, struct err *e)
{
    return refuse(e, "IncorrectInstanceState",
                  "The instance '%s' is not in a state from which it can be %s.",
                  json_str_or(doc, "instanceId", ""), why);
}

static int go(struct act *a, json_t *doc, const char *state, const char *code,
              const char *message, struct err *e)
{
    if (instance_set_state(doc, state, e) < 0 ||
        instance_set_reason(doc, code, message, e) < 0)
        return -1;
    return json_put(doc, "_due", json_integer(a->now_ms + a->lab->set.delay_ms), e);
}

static int check_root(struct act *a, const json_t *doc, struct err *e)
{
    const char *id = json_str_or(doc, "instanceId", "");
    const char *root = json_str_or(doc, "rootDeviceName", "");
    json_t *volumes, *v;
    bool found = false;
    size_t i;

    if (volumes_of_instance(a->lab, id, &volumes, e) < 0)
        return -1;
    json_array_foreach (volumes, i, v)
        found = found || device_names_clash(
                             json_str_or(volume_attachment(v, id), "device", ""), root);
    json_decref(volumes);
    if (found)
        return 0;
    return refuse(e, "IncorrectInstanceState",
                  "Instance does not have a volume attached at root (%s)", root);
}

static int start_one(struct act *a, json_t *doc, struct err *e)
{
    const char *state = instance_state(doc);
    char when[LAB_TIME_LEN];

    if (str_eq(state, "pending") || str_eq(state, "running"))
        return 0;
    if (!str_eq(state, "stopped"))
        return need_state(doc, "started", e);
    if (check_root(a, doc, e) < 0 ||
        json_put(doc, "launchTime", json_string(lab_time(when, a->now_ms)), e) < 0)
        return -1;
    return go(a, doc, "pending", "", "", e);
}

static int stop_one(struct act *a, json_t *doc, struct err *e)
{
    const char *state = instance_state(doc);
    bool force = false;

    if (q_bool(a->params, "Force", &force, e) < 0)
        return -1;
    if (force && json_put(doc, "_force", json_true(), e) < 0)
        return -1;
    if (str_eq(state, "stopping") || str_eq(state, "stopped"))
        return 0;
    if (!str_eq(state, "running") && !str_eq(state, "pending"))
        return need_state(doc, "stopped", e);
    if (json_bool_or(doc, "_noApiStop", false))
        return refuse(e, "OperationNotPermitted",
                      "The instance '%s' may not be stopped. Modify its 'disableApiStop' "
                      "instance attribute and try again.",
                      json_str_or(doc, "instanceId", ""));
    return go(a, doc, "stopping", "Client.UserInitiatedShutdown",
              "Client.UserInitiatedShutdown: User initiated shutdown", e);
}

static int terminate_one(struct act *a, json_t *doc, struct err *e)
{
    const char *state = instance_state(doc);

    if (str_eq(state, "terminated") || str_eq(state, "shutting-down"))
        return 0;
    if (json_bool_or(doc, "_noApiTermination", false))
        return refuse(e, "OperationNotPermitted",
                      "The instance '%s' may not be terminated. Modify its "
                      "'disableApiTermination' instance attribute and try again.",
                      json_str_or(doc, "instanceId", ""));
    return go(a, doc, "shutting-down", "Client.UserInitiatedShutdown",
              "Client.UserInitiatedShutdown: User initiated shutdown", e);
}

static int reboot_one(struct act *a, json_t *doc, struct err *e)
{
    if (!str_eq(instance_state(doc), "running"))
        return need_state(doc, "rebooted", e);
    if (!instance_boots(a->lab, doc))
        return 0;
    return json_put(doc, "_reboot", json_true(), e);
}

/* Each instance once, all or none; with the change of state of each in the answer. */
static int change_all(struct act *a,
                      int (*change)(struct act *a, json_t *doc, struct err *e),
                      bool answer, struct err *e)
{
    json_t *out = answer ? json_array() : NULL, *v, *doc, *item;
    size_t i;

    if (answer && act_put(a, "instancesSet", out, e) < 0)
        return -1;
    json_array_foreach (q_list(a->params, "InstanceId"), i, v) {
        const char *id = json_string_value(v);
        json_t *before;

        if (res_edit(a->lab, RES_INSTANCE, id ? id : "", &doc, e) < 0)
            return -1;
        before = json_incref(json_object_get(doc, "instanceState"));
        if (change(a, doc, e) < 0) {
            json_decref(before);
            return -1;
        }
        item = json_pack("{s:s, s:O, s:o}", "instanceId", id, "currentState",
                         json_object_get(doc, "instanceState"), "previousState", before);
        if (!answer)
            json_decref(item);
        else if (json_add(out, item, e) < 0)
            return -1;
    }
    return answer ? 0 : act_true(a, e);
}

static int start_instances(struct act *a, struct err *e)
{
    return change_all(a, start_one, true, e);
}

static int stop_instances(struct act *a, struct err *e)
{
    return change_all(a, stop_one, true, e);
}

static int terminate_instances(struct act *a, struct err *e)
{
    return change_all(a, terminate_one, true, e);
}

static int reboot_instances(struct act *a, struct err *e)
{
    return change_all(a, reboot_one, false, e);
}

/* ---- Console ---- */

static int get_console_output(struct act *a, struct err *e)
{
    const char *id = q_str(a->params, "InstanceId");
    auto_buf struct buf text = BUF_INIT;
    auto_buf struct buf coded = BUF_INIT;
    char when[LAB_TIME_LEN];
    const json_t *doc;

    if (res_find(a->lab, RES_INSTANCE, id, &doc, e) < 0)
        return -1;
    if (!instance_is_proxy(doc) && vm_console(a->lab->state_dir, id, &text, e) < 0)
        return -1;
    base64_encode(buf_str(&text), text.len, &coded);
    if (buf_check(&coded, e) < 0 || act_put(a, "instanceId", json_string(id), e) < 0 ||
        act_put(a, "timestamp", json_string(lab_time(when, a->now_ms)), e) < 0)
        return -1;
    return text.len ? act_put(a, "output", json_string(buf_str(&coded)), e) : 0;
}

static int get_console_screenshot(struct act *a, struct err *e)
{
    auto_free char *id = str_dup(q_str(a->params, "InstanceId"), e);
    auto_buf struct buf jpeg = BUF_INIT;
    auto_buf struct buf coded = BUF_INIT;
    bool wake_up = false;
    const json_t *doc;
    int r;

    if (!id || q_bool(a->params, "WakeUp", &wake_up, e) < 0 ||
        res_find(a->lab, RES_INSTANCE, id, &doc, e) < 0)
        return -1;
    if (!str_eq(instance_state(doc), "running"))
        return refuse(e, "IncorrectInstanceState",
                      "The instance '%s' is not in a state from which a screenshot can "
                      "be taken.",
                      id);
    r = machines_screenshot(a->lab, id, wake_up, &jpeg, e);
    if (r < 0)
        return -1;
    if (r == 0)
        return refuse(e, "UnsupportedOperation",
                      "The instance '%s' has no display: no machine of the lab's runs "
                      "for it",
                      id);
    base64_encode(buf_str(&jpeg), jpeg.len, &coded);
    if (buf_check(&coded, e) < 0 || act_put(a, "instanceId", json_string(id), e) < 0)
        return -1;
    return act_put(a, "imageData", json_string(buf_str(&coded)), e);
}

const struct action actions_instance[] = {
    {"DescribeInstances", describe_instances, NULL},
    {"DescribeInstanceStatus", describe_instance_status, NULL},
    {"StartInstances", start_instances, "InstanceId.N"},
    {"StopInstances", stop_instances, "InstanceId.N"},
    {"RebootInstances", reboot_instances, "InstanceId.N"},
    {"TerminateInstances", terminate_instances, "InstanceId.N"},
    {"GetConsoleOutput", get_console_output, "InstanceId"},
    {"GetConsoleScreenshot", get_console_screenshot, "InstanceId"},
    {NULL, NULL, NULL},
};
