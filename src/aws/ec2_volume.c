/* Changing volumes; see ec2.h for what each promises after a lost reply. Everything that
 * has no client token is settled by looking at the volume. A crash between a call and
 * its answer leaves what ec2.h says: the call can be made again. */
#include "aws/ec2_impl.h"

#include "base/str.h"

#include <assert.h>

int ec2_create_volume(struct aws *aws, const struct ec2_create_volume_in *in,
                      struct ec2_volume *ret, struct err *e)
{
    auto_form struct form f = FORM_INIT;

    assert(in->zone && in->client_token);
    ec2_form_begin(&f, "CreateVolume", in->dry_run);
    form_str(&f, in->zone, "AvailabilityZone");
    form_str(&f, in->type, "VolumeType");
    form_u64(&f, in->size_gib, "Size");
    form_u64(&f, in->iops, "Iops");
    form_u64(&f, in->throughput_mibps, "Throughput");
    ec2_form_flag(&f, in->kms_key_id ? EC2_YES : in->encrypted, "Encrypted");
    form_str(&f, in->kms_key_id, "KmsKeyId");
    form_str(&f, in->snapshot_id, "SnapshotId");
    form_u64(&f, in->initialization_rate_mibps, "VolumeInitializationRate");
    form_str(&f, in->client_token, "ClientToken");
    ec2_form_tags(&f, 0, "volume", in->tags, NULL);
    return ec2_make(aws, &f, EC2_REPEAT, NULL, &ec2_volume_shape, ret, NULL, e);
}

int ec2_copy_volumes(struct aws *aws, const struct ec2_copy_volumes_in *in,
                     struct ec2_volume *ret, struct err *e)
{
    auto_form struct form f = FORM_INIT;

    assert(in->source_volume_id && in->client_token);
    ec2_form_begin(&f, "CopyVolumes", in->dry_run);
    form_str(&f, in->source_volume_id, "SourceVolumeId");
    form_str(&f, in->type, "VolumeType");
    form_u64(&f, in->size_gib, "Size");
    form_u64(&f, in->iops, "Iops");
    form_u64(&f, in->throughput_mibps, "Throughput");
    form_str(&f, in->client_token, "ClientToken");
    ec2_form_tags(&f, 0, "volume", in->tags, NULL);
    return ec2_make(aws, &f, EC2_REPEAT, "volumeSet", &ec2_volume_shape, ret, NULL, e);
}

int ec2_delete_volume(struct aws *aws, const char *volume_id, bool dry_run, struct err *e)
{
    auto_form struct form f = FORM_INIT;

    ec2_form_begin(&f, "DeleteVolume", dry_run);
    form_str(&f, volume_id, "VolumeId");
    return ec2_delete(aws, &f, e);
}

/* ---- Attaching ---- */

static const struct ec2_attachment *attachment_to(const struct ec2_volume *v,
                                                  const char *instance_id)
{
    vec_foreach (a, &v->attachments)
        if (str_eq(a->instance_id, instance_id) && !str_eq(a->state, "detached"))
            return a;
    return NULL;
}

/* A refusal that our own first try could have caused, or a lost answer. */
static bool worth_a_look(const struct err *e, bool maybe_done)
{
    return maybe_done || e->kind == ERR_BUSY ||
           str_eq(e->aws_code, "InvalidParameterValue");
}

/* After AttachVolume failed with e: 0 when the volume is where it should be. */
static int attached_after_all(struct aws *aws, const char *volume_id,
                              const char *instance_id, const char *device, struct err *e)
{
    struct ec2_volume v;
    const struct ec2_attachment *a;
    struct err look;
    int done = -1;

    if (ec2_describe_volume(aws, volume_id, &v, &look) < 0)
        return -1;
    a = attachment_to(&v, instance_id);
    if (a && str_eq(a->device, device) &&
        (str_eq(a->state, "attaching") || str_eq(a->state, "attached")))
        done = 0;
    else if (v.attachments.n && e->kind == ERR_BUSY)
        err_prefix(e, "%s is %s to %s as %s", volume_id, v.attachments.v[0].state,
                   v.attachments.v[0].instance_id, v.attachments.v[0].device);
    ec2_volume_release(&v);
    return done;
}

int ec2_attach_volume(struct aws *aws, const char *volume_id, const char *instance_id,
                      const char *device, bool dry_run, struct err *e)
{
    auto_form struct form f = FORM_INIT;
    bool maybe_done;

    ec2_form_begin(&f, "AttachVolume", dry_run);
    form_str(&f, volume_id, "VolumeId");
    form_str(&f, instance_id, "InstanceId");
    form_str(&f, device, "Device");
    if (ec2_do(aws, &f, &maybe_done, e) == 0)
        return 0;
    if (dry_run || !worth_a_look(e, maybe_done))
        return -1;
    return attached_after_all(aws, volume_id, instance_id, device, e);
}

