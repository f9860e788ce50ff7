/* VHD and VDI as qemu-img writes them, and damaged by hand; NBD exports; raw images; what
 * is no image. */
#include "image_kit.h"

#include <endian.h>

static void reads_as_written(const char *format, const char *opt, const char *name)
{
    auto_source struct source *s = NULL;

    kit_need("qemu-img");
    kit_random_disk("q.raw", 37 << 20);
    kit_run("qemu-img", "convert", "-f", "raw", "-O", format, "-o", opt,
            kit_path("q.raw"), kit_path("q.img"));
    assert_ok(kit_open("q.img", NULL, &s, e));
    assert_string_equal(s->ops->name, name);
    kit_compare(s, "q.raw");
}

static void test_vdi_reads_as_written(void **state)
{
    reads_as_written("vdi", "static=off", "vdi");
    reads_as_written("vdi", "static=on", "vdi");
}

static void test_dynamic_vhd_reads_as_written(void **state)
{
    reads_as_written("vpc", "subformat=dynamic,force_size=on", "vhd");
}

static void test_fixed_vhd_reads_as_written(void **state)
{
    reads_as_written("vpc", "subformat=fixed,force_size=on", "raw");
}

/* q.img, whose footer and header say so themselves. */
static void make(const char *format, const char *opt)
{
    kit_need("qemu-img");
    kit_random_disk("q.raw", 9 << 20);
    kit_run("qemu-img", "convert", "-f", "raw", "-O", format, "-o", opt,
            kit_path("q.raw"), kit_path("q.img"));
}

static void refused(enum err_kind kind, const char *text)
{
    assert_fails(kit_read_all("q.img", e), kind, text);
}

/* Makes the checksum of a structure of a VHD right again. */
static void seal(uint64_t at, size_t len, size_t at_checksum)
{
    auto_free unsigned char *p = (unsigned char *)kit_read("q.img", NULL);
    uint32_t sum = 0;

    for (size_t i = 0; i < len; i++)
        sum += i < at_checksum || i >= at_checksum + 4 ? p[at + i] : 0;
    sum = htobe32(~sum);
    kit_poke("q.img", at + at_checksum, &sum, 4);
}

/* Bytes of the footer and of its copy. */
static void poke_footer(size_t at, const char *bytes, size_t len)
{
    uint64_t footers[] = {0, kit_size("q.img") - 512};

    for (size_t i = 0; i < 2; i++) {
        kit_poke("q.img", footers[i] + at, bytes, len);
        seal(footers[i], 512, 64);
    }
}

#define DYNAMIC "subformat=dynamic,force_size=on"

static void test_copy_of_the_vhd_footer_is_enough(void **state)
{
    auto_source struct source *s = NULL;

    make("vpc", DYNAMIC);
    kit_poke("q.img", kit_size("q.img") - 512 + 50, "x", 1);
    assert_ok(kit_open("q.img", NULL, &s, e));
    kit_compare(s, "q.raw");
    kit_poke("q.img", 50, "x", 1);
    refused(ERR_INPUT, "the footer of the VHD is damaged");
}

static void test_damaged_vhd_is_refused(void **state)
{
    static const struct kit_damage bad[] = {
        {60, "\0\0\0\x9", 4, "a VHD of type 9", ERR_INPUT},
        {48, "\0\0\0\0\0\0\0\0", 8, "a disk of 0 bytes", ERR_INPUT},
        {48, "\0\0\0\0\0\0\0\7", 8, "a disk of 7 bytes", ERR_INPUT},
        {48, "\0\x50\0\0\0\0\0\0", 8, "at most 64 TiB", ERR_INPUT},
        {48, "\0\0\0\x10\0\0\0\0", 8, "where the disk has 32768", ERR_INPUT},
        {16, "\0\0\0\x10\0\0\0\0", 8, "the dynamic VHD is at byte", ERR_INPUT},
        {16, "\0\0\0\0\0\0\0\0", 8, "the header of the dynamic VHD is damaged",
         ERR_INPUT},
    };

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        make("vpc", DYNAMIC);
        poke_footer(bad[i].at, bad[i].bytes, bad[i].len);
        refused(bad[i].kind, bad[i].text);
    }
}

