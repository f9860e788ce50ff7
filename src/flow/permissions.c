/* Whether the credentials may do what the plan will do, asked by EC2's own dry runs:
 * nothing is created.
 *
 * Only calls that create are asked. A policy may allow the others on what is tagged
 * hotadd:job alone (ours does), and nothing so tagged exists yet: asked of anything else
 * they would be denied to those who will be allowed. */
#include "base/buf.h"
#include "base/str.h"
#include "flow/finish.h"

/* Notes the outcome of one dry run: a denied action is added to `denied`; one that fails
 * for another reason is left for the job to meet, with the real call's error. -1 when
 * asking on makes no sense: no answer, or credentials that are no good for anything. */
static int note_verdict(struct buf *denied, const char *action, int outcome,
                        struct err *e)
{
    bool of_action = str_eq(e->aws_code, "UnauthorizedOperation") ||
                     str_eq(e->aws_code, "AccessDenied");

    if (outcome < 0 && (e->kind == ERR_NETWORK || e->kind == ERR_CANCELLED ||
                        (e->kind == ERR_DENIED && *e->aws_code && !of_action)))
        return -1;
    if (ec2_allowed(outcome, e) == EC2_DENIED)
        buf_addf(denied, "%sec2:%s", denied->len ? ", " : "", action);
    return 0;
}

static int ask_volumes(struct aws *aws, const struct restore_params *p,
                       const struct plan *plan, struct buf *denied, struct err *e)
{
    const struct ec2_tag_in tag = {TAG_JOB, "dry-run"};
    struct ec2_volume v = {0};
    int r = ec2_create_volume(
        aws,
        &(struct ec2_create_volume_in){.zone = plan->zone,
                                       .type = plan->volume_type,
                                       .size_gib = plan->volumes.v[0].size_gib,
                                       .iops = p->iops,
                                       .throughput_mibps = p->throughput,
                                       .encrypted = p->encrypted ? EC2_YES : EC2_DEFAULT,
                                       .kms_key_id = p->kms_key,
                                       .client_token = "hotadd-dry-run",
                                       .tags = {&tag, 1},
                                       .dry_run = true},
        &v, e);

    ec2_volume_release(&v);
    return note_verdict(denied, "CreateVolume", r, e);
}

/* Whether RunInstances would be allowed, with the real parameters: also finds a subnet
 * of another zone, a type that the zone does not have, an unknown key or group. */
static int ask_run(struct aws *aws, const struct restore_params *p,
                   const struct plan *plan, struct buf *denied, struct err *e)
{
    const struct ec2_tag_in tag = {TAG_JOB, "dry-run"};
    struct ec2_instance i = {0};
    int r = ec2_run_instances(
        aws,
        &(struct ec2_run_instances_in){
            .image_id = plan->carrier_id,
            .type = plan->instance_type,
            .subnet_id = plan->subnet_id,
            .security_group_ids = {(const char *const *)plan->security_group_ids.v,
                                   plan->security_group_ids.n},
            .key_name = p->key_name,
            .iam_profile = p->iam_profile,
            .private_ip = p->private_ip,
            .client_token = "hotadd-dry-run",
            .tags = {&tag, 1},
            .volume_tags = {&tag, 1},
            .dry_run = true},
        &i, e);

    ec2_instance_release(&i);
    if (r < 0 && e->kind != ERR_DENIED && e->kind != ERR_NETWORK && *e->aws_code)
        return err_prefix(e, "the instance could not be launched");
    return note_verdict(denied, "RunInstances", r, e);
}

/* Of an import through a bucket: nothing is there yet, and EC2 looks at permissions
 * first. */
static int ask_import(struct aws *aws, const struct restore_params *p,
                      const struct plan *plan, struct buf *denied, struct err *e)
{
    const struct ec2_tag_in tag = {TAG_JOB, "dry-run"};
    const struct ec2_import_disk_in disk = {
        .bucket = p->bucket, .key = "hotadd-dry-run", .format = "RAW"};
    struct ec2_import_image_task t = {0};
    int r =
        ec2_import_image(aws,
                         &(struct ec2_import_image_in){.disks = &disk,
                                                       .n_disks = 1,
                                                       .architecture = "x86_64",
                                                       .role_name = p->role,
                                                       .client_token = "hotadd-dry-run",
                                                       .tags = {&tag, 1},
                                                       .dry_run = true},
                         &t, e);

    ec2_import_image_task_release(&t);
    return note_verdict(denied, "ImportImage", r, e);
}

int permissions_check(struct aws *aws, const struct restore_params *params,
                      const struct plan *plan, struct err *e)
{
    auto_buf struct buf denied = BUF_INIT;
    bool import = str_eq(plan->kind, "import");
    int r = import ? ask_import(aws, params, plan, &denied, e)
                   : ask_volumes(aws, params, plan, &denied, e);

    /* Without a carrier there is nothing to ask RunInstances with. */
    if (r == 0 && plan->carrier_id)
        r = ask_run(aws, params, plan, &denied, e);
    if (r == 0 && denied.len)
        r = err_set(e, ERR_DENIED,
                    "these credentials may not do what the job needs: %s; give the role "
                    "the policy in data/iam/%s",
                    buf_str(&denied),
                    import ? "hotadd-import.json" : "hotadd-proxy.json");
    return r;
}
