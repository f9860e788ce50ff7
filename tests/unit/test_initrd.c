/* Parsing images: segments, formats, limits, and every kind of damage. */
#include "initrd_test.h"

#include "guest/initrd/codec.h"

#include <bzlib.h>
#include <lzma.h>
#include <lzo/lzo1x.h>
#include <zstd.h>

static void small_archive(struct buf *b)
{
    put_dirs(b, "etc");
    put_file(b, "etc/name", "hello\n");
    put_trailer(b);
}

static void assert_content(const struct initrd *im, const char *path, const char *want)
{
    auto_buf struct buf b = BUF_INIT;

    assert_ok(initrd_read(im, path, 1 << 20, &b, e));
    assert_string_equal(buf_str(&b), want);
}

static void test_reads_a_plain_archive(void **state)
{
    auto_buf struct buf b = BUF_INIT;
    auto_initrd struct initrd *im = NULL;
    const struct initrd_segment *s;
    const struct initrd_entry *m;

    small_archive(&b);
    im = parsed(&b);
    assert_int_equal(initrd_segments(im, &s), 1);
    assert_int_equal(s->format, INITRD_RAW);
    assert_int_equal(s->len_bytes, b.len);
    assert_int_equal(initrd_entries(im, &m), 2);
    assert_string_equal(m[1].path, "etc/name");
    assert_int_equal(m[1].size_bytes, 6);
    assert_content(im, "/etc/name", "hello\n");
}

static void put_be32(struct buf *b, uint32_t v)
{
    for (int shift = 24; shift >= 0; shift -= 8)
        buf_addc(b, (char)(v >> shift));
}

/* What lzop 1.04 writes, with the flags of a stream from a pipe. */
static void pack_lzo(const struct buf *plain, struct buf *out)
{
    static const char header[] =
        "\x89LZO\0\r\n\x1a\n\x10\x40\x20\xa0\x09\x40\x01\x05\x03\0\0\x01";
    static uint8_t work[LZO1X_1_MEM_COMPRESS], packed[400 << 10];

    assert_int_equal(lzo_init(), LZO_E_OK);
    buf_add(out, header, sizeof header - 1);
    /* Mode, times, length of the name, checksum. */
    for (int i = 0; i < 17; i++)
        buf_addc(out, 0);
    for (size_t at = 0; at < plain->len; at += 256 << 10) {
        const uint8_t *data = (const uint8_t *)plain->data + at;
        size_t len = plain->len - at < 256 << 10 ? plain->len - at : 256 << 10;
        lzo_uint n = 0;

        assert_int_equal(lzo1x_1_compress(data, len, packed, &n, work), LZO_E_OK);
        put_be32(out, (uint32_t)len);
        put_be32(out, (uint32_t)(n < len ? n : len));
        put_be32(out, (uint32_t)adler32(1, data, (uInt)len));
        buf_add(out, n < len ? packed : data, n < len ? n : len);
    }
    put_be32(out, 0);
}

