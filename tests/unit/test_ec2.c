/* EC2 calls: what they send, what they understand, and what they do when an answer is
 * lost. Answers are in the shapes of the EC2 API Reference. */
#include "test.h"

#include "aws_env.h"

#include "aws/ec2.h"
#include "base/base64.h"

#define EC2_ERROR(code, message)                                                         \
    "<Response><Errors><Error><Code>" code "</Code><Message>" message                    \
    "</Message></Error></Errors><RequestID>req-1</RequestID></Response>"
#define ANSWER(action, inside)                                                           \
    "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<" action                               \
    "Response xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\"><requestId>x"           \
    "</requestId>" inside "</" action "Response>"
#define TRUE_ANSWER(action) ANSWER(action, "<return>true</return>")

#define VOLUME_ITEM(state, attachments)                                                  \
    "<volumeId>vol-0123</volumeId><size>80</size><snapshotId/>"                          \
    "<availabilityZone>eu-west-1a</availabilityZone><status>" state                      \
    "</status><createTime>2026-01-02T03:04:05.000Z</"                                    \
    "createTime><attachmentSet>" attachments                                             \
    "</attachmentSet><volumeType>gp3</volumeType><iops>3000</iops>"                      \
    "<throughput>125</throughput><encrypted>true</encrypted>"                            \
    "<kmsKeyId>arn:aws:kms:k</kmsKeyId><tagSet><item><key>hotadd:job</key>"              \
    "<value>j &amp; k</value></item></tagSet>"
#define ATTACHMENT(instance, device, state)                                              \
    "<item><volumeId>vol-0123</volumeId><instanceId>" instance                           \
    "</instanceId><device>" device "</device><status>" state                             \
    "</status><deleteOnTermination>true</deleteOnTermination></item>"
#define VOLUMES(state, attachments)                                                      \
    ANSWER("DescribeVolumes",                                                            \
           "<volumeSet><item>" VOLUME_ITEM(state, attachments) "</item></volumeSet>")

struct fixture {
    struct fake_script script;
    struct fake_http *fake;
    struct aws *aws;
};

static void start(struct fixture *f, const struct fake_answer *answers, size_t n)
{
    f->script = (struct fake_script){answers, n};
    f->fake = fake_http_start(fake_script_handler, &f->script, NULL, NULL);
    f->aws = aws_env_client(f->fake);
}

static void stop(struct fixture *f)
{
    aws_free(f->aws);
    fake_http_stop(f->fake);
}

#define START(...)                                                                       \
    const struct fake_answer answers[] = {__VA_ARGS__};                                  \
    struct fixture f;                                                                    \
    start(&f, answers, sizeof answers / sizeof answers[0])

static void assert_sent(struct fixture *f, size_t n, const char *name, const char *want)
{
    const char *got = fake_form(fake_http_request(f->fake, n), name);

    if (!want && got)
        fail_msg("request %zu: %s=%s is not wanted", n, name, got);
    if (want && (!got || strcmp(got, want) != 0))
        fail_msg("request %zu: %s is '%s' instead of '%s'", n, name, got ? got : "-",
                 want);
}

/* ---- Understanding answers ---- */

static void test_volume_is_understood(void **state)
{
    struct ec2_volume v = {0};
    START({.status = 200,
           .body = VOLUMES("in-use", ATTACHMENT("i-1", "/dev/sdf", "attached"))});

    assert_ok(ec2_describe_volume(f.aws, "vol-0123", &v, e));
    assert_sent(&f, 0, "Action", "DescribeVolumes");
    assert_sent(&f, 0, "Version", "2016-11-15");
    assert_sent(&f, 0, "VolumeId.1", "vol-0123");
    assert_sent(&f, 0, "MaxResults", NULL);
    assert_string_equal(v.id, "vol-0123");
    assert_string_equal(v.state, "in-use");
    assert_string_equal(v.snapshot_id, "");
    assert_int_equal(v.size_gib, 80);
    assert_int_equal(v.throughput_mibps, 125);
    assert_true(v.encrypted);
    assert_int_equal(v.attachments.n, 1);
    assert_string_equal(v.attachments.v[0].device, "/dev/sdf");
    assert_true(v.attachments.v[0].delete_on_termination);
    assert_string_equal(ec2_tag_value(&v.tags, "hotadd:job"), "j & k");
    assert_null(ec2_tag_value(&v.tags, "nothing"));
    ec2_volume_release(&v);
    stop(&f);
}

