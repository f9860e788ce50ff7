/* Checksums that S3 keeps of objects: x-amz-checksum-NAME, in base 64. */
#ifndef HOTADD_LAB_S3_SUM_H
#define HOTADD_LAB_S3_SUM_H

#include "base/buf.h"

#include <stddef.h>

enum s3_sum_kind {
    S3_SUM_NONE,
    S3_SUM_CRC32,
    S3_SUM_CRC32C,
    S3_SUM_CRC64NVME,
    S3_SUM_SHA1,
    S3_SUM_SHA256,
};
#define S3_SUM_KINDS (S3_SUM_SHA256 + 1)

/* "crc32", in lower case as header names have it; "" for none. */
const char *s3_sum_name(enum s3_sum_kind kind);
/* Of a name in any case; S3_SUM_NONE for none of ours. */
enum s3_sum_kind s3_sum_kind_of(const char *name);

struct s3_sum; /* one running checksum */

int s3_sum_new(enum s3_sum_kind kind, struct s3_sum **ret, struct err *e) err_warn_unused;
void s3_sum_free(struct s3_sum *s);
void s3_sum_update(struct s3_sum *s, const void *data, size_t len);
/* Appends its base 64. */
void s3_sum_final(struct s3_sum *s, struct buf *out);

#endif
