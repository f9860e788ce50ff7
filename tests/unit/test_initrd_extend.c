/* Extending images: what is added, where, how it is joined, and that it is done once. */
#include "initrd_test.h"

#include "guest/initrd/codec.h"
#include "guest/initrd/kmodbin.h"

#include <lzma.h>

#define K      "6.1"
#define ELF    "\177ELF is how an object begins, and sixty-four bytes at least it has to be."
#define MODDIR "usr/lib/modules/" K "/"

/* The guest: two drivers and what they need; one packed with xz, one built in. */
static int read_guest(void *ctx, const char *path, struct buf *out, struct err *e)
{
    static const struct {
        const char *path, *text;
    } files[] = {
        {"modules.dep", "kernel/nvme.ko.xz: kernel/nvme-core.ko kernel/t10-pi.ko\n"
                        "kernel/nvme-core.ko: kernel/t10-pi.ko\n"
                        "kernel/t10-pi.ko:\nkernel/ext4.ko:\n"
                        "kernel/xen-blkfront.ko:\nkernel/broken.ko:\n"
                        "kernel/hollow.ko.xz:\n"},
        {"modules.builtin", "kernel/virtio_blk.ko\n"},
        {"modules.alias", "alias pci:v*d*sv*sd*bc01sc08i02* nvme\n"
                          "alias xen:vbd xen_blkfront\nalias fs-ext4 ext4\n"},
        {"modules.symbols", "alias symbol:nvme_init nvme_core\n"},
        {"modules.softdep", "softdep nvme pre: ext4\n"},
        {"kernel/nvme-core.ko", ELF "core"},
        {"kernel/t10-pi.ko", ELF "t10"},
        {"kernel/ext4.ko", ELF "ext4"},
        {"kernel/xen-blkfront.ko", ELF "xen"},
        {"kernel/broken.ko", "no object, but as long as one, to be found by its magic "
                             "number only"},
        {"kernel/hollow.ko.xz", "not xz at all"},
    };
    const char *base = "/lib/modules/" K "/";

    assert_true(str_starts(path, base));
    path += strlen(base);
    if (str_eq(path, "kernel/nvme.ko.xz")) {
        uint8_t packed[1024];
        size_t n = 0;

        assert_int_equal(lzma_easy_buffer_encode(
                             6, LZMA_CHECK_CRC32, NULL, (const uint8_t *)ELF "nvme",
                             strlen(ELF "nvme"), packed, &n, sizeof packed),
                         LZMA_OK);
        buf_add(out, packed, n);
        return 0;
    }
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        if (str_eq(path, files[i].path)) {
            buf_adds(out, files[i].text);
            return 0;
        }
    return err_set(e, ERR_NOT_FOUND, "no %s", path);
}

/* As initramfs-tools makes it: lib leads to usr/lib, t10-pi and ext4 are inside. */
static void tools_tree(struct buf *b, bool with_index)
{
    put_dirs(b, MODDIR "kernel");
    put_link(b, "lib", "usr/lib");
    put_dirs(b, "scripts");
    put_dirs(b, "conf");
    put_file(b, "conf/initramfs.conf", "MODULES=list\n");
    put_file(b, "conf/modules", "# early\next4 opt=1");
    put_file(b, MODDIR "kernel/t10-pi.ko.xz", "inside, packed");
    put_file(b, MODDIR "kernel/ext4.ko", ELF);
    if (with_index) {
        put_file(b, MODDIR "modules.dep",
                 "kernel/t10-pi.ko.xz:\nkernel/ext4.ko: kernel/t10-pi.ko.xz\n");
        put_file(b, MODDIR "modules.alias", "alias fs-ext4 ext4\n");
    }
    put_trailer(b);
}

