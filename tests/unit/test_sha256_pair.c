/* Two digests in turns against libcrypto's, one after the other. */
#include "test.h"

#include "base/rand.h"
#include "base/sha256_pair.h"

#define MOST 4096

/* FIPS 180-4 by its authors' example values ("SHA256", csrc.nist.gov). */
static void test_nist_examples(void **state)
{
    static const unsigned char abc[SHA256_BYTES] = {
        0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea, 0x41, 0x41, 0x40,
        0xde, 0x5d, 0xae, 0x22, 0x23, 0xb0, 0x03, 0x61, 0xa3, 0x96, 0x17,
        0x7a, 0x9c, 0xb4, 0x10, 0xff, 0x61, 0xf2, 0x00, 0x15, 0xad};
    unsigned char out[2][SHA256_BYTES];

    if (!sha256_pair("abc", "abd", 3, NULL, 0, out))
        skip_because("this processor has no SHA extensions");
    assert_memory_equal(out[0], abc, sizeof abc);
    assert_memory_not_equal(out[1], abc, sizeof abc);
    assert_true(sha256_pair("a", "x", 1, "bc", 2, out));
    assert_memory_equal(out[0], abc, sizeof abc);
}

static void compare(const unsigned char *a, const unsigned char *b, size_t len,
                    const unsigned char *tail, size_t tail_len)
{
    static unsigned char whole[MOST + SHA256_PAIR_TAIL];
    const unsigned char *data[2] = {a, b};
    unsigned char out[2][SHA256_BYTES], want[SHA256_BYTES];

    assert_true(sha256_pair(a, b, len, tail, tail_len, out));
    for (int i = 0; i < 2; i++) {
        memcpy(whole, data[i], len);
        memcpy(whole + len, tail, tail_len);
        digest_sha256(whole, len + tail_len, want);
        assert_memory_equal(out[i], want, sizeof want);
    }
}

/* Every length around blocks and padding, every place in memory, with every tail. */
static void test_all_short_lengths_and_tails(void **state)
{
    unsigned char a[300], b[300], tail[SHA256_PAIR_TAIL];

    if (!sha256_pair_pays())
        skip_because("this processor has no SHA extensions");
    rand_bytes(a, sizeof a);
    rand_bytes(b, sizeof b);
    rand_bytes(tail, sizeof tail);
    for (size_t len = 0; len <= 200; len++)
        for (size_t t = 0; t <= sizeof tail; t++)
            compare(a + len % 17, b + t % 16, len, tail, t);
}

static void test_random_lengths(void **state)
{
    unsigned char a[MOST], b[MOST], tail[32];

    if (!sha256_pair_pays())
        skip_because("this processor has no SHA extensions");
    rand_bytes(a, sizeof a);
    rand_bytes(b, sizeof b);
    rand_bytes(tail, sizeof tail);
    for (int i = 0; i < 500; i++) {
        size_t len = rand_below(MOST + 1);

        compare(a, b, len, tail, i % 2 ? sizeof tail : 0);
        a[rand_below(MOST)]++;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nist_examples),
        cmocka_unit_test(test_all_short_lengths_and_tails),
        cmocka_unit_test(test_random_lengths),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
