/* Making and unmaking snapshots and images. EC2 has no client token for either, so:
 *
 * - a snapshot carries our token as a tag from its first moment. Before each try we look
 *   for that tag; a try whose answer was lost is never repeated before EC2 has had settle
 *   time to show what it made.
 * - an image has a name that EC2 keeps unique, so a repetition is refused, and we look
 *   whether the image of that name is the one we asked for.
 *
 * A crash at any point leaves at most one of each, found again by the same call. */
#include "aws/ec2_impl.h"

#include "base/log.h"
#include "base/str.h"
#include "base/xml.h"

#include <assert.h>

#define ROUNDS 3

/* ---- Snapshots ---- */

/* 1 found (*ret filled), 0 not, -1 error. */
static int snapshot_by_token(struct aws *aws, const char *token, struct ec2_snapshot *ret,
                             struct err *e)
{
    const struct ec2_filter by_token = {"tag:" EC2_TOKEN_TAG, EC2_STRS(token)};
    struct ec2_query q = {
        .filters = &by_token, .n_filters = 1, .owners = EC2_STRS("self")};
    struct ec2_snapshots found;

    if (ec2_describe_snapshots(aws, &q, &found, e) < 0)
        return -1;
    if (found.n == 0) {
        ec2_snapshots_release(&found);
        return 0;
    }
    *ret = found.v[0]; /* what it owns goes along */
    memset(&found.v[0], 0, sizeof found.v[0]);
    ec2_snapshots_release(&found);
    return 1;
}

/* The same, giving EC2 time to show it. */
static int snapshot_shows_up(struct aws *aws, const char *token, struct ec2_snapshot *ret,
                             struct err *e)
{
    struct ec2_settle settle = {0};
    int r;

    while ((r = snapshot_by_token(aws, token, ret, e)) == 0) {
        int more = ec2_settle_pause(aws, &settle, e);

        if (more <= 0)
            return more;
    }
    return r;
}

static void snapshot_form(struct form *f, const struct ec2_create_snapshot_in *in)
{
    ec2_form_begin(f, "CreateSnapshot", in->dry_run);
    form_str(f, in->volume_id, "VolumeId");
    form_str(f, in->description, "Description");
    ec2_form_tags(f, 0, "snapshot", in->tags, in->client_token);
}

int ec2_create_snapshot(struct aws *aws, const struct ec2_create_snapshot_in *in,
                        struct ec2_snapshot *ret, struct err *e)
{
    auto_form struct form f = FORM_INIT;
    bool maybe_done;
    int r;

    assert(in->volume_id && in->client_token);
    snapshot_form(&f, in);
    if (in->dry_run)
        return ec2_make(aws, &f, EC2_ONCE, NULL, &ec2_snapshot_shape, ret, NULL, e);
    r = snapshot_by_token(aws, in->client_token, ret, e);
    for (int round = 1; r == 0; round++) {
        struct err look;

        if (ec2_make(aws, &f, EC2_ONCE, NULL, &ec2_snapshot_shape, ret, &maybe_done, e) ==
            0)
            return 0;
        if (!maybe_done)
            return -1;
        log_debug("CreateSnapshot: the answer was lost; looking for the snapshot");
        r = snapshot_shows_up(aws, in->client_token, ret, &look);
        if (r < 0 || (r == 0 && round == ROUNDS))
            return -1; /* e tells why the call itself failed */
    }
    return r < 0 ? -1 : 0;
}

/* ---- All snapshots of an instance ---- */

static int snapshots_by_token(struct aws *aws, const char *token,
                              struct ec2_snapshots *ret, struct err *e)
{
    const struct ec2_filter by_token = {"tag:" EC2_TOKEN_TAG, EC2_STRS(token)};
    struct ec2_query q = {
        .filters = &by_token, .n_filters = 1, .owners = EC2_STRS("self")};

    return ec2_describe_snapshots(aws, &q, ret, e);
}

/* The call makes all of them or none, but they may become visible one by one: the list
 * counts once it has stopped growing. 1 found, 0 none, -1. */
static int snapshots_show_up(struct aws *aws, const char *token, size_t at_least,
                             struct ec2_snapshots *ret, struct err *e)
{
    struct ec2_settle settle = {0};
    size_t seen = 0;

    for (;;) {
        struct ec2_snapshots found;
        int more;

        if (snapshots_by_token(aws, token, &found, e) < 0)
            return -1;
        if (found.n && found.n >= at_least && found.n == seen) {
            *ret = found;
            return 1;
        }
        seen = found.n;
        ec2_snapshots_release(&found);
        more = ec2_settle_pause(aws, &settle, e);
        if (more <= 0)
            return more;
    }
}