static void test_instance_is_understood(void **state)
{
    struct ec2_instance i = {0};
    START({.status = 200,
           .body = ANSWER(
               "DescribeInstances",
               "<reservationSet><item><reservationId>r-1</reservationId><groupSet/>"
               "<instancesSet><item><instanceId>i-1</instanceId><imageId>ami-1</imageId>"
               "<instanceState><code>16</code><name>running</name></instanceState>"
               "<instanceType>m6i.large</instanceType><placement><availabilityZone>"
               "eu-west-1a</availabilityZone><tenancy>default</tenancy></placement>"
               "<stateReason><code>Client.X</code><message>why</message></stateReason>"
               "<ipAddress>1.2.3.4</ipAddress><privateIpAddress>10.0.0.5"
               "</privateIpAddress><groupSet><item><groupId>sg-1</groupId><groupName>web"
               "</groupName></item></groupSet><rootDeviceName>/dev/xvda</rootDeviceName>"
               "<blockDeviceMapping><item><deviceName>/dev/xvda</deviceName><ebs>"
               "<volumeId>vol-9</volumeId><status>attached</status>"
               "<deleteOnTermination>false</deleteOnTermination></ebs></item>"
               "</blockDeviceMapping><networkInterfaceSet><item/><item/>"
               "</networkInterfaceSet><enaSupport>true</enaSupport></item>"
               "</instancesSet></item></reservationSet>")});

    assert_ok(ec2_describe_instance(f.aws, "i-1", &i, e));
    assert_string_equal(i.state, "running");
    assert_string_equal(i.zone, "eu-west-1a");
    assert_string_equal(i.state_reason_code, "Client.X");
    assert_string_equal(i.public_ip, "1.2.3.4");
    assert_string_equal(i.security_groups.v[0].id, "sg-1");
    assert_string_equal(i.mappings.v[0].volume_id, "vol-9");
    assert_false(i.mappings.v[0].delete_on_termination);
    assert_int_equal(i.n_interfaces, 2);
    assert_true(i.ena_support);
    ec2_instance_release(&i);
    stop(&f);
}

static void test_instance_type_is_understood(void **state)
{
    struct ec2_query q = {.ids = EC2_STRS("m6i.large")};
    struct ec2_instance_types t = {0};
    START(
        {.status = 200,
         .body = ANSWER(
             "DescribeInstanceTypes",
             "<instanceTypeSet><item><instanceType>m6i.large</instanceType>"
             "<hypervisor>nitro</hypervisor><processorInfo><supportedArchitectures>"
             "<item>x86_64</item></supportedArchitectures></processorInfo><vCpuInfo>"
             "<defaultVCpus>2</defaultVCpus></vCpuInfo><memoryInfo><sizeInMiB>8192"
             "</sizeInMiB></memoryInfo><ebsInfo><nvmeSupport>required</nvmeSupport>"
             "<maximumEbsAttachments>32</maximumEbsAttachments><attachmentLimitType>"
             "dedicated</attachmentLimitType></ebsInfo><networkInfo>"
             "<maximumNetworkInterfaces>3</maximumNetworkInterfaces><enaSupport>"
             "required</enaSupport></networkInfo><supportedBootModes><item>legacy-bios"
             "</item><item>uefi</item></supportedBootModes></item></instanceTypeSet>")});

    assert_ok(ec2_describe_instance_types(f.aws, &q, &t, e));
    assert_sent(&f, 0, "InstanceType.1", "m6i.large");
    assert_int_equal(t.n, 1);
    assert_int_equal(t.v[0].vcpus, 2);
    assert_int_equal(t.v[0].memory_mib, 8192);
    assert_int_equal(t.v[0].max_ebs_attachments, 32);
    assert_string_equal(t.v[0].attachment_limit_type, "dedicated");
    assert_true(ec2_names_have(&t.v[0].boot_modes, "uefi"));
    assert_false(ec2_names_have(&t.v[0].boot_modes, "uefi-preferred"));
    ec2_instance_types_release(&t);
    stop(&f);
}

