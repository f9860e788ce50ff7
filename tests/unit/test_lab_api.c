/* Calls of the EC2 API on a lab inside this process. */
#include "lab_fixture.h"

#include "lab/creds.h"
#include "lab/faults.h"

#include "base/str.h"

#include <sys/stat.h>
#include <unistd.h>

#define ZONE "AvailabilityZone=us-east-1a"

static void new_volume(struct lab_fixture *f, char id[80])
{
    lab_expect(f, "Action=CreateVolume&Size=1&" ZONE, "");
    lab_value(f, "volumeId", id);
    lab_pass_time(f);
}

static void proxy(struct lab_fixture *f, char id[80])
{
    snprintf(id, 80, "%s", lab_meta(f->lab, "proxy"));
}

static void call(struct lab_fixture *f, const char *code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static void call(struct lab_fixture *f, const char *code, const char *fmt, ...)
{
    char form[1000];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(form, sizeof form, fmt, ap);
    va_end(ap);
    lab_expect(f, form, code);
}

static void test_a_volume_is_created_and_deleted(void **state)
{
    struct lab_fixture *f = *state;
    char id[80], path[200], v[80];
    struct stat st;

    new_volume(f, id);
    snprintf(path, sizeof path, "%s/volumes/%s.raw", f->dir, id);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_size, 1 << 30);
    assert_true(st.st_blocks < 100);
    call(f, "", "Action=DescribeVolumes&VolumeId.1=%s", id);
    assert_string_equal(lab_value(f, "status", v), "available");
    call(f, "", "Action=DeleteVolume&VolumeId=%s", id);
    lab_pass_time(f);
    call(f, "InvalidVolume.NotFound", "Action=DescribeVolumes&VolumeId.1=%s", id);
    assert_int_equal(access(path, F_OK), -1);
}

static void test_wrong_parameters_have_their_codes(void **state)
{
    static const struct {
        const char *form, *code;
    } bad[] = {
        {"Action=Nonsense", "InvalidAction"},
        {"Size=1", "MissingAction"},
        {"Action=CreateVolume&Size=1", "MissingParameter"},
        {"Action=CreateVolume&" ZONE, "MissingParameter"},
        {"Action=CreateVolume&Size=0&" ZONE, "InvalidParameterValue"},
        {"Action=CreateVolume&Size=x&" ZONE, "InvalidParameterValue"},
        {"Action=CreateVolume&Size=16385&VolumeType=gp2&" ZONE, "InvalidParameterValue"},
        {"Action=CreateVolume&Size=1&VolumeType=zz&" ZONE, "UnknownVolumeType"},
        {"Action=CreateVolume&Size=1&VolumeType=st1&" ZONE, "InvalidParameterValue"},
        {"Action=CreateVolume&Size=8&VolumeType=io1&" ZONE, "MissingParameter"},
        {"Action=CreateVolume&Size=8&VolumeType=io1&Iops=401&" ZONE,
         "InvalidParameterValue"},
        {"Action=CreateVolume&Size=8&VolumeType=gp2&Throughput=125&" ZONE,
         "InvalidParameterCombination"},
        {"Action=CreateVolume&Size=8&VolumeType=gp3&Throughput=1000&" ZONE,
         "InvalidParameterValue"},
        {"Action=CreateVolume&Size=1&KmsKeyId=x&" ZONE, "InvalidParameterDependency"},
        {"Action=CreateVolume&Size=1&Colour=red&" ZONE, "UnknownParameter"},
        {"Action=CreateVolume&Size=1&AvailabilityZone=mars", "InvalidZone.NotFound"},
        {"Action=CreateVolume&Size=1&DryRun=true&" ZONE, "DryRunOperation"},
        {"Action=DescribeVolumes&VolumeId.1=vol-0123456789abcdef0",
         "InvalidVolume.NotFound"},
        {"Action=DescribeVolumes&VolumeId.1=vol-zz", "InvalidVolumeID.Malformed"},
        {"Action=DescribeVolumes&VolumeId.1=zz", "InvalidParameterValue"},
        {"Action=DescribeVolumes&Filter.1.Name=zz&Filter.1.Value.1=a",
         "InvalidParameterValue"},
        {"Action=DescribeVolumes&MaxResults=1", "InvalidParameterValue"},
        {"Action=DescribeVolumes&NextToken=zz", "InvalidNextToken"},
        {"Action=RegisterImage&Name=abc&ImageLocation=b/k", "UnsupportedOperation"},
        {"Action=ImportImage", "MissingParameter"},
        {"Action=ImportImage&DiskContainer.1.Format=RAW", "InvalidParameter"},
        {"Action=DescribeImportImageTasks&ImportTaskId.1=import-ami-0123456789abcdef0",
         "InvalidConversionTaskId.Malformed"},
        {"Action=DescribeImportImageTasks&Filters.1.Name=smell&Filters.1.Value.1=x",
         "InvalidParameterValue"},
    };
    struct lab_fixture *f = *state;

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        lab_expect(f, bad[i].form, bad[i].code);
    assert_int_equal(lab_call(f, "ec2", "Action=Nonsense"), 400);
    assert_int_equal(lab_call(f, "ec2", "Action=DescribeRegions&DryRun=true"), 412);
}

