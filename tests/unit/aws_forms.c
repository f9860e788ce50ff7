/* Makes every EC2 and STS call with every parameter it has and prints the form bodies,
 * one a line, for check-aws-model to hold against the service's own model. */
#include "aws_env.h"

#include "test.h"

#include "aws/ec2_import.h"
#include "aws/iam.h"
#include "aws/sts.h"
#include "aws/sts_impl.h"

/* Every create is answered by an error that is not retried: only what we send counts. */
static void refuse(void *ctx, size_t n, const struct fake_request *r,
                   struct fake_answer *ret)
{
    const char *action = fake_form(r, "Action");

    printf("%s\n", r->body);
    if (action && strcmp(action, "DescribeSnapshots") == 0) {
        ret->body =
            "<DescribeSnapshotsResponse><snapshotSet/></DescribeSnapshotsResponse>";
        return;
    }
    ret->status = 400;
    ret->body = "<Response><Errors><Error><Code>MissingParameter</Code><Message>m"
                "</Message></Error></Errors></Response>";
}

static const struct ec2_tag_in tag_v[] = {{"Name", "a b&c"}, {"hotadd:job", "j"}};
static const struct ec2_tags_in tags = {tag_v, 2};
static const struct ec2_mapping_in mappings[] = {
    {.device = "/dev/sda1",
     .snapshot_id = "snap-1",
     .size_gib = 8,
     .type = "gp3",
     .iops = 3000,
     .throughput_mibps = 125,
     .delete_on_termination = EC2_YES,
     .encrypted = EC2_YES,
     .kms_key_id = "alias/k"},
    {.device = "/dev/sdb", .no_device = true},
};

static void volumes(struct aws *aws, struct err *e)
{
    struct ec2_create_volume_in create = {.zone = "eu-west-1a",
                                          .type = "gp3",
                                          .size_gib = 80,
                                          .iops = 4000,
                                          .throughput_mibps = 250,
                                          .encrypted = EC2_YES,
                                          .kms_key_id = "alias/k",
                                          .snapshot_id = "snap-1",
                                          .initialization_rate_mibps = 200,
                                          .client_token = "t",
                                          .tags = tags};
    struct ec2_copy_volumes_in copy = {.source_volume_id = "vol-1",
                                       .type = "gp3",
                                       .size_gib = 80,
                                       .iops = 4000,
                                       .throughput_mibps = 250,
                                       .client_token = "t",
                                       .tags = tags};
    struct ec2_modify_volume_in modify = {.volume_id = "vol-1",
                                          .type = "gp3",
                                          .size_gib = 80,
                                          .iops = 4000,
                                          .throughput_mibps = 250};
    struct ec2_volume v;
    bool b;
    int n = 0;

    n += ec2_create_volume(aws, &create, &v, e);
    create.dry_run = true;
    n += ec2_create_volume(aws, &create, &v, e);
    n += ec2_copy_volumes(aws, &copy, &v, e);
    n += ec2_modify_volume(aws, &modify, e);
    n += ec2_attach_volume(aws, "vol-1", "i-1", "/dev/sdf", false, e);
    n += ec2_attach_volume(aws, "vol-1", "i-1", "/dev/sdf", true, e);
    n += ec2_detach_volume(aws, "vol-1", "i-1", false, e);
    n += ec2_delete_volume(aws, "vol-1", true, e);
    n += ec2_get_ebs_encryption_by_default(aws, &b, e);
    assert_int_equal(n, -9);
}

static void images(struct aws *aws, struct err *e)
{
    struct ec2_create_snapshot_in snapshot = {
        .volume_id = "vol-1", .description = "d", .client_token = "t", .tags = tags};
    struct ec2_register_image_in image = {.name = "n",
                                          .description = "d",
                                          .architecture = "x86_64",
                                          .virtualization_type = "hvm",
                                          .root_device_name = "/dev/sda1",
                                          .boot_mode = "uefi",
                                          .ena_support = EC2_YES,
                                          .imds_support = "v2.0",
                                          .tpm_support = "v2.0",
                                          .mappings = mappings,
                                          .n_mappings = 2,
                                          .client_token = "t",
                                          .tags = tags};
    struct ec2_create_snapshots_in all = {
        .instance_id = "i-1", .description = "d", .client_token = "t", .tags = tags};
    struct ec2_snapshots many;
    struct ec2_snapshot s;
    char *id;
    int n = 0;

    n += ec2_create_snapshot(aws, &snapshot, &s, e);
    n += ec2_create_snapshots(aws, &all, &many, e);
    n += ec2_delete_snapshot(aws, "snap-1", true, e);
    n += ec2_register_image(aws, &image, &id, e);
    n += ec2_deregister_image(aws, "ami-1", true, e);
    assert_int_equal(n, -5);
}