static void test_all_pages_are_read(void **state)
{
    const struct ec2_filter filter = {"tag-key", EC2_STRS("a b", "c&d")};
    struct ec2_query q = {.filters = &filter, .n_filters = 1};
    struct ec2_volumes v = {0};
    START({.status = 200,
           .body = ANSWER("DescribeVolumes",
                          "<volumeSet><item><volumeId>vol-1</volumeId></item></volumeSet>"
                          "<nextToken>to/ken=</nextToken>")},
          {.status = 200,
           .body = ANSWER("DescribeVolumes",
                          "<volumeSet><item><volumeId>vol-2</volumeId></item></volumeSet>"
                          "<nextToken></nextToken>")});

    assert_ok(ec2_describe_volumes(f.aws, &q, &v, e));
    assert_int_equal(v.n, 2);
    assert_string_equal(v.v[1].id, "vol-2");
    assert_sent(&f, 0, "NextToken", NULL);
    assert_sent(&f, 0, "MaxResults", "500");
    assert_sent(&f, 1, "NextToken", "to/ken=");
    assert_sent(&f, 1, "Filter.1.Name", "tag-key");
    assert_sent(&f, 1, "Filter.1.Value.2", "c&d");
    ec2_volumes_release(&v);
    stop(&f);
}

static void test_pages_in_a_circle_end(void **state)
{
    struct ec2_volumes v = {0};
    START({.status = 200,
           .body = ANSWER("DescribeVolumes", "<volumeSet/><nextToken>a</nextToken>")});

    assert_fails(ec2_describe_volumes(f.aws, NULL, &v, e), ERR_INPUT, "same page twice");
    assert_null(v.v);
    stop(&f);
}

static void test_listing_the_world_is_refused(void **state)
{
    struct ec2_snapshots s;
    struct ec2_images i;
    START({.status = 500});

    assert_fails(ec2_describe_snapshots(f.aws, NULL, &s, e), ERR_USAGE, "world");
    assert_fails(ec2_describe_images(f.aws, &(struct ec2_query){0}, &i, e), ERR_USAGE,
                 "world");
    assert_int_equal(fake_http_count(f.fake), 0);
    stop(&f);
}

static void test_answer_without_the_thing_is_not_found(void **state)
{
    struct ec2_volume v = {0};
    START({.status = 200, .body = ANSWER("DescribeVolumes", "<volumeSet/>")});

    assert_fails(ec2_describe_volume(f.aws, "vol-1", &v, e), ERR_NOT_FOUND, "vol-1");
    assert_null(v.id);
    stop(&f);
}

static void test_console_is_decoded(void **state)
{
    char *text = NULL;
    size_t len = 0;
    START({.status = 400, .body = EC2_ERROR("UnsupportedOperation", "not on Xen")},
          {.status = 200,
           .body = ANSWER("GetConsoleOutput", "<instanceId>i-1</instanceId><output>"
                                              "bG9nAGlu\nOiA=</output>")},
          {.status = 200, .body = ANSWER("GetConsoleOutput", "<output>*</output>")});

    assert_ok(ec2_get_console_output(f.aws, "i-1", true, &text, &len, e));
    assert_sent(&f, 0, "Latest", "true");
    assert_sent(&f, 1, "Latest", NULL);
    assert_int_equal(len, 8);
    assert_memory_equal(text, "log\0in: ", 9);
    free(text);
    text = NULL;
    assert_fails(ec2_get_console_output(f.aws, "i-1", false, &text, &len, e), ERR_INPUT,
                 "base 64");
    assert_null(text);
    stop(&f);
}

/* ---- Sending ---- */

static void test_create_volume_sends_what_was_asked(void **state)
{
    const struct ec2_tag_in tags[] = {{"Name", "d 1"}, {"hotadd:job", "j"}};
    struct ec2_create_volume_in in = {.zone = "eu-west-1a",
                                      .type = "gp3",
                                      .size_gib = 80,
                                      .iops = 4000,
                                      .throughput_mibps = 250,
                                      .kms_key_id = "alias/x",
                                      .client_token = "t-1",
                                      .tags = {tags, 2}};
    struct ec2_volume v = {0};
    START({.status = 200, .body = ANSWER("CreateVolume", VOLUME_ITEM("creating", ""))});

    assert_ok(ec2_create_volume(f.aws, &in, &v, e));
    assert_sent(&f, 0, "Size", "80");
    assert_sent(&f, 0, "Iops", "4000");
    assert_sent(&f, 0, "Throughput", "250");
    assert_sent(&f, 0, "Encrypted", "true");
    assert_sent(&f, 0, "KmsKeyId", "alias/x");
    assert_sent(&f, 0, "SnapshotId", NULL);
    assert_sent(&f, 0, "DryRun", NULL);
    assert_sent(&f, 0, "TagSpecification.1.ResourceType", "volume");
    assert_sent(&f, 0, "TagSpecification.1.Tag.1.Value", "d 1");
    assert_sent(&f, 0, "TagSpecification.1.Tag.2.Key", "hotadd:job");
    assert_string_equal(v.state, "creating");
    ec2_volume_release(&v);
    stop(&f);
}