static void test_a_client_token_makes_one_volume(void **state)
{
    struct lab_fixture *f = *state;
    char a[80], b[80];

    call(f, "", "Action=CreateVolume&Size=1&ClientToken=t&" ZONE);
    lab_value(f, "volumeId", a);
    lab_reopen(f);
    call(f, "", "Action=CreateVolume&Size=1&" ZONE "&ClientToken=t");
    assert_string_equal(lab_value(f, "volumeId", b), a);
    call(f, "IdempotentParameterMismatch",
         "Action=CreateVolume&Size=2&ClientToken=t&" ZONE);
}

static void test_attaching_follows_the_rules(void **state)
{
    struct lab_fixture *f = *state;
    char v[80], w[80], p[80], s[80];

    proxy(f, p);
    new_volume(f, v);
    new_volume(f, w);
    call(f, "InvalidParameterValue",
         "Action=AttachVolume&VolumeId=%s&InstanceId=%s&Device=hda", v, p);
    call(f, "InvalidInstanceID.NotFound",
         "Action=AttachVolume&VolumeId=%s&InstanceId=i-0123456789abcdef0&Device=/dev/sdf",
         v);
    call(f, "", "Action=AttachVolume&VolumeId=%s&InstanceId=%s&Device=/dev/sdf", v, p);
    call(f, "VolumeInUse",
         "Action=AttachVolume&VolumeId=%s&InstanceId=%s&Device=/dev/sdg", v, p);
    call(f, "InvalidParameterValue",
         "Action=AttachVolume&VolumeId=%s&InstanceId=%s&Device=xvdf", w, p);
    call(f, "VolumeInUse", "Action=DeleteVolume&VolumeId=%s", v);
    call(f, "IncorrectState", "Action=DetachVolume&VolumeId=%s", w);
    call(f, "",
         "Action=DescribeVolumes&Filter.1.Name=attachment.instance-id&"
         "Filter.1.Value.1=%s&Filter.2.Name=attachment.device&"
         "Filter.2.Value.1=/dev/sd[f]",
         p);
    assert_string_equal(lab_value(f, "volumeId", s), "");
    call(f, "",
         "Action=DescribeVolumes&Filter.1.Name=attachment.device&"
         "Filter.1.Value.1=*sd?&VolumeId.1=%s",
         v);
    assert_string_equal(lab_value(f, "device", s), "/dev/sdf");
    call(f, "", "Action=DetachVolume&VolumeId=%s", v);
}

static void test_another_zone_is_refused(void **state)
{
    struct lab_fixture *f = *state;
    char v[80], p[80];

    proxy(f, p);
    call(f, "", "Action=CreateVolume&Size=1&AvailabilityZone=us-east-1b");
    lab_value(f, "volumeId", v);
    lab_pass_time(f);
    call(f, "InvalidVolume.ZoneMismatch",
         "Action=AttachVolume&VolumeId=%s&InstanceId=%s&Device=/dev/sdf", v, p);
}

