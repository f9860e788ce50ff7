/* What is asked, and decided, before a machine's disks go through S3 into VM Import.
 * Nothing here makes or changes anything. */
#include "aws/imds.h"
#include "aws/s3_upload.h"
#include "base/json.h"
#include "base/log.h"
#include "base/str.h"
#include "flow/import.h"
#include "flow/preflight.h"
#include "guest/info.h"
#include "image/vhd.h"

#include <inttypes.h>

#define TIB                ((uint64_t)1 << 40)
#define IMAGE_MAX_DISKS    21
#define IMAGE_MAX_BYTES    (8 * TIB) /* of each: below */
#define SNAPSHOT_MAX_BYTES (16 * TIB)
#define OFF_EC2            "not-on-ec2" /* as the proxy's id in tags */

bool import_takes(const char *requirement)
{
    static const char *const ids[] = {
        "linux-supported",      "linux-dhcp",        "linux-initramfs",
        "linux-nvme",           "linux-raid",        "linux-boot-space",
        "windows-supported",    "windows-boot-disk", "windows-drivers",
        "windows-launch-agent", "windows-dotnet",    "windows-boot-storage",
    };

    for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++)
        if (str_eq(ids[i], requirement))
            return true;
    return false;
}

/* ---- Limits ---- */

struct limit {
    const char *id, *title, *why, *remedy;
};

static int add(struct guest_info *info, const struct limit *l, bool met, const char *seen,
               struct err *e)
{
    struct finding f = {.state = met ? FINDING_MET : FINDING_REFUSED};

    if (str_set(&f.id, l->id, e) < 0 || str_set(&f.title, l->title, e) < 0 ||
        str_set(&f.seen, seen, e) < 0 || str_set(&f.why, l->why, e) < 0 ||
        str_set(&f.remedy, met ? "" : l->remedy, e) < 0 ||
        vec_push(&info->findings, f, e) < 0) {
        finding_release(&f);
        return -1;
    }
    return 0;
}

static const struct limit limit_disks = {
    .id = "import-disks",
    .title = "Not too many disks",
    .why = "a task of VM Import takes at most 21 disks",
    .remedy =
        "with hotadd import, leave --one-image out, so that data disks are imported "
        "one by one; else use --finish swap",
};

static int disk_count(const struct machine *m, bool one_image, struct guest_info *info,
                      struct err *e)
{
    size_t n = one_image ? m->disks.n : 1;
    auto_free char *seen =
        str_fmt(e, "%zu disks, of which %zu in the image", m->disks.n, n);

    return seen ? add(info, &limit_disks, n <= IMAGE_MAX_DISKS, seen, e) : -1;
}

static const struct limit limit_size = {
    .id = "import-disk-size",
    .title = "No disk too large",
    .why =
        "VM Import makes images of disks below 8 TiB and snapshots of up to 16 TiB; an "
        "upload of 10,000 parts holds 625 GiB, a VHD 2040 GiB",
    .remedy =
        "use hotadd convert: --finish import needs no upload, --finish swap no import",
};

/* How large disk i may be. */
static uint64_t limit_of(const struct restore_params *p, size_t i)
{
    bool in_image = i == 0 || p->one_image || !p->bucket;
    uint64_t limit = in_image ? IMAGE_MAX_BYTES - 1 : SNAPSHOT_MAX_BYTES;

    if (p->bucket && str_eq_null(p->disk_format, "vhd") && limit > VHD_MAX_BYTES)
        limit = VHD_MAX_BYTES;
    return p->bucket && limit > S3_UPLOAD_MAX_DISK ? S3_UPLOAD_MAX_DISK : limit;
}

static int disk_sizes(const struct machine *m, const struct restore_params *p,
                      struct guest_info *info, struct err *e)
{
    for (size_t i = 0; i < m->disks.n; i++) {
        uint64_t bytes = m->disks.v[i].source->size_bytes;
        char seen[100], size[32], most[32];

        if (bytes <= limit_of(p, i))
            continue;
        snprintf(seen, sizeof seen, "disk %zu has %s, more than %s", i + 1,
                 str_bytes(size, sizeof size, bytes),
                 str_bytes(most, sizeof most, limit_of(p, i)));
        return add(info, &limit_size, false, seen, e);
    }
    return add(info, &limit_size, true, "every disk fits", e);
}

int import_limits(const struct machine *m, const struct restore_params *p,
                  struct guest_info *info, struct err *e)
{
    /* Without a bucket the disks are volumes, and all of them go into the image. */
    return disk_count(m, p->one_image || !p->bucket, info, e) < 0 ||
                   disk_sizes(m, p, info, e) < 0
               ? -1
               : 0;
}

