/* VHDX as qemu-img writes it, and damaged by hand. */
#include "image_kit.h"

#include <endian.h>

static uint32_t crc32c(const unsigned char *p, size_t len)
{
    uint32_t crc = UINT32_MAX;

    while (len--) {
        crc ^= *p++;
        for (int i = 0; i < 8; i++)
            crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
    }
    return ~crc;
}

/* Makes the checksum of a structure right again. */
static void seal(const char *name, uint64_t at, size_t len)
{
    auto_free unsigned char *p = (unsigned char *)kit_read(name, NULL);
    uint32_t crc;

    memset(p + at + 4, 0, 4);
    crc = htole32(crc32c(p + at, len));
    kit_poke(name, at + 4, &crc, sizeof crc);
}

static uint64_t le64_in(const char *name, uint64_t at)
{
    auto_free char *p = kit_read(name, NULL);
    uint64_t v;

    memcpy(&v, p + at, sizeof v);
    return le64toh(v);
}

/* Where the table is: the region table's first entry, with qemu-img. */
static uint64_t table_at(const char *name)
{
    return le64_in(name, (192u << 10) + 16 + 16);
}

/* The first block holds data: of one that is all zeros the table names no place. */
static void make(const char *options, uint64_t size)
{
    kit_need("qemu-img");
    kit_random_disk("v.raw", size);
    kit_poke("v.raw", 0, "first", 5);
    kit_run("qemu-img", "convert", "-f", "raw", "-O", "vhdx", "-o", options,
            kit_path("v.raw"), kit_path("v.vhdx"));
}

static void test_vhdx_reads_as_written(void **state)
{
    static const char *const options[] = {
        "subformat=dynamic", "subformat=fixed", "subformat=dynamic,block_size=1M",
        "subformat=dynamic,block_size=32M", "subformat=dynamic,block_state_zero=off"};

    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++) {
        auto_source struct source *s = NULL;

        make(options[i], 37 * 1048576 + 512 * 3);
        assert_ok(kit_open("v.vhdx", NULL, &s, e));
        assert_string_equal(s->ops->name, "vhdx");
        kit_compare(s, "v.raw");
    }
}

static void test_large_empty_vhdx_is_one_run_of_zeros(void **state)
{
    auto_source struct source *s = NULL;
    uint64_t at = 0;
    unsigned n = 0;

    kit_need("qemu-img");
    kit_run("qemu-img", "create", "-q", "-f", "vhdx", kit_path("big.vhdx"), "4T");
    assert_ok(kit_open("big.vhdx", NULL, &s, e));
    assert_int_equal(s->size_bytes, 4ull << 40);
    assert_int_equal(s->data_bytes_hint, 0);
    for (struct unit u; at < s->size_bytes; at += u.len, n++) {
        assert_ok(source_unit_at(s, at, 4u << 20, &u, e));
        assert_int_equal(u.kind, UNIT_ZERO);
    }
    assert_true(n < 5000);
}

static void refused(enum err_kind kind, const char *text)
{
    assert_fails(kit_read_all("v.vhdx", e), kind, text);
}

static void test_one_good_header_is_enough(void **state)
{
    auto_source struct source *s = NULL;

    make("subformat=dynamic", 5 << 20);
    kit_poke("v.vhdx", 64 << 10, "x", 1);
    assert_ok(kit_open("v.vhdx", NULL, &s, e));
    kit_compare(s, "v.raw");
    kit_poke("v.vhdx", (128 << 10) + 9, "x", 1);
    refused(ERR_INPUT, "both VHDX headers are damaged");
}

static void test_one_good_region_table_is_enough(void **state)
{
    auto_source struct source *s = NULL;

    make("subformat=dynamic", 5 << 20);
    kit_poke("v.vhdx", (192 << 10) + 20, "x", 1);
    assert_ok(kit_open("v.vhdx", NULL, &s, e));
    kit_compare(s, "v.raw");
    kit_poke("v.vhdx", (256 << 10) + 20, "x", 1);
    refused(ERR_INPUT, "both region tables of the VHDX are damaged");
}

static void test_log_that_must_be_replayed_is_refused(void **state)
{
    make("subformat=dynamic", 5 << 20);
    for (uint64_t at = 64 << 10; at <= 128 << 10; at += 64 << 10) {
        kit_poke("v.vhdx", at + 48, "0123456789abcdef", 16);
        seal("v.vhdx", at, 4096);
    }
    refused(ERR_UNSUPPORTED, "its log must be replayed");
}

static void test_damaged_table_entries_are_refused(void **state)
{
    static const struct {
        uint64_t entry;
        const char *text;
    } bad[] = {
        {5, "is in state 5"},
        {7, "is in state 7"},
        {6, "is at byte 0"},
        {6 | 900ull << 20, "but the file ends at"},
        {6 | 1ull << 63, "but the file ends at"},
    };

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        uint64_t entry = htole64(bad[i].entry);

        make("subformat=dynamic,block_size=1M", 5 << 20);
        kit_poke("v.vhdx", table_at("v.vhdx") + 8, &entry, 8);
        refused(ERR_INPUT, bad[i].text);
    }
}

static void test_blocks_at_the_same_place_are_refused(void **state)
{
    uint64_t entry;

    make("subformat=fixed,block_size=1M", 5 << 20);
    entry = htole64(le64_in("v.vhdx", table_at("v.vhdx")));
    kit_poke("v.vhdx", table_at("v.vhdx") + 8, &entry, 8);
    refused(ERR_INPUT, "overlaps that of another");
    entry = htole64(table_at("v.vhdx") | 6);
    kit_poke("v.vhdx", table_at("v.vhdx") + 8, &entry, 8);
    refused(ERR_INPUT, "inside the file's own tables");
}

static void test_truncated_vhdx_is_refused(void **state)
{
    make("subformat=fixed", 9 << 20);
    kit_truncate("v.vhdx", kit_size("v.vhdx") - (20 << 20));
    refused(ERR_INPUT, "but the file ends at");
    kit_truncate("v.vhdx", 150000);
    refused(ERR_INPUT, "v.vhdx");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vhdx_reads_as_written),
        cmocka_unit_test(test_large_empty_vhdx_is_one_run_of_zeros),
        cmocka_unit_test(test_one_good_header_is_enough),
        cmocka_unit_test(test_one_good_region_table_is_enough),
        cmocka_unit_test(test_log_that_must_be_replayed_is_refused),
        cmocka_unit_test(test_damaged_table_entries_are_refused),
        cmocka_unit_test(test_blocks_at_the_same_place_are_refused),
        cmocka_unit_test(test_truncated_vhdx_is_refused),
    };
    return cmocka_run_group_tests(tests, kit_setup, kit_teardown);
}