static void test_damaged_vhd_header_is_refused(void **state)
{
    static const struct kit_damage bad[] = {
        {32, "\0\0\0\0", 4, "blocks of 0 bytes", ERR_INPUT},
        {32, "\0\x20\2\0", 4, "blocks of 2097664 bytes", ERR_INPUT},
        {16, "\0\0\0\0\x10\0\0\0", 8, "does not lie inside the file", ERR_INPUT},
        {28, "\0\0\0\1", 4, "a table of 1 blocks", ERR_INPUT},
    };

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        make("vpc", DYNAMIC);
        kit_poke("q.img", 512 + bad[i].at, bad[i].bytes, bad[i].len);
        refused(ERR_INPUT, "the header of the dynamic VHD is damaged");
        seal(512, 1024, 36);
        refused(bad[i].kind, bad[i].text);
    }
}

static void test_damaged_table_is_refused(void **state)
{
    make("vpc", DYNAMIC);
    kit_poke("q.img", 1536 + 4, "\0\0\0\0", 4);
    refused(ERR_INPUT, "inside the file's own tables");
    kit_poke("q.img", 1536 + 4, "\x70\0\0\0", 4);
    refused(ERR_INPUT, "but the file ends at");
    make("vdi", "static=on");
    kit_poke("q.img", 512 + 4, "\0\0\0\0", 4); /* as entry 0 says */
    refused(ERR_INPUT, "overlaps that of another");
    kit_poke("q.img", 512 + 4, "\0\0\0\x70", 4);
    refused(ERR_INPUT, "but the file ends at");
}

static void test_truncated_images_are_refused(void **state)
{
    make("vdi", "static=on");
    kit_truncate("q.img", kit_size("q.img") - 512);
    refused(ERR_INPUT, "it is truncated");
    make("vpc", DYNAMIC);
    kit_truncate("q.img", kit_size("q.img") - 65536);
    refused(ERR_INPUT, "the file is truncated");
    make("vpc", "subformat=fixed,force_size=on");
    poke_footer(48, "\0\0\0\0\1\0\0\0", 8);
    refused(ERR_INPUT, "it is truncated");
}

static void test_damaged_vdi_is_refused(void **state)
{
    static const struct kit_damage bad[] = {
        {0x46, "\2", 1, "a VDI of version 2.1", ERR_UNSUPPORTED},
        {0x4c, "\4", 1, "of type 4 (a snapshot)", ERR_UNSUPPORTED},
        {0x168, "\0\x10\0\0", 4, "sectors of 4096 bytes", ERR_UNSUPPORTED},
        {0x17c, "\1", 1, "and 1 more at each block", ERR_UNSUPPORTED},
        {0x170, "\0\0\0\0\0\0\0\0", 8, "a disk of 0 bytes", ERR_INPUT},
        {0x178, "\0\2\0\0", 4, "in blocks of 512", ERR_INPUT},
        {0x178, "\0\0\0\0", 4, "in blocks of 0", ERR_INPUT},
        {0x180, "\1\0\0\0", 4, "a table of 1 blocks", ERR_INPUT},
        {0x154, "\0\0\0\x70", 4, "does not lie inside the file", ERR_INPUT},
        {0x158, "\0\0\0\0", 4, "its data begins at byte 0", ERR_INPUT},
    };

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        make("vdi", "static=on");
        kit_poke("q.img", bad[i].at, bad[i].bytes, bad[i].len);
        refused(bad[i].kind, bad[i].text);
    }
}

static void test_differencing_vhd_is_refused(void **state)
{
    make("vpc", DYNAMIC);
    poke_footer(60, "\0\0\0\4", 4);
    refused(ERR_UNSUPPORTED, "a differencing VHD");
}

static void test_format_must_agree_with_the_content(void **state)
{
    struct image_options opt = {.format = "qcow2"};
    struct source *s = NULL;

    kit_random_disk("r.img", 1 << 20);
    assert_fails(kit_open_as(kit_path("r.img"), NULL, &opt, &s, e), ERR_INPUT,
                 "not a qcow2 image");
    opt.format = "floppy";
    assert_fails(kit_open_as(kit_path("r.img"), NULL, &opt, &s, e), ERR_USAGE,
                 "unknown image format \"floppy\"");
}

