/* Buckets. */
#include "lab/s3_impl.h"

#include "base/str.h"

static int list_buckets(struct s3_call *c, struct err *e)
{
    json_t *list, *wrapped;

    if (s3_answer(c, "ListAllMyBucketsResult", e) < 0 ||
        json_put(c->out, "Owner", s3_owner(), e) < 0 ||
        s3_bucket_list(c->lab->s3, &list, e) < 0)
        return -1;
    wrapped = json_pack("{s:o}", "Bucket[]", list);
    return json_put(c->out, "Buckets", wrapped, e);
}

static int create_bucket(struct s3_call *c, struct err *e)
{
    auto_free char *region = NULL, *location = NULL;

    if (s3_name_check(c->target.bucket, e) < 0 ||
        s3_location_parse(&c->rq->body, &region, e) < 0)
        return -1;
    if (!region[0] && str_set(&region, LAB_REGION, e) < 0)
        return -1;
    location = str_fmt(e, "/%s", c->target.bucket);
    if (!location)
        return -1;
    if (s3_bucket_add(c->lab->s3, c->target.bucket, region, lab_now_ms(), e) < 0 &&
        /* The oldest region takes a repetition for success; the others do not. */
        !(str_eq(e->aws_code, "BucketAlreadyOwnedByYou") && str_eq(region, LAB_REGION) &&
          str_eq(c->region, LAB_REGION)))
        return -1;
    return s3_header_add(c, "location", location, e);
}

static int delete_bucket(struct s3_call *c, struct err *e)
{
    c->status = 204;
    return s3_bucket_remove(c->lab->s3, c->target.bucket, e);
}

static int head_bucket(struct s3_call *c, struct err *e)
{
    if (s3_need_bucket(c, e) < 0)
        return -1;
    return s3_header_add(c, "x-amz-bucket-region", c->region, e);
}

static int get_bucket_location(struct s3_call *c, struct err *e)
{
    if (s3_need_bucket(c, e) < 0 || s3_answer(c, "LocationConstraint", e) < 0)
        return -1;
    /* The oldest region has no name here; the others are the element's text. */
    return str_eq(c->region, LAB_REGION) ? 0 : s3_put_str(c, "", c->region, e);
}

const struct s3_action s3_bucket_actions[] = {
    {"ListBuckets", "GET", S3_SERVICE, NULL, NULL, list_buckets},
    {"CreateBucket", "PUT", S3_BUCKET, NULL, NULL, create_bucket},
    {"DeleteBucket", "DELETE", S3_BUCKET, NULL, NULL, delete_bucket},
    {"HeadBucket", "HEAD", S3_BUCKET, NULL, NULL, head_bucket},
    {"GetBucketLocation", "GET", S3_BUCKET, "location", NULL, get_bucket_location},
    {NULL, NULL, 0, NULL, NULL, NULL},
};