static void test_slots_and_account_limits_end(void **state)
{
    struct lab_fixture *f = *state;
    char v[80], p[80];
    int n = 0;

    proxy(f, p);
    for (; n < 26; n++) {
        new_volume(f, v);
        call(f, "", "Action=AttachVolume&VolumeId=%s&InstanceId=%s&Device=/dev/xvdb%c", v,
             p, 'a' + n);
    }
    new_volume(f, v);
    call(f, "AttachmentLimitExceeded",
         "Action=AttachVolume&VolumeId=%s&InstanceId=%s&Device=/dev/xvdc%c", v, p, 'a');
    for (n = 28; n < 40; n++)
        new_volume(f, v);
    call(f, "VolumeLimitExceeded", "Action=CreateVolume&Size=1&" ZONE);
}

static void test_tags_and_filters(void **state)
{
    struct lab_fixture *f = *state;
    char v[80], s[80];

    call(f, "",
         "Action=CreateVolume&Size=1&" ZONE
         "&TagSpecification.1.ResourceType=volume&TagSpecification.1.Tag.1.Key="
         "hotadd%%3Ajob&TagSpecification.1.Tag.1.Value=j%%261");
    lab_value(f, "volumeId", v);
    call(f, "",
         "Action=DescribeVolumes&Filter.1.Name=tag%%3Ahotadd%%3Ajob&"
         "Filter.1.Value.1=j*");
    assert_string_equal(lab_value(f, "value", s), "j&amp;1");
    call(f, "InvalidParameterValue",
         "Action=CreateTags&ResourceId.1=%s&Tag.1.Key=aws%%3Ax", v);
    call(f, "InvalidParameterValue",
         "Action=CreateTags&ResourceId.1=%s&Tag.1.Key=a&Tag.2.Key=a", v);
    call(f, "InvalidParameterValue",
         "Action=CreateVolume&Size=1&" ZONE
         "&TagSpecification.1.ResourceType=cow&TagSpecification.1.Tag.1.Key=a");
    call(f, "", "Action=DeleteTags&ResourceId.1=%s", v);
    call(f, "", "Action=DescribeTags&Filter.1.Name=resource-id&Filter.1.Value.1=%s", v);
    assert_string_equal(lab_value(f, "key", s), "");
}

static void test_pages_neither_repeat_nor_lose(void **state)
{
    struct lab_fixture *f = *state;
    char ids[12][80], token[80], form[200], id[80];
    int n = 0;

    for (int i = 0; i < 12; i++)
        new_volume(f, ids[i]);
    lab_expect(f, "Action=DescribeVolumes&MaxResults=5", "");
    lab_value(f, "nextToken", token);
    /* Deleting from the first page does not shift the second. */
    call(f, "", "Action=DeleteVolume&VolumeId=%s", ids[0]);
    lab_pass_time(f);
    while (*token) {
        snprintf(form, sizeof form, "Action=DescribeVolumes&MaxResults=5&NextToken=%s",
                 token);
        lab_expect(f, form, "");
        lab_value(f, "nextToken", token);
        for (const char *p = buf_str(&f->rp.body); (p = strstr(p, "<volumeId>")); p++)
            n++;
    }
    /* The proxy's root and four were on the first page. */
    assert_int_equal(n, 8);
    assert_string_equal(lab_value(f, "volumeId", id), ids[9]);
}

static void test_a_snapshot_holds_the_moment(void **state)
{
    struct lab_fixture *f = *state;
    char v[80], s[80], path[200], text[6] = "";
    FILE *file;

    new_volume(f, v);
    snprintf(path, sizeof path, "%s/volumes/%s.raw", f->dir, v);
    file = fopen(path, "r+");
    fputs("first", file);
    fclose(file);
    call(f, "", "Action=CreateSnapshot&VolumeId=%s", v);
    lab_value(f, "snapshotId", s);
    file = fopen(path, "r+");
    fputs("later", file);
    fclose(file);
    lab_pass_time(f);
    call(f, "",
         "Action=DescribeSnapshots&SnapshotId.1=%s&Filter.1.Name=status&"
         "Filter.1.Value.1=completed",
         s);
    snprintf(path, sizeof path, "%s/snapshots/%s.raw", f->dir, s);
    file = fopen(path, "r");
    assert_int_equal(fread(text, 1, 5, file), 5);
    fclose(file);
    assert_string_equal(text, "first");
    call(f, "",
         "Action=RegisterImage&Name=one&BlockDeviceMapping.1.DeviceName=/dev/sda1&"
         "BlockDeviceMapping.1.Ebs.SnapshotId=%s",
         s);
    call(f, "InvalidAMIName.Duplicate",
         "Action=RegisterImage&Name=one&BlockDeviceMapping.1.DeviceName=/dev/sda1&"
         "BlockDeviceMapping.1.Ebs.SnapshotId=%s",
         s);
    call(f, "InvalidSnapshot.InUse", "Action=DeleteSnapshot&SnapshotId=%s", s);
}

