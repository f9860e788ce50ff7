/* Answers of EC2, STS and IAM: every shape is tried on every document, and every document
 * is also read as an error. */
#include "aws/creds.h"
#include "aws/ec2_impl.h"
#include "aws/fault.h"
#include "aws/iam_impl.h"
#include "aws/sts_impl.h"
#include "base/xml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void as_lists(xmlNode *root)
{
    const struct ec2_listing *const listings[] = {
        &ec2_volume_listing,   &ec2_snapshot_listing,     &ec2_image_listing,
        &ec2_instance_listing, &ec2_import_image_listing, &ec2_import_snapshot_listing};

    for (size_t i = 0; i < sizeof listings / sizeof listings[0]; i++) {
        const struct ec2_listing *l = listings[i];
        xmlNode *set = xml_child(root, l->set);
        struct VEC(char) found = {0};
        struct err e;

        if (l->inner_set)
            set = xml_child(xml_child(set, "item"), l->inner_set);
        if (shape_read_list(l->shape, set, 1000, &found, &e) < 0)
            e.kind = ERR_NONE;
        shape_release_list(l->shape, &found);
    }
}

/* Answers of IAM: below <ActionResult>. */
static void as_role(xmlNode *root)
{
    static const char *const results[] = {"GetRoleResult", "ListRolePoliciesResult",
                                          "ListAttachedRolePoliciesResult"};
    struct iam_role role;
    struct err e;

    for (size_t i = 0; i < sizeof results / sizeof results[0]; i++) {
        xmlNode *result = xml_child(root, results[i]);
        auto_strv struct strv names = {0};

        if (iam_role_read(result, &role, &e) == 0)
            iam_role_release(&role);
        if (iam_members_read(result, "PolicyNames", "", &names, &e) < 0 ||
            iam_members_read(result, "AttachedPolicies", "PolicyArn", &names, &e) < 0)
            e.kind = ERR_NONE;
    }
}

static void as_fault(const uint8_t *data, size_t len, const struct creds *creds)
{
    struct http_answer a = {.status = 400};
    struct fault f;
    struct err e;

    buf_add(&a.body, data, len);
    fault_read(&a, AWS_EC2, creds, &f);
    fault_err(&f, AWS_EC2, "CreateVolume", &e);
    http_answer_release(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    auto_xml xmlDoc *doc = NULL;
    auto_creds struct creds *known = NULL;
    struct sts_identity id;
    struct creds *c = NULL;
    struct err e = ERR_INIT;

    if (creds_new("AKID", "secret", "token", CREDS_NO_END, "fuzz", &known, &e) < 0)
        return 0;
    as_fault(data, len, known);
    if (xml_parse((const char *)data, len, 1 << 20, "fuzz", &doc, &e) < 0)
        return 0;
    as_lists(xml_root(doc));
    as_role(xml_root(doc));
    if (sts_identity_parse(doc, &id, &e) == 0)
        sts_identity_release(&id);
    /* Last, since it wipes the document. */
    if (creds_from_sts(doc, "fuzz", &c, &e) == 0)
        creds_unref(c);
    return 0;
}
