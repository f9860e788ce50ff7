/* qcow2 as qemu-img and qemu-io write it, and damaged by hand. */
#include "image_kit.h"

#include <endian.h>

#define SIZE (11 * 1048576ull + 512 * 3)

/* q.raw in q.qcow2, with those creation options; compressed when asked for. */
static void convert(const char *options, bool compressed)
{
    kit_need("qemu-img");
    kit_run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", "-o", options,
            kit_path("q.raw"), kit_path("q.qcow2"), compressed ? "-c" : NULL);
}

static void make(const char *options, uint64_t size, bool compressed)
{
    kit_random_disk("q.raw", size);
    convert(options, compressed);
}

static void reads_right(void)
{
    auto_source struct source *s = NULL;

    assert_ok(kit_open("q.qcow2", NULL, &s, e));
    assert_string_equal(s->ops->name, "qcow2");
    kit_compare(s, "q.raw");
}

static void refused(enum err_kind kind, const char *text)
{
    assert_fails(kit_read_all("q.qcow2", e), kind, text);
}

static uint64_t be64_in(const char *name, uint64_t at)
{
    auto_free char *p = kit_read(name, NULL);
    uint64_t v;

    memcpy(&v, p + at, sizeof v);
    return be64toh(v);
}

static void poke64(uint64_t at, uint64_t v)
{
    v = htobe64(v);
    kit_poke("q.qcow2", at, &v, sizeof v);
}

#define OFFSET(entry) ((entry)&0x00fffffffffffe00ull)

static uint64_t l1_at(void)
{
    return be64_in("q.qcow2", 40);
}

/* The first table of the second level; its disk's data begins with `make_full`. */
static uint64_t l2_at(void)
{
    return OFFSET(be64_in("q.qcow2", l1_at()));
}

/* A disk without a hole, so that every entry is of data. */
static void make_full(const char *options, bool compressed)
{
    static unsigned char full[1 << 20];

    for (size_t i = 0; i < sizeof full; i++)
        full[i] = (unsigned char)(i % 251 + 1);
    kit_write("q.raw", full, sizeof full);
    convert(options, compressed);
}

/* ------------------------------------------------------------------ what is written */

static void test_qcow2_reads_as_written(void **state)
{
    static const char *const options[] = {
        "compat=0.10",
        "compat=1.1",
        "cluster_size=512",
        "cluster_size=2048",
        "cluster_size=4096",
        "cluster_size=2M",
        "lazy_refcounts=on",
        "extended_l2=on",
        "extended_l2=on,cluster_size=16k", /* pieces of 512 bytes */
        "extended_l2=on,cluster_size=2M",
        "preallocation=metadata",
        "preallocation=falloc",
    };

    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++) {
        make(options[i], SIZE, false);
        reads_right();
    }
}

static void test_compressed_qcow2_reads_as_written(void **state)
{
    static const char *const options[] = {
        "compression_type=zlib",
        "compat=0.10",
        "compression_type=zstd",
        "compression_type=zlib,cluster_size=512",
        "compression_type=zstd,cluster_size=4096",
        "compression_type=zlib,cluster_size=2M",
        "compression_type=zstd,cluster_size=2M",
        "compression_type=zstd,extended_l2=on",
    };

    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++) {
        make(options[i], SIZE, true);
        reads_right();
    }
}

static unsigned count_units(struct source *s, enum unit_kind kind)
{
    unsigned n = 0;
    struct unit u;

    for (uint64_t at = 0; at < s->size_bytes; at += u.len) {
        assert_ok(source_unit_at(s, at, 4u << 20, &u, e));
        n += u.kind == kind;
    }
    return n;
}

static void test_large_empty_qcow2_is_one_run_of_zeros(void **state)
{
    auto_source struct source *s = NULL;

    kit_need("qemu-img");
    kit_run("qemu-img", "create", "-q", "-f", "qcow2", kit_path("q.qcow2"), "60T");
    assert_ok(kit_open("q.qcow2", NULL, &s, e));
    assert_int_equal(s->size_bytes, 60ull << 40);
    assert_int_equal(s->data_bytes_hint, 0);
    assert_int_equal(count_units(s, UNIT_ZERO), 1);
}