static void test_temporary_credentials_need_their_token(void **state)
{
    struct lab_fixture *f = *state;
    char key[80], secret[80], token[300];
    const char *at;

    assert_int_equal(lab_call(f, "sts",
                              "Action=AssumeRole&RoleSessionName=me&RoleArn=arn%3A"
                              "aws%3Aiam%3A%3A123456789012%3Arole%2Fr"),
                     200);
    lab_value(f, "AccessKeyId", key);
    lab_value(f, "SecretAccessKey", secret);
    at = strstr(buf_str(&f->rp.body), "<SessionToken>");
    assert_non_null(at);
    snprintf(token, sizeof token, "%.200s", at + strlen("<SessionToken>"));
    f->key = key;
    f->secret = secret;
    lab_expect(f, "Action=DescribeRegions", "AuthFailure");
    f->token = token;
    lab_expect(f, "Action=DescribeRegions", "");
    f->secret = "wrong";
    lab_expect(f, "Action=DescribeRegions", "SignatureDoesNotMatch");
    f->key = "AKIANOBODY";
    lab_expect(f, "Action=DescribeRegions", "AuthFailure");
}

static void test_expired_credentials_are_refused_in_each_service_s_words(void **state)
{
    struct lab_fixture *f = *state;
    const json_t *s;
    char code[80];

    assert_ok(creds_issue(f->lab, "r", "me", -1000, &s, e));
    f->key = json_string_value(json_object_get(s, "accessKeyId"));
    f->secret = json_string_value(json_object_get(s, "secretAccessKey"));
    f->token = json_string_value(json_object_get(s, "sessionToken"));
    lab_expect(f, "Action=DescribeRegions", "RequestExpired");
    assert_int_equal(lab_call(f, "sts", "Action=GetCallerIdentity"), 403);
    assert_string_equal(lab_value(f, "Code", code), "ExpiredToken");
}

static void add_fault(struct lab_fixture *f, json_t *spec)
{
    const json_t *doc;

    assert_ok(faults_add(f->lab, spec, &doc, e));
    json_decref(spec);
}

static void test_faults_happen_as_often_as_told(void **state)
{
    struct lab_fixture *f = *state;

    add_fault(f, json_pack("{s:s, s:s, s:i}", "action", "DescribeVolumes", "effect",
                           "RequestLimitExceeded", "times", 2));
    assert_int_equal(lab_call(f, "ec2", "Action=DescribeVolumes"), 503);
    lab_expect(f, "Action=DescribeVolumes", "RequestLimitExceeded");
    lab_expect(f, "Action=DescribeVolumes", "");
    add_fault(f, json_pack("{s:s, s:s}", "action", "*", "effect", "deny"));
    lab_expect(f, "Action=CreateVolume&Size=1&DryRun=true&" ZONE,
               "UnauthorizedOperation");
    assert_ok(faults_clear(f->lab, NULL, e));
    lab_expect(f, "Action=CreateVolume&Size=1&DryRun=true&" ZONE, "DryRunOperation");
}

static void test_a_lost_reply_is_of_a_call_that_was_done(void **state)
{
    struct lab_fixture *f = *state;
    char id[80];

    add_fault(f, json_pack("{s:s, s:s, s:i}", "action", "CreateVolume", "effect",
                           "drop-reply", "times", 1));
    assert_int_equal(
        lab_call(f, "ec2", "Action=CreateVolume&Size=3&ClientToken=lost&" ZONE), 0);
    lab_expect(f, "Action=DescribeVolumes&Filter.1.Name=size&Filter.1.Value.1=3", "");
    assert_true(*lab_value(f, "volumeId", id));
    add_fault(f, json_pack("{s:s, s:s, s:i}", "action", "CreateVolume", "effect",
                           "drop-request", "times", 1));
    assert_int_equal(lab_call(f, "ec2", "Action=CreateVolume&Size=5&" ZONE), 0);
    lab_expect(f, "Action=DescribeVolumes&Filter.1.Name=size&Filter.1.Value.1=5", "");
    assert_false(*lab_value(f, "volumeId", id));
}

