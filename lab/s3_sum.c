/* Checksums; see s3_sum.h. The CRCs are the reflected ones of Rocksoft's model, all with
 * ones before and after: CRC-32 (ISO-HDLC), CRC-32C (Castagnoli) and CRC-64/NVME. */
#include "lab/s3_sum.h"

#include "base/base64.h"
#include "base/digest.h"
#include "base/str.h"

#include <pthread.h>

struct s3_sum {
    enum s3_sum_kind kind;
    uint64_t crc;
    struct digest *digest; /* of the SHAs */
};

static const char *const names[S3_SUM_KINDS] = {"",          "crc32", "crc32c",
                                                "crc64nvme", "sha1",  "sha256"};

static uint64_t tables[S3_SUM_CRC64NVME + 1][256];
static pthread_once_t tables_once = PTHREAD_ONCE_INIT;

static void fill_tables(void)
{
    static const uint64_t reflected[] = {[S3_SUM_CRC32] = 0xedb88320,
                                         [S3_SUM_CRC32C] = 0x82f63b78,
                                         [S3_SUM_CRC64NVME] = 0x9a6c9329ac4bc9b5};

    for (int k = S3_SUM_CRC32; k <= S3_SUM_CRC64NVME; k++)
        for (unsigned i = 0; i < 256; i++) {
            uint64_t c = i;

            for (int bit = 0; bit < 8; bit++)
                c = c & 1 ? c >> 1 ^ reflected[k] : c >> 1;
            tables[k][i] = c;
        }
}

const char *s3_sum_name(enum s3_sum_kind kind)
{
    return names[kind];
}

enum s3_sum_kind s3_sum_kind_of(const char *name)
{
    for (int k = S3_SUM_CRC32; k < S3_SUM_KINDS; k++)
        if (strcasecmp(names[k], name) == 0)
            return k;
    return S3_SUM_NONE;
}

int s3_sum_new(enum s3_sum_kind kind, struct s3_sum **ret, struct err *e)
{
    struct s3_sum *s = mem_zalloc(1, sizeof *s, e);

    if (!s)
        return -1;
    pthread_once(&tables_once, fill_tables);
    s->kind = kind;
    s->crc = UINT64_MAX;
    if (kind >= S3_SUM_SHA1 &&
        digest_new(kind == S3_SUM_SHA1 ? DIGEST_SHA1 : DIGEST_SHA256, &s->digest, e) <
            0) {
        free(s);
        return -1;
    }
    *ret = s;
    return 0;
}

void s3_sum_free(struct s3_sum *s)
{
    if (s)
        digest_free(s->digest);
    free(s);
}

void s3_sum_update(struct s3_sum *s, const void *data, size_t len)
{
    const unsigned char *p = data;
    const uint64_t *table;
    uint64_t c;

    if (s->digest) {
        digest_update(s->digest, data, len);
        return;
    }
    table = tables[s->kind];
    c = s->kind == S3_SUM_CRC64NVME ? s->crc : (uint32_t)s->crc;
    for (size_t i = 0; i < len; i++)
        c = c >> 8 ^ table[(c ^ p[i]) & 0xff];
    s->crc = c;
}

void s3_sum_final(struct s3_sum *s, struct buf *out)
{
    unsigned char sum[DIGEST_MAX_BYTES];
    size_t len = s->kind == S3_SUM_CRC64NVME ? 8 : 4;

    if (s->digest)
        len = digest_final(s->digest, sum);
    else
        for (size_t i = 0; i < len; i++)
            sum[i] = (unsigned char)(~s->crc >> 8 * (len - 1 - i));
    base64_encode(sum, len, out);
}