/* All clusters have a place, but hardly any was written to: what counts is written. */
static void test_preallocated_qcow2_costs_what_is_in_it(void **state)
{
    auto_source struct source *s = NULL;

    kit_need("qemu-io");
    kit_run("qemu-img", "create", "-q", "-f", "qcow2", "-o", "preallocation=metadata",
            kit_path("q.qcow2"), "20G");
    kit_run("qemu-io", "-f", "qcow2", "-c", "write -P 5 7G 1M", kit_path("q.qcow2"));
    assert_ok(kit_open("q.qcow2", NULL, &s, e));
    assert_true(s->data_bytes_hint < 16 << 20);
    assert_in_range(count_units(s, UNIT_DATA), 1, 4);
}

/* ------------------------------------------------------------------ what is refused */

static void test_what_needs_other_files_is_refused(void **state)
{
    char opt[300];

    kit_need("qemu-img");
    kit_run("qemu-img", "create", "-f", "qcow2", kit_path("base.qcow2"), "1M");
    kit_run("qemu-img", "create", "-f", "qcow2", "-F", "qcow2", "-b",
            kit_path("base.qcow2"), kit_path("q.qcow2"));
    refused(ERR_UNSUPPORTED, "a qcow2 overlay on a backing file: flatten it first");
    snprintf(opt, sizeof opt, "data_file=%s", kit_path("ext.data"));
    kit_run("qemu-img", "create", "-f", "qcow2", "-o", opt, kit_path("q.qcow2"), "1M");
    refused(ERR_UNSUPPORTED, "a qcow2 with its data in another file");
}

static void test_header_that_cannot_be_read_is_refused(void **state)
{
    static const struct kit_damage bad[] = {
        {4, "\0\0\0\4", 4, "qcow2 of version 4", ERR_UNSUPPORTED},
        {32, "\0\0\0\2", 4, "an encrypted qcow2: decrypt it first", ERR_UNSUPPORTED},
        {20, "\0\0\0\x50", 4, "clusters of 2^80 bytes", ERR_INPUT},
        {20, "\0\0\0\x08", 4, "clusters of 2^8 bytes", ERR_INPUT},
        {24, "\0\0\0\0\0\0\0\0", 8, "a disk of 0 bytes", ERR_INPUT},
        {24, "\0\0\0\0\0\x10\0\1", 8, "whole sectors", ERR_INPUT},
        {24, "\0\1\0\0\0\0\0\0", 8, "at most 64 TiB", ERR_INPUT},
        {24, "\0\0\1\0\0\0\0\0", 8, "where its disk needs 2048", ERR_INPUT},
        {40, "\0\0\0\0\0\3\0\1", 8, "does not lie inside the file", ERR_INPUT},
        {40, "\x7f\0\0\0\0\0\0\0", 8, "does not lie inside the file", ERR_INPUT},
        {72, "\0\0\0\0\0\0\0\2", 8, "its header says it is corrupt", ERR_INPUT},
        {72, "\x80\0\0\0\0\0\0\0", 8, "(0x8000000000000000)", ERR_UNSUPPORTED},
        {72, "\0\0\0\0\0\0\0\x08", 8, "compression of type 0", ERR_UNSUPPORTED},
        {104, "\2", 1, "compression of type 2", ERR_UNSUPPORTED},
        {100, "\0\0\0\x44", 4, "a qcow2 header of 68 bytes", ERR_INPUT},
    };

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        make_full("compat=1.1", false);
        kit_poke("q.qcow2", bad[i].at, bad[i].bytes, bad[i].len);
        refused(bad[i].kind, bad[i].text);
    }
    make_full("compat=1.1", false);
    kit_truncate("q.qcow2", 60);
    refused(ERR_INPUT, "too short for a qcow2");
}

static void test_damaged_tables_are_refused(void **state)
{
    static const struct {
        const char *options;
        uint64_t entry;
        const char *text;
    } bad[] = {
        {"compat=1.1", 0x10200, "names no whole cluster"},
        {"compat=1.1", 0x00ff000000000000, "but the file ends at"},
        {"compat=0.10", 1, "has a flag of a later version"},
        {"compat=1.1", 0x4000000700000000, "but the file ends at"},
    };

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        make_full(bad[i].options, false);
        poke64(l2_at() + 8, bad[i].entry);
        refused(ERR_INPUT, bad[i].text);
    }
    make_full("extended_l2=on", false);
    poke64(l2_at() + 8, UINT64_MAX);
    refused(ERR_INPUT, "contradicts itself");
    make_full("extended_l2=on", false);
    poke64(l2_at(), 0);
    refused(ERR_INPUT, "contradicts itself");
}

