/* What the EC2 calls share: forms, sending, dry runs, lists; see ec2_impl.h. */
#include "aws/ec2_impl.h"

#include "base/base64.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"
#include "base/xml.h"

#define EC2_VERSION    "2016-11-15"
#define EC2_MAX_ANSWER (32 * 1024 * 1024)
#define MAX_PAGES      2000

/* ---- Forms ---- */

void ec2_form_begin(struct form *f, const char *action, bool dry_run)
{
    form_begin(f, action, EC2_VERSION);
    if (dry_run)
        form_bool(f, true, "DryRun");
}

void ec2_form_strs(struct form *f, struct ec2_strs strs, const char *name)
{
    for (size_t i = 0; i < strs.n; i++)
        form_str(f, strs.v[i], "%s.%zu", name, i + 1);
}

void ec2_form_flag(struct form *f, enum ec2_flag value, const char *name)
{
    if (value != EC2_DEFAULT)
        form_bool(f, value == EC2_YES, "%s", name);
}

size_t ec2_form_tags(struct form *f, size_t n, const char *resource_type,
                     struct ec2_tags_in tags, const char *token)
{
    size_t t = 0;

    if (tags.n == 0 && !token)
        return n;
    n++;
    form_str(f, resource_type, "TagSpecification.%zu.ResourceType", n);
    for (; t < tags.n; t++) {
        form_str(f, tags.v[t].key, "TagSpecification.%zu.Tag.%zu.Key", n, t + 1);
        form_str(f, tags.v[t].value, "TagSpecification.%zu.Tag.%zu.Value", n, t + 1);
    }
    if (token) {
        form_str(f, EC2_TOKEN_TAG, "TagSpecification.%zu.Tag.%zu.Key", n, t + 1);
        form_str(f, token, "TagSpecification.%zu.Tag.%zu.Value", n, t + 1);
    }
    return n;
}

static void form_ebs(struct form *f, const struct ec2_mapping_in *m, size_t i)
{
    form_str(f, m->snapshot_id, "BlockDeviceMapping.%zu.Ebs.SnapshotId", i);
    form_u64(f, m->size_gib, "BlockDeviceMapping.%zu.Ebs.VolumeSize", i);
    form_str(f, m->type, "BlockDeviceMapping.%zu.Ebs.VolumeType", i);
    form_u64(f, m->iops, "BlockDeviceMapping.%zu.Ebs.Iops", i);
    form_u64(f, m->throughput_mibps, "BlockDeviceMapping.%zu.Ebs.Throughput", i);
    form_str(f, m->kms_key_id, "BlockDeviceMapping.%zu.Ebs.KmsKeyId", i);
    if (m->delete_on_termination != EC2_DEFAULT)
        form_bool(f, m->delete_on_termination == EC2_YES,
                  "BlockDeviceMapping.%zu.Ebs.DeleteOnTermination", i);
    if (m->encrypted != EC2_DEFAULT)
        form_bool(f, m->encrypted == EC2_YES, "BlockDeviceMapping.%zu.Ebs.Encrypted", i);
}

void ec2_form_mappings(struct form *f, const struct ec2_mapping_in *v, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        form_str(f, v[i].device, "BlockDeviceMapping.%zu.DeviceName", i + 1);
        if (v[i].no_device)
            form_str(f, "", "BlockDeviceMapping.%zu.NoDevice", i + 1);
        else
            form_ebs(f, &v[i], i + 1);
    }
}

/* ---- Sending ---- */

/* <ActionResponse xmlns="…">: anything else is not the answer to our question. */
static int check_root(const struct form *f, xmlDoc *doc, struct err *e)
{
    xmlNode *root = xml_root(doc);
    size_t len = strlen(f->action);
    const char *name = (const char *)root->name;

    if (strncmp(name, f->action, len) == 0 && str_eq(name + len, "Response"))
        return 0;
    return err_set(e, ERR_INPUT, "%s: answered with <%.60s>: is the endpoint EC2's?",
                   f->action, name);
}

