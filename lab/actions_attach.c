/* AttachVolume and DetachVolume.
 *
 * A volume attached to the proxy instance appears as a device of this machine before the
 * call returns; it goes away in the keeper, once nobody holds it open. Guests get their
 * disks when they start: QEMU's machines here have no hot plug. */
#include "lab/instance.h"
#include "lab/types.h"
#include "lab/volume.h"

#include "lab/device.h"

#include "base/str.h"

static int check_device(struct act *a, const char *instance_id, const char *device,
                        const json_t *attached, struct err *e)
{
    json_t *v;
    size_t i;

    if (!device_name_ok(device))
        return refuse(
            e, "InvalidParameterValue",
            "Value (%.40s) for parameter device is invalid. %.40s is not a valid "
            "EBS device name.",
            device, device);
    json_array_foreach (attached, i, v)
        if (device_names_clash(
                json_str_or(volume_attachment(v, instance_id), "device", ""), device))
            return refuse(
                e, "InvalidParameterValue",
                "Invalid value '%.40s' for unixDevice. Attachment point %.40s is "
                "already in use",
                device, device);
    return 0;
}

static int check_slots(const json_t *instance, const json_t *attached, struct err *e)
{
    const char *name = json_str_or(instance, "instanceType", "");
    const struct instance_type *t = type_find(name);
    size_t n = json_array_size(attached);
    size_t nics = json_array_size(json_object_get(instance, "_interfaces"));
    unsigned limit = t ? type_volume_limit(t, nics ? (unsigned)nics : 1) : 0;

    if (n >= limit)
        return refuse(e, "AttachmentLimitExceeded",
                      "Volume attachment limit exceeded: an instance of type %s can have "
                      "%u volumes beside its network interfaces",
                      name, limit);
    return 0;
}

static int check_instance(struct act *a, const json_t *instance, const json_t *volume,
                          struct err *e)
{
    const char *id = json_str_or(instance, "instanceId", "");
    const char *state = instance_state(instance);

    if (!str_eq(state, "running") && !str_eq(state, "stopped"))
        return refuse(e, "IncorrectState", "Instance '%s' is not 'running'.", id);
    if (!str_eq(instance_zone(instance), json_str_or(volume, "availabilityZone", "")))
        return refuse(e, "InvalidVolume.ZoneMismatch",
                      "The volume '%s' is not in the same availability zone as instance "
                      "'%s'",
                      json_str_or(volume, "volumeId", ""), id);
    if (str_eq(state, "running") && instance_boots(a->lab, instance))
        return refuse(
            e, "UnsupportedOperation",
            "This lab attaches volumes to its guests only while they are stopped: "
            "stop instance %s first",
            id);
    return 0;
}

static int check_volume(const json_t *volume, const char *instance_id, struct err *e)
{
    const char *id = json_str_or(volume, "volumeId", "");
    const char *status = json_str_or(volume, "status", "");
    json_t *att = volume_attachment(volume, NULL);
    bool shared = json_bool_or(volume, "multiAttachEnabled", false) &&
                  !volume_attachment(volume, instance_id);

    if (att && !shared)
        return refuse(e, "VolumeInUse", "%s is already attached to an instance", id);
    if (!str_eq(status, "available") && !shared)
        return refuse(e, "IncorrectState", "'%s' is not 'available'.", id);
    return 0;
}

static int make_device(struct act *a, const char *volume_id, struct err *e)
{
    auto_free char *path = lab_volume_path(a->lab, volume_id, e);

    if (!path)
        return -1;
    return device_attach(a->lab->state_dir, volume_id, path, e);
}

static int answer_attachment(struct act *a, const json_t *att, struct err *e)
{
    return act_put_all(a, att, e);
}

static int check_attach(struct act *a, const json_t *instance, const json_t *volume,
                        struct err *e)
{
    const char *id = json_str_or(instance, "instanceId", "");
    json_t *attached;
    int r;

    if (check_instance(a, instance, volume, e) < 0 || check_volume(volume, id, e) < 0 ||
        volumes_of_instance(a->lab, id, &attached, e) < 0)
        return -1;
    r = check_device(a, id, q_str(a->params, "Device"), attached, e);
    if (r == 0)
        r = check_slots(instance, attached, e);
    json_decref(attached);
    return r;
}

