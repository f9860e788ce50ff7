/* Two digests in turns; see sha256_pair.h.
 *
 * The state is held as the SHA256RNDS2 instruction wants it, ABEF and CDGH, and four
 * rounds are one step (Intel, "Intel SHA Extensions", July 2013, and the instructions'
 * pages in the Software Developer's Manual, volume 2). */
#include "base/sha256_pair.h"

#if defined(__x86_64__)

#include "base/bytes.h"

#include <assert.h>
#include <cpuid.h>
#include <immintrin.h>
#include <pthread.h>
#include <string.h>

#define BLOCK 64
/* Of a rest and a tail, less than a block each, with the padding; see last_blocks(). */
#define LAST_BLOCKS 3

#define WITH_SHA __attribute__((target("sha,ssse3,sse4.1")))

/* FIPS 180-4, 4.2.2. */
static const uint32_t round_keys[64] __attribute__((aligned(16))) = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4,
    0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe,
    0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f,
    0x4a7484aa, 0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7,
    0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc,
    0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b,
    0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116,
    0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7,
    0xc67178f2};

struct lane {
    __m128i abef, cdgh;
};

/* FIPS 180-4, 5.3.3. */
WITH_SHA static struct lane lane_start(void)
{
    return (struct lane){
        _mm_set_epi32(0x6a09e667, (int)0xbb67ae85, 0x510e527f, (int)0x9b05688c),
        _mm_set_epi32(0x3c6ef372, (int)0xa54ff53a, 0x1f83d9ab, 0x5be0cd19)};
}

WITH_SHA static inline void load(__m128i m[4], const unsigned char *block)
{
    const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);

    for (int i = 0; i < 4; i++)
        m[i] = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(block + 16 * i)), swap);
}

/* The message words that step i + 4 wants, in place of those of step i (6.2.2, 1). */
WITH_SHA static inline void schedule(__m128i m[4], int i)
{
    __m128i w9 = _mm_alignr_epi8(m[(i + 3) & 3], m[(i + 2) & 3], 4);
    __m128i sum = _mm_add_epi32(_mm_sha256msg1_epu32(m[i & 3], m[(i + 1) & 3]), w9);

    m[i & 3] = _mm_sha256msg2_epu32(sum, m[(i + 3) & 3]);
}

/* Four rounds of each (6.2.2, 3). */
WITH_SHA static inline void step(struct lane *x, struct lane *y, __m128i mx[4],
                                 __m128i my[4], int i)
{
    __m128i k = _mm_load_si128((const __m128i *)(round_keys + 4 * i));
    __m128i wx = _mm_add_epi32(mx[i & 3], k), wy = _mm_add_epi32(my[i & 3], k);

    x->cdgh = _mm_sha256rnds2_epu32(x->cdgh, x->abef, wx);
    y->cdgh = _mm_sha256rnds2_epu32(y->cdgh, y->abef, wy);
    if (i < 12) {
        schedule(mx, i);
        schedule(my, i);
    }
    x->abef = _mm_sha256rnds2_epu32(x->abef, x->cdgh, _mm_shuffle_epi32(wx, 0x0e));
    y->abef = _mm_sha256rnds2_epu32(y->abef, y->cdgh, _mm_shuffle_epi32(wy, 0x0e));
}

WITH_SHA static void blocks(struct lane *x, struct lane *y, const unsigned char *a,
                            const unsigned char *b, size_t n)
{
    struct lane p = *x, q = *y;

    for (; n; n--, a += BLOCK, b += BLOCK) {
        struct lane p0 = p, q0 = q;
        __m128i ma[4], mb[4];

        load(ma, a);
        load(mb, b);
#pragma GCC unroll 16
        for (int i = 0; i < 16; i++)
            step(&p, &q, ma, mb, i);
        p.abef = _mm_add_epi32(p.abef, p0.abef);
        p.cdgh = _mm_add_epi32(p.cdgh, p0.cdgh);
        q.abef = _mm_add_epi32(q.abef, q0.abef);
        q.cdgh = _mm_add_epi32(q.cdgh, q0.cdgh);
    }
    *x = p;
    *y = q;
}

WITH_SHA static void lane_sum(const struct lane *l, unsigned char out[SHA256_BYTES])
{
    static const int place[8] = {5, 4, 1, 0, 7, 6, 3, 2}; /* of F E B A, H G D C */
    uint32_t w[8];

    _mm_storeu_si128((__m128i *)w, l->abef);
    _mm_storeu_si128((__m128i *)(w + 4), l->cdgh);
    for (int i = 0; i < 8; i++)
        be32_put(out + 4 * place[i], w[i]);
}

/* What is left of a message, the tail, and the padding (5.1.1). Returns whole blocks. */
static size_t last_blocks(unsigned char out[LAST_BLOCKS * BLOCK],
                          const unsigned char *rest, size_t rest_len, const void *tail,
                          size_t tail_len, uint64_t message_bytes)
{
    size_t len = rest_len + tail_len, n = (len + 1 + 8 + BLOCK - 1) / BLOCK;

    memset(out, 0, LAST_BLOCKS * BLOCK);
    if (rest_len)
        memcpy(out, rest, rest_len);
    if (tail_len)
        memcpy(out + rest_len, tail, tail_len);
    out[len] = 0x80;
    be64_put(out + n * BLOCK - 8, message_bytes * 8);
    return n;
}

static pthread_once_t looked = PTHREAD_ONCE_INIT;
static bool has_sha;

static void look(void)
{
    unsigned a, b, c, d;

    has_sha = __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & bit_SHA) &&
              __get_cpuid(1, &a, &b, &c, &d) && (c & bit_SSSE3) && (c & bit_SSE4_1);
}

bool sha256_pair_pays(void)
{
    pthread_once(&looked, look);
    return has_sha;
}

WITH_SHA static void in_turns(const unsigned char *a, const unsigned char *b, size_t len,
                              const void *tail, size_t tail_len,
                              unsigned char out[2][SHA256_BYTES])
{
    size_t whole = len / BLOCK, at = whole * BLOCK, n;
    unsigned char last[2][LAST_BLOCKS * BLOCK];
    struct lane x = lane_start(), y = x;

    blocks(&x, &y, a, b, whole);
    n = last_blocks(last[0], a + at, len - at, tail, tail_len, len + tail_len);
    last_blocks(last[1], b + at, len - at, tail, tail_len, len + tail_len);
    blocks(&x, &y, last[0], last[1], n);
    lane_sum(&x, out[0]);
    lane_sum(&y, out[1]);
}

bool sha256_pair(const void *a, const void *b, size_t len, const void *tail,
                 size_t tail_len, unsigned char out[2][SHA256_BYTES])
{
    assert(tail_len <= SHA256_PAIR_TAIL);
    if (!sha256_pair_pays())
        return false;
    in_turns(a, b, len, tail, tail_len, out);
    return true;
}

#else

bool sha256_pair_pays(void)
{
    return false;
}

bool sha256_pair(const void *a, const void *b, size_t len, const void *tail,
                 size_t tail_len, unsigned char out[2][SHA256_BYTES])
{
    return false;
}

#endif