int ec2_send(struct aws *aws, const struct form *f, enum ec2_repeat repeat,
             struct reply *ret, bool *ret_maybe_done, struct err *e)
{
    auto_reply struct reply reply = REPLY_INIT;
    struct call call = {
        .service = AWS_EC2,
        .action = f->action,
        .method = "POST",
        .path = "/",
        .query = "",
        .content_type = "application/x-www-form-urlencoded; charset=utf-8",
        .body = f->body.data,
        .body_len = f->body.len,
        .max_answer = EC2_MAX_ANSWER,
        .xml = true,
        .once = repeat == EC2_ONCE,
    };

    if (ret_maybe_done)
        *ret_maybe_done = false;
    if (buf_check(&f->body, e) < 0)
        return -1;
    if (call_send(aws, &call, &reply, ret_maybe_done, e) < 0) {
        if (!str_eq(e->aws_code, "DryRunOperation"))
            return -1;
        err_clear(e);
        return 1;
    }
    if (check_root(f, reply.doc, e) < 0)
        return -1;
    *ret = reply;
    reply = (struct reply)REPLY_INIT;
    return 0;
}

int ec2_do(struct aws *aws, const struct form *f, bool *ret_maybe_done, struct err *e)
{
    auto_reply struct reply reply = REPLY_INIT;

    return ec2_send(aws, f, EC2_REPEAT, &reply, ret_maybe_done, e) < 0 ? -1 : 0;
}

int ec2_make(struct aws *aws, const struct form *f, enum ec2_repeat repeat,
             const char *set, const struct shape *shape, void *ret, bool *ret_maybe_done,
             struct err *e)
{
    auto_reply struct reply reply = REPLY_INIT;
    int r = ec2_send(aws, f, repeat, &reply, ret_maybe_done, e);
    xmlNode *node;

    if (r < 0)
        return -1;
    if (r == 1) {
        memset(ret, 0, shape->size);
        return 0;
    }
    node = xml_root(reply.doc);
    if (set)
        node = xml_child(xml_child(node, set), "item");
    if (!node)
        return err_set(e, ERR_INPUT, "%s: the answer holds no <%s>", f->action, set);
    if (shape_read(shape, node, ret, e) < 0)
        return err_prefix(e, "%s: answer", f->action);
    return 0;
}

int ec2_settle_pause(struct aws *aws, struct ec2_settle *s, struct err *e)
{
    const struct client *client = aws->client;
    uint64_t now_ns = clock_mono_ns();

    if (!s->deadline_ns) {
        s->deadline_ns = now_ns + client->settle_ns;
        s->pause_ns = client->settle_ns / 20;
    }
    if (now_ns >= s->deadline_ns)
        return 0;
    if (cancel_sleep_ns(client->cancel, s->pause_ns, e) < 0)
        return -1;
    s->pause_ns = s->pause_ns * 3 / 2;
    return 1;
}

int ec2_delete(struct aws *aws, const struct form *f, struct err *e)
{
    struct ec2_settle settle = {0};

    for (;;) {
        bool maybe_done;
        int more;

        if (ec2_do(aws, f, &maybe_done, e) == 0)
            return 0;
        if (e->kind != ERR_NOT_FOUND)
            return -1;
        if (maybe_done)
            return 0;
        more = ec2_settle_pause(aws, &settle, e);
        if (more <= 0)
            return more;
    }
}

enum ec2_verdict ec2_allowed(int outcome, const struct err *e)
{
    if (outcome >= 0)
        return EC2_ALLOWED;
    return e->kind == ERR_DENIED ? EC2_DENIED : EC2_UNKNOWN;
}

/* ---- Lists ---- */