static void test_run_instances_sends_what_was_asked(void **state)
{
    const struct ec2_mapping_in mappings[] = {
        {.device = "/dev/sda1", .size_gib = 8, .delete_on_termination = EC2_NO},
        {.device = "/dev/sdb", .no_device = true}};
    struct ec2_run_instances_in in = {.image_id = "ami-1",
                                      .type = "m6i.large",
                                      .subnet_id = "subnet-1",
                                      .security_group_ids = EC2_STRS("sg-1", "sg-2"),
                                      .iam_profile = "arn:aws:iam::1:instance-profile/p",
                                      .private_ip = "10.0.0.9",
                                      .user_data = "#!/bin/sh\n",
                                      .user_data_len = 10,
                                      .mappings = mappings,
                                      .n_mappings = 2,
                                      .imdsv2_required = true,
                                      .client_token = "t-2"};
    struct ec2_instance i = {0};
    START({.status = 200,
           .body = ANSWER("RunInstances", "<instancesSet><item><instanceId>i-7"
                                          "</instanceId></item></instancesSet>")});

    assert_ok(ec2_run_instances(f.aws, &in, &i, e));
    assert_string_equal(i.id, "i-7");
    ec2_instance_release(&i);
    assert_sent(&f, 0, "MinCount", "1");
    assert_sent(&f, 0, "MaxCount", "1");
    assert_sent(&f, 0, "SecurityGroupId.2", "sg-2");
    assert_sent(&f, 0, "IamInstanceProfile.Arn", in.iam_profile);
    assert_sent(&f, 0, "UserData", "IyEvYmluL3NoCg==");
    assert_sent(&f, 0, "MetadataOptions.HttpTokens", "required");
    assert_sent(&f, 0, "BlockDeviceMapping.1.Ebs.DeleteOnTermination", "false");
    assert_sent(&f, 0, "BlockDeviceMapping.2.NoDevice", "");
    in.public_ip = EC2_NO;
    in.iam_profile = "p";
    assert_ok(ec2_run_instances(f.aws, &in, &i, e));
    ec2_instance_release(&i);
    assert_sent(&f, 1, "SubnetId", NULL);
    assert_sent(&f, 1, "NetworkInterface.1.SubnetId", "subnet-1");
    assert_sent(&f, 1, "NetworkInterface.1.AssociatePublicIpAddress", "false");
    assert_sent(&f, 1, "NetworkInterface.1.PrivateIpAddress", "10.0.0.9");
    assert_sent(&f, 1, "IamInstanceProfile.Name", "p");
    stop(&f);
}

static void test_too_much_user_data_is_refused(void **state)
{
    static char big[16 * 1024 + 1];
    struct ec2_run_instances_in in = {.image_id = "a",
                                      .type = "t",
                                      .client_token = "c",
                                      .user_data = big,
                                      .user_data_len = sizeof big};
    struct ec2_instance i = {0};
    START({.status = 500});

    assert_fails(ec2_run_instances(f.aws, &in, &i, e), ERR_USAGE, "16384");
    assert_int_equal(fake_http_count(f.fake), 0);
    stop(&f);
}

static void test_dry_runs(void **state)
{
    struct ec2_create_volume_in in = {
        .zone = "z", .client_token = "t", .size_gib = 1, .dry_run = true};
    struct ec2_volume v = {.id = (char *)1};
    struct err e = ERR_INIT;
    int r;
    START({.status = 412, .body = EC2_ERROR("DryRunOperation", "would have succeeded")},
          {.status = 412, .body = EC2_ERROR("DryRunOperation", "would have succeeded")},
          {.status = 403, .body = EC2_ERROR("UnauthorizedOperation", "no")},
          {.status = 400, .body = EC2_ERROR("InvalidVolume.NotFound", "what?")});

    assert_int_equal(ec2_create_volume(f.aws, &in, &v, &e), 0);
    assert_null(v.id);
    assert_sent(&f, 0, "DryRun", "true");
    r = ec2_attach_volume(f.aws, "vol-1", "i-1", "/dev/sdf", true, &e);
    assert_int_equal(ec2_allowed(r, &e), EC2_ALLOWED);
    r = ec2_detach_volume(f.aws, "vol-1", "i-1", true, &e);
    assert_int_equal(ec2_allowed(r, &e), EC2_DENIED);
    r = ec2_modify_ena_support(f.aws, "i-1", true, true, &e);
    assert_int_equal(ec2_allowed(r, &e), EC2_UNKNOWN);
    assert_int_equal(fake_http_count(f.fake), 4);
    stop(&f);
}

