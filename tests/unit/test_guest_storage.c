/* Partition tables and superblocks, made sector by sector. */
#include "test.h"

#include "base/str.h"
#include "guest/storage/storage.h"

#define DISK_BYTES (64u << 20)

struct image {
    unsigned char *bytes;
    size_t len;
};

static int read_image(void *ctx, uint64_t offset, size_t len, struct buf *out,
                      struct err *e)
{
    const struct image *im = ctx;

    assert_true(offset + len <= DISK_BYTES);
    for (size_t i = 0; i < len; i++)
        buf_addc(out, offset + i < im->len ? (char)im->bytes[offset + i] : 0);
    return buf_check(out, e);
}

static void le32(unsigned char *p, uint32_t v)
{
    for (int i = 0; i < 4; i++)
        p[i] = (unsigned char)(v >> 8 * i);
}

static void mbr_entry(unsigned char *sector, int i, uint8_t type, bool active,
                      uint32_t first, uint32_t count)
{
    unsigned char *x = sector + 446 + 16 * i;

    x[0] = active ? 0x80 : 0;
    x[4] = type;
    le32(x + 8, first);
    le32(x + 12, count);
    sector[510] = 0x55;
    sector[511] = 0xaa;
}

static void disk_release(struct storage_disk *d)
{
    vec_release(&d->partitions);
}

static void read_table(struct image *im, struct storage_disk *d)
{
    *d = (struct storage_disk){.device = "/dev/sda", .size_bytes = DISK_BYTES};
    assert_ok(partitions_read(d, read_image, im, e));
}

static void test_mbr_with_logical_partitions(void **state)
{
    auto_free unsigned char *b = calloc(1, 1u << 20);
    struct image im = {b, 1u << 20};
    auto_call(disk_release) struct storage_disk d;

    memcpy(b + 100, "GRUB", 4);
    le32(b + 440, 0xcafe0001);
    mbr_entry(b, 0, 0x83, true, 64, 100);
    mbr_entry(b, 1, 0x0f, false, 200, 1000);
    mbr_entry(b + 200 * 512, 0, 0x82, false, 10, 50);
    mbr_entry(b + 200 * 512, 1, 0x05, false, 100, 200);
    mbr_entry(b + 300 * 512, 0, 0x83, false, 10, 60);
    read_table(&im, &d);
    assert_string_equal(d.table, "msdos");
    assert_true(d.boot_code && d.grub);
    assert_int_equal(d.partitions.n, 4);
    assert_true(d.partitions.v[0].active);
    assert_string_equal(d.partitions.v[0].uuid, "cafe0001-01");
    assert_true(d.partitions.v[1].container);
    assert_int_equal(d.partitions.v[2].number, 5);
    assert_int_equal(d.partitions.v[2].offset_bytes, 210 * 512);
    assert_int_equal(d.partitions.v[3].number, 6);
    assert_int_equal(d.partitions.v[3].offset_bytes, 310 * 512);
}

static void test_logical_partitions_in_a_circle_are_refused(void **state)
{
    auto_free unsigned char *b = calloc(1, 1u << 20);
    struct image im = {b, 1u << 20};
    auto_call(disk_release) struct storage_disk d = {.device = "/dev/sda",
                                                     .size_bytes = DISK_BYTES};

    mbr_entry(b, 0, 0x05, false, 200, 1000);
    mbr_entry(b + 200 * 512, 0, 0x83, false, 10, 50);
    mbr_entry(b + 200 * 512, 1, 0x05, false, 100, 200);
    mbr_entry(b + 300 * 512, 0, 0x83, false, 10, 50);
    mbr_entry(b + 300 * 512, 1, 0x05, false, 100, 200);
    assert_fails(partitions_read(&d, read_image, &im, e), ERR_INPUT,
                 "more than 60 logical");
}

static void test_a_partition_beyond_the_disk_is_refused(void **state)
{
    unsigned char b[512] = {0};
    struct image im = {b, sizeof b};
    auto_call(disk_release) struct storage_disk d = {.device = "/dev/sda",
                                                     .size_bytes = DISK_BYTES};

    mbr_entry(b, 0, 0x83, false, 2048, UINT32_MAX);
    assert_fails(partitions_read(&d, read_image, &im, e), ERR_INPUT,
                 "/dev/sda: partition 1 ends beyond");
}

