/* Instances; see ec2.h. RunInstances has a client token, the rest is idempotent. */
#include "aws/ec2_impl.h"

#include "base/base64.h"
#include "base/str.h"

#include <assert.h>

#define USER_DATA_MAX (16 * 1024)

/* With an explicit wish for a public address, EC2 wants the network in an interface. */
static void form_network(struct form *f, const struct ec2_run_instances_in *in)
{
    if (in->public_ip == EC2_DEFAULT) {
        form_str(f, in->subnet_id, "SubnetId");
        ec2_form_strs(f, in->security_group_ids, "SecurityGroupId");
        form_str(f, in->private_ip, "PrivateIpAddress");
        return;
    }
    form_str(f, "0", "NetworkInterface.1.DeviceIndex");
    form_bool(f, in->public_ip == EC2_YES, "NetworkInterface.1.AssociatePublicIpAddress");
    form_str(f, in->subnet_id, "NetworkInterface.1.SubnetId");
    ec2_form_strs(f, in->security_group_ids, "NetworkInterface.1.SecurityGroupId");
    form_str(f, in->private_ip, "NetworkInterface.1.PrivateIpAddress");
}

static int form_user_data(struct form *f, const struct ec2_run_instances_in *in,
                          struct err *e)
{
    auto_buf struct buf coded = BUF_INIT;

    if (in->user_data_len > USER_DATA_MAX)
        return err_set(e, ERR_USAGE, "RunInstances: user data of %zu bytes: at most %d",
                       in->user_data_len, USER_DATA_MAX);
    if (in->user_data_len == 0)
        return 0;
    base64_encode(in->user_data, in->user_data_len, &coded);
    form_str(f, buf_str(&coded), "UserData");
    return buf_check(&coded, e);
}

static void form_rest(struct form *f, const struct ec2_run_instances_in *in)
{
    if (in->iam_profile)
        form_str(f, in->iam_profile, "IamInstanceProfile.%s",
                 str_starts(in->iam_profile, "arn:") ? "Arn" : "Name");
    ec2_form_mappings(f, in->mappings, in->n_mappings);
    form_str(f, in->imdsv2_required ? "required" : NULL, "MetadataOptions.HttpTokens");
    form_u64(f, in->imds_hop_limit, "MetadataOptions.HttpPutResponseHopLimit");
    if (in->terminate_on_shutdown != EC2_DEFAULT)
        form_str(f, in->terminate_on_shutdown == EC2_YES ? "terminate" : "stop",
                 "InstanceInitiatedShutdownBehavior");
    ec2_form_tags(f, ec2_form_tags(f, 0, "instance", in->tags, NULL), "volume",
                  in->volume_tags, NULL);
}

int ec2_run_instances(struct aws *aws, const struct ec2_run_instances_in *in,
                      struct ec2_instance *ret, struct err *e)
{
    auto_form struct form f = FORM_INIT;

    assert(in->image_id && in->type && in->client_token);
    ec2_form_begin(&f, "RunInstances", in->dry_run);
    form_str(&f, in->image_id, "ImageId");
    form_str(&f, in->type, "InstanceType");
    form_u64(&f, 1, "MinCount");
    form_u64(&f, 1, "MaxCount");
    form_str(&f, in->zone, "Placement.AvailabilityZone");
    form_network(&f, in);
    form_str(&f, in->key_name, "KeyName");
    if (form_user_data(&f, in, e) < 0)
        return -1;
    form_rest(&f, in);
    form_str(&f, in->client_token, "ClientToken");
    return ec2_make(aws, &f, EC2_REPEAT, "instancesSet", &ec2_instance_shape, ret, NULL,
                    e);
}

/* ---- States ---- */

static void state_form(struct form *f, const char *action, const char *instance_id,
                       bool dry_run)
{
    ec2_form_begin(f, action, dry_run);
    form_str(f, instance_id, "InstanceId.1");
}

int ec2_start_instances(struct aws *aws, const char *instance_id, bool dry_run,
                        struct err *e)
{
    auto_form struct form f = FORM_INIT;

    state_form(&f, "StartInstances", instance_id, dry_run);
    return ec2_do(aws, &f, NULL, e);
}

int ec2_stop_instances(struct aws *aws, const char *instance_id, bool force, bool dry_run,
                       struct err *e)
{
    auto_form struct form f = FORM_INIT;

    state_form(&f, "StopInstances", instance_id, dry_run);
    if (force)
        form_bool(&f, true, "Force");
    return ec2_do(aws, &f, NULL, e);
}

int ec2_reboot_instances(struct aws *aws, const char *instance_id, bool dry_run,
                         struct err *e)
{
    auto_form struct form f = FORM_INIT;

