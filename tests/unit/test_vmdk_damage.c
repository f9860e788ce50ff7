/* VMDKs that are cut, changed or lie, and descriptors that are no disk of their own: each
 * is refused with what is wrong and where, and none gives other bytes. */
#include "image_kit.h"

#include <endian.h>

#define SECTOR 512u
#define GRAIN  65536u

static void refused(enum err_kind kind, const char *text)
{
    assert_fails(kit_read_all("d.vmdk", e), kind, text);
}

/* ---- descriptors ---- */

static const char sound[] = "# Disk DescriptorFile\nversion=1\nCID=4751bf\n"
                            "parentCID=ffffffff\ncreateType=\"monolithicFlat\"\n"
                            "RW 8 FLAT \"flat.raw\" 0\nddb.adapterType = \"ide\"\n";

/* The sound descriptor with one line changed. */
static void write_changed(const char *old, const char *new)
{
    const char *at = strstr(sound, old);
    auto_free char *text = NULL;
    struct err e;

    assert_non_null(at);
    text = str_fmt(&e, "%.*s%s%s", (int)(at - sound), sound, new, at + strlen(old));
    assert_non_null(text);
    kit_text("d.vmdk", text);
}

static void test_descriptors_that_are_no_disk(void **state)
{
    static const char extent[] = "RW 8 FLAT \"flat.raw\" 0";
    static const struct {
        const char *old, *new;
        enum err_kind kind;
        const char *text;
    } cases[] = {
        {"version=1", "version=5", ERR_UNSUPPORTED, "descriptor of version \"5\""},
        {"version=1", "version", ERR_INPUT, "line 2 is no line of a VMDK descriptor"},
        {"=ffffffff", "=12345678", ERR_UNSUPPORTED, "consolidate the VM's snapshots"},
        {"monolithicFlat", "vmfsSparse", ERR_UNSUPPORTED, "a snapshot delta of ESX;"},
        {"monolithicFlat", "vmfsRDMP", ERR_UNSUPPORTED, "clone it to a VMDK first"},
        {"monolithicFlat", "fullDevice", ERR_UNSUPPORTED, "image the device itself"},
        {"monolithicFlat", "new", ERR_UNSUPPORTED, "unknown type \"new\""},
        {"ddb.adapterType", "encryption.keySafe", ERR_UNSUPPORTED, "line 7: the disk is"},
        {"ddb.adapterType", "ddb.iofilters.vmwarevmcrypt", ERR_UNSUPPORTED, "decrypt"},
        {extent, "", ERR_INPUT, "lists no extents"},
        {extent, "RW 0 ZERO", ERR_INPUT, "line 6: an extent of no sectors"},
        {extent, "RW x ZERO", ERR_INPUT, "line 6: \"x\" is no number of sectors"},
        {extent, "RW", ERR_INPUT, "line 6 is no line"},
        {extent, "RW 8", ERR_UNSUPPORTED, "line 6: extent of type (none)"},
        {extent, "RW 8 FLAT", ERR_INPUT, "line 6: the extent names no file"},
        {extent, "RW 8 FLAT \"flat.raw", ERR_INPUT, "line 6: the extent names no file"},
        {extent, "RW 8 FLAT \"flat.raw\" -1", ERR_INPUT, "\"-1\" is no number"},
        {extent, "RW 8 VMFSSPARSE \"flat.raw\"", ERR_UNSUPPORTED, "snapshot delta"},
        {extent, "NOACCESS 8 FLAT \"flat.raw\"", ERR_UNSUPPORTED, "without access"},
        {extent, "RW 274877906945 ZERO", ERR_INPUT, "is no number of sectors"},
        {extent, "RW 274877906944 ZERO\nRW 1 ZERO", ERR_INPUT, "line 7: more than"},
        {extent, "RW 9 FLAT \"flat.raw\" 0", ERR_INPUT, "the file is truncated"},
        {extent, "RW 8 FLAT \"flat.raw\" 1", ERR_INPUT, "ends at byte 4096"},
        {extent, "RW 8 FLAT \"none.raw\" 0", ERR_NOT_FOUND, "none.raw"},
        {extent, "RW 8 FLAT \"../flat.raw\" 0", ERR_UNSUPPORTED, "is outside the fo"},
        {extent, "RW 8 SPARSE \"flat.raw\"", ERR_INPUT, "no KDMV at its start"},
    };

    kit_write("flat.raw", (char[8 * SECTOR]){1}, 8 * SECTOR);
    write_changed("version=1", "version=1");
    assert_ok(kit_read_all("d.vmdk", e));
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        write_changed(cases[i].old, cases[i].new);
        refused(cases[i].kind, cases[i].text);
    }
}