struct fixture {
    struct modules *guest;
    struct initrd_want want[3];
    struct initrd_request rq;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    assert_ok(modules_load(K, read_guest, NULL, &f->guest, e));
    f->want[0] = (struct initrd_want){"nvme", INITRD_REQUIRED};
    f->want[1] = (struct initrd_want){"xen-blkfront", INITRD_IF_PRESENT};
    f->want[2] = (struct initrd_want){"virtio-blk", INITRD_REQUIRED};
    f->rq = (struct initrd_request){
        .kernel = K, .guest = f->guest, .want = f->want, .n_want = 3, .read = read_guest};
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    modules_free(f->guest);
    free(f);
    return 0;
}

static struct initrd_extension extended(struct fixture *f, const struct buf *image)
{
    auto_initrd struct initrd *im = parsed(image);
    struct initrd_extension x = {0};

    assert_ok(initrd_extend(im, &f->rq, &x, e));
    return x;
}

static void assert_text(const struct initrd *im, const char *path, const char *want)
{
    auto_buf struct buf b = BUF_INIT;

    assert_ok(initrd_read(im, path, 1 << 20, &b, e));
    assert_string_equal(buf_str(&b), want);
}

static void test_adds_what_is_missing_and_nothing_else(void **state)
{
    auto_buf struct buf b = BUF_INIT;
    auto_initrd struct initrd *im = NULL;
    auto_initrd_extension struct initrd_extension x = {0};
    const struct initrd_segment *s;

    tools_tree(&b, true);
    x = extended(*state, &b);
    im = parsed(&x.image);
    assert_false(x.nothing_to_do);
    assert_int_equal(x.join, INITRD_JOIN_RAW);
    assert_text(im, MODDIR "kernel/nvme.ko", ELF "nvme");
    assert_text(im, "lib/modules/" K "/kernel/nvme-core.ko", ELF "core");
    assert_text(im, MODDIR "kernel/t10-pi.ko.xz", "inside, packed");
    assert_false(initrd_has_file(im, MODDIR "kernel/t10-pi.ko"));
    assert_int_equal(initrd_segments(im, &s), 2);
    assert_int_equal(s[1].offset % 512, 0);
    assert_int_equal(x.image.len % 512, 0);
    assert_memory_equal(x.image.data, b.data, b.len);
}

static void test_reports_every_module(void **state)
{
    static const struct {
        const char *name;
        enum initrd_module_state state;
        bool wanted;
    } want[] = {
        {"nvme", INITRD_MODULE_ADDED, true},
        {"xen_blkfront", INITRD_MODULE_ADDED, true},
        {"virtio_blk", INITRD_MODULE_BUILTIN, true},
        {"ext4", INITRD_MODULE_INSIDE, false},
        {"t10_pi", INITRD_MODULE_INSIDE, false},
        {"nvme_core", INITRD_MODULE_ADDED, false},
    };
    auto_buf struct buf b = BUF_INIT;
    auto_initrd_extension struct initrd_extension x = {0};

    tools_tree(&b, true);
    x = extended(*state, &b);
    assert_int_equal(x.modules.n, 6);
    for (size_t i = 0; i < 6; i++) {
        bool found = false;

        vec_foreach (m, &x.modules)
            if (str_eq(m->name, want[i].name)) {
                found = true;
                assert_int_equal(m->state, want[i].state);
                assert_int_equal(m->wanted, want[i].wanted);
            }
        assert_true(found);
    }
}