static void test_copy_volumes_unknown_to_the_endpoint(void **state)
{
    struct ec2_copy_volumes_in in = {.source_volume_id = "vol-1", .client_token = "t"};
    struct ec2_volume v;
    START({.status = 400, .body = EC2_ERROR("InvalidAction", "not valid")});

    assert_fails(ec2_copy_volumes(f.aws, &in, &v, e), ERR_UNSUPPORTED, "CopyVolumes");
    stop(&f);
}

/* ---- Lost answers: attaching and detaching ---- */

static void test_attach_lost_but_done(void **state)
{
    START({.status = 0}, {.status = 400, .body = EC2_ERROR("VolumeInUse", "in use")},
          {.status = 200,
           .body = VOLUMES("in-use", ATTACHMENT("i-1", "/dev/sdf", "attaching"))});

    assert_ok(ec2_attach_volume(f.aws, "vol-0123", "i-1", "/dev/sdf", false, e));
    assert_int_equal(fake_http_count(f.fake), 3);
    stop(&f);
}

static void test_attach_elsewhere_names_the_place(void **state)
{
    START({.status = 400, .body = EC2_ERROR("VolumeInUse", "in use")},
          {.status = 200,
           .body = VOLUMES("in-use", ATTACHMENT("i-2", "/dev/sdg", "attached"))});

    assert_fails(ec2_attach_volume(f.aws, "vol-0123", "i-1", "/dev/sdf", false, e),
                 ERR_BUSY, "vol-0123 is attached to i-2 as /dev/sdg");
    stop(&f);
}

static void test_attach_to_an_occupied_device_fails(void **state)
{
    START({.status = 400, .body = EC2_ERROR("InvalidParameterValue", "already in use")},
          {.status = 200, .body = VOLUMES("available", "")});

    assert_fails(ec2_attach_volume(f.aws, "vol-0123", "i-1", "/dev/sdf", false, e),
                 ERR_CLOUD, "already in use");
    stop(&f);
}

static void test_detach_lost_but_done(void **state)
{
    START({.status = 0},
          {.status = 400, .body = EC2_ERROR("IncorrectState", "available")},
          {.status = 200, .body = VOLUMES("available", "")});

    assert_ok(ec2_detach_volume(f.aws, "vol-0123", "i-1", false, e));
    stop(&f);
}

static void test_detach_from_another_instance_leaves_it_alone(void **state)
{
    START({.status = 400, .body = EC2_ERROR("InvalidAttachment.NotFound", "not there")},
          {.status = 200,
           .body = VOLUMES("in-use", ATTACHMENT("i-2", "/dev/sdg", "attached"))});

    assert_ok(ec2_detach_volume(f.aws, "vol-0123", "i-1", false, e));
    assert_int_equal(fake_http_count(f.fake), 2);
    stop(&f);
}

static void test_detach_refused_while_attached_fails(void **state)
{
    START({.status = 400, .body = EC2_ERROR("IncorrectState", "root of a running one")},
          {.status = 200,
           .body = VOLUMES("in-use", ATTACHMENT("i-1", "/dev/sda1", "attached"))});

    assert_fails(ec2_detach_volume(f.aws, "vol-0123", "i-1", false, e), ERR_BUSY,
                 "root of a running one");
    stop(&f);
}

/* ---- Lost answers: deleting ---- */

static void test_delete_lost_but_done(void **state)
{
    START({.status = 0},
          {.status = 400, .body = EC2_ERROR("InvalidVolume.NotFound", "none")});

    assert_ok(ec2_delete_volume(f.aws, "vol-0123", false, e));
    assert_int_equal(fake_http_count(f.fake), 2);
    stop(&f);
}

static void test_delete_of_a_thing_not_yet_visible(void **state)
{
    START({.status = 400, .body = EC2_ERROR("InvalidVolume.NotFound", "none")},
          {.status = 400, .body = EC2_ERROR("InvalidVolume.NotFound", "none")},
          {.status = 200, .body = TRUE_ANSWER("DeleteVolume")});

    assert_ok(ec2_delete_volume(f.aws, "vol-0123", false, e));
    assert_int_equal(fake_http_count(f.fake), 3);
    stop(&f);
}

static void test_delete_of_a_thing_long_gone(void **state)
{
    START({.status = 400, .body = EC2_ERROR("InvalidSnapshot.NotFound", "none")});

    assert_ok(ec2_delete_snapshot(f.aws, "snap-1", false, e));
    assert_true(fake_http_count(f.fake) > 3);
    stop(&f);
}