/* What QEMU leaves behind the text when the CID lost digits; other text is damage. */
static void test_what_follows_the_text(void **state)
{
    char file[1024] = {0};
    size_t len = strlen(sound);

    kit_write("flat.raw", (char[8 * SECTOR]){1}, 8 * SECTOR);
    for (size_t left = 0; left <= 6; left++) {
        memset(file, 0, sizeof file);
        memcpy(file, sound, len);
        memcpy(file + len + 1, sound + len - left, left);
        kit_write("d.vmdk", file, sizeof file);
        assert_ok(kit_read_all("d.vmdk", e));
        kit_write("d.vmdk", file, len + 1 + left);
        assert_ok(kit_read_all("d.vmdk", e));
        file[sizeof file - 1] = '\n';
        kit_write("d.vmdk", file, sizeof file);
        refused(ERR_INPUT, "a NUL at byte 137");
    }
    memcpy(file + len + 1, sound + len - 7, 7);
    kit_write("d.vmdk", file, len + 1 + 7);
    refused(ERR_INPUT, "a NUL at byte 137");
    memset(file + len, 0, sizeof file - len);
    memcpy(file + len + 1, "ide'\n", 5); /* no end of the text */
    kit_write("d.vmdk", file, sizeof file);
    refused(ERR_INPUT, "a NUL at byte 137");
    memcpy(file, sound, len);
    file[40] = 0; /* in the middle */
    kit_write("d.vmdk", file, len);
    refused(ERR_INPUT, "a NUL at byte 40");
    kit_write("d.vmdk", sound, len);
    kit_truncate("d.vmdk", (1u << 20) + 1);
    refused(ERR_INPUT, "descriptor of 1048577 bytes");
}

/* ---- sparse extents ---- */

static char *image; /* a sound one; owned */
static size_t image_len;

static void make(const char *subformat, uint64_t size)
{
    char opt[64];

    snprintf(opt, sizeof opt, "subformat=%s", subformat);
    kit_random_disk("disk.raw", size);
    kit_poke("disk.raw", 0, "first", 5);
    kit_poke("disk.raw", GRAIN, "second", 6);
    kit_run("qemu-img", "convert", "-f", "raw", "-O", "vmdk", "-o", opt,
            kit_path("disk.raw"), kit_path("d.vmdk"));
    free(image);
    image = kit_read("d.vmdk", &image_len);
}

static uint64_t field64(size_t at)
{
    uint64_t v;

    memcpy(&v, image + at, sizeof v);
    return le64toh(v);
}

static uint32_t field32(size_t at)
{
    uint32_t v;

    memcpy(&v, image + at, sizeof v);
    return le32toh(v);
}

static void put32(size_t at, uint32_t v)
{
    v = htole32(v);
    memcpy(image + at, &v, sizeof v);
}

static void drop_redundant_directory(void)
{
    put32(8, field32(8) & ~2u);
}

static void write_image(void)
{
    kit_write("d.vmdk", image, image_len);
}

static size_t grain_directory(void)
{
    return (size_t)field64(56) * SECTOR;
}

static size_t first_table(void)
{
    return (size_t)field32(grain_directory()) * SECTOR;
}

