/* Leads the AWS client through the life of a volume, its snapshot and its attachment to
 * the proxy, against whatever endpoint the environment names. TAP. Every mutating call
 * is made twice where ec2.h says that it may be, as after a crash. */
#include "aws/aws.h"
#include "aws/imds.h"
#include "aws/sts.h"
#include "aws/wait.h"
#include "base/clock.h"
#include "base/rand.h"
#include "base/str.h"

#include <stdio.h>

static unsigned n_checks, n_bad;

static bool check(bool good, const char *what, const char *why)
{
    printf("%sok %u - %s\n", good ? "" : "not ", ++n_checks, what);
    if (!good) {
        printf("# %s\n", why);
        n_bad++;
    }
    fflush(stdout);
    return good;
}

#define CHECK(call, what)                                                                \
    do {                                                                                 \
        struct err e_ = ERR_INIT, *e = &e_;                                              \
        bool good_ = (call) >= 0;                                                        \
        if (!check(good_, what, e_.msg))                                                 \
            return;                                                                      \
    } while (0)

#define CHECK_FAILS(call, want_kind, what)                                               \
    do {                                                                                 \
        struct err e_ = ERR_INIT, *e = &e_;                                              \
        bool good_ = (call) < 0 && e_.kind == (want_kind);                               \
        if (!check(good_, what, e_.msg[0] ? e_.msg : "it succeeded"))                    \
            return;                                                                      \
    } while (0)

struct tour {
    struct aws *aws;
    struct imds_identity proxy;
    struct ec2_volume volume;
    struct ec2_snapshot snapshot;
    char token[33];
    struct ec2_tag_in tags[2];
};

static const struct wait_options patient = {
    .timeout_ns = 120 * NS_PER_S, .first_ns = 200 * NS_PER_MS, .max_ns = NS_PER_S};

static void look_around(struct tour *t)
{
    struct sts_identity id;
    struct ec2_zones zones;
    struct ec2_subnets subnets;
    struct ec2_security_groups groups;
    struct ec2_instance_types types;
    struct ec2_instance proxy;
    const struct ec2_filter filter = {"instance-type", EC2_STRS("m5.large", "t3.micro")};
    struct ec2_query two_types = {.filters = &filter, .n_filters = 1};
    char *source = NULL;
    bool encrypted;

    CHECK(aws_credentials_source(t->aws, &source, e), "credentials");
    printf("# from %s\n", source);
    free(source);
    CHECK(sts_get_caller_identity(t->aws, &id, e), "GetCallerIdentity");
    printf("# as %s\n", id.arn);
    sts_identity_release(&id);
    CHECK(imds_identity(aws_imds(t->aws), &t->proxy, e), "identity of the proxy");
    CHECK(ec2_describe_instance(t->aws, t->proxy.instance_id, &proxy, e),
          "DescribeInstances shows the proxy");
    check(str_eq(proxy.zone, t->proxy.zone), "both name one zone", proxy.zone);
    ec2_instance_release(&proxy);
    CHECK(ec2_describe_availability_zones(t->aws, NULL, &zones, e), "zones");
    check(zones.n > 0, "there are zones", "none");
    ec2_zones_release(&zones);
    CHECK(ec2_describe_subnets(t->aws, NULL, &subnets, e), "subnets");
    ec2_subnets_release(&subnets);
    CHECK(ec2_describe_security_groups(t->aws, NULL, &groups, e), "security groups");
    ec2_security_groups_release(&groups);
    CHECK(ec2_describe_instance_types(t->aws, &two_types, &types, e), "instance types");
    check(types.n > 0 && types.v[0].vcpus > 0, "they have processors", "none");
    ec2_instance_types_release(&types);
    CHECK(ec2_get_ebs_encryption_by_default(t->aws, &encrypted, e), "default encryption");
}

static void make_volume(struct tour *t)
{
    struct ec2_create_volume_in in = {.zone = t->proxy.zone,
                                      .type = "gp3",
                                      .size_gib = 1,
                                      .client_token = t->token,
                                      .tags = {t->tags, 2}};
    struct ec2_volume again;
    bool same;

    in.dry_run = true;
    CHECK(ec2_create_volume(t->aws, &in, &again, e), "CreateVolume is allowed");
    in.dry_run = false;
    CHECK(ec2_create_volume(t->aws, &in, &t->volume, e), "CreateVolume");
    CHECK(ec2_create_volume(t->aws, &in, &again, e), "CreateVolume with the same token");
    same = str_eq(again.id, t->volume.id);
    ec2_volume_release(&again);
    check(same, "makes no second volume", "two ids");
    in.size_gib = 2;
    CHECK_FAILS(ec2_create_volume(t->aws, &in, &again, e), ERR_EXISTS,
                "the token with another size is refused");
    CHECK(ec2_wait_volume_available(t->aws, t->volume.id, &patient, &again, e),
          "the volume becomes available");
    same = str_eq_null(ec2_tag_value(&again.tags, "hotadd:job"), "tour");
    ec2_volume_release(&again);
    check(same, "it was born with its tags", "hotadd:job is not there");
}