static void groups(struct aws *aws, struct err *e)
{
    struct ec2_create_security_group_in in = {
        .name = "n", .description = "d", .vpc_id = "vpc-1", .tags = tags};
    char *id;
    int n = 0;

    n += ec2_create_security_group(aws, &in, &id, e);
    n += ec2_revoke_default_egress(aws, "sg-1", e);
    n += ec2_delete_security_group(aws, "sg-1", true, e);
    assert_int_equal(n, -3);
}

static void imports(struct aws *aws, struct err *e)
{
    const struct ec2_import_disk_in disks[] = {
        {.bucket = "b", .key = "k", .format = "RAW", .description = "d"},
        {.snapshot_id = "snap-1", .description = "d"},
    };
    struct ec2_import_image_in image = {.disks = disks,
                                        .n_disks = 2,
                                        .description = "d",
                                        .architecture = "x86_64",
                                        .platform = "Windows",
                                        .boot_mode = "uefi",
                                        .license_type = "BYOL",
                                        .role_name = "vmimport",
                                        .encrypted = EC2_YES,
                                        .kms_key_id = "alias/k",
                                        .client_token = "t",
                                        .tags = tags,
                                        .dry_run = true};
    struct ec2_import_snapshot_in snapshot = {.disk = disks[0],
                                              .description = "d",
                                              .role_name = "vmimport",
                                              .encrypted = EC2_YES,
                                              .kms_key_id = "alias/k",
                                              .client_token = "t",
                                              .tags = tags,
                                              .dry_run = true};
    struct ec2_import_image_task it;
    struct ec2_import_snapshot_task st;
    int n = 0;

    n += ec2_import_image(aws, &image, &it, e);
    n += ec2_import_snapshot(aws, &snapshot, &st, e);
    n += ec2_describe_import_image_task(aws, "import-ami-1", &it, e);
    n += ec2_describe_import_snapshot_task(aws, "import-snap-1", &st, e);
    n += ec2_cancel_import_task(aws, "import-ami-1", true, e);
    assert_int_equal(n, -5);
}

static void roles(struct aws *aws, struct err *e)
{
    struct iam_role r;
    struct strv v = {0};
    char *text;
    int n = 0;

    n += iam_get_role(aws, "vmimport", &r, e);
    n += iam_create_role(aws, "vmimport", "d", "{}", &r, e);
    n += iam_list_role_policies(aws, "vmimport", &v, e);
    n += iam_list_attached_role_policies(aws, "vmimport", &v, e);
    n += iam_get_role_policy(aws, "vmimport", "p", &text, e);
    n += iam_put_role_policy(aws, "vmimport", "p", "{}", e);
    assert_int_equal(n, -6);
}

static void run(struct aws *aws, struct err *e)
{
    struct ec2_run_instances_in in = {.image_id = "ami-1",
                                      .type = "m5.large",
                                      .zone = "eu-west-1a",
                                      .subnet_id = "subnet-1",
                                      .security_group_ids = EC2_STRS("sg-1", "sg-2"),
                                      .key_name = "k",
                                      .iam_profile = "p",
                                      .private_ip = "10.0.0.1",
                                      .user_data = "x",
                                      .user_data_len = 1,
                                      .mappings = mappings,
                                      .n_mappings = 2,
                                      .imdsv2_required = true,
                                      .imds_hop_limit = 2,
                                      .terminate_on_shutdown = EC2_NO,
                                      .client_token = "t",
                                      .tags = tags,
                                      .volume_tags = tags,
                                      .dry_run = true};
    struct ec2_instance i;
    int n = ec2_run_instances(aws, &in, &i, e);

    in.public_ip = EC2_YES;
    in.iam_profile = "arn:aws:iam::1:instance-profile/p";
    n += ec2_run_instances(aws, &in, &i, e);
    assert_int_equal(n, -2);
}

