/* Ids and look-ups; see res.h. */
#include "lab/res.h"

#include "lab/refuse.h"

#include "base/rand.h"
#include "base/str.h"

#include <assert.h>

static const struct res_type types[RES_N] = {
    [RES_VOLUME] = {"volume", "vol", "volumeId", "InvalidVolume.NotFound",
                    "InvalidVolumeID.Malformed", "The volume '%s' does not exist."},
    [RES_SNAPSHOT] = {"snapshot", "snap", "snapshotId", "InvalidSnapshot.NotFound",
                      "InvalidSnapshotID.Malformed", "The snapshot '%s' does not exist."},
    [RES_IMAGE] = {"image", "ami", "imageId", "InvalidAMIID.NotFound",
                   "InvalidAMIID.Malformed", "The image id '[%s]' does not exist"},
    [RES_INSTANCE] = {"instance", "i", "instanceId", "InvalidInstanceID.NotFound",
                      "InvalidInstanceID.Malformed",
                      "The instance ID '%s' does not exist"},
    [RES_SUBNET] = {"subnet", "subnet", "subnetId", "InvalidSubnetID.NotFound",
                    "InvalidSubnetID.Malformed", "The subnet ID '%s' does not exist"},
    [RES_VPC] = {"vpc", "vpc", "vpcId", "InvalidVpcID.NotFound", "InvalidVpcId.Malformed",
                 "The vpc ID '%s' does not exist"},
    [RES_GROUP] = {"security-group", "sg", "groupId", "InvalidGroup.NotFound",
                   "InvalidGroupId.Malformed", "The security group '%s' does not exist"},
    [RES_INTERFACE] = {"network-interface", "eni", "networkInterfaceId",
                       "InvalidNetworkInterfaceID.NotFound",
                       "InvalidNetworkInterfaceId.Malformed",
                       "The networkInterface ID '%s' does not exist"},
    [RES_KEY] = {"key-pair", "key", "keyPairId", "InvalidKeyPair.NotFound",
                 "InvalidKeyPair.NotFound", "The key pair '%s' does not exist"},
    /* One code for what is unknown and what is no id, as the service has it. */
    [RES_IMPORT_IMAGE] = {"import-image-task", "import-ami", "importTaskId",
                          "InvalidConversionTaskId.Malformed",
                          "InvalidConversionTaskId.Malformed",
                          "The import task ID '%s' is not found"},
    [RES_IMPORT_SNAPSHOT] = {"import-snapshot-task", "import-snap", "importTaskId",
                             "InvalidConversionTaskId.Malformed",
                             "InvalidConversionTaskId.Malformed",
                             "The import task ID '%s' is not found"},
};

const struct res_type *res_type(enum res r)
{
    assert(r < RES_N);
    return &types[r];
}

const struct res_type *res_type_of_id(const char *id)
{
    for (size_t i = 0; i < RES_N; i++) {
        size_t n = strlen(types[i].prefix);

        if (str_starts(id, types[i].prefix) && id[n] == '-')
            return &types[i];
    }
    return NULL;
}

char *res_new_id(enum res r, char out[RES_ID_LEN])
{
    char hex[17];

    snprintf(out, RES_ID_LEN, "%s-0%s", types[r].prefix, rand_hex(hex, 16));
    return out;
}

bool res_id_ok(enum res r, const char *id)
{
    size_t n = strlen(types[r].prefix), digits;

    if (!str_starts(id, types[r].prefix) || id[n] != '-')
        return false;
    id += n + 1;
    digits = strspn(id, "0123456789abcdef");
    return !id[digits] && (digits == 8 || digits == 17);
}

static int check_id(enum res r, const char *id, struct err *e)
{
    const struct res_type *t = res_type(r);
    size_t n = strlen(t->prefix);

    if (res_id_ok(r, id))
        return 0;
    if ((r == RES_VOLUME || r == RES_SNAPSHOT) &&
        (!str_starts(id, t->prefix) || id[n] != '-'))
        return refuse(e, "InvalidParameterValue",
                      "Value (%.100s) for parameter %s is invalid. Expected: '%s-...'.",
                      id, t->id_member, t->prefix);
    return refuse(e, t->malformed, "Invalid id: \"%.100s\"", id);
}

bool res_hidden(struct lab *lab, const json_t *doc)
{
    json_int_t made = json_integer_value(json_object_get(doc, "_made"));
    const json_t *fault = store_get(lab->store, "meta", "eventual_ms");
    json_int_t ms = json_integer_value(json_object_get(fault, "value"));

    return ms > 0 && made && lab_now_ms() < made + ms;
}

static int not_found(const struct res_type *t, const char *id, struct err *e)
{
    const char *at = strstr(t->text, "%s");

    assert(at);
    return refuse(e, t->not_found, "%.*s%.100s%s", (int)(at - t->text), t->text, id,
                  at + 2);
}

int res_find(struct lab *lab, enum res r, const char *id, const json_t **ret,
             struct err *e)
{
    const struct res_type *t = res_type(r);
    const json_t *doc;

    if (check_id(r, id, e) < 0)
        return -1;
    doc = store_get(lab->store, t->kind, id);
    if (!doc || res_hidden(lab, doc))
        return not_found(t, id, e);
    *ret = doc;
    return 0;
}

int res_edit(struct lab *lab, enum res r, const char *id, json_t **ret, struct err *e)
{
    const json_t *doc;

    if (res_find(lab, r, id, &doc, e) < 0)
        return -1;
    return store_edit(lab->store, res_type(r)->kind, id, ret, e);
}