static void test_first_table_outside_is_refused(void **state)
{
    make_full("compat=1.1", false);
    poke64(l1_at(), 0x00ff000000000000);
    refused(ERR_INPUT, "entry 0 of the first table points to byte");
    make_full("compat=1.1", false);
    poke64(l1_at(), 0x10200);
    refused(ERR_INPUT, "entry 0 of the first table points to byte");
}

/* A small file whose first table names the same table again and again. */
static void test_tables_without_end_are_refused(void **state)
{
    uint64_t l2;

    kit_need("qemu-img");
    kit_run("qemu-img", "create", "-q", "-f", "qcow2", kit_path("q.qcow2"), "60T");
    l2 = l1_at();
    for (unsigned i = 0; i < 200; i++)
        poke64(l1_at() + i * 8, l2);
    refused(ERR_INPUT, "more tables than the file has room for");
}

static void test_damaged_compressed_cluster_is_named(void **state)
{
    static const char *const options[] = {"compression_type=zlib",
                                          "compression_type=zstd"};

    for (size_t i = 0; i < 2; i++) {
        static const char noise[40] = "this is neither deflate nor zstd: \xff\xff";
        uint64_t entry;

        make_full(options[i], true);
        entry = be64_in("q.qcow2", l2_at() + 2 * 8);
        kit_poke("q.qcow2", entry & ((1ull << 54) - 1), noise, sizeof noise);
        refused(ERR_INPUT, "the compressed cluster of disk byte 131072");
    }
}

/* A machine that still runs may write what the file did not have when it was opened. */
static void test_cluster_that_becomes_compressed_is_refused(void **state)
{
    auto_source struct source *s = NULL;
    uint64_t entry;

    make_full("compat=1.1", false);
    assert_ok(kit_open("q.qcow2", NULL, &s, e));
    assert_ok(kit_read_source(s, e));
    entry = be64_in("q.qcow2", l2_at() + 2 * 8);
    poke64(l2_at() + 2 * 8, 1ull << 62 | OFFSET(entry));
    assert_fails(kit_read_source(s, e), ERR_INPUT,
                 "the cluster of disk byte 131072 is compressed, and when the file was "
                 "opened none was: it is being changed");
}

static void test_truncated_qcow2_is_refused(void **state)
{
    make("compat=1.1", 9 << 20, false);
    for (uint64_t len = kit_size("q.qcow2") - 65536; len > 200; len = len * 2 / 3) {
        kit_truncate("q.qcow2", len);
        refused(ERR_INPUT, "q.qcow2: ");
    }
    make("compression_type=zstd", 9 << 20, true);
    for (uint64_t len = kit_size("q.qcow2") - 65536; len > 200; len = len * 2 / 3) {
        kit_truncate("q.qcow2", len);
        refused(ERR_INPUT, "q.qcow2: ");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_qcow2_reads_as_written),
        cmocka_unit_test(test_compressed_qcow2_reads_as_written),
        cmocka_unit_test(test_large_empty_qcow2_is_one_run_of_zeros),
        cmocka_unit_test(test_preallocated_qcow2_costs_what_is_in_it),
        cmocka_unit_test(test_what_needs_other_files_is_refused),
        cmocka_unit_test(test_header_that_cannot_be_read_is_refused),
        cmocka_unit_test(test_damaged_tables_are_refused),
        cmocka_unit_test(test_first_table_outside_is_refused),
        cmocka_unit_test(test_tables_without_end_are_refused),
        cmocka_unit_test(test_damaged_compressed_cluster_is_named),
        cmocka_unit_test(test_cluster_that_becomes_compressed_is_refused),
        cmocka_unit_test(test_truncated_qcow2_is_refused),
    };
    return cmocka_run_group_tests(tests, kit_setup, kit_teardown);
}
