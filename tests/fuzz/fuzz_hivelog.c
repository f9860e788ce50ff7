/* Replaying transaction logs into a hive, which libhivex then opens and walks. Input: a
 * byte of flags, the sizes of the hive and of the first log (32 bits, little-endian), the
 * hive, both logs. Flag 1: the hashes of entries are made right, so that the fuzzer gets
 * past them. */
#include "base/buf.h"
#include "guest/windows/hive.h"
#include "guest/windows/hivelog.h"

#include <string.h>

#define MAX_HIVE (1u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint32_t le32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 |
           (uint32_t)p[3] << 24;
}

static void put64(unsigned char *p, uint64_t v)
{
    for (int i = 0; i < 8; i++)
        p[i] = (unsigned char)(v >> 8 * i);
}

static void hash_entries(unsigned char *log, size_t len)
{
    for (size_t at = 512; at + 40 <= len;) {
        uint32_t n = le32(log + at + 4);

        if (n < 512 || n > len - at || n % 512)
            return;
        put64(log + at + 24, marvin32(HIVELOG_SEED, log + at + 40, n - 40));
        put64(log + at + 32, marvin32(HIVELOG_SEED, log + at, 32));
        at += n;
    }
}

static void walk(const struct buf *bytes)
{
    auto_hive struct hive *h = NULL;
    auto_strv struct strv keys = {0};
    struct err e;

    if (hive_open(bytes->data, bytes->len, "FUZZ", &h, &e) < 0 ||
        hive_keys(h, "", &keys, &e) <= 0)
        return;
    vec_foreach (k, &keys) {
        auto_strv struct strv names = {0};

        if (hive_value_names(h, *k, &names, &e) <= 0)
            continue;
        vec_foreach (n, &names) {
            auto_buf struct buf value = BUF_INIT;
            uint32_t type;

            if (hive_get(h, *k, *n, &type, &value, &e) < 0)
                break;
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    auto_buf struct buf hive = BUF_INIT, log1 = BUF_INIT, log2 = BUF_INIT;
    struct err e;
    uint32_t n, hive_len, log_len;

    if (size < 9)
        return 0;
    hive_len = le32(data + 1);
    log_len = le32(data + 5);
    if (hive_len > size - 9 || log_len > size - 9 - hive_len || hive_len > MAX_HIVE)
        return 0;
    buf_add(&hive, data + 9, hive_len);
    buf_add(&log1, data + 9 + hive_len, log_len);
    buf_add(&log2, data + 9 + hive_len + log_len, size - 9 - hive_len - log_len);
    if (data[0] & 1) {
        hash_entries((unsigned char *)log1.data, log1.len);
        hash_entries((unsigned char *)log2.data, log2.len);
    }
    if (hivelog_replay(&hive, log1.data, log1.len, log2.data, log2.len, &n, &e) == 0 &&
        hive.len <= 4 * MAX_HIVE)
        walk(&hive);
    return 0;
}