static void test_index_names_files_as_the_image_has_them(void **state)
{
    auto_buf struct buf b = BUF_INIT, bin = BUF_INIT;
    auto_initrd struct initrd *im = NULL;
    auto_initrd_extension struct initrd_extension x = {0};
    struct kmodbin_values v = {0};
    bool seen = false;

    tools_tree(&b, true);
    x = extended(*state, &b);
    im = parsed(&x.image);
    assert_text(im, MODDIR "modules.dep",
                "kernel/t10-pi.ko.xz:\nkernel/ext4.ko: kernel/t10-pi.ko.xz\n"
                "kernel/nvme-core.ko: kernel/t10-pi.ko.xz\n"
                "kernel/nvme.ko: kernel/nvme-core.ko kernel/t10-pi.ko.xz\n"
                "kernel/xen-blkfront.ko:\n");
    assert_ok(initrd_read(im, MODDIR "modules.dep.bin", 1 << 20, &bin, e));
    assert_ok(kmodbin_read(bin.data, bin.len, &v, e));
    assert_int_equal(v.n, 5);
    vec_foreach (i, &v)
        if (str_eq(i->key, "nvme")) {
            seen = true;
            assert_string_equal(
                i->value, "kernel/nvme.ko: kernel/nvme-core.ko kernel/t10-pi.ko.xz");
        }
    assert_true(seen);
    kmodbin_values_release(&v);
    assert_text(im, MODDIR "modules.softdep", "softdep nvme pre: ext4\n");
    assert_text(im, MODDIR "modules.symbols", "alias symbol:nvme_init nvme_core\n");
}

static void test_image_without_any_index_gets_one(void **state)
{
    auto_buf struct buf b = BUF_INIT;
    auto_initrd struct initrd *im = NULL;
    auto_initrd_extension struct initrd_extension x = {0};

    tools_tree(&b, false);
    x = extended(*state, &b);
    im = parsed(&x.image);
    assert_ok(initrd_check(im, &((struct fixture *)*state)->rq, e));
    assert_true(initrd_has_file(im, MODDIR "modules.alias.bin"));
}

static void test_list_of_modules_is_merged(void **state)
{
    auto_buf struct buf b = BUF_INIT;
    auto_initrd struct initrd *im = NULL;
    auto_initrd_extension struct initrd_extension x = {0};

    tools_tree(&b, true);
    x = extended(*state, &b);
    im = parsed(&x.image);
    assert_text(im, "conf/modules", "# early\next4 opt=1\nnvme\nxen_blkfront\n");
}

static void test_second_time_there_is_nothing_to_do(void **state)
{
    auto_buf struct buf b = BUF_INIT;
    auto_initrd_extension struct initrd_extension x = {0}, again = {0};

    tools_tree(&b, true);
    x = extended(*state, &b);
    again = extended(*state, &x.image);
    assert_true(again.nothing_to_do);
    assert_int_equal(again.image.len, 0);
    assert_int_equal(again.modules.v[0].state, INITRD_MODULE_INSIDE);
}

/* A file is replaced, another is new; then neither is missing, until one is to differ. */
static void test_extra_files_are_put_in_once(void **state)
{
    struct fixture *f = *state;
    struct initrd_extra extra[] = {{"conf/initramfs.conf", "MODULES=dep\n", 12},
                                   {"etc/lvm/lvm.conf", "open\n", 5}};
    auto_buf struct buf b = BUF_INIT;
    auto_initrd struct initrd *im = NULL, *other = NULL;
    auto_initrd_extension struct initrd_extension x = {0}, again = {0}, changed = {0};

    f->rq.extra = extra;
    f->rq.n_extra = 2;
    tools_tree(&b, true);
    x = extended(f, &b);
    im = parsed(&x.image);
    assert_text(im, "conf/initramfs.conf", "MODULES=dep\n");
    assert_text(im, "etc/lvm/lvm.conf", "open\n");
    again = extended(f, &x.image);
    assert_true(again.nothing_to_do);
    extra[1].data = "shut\n";
    assert_fails(initrd_check(im, &f->rq, e), ERR_REQUIREMENT, "/etc/lvm/lvm.conf");
    changed = extended(f, &x.image);
    other = parsed(&changed.image);
    assert_text(other, "etc/lvm/lvm.conf", "shut\n");
    assert_true(changed.replaced_earlier);
}