static void test_delete_in_use_is_busy(void **state)
{
    START({.status = 400, .body = EC2_ERROR("VolumeInUse", "attached to i-1")});

    assert_fails(ec2_delete_volume(f.aws, "vol-0123", false, e), ERR_BUSY, "i-1");
    stop(&f);
}

static void test_terminate_of_an_instance_gone(void **state)
{
    START({.status = 400, .body = EC2_ERROR("InvalidInstanceID.NotFound", "none")});

    assert_ok(ec2_terminate_instances(f.aws, "i-1", false, e));
    stop(&f);
}

/* ---- Lost answers: modifying ---- */

#define MODIFICATION(state, iops)                                                        \
    ANSWER("DescribeVolumesModifications",                                               \
           "<volumeModificationSet><item><volumeId>vol-0123</volumeId>"                  \
           "<modificationState>" state "</modificationState><targetSize>80</targetSize>" \
           "<targetIops>" iops "</targetIops><targetVolumeType>gp3</targetVolumeType>"   \
           "<targetThroughput>500</targetThroughput></item></volumeModificationSet>")

static const struct ec2_modify_volume_in faster = {
    .volume_id = "vol-0123", .iops = 6000, .throughput_mibps = 500};

static void test_modify_already_on_its_way(void **state)
{
    START({.status = 400, .body = EC2_ERROR("IncorrectModificationState", "modifying")},
          {.status = 200, .body = MODIFICATION("optimizing", "6000")});

    assert_ok(ec2_modify_volume(f.aws, &faster, e));
    stop(&f);
}

static void test_modify_to_something_else_too_soon(void **state)
{
    START({.status = 400, .body = EC2_ERROR("VolumeModificationRateExceeded", "wait")},
          {.status = 200, .body = MODIFICATION("completed", "4000")},
          {.status = 200, .body = VOLUMES("available", "")});

    assert_fails(ec2_modify_volume(f.aws, &faster, e), ERR_BUSY, "six hours");
    stop(&f);
}

/* ---- Lost answers: snapshots ---- */

#define SNAPSHOT "<snapshotId>snap-1</snapshotId><status>pending</status>"
#define NO_SNAPSHOTS                                                                     \
    {                                                                                    \
        .status = 200, .body = ANSWER("DescribeSnapshots", "<snapshotSet/>")             \
    }
#define ONE_SNAPSHOT                                                                     \
    {                                                                                    \
        .status = 200,                                                                   \
        .body = ANSWER("DescribeSnapshots",                                              \
                       "<snapshotSet><item>" SNAPSHOT "</item></snapshotSet>")           \
    }

static const struct ec2_create_snapshot_in new_snapshot = {
    .volume_id = "vol-1", .description = "d", .client_token = "token-9"};

static void test_snapshot_carries_our_token(void **state)
{
    struct ec2_snapshot s = {0};
    START(NO_SNAPSHOTS, {.status = 200, .body = ANSWER("CreateSnapshot", SNAPSHOT)});

    assert_ok(ec2_create_snapshot(f.aws, &new_snapshot, &s, e));
    assert_string_equal(s.id, "snap-1");
    assert_sent(&f, 0, "Filter.1.Name", "tag:hotadd:token");
    assert_sent(&f, 0, "Filter.1.Value.1", "token-9");
    assert_sent(&f, 0, "Owner.1", "self");
    assert_sent(&f, 1, "TagSpecification.1.Tag.1.Key", "hotadd:token");
    assert_sent(&f, 1, "TagSpecification.1.Tag.1.Value", "token-9");
    ec2_snapshot_release(&s);
    stop(&f);
}

static void test_snapshot_of_an_earlier_run_is_found(void **state)
{
    struct ec2_snapshot s = {0};
    START(ONE_SNAPSHOT);

    assert_ok(ec2_create_snapshot(f.aws, &new_snapshot, &s, e));
    assert_int_equal(fake_http_count(f.fake), 1);
    ec2_snapshot_release(&s);
    stop(&f);
}

static void test_snapshot_lost_but_made_is_made_once(void **state)
{
    struct ec2_snapshot s = {0};
    START(NO_SNAPSHOTS, {.status = 0}, NO_SNAPSHOTS, NO_SNAPSHOTS, ONE_SNAPSHOT);

    assert_ok(ec2_create_snapshot(f.aws, &new_snapshot, &s, e));
    assert_string_equal(s.id, "snap-1");
    assert_int_equal(fake_http_count(f.fake), 5);
    ec2_snapshot_release(&s);
    stop(&f);
}

