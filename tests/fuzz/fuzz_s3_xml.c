/* Answers of S3: every document is read as each of the answers that the client knows,
 * and as an error. */
#include "aws/fault.h"
#include "aws/s3_impl.h"
#include "base/str.h"
#include "base/xml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static int note(void *ctx, const char *key, uint64_t bytes, bool is_prefix, struct err *e)
{
    *(uint64_t *)ctx += bytes + strlen(key) + is_prefix;
    return 0;
}

static void as_list(xmlNode *root)
{
    auto_free char *last = NULL, *token = NULL;
    uint64_t sum = 0;
    struct err e;

    /* Twice, so that the second page meets what the first left. */
    for (int i = 0; i < 2; i++)
        if (s3_list_page(root, note, &sum, &last, &token, &e) < 0)
            break;
}

static void as_parts(xmlNode *root)
{
    struct s3_parts parts = {0};
    struct s3_uploads uploads = {0};
    char etag[80];
    bool known;
    struct err e;

    if (s3_parts_read(root, &parts, &e) == 0 &&
        s3_multipart_etag(&parts, etag, &known, &e) < 0)
        abort();
    if (s3_uploads_read(root, true, &uploads, &e) < 0)
        e.kind = ERR_NONE;
    s3_parts_release(&parts);
    s3_uploads_release(&uploads);
}

static void as_fault(const uint8_t *data, size_t len)
{
    struct http_answer a = {.status = 400};
    struct fault f;
    struct err e;

    buf_adds(&a.headers, "HTTP/1.1 400 Bad Request\nx-amz-bucket-region: eu-west-1\n");
    buf_add(&a.body, data, len);
    fault_read(&a, AWS_S3, NULL, &f);
    fault_err(&f, AWS_S3, "GetObject", &e);
    http_answer_release(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    auto_xml xmlDoc *doc = NULL;
    struct err e = ERR_INIT;

    as_fault(data, len);
    if (xml_parse((const char *)data, len, 1 << 20, "fuzz", &doc, &e) < 0)
        return 0;
    as_list(xml_root(doc));
    as_parts(xml_root(doc));
    if (s3_delete_result(xml_root(doc), &e) < 0)
        e.kind = ERR_NONE;
    return 0;
}