static void make_gpt(unsigned char *b)
{
    static const unsigned char esp[16] = {0x28, 0x73, 0x2a, 0xc1, 0x1f, 0xf8, 0xd2, 0x11,
                                          0xba, 0x4b, 0x00, 0xa0, 0xc9, 0x3e, 0xc9, 0x3b};
    unsigned char *h = b + 512, *x = b + 1024;

    mbr_entry(b, 0, 0xee, false, 1, 1000);
    memcpy(h, "EFI PART", 8);
    le32(h + 72, 2);
    le32(h + 80, 128);
    le32(h + 84, 128);
    memcpy(x, esp, 16);
    x[16] = 0x12;
    le32(x + 32, 100);
    le32(x + 40, 199);
}

static void test_gpt_with_an_esp(void **state)
{
    auto_free unsigned char *b = calloc(1, 1u << 20);
    struct image im = {b, 1u << 20};
    auto_call(disk_release) struct storage_disk d;

    make_gpt(b);
    read_table(&im, &d);
    assert_string_equal(d.table, "gpt");
    assert_false(d.boot_code);
    assert_int_equal(d.partitions.n, 1);
    assert_true(d.partitions.v[0].esp);
    assert_int_equal(d.partitions.v[0].size_bytes, 100 * 512);
    assert_string_equal(d.partitions.v[0].uuid, "00000012-0000-0000-0000-000000000000");
}

static void test_a_damaged_gpt_is_refused(void **state)
{
    auto_free unsigned char *b = calloc(1, 1u << 20);
    struct image im = {b, 1u << 20};
    auto_call(disk_release) struct storage_disk d = {.device = "/dev/sda",
                                                     .size_bytes = DISK_BYTES};

    make_gpt(b);
    le32(b + 512 + 84, 7);
    assert_fails(partitions_read(&d, read_image, &im, e), ERR_INPUT,
                 "GPT header is damaged");
}

static void test_a_file_system_without_table(void **state)
{
    unsigned char b[512] = {0};
    struct image im = {b, sizeof b};
    auto_call(disk_release) struct storage_disk d;

    memset(b, 'x', 500); /* no entry begins with 0x80 or 0 */
    b[510] = 0x55;
    b[511] = 0xaa;
    read_table(&im, &d);
    assert_string_equal(d.table, "none");
    assert_int_equal(d.partitions.n, 0);
}

/* ---- superblocks ---- */

static void check_probe(const unsigned char *b, const char *type, const char *uuid)
{
    struct fs_facts f;

    fs_probe(b, FS_PROBE_BYTES, &f);
    assert_string_equal(f.type, type);
    if (uuid)
        assert_string_equal(f.uuid, uuid);
}

static void put_ext(unsigned char *b, uint32_t compat, uint32_t incompat)
{
    b[1024 + 56] = 0x53;
    b[1024 + 57] = 0xef;
    le32(b + 1024 + 92, compat);
    le32(b + 1024 + 96, incompat);
    b[1024 + 104] = 0xab;
    memcpy(b + 1024 + 120, "root", 4);
}

static void test_ext_versions(void **state)
{
    auto_free unsigned char *b = calloc(1, FS_PROBE_BYTES);
    struct fs_facts f;

    put_ext(b, 0, 2);
    check_probe(b, "ext2", "ab000000-0000-0000-0000-000000000000");
    put_ext(b, 4, 2);
    check_probe(b, "ext3", NULL);
    put_ext(b, 4, 0x2c6);
    b[1024 + 58] = 3;
    fs_probe(b, FS_PROBE_BYTES, &f);
    assert_string_equal(f.type, "ext4");
    assert_string_equal(f.label, "root");
    assert_true(f.unreplayed && f.errors);
}