static void pack_with(enum initrd_format f, const struct buf *plain, struct buf *out)
{
    size_t cap = plain->len + 65536, n = 0;
    unsigned bz = (unsigned)cap;
    lzma_options_lzma lz;
    lzma_stream z = LZMA_STREAM_INIT;
    struct err e = ERR_INIT;

    assert_int_equal(buf_reserve(out, cap, &e), 0);
    switch (f) {
    case INITRD_GZIP:
        put_gzip(out, plain);
        return;
    case INITRD_BZIP2:
        assert_int_equal(BZ2_bzBuffToBuffCompress(out->data + out->len, &bz, plain->data,
                                                  (unsigned)plain->len, 9, 0, 0),
                         BZ_OK);
        n = bz;
        break;
    case INITRD_LZMA:
        lzma_lzma_preset(&lz, 6);
        assert_int_equal(lzma_alone_encoder(&z, &lz), LZMA_OK);
        z.next_in = (uint8_t *)plain->data;
        z.avail_in = plain->len;
        z.next_out = (uint8_t *)out->data + out->len;
        z.avail_out = cap;
        assert_int_equal(lzma_code(&z, LZMA_FINISH), LZMA_STREAM_END);
        n = z.total_out;
        lzma_end(&z);
        break;
    case INITRD_XZ:
        assert_int_equal(
            lzma_easy_buffer_encode(6, LZMA_CHECK_CRC32, NULL, (uint8_t *)plain->data,
                                    plain->len, (uint8_t *)out->data + out->len, &n, cap),
            LZMA_OK);
        break;
    case INITRD_LZO:
        pack_lzo(plain, out);
        return;
    case INITRD_LZ4:
        assert_int_equal(codec_lz4_pack((uint8_t *)plain->data, plain->len, out, &e), 0);
        return;
    default:
        n = ZSTD_compress(out->data + out->len, cap, plain->data, plain->len, 3);
        assert_false(ZSTD_isError(n));
    }
    out->len += n;
}

static void test_reads_every_compression(void **state)
{
    for (int f = INITRD_GZIP; f <= INITRD_LZO; f++) {
        auto_buf struct buf plain = BUF_INIT, b = BUF_INIT;
        auto_initrd struct initrd *im = NULL;
        const struct initrd_segment *s;

        small_archive(&plain);
        pack_with((enum initrd_format)f, &plain, &b);
        im = parsed(&b);
        assert_int_equal(initrd_segments(im, &s), 1);
        assert_int_equal(s->format, f);
        assert_int_equal(s->len_bytes, b.len);
        assert_int_equal(s->unpacked_bytes, plain.len);
        assert_content(im, "etc/name", "hello\n");
    }
}

static void test_every_truncation_of_every_compression_is_an_error(void **state)
{
    for (int f = INITRD_RAW; f <= INITRD_LZO; f++) {
        auto_buf struct buf plain = BUF_INIT, b = BUF_INIT;

        small_archive(&plain);
        if (f == INITRD_RAW)
            buf_add(&b, plain.data, plain.len);
        else
            pack_with((enum initrd_format)f, &plain, &b);
        for (size_t len = 0; len < b.len; len++) {
            struct initrd *im = NULL;
            struct err e = ERR_INIT;

            if (initrd_parse(b.data, len, NULL, &im, &e) == 0) {
                size_t n = initrd_segments(im, &(const struct initrd_segment *){NULL});

                /* A plain archive may end after any member, lz4 before a block. */
                assert_true(f == INITRD_RAW || (f == INITRD_LZ4 && len == 4));
                assert_int_equal(n, 1);
                initrd_free(im);
            } else {
                assert_int_equal(e.kind, ERR_INPUT);
            }
        }
    }
}

static void test_early_archive_and_two_compressed_ones(void **state)
{
    auto_buf struct buf b = BUF_INIT, one = BUF_INIT, two = BUF_INIT;
    auto_initrd struct initrd *im = NULL;
    const struct initrd_segment *s;

    put_dirs(&b, "kernel/x86/microcode");
    put_file(&b, "kernel/x86/microcode/GenuineIntel.bin", "x");
    put_trailer(&b);
    while (b.len % 512)
        buf_addc(&b, 0);
    small_archive(&one);
    put_gzip(&b, &one);
    put_file(&two, "etc/other", "second");
    put_trailer(&two);
    put_gzip(&b, &two);
    im = parsed(&b);
    assert_int_equal(initrd_segments(im, &s), 3);
    assert_true(s[0].early);
    assert_false(s[1].early);
    assert_int_equal(s[1].offset % 512, 0);
    assert_int_equal(s[2].offset, s[1].offset + s[1].len_bytes);
    assert_content(im, "etc/other", "second");
}

