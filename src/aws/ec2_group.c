/* Making and unmaking security groups; see ec2.h. A group's name is unique in its VPC,
 * which settles what became of a call whose answer was lost. */
#include "aws/ec2_impl.h"

#include "base/str.h"

#include <assert.h>

struct group_id {
    char *id;
};

SHAPE(group_id_shape, struct group_id,
      {"groupId", FIELD_STR, offsetof(struct group_id, id), NULL});

static int group_by_name(struct aws *aws, const struct ec2_create_security_group_in *in,
                         char **ret_id, struct err *e)
{
    const struct ec2_filter filters[] = {{"group-name", EC2_STRS(in->name)},
                                         {"vpc-id", EC2_STRS(in->vpc_id)}};
    struct ec2_query q = {.filters = filters, .n_filters = 2};
    struct ec2_security_groups found = {0};
    int r;

    if (ec2_describe_security_groups(aws, &q, &found, e) < 0)
        return -1;
    r = found.n == 1 ? 0
                     : err_set(e, ERR_NOT_FOUND, "CreateSecurityGroup: no group '%s' now",
                               in->name);
    if (r == 0)
        *ret_id = take_ptr(found.v[0].id);
    ec2_security_groups_release(&found);
    return r;
}

int ec2_create_security_group(struct aws *aws,
                              const struct ec2_create_security_group_in *in,
                              char **ret_id, struct err *e)
{
    auto_form struct form f = FORM_INIT;
    struct group_id g = {0};
    bool maybe_done;

    assert(in->name && in->description && in->vpc_id);
    ec2_form_begin(&f, "CreateSecurityGroup", in->dry_run);
    form_str(&f, in->name, "GroupName");
    form_str(&f, in->description, "GroupDescription");
    form_str(&f, in->vpc_id, "VpcId");
    ec2_form_tags(&f, 0, "security-group", in->tags, NULL);
    if (ec2_make(aws, &f, EC2_REPEAT, NULL, &group_id_shape, &g, &maybe_done, e) == 0) {
        *ret_id = g.id;
        return 0;
    }
    /* Our own first try may be what it collides with. */
    if (e->kind == ERR_EXISTS && maybe_done)
        return group_by_name(aws, in, ret_id, e);
    return -1;
}

static int revoke_egress(struct aws *aws, const char *group_id, const char *cidr,
                         const char *cidr_name, struct err *e)
{
    auto_form struct form f = FORM_INIT;

    ec2_form_begin(&f, "RevokeSecurityGroupEgress", false);
    form_str(&f, group_id, "GroupId");
    form_str(&f, "-1", "IpPermissions.1.IpProtocol");
    form_str(&f, cidr, "IpPermissions.1.%s", cidr_name);
    if (ec2_do(aws, &f, NULL, e) == 0 ||
        str_eq(e->aws_code, "InvalidPermission.NotFound"))
        return 0;
    return -1;
}

int ec2_revoke_default_egress(struct aws *aws, const char *group_id, struct err *e)
{
    return revoke_egress(aws, group_id, "0.0.0.0/0", "IpRanges.1.CidrIp", e) < 0 ||
                   revoke_egress(aws, group_id, "::/0", "Ipv6Ranges.1.CidrIpv6", e) < 0
               ? -1
               : 0;
}

int ec2_delete_security_group(struct aws *aws, const char *group_id, bool dry_run,
                              struct err *e)
{
    auto_form struct form f = FORM_INIT;

    ec2_form_begin(&f, "DeleteSecurityGroup", dry_run);
    form_str(&f, group_id, "GroupId");
    return ec2_delete(aws, &f, e);
}