static void test_a_modules_object_is_unpacked(void **state)
{
    struct fixture *f = *state;
    auto_buf struct buf b = BUF_INIT, none = BUF_INIT;

    assert_ok(initrd_module_object(f->guest, K, "nvme", read_guest, NULL, &b, e));
    assert_string_equal(buf_str(&b), ELF "nvme");
    assert_fails(
        initrd_module_object(f->guest, K, "virtio-blk", read_guest, NULL, &none, e),
        ERR_NOT_FOUND, "virtio-blk");
    assert_fails(initrd_module_object(f->guest, K, "hollow", read_guest, NULL, &none, e),
                 ERR_INPUT, "hollow");
}

static void test_equal_inputs_give_equal_bytes(void **state)
{
    auto_buf struct buf b = BUF_INIT;
    auto_initrd_extension struct initrd_extension x = {0}, y = {0};

    tools_tree(&b, true);
    x = extended(*state, &b);
    y = extended(*state, &b);
    assert_int_equal(x.image.len, y.image.len);
    assert_memory_equal(x.image.data, y.image.data, x.image.len);
}

/* Extends for one module, then for all, whatever the way of joining: the result must be
 * what extending for all at once gives. */
static void check_replaced(struct fixture *f, const struct buf *b, enum initrd_join join)
{
    auto_initrd_extension struct initrd_extension one = {0}, two = {0}, all = {0};

    f->rq.join = join;
    all = extended(f, b);
    f->rq.want = &f->want[1];
    f->rq.n_want = 1;
    one = extended(f, b);
    f->rq.want = f->want;
    f->rq.n_want = 3;
    f->rq.join = INITRD_JOIN_AUTO;
    two = extended(f, &one.image);
    assert_true(two.replaced_earlier);
    assert_int_equal(two.join, join);
    assert_int_equal(two.image.len, all.image.len);
    assert_memory_equal(two.image.data, all.image.data, two.image.len);
}

static void test_earlier_supplement_is_replaced_raw(void **state)
{
    auto_buf struct buf b = BUF_INIT, plain = BUF_INIT;

    tools_tree(&plain, true);
    put_gzip(&b, &plain);
    check_replaced(*state, &b, INITRD_JOIN_RAW);
}

static void test_earlier_supplement_is_replaced_lz4(void **state)
{
    auto_buf struct buf b = BUF_INIT, plain = BUF_INIT;

    tools_tree(&plain, true);
    assert_ok(codec_lz4_pack((uint8_t *)plain.data, plain.len, &b, e));
    check_replaced(*state, &b, INITRD_JOIN_LZ4);
}

static void test_earlier_supplement_is_replaced_recompressed(void **state)
{
    auto_buf struct buf b = BUF_INIT, plain = BUF_INIT;

    tools_tree(&plain, true);
    put_gzip(&b, &plain);
    check_replaced(*state, &b, INITRD_JOIN_RECOMPRESS);
}

static void test_lz4_goes_on_in_the_same_stream(void **state)
{
    auto_buf struct buf b = BUF_INIT, plain = BUF_INIT;
    auto_initrd struct initrd *im = NULL;
    auto_initrd_extension struct initrd_extension x = {0};
    const struct initrd_segment *s;
    size_t len;

    tools_tree(&plain, true);
    assert_ok(codec_lz4_pack((uint8_t *)plain.data, plain.len, &b, e));
    len = b.len;
    /* Zeros at the end would stop an old kernel, so they must not stay between. */
    buf_add(&b, "\0\0\0\0\0\0", 6);
    x = extended(*state, &b);
    assert_memory_equal(x.image.data + len, "\x02\x21\x4c\x18", 4);
    im = parsed(&x.image);
    assert_int_equal(initrd_segments(im, &s), 1);
    assert_int_equal(s->len_bytes, x.image.len);
}