static void test_new_resources_hide_for_a_while_on_demand(void **state)
{
    struct lab_fixture *f = *state;
    char id[80];

    add_fault(f, json_pack("{s:s, s:s, s:i}", "action", "*", "effect", "eventual", "ms",
                           60000));
    lab_expect(f, "Action=CreateVolume&Size=1&" ZONE, "");
    lab_value(f, "volumeId", id);
    call(f, "InvalidVolume.NotFound", "Action=DescribeVolumes&VolumeId.1=%s", id);
    assert_ok(faults_clear(f->lab, NULL, e));
    call(f, "", "Action=DescribeVolumes&VolumeId.1=%s", id);
}

static void test_a_full_disk_is_an_error_not_a_crash(void **state)
{
    struct lab_fixture *f = *state;
    char path[100];

    snprintf(path, sizeof path, "%s/volumes", f->dir);
    /* Nobody can write where there is no directory; root too. */
    assert_int_equal(rename(path, "/tmp/hotadd-lab-moved-away"), 0);
    lab_expect(f, "Action=CreateVolume&Size=1&" ZONE, "InternalError");
    assert_int_equal(rename("/tmp/hotadd-lab-moved-away", path), 0);
    lab_expect(f, "Action=CreateVolume&Size=1&" ZONE, "");
}

static void carrier(struct lab_fixture *f, char id[80])
{
    lab_expect(f,
               "Action=DescribeImages&Owner.1=amazon&Filter.1.Name=name&Filter.1.Value.1="
               "hotadd-lab-carrier-legacy-*",
               "");
    lab_value(f, "imageId", id);
}

static void test_an_instance_lives_stops_and_ends(void **state)
{
    struct lab_fixture *f = *state;
    char ami[80], i[80], root[80], s[80];

    carrier(f, ami);
    call(f, "",
         "Action=RunInstances&ImageId=%s&MinCount=1&MaxCount=1&InstanceType=t3.micro",
         ami);
    lab_value(f, "instanceId", i);
    lab_value(f, "volumeId", root);
    lab_pass_time(f);
    call(f, "", "Action=DescribeInstances&InstanceId.1=%s", i);
    assert_non_null(strstr(buf_str(&f->rp.body), "<name>running</name>"));
    call(f, "OperationNotPermitted", "Action=DetachVolume&VolumeId=%s", root);
    call(f, "IncorrectInstanceState",
         "Action=ModifyInstanceAttribute&InstanceId=%s&InstanceType.Value=m5.large", i);
    call(f, "", "Action=StopInstances&InstanceId.1=%s", i);
    lab_pass_time(f);
    call(f, "",
         "Action=ModifyInstanceAttribute&InstanceId=%s&InstanceType.Value=m5.large", i);
    lab_reopen(f);
    call(f, "", "Action=DescribeInstances&InstanceId.1=%s", i);
    assert_string_equal(lab_value(f, "instanceType", s), "m5.large");
    call(f, "", "Action=TerminateInstances&InstanceId.1=%s", i);
    lab_pass_time(f);
    call(f, "InvalidVolume.NotFound", "Action=DescribeVolumes&VolumeId.1=%s", root);
    call(f, "OperationNotPermitted", "Action=TerminateInstances&InstanceId.1=%s",
         lab_meta(f->lab, "proxy"));
}

