/* The footer of a fixed VHD, by itself and as qemu-img reads it. */
#include "test.h"

#include "base/buf.h"
#include "base/child.h"
#include "base/clock.h"
#include "image/vhd.h"

#include <inttypes.h>
#include <unistd.h>

static uint64_t be(const unsigned char *p, unsigned n)
{
    uint64_t v = 0;

    while (n--)
        v = v << 8 | *p++;
    return v;
}

static void make(uint64_t size, unsigned char out[VHD_FOOTER_BYTES])
{
    static const unsigned char uuid[VHD_UUID_BYTES] = {1, 2,  3,  4,  5,  6,  7,  8,
                                                       9, 10, 11, 12, 13, 14, 15, 16};

    vhd_fixed_footer(size, uuid, 946684800 + 77, out);
}

static void fields_are_where_the_format_has_them(void **state)
{
    unsigned char f[VHD_FOOTER_BYTES];
    uint32_t sum = 0;

    make(64 << 20, f);
    assert_memory_equal(f, "conectix", 8);
    assert_int_equal(be(f + 8, 4), 2);
    assert_int_equal(be(f + 12, 4), 0x10000);
    assert_true(be(f + 16, 8) == UINT64_MAX);
    assert_int_equal(be(f + 24, 4), 77);
    assert_int_equal(be(f + 40, 8), 64 << 20);
    assert_int_equal(be(f + 48, 8), 64 << 20);
    assert_int_equal(be(f + 60, 4), 2);
    assert_int_equal(f[68], 1);
    /* The sum of all bytes but the checksum's own, complemented. */
    for (int i = 0; i < VHD_FOOTER_BYTES; i++)
        sum += i < 64 || i > 67 ? f[i] : 0;
    assert_int_equal(be(f + 64, 4), (uint32_t)~sum);
}

/* Cylinders, heads and sectors, as the appendix computes them. */
static void geometry(uint64_t sectors, unsigned c, unsigned h, unsigned s)
{
    unsigned char f[VHD_FOOTER_BYTES];

    make(sectors * 512, f);
    assert_int_equal(be(f + 56, 2), c);
    assert_int_equal(f[58], h);
    assert_int_equal(f[59], s);
}

static void geometry_follows_the_appendix(void **state)
{
    geometry(17 * 4 * 100, 100, 4, 17);
    geometry(17 * 16 * 1000, 1000, 16, 17);
    geometry(31 * 16 * 1000, 1000, 16, 31);
    geometry(63 * 16 * 5000, 5000, 16, 63);
    geometry((uint64_t)255 * 16 * 60000, 60000, 16, 255);
    geometry(VHD_MAX_BYTES / 512, 65535, 16, 255);
}

static void at_size(const char *path, int fd, uint64_t size)
{
    const char *const argv[] = {"qemu-img",      "info", "-f", "vpc",
                                "--output=json", path,   NULL};
    auto_buf struct buf out = BUF_INIT;
    unsigned char f[VHD_FOOTER_BYTES];
    char want[64];

    make(size, f);
    assert_int_equal(ftruncate(fd, 0), 0);
    assert_int_equal(ftruncate(fd, (off_t)size), 0);
    assert_int_equal(pwrite(fd, f, sizeof f, (off_t)size), sizeof f);
    snprintf(want, sizeof want, "\"virtual-size\": %" PRIu64, size);
    assert_ok(child_run(argv, 1 << 16, &out, NULL, 60 * NS_PER_S, e));
    assert_non_null(strstr(buf_str(&out), want));
}

/* A size that no geometry expresses must come back whole. */
static void qemu_reads_it_at_its_size(void **state)
{
    const char *const version[] = {"qemu-img", "--version", NULL};
    char path[] = "/tmp/hotadd-vhd-XXXXXX";
    auto_buf struct buf out = BUF_INIT;
    struct err e;
    int fd;

    if (child_run(version, 1 << 16, &out, NULL, 60 * NS_PER_S, &e) < 0)
        skip_because("qemu-img is not installed");
    fd = mkstemp(path);
    assert_true(fd >= 0);
    at_size(path, fd, 1 << 20);
    at_size(path, fd, (1 << 20) + 512);
    at_size(path, fd, (100 << 20) + 1536);
    close(fd);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields_are_where_the_format_has_them),
        cmocka_unit_test(geometry_follows_the_appendix),
        cmocka_unit_test(qemu_reads_it_at_its_size),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