static void test_member_of_an_ova_is_read_in_place(void **state)
{
    static const char *const formats[] = {"qcow2", "vdi"};

    kit_need("qemu-img");
    kit_random_disk("in.raw", 3 << 20);
    kit_text("in.ovf",
             "<Envelope xmlns:r=\"r\"><References><File id=\"f\" href=\"in.img\"/>"
             "</References><DiskSection><Disk diskId=\"d\" fileRef=\"f\" capacity=\"1\"/>"
             "</DiskSection><VirtualSystem id=\"v\"><VirtualHardwareSection><Item>"
             "<r:ResourceType>17</r:ResourceType>"
             "<r:HostResource>ovf:/disk/d</r:HostResource></Item>"
             "</VirtualHardwareSection></VirtualSystem></Envelope>");
    for (size_t i = 0; i < 2; i++) {
        auto_source struct source *s = NULL;

        kit_run("qemu-img", "convert", "-O", formats[i], kit_path("in.raw"),
                kit_path("in.img"));
        kit_run("tar", "-C", kit_dir, "-cf", kit_path("in.ova"), "in.ovf", "in.img");
        assert_ok(kit_open("in.ova", NULL, &s, e));
        kit_compare(s, "in.raw");
    }
}

/* -------------------------------------------------------------------------- NBD */

/* qemu-nbd or nbdkit on a socket in the scratch folder; retried until it listens. */
static int open_uri(const char *sock, const char *export, struct source **ret,
                    struct err *e)
{
    char uri[400];

    snprintf(uri, sizeof uri, "nbd+unix:///%s?socket=%s", export, kit_path(sock));
    for (unsigned i = 0; i < 100; i++) {
        if (kit_open_as(uri, NULL, NULL, ret, e) == 0)
            return 0;
        if (cancel_sleep_ns(NULL, 50 * NS_PER_MS, e) < 0)
            break;
    }
    return kit_open_as(uri, NULL, NULL, ret, e);
}

static void serve(struct child *c, const char *const *argv)
{
    struct child_spec spec = {
        .argv = argv, .in = CHILD_NULL, .out = CHILD_NULL, .err = CHILD_INHERIT};

    assert_ok(child_spawn(&spec, c, e));
}

static void test_nbd_export_reads_as_served(void **state)
{
    auto_source struct source *s = NULL;
    struct child c = CHILD_INIT;

    kit_need("qemu-nbd");
    kit_random_disk("n.raw", 21 << 20);
    serve(&c, (const char *[]){"qemu-nbd", "-r", "-t", "-e", "8", "-f", "raw", "-x",
                               "exp", "-k", kit_path("n.sock"), kit_path("n.raw"), NULL});
    assert_ok(open_uri("n.sock", "exp", &s, e));
    assert_string_equal(s->ops->name, "nbd");
    kit_compare(s, "n.raw");
    source_free(take_ptr(s));
    child_stop(&c, NS_PER_S);
}

/* Extents of odd lengths; a server that takes one connection only. */
static void test_nbd_extents_of_odd_lengths(void **state)
{
    auto_source struct source *s = NULL;
    struct child c = CHILD_INIT;
    char *want, data[] = "data=@100 1*7 @5000 2 3 @8192 0*4096 @20000 4*9000 @65535 5";
    int fd;

    kit_need("nbdkit");
    serve(&c, (const char *[]){"nbdkit", "-f", "-r", "--filter=noparallel", "-U",
                               kit_path("k.sock"), "data", data, "size=100001", NULL});
    want = calloc(1, 100001);
    memset(want + 100, 1, 7);
    want[5000] = 2;
    want[5001] = 3;
    memset(want + 20000, 4, 9000);
    want[65535] = 5;
    kit_write("k.raw", want, 100001);
    free(want);
    assert_ok(open_uri("k.sock", "", &s, e));
    kit_compare(s, "k.raw");
    source_free(take_ptr(s));
    child_stop(&c, NS_PER_S);
    fd = open(kit_path("k.sock"), O_RDONLY);
    assert_true(fd < 0);
}

static void test_nbd_server_that_dies_is_an_error(void **state)
{
    auto_source struct source *s = NULL;
    struct child c = CHILD_INIT;
    static char buf[65536];
    struct unit u = {.len = sizeof buf, .kind = UNIT_DATA};

    kit_need("qemu-nbd");
    kit_random_disk("n.raw", 1 << 20);
    serve(&c, (const char *[]){"qemu-nbd", "-r", "-t", "-e", "8", "-f", "raw", "-k",
                               kit_path("die.sock"), kit_path("n.raw"), NULL});
    assert_ok(open_uri("die.sock", "", &s, e));
    child_stop(&c, NS_PER_S);
    assert_fails(source_fetch(s, &u, buf, e), ERR_NETWORK,
                 "read of 65536 bytes at byte 0");
}