static int attach_volume(struct act *a, struct err *e)
{
    const char *volume_id = q_str(a->params, "VolumeId");
    const char *instance_id = q_str(a->params, "InstanceId");
    const json_t *instance, *found;
    json_t *volume;

    if (res_find(a->lab, RES_VOLUME, volume_id, &found, e) < 0 ||
        res_find(a->lab, RES_INSTANCE, instance_id, &instance, e) < 0 ||
        check_attach(a, instance, found, e) < 0 ||
        store_edit(a->lab->store, "volume", volume_id, &volume, e) < 0 ||
        volume_add_attachment(volume, instance_id, q_str(a->params, "Device"), false,
                              a->now_ms, a->now_ms + a->lab->set.delay_ms, e) < 0)
        return -1;
    if (instance_is_proxy(instance) && make_device(a, volume_id, e) < 0)
        return -1;
    return answer_attachment(a, volume_attachment(volume, instance_id), e);
}

/* The attachment that the call means. */
static int find_attachment(struct act *a, const json_t *volume, json_t **ret,
                           struct err *e)
{
    const char *id = json_str_or(volume, "volumeId", "");
    const char *instance_id = q_str(a->params, "InstanceId");
    const char *device = q_str(a->params, "Device");
    const json_t *instance;
    json_t *att = volume_attachment(volume, instance_id);

    if (instance_id && res_find(a->lab, RES_INSTANCE, instance_id, &instance, e) < 0)
        return -1;
    if (!volume_attachment(volume, NULL))
        return refuse(e, "IncorrectState", "Volume '%s' is in the '%s' state.", id,
                      json_str_or(volume, "status", ""));
    if (!instance_id && json_array_size(json_object_get(volume, "attachmentSet")) > 1)
        return refuse(
            e, "InvalidParameterCombination",
            "Volume '%s' is attached to more than one instance: InstanceId must "
            "be given",
            id);
    if (!att || (device && !device_names_clash(device, json_str_or(att, "device", ""))))
        return refuse(e, "InvalidAttachment.NotFound",
                      "The volume '%s' is not attached to instance '%.40s'%s%.40s", id,
                      instance_id ? instance_id : "", device ? " as device " : "",
                      device ? device : "");
    *ret = att;
    return 0;
}

static int check_detach(struct act *a, const json_t *instance, const json_t *att,
                        struct err *e)
{
    const char *id = json_str_or(att, "volumeId", "");
    const char *state = instance_state(instance);
    bool root = device_names_clash(json_str_or(att, "device", ""),
                                   json_str_or(instance, "rootDeviceName", ""));

    if (str_eq(state, "stopped") || str_eq(state, "terminated"))
        return 0;
    if (root)
        return refuse(e, "OperationNotPermitted",
                      "Unable to detach root volume '%s' from instance '%s'", id,
                      json_str_or(instance, "instanceId", ""));
    if (instance_boots(a->lab, instance))
        return refuse(e, "UnsupportedOperation",
                      "This lab detaches volumes from its guests only while they are "
                      "stopped: stop instance %s first",
                      json_str_or(instance, "instanceId", ""));
    return 0;
}

static int detach_volume(struct act *a, struct err *e)
{
    const char *status;
    const json_t *instance;
    json_t *volume, *att = NULL;
    bool force = false, leaving;

    if (q_bool(a->params, "Force", &force, e) < 0 ||
        res_edit(a->lab, RES_VOLUME, q_str(a->params, "VolumeId"), &volume, e) < 0 ||
        find_attachment(a, volume, &att, e) < 0)
        return -1;
    instance = store_get(a->lab->store, "instance", json_str_or(att, "instanceId", ""));
    if (instance && check_detach(a, instance, att, e) < 0)
        return -1;
    status = json_str_or(att, "status", "");
    if (str_eq(status, "attaching"))
        return refuse(e, "IncorrectState", "Volume '%s' is in the 'attaching' state.",
                      json_str_or(att, "volumeId", ""));
    leaving = str_eq(status, "detaching") || str_eq(status, "busy");
    if ((!leaving && json_put(att, "status", json_string("detaching"), e) < 0) ||
        json_put(att, "_due", json_integer(a->now_ms + a->lab->set.delay_ms), e) < 0 ||
        (force && json_put(att, "_force", json_true(), e) < 0))
        return -1;
    return answer_attachment(a, att, e);
}

const struct action actions_attach[] = {
    {"AttachVolume", attach_volume, "VolumeId InstanceId Device"},
    {"DetachVolume", detach_volume, "VolumeId"},
    {NULL, NULL, NULL},
};