/* After DetachVolume failed with e: 0 when the volume is leaving, has left or is gone. */
static int detached_after_all(struct aws *aws, const char *volume_id,
                              const char *instance_id, struct err *e)
{
    struct ec2_volume v;
    const struct ec2_attachment *a;
    struct err look;
    bool left;

    if (ec2_describe_volume(aws, volume_id, &v, &look) < 0)
        return look.kind == ERR_NOT_FOUND ? 0 : -1;
    a = attachment_to(&v, instance_id);
    left = !a || str_eq(a->state, "detaching") || str_eq(a->state, "busy");
    ec2_volume_release(&v);
    return left ? 0 : -1;
}

int ec2_detach_volume(struct aws *aws, const char *volume_id, const char *instance_id,
                      bool dry_run, struct err *e)
{
    auto_form struct form f = FORM_INIT;
    bool maybe_done;

    ec2_form_begin(&f, "DetachVolume", dry_run);
    form_str(&f, volume_id, "VolumeId");
    form_str(&f, instance_id, "InstanceId");
    if (ec2_do(aws, &f, &maybe_done, e) == 0)
        return 0;
    if (dry_run || !(worth_a_look(e, maybe_done) || e->kind == ERR_NOT_FOUND))
        return -1;
    return detached_after_all(aws, volume_id, instance_id, e);
}

/* ---- Modifying ---- */

/* One answer of DescribeVolumesModifications: the settings a volume is on its way to. */
struct modification {
    char *state; /* modifying, optimizing, completed, failed */
    char *type;
    uint64_t size_gib, iops, throughput_mibps;
};

SHAPE(modification_shape, struct modification,
      {"modificationState", FIELD_STR, offsetof(struct modification, state), NULL},
      {"targetVolumeType", FIELD_STR, offsetof(struct modification, type), NULL},
      {"targetSize", FIELD_U64, offsetof(struct modification, size_gib), NULL},
      {"targetIops", FIELD_U64, offsetof(struct modification, iops), NULL},
      {"targetThroughput", FIELD_U64, offsetof(struct modification, throughput_mibps),
       NULL});

static const struct ec2_listing modification_listing = {
    .action = "DescribeVolumesModifications",
    .ids_name = "VolumeId",
    .set = "volumeModificationSet",
    .shape = &modification_shape,
};

static bool as_wanted(const struct ec2_modify_volume_in *in, const char *type,
                      uint64_t size_gib, uint64_t iops, uint64_t throughput_mibps)
{
    return (!in->type || str_eq(in->type, type)) &&
           (!in->size_gib || in->size_gib == size_gib) &&
           (!in->iops || in->iops == iops) &&
           (!in->throughput_mibps || in->throughput_mibps == throughput_mibps);
}

static bool modified_after_all(struct aws *aws, const struct ec2_modify_volume_in *in)
{
    struct modification m;
    struct ec2_volume v;
    struct err ignored;
    bool same = false;

    if (ec2_one(aws, &modification_listing, in->volume_id, &m, &ignored) == 0) {
        same = !str_eq(m.state, "failed") &&
               as_wanted(in, m.type, m.size_gib, m.iops, m.throughput_mibps);
        shape_release(&modification_shape, &m);
    }
    if (!same && ec2_describe_volume(aws, in->volume_id, &v, &ignored) == 0) {
        same = as_wanted(in, v.type, v.size_gib, v.iops, v.throughput_mibps);
        ec2_volume_release(&v);
    }
    return same;
}

int ec2_modify_volume(struct aws *aws, const struct ec2_modify_volume_in *in,
                      struct err *e)
{
    auto_form struct form f = FORM_INIT;
    bool maybe_done;

    assert(in->volume_id);
    ec2_form_begin(&f, "ModifyVolume", in->dry_run);
    form_str(&f, in->volume_id, "VolumeId");
    form_str(&f, in->type, "VolumeType");
    form_u64(&f, in->size_gib, "Size");
    form_u64(&f, in->iops, "Iops");
    form_u64(&f, in->throughput_mibps, "Throughput");
    if (ec2_do(aws, &f, &maybe_done, e) == 0)
        return 0;
    if (in->dry_run || !worth_a_look(e, maybe_done))
        return -1;
    return modified_after_all(aws, in) ? 0 : -1;
}

/* ---- The account's default ---- */

struct by_default {
    bool encrypted;
};

SHAPE(by_default_shape, struct by_default,
      {"ebsEncryptionByDefault", FIELD_BOOL, offsetof(struct by_default, encrypted),
       NULL});

int ec2_get_ebs_encryption_by_default(struct aws *aws, bool *ret, struct err *e)
{
    auto_form struct form f = FORM_INIT;
    struct by_default d;

    ec2_form_begin(&f, "GetEbsEncryptionByDefault", false);
    if (ec2_make(aws, &f, EC2_REPEAT, NULL, &by_default_shape, &d, NULL, e) < 0)
        return -1;
    *ret = d.encrypted;
    return 0;
}