static void test_nobody_listening_is_an_error(void **state)
{
    struct source *s = NULL;

    assert_fails(kit_open_as("nbd+unix:///?socket=/nonexistent/sock", NULL, NULL, &s, e),
                 ERR_NETWORK, "cannot connect");
    assert_fails(kit_open_as("http://example/disk.vmdk", NULL, NULL, &s, e), ERR_USAGE,
                 "are the URIs that are read");
}

/* -------------------------------------------------------------------------- raw */

static void test_raw_reads_as_it_is(void **state)
{
    auto_source struct source *s = NULL;

    kit_random_disk("plain.raw", (9 << 20) + 512);
    assert_ok(kit_open("plain.raw", NULL, &s, e));
    assert_string_equal(s->ops->name, "raw");
    kit_compare(s, "plain.raw");
}

static void test_raw_of_odd_size_only_when_said(void **state)
{
    struct image_options opt = {.format = "raw"};
    auto_source struct source *s = NULL;

    kit_random_disk("odd.raw", 1000001);
    assert_fails(kit_open("odd.raw", NULL, &s, e), ERR_INPUT, "no multiple of 512");
    assert_ok(kit_open_as(kit_path("odd.raw"), NULL, &opt, &s, e));
    kit_compare(s, "odd.raw");
}

static void test_unknown_file_is_no_raw_disk(void **state)
{
    static char text[4096];
    struct source *s = NULL;

    memset(text, 'x', sizeof text);
    kit_write("notes", text, sizeof text);
    assert_fails(kit_open("notes", NULL, &s, e), ERR_UNSUPPORTED, "--format raw");
    memcpy(text + 510, "\x55\xaa", 2);
    kit_write("notes", text, sizeof text);
    assert_ok(kit_open("notes", NULL, &s, e));
    source_free(s);
}

static void test_pipes_folders_and_empty_files_are_refused(void **state)
{
    struct source *s = NULL;

    assert_int_equal(mkfifo(kit_path("fifo"), 0600), 0);
    assert_fails(kit_open("fifo", NULL, &s, e), ERR_USAGE, "neither a file nor a block");
    assert_fails(kit_open(".", NULL, &s, e), ERR_USAGE, "is a folder");
    kit_write("empty", "", 0);
    assert_fails(kit_open("empty", NULL, &s, e), ERR_INPUT, "is empty");
}

static void test_compressed_files_are_refused_with_the_remedy(void **state)
{
    struct source *s = NULL;

    kit_write("d.img.gz", "\x1f\x8b\x08\0more", 8);
    assert_fails(kit_open("d.img.gz", NULL, &s, e), ERR_UNSUPPORTED,
                 "decompress it first");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vdi_reads_as_written),
        cmocka_unit_test(test_dynamic_vhd_reads_as_written),
        cmocka_unit_test(test_fixed_vhd_reads_as_written),
        cmocka_unit_test(test_copy_of_the_vhd_footer_is_enough),
        cmocka_unit_test(test_damaged_vhd_is_refused),
        cmocka_unit_test(test_damaged_vhd_header_is_refused),
        cmocka_unit_test(test_damaged_table_is_refused),
        cmocka_unit_test(test_truncated_images_are_refused),
        cmocka_unit_test(test_differencing_vhd_is_refused),
        cmocka_unit_test(test_damaged_vdi_is_refused),
        cmocka_unit_test(test_format_must_agree_with_the_content),
        cmocka_unit_test(test_member_of_an_ova_is_read_in_place),
        cmocka_unit_test(test_nbd_export_reads_as_served),
        cmocka_unit_test(test_nbd_extents_of_odd_lengths),
        cmocka_unit_test(test_nbd_server_that_dies_is_an_error),
        cmocka_unit_test(test_nobody_listening_is_an_error),
        cmocka_unit_test(test_raw_reads_as_it_is),
        cmocka_unit_test(test_raw_of_odd_size_only_when_said),
        cmocka_unit_test(test_unknown_file_is_no_raw_disk),
        cmocka_unit_test(test_pipes_folders_and_empty_files_are_refused),
        cmocka_unit_test(test_compressed_files_are_refused_with_the_remedy),
    };
    return cmocka_run_group_tests(tests, kit_setup, kit_teardown);
}