static void test_headers_that_lie(void **state)
{
    static const struct kit_damage cases[] = {
        {4, "\x04", 1, "version 4; 1 to 3 are read", ERR_UNSUPPORTED},
        {11, "\x80", 1, "unknown flags 0x80000000", ERR_UNSUPPORTED},
        {12, "\0\0\0\0\0\0\0\0", 8, "capacity in sectors (byte 12) is 0", ERR_INPUT},
        {19, "\x7f", 1, "capacity in sectors (byte 12) is 915", ERR_INPUT},
        {12, "\0\0\x01", 3, "its header says 33554432 bytes", ERR_INPUT},
        {20, "\x81", 1, "not a power of two from 8 to 4096: 129", ERR_INPUT},
        {20, "\x04\0", 2, "not a power of two from 8 to 4096: 4", ERR_INPUT},
        {36, "\x01\x10", 2, "size of the descriptor in sectors (byte 36)", ERR_INPUT},
        {35, "\x01", 1, "the descriptor (10240 bytes at sector 72", ERR_INPUT},
        {44, "\0\x04", 2, "entries per grain table (byte 44) must be 512", ERR_INPUT},
        {73, "\n\n", 2, "transferred in text mode", ERR_INPUT},
        {77, "\x01", 1, "compression algorithm 1", ERR_UNSUPPORTED},
        {10, "\x01", 1, "compressed grains without markers", ERR_UNSUPPORTED},
        {10, "\x02", 1, "markers without compressed grains", ERR_UNSUPPORTED},
        {36, "\0", 1, "name the small .vmdk file", ERR_USAGE},
        {512, "X", 1, "\"# Disk DescriptorFile\" is missing", ERR_INPUT},
    };

    kit_need("qemu-img");
    make("monolithicSparse", 5 << 20);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        write_image();
        kit_poke("d.vmdk", cases[i].at, cases[i].bytes, cases[i].len);
        refused(cases[i].kind, cases[i].text);
    }
}

static void test_tables_that_lie(void **state)
{
    size_t gd, gt;
    uint32_t twin;

    kit_need("qemu-img");
    make("monolithicSparse", 5 << 20);
    gd = grain_directory();
    gt = first_table();
    twin = field32((size_t)field64(48) * SECTOR);
    drop_redundant_directory();

    put32(gt, (uint32_t)(image_len / SECTOR));
    write_image();
    refused(ERR_INPUT, "the data of disk byte 0 is at");
    put32(gt, 1);
    write_image();
    refused(ERR_INPUT, "inside the file's own tables");
    put32(gt, field32(gt + 4));
    write_image();
    refused(ERR_INPUT, "overlaps that of another");
    put32(gd, UINT32_MAX);
    write_image();
    refused(ERR_INPUT, "entry 0 of the grain directory");
    put32(gd, twin);
    write_image();
    assert_ok(kit_read_all("d.vmdk", e));
}

static void keep_note(void *ctx, const char *text)
{
    snprintf(ctx, 400, "%s", text);
}

/* Open as `d.vmdk`, with what was said on the way. */
static int open_noting(struct source **ret, char note[400], struct err *e)
{
    const struct image_options opt = {.note = keep_note, .note_ctx = note};

    *note = 0;
    return kit_open_as(kit_path("d.vmdk"), NULL, &opt, ret, e);
}

static void test_the_redundant_directory(void **state)
{
    auto_source struct source *s = NULL;
    char note[400];

    kit_need("qemu-img");
    make("monolithicSparse", 5 << 20);
    put32(grain_directory(), UINT32_MAX);
    write_image();
    assert_ok(open_noting(&s, note, e));
    assert_non_null(strstr(note, "redundant grain directory is sound and is used"));
    kit_compare(s, "disk.raw");
    image[72] = 1; /* not closed: nothing says which one is right */
    write_image();
    refused(ERR_INPUT, "entry 0 of the grain directory");
}

static void test_an_unclean_extent(void **state)
{
    kit_need("qemu-img");
    make("monolithicSparse", 5 << 20);
    image[72] = 1;
    write_image();
    assert_ok(kit_read_all("d.vmdk", e));
    put32(first_table() + 4, 0);
    write_image();
    refused(ERR_INPUT, "not closed cleanly");
}

/* ---- streams ---- */

/* As a writer that cannot go back ends it. */
static void add_footer(void)
{
    char *longer = calloc(1, image_len + 3 * SECTOR);

    assert_non_null(longer);
    memcpy(longer, image, image_len);
    memcpy(longer + image_len + SECTOR, image, SECTOR); /* the footer */
    memset(longer + 56, 0xff, 8);
    free(image);
    image = longer;
    put32(image_len, 1); /* its marker: one sector, of type 3 */
    put32(image_len + 12, 3);
    image_len += 3 * SECTOR;
}