static void test_plain_archive_at_odd_offset_is_an_error(void **state)
{
    auto_buf struct buf b = BUF_INIT, one = BUF_INIT, two = BUF_INIT;
    struct initrd *im;

    small_archive(&one);
    put_gzip(&b, &one);
    while (b.len % 4 != 2)
        buf_addc(&b, 0);
    small_archive(&two);
    buf_add(&b, two.data, two.len);
    assert_fails(initrd_parse(b.data, b.len, NULL, &im, e), ERR_INPUT, "multiple of 4");
    assert_fails(initrd_parse(b.data, b.len, NULL, &im, e), ERR_INPUT, "segment 2");
}

static void test_compressed_after_plain_must_be_aligned(void **state)
{
    auto_buf struct buf b = BUF_INIT, one = BUF_INIT;
    struct initrd *im;

    small_archive(&b);
    buf_addc(&b, 0);
    small_archive(&one);
    put_gzip(&b, &one);
    assert_fails(initrd_parse(b.data, b.len, NULL, &im, e), ERR_INPUT, "aligned");
}

static void test_the_pack_format_is_refused_by_name(void **state)
{
    struct initrd *im;

    assert_fails(initrd_parse("\x1f\x9e\0\0\0\0", 6, NULL, &im, e), ERR_UNSUPPORTED,
                 "old gzip");
}

/* Each byte of a block and of the header that matters. */
static void test_a_damaged_lzo_stream_is_found(void **state)
{
    auto_buf struct buf plain = BUF_INIT, b = BUF_INIT;
    size_t found = 0;

    small_archive(&plain);
    pack_with(INITRD_LZO, &plain, &b);
    for (size_t at = 2; at < b.len; at++) {
        struct initrd *im = NULL;
        struct err e = ERR_INIT;

        b.data[at] ^= 0x40;
        if (initrd_parse(b.data, b.len, NULL, &im, &e) == 0)
            initrd_free(im);
        else
            found++;
        b.data[at] ^= 0x40;
    }
    /* The header's times, mode, name and its checksum are as unread as in the kernel. */
    assert_true(found + 38 >= b.len);
}

static void test_junk_and_emptiness(void **state)
{
    auto_buf struct buf b = BUF_INIT;
    struct initrd *im;

    assert_fails(initrd_parse("", 0, NULL, &im, e), ERR_INPUT, "empty");
    assert_fails(initrd_parse("\0\0\0\0", 4, NULL, &im, e), ERR_INPUT, "only zeros");
    assert_fails(initrd_parse("hello", 5, NULL, &im, e), ERR_INPUT,
                 "segment 1 at offset 0");
    small_archive(&b);
    buf_adds(&b, "junk");
    assert_fails(initrd_parse(b.data, b.len, NULL, &im, e), ERR_INPUT,
                 "neither an archive nor");
}

static void test_junk_inside_a_compressed_archive(void **state)
{
    auto_buf struct buf plain = BUF_INIT, b = BUF_INIT;
    struct initrd *im;

    small_archive(&plain);
    buf_adds(&plain, "junk");
    put_gzip(&b, &plain);
    assert_fails(initrd_parse(b.data, b.len, NULL, &im, e), ERR_INPUT, "junk");
}

static void test_size_that_lies_is_truncation(void **state)
{
    auto_buf struct buf b = BUF_INIT;
    struct initrd *im;

    put(&b, &(struct newc){.mode = S_IFREG, .lie = true, .size = 0xfffffff0}, "big", "x",
        1);
    put_trailer(&b);
    assert_fails(initrd_parse(b.data, b.len, NULL, &im, e), ERR_INPUT, "truncated");
}

static void test_name_lengths(void **state)
{
    static const struct {
        uint32_t len;
        const char *says;
    } cases[] = {{4097, "name of 4097 bytes"},
                 {0xffffffff, "4294967295"},
                 {2, "name without its end"}};

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        auto_buf struct buf b = BUF_INIT;
        struct initrd *im;

        put(&b, &(struct newc){.mode = S_IFREG, .name_len = cases[i].len}, "name", NULL,
            0);
        put_trailer(&b);
        assert_fails(initrd_parse(b.data, b.len, NULL, &im, e), ERR_INPUT, cases[i].says);
    }
}