static void form_query(struct form *f, const struct ec2_listing *l,
                       const struct ec2_query *q)
{
    ec2_form_begin(f, l->action, false);
    if (!q)
        return;
    ec2_form_strs(f, q->ids, l->ids_name);
    ec2_form_strs(f, q->owners, "Owner");
    for (size_t i = 0; i < q->n_filters; i++) {
        form_str(f, q->filters[i].name, "Filter.%zu.Name", i + 1);
        for (size_t k = 0; k < q->filters[i].values.n; k++)
            form_str(f, q->filters[i].values.v[k], "Filter.%zu.Value.%zu", i + 1, k + 1);
    }
}

static int read_page(const struct ec2_listing *l, xmlNode *root, void *vec, struct err *e)
{
    xmlNode *set = xml_child(root, l->set);

    if (!l->inner_set)
        return shape_read_list(l->shape, set, EC2_MAX_ITEMS, vec, e);
    for (XML_EACH (item, xml_child(set, "item")))
        if (shape_read_list(l->shape, xml_child(item, l->inner_set), EC2_MAX_ITEMS, vec,
                            e) < 0)
            return -1;
    return 0;
}

/* Asks for the page after *token (NULL: the first), appends to vec, replaces *token by
 * that of the next page, NULL at the end. */
static int one_page(struct aws *aws, const struct ec2_listing *l,
                    const struct ec2_query *q, char **token, void *vec, struct err *e)
{
    auto_form struct form f = FORM_INIT;
    auto_reply struct reply reply = REPLY_INIT;
    auto_free char *next = NULL;

    form_query(&f, l, q);
    /* With ids EC2 refuses MaxResults and answers all at once. */
    if (!q || q->ids.n == 0)
        form_u64(&f, l->page, "MaxResults");
    form_str(&f, *token, "NextToken");
    if (ec2_send(aws, &f, EC2_REPEAT, &reply, NULL, e) < 0)
        return -1;
    if (read_page(l, xml_root(reply.doc), vec, e) < 0)
        return err_prefix(e, "%s: answer", l->action);
    if (xml_child_text(xml_root(reply.doc), "nextToken", &next, e) < 0)
        return -1;
    if (next && *token && str_eq(next, *token))
        return err_set(e, ERR_INPUT, "%s: the same page twice", l->action);
    free(*token);
    *token = next && next[0] ? take_ptr(next) : NULL;
    return 0;
}

int ec2_list(struct aws *aws, const struct ec2_listing *l, const struct ec2_query *query,
             void *ret_vec, struct err *e)
{
    struct VEC(char) found = {0}; /* any VEC has this layout */
    auto_free char *token = NULL;
    int pages = 0;

    do {
        if (one_page(aws, l, query, &token, &found, e) < 0) {
            shape_release_list(l->shape, &found);
            return -1;
        }
    } while (token && ++pages < MAX_PAGES);
    if (token) {
        shape_release_list(l->shape, &found);
        return err_set(e, ERR_INPUT, "%s: more than %d pages", l->action, MAX_PAGES);
    }
    memcpy(ret_vec, &found, sizeof found);
    return 0;
}

int ec2_one(struct aws *aws, const struct ec2_listing *l, const char *id, void *ret,
            struct err *e)
{
    struct ec2_query q = {.ids = EC2_STRS(id)};
    struct VEC(char) found;

    if (ec2_list(aws, l, &q, &found, e) < 0)
        return -1;
    if (found.n != 1) {
        size_t n = found.n;

        shape_release_list(l->shape, &found);
        return err_set(e, n ? ERR_INPUT : ERR_NOT_FOUND, "%s: %s: %zu found", l->action,
                       id, n);
    }
    memcpy(ret, found.v, l->shape->size); /* what it owns goes along */
    free(found.v);
    return 0;
}

/* ---- Small things ---- */

const char *ec2_tag_value(const struct ec2_tags *tags, const char *key)
{
    vec_foreach (t, tags)
        if (str_eq(t->key, key))
            return t->value;
    return NULL;
}

bool ec2_names_have(const struct ec2_names *names, const char *name)
{
    vec_foreach (n, names)
        if (str_eq(*n, name))
            return true;
    return false;
}