static void test_footers(void **state)
{
    static const struct {
        size_t from_end;
        const char *bytes, *text;
    } cases[] = {
        {3 * SECTOR - 12, "\x02", "no footer at byte"},
        {2 * SECTOR, "X", "no footer at byte"},
        {SECTOR - 12, "\x01", "no footer at byte"},
        {2 * SECTOR - 12, "\xff", "contradicts the header"},
        {2 * SECTOR - 56, "\xff\xff\xff\xff\xff\xff\xff\xff", "names no grain directory"},
        {2 * SECTOR - 63, "\xff", "does not lie inside the file"},
    };

    kit_need("qemu-img");
    make("streamOptimized", 5 << 20);
    drop_redundant_directory();
    add_footer();
    write_image();
    {
        auto_source struct source *s = NULL;

        assert_ok(kit_open("d.vmdk", NULL, &s, e));
        kit_compare(s, "disk.raw");
    }
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        write_image();
        kit_poke("d.vmdk", image_len - cases[i].from_end, cases[i].bytes,
                 strlen(cases[i].bytes));
        refused(ERR_INPUT, cases[i].text);
    }
    for (unsigned i = 0; i < 50; i++) {
        kit_write("d.vmdk", image, 4 + kit_below(image_len - 4));
        assert_true(kit_read_all("d.vmdk", &(struct err){0}) < 0);
    }
}

/* d.vmdk is refused with a reason, or gives the bytes of disk.raw: what was changed or
 * cut off meant nothing. Whether it was refused. */
static bool refused_or_same(void)
{
    auto_source struct source *s = NULL;
    struct err e = ERR_INIT;

    if (kit_open("d.vmdk", NULL, &s, &e) == 0 && kit_read_source(s, &e) == 0) {
        kit_compare(s, "disk.raw");
        return false;
    }
    assert_int_equal(e.kind, ERR_INPUT);
    assert_non_null(strstr(e.msg, "d.vmdk"));
    return true;
}

/* One changed bit of a record, wherever it is, is never other data. */
static void test_damaged_records(void **state)
{
    unsigned refused = 0, times = 0;

    kit_need("qemu-img");
    make("streamOptimized", 3 << 20);
    for (uint64_t g = 0; g < (3 << 20) / GRAIN; g++) {
        size_t at = (size_t)field32(first_table() + 4 * g) * SECTOR;

        for (unsigned i = 0; at && i < 40; i++) {
            uint64_t byte = i < 12 ? i : kit_below(12 + field32(at + 8));
            char flipped = (char)(image[at + byte] ^ 1 << kit_below(8));

            write_image();
            kit_poke("d.vmdk", at + byte, &flipped, 1);
            refused += refused_or_same();
            times++;
        }
    }
    /* Unused bits at the end of a deflate stream are all that may change. */
    assert_true(refused > times / 2);
}

static void test_cut_files(void **state)
{
    static const char *const kinds[] = {"monolithicSparse", "streamOptimized"};

    kit_need("qemu-img");
    for (size_t k = 0; k < 2; k++) {
        size_t grain;

        make(kinds[k], 2 << 20);
        grain = (size_t)field32(first_table()) * SECTOR;
        for (unsigned i = 0; i < 60; i++) {
            kit_write("d.vmdk", image, 4 + kit_below(grain - 3)); /* holds no data */
            assert_true(refused_or_same());
            kit_write("d.vmdk", image, 4 + kit_below(image_len - 4));
            refused_or_same();
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_descriptors_that_are_no_disk),
        cmocka_unit_test(test_what_follows_the_text),
        cmocka_unit_test(test_headers_that_lie),
        cmocka_unit_test(test_tables_that_lie),
        cmocka_unit_test(test_the_redundant_directory),
        cmocka_unit_test(test_an_unclean_extent),
        cmocka_unit_test(test_footers),
        cmocka_unit_test(test_damaged_records),
        cmocka_unit_test(test_cut_files),
    };
    int failed = cmocka_run_group_tests(tests, kit_setup, kit_teardown);

    free(image);
    return failed;
}