static void instances(struct aws *aws, struct err *e)
{
    struct buf image = BUF_INIT;
    char *text;
    size_t len;
    int n = 0;

    n += ec2_start_instances(aws, "i-1", true, e);
    n += ec2_stop_instances(aws, "i-1", true, true, e);
    n += ec2_reboot_instances(aws, "i-1", true, e);
    n += ec2_terminate_instances(aws, "i-1", true, e);
    n += ec2_modify_delete_on_termination(aws, "i-1", "/dev/sda1", true, true, e);
    n += ec2_modify_ena_support(aws, "i-1", true, true, e);
    n += ec2_modify_instance_type(aws, "i-1", "m5.large", true, e);
    n += ec2_modify_security_groups(aws, "i-1", EC2_STRS("sg-1"), true, e);
    n += ec2_get_console_output(aws, "i-1", true, &text, &len, e);
    n += ec2_get_console_screenshot(aws, "i-1", &image, e);
    n += ec2_create_tags(aws, EC2_STRS("vol-1", "snap-1"), tags, true, e);
    n += ec2_delete_tags(aws, EC2_STRS("vol-1"), tags, true, e);
    assert_int_equal(n, -12);
}

static void lists(struct aws *aws, struct err *e)
{
    const struct ec2_filter filters[] = {{"tag:hotadd:job", EC2_STRS("a", "b")},
                                         {"tag-key", EC2_STRS("c")}};
    struct ec2_query by_filter = {.filters = filters, .n_filters = 2};
    struct ec2_query by_id = {.ids = EC2_STRS("x-1", "x-2")};
    struct ec2_query owned = {
        .filters = filters, .n_filters = 2, .owners = EC2_STRS("self")};
    const struct ec2_query *plain[] = {&by_filter, &by_id};
    union {
        struct ec2_volumes volumes;
        struct ec2_snapshots snapshots;
        struct ec2_images images;
        struct ec2_instances instances;
        struct ec2_instance_types types;
        struct ec2_zones zones;
        struct ec2_subnets subnets;
        struct ec2_security_groups groups;
        struct ec2_key_pairs keys;
        struct ec2_taggeds tags;
        struct ec2_instance_status status;
    } u;
    int n = 0;

    for (size_t i = 0; i < 2; i++) {
        n += ec2_describe_volumes(aws, plain[i], &u.volumes, e);
        n += ec2_describe_instances(aws, plain[i], &u.instances, e);
        n += ec2_describe_instance_types(aws, plain[i], &u.types, e);
        n += ec2_describe_availability_zones(aws, plain[i], &u.zones, e);
        n += ec2_describe_subnets(aws, plain[i], &u.subnets, e);
        n += ec2_describe_security_groups(aws, plain[i], &u.groups, e);
        n += ec2_describe_key_pairs(aws, plain[i], &u.keys, e);
        n += ec2_describe_tags(aws, plain[i], &u.tags, e);
    }
    n += ec2_describe_images(aws, &owned, &u.images, e);
    n += ec2_describe_images(aws, &by_id, &u.images, e);
    n += ec2_describe_instance_status(aws, "i-1", &u.status, e);
    assert_int_equal(n, -19);
    assert_int_equal(ec2_describe_snapshots(aws, &owned, &u.snapshots, e), 0);
    assert_int_equal(ec2_describe_snapshots(aws, &by_id, &u.snapshots, e), 0);
}

static void sts(struct aws *aws, struct err *e)
{
    struct sts_identity id;
    struct aws *as;

    assert_int_equal(sts_get_caller_identity(aws, &id, e), -1);
    assert_int_equal(sts_assume_role(aws, "arn:r", "session", "external", 900, &as, e),
                     -1);
}

int main(void)
{
    struct err e = ERR_INIT;
    struct fake_http *fake;
    struct aws *aws = NULL;
    void *state = NULL;

    if (aws_env_setup(&state) < 0)
        return 1;
    fake = fake_http_start(refuse, NULL, NULL, NULL);
    aws = aws_env_client(fake);
    volumes(aws, &e);
    images(aws, &e);
    groups(aws, &e);
    run(aws, &e);
    instances(aws, &e);
    lists(aws, &e);
    sts(aws, &e);
    imports(aws, &e);
    roles(aws, &e);
    aws_free(aws);
    fake_http_stop(fake);
    return aws_env_teardown(&state) < 0;
}