    state_form(&f, "RebootInstances", instance_id, dry_run);
    return ec2_do(aws, &f, NULL, e);
}

int ec2_terminate_instances(struct aws *aws, const char *instance_id, bool dry_run,
                            struct err *e)
{
    auto_form struct form f = FORM_INIT;

    state_form(&f, "TerminateInstances", instance_id, dry_run);
    return ec2_delete(aws, &f, e);
}

/* ---- Attributes ---- */

static void attribute_form(struct form *f, const char *instance_id, bool dry_run)
{
    ec2_form_begin(f, "ModifyInstanceAttribute", dry_run);
    form_str(f, instance_id, "InstanceId");
}

int ec2_modify_delete_on_termination(struct aws *aws, const char *instance_id,
                                     const char *device, bool delete_on_termination,
                                     bool dry_run, struct err *e)
{
    auto_form struct form f = FORM_INIT;

    attribute_form(&f, instance_id, dry_run);
    form_str(&f, device, "BlockDeviceMapping.1.DeviceName");
    form_bool(&f, delete_on_termination, "BlockDeviceMapping.1.Ebs.DeleteOnTermination");
    return ec2_do(aws, &f, NULL, e);
}

int ec2_modify_ena_support(struct aws *aws, const char *instance_id, bool ena_support,
                           bool dry_run, struct err *e)
{
    auto_form struct form f = FORM_INIT;

    attribute_form(&f, instance_id, dry_run);
    form_bool(&f, ena_support, "EnaSupport.Value");
    return ec2_do(aws, &f, NULL, e);
}

int ec2_modify_instance_type(struct aws *aws, const char *instance_id, const char *type,
                             bool dry_run, struct err *e)
{
    auto_form struct form f = FORM_INIT;

    attribute_form(&f, instance_id, dry_run);
    form_str(&f, type, "InstanceType.Value");
    return ec2_do(aws, &f, NULL, e);
}

int ec2_modify_security_groups(struct aws *aws, const char *instance_id,
                               struct ec2_strs group_ids, bool dry_run, struct err *e)
{
    auto_form struct form f = FORM_INIT;

    attribute_form(&f, instance_id, dry_run);
    ec2_form_strs(&f, group_ids, "GroupId");
    return ec2_do(aws, &f, NULL, e);
}

/* ---- Console ---- */

struct console {
    char *output; /* base 64 */
};

SHAPE(console_shape, struct console,
      {"output", FIELD_STR, offsetof(struct console, output), NULL});

static int console_text(struct aws *aws, const char *instance_id, bool latest,
                        struct console *ret, struct err *e)
{
    auto_form struct form f = FORM_INIT;

    ec2_form_begin(&f, "GetConsoleOutput", false);
    form_str(&f, instance_id, "InstanceId");
    if (latest)
        form_bool(&f, true, "Latest");
    return ec2_make(aws, &f, EC2_REPEAT, NULL, &console_shape, ret, NULL, e);
}

int ec2_get_console_output(struct aws *aws, const char *instance_id, bool latest,
                           char **ret, size_t *ret_len, struct err *e)
{
    auto_buf struct buf plain = BUF_INIT;
    struct console c = {0};
    int done = console_text(aws, instance_id, latest, &c, e);

    if (done < 0 && latest && e->kind == ERR_UNSUPPORTED)
        done = console_text(aws, instance_id, false, &c, e);
    if (done < 0)
        return -1;
    done = base64_decode(c.output, strlen(c.output), &plain, e);
    free(c.output);
    if (done < 0)
        return err_prefix(e, "GetConsoleOutput: %s", instance_id);
    *ret_len = plain.len;
    return buf_take(&plain, ret, e);
}

struct screenshot {
    char *image; /* base 64 */
};

SHAPE(screenshot_shape, struct screenshot,
      {"imageData", FIELD_STR, offsetof(struct screenshot, image), NULL});

int ec2_get_console_screenshot(struct aws *aws, const char *instance_id, struct buf *ret,
                               struct err *e)
{
    auto_form struct form f = FORM_INIT;
    struct screenshot s = {0};
    int done;

    ec2_form_begin(&f, "GetConsoleScreenshot", false);
    form_str(&f, instance_id, "InstanceId");
    if (ec2_make(aws, &f, EC2_REPEAT, NULL, &screenshot_shape, &s, NULL, e) < 0)
        return -1;
    done = base64_decode(s.image, strlen(s.image), ret, e);
    free(s.image);
    if (done < 0)
        return err_prefix(e, "GetConsoleScreenshot: %s", instance_id);
    return buf_check(ret, e);
}