static void attach_and_detach(struct tour *t)
{
    const char *v = t->volume.id, *i = t->proxy.instance_id;

    CHECK_FAILS(ec2_attach_volume(t->aws, v, "i-0000000000000000f", "/dev/sdf", false, e),
                ERR_NOT_FOUND, "attaching to an instance that is not there");
    CHECK(ec2_attach_volume(t->aws, v, i, "/dev/sdf", false, e), "AttachVolume");
    CHECK(ec2_attach_volume(t->aws, v, i, "/dev/sdf", false, e), "AttachVolume again");
    CHECK(ec2_wait_attached(t->aws, v, i, &patient, e), "it is attached");
    CHECK_FAILS(ec2_attach_volume(t->aws, v, i, "/dev/sdg", false, e), ERR_BUSY,
                "attaching at another device is refused");
    CHECK_FAILS(ec2_delete_volume(t->aws, v, false, e), ERR_BUSY,
                "deleting while attached is refused");
    CHECK(ec2_detach_volume(t->aws, v, i, false, e), "DetachVolume");
    CHECK(ec2_detach_volume(t->aws, v, i, false, e), "DetachVolume again");
    CHECK(ec2_wait_detached(t->aws, v, i, &patient, e), "it is detached");
    CHECK(ec2_detach_volume(t->aws, v, i, false, e), "DetachVolume of what is detached");
}

static void take_snapshot(struct tour *t)
{
    struct ec2_create_snapshot_in in = {.volume_id = t->volume.id,
                                        .description = "tour",
                                        .client_token = t->token,
                                        .tags = {t->tags, 2}};
    struct ec2_snapshot again;
    bool same;

    CHECK(ec2_create_snapshot(t->aws, &in, &t->snapshot, e), "CreateSnapshot");
    CHECK(ec2_create_snapshot(t->aws, &in, &again, e), "CreateSnapshot again");
    same = str_eq(again.id, t->snapshot.id);
    ec2_snapshot_release(&again);
    check(same, "makes no second snapshot", "two ids");
    CHECK(ec2_wait_snapshot_completed(t->aws, t->snapshot.id, &patient, NULL, e),
          "the snapshot is completed");
}

static void register_image(struct tour *t)
{
    const struct ec2_mapping_in root = {.device = "/dev/xvda",
                                        .snapshot_id = t->snapshot.id,
                                        .type = "gp3",
                                        .delete_on_termination = EC2_YES};
    auto_free char *name = NULL, *id = NULL, *again = NULL;
    struct err ignored;
    struct ec2_register_image_in in = {.architecture = "x86_64",
                                       .virtualization_type = "hvm",
                                       .root_device_name = "/dev/xvda",
                                       .boot_mode = "uefi",
                                       .ena_support = EC2_YES,
                                       .mappings = &root,
                                       .n_mappings = 1,
                                       .client_token = t->token,
                                       .tags = {t->tags, 2}};
    struct ec2_image image;

    in.name = name = str_fmt(&ignored, "tour-%s", t->token);
    CHECK(ec2_register_image(t->aws, &in, &id, e), "RegisterImage");
    CHECK(ec2_register_image(t->aws, &in, &again, e), "RegisterImage again");
    check(str_eq(id, again), "makes no second image", again);
    CHECK(ec2_wait_image_available(t->aws, id, &patient, &image, e), "it is available");
    check(str_eq(image.boot_mode, "uefi") && str_eq(image.architecture, "x86_64"),
          "as it was asked for", image.boot_mode);
    ec2_image_release(&image);
    CHECK_FAILS(ec2_delete_snapshot(t->aws, t->snapshot.id, false, e), ERR_BUSY,
                "its snapshot cannot be deleted");
    CHECK(ec2_deregister_image(t->aws, id, false, e), "DeregisterImage");
}

static void tear_down(struct tour *t)
{
    struct ec2_query mine = {.ids = EC2_STRS(t->volume.id)};
    struct ec2_taggeds tags;

    CHECK(ec2_describe_tags(t->aws, &mine, &tags, e), "DescribeTags");
    check(tags.n >= 2, "shows the volume's tags", "fewer than two");
    ec2_taggeds_release(&tags);
    CHECK(ec2_delete_snapshot(t->aws, t->snapshot.id, false, e), "DeleteSnapshot");
    CHECK(ec2_delete_snapshot(t->aws, t->snapshot.id, false, e), "DeleteSnapshot again");
    CHECK(ec2_delete_volume(t->aws, t->volume.id, false, e), "DeleteVolume");
    CHECK(ec2_wait_volume_deleted(t->aws, t->volume.id, &patient, e), "it is gone");
    CHECK(ec2_delete_volume(t->aws, t->volume.id, false, e), "DeleteVolume again");
}

int main(void)
{
    struct aws_options o = {.settle_ns = 2 * NS_PER_S};
    struct tour t = {.tags = {{"hotadd:job", "tour"}, {"Name", "a tour & more"}}};
    struct err e = ERR_INIT;
    void (*const steps[])(struct tour *) = {look_around,       make_volume,
                                            attach_and_detach, take_snapshot,
                                            register_image,    tear_down};

    rand_hex(t.token, 32);
    if (check(aws_new(&o, &t.aws, &e) == 0, "the client", e.msg))
        for (size_t i = 0; i < sizeof steps / sizeof steps[0] && !n_bad; i++)
            steps[i](&t);
    printf("1..%u\n", n_checks);
    ec2_volume_release(&t.volume);
    ec2_snapshot_release(&t.snapshot);
    imds_identity_release(&t.proxy);
    aws_free(t.aws);
    return n_bad != 0;
}