static void test_headers_must_be_newc_and_hexadecimal(void **state)
{
    auto_buf struct buf b = BUF_INIT, c = BUF_INIT;
    struct initrd *im;

    put(&b, &(struct newc){.magic = "070707"}, "x", NULL, 0);
    assert_fails(initrd_parse(b.data, b.len, NULL, &im, e), ERR_UNSUPPORTED, "newc");
    small_archive(&c);
    c.data[20] = 'g';
    assert_fails(initrd_parse(c.data, c.len, NULL, &im, e), ERR_INPUT, "hexadecimal");
}

static void test_checksums_of_crc_archives(void **state)
{
    auto_buf struct buf good = BUF_INIT, bad = BUF_INIT;
    auto_initrd struct initrd *im = NULL;
    struct initrd *none;

    put(&good, &(struct newc){.magic = "070702", .mode = S_IFREG, .sum = 'a' + 'b'}, "f",
        "ab", 2);
    im = parsed(&good);
    assert_content(im, "f", "ab");
    put(&bad, &(struct newc){.magic = "070702", .mode = S_IFREG, .sum = 1}, "f", "ab", 2);
    assert_fails(initrd_parse(bad.data, bad.len, NULL, &none, e), ERR_INPUT, "checksum");
}

static void test_bomb_is_stopped_at_the_limit(void **state)
{
    const struct initrd_limits limits = {.max_unpacked_bytes = 1 << 20,
                                         .max_entries = 10};
    auto_free char *zeros = calloc(1, 8 << 20);
    auto_buf struct buf plain = BUF_INIT, b = BUF_INIT;
    struct initrd *im;

    put(&plain, &(struct newc){.mode = S_IFREG}, "bomb", zeros, 8 << 20);
    put_gzip(&b, &plain);
    assert_true(b.len < 20000);
    assert_fails(initrd_parse(b.data, b.len, &limits, &im, e), ERR_INPUT,
                 "segment 1 (gzip) at offset 0: unpacks to more than the limit of 1 MiB");
}

static void test_number_of_members_is_limited(void **state)
{
    const struct initrd_limits limits = {.max_unpacked_bytes = 1 << 20, .max_entries = 3};
    auto_buf struct buf b = BUF_INIT;
    struct initrd *im;

    for (int i = 0; i < 4; i++)
        put_file(&b, "f", "");
    assert_fails(initrd_parse(b.data, b.len, &limits, &im, e), ERR_INPUT,
                 "more than 3 members");
}