static void test_snapshot_internal_error_is_not_repeated_blindly(void **state)
{
    struct ec2_snapshot s = {0};
    START(NO_SNAPSHOTS, {.status = 500, .body = EC2_ERROR("InternalError", "?")},
          ONE_SNAPSHOT);

    assert_ok(ec2_create_snapshot(f.aws, &new_snapshot, &s, e));
    assert_int_equal(fake_http_count(f.fake), 3);
    ec2_snapshot_release(&s);
    stop(&f);
}

/* A server that loses every CreateSnapshot and knows no snapshot. */
static void lose_creations(void *ctx, size_t n, const struct fake_request *r,
                           struct fake_answer *ret)
{
    unsigned *creations = ctx;

    if (strcmp(fake_form(r, "Action"), "CreateSnapshot") == 0) {
        ++*creations;
        ret->status = 0;
    } else {
        ret->body = ANSWER("DescribeSnapshots", "<snapshotSet/>");
    }
}

static void test_snapshot_that_never_appears_ends(void **state)
{
    unsigned creations = 0;
    struct fake_http *fake = fake_http_start(lose_creations, &creations, NULL, NULL);
    struct aws *aws = aws_env_client(fake);
    struct ec2_snapshot s = {0};

    assert_fails(ec2_create_snapshot(aws, &new_snapshot, &s, e), ERR_NETWORK,
                 "CreateSnapshot");
    assert_int_equal(creations, 3);
    aws_free(aws);
    fake_http_stop(fake);
}

static void test_throttled_snapshot_is_repeated(void **state)
{
    struct ec2_snapshot s = {0};
    START(NO_SNAPSHOTS, {.status = 503, .body = EC2_ERROR("RequestLimitExceeded", "x")},
          {.status = 200, .body = ANSWER("CreateSnapshot", SNAPSHOT)});

    assert_ok(ec2_create_snapshot(f.aws, &new_snapshot, &s, e));
    assert_int_equal(fake_http_count(f.fake), 3);
    ec2_snapshot_release(&s);
    stop(&f);
}

/* ---- Lost answers: images ---- */

#define IMAGE(token, snapshot)                                                           \
    ANSWER("DescribeImages",                                                             \
           "<imagesSet><item><imageId>ami-1</imageId><name>n</name><blockDeviceMapping>" \
           "<item><deviceName>/dev/sda1</deviceName><ebs><snapshotId>" snapshot          \
           "</snapshotId></ebs></item></blockDeviceMapping><tagSet>" token               \
           "</tagSet></item></imagesSet>")
#define TOKEN_TAG(v) "<item><key>hotadd:token</key><value>" v "</value></item>"

static const struct ec2_mapping_in root = {.device = "/dev/sda1",
                                           .snapshot_id = "snap-1"};
static const struct ec2_register_image_in new_image = {.name = "n",
                                                       .architecture = "x86_64",
                                                       .virtualization_type = "hvm",
                                                       .root_device_name = "/dev/sda1",
                                                       .boot_mode = "uefi",
                                                       .ena_support = EC2_YES,
                                                       .mappings = &root,
                                                       .n_mappings = 1,
                                                       .client_token = "token-3"};

static void test_image_is_registered_with_everything(void **state)
{
    char *id = NULL;
    START({.status = 200, .body = ANSWER("RegisterImage", "<imageId>ami-1</imageId>")});

    assert_ok(ec2_register_image(f.aws, &new_image, &id, e));
    assert_string_equal(id, "ami-1");
    assert_sent(&f, 0, "Architecture", "x86_64");
    assert_sent(&f, 0, "VirtualizationType", "hvm");
    assert_sent(&f, 0, "BootMode", "uefi");
    assert_sent(&f, 0, "EnaSupport", "true");
    assert_sent(&f, 0, "BlockDeviceMapping.1.Ebs.SnapshotId", "snap-1");
    assert_sent(&f, 0, "TagSpecification.1.Tag.1.Value", "token-3");
    free(id);
    stop(&f);
}

static void test_image_lost_but_made(void **state)
{
    static const char *const shown[] = {IMAGE(TOKEN_TAG("token-3"), "snap-x"),
                                        IMAGE("", "snap-1")};

    for (size_t i = 0; i < 2; i++) {
        char *id = NULL;
        START({.status = 0}, {.status = 200, .body = shown[i]});

        assert_ok(ec2_register_image(f.aws, &new_image, &id, e));
        assert_string_equal(id, "ami-1");
        free(id);
        stop(&f);
    }
}

