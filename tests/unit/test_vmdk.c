/* VMDK against qemu-img: every kind it writes, random content, read by units and by
 * ranges. Damage is in test_vmdk_damage.c. */
#include "image_kit.h"

static void convert(const char *raw, const char *out, const char *subformat)
{
    char opt[64];

    snprintf(opt, sizeof opt, "subformat=%s", subformat);
    kit_run("qemu-img", "convert", "-f", "raw", "-O", "vmdk", "-o", opt, kit_path(raw),
            kit_path(out));
}

static void round_trip(const char *subformat)
{
    static const uint64_t sizes[] = {512 * 7, 64 << 10, (40 << 20) + 512 * 3};

    kit_need("qemu-img");
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        auto_source struct source *s = NULL;

        kit_random_disk("disk.raw", sizes[i]);
        convert("disk.raw", "disk.vmdk", subformat);
        assert_ok(kit_open("disk.vmdk", NULL, &s, e));
        assert_string_equal(s->ops->name, "vmdk");
        kit_compare(s, "disk.raw");
    }
}

static void test_stream_optimized_reads_as_written(void **state)
{
    round_trip("streamOptimized");
}

static void test_monolithic_sparse_reads_as_written(void **state)
{
    round_trip("monolithicSparse");
}

static void test_monolithic_flat_reads_as_written(void **state)
{
    round_trip("monolithicFlat");
}

static void test_two_gb_sparse_reads_as_written(void **state)
{
    round_trip("twoGbMaxExtentSparse");
}

static void test_two_gb_flat_reads_as_written(void **state)
{
    round_trip("twoGbMaxExtentFlat");
}

/* Several extents: small ones of odd sizes, one of each kind. */
static void test_extents_of_all_kinds_side_by_side(void **state)
{
    auto_source struct source *s = NULL;
    char *flat, zeros[3 * 512] = {0};
    size_t len;
    int fd;

    kit_need("qemu-img");
    kit_random_disk("a.raw", 512 * 1001);
    kit_random_disk("b.raw", 512 * 4097);
    kit_run("qemu-img", "convert", "-O", "vmdk", "-o", "subformat=monolithicSparse",
            kit_path("b.raw"), kit_path("b.vmdk"));
    kit_text("all.vmdk", "# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\n"
                         "createType=\"custom\"\n"
                         "RW 1000 FLAT \"a.raw\" 1\n"
                         "RW 3 ZERO\n"
                         "RW 4097 SPARSE \"b.vmdk\"\n"
                         "ddb.adapterType = \"lsilogic\"\n");
    flat = kit_read("a.raw", &len);
    kit_write("want.raw", flat + 512, len - 512);
    free(flat);
    flat = kit_read("b.raw", &len);
    fd = open(kit_path("want.raw"), O_WRONLY | O_APPEND);
    assert_ok(io_write_full(fd, zeros, sizeof zeros, "want", e));
    assert_ok(io_write_full(fd, flat, len, "want", e));
    close(fd);
    free(flat);
    assert_ok(kit_open("all.vmdk", NULL, &s, e));
    assert_int_equal(s->size_bytes, 512 * 5100);
    kit_compare(s, "want.raw");
}

static void test_hint_counts_allocated_grains_only(void **state)
{
    auto_source struct source *s = NULL;
    char data[1] = {1};

    kit_need("qemu-img");
    kit_write("h.raw", "", 0);
    kit_truncate("h.raw", 1ull << 30);
    kit_poke("h.raw", 77, data, 1);
    kit_poke("h.raw", 500 << 20, data, 1);
    convert("h.raw", "h.vmdk", "streamOptimized");
    assert_ok(kit_open("h.vmdk", NULL, &s, e));
    assert_int_equal(s->data_bytes_hint, 2 * 65536);
}

static void test_empty_terabytes_are_one_unit(void **state)
{
    auto_source struct source *s = NULL;
    struct unit u;

    kit_need("qemu-img");
    kit_run("qemu-img", "create", "-f", "vmdk", kit_path("big.vmdk"), "2T");
    assert_ok(kit_open("big.vmdk", NULL, &s, e));
    assert_ok(source_unit_at(s, 0, 1 << 20, &u, e));
    assert_int_equal(u.kind, UNIT_ZERO);
    assert_int_equal(u.len, 2ull << 40);
    assert_int_equal(s->data_bytes_hint, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stream_optimized_reads_as_written),
        cmocka_unit_test(test_monolithic_sparse_reads_as_written),
        cmocka_unit_test(test_monolithic_flat_reads_as_written),
        cmocka_unit_test(test_two_gb_sparse_reads_as_written),
        cmocka_unit_test(test_two_gb_flat_reads_as_written),
        cmocka_unit_test(test_extents_of_all_kinds_side_by_side),
        cmocka_unit_test(test_hint_counts_allocated_grains_only),
        cmocka_unit_test(test_empty_terabytes_are_one_unit),
    };
    return cmocka_run_group_tests(tests, kit_setup, kit_teardown);
}