static void test_padded_names_are_read(void **state)
{
    auto_buf struct buf b = BUF_INIT;
    auto_initrd struct initrd *im = NULL;

    /* dracut-cpio pads names with NULs so that data is aligned. */
    buf_addf(&b, "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x", 1,
             S_IFREG | 0600, 0, 0, 1, 0, 2, 0, 0, 0, 0, 18, 0);
    buf_add(&b, "f\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 18);
    buf_add(&b, "hi\0\0", 4);
    im = parsed(&b);
    assert_content(im, "f", "hi");
}

static void test_reading_says_what_is_wrong(void **state)
{
    auto_buf struct buf b = BUF_INIT, out = BUF_INIT;
    auto_initrd struct initrd *im = NULL;

    small_archive(&b);
    im = parsed(&b);
    assert_fails(initrd_read(im, "none", 10, &out, e), ERR_NOT_FOUND, "no /none");
    assert_fails(initrd_read(im, "etc", 10, &out, e), ERR_INPUT, "no regular file");
    assert_fails(initrd_read(im, "etc/name", 5, &out, e), ERR_INPUT, "6 bytes");
    assert_int_equal(out.len, 0);
}

static void test_identifies_tools_by_content(void **state)
{
    static const struct {
        const char *dirs, *file, *init;
        enum initrd_tool tool;
        bool systemd;
    } cases[] = {
        {"scripts", "conf/initramfs.conf", NULL, INITRD_TOOL_INITRAMFS_TOOLS, false},
        {"usr/lib/dracut/hooks", "usr/lib/dracut/dracut-059-4", "usr/lib/systemd/systemd",
         INITRD_TOOL_DRACUT, true},
        {"lib/dracut/hooks", "lib/dracut/dracut-033-572", "bin/sh", INITRD_TOOL_DRACUT,
         false},
        {"pre-udev", "lib/dracut-lib.sh", NULL, INITRD_TOOL_DRACUT_OLD, false},
        {"hooks", "etc/x", NULL, INITRD_TOOL_UNKNOWN, false},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        auto_buf struct buf b = BUF_INIT;
        auto_initrd struct initrd *im = NULL;
        struct initrd_kind kind;
        char dir[100];

        put_dirs(&b, cases[i].dirs);
        snprintf(dir, sizeof dir, "%s", cases[i].file);
        *strrchr(dir, '/') = 0;
        put_dirs(&b, dir);
        put_file(&b, cases[i].file, "");
        if (cases[i].init) {
            snprintf(dir, sizeof dir, "%s", cases[i].init);
            *strrchr(dir, '/') = 0;
            put_dirs(&b, dir);
            put_file(&b, cases[i].init, "x");
            put_link(&b, "init", cases[i].init);
        }
        im = parsed(&b);
        initrd_identify(im, &kind);
        assert_int_equal(kind.tool, cases[i].tool);
        assert_int_equal(kind.systemd, cases[i].systemd);
        if (kind.tool == INITRD_TOOL_DRACUT)
            assert_non_null(strstr(cases[i].file, kind.version));
    }
}

static void test_random_bytes_never_crash(void **state)
{
    unsigned seed = (unsigned)time(NULL);
    auto_buf struct buf plain = BUF_INIT, b = BUF_INIT;

    print_message("# seed %u\n", seed);
    srand(seed);
    small_archive(&plain);
    buf_add(&b, plain.data, plain.len);
    put_gzip(&b, &plain);
    for (int i = 0; i < 20000; i++) {
        auto_buf struct buf c = BUF_INIT;
        struct initrd *im = NULL;
        struct err e = ERR_INIT;

        buf_add(&c, b.data, b.len);
        for (int k = rand() % 4; k >= 0; k--)
            c.data[(size_t)rand() % c.len] = (char)rand();
        if (initrd_parse(c.data, c.len, NULL, &im, &e) == 0)
            initrd_free(im);
        else
            assert_true(e.msg[0]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads_a_plain_archive),
        cmocka_unit_test(test_reads_every_compression),
        cmocka_unit_test(test_every_truncation_of_every_compression_is_an_error),
        cmocka_unit_test(test_early_archive_and_two_compressed_ones),
        cmocka_unit_test(test_plain_archive_at_odd_offset_is_an_error),
        cmocka_unit_test(test_compressed_after_plain_must_be_aligned),
        cmocka_unit_test(test_the_pack_format_is_refused_by_name),
        cmocka_unit_test(test_a_damaged_lzo_stream_is_found),
        cmocka_unit_test(test_junk_and_emptiness),
        cmocka_unit_test(test_junk_inside_a_compressed_archive),
        cmocka_unit_test(test_size_that_lies_is_truncation),
        cmocka_unit_test(test_name_lengths),
        cmocka_unit_test(test_headers_must_be_newc_and_hexadecimal),
        cmocka_unit_test(test_checksums_of_crc_archives),
        cmocka_unit_test(test_bomb_is_stopped_at_the_limit),
        cmocka_unit_test(test_number_of_members_is_limited),
        cmocka_unit_test(test_padded_names_are_read),
        cmocka_unit_test(test_reading_says_what_is_wrong),
        cmocka_unit_test(test_identifies_tools_by_content),
        cmocka_unit_test(test_random_bytes_never_crash),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
