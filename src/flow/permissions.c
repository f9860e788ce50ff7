/* Whether the credentials may do what the plan will do, asked by EC2's own dry runs:
 * nothing is created. */
#include "base/buf.h"
#include "base/str.h"
#include "flow/restore.h"

struct asked {
    struct buf denied;  /* "ec2:CreateVolume, …" */
    struct buf unknown; /* actions whose dry run failed for another reason */
};

/* Files the outcome of one dry run. A failure to reach EC2 ends the questions. */
static int file(struct asked *a, const char *action, int outcome, struct err *e)
{
    struct buf *b = NULL;

    if (outcome < 0 && (e->kind == ERR_NETWORK || e->kind == ERR_CANCELLED))
        return -1;
    /* Expired or wrong credentials are no matter of one action. */
    if (outcome < 0 && e->kind == ERR_DENIED && !str_eq(e->aws_code, "") &&
        !str_eq(e->aws_code, "UnauthorizedOperation") &&
        !str_eq(e->aws_code, "AccessDenied"))
        return -1;
    switch (ec2_allowed(outcome, e)) {
    case EC2_ALLOWED:
        return 0;
    case EC2_DENIED:
        b = &a->denied;
        break;
    case EC2_UNKNOWN:
        b = &a->unknown;
        break;
    }
    buf_addf(b, "%sec2:%s", b->len ? ", " : "", action);
    return 0;
}

static int ask_volumes(struct aws *aws, const struct restore_params *p,
                       const struct plan *plan, struct asked *a, struct err *e)
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
    return file(a, "CreateVolume", r, e);
}

/* Whether RunInstances would be allowed, with the real parameters: also finds a subnet
 * of another zone, a type that the zone does not have, an unknown key or group. */
static int ask_run(struct aws *aws, const struct restore_params *p,
                   const struct plan *plan, struct asked *a, struct err *e)
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
            .dry_run = true},
        &i, e);

    ec2_instance_release(&i);
    if (r < 0 && e->kind != ERR_DENIED && e->kind != ERR_NETWORK && *e->aws_code)
        return err_prefix(e, "the instance could not be launched");
    return file(a, "RunInstances", r, e);
}

int permissions_check(struct aws *aws, const struct restore_params *params,
                      const struct plan *plan, struct err *e)
{
    struct asked a = {BUF_INIT, BUF_INIT};
    struct buf *denied = &a.denied;
    int r = ask_volumes(aws, params, plan, &a, e);

    /* Without a carrier there is nothing to ask RunInstances with. */
    if (r == 0 && plan->carrier_id)
        r = ask_run(aws, params, plan, &a, e);
    if (r == 0)
        r = file(&a, "StopInstances",
                 ec2_stop_instances(aws, plan->proxy_id, false, true, e), e);
    if (r == 0)
        r = file(&a, "StartInstances", ec2_start_instances(aws, plan->proxy_id, true, e),
                 e);
    if (r == 0)
        r = file(&a, "CreateTags",
                 ec2_create_tags(
                     aws, EC2_STRS(plan->proxy_id),
                     (struct ec2_tags_in){&(struct ec2_tag_in){TAG_JOB, "dry-run"}, 1},
                     true, e),
                 e);
    if (r == 0 && denied->len)
        r = err_set(e, ERR_DENIED,
                    "these credentials may not do what the job needs: %s; give the role "
                    "the policy in data/iam/hotadd-proxy.json",
                    buf_str(denied));
    buf_release(&a.denied);
    buf_release(&a.unknown);
    return r;
}