/* 1: a call with this token was made before, and its snapshots are in *ret. */
static int made_before(struct aws *aws, const char *token, struct ec2_snapshots *ret,
                       struct err *e)
{
    struct ec2_snapshots found = {0};
    bool any;

    if (snapshots_by_token(aws, token, &found, e) < 0)
        return -1;
    any = found.n > 0;
    ec2_snapshots_release(&found);
    return any ? snapshots_show_up(aws, token, 1, ret, e) : 0;
}

static size_t count_made(xmlDoc *doc)
{
    size_t n = 0;

    for (XML_EACH (item, xml_child(xml_child(xml_root(doc), "snapshotSet"), "item")))
        n++;
    return n;
}

/* The call itself; *ret_made is how many its answer names, 0 when the answer was lost. */
static int make_snapshots(struct aws *aws, const struct ec2_create_snapshots_in *in,
                          size_t *ret_made, bool *ret_maybe_done, struct err *e)
{
    auto_form struct form f = FORM_INIT;
    auto_reply struct reply reply = REPLY_INIT;
    int r;

    ec2_form_begin(&f, "CreateSnapshots", in->dry_run);
    form_str(&f, in->instance_id, "InstanceSpecification.InstanceId");
    form_str(&f, in->description, "Description");
    ec2_form_tags(&f, 0, "snapshot", in->tags, in->client_token);
    r = ec2_send(aws, &f, EC2_ONCE, &reply, ret_maybe_done, e);
    *ret_made = r == 0 ? count_made(reply.doc) : 0;
    return r < 0 ? -1 : 0;
}

int ec2_create_snapshots(struct aws *aws, const struct ec2_create_snapshots_in *in,
                         struct ec2_snapshots *ret, struct err *e)
{
    struct err look = ERR_INIT;
    bool maybe_done = false;
    size_t made = 0;
    int r = 0;

    assert(in->instance_id && in->client_token);
    if (!in->dry_run)
        r = made_before(aws, in->client_token, ret, e);
    if (r != 0)
        return r < 0 ? -1 : 0;
    r = make_snapshots(aws, in, &made, &maybe_done, e);
    if (in->dry_run) {
        if (r == 0)
            *ret = (struct ec2_snapshots){0};
        return r;
    }
    if (r < 0 && !maybe_done)
        return -1;
    if (r < 0)
        log_debug("CreateSnapshots: the answer was lost; looking for the snapshots");
    switch (snapshots_show_up(aws, in->client_token, made, ret, &look)) {
    case 1:
        return 0;
    case 0:
        if (r == 0)
            err_set(e, ERR_CLOUD, "CreateSnapshots made %zu that EC2 does not show",
                    made);
        return -1;
    default:
        *e = look;
        return -1;
    }
}

int ec2_delete_snapshot(struct aws *aws, const char *snapshot_id, bool dry_run,
                        struct err *e)
{
    auto_form struct form f = FORM_INIT;

    ec2_form_begin(&f, "DeleteSnapshot", dry_run);
    form_str(&f, snapshot_id, "SnapshotId");
    return ec2_delete(aws, &f, e);
}

/* ---- Images ---- */

static void image_form(struct form *f, const struct ec2_register_image_in *in, bool tags)
{
    ec2_form_begin(f, "RegisterImage", in->dry_run);
    form_str(f, in->name, "Name");
    form_str(f, in->description, "Description");
    form_str(f, in->architecture, "Architecture");
    form_str(f, in->virtualization_type, "VirtualizationType");
    form_str(f, in->root_device_name, "RootDeviceName");
    form_str(f, in->boot_mode, "BootMode");
    form_bool(f, in->ena_support == EC2_YES, "EnaSupport");
    form_str(f, in->imds_support, "ImdsSupport");
    form_str(f, in->tpm_support, "TpmSupport");
    ec2_form_mappings(f, in->mappings, in->n_mappings);
    if (tags)
        ec2_form_tags(f, 0, "image", in->tags, in->client_token);
}

struct image_id {
    char *id;
};

SHAPE(image_id_shape, struct image_id,
      {"imageId", FIELD_STR, offsetof(struct image_id, id), NULL});

/* Ours carries the token; one whose tags are not there yet is known by its snapshot. */
static bool is_ours(const struct ec2_image *i, const struct ec2_register_image_in *in)
{
    const char *token = ec2_tag_value(&i->tags, EC2_TOKEN_TAG);

    if (token)
        return str_eq(token, in->client_token);
    vec_foreach (m, &i->mappings)
        for (size_t k = 0; k < in->n_mappings; k++)
            if (in->mappings[k].snapshot_id &&
                str_eq(m->snapshot_id, in->mappings[k].snapshot_id))
                return true;
    return false;
}

