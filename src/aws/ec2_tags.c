/* Tags; see ec2.h. All idempotent: nothing to resolve after a lost reply. */
#include "aws/ec2_impl.h"

#include "base/str.h"

SHAPE(tagged_shape, struct ec2_tagged,
      {"resourceId", FIELD_STR, offsetof(struct ec2_tagged, resource_id), NULL},
      {"resourceType", FIELD_STR, offsetof(struct ec2_tagged, resource_type), NULL},
      {"key", FIELD_STR, offsetof(struct ec2_tagged, key), NULL},
      {"value", FIELD_STR, offsetof(struct ec2_tagged, value), NULL});

static const struct ec2_listing tag_listing = {
    .action = "DescribeTags",
    .set = "tagSet",
    .page = 1000,
    .shape = &tagged_shape,
};

#define MAX_FILTERS 200

/* DescribeTags knows ids only as a filter. */
int ec2_describe_tags(struct aws *aws, const struct ec2_query *query,
                      struct ec2_taggeds *ret, struct err *e)
{
    struct ec2_filter filters[MAX_FILTERS];
    struct ec2_query q = {.filters = filters};

    if (query && query->n_filters >= MAX_FILTERS)
        return err_set(e, ERR_USAGE, "DescribeTags: more than %d filters", MAX_FILTERS);
    for (size_t i = 0; query && i < query->n_filters; i++)
        filters[q.n_filters++] = query->filters[i];
    if (query && query->ids.n)
        filters[q.n_filters++] =
            (struct ec2_filter){.name = "resource-id", .values = query->ids};
    return ec2_list(aws, &tag_listing, &q, ret, e);
}

void ec2_taggeds_release(struct ec2_taggeds *t)
{
    shape_release_list(&tagged_shape, t);
}

static int change(struct aws *aws, const char *action, struct ec2_strs ids,
                  struct ec2_tags_in tags, bool dry_run, struct err *e)
{
    auto_form struct form f = FORM_INIT;

    ec2_form_begin(&f, action, dry_run);
    ec2_form_strs(&f, ids, "ResourceId");
    for (size_t i = 0; i < tags.n; i++) {
        form_str(&f, tags.v[i].key, "Tag.%zu.Key", i + 1);
        form_str(&f, tags.v[i].value, "Tag.%zu.Value", i + 1);
    }
    return ec2_do(aws, &f, NULL, e);
}

int ec2_create_tags(struct aws *aws, struct ec2_strs resource_ids,
                    struct ec2_tags_in tags, bool dry_run, struct err *e)
{
    return change(aws, "CreateTags", resource_ids, tags, dry_run, e);
}

int ec2_delete_tags(struct aws *aws, struct ec2_strs resource_ids,
                    struct ec2_tags_in tags, bool dry_run, struct err *e)
{
    return change(aws, "DeleteTags", resource_ids, tags, dry_run, e);
}