static void test_whatever_follows_ours_is_kept(void **state)
{
    struct fixture *f = *state;
    auto_buf struct buf b = BUF_INIT;
    auto_initrd struct initrd *im = NULL;
    auto_initrd_extension struct initrd_extension one = {0}, two = {0};

    tools_tree(&b, true);
    f->rq.want = &f->want[1];
    f->rq.n_want = 1;
    one = extended(f, &b);
    put_file(&one.image, "theirs", "kept");
    put_trailer(&one.image);
    f->rq.want = f->want;
    f->rq.n_want = 3;
    two = extended(f, &one.image);
    assert_false(two.replaced_earlier);
    im = parsed(&two.image);
    assert_text(im, "theirs", "kept");
}

static void test_shared_files_are_not_written_through(void **state)
{
    const struct newc h = {.mode = S_IFREG | 0644, .nlink = 2, .ino = 7};
    auto_buf struct buf b = BUF_INIT;
    auto_initrd struct initrd *im = NULL;
    auto_initrd_extension struct initrd_extension x = {0};

    put(&b, &h, "shared", "ext4\n", 5);
    put_dirs(&b, "conf");
    put(&b, &h, "conf/modules", NULL, 0);
    put_dirs(&b, "scripts");
    put_file(&b, "conf/initramfs.conf", "");
    put_trailer(&b);
    x = extended(*state, &b);
    im = parsed(&x.image);
    assert_text(im, "shared", "ext4\n");
    assert_text(im, "conf/modules", "ext4\nnvme\nxen_blkfront\n");
}

static void dracut_tree(struct buf *b, const char *hooks, bool systemd)
{
    put_dirs(b, hooks);
    put_dirs(b, "usr/lib/systemd");
    put_file(b, "usr/lib/systemd/systemd", "x");
    put_file(b, "init.sh", "x");
    put_link(b, "init", systemd ? "usr/lib/systemd/systemd" : "init.sh");
    put_trailer(b);
}

static void test_dracut_gets_a_hook(void **state)
{
    auto_buf struct buf b = BUF_INIT;
    auto_initrd struct initrd *im = NULL;
    auto_initrd_extension struct initrd_extension x = {0};
    struct initrd_stat st;

    dracut_tree(&b, "usr/lib/dracut/hooks", false);
    x = extended(*state, &b);
    im = parsed(&x.image);
    assert_true(initrd_stat(im, "usr/lib/dracut/hooks/pre-udev/05-hotadd.sh",
                            INITRD_NOFOLLOW, &st));
    assert_int_equal(st.mode, S_IFREG | 0755);
    assert_false(initrd_has_file(im, "etc/modules-load.d/hotadd.conf"));
    assert_true(initrd_has_file(im, "lib/modules/" K "/kernel/nvme.ko"));
}

static void test_dracut_with_systemd_gets_a_list_too(void **state)
{
    auto_buf struct buf b = BUF_INIT;
    auto_initrd struct initrd *im = NULL;
    auto_initrd_extension struct initrd_extension x = {0};

    dracut_tree(&b, "lib/dracut/hooks", true);
    x = extended(*state, &b);
    im = parsed(&x.image);
    assert_text(im, "etc/modules-load.d/hotadd.conf", "nvme\nxen_blkfront\n");
    assert_true(initrd_has_file(im, "lib/dracut/hooks/pre-udev/05-hotadd.sh"));
}

static void test_old_dracut_has_its_hooks_at_the_root(void **state)
{
    auto_buf struct buf b = BUF_INIT;
    auto_initrd struct initrd *im = NULL;
    auto_initrd_extension struct initrd_extension x = {0};

    put_dirs(&b, "pre-udev");
    put_dirs(&b, "lib");
    put_file(&b, "lib/dracut-lib.sh", "");
    put_trailer(&b);
    x = extended(*state, &b);
    im = parsed(&x.image);
    assert_true(initrd_has_file(im, "pre-udev/05-hotadd.sh"));
}

static void check_refused(struct fixture *f, void (*tree)(struct buf *),
                          enum err_kind kind, const char *says)
{
    auto_buf struct buf b = BUF_INIT;
    auto_initrd struct initrd *im = NULL;
    struct initrd_extension x = {0};

