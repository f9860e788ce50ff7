/* What the S3 calls share. Only the s3_*.c files and tests include it. */
#ifndef HOTADD_AWS_S3_IMPL_H
#define HOTADD_AWS_S3_IMPL_H

#include "aws/call.h"
#include "aws/s3.h"

#include <libxml/xmlwriter.h>

#define S3_MAX_XML (8 * 1024 * 1024)

const char *s3_bucket_name(const struct s3_bucket *b); /* borrowed */

/* Sends `call` about the object `key` (NULL: the bucket) where the bucket is, in the
 * bucket's own region at the second try. Service, path, endpoint and region are filled
 * in. As call_send() otherwise; errors name the object. */
int s3_send(struct s3_bucket *b, const char *key, struct call *call, struct reply *ret,
            bool *ret_maybe_done, struct err *e) err_warn_unused;
/* Where the answer does not matter. */
int s3_do(struct s3_bucket *b, const char *key, struct call *call,
          struct err *e) err_warn_unused;

/* ERR_INPUT unless the answer's root has that name. */
int s3_check_root(const struct reply *r, const char *name, struct err *e) err_warn_unused;
/* Owned value of a header; ERR_INPUT when it is not there. */
int s3_header(const struct reply *r, const char *name, char **ret,
              struct err *e) err_warn_unused;
/* Owned text of a child; "" when it is not there. With `coded`, decoded as
 * encoding-type=url writes it; a NUL in it is ERR_INPUT. */
int s3_text(xmlNode *parent, const char *name, bool coded, char **ret,
            struct err *e) err_warn_unused;
int s3_u64(xmlNode *parent, const char *name, uint64_t *ret,
           struct err *e) err_warn_unused;
bool s3_is_true(xmlNode *parent, const char *name);

/* "&name=value", value encoded; nothing for a NULL value. */
void s3_query(struct buf *query, const char *name, const char *value);

/* A document being written; `root` is open. NULL with e set. s3_xml_end() appends it to
 * out and frees the writer in any case. */
struct s3_xml {
    xmlBuffer *text;
    xmlTextWriter *w;
    bool failed;
};
int s3_xml_begin(struct s3_xml *x, const char *root, struct err *e) err_warn_unused;
void s3_xml_open(struct s3_xml *x, const char *name);
void s3_xml_close(struct s3_xml *x);
void s3_xml_text(struct s3_xml *x, const char *name, const char *value);
int s3_xml_end(struct s3_xml *x, struct buf *out, struct err *e) err_warn_unused;

/* One page of ListObjectsV2: keys and common prefixes in byte order go to `each`, all of
 * them after *last (owned, NULL at first), which becomes the last one given. *token
 * (owned) becomes that of the next page, NULL at the end. */
int s3_list_page(xmlNode *root, s3_each *each, void *ctx, char **last, char **token,
                 struct err *e) err_warn_unused;
int s3_parts_read(xmlNode *root, struct s3_parts *parts, struct err *e) err_warn_unused;
int s3_uploads_read(xmlNode *root, bool coded, struct s3_uploads *uploads,
                    struct err *e) err_warn_unused;
/* -1 with the first <Error> of a DeleteResult. */
int s3_delete_result(xmlNode *root, struct err *e) err_warn_unused;
/* The ETag S3 gives to an object made of parts; false when the parts' are no MD5s. */
int s3_multipart_etag(const struct s3_parts *parts, char out[80], bool *ret_known,
                      struct err *e) err_warn_unused;

#endif