static void test_image_of_another_is_not_taken(void **state)
{
    static const char *const shown[] = {IMAGE(TOKEN_TAG("other"), "snap-1"),
                                        IMAGE("", "snap-x")};

    for (size_t i = 0; i < 2; i++) {
        char *id = NULL;
        START({.status = 400, .body = EC2_ERROR("InvalidAMIName.Duplicate", "taken")},
              {.status = 200, .body = shown[i]});

        assert_fails(ec2_register_image(f.aws, &new_image, &id, e), ERR_EXISTS,
                     "an image named 'n' exists: ami-1");
        assert_null(id);
        stop(&f);
    }
}

static void test_image_tagged_afterwards_where_needed(void **state)
{
    char *id = NULL;
    START({.status = 400, .body = EC2_ERROR("UnknownParameter", "TagSpecification")},
          {.status = 200, .body = ANSWER("RegisterImage", "<imageId>ami-1</imageId>")},
          {.status = 400, .body = EC2_ERROR("InvalidAMIID.NotFound", "not yet")},
          {.status = 200, .body = TRUE_ANSWER("CreateTags")});

    assert_ok(ec2_register_image(f.aws, &new_image, &id, e));
    assert_sent(&f, 1, "TagSpecification.1.ResourceType", NULL);
    assert_sent(&f, 3, "ResourceId.1", "ami-1");
    assert_sent(&f, 3, "Tag.1.Value", "token-3");
    free(id);
    stop(&f);
}

static void test_deregister_of_an_image_gone(void **state)
{
    START({.status = 400, .body = EC2_ERROR("InvalidAMIID.Unavailable", "gone")});

    assert_ok(ec2_deregister_image(f.aws, "ami-1", false, e));
    stop(&f);
}

/* ---- Tags ---- */

static void test_tags_by_id_are_a_filter(void **state)
{
    struct ec2_query q = {.ids = EC2_STRS("vol-1")};
    struct ec2_taggeds t = {0};
    START({.status = 200,
           .body = ANSWER("DescribeTags",
                          "<tagSet><item><resourceId>vol-1</resourceId><resourceType>"
                          "volume</resourceType><key>k</key><value>v</value></item>"
                          "</tagSet>")});

    assert_ok(ec2_describe_tags(f.aws, &q, &t, e));
    assert_sent(&f, 0, "Filter.1.Name", "resource-id");
    assert_sent(&f, 0, "Filter.1.Value.1", "vol-1");
    assert_string_equal(t.v[0].resource_type, "volume");
    ec2_taggeds_release(&t);
    stop(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, aws_env_setup, aws_env_teardown)
        T(test_volume_is_understood),
        T(test_instance_is_understood),
        T(test_instance_type_is_understood),
        T(test_all_pages_are_read),
        T(test_pages_in_a_circle_end),
        T(test_listing_the_world_is_refused),
        T(test_answer_without_the_thing_is_not_found),
        T(test_console_is_decoded),
        T(test_create_volume_sends_what_was_asked),
        T(test_run_instances_sends_what_was_asked),
        T(test_too_much_user_data_is_refused),
        T(test_dry_runs),
        T(test_copy_volumes_unknown_to_the_endpoint),
        T(test_attach_lost_but_done),
        T(test_attach_elsewhere_names_the_place),
        T(test_attach_to_an_occupied_device_fails),
        T(test_detach_lost_but_done),
        T(test_detach_from_another_instance_leaves_it_alone),
        T(test_detach_refused_while_attached_fails),
        T(test_delete_lost_but_done),
        T(test_delete_of_a_thing_not_yet_visible),
        T(test_delete_of_a_thing_long_gone),
        T(test_delete_in_use_is_busy),
        T(test_terminate_of_an_instance_gone),
        T(test_modify_already_on_its_way),
        T(test_modify_to_something_else_too_soon),
        T(test_snapshot_carries_our_token),
        T(test_snapshot_of_an_earlier_run_is_found),
        T(test_snapshot_lost_but_made_is_made_once),
        T(test_snapshot_internal_error_is_not_repeated_blindly),
        T(test_snapshot_that_never_appears_ends),
        T(test_throttled_snapshot_is_repeated),
        T(test_image_is_registered_with_everything),
        T(test_image_lost_but_made),
        T(test_image_of_another_is_not_taken),
        T(test_image_tagged_afterwards_where_needed),
        T(test_deregister_of_an_image_gone),
        T(test_tags_by_id_are_a_filter),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