/* ---- The place ---- */

static int zone_of_default_subnet(struct look *l, struct err *e)
{
    const struct ec2_filter of_account[] = {{"default-for-az", EC2_STRS("true")}};
    struct ec2_subnets subnets = {0};
    int r;

    if (ec2_describe_subnets(l->aws,
                             &(struct ec2_query){.filters = of_account, .n_filters = 1},
                             &subnets, e) < 0)
        return -1;
    r = subnets.n ? plan_set(&l->plan->instance_zone, e, "%s", subnets.v[0].zone)
                  : err_set(e, ERR_REQUIREMENT,
                            "region %s has no default subnet; give one with --subnet",
                            aws_region(l->aws));
    ec2_subnets_release(&subnets);
    return r;
}

/* On EC2 or not: nothing is attached to this machine. */
static int look_at_place(struct look *l, struct err *e)
{
    struct imds_identity me = {0};
    struct plan *p = l->plan;
    struct err why = ERR_INIT;
    bool here = imds_identity(aws_imds(l->aws), &me, &why) == 0;
    int r;

    if (!here && why.kind == ERR_CANCELLED) {
        *e = why;
        return -1;
    }
    if (!here)
        log_debug("not on EC2: %s", why.msg);
    here = here && str_eq(me.region, aws_region(l->aws));
    r = plan_set(&p->proxy_id, e, "%s", me.instance_id ? me.instance_id : OFF_EC2);
    if (r == 0)
        r = plan_set(&p->proxy_type, e, "%s",
                     me.instance_type ? me.instance_type : "any machine");
    if (r == 0)
        r = l->params->zone     ? plan_set(&p->instance_zone, e, "%s", l->params->zone)
            : l->params->subnet ? plan_set(&p->instance_zone, e, "%s", "")
            : here              ? plan_set(&p->instance_zone, e, "%s", me.zone)
                                : zone_of_default_subnet(l, e);
    imds_identity_release(&me);
    return r;
}

static int look_at_bucket(struct look *l, struct err *e)
{
    const char *name = l->params->bucket;
    auto_s3_bucket struct s3_bucket *b = NULL;
    auto_free char *region = NULL;

    if (s3_bucket_new(l->aws, name, &b, e) < 0 || s3_head_bucket(b, &region, e) < 0)
        return err_prefix(e, "--bucket %s", name);
    if (*region && !str_eq(region, aws_region(l->aws)))
        return err_set(
            e, ERR_REQUIREMENT,
            "bucket %s is in region %s, and VM Import in %s reads buckets of its "
            "own region only; choose a bucket there, or --region %s",
            name, region, aws_region(l->aws), region);
    return plan_set(&l->plan->bucket, e, "s3://%s", name);
}

int import_look(struct look *l, struct err *e)
{
    const char *role = l->params->role ? l->params->role : EC2_IMPORT_ROLE;
    enum import_role_state state;

    if (!l->params->bucket)
        return err_set(e, ERR_USAGE,
                       "--bucket is needed: the disks are uploaded to it for VM Import");
    if (look_at_place(l, e) < 0 || look_at_bucket(l, e) < 0 ||
        import_role_check(l->aws, role, l->params->bucket, &state, e) < 0)
        return -1;
    return state == IMPORT_ROLE_UNSEEN
               ? plan_note(l->plan, e,
                           "whether role %s may read the bucket could not be seen; VM "
                           "Import will say so after the upload",
                           role)
               : 0;
}

/* ---- The plan ---- */

int import_plan(struct look *l, struct err *e)
{
    const char *format = l->params->disk_format ? l->params->disk_format : "raw";
    struct plan *p = l->plan;

    if (l->params->carrier)
        return err_set(e, ERR_USAGE,
                       "--carrier is for the swap finisher of hotadd "
                       "convert and restore");
    if (l->machine->nics.n > 1 &&
        plan_note(p, e,
                  "the machine has %zu network cards, and the imported one gets one, by "
                  "DHCP",
                  l->machine->nics.n) < 0)
        return -1;
    return plan_set(&p->finisher, e, "import") < 0 ||
                   plan_set(&p->finisher_why, e,
                            "Amazon's VM Import makes the image, and changes the guest "
                            "itself") < 0 ||
                   plan_set(&p->disk_format, e, "%s", format) < 0
               ? -1
               : 0;
}