/* 1 ours (*ret set), 0 none of that name, -1 somebody else's or an error. */
static int image_by_name(struct aws *aws, const struct ec2_register_image_in *in,
                         char **ret, struct err *e)
{
    const struct ec2_filter by_name = {"name", EC2_STRS(in->name)};
    struct ec2_query q = {
        .filters = &by_name, .n_filters = 1, .owners = EC2_STRS("self")};
    struct ec2_images found;
    int r = 0;

    if (ec2_describe_images(aws, &q, &found, e) < 0)
        return -1;
    if (found.n && is_ours(&found.v[0], in)) {
        *ret = take_ptr(found.v[0].id);
        r = 1;
    } else if (found.n) {
        r = err_set(e, ERR_EXISTS, "RegisterImage: an image named '%s' exists: %s",
                    in->name, found.v[0].id);
    }
    ec2_images_release(&found);
    return r;
}

static int image_shows_up(struct aws *aws, const struct ec2_register_image_in *in,
                          char **ret, struct err *e)
{
    struct ec2_settle settle = {0};
    int r;

    while ((r = image_by_name(aws, in, ret, e)) == 0) {
        int more = ec2_settle_pause(aws, &settle, e);

        if (more <= 0)
            return more;
    }
    return r;
}

/* For endpoints that refuse TagSpecification here: tags by a call of their own. */
static int tag_image(struct aws *aws, const struct ec2_register_image_in *in,
                     const char *id, struct err *e)
{
    const struct ec2_tag_in token = {EC2_TOKEN_TAG, in->client_token};
    struct ec2_settle settle = {0};

    for (;;) {
        int more;

        if (ec2_create_tags(aws, EC2_STRS(id), (struct ec2_tags_in){&token, 1}, false,
                            e) == 0)
            return in->tags.n ? ec2_create_tags(aws, EC2_STRS(id), in->tags, false, e)
                              : 0;
        if (e->kind != ERR_NOT_FOUND)
            return -1;
        more = ec2_settle_pause(aws, &settle, e);
        if (more < 0)
            return -1;
        if (more == 0)
            return err_set(e, ERR_NOT_FOUND,
                           "CreateTags: %s was made, but EC2 does not "
                           "show it",
                           id);
    }
}

/* One try, with or without tags in it. 1 made, 0 look for it, -1 error. */
static int register_once(struct aws *aws, const struct ec2_register_image_in *in,
                         bool tags, char **ret, struct err *e)
{
    auto_form struct form f = FORM_INIT;
    struct image_id made;
    bool maybe_done;

    image_form(&f, in, tags);
    if (ec2_make(aws, &f, EC2_ONCE, NULL, &image_id_shape, &made, &maybe_done, e) < 0)
        return maybe_done || e->kind == ERR_EXISTS ? 0 : -1;
    *ret = made.id;
    return 1;
}

int ec2_register_image(struct aws *aws, const struct ec2_register_image_in *in,
                       char **ret_image_id, struct err *e)
{
    char *id = NULL;
    bool tags = true;
    int r = 0;

    assert(in->name && in->architecture && in->virtualization_type &&
           in->root_device_name && in->boot_mode && in->ena_support != EC2_DEFAULT &&
           in->client_token);
    for (int round = 1; r == 0; round++) {
        struct err look;

        r = register_once(aws, in, tags, &id, e);
        if (r < 0 && tags && str_eq(e->aws_code, "UnknownParameter")) {
            tags = false;
            r = register_once(aws, in, tags, &id, e);
        }
        if (r != 0)
            break;
        r = image_shows_up(aws, in, &id, &look);
        if (r < 0 && look.kind == ERR_EXISTS)
            *e = look;
        if (r < 0 || (r == 0 && round == ROUNDS))
            return -1;
    }
    if (r < 0)
        return -1;
    if (!tags && !in->dry_run && tag_image(aws, in, id, e) < 0) {
        free(id);
        return -1;
    }
    *ret_image_id = id;
    return 0;
}

int ec2_deregister_image(struct aws *aws, const char *image_id, bool dry_run,
                         struct err *e)
{
    auto_form struct form f = FORM_INIT;

    ec2_form_begin(&f, "DeregisterImage", dry_run);
    form_str(&f, image_id, "ImageId");
    return ec2_delete(aws, &f, e);
}
