/* Requests to the lab's S3: the first line is host, path and query, the second a Range,
 * the third x-amz-copy-source, the rest a body that is read as each of the documents. */
#include "lab/s3.h"
#include "lab/s3_request.h"

#include "lines.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void as_target(const char *uri)
{
    size_t host_len = strcspn(uri, "/"), path_len = strcspn(uri + host_len, "?");
    const char *query = uri + host_len + path_len;
    struct http_request rq = {0};
    struct s3_target t;
    struct err e;
    auto_free char *host = str_ndup(uri, host_len, &e);
    uint64_t n = 0;

    rq.method = str_dup("GET", &e);
    rq.path = str_ndup(uri + host_len, path_len, &e);
    rq.raw_query = str_dup(*query ? query + 1 : "", &e);
    if (host && rq.method && rq.path && rq.raw_query &&
        http_header_add(&rq.headers, "host", host, &e) == 0) {
        s3_claims(&rq);
        if (s3_target_parse(&rq, &t, &e) == 0) {
            if (s3_param_number(&t, "max-keys", 1000, &n, &e) < 0 ||
                (t.bucket && s3_name_check(t.bucket, &e) < 0))
                n = 0;
            s3_target_release(&t);
        }
    }
    http_request_release(&rq);
}

static void as_headers(const char *range, const char *source)
{
    uint64_t offset = 0, len = 0;
    char *bucket, *key;
    struct err e;

    /* A range that is given lies within the object. */
    if (s3_range_parse(range, 1000, &offset, &len, &e) == 1 &&
        (len == 0 || offset + len > 1000))
        abort();
    if (s3_copy_source(source, &bucket, &key, &e) == 0) {
        free(bucket);
        free(key);
    }
}

static void as_documents(const char *data, size_t len)
{
    auto_buf struct buf body = BUF_INIT, coded = BUF_INIT;
    json_t *list;
    char *region;
    struct err e;
    bool quiet;

    buf_add(&body, data, len);
    if (s3_complete_parse(&body, &list, &e) == 0)
        json_decref(list);
    if (s3_delete_parse(&body, &list, &quiet, &e) == 0)
        json_decref(list);
    if (s3_location_parse(&body, &region, &e) == 0)
        free(region);
    s3_url_encode(buf_str(&body), &coded);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    const char *p = (const char *)data, *end = p + len;
    struct err e;
    auto_free char *uri = fuzz_line(&p, end, &e);
    auto_free char *range = fuzz_line(&p, end, &e);
    auto_free char *source = fuzz_line(&p, end, &e);

    if (!uri || !range || !source)
        return 0;
    as_target(uri);
    as_headers(range, source);
    as_documents(p, (size_t)(end - p));
    return 0;
}