static void test_other_types(void **state)
{
    static const struct {
        size_t at;
        const char *magic, *type;
    } t[] = {
        {0, "XFSB", "xfs"},
        {65536 + 64, "_BHRfS_M", "btrfs"},
        {32768, "JFS1", "jfs"},
        {4086, "SWAPSPACE2", "swap"},
        {3, "NTFS    ", "ntfs"},
        {3, "-FVE-FS-", "BitLocker"},
        {0, "LUKS\xba\xbe", "crypto_LUKS"},
    };

    for (size_t i = 0; i < sizeof t / sizeof t[0]; i++) {
        auto_free unsigned char *b = calloc(1, FS_PROBE_BYTES);

        memcpy(b + t[i].at, t[i].magic, strlen(t[i].magic));
        check_probe(b, t[i].type, NULL);
    }
}

static void test_a_container_hides_what_was_there_before(void **state)
{
    auto_free unsigned char *b = calloc(1, FS_PROBE_BYTES);

    put_ext(b, 4, 0x2c2);
    memcpy(b + 512, "LABELONE", 8);
    memcpy(b + 512 + 24, "LVM2 001", 8);
    check_probe(b, "LVM2_member", NULL);
}

static void test_vfat_serial_and_label(void **state)
{
    auto_free unsigned char *b = calloc(1, FS_PROBE_BYTES);
    struct fs_facts f;

    b[510] = 0x55;
    b[511] = 0xaa;
    memcpy(b + 82, "FAT32   ", 8);
    le32(b + 67, 0x1234abcd);
    memcpy(b + 71, "EFI        ", 11);
    fs_probe(b, FS_PROBE_BYTES, &f);
    assert_string_equal(f.type, "vfat");
    assert_string_equal(f.uuid, "1234-ABCD");
    assert_string_equal(f.label, "EFI");
}

static void test_short_and_empty_volumes_are_unknown(void **state)
{
    unsigned char b[512] = {0};
    struct fs_facts f;

    for (size_t n = 0; n <= sizeof b; n++) {
        fs_probe(b, n, &f);
        assert_string_equal(f.type, "");
    }
}

static void test_raid_marks_at_the_end(void **state)
{
    unsigned char b[4096] = {0xfc, 0x4e, 0x2b, 0xa9};
    uint64_t at[2];

    md_end_offsets(1u << 20, at);
    assert_int_equal(at[0], (1u << 20) - 65536);
    assert_int_equal(at[1], (1u << 20) - 8192);
    assert_true(md_at_end(b, sizeof b));
    assert_false(md_at_end(b, 3));
}

static void test_arrays_are_known_by_the_guests_names(void **state)
{
    struct volume arrays[] = {
        {.device = "/dev/md126", .disk = UINT32_MAX, .array = "root"},
        {.device = "/dev/md127", .disk = UINT32_MAX, .array = "0"},
    };
    struct storage s = {.volumes = {.v = arrays, .n = 2}};

    assert_ptr_equal(storage_by_device(&s, "/dev/md/root"), &arrays[0]);
    assert_ptr_equal(storage_by_device(&s, "/dev/md0"), &arrays[1]);
    assert_ptr_equal(storage_by_device(&s, "/dev/md/0"), &arrays[1]);
    assert_ptr_equal(storage_by_device(&s, "/dev/md126"), &arrays[0]);
    assert_null(storage_by_device(&s, "/dev/md1"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mbr_with_logical_partitions),
        cmocka_unit_test(test_logical_partitions_in_a_circle_are_refused),
        cmocka_unit_test(test_a_partition_beyond_the_disk_is_refused),
        cmocka_unit_test(test_gpt_with_an_esp),
        cmocka_unit_test(test_a_damaged_gpt_is_refused),
        cmocka_unit_test(test_a_file_system_without_table),
        cmocka_unit_test(test_ext_versions),
        cmocka_unit_test(test_other_types),
        cmocka_unit_test(test_a_container_hides_what_was_there_before),
        cmocka_unit_test(test_vfat_serial_and_label),
        cmocka_unit_test(test_short_and_empty_volumes_are_unknown),
        cmocka_unit_test(test_raid_marks_at_the_end),
        cmocka_unit_test(test_arrays_are_known_by_the_guests_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