/* What a test failover launches into: no rule lets anything in or out. */
static void test_a_group_can_be_isolated(void **state)
{
    struct lab_fixture *f = *state;
    char group[80], image[80], v[80];

    call(f, "", "Action=CreateSecurityGroup&GroupName=isolated&GroupDescription=x");
    lab_value(f, "groupId", group);
    call(f, "", "Action=DescribeSecurityGroups&GroupId.1=%s", group);
    assert_string_equal(lab_value(f, "cidrIp", v), "0.0.0.0/0");
    call(f, "",
         "Action=RevokeSecurityGroupEgress&GroupId=%s&IpPermissions.1.IpProtocol=-1&"
         "IpPermissions.1.IpRanges.1.CidrIp=0.0.0.0/0",
         group);
    call(f, "InvalidPermission.NotFound",
         "Action=RevokeSecurityGroupEgress&GroupId=%s&IpProtocol=-1&CidrIp=0.0.0.0/0",
         group);
    call(f, "", "Action=DescribeSecurityGroups&GroupId.1=%s", group);
    assert_string_equal(lab_value(f, "cidrIp", v), "");
    call(f, "", "Action=DescribeImages&Owner.1=amazon");
    lab_value(f, "imageId", image);
    call(f, "",
         "Action=RunInstances&ImageId=%s&InstanceType=m5.large&MinCount=1&MaxCount=1&"
         "SecurityGroupId.1=%s",
         image, group);
    assert_string_equal(lab_value(f, "groupId", v), group);
    call(f, "DependencyViolation", "Action=DeleteSecurityGroup&GroupId=%s", group);
}

static void test_a_type_must_fit_its_image(void **state)
{
    struct lab_fixture *f = *state;
    char ami[80], snap[80];

    carrier(f, ami);
    call(f, "InvalidParameterValue",
         "Action=RunInstances&ImageId=%s&MinCount=1&MaxCount=1&InstanceType=m6g.large",
         ami);
    call(f, "InvalidParameterValue",
         "Action=RunInstances&ImageId=%s&MinCount=1&MaxCount=1&InstanceType=zz.large",
         ami);
    lab_expect(f,
               "Action=DescribeImages&Filter.1.Name=name&Filter.1.Value.1="
               "hotadd-lab-carrier-uefi",
               "");
    lab_value(f, "imageId", ami);
    lab_value(f, "snapshotId", snap);
    call(f, "InvalidParameterCombination",
         "Action=RunInstances&ImageId=%s&MinCount=1&MaxCount=1&InstanceType=t2.micro",
         ami);
    call(f, "",
         "Action=RegisterImage&Name=no-ena&Architecture=x86_64&VirtualizationType=hvm&"
         "BlockDeviceMapping.1.DeviceName=/dev/"
         "sda1&BlockDeviceMapping.1.Ebs.SnapshotId=%s",
         snap);
    lab_value(f, "imageId", ami);
    lab_pass_time(f);
    call(f, "InvalidParameterCombination",
         "Action=RunInstances&ImageId=%s&MinCount=1&MaxCount=1&InstanceType=t3.micro",
         ami);
    call(f, "",
         "Action=RunInstances&ImageId=%s&MinCount=1&MaxCount=1&InstanceType=t2.micro",
         ami);
}

#define LAB_TEST(fn)                                                                     \
    cmocka_unit_test_setup_teardown(fn, lab_fixture_setup, lab_fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        LAB_TEST(test_a_volume_is_created_and_deleted),
        LAB_TEST(test_wrong_parameters_have_their_codes),
        LAB_TEST(test_a_client_token_makes_one_volume),
        LAB_TEST(test_attaching_follows_the_rules),
        LAB_TEST(test_another_zone_is_refused),
        LAB_TEST(test_slots_and_account_limits_end),
        LAB_TEST(test_tags_and_filters),
        LAB_TEST(test_pages_neither_repeat_nor_lose),
        LAB_TEST(test_a_snapshot_holds_the_moment),
        LAB_TEST(test_temporary_credentials_need_their_token),
        LAB_TEST(test_expired_credentials_are_refused_in_each_service_s_words),
        LAB_TEST(test_faults_happen_as_often_as_told),
        LAB_TEST(test_a_lost_reply_is_of_a_call_that_was_done),
        LAB_TEST(test_new_resources_hide_for_a_while_on_demand),
        LAB_TEST(test_a_full_disk_is_an_error_not_a_crash),
        LAB_TEST(test_an_instance_lives_stops_and_ends),
        LAB_TEST(test_a_group_can_be_isolated),
        LAB_TEST(test_a_type_must_fit_its_image),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