    tree(&b);
    im = parsed(&b);
    assert_fails(initrd_extend(im, &f->rq, &x, e), kind, says);
    assert_int_equal(x.image.len, 0);
}

static void plain_tools(struct buf *b)
{
    tools_tree(b, true);
}

static void unknown_tool(struct buf *b)
{
    put_file(b, "init", "x");
}

static void list_is_a_directory(struct buf *b)
{
    put_dirs(b, "conf/modules");
    put_dirs(b, "scripts");
    put_file(b, "conf/initramfs.conf", "");
}

static void index_is_damaged(struct buf *b)
{
    plain_tools(b);
    put_file(b, MODDIR "modules.dep.bin", "this is no index");
}

static void test_refusals_say_why(void **state)
{
    struct fixture *f = *state;

    check_refused(f, unknown_tool, ERR_UNSUPPORTED, "neither initramfs-tools nor dracut");
    check_refused(f, list_is_a_directory, ERR_UNSUPPORTED, "/conf/modules");
    check_refused(f, index_is_damaged, ERR_INPUT, "modules.dep.bin");
    f->want[0].module = "ena";
    check_refused(f, plain_tools, ERR_REQUIREMENT, "has no driver ena");
    f->want[0].module = "broken";
    check_refused(f, plain_tools, ERR_INPUT, "no ELF object");
    f->want[0].module = "hollow";
    check_refused(f, plain_tools, ERR_INPUT, "hollow.ko.xz");
    f->want[0].module = "../nvme";
    check_refused(f, plain_tools, ERR_REQUIREMENT, "../nvme");
}

static void test_check_names_the_first_thing_missing(void **state)
{
    struct fixture *f = *state;
    auto_buf struct buf b = BUF_INIT;
    auto_initrd struct initrd *im = NULL;

    tools_tree(&b, true);
    im = parsed(&b);
    assert_fails(initrd_check(im, &f->rq, e), ERR_REQUIREMENT, "index lacks nvme_core");
}

static void test_index_line_to_nowhere_is_mended(void **state)
{
    auto_buf struct buf b = BUF_INIT;
    auto_initrd struct initrd *im = NULL;
    auto_initrd_extension struct initrd_extension x = {0};

    tools_tree(&b, false);
    put_file(&b, MODDIR "modules.dep", "kernel/nvme-core.ko: kernel/gone.ko\n");
    put_file(&b, MODDIR "kernel/nvme-core.ko", ELF "theirs");
    x = extended(*state, &b);
    im = parsed(&x.image);
    assert_text(im, MODDIR "kernel/nvme-core.ko", ELF "theirs");
    assert_ok(initrd_check(im, &((struct fixture *)*state)->rq, e));
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_adds_what_is_missing_and_nothing_else),
        T(test_reports_every_module),
        T(test_index_names_files_as_the_image_has_them),
        T(test_image_without_any_index_gets_one),
        T(test_list_of_modules_is_merged),
        T(test_second_time_there_is_nothing_to_do),
        T(test_extra_files_are_put_in_once),
        T(test_a_modules_object_is_unpacked),
        T(test_equal_inputs_give_equal_bytes),
        T(test_earlier_supplement_is_replaced_raw),
        T(test_earlier_supplement_is_replaced_lz4),
        T(test_earlier_supplement_is_replaced_recompressed),
        T(test_lz4_goes_on_in_the_same_stream),
        T(test_whatever_follows_ours_is_kept),
        T(test_shared_files_are_not_written_through),
        T(test_dracut_gets_a_hook),
        T(test_dracut_with_systemd_gets_a_list_too),
        T(test_old_dracut_has_its_hooks_at_the_root),
        T(test_refusals_say_why),
        T(test_check_names_the_first_thing_missing),
        T(test_index_line_to_nowhere_is_mended),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
