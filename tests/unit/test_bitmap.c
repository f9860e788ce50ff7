/* QEMU's dirty bitmaps over NBD, from a real qcow2 with a persistent one. */
#include "image_kit.h"

#include "image/bitmap.h"

/* A qcow2 with bitmap b0, written at 1 MiB (64 KiB) and 5 MiB (4 KiB) since. */
static void make_image(void)
{
    kit_need("qemu-nbd");
    kit_need("qemu-img");
    kit_need("qemu-io");
    kit_run("qemu-img", "create", "-q", "-f", "qcow2", kit_path("b.qcow2"), "16M");
    kit_run("qemu-img", "bitmap", "--add", "-g", "65536", kit_path("b.qcow2"), "b0");
    kit_run("qemu-io", "-f", "qcow2", "-c", "write -P 1 1M 64k", "-c", "write -P 2 5M 4k",
            kit_path("b.qcow2"));
}

static void start(struct child *c, const char *sock, const char *bitmap)
{
    auto_free char *option = NULL;
    struct err err = ERR_INIT;
    struct child_spec spec = {.in = CHILD_NULL, .out = CHILD_NULL, .err = CHILD_INHERIT};

    option = str_fmt(&err, "--bitmap=%s", bitmap);
    spec.argv = (const char *[]){
        "qemu-nbd",          "-r", "-t", "-f", "qcow2", option, "-k", kit_path(sock),
        kit_path("b.qcow2"), NULL};
    assert_ok(child_spawn(&spec, c, e));
    for (unsigned i = 0; i < 200 && access(kit_path(sock), F_OK) < 0; i++)
        assert_ok(cancel_sleep_ns(NULL, 20 * NS_PER_MS, e));
}

static void test_dirty_ranges_are_read(void **state)
{
    auto_extent_set struct extent_set s = {0};
    struct child c = CHILD_INIT;
    uint64_t size = 0;
    char uri[400];

    make_image();
    start(&c, "b.sock", "b0");
    snprintf(uri, sizeof uri, "nbd+unix:///?socket=%s", kit_path("b.sock"));
    assert_ok(image_dirty_bitmap(uri, "b0", NULL, &s, &size, e));
    assert_int_equal(size, 16 << 20);
    assert_int_equal(s.n, 2);
    assert_int_equal(s.v[0].offset, 1 << 20);
    assert_int_equal(s.v[0].len, 65536);
    assert_int_equal(s.v[1].offset, 5 << 20);
    assert_int_equal(s.v[1].len, 65536);
    assert_fails(image_dirty_bitmap(uri, "b1", NULL, &s, &size, e), ERR_NOT_FOUND,
                 "no dirty bitmap \"b1\"");
    child_stop(&c, NS_PER_S);
}

static void test_what_is_no_export_has_none(void **state)
{
    auto_extent_set struct extent_set s = {0};
    uint64_t size;

    assert_fails(image_dirty_bitmap("/tmp/x.raw", "b", NULL, &s, &size, e), ERR_USAGE,
                 "only an NBD export");
    assert_fails(
        image_dirty_bitmap("nbd+unix:///?socket=/nonexistent/s", "b", NULL, &s, &size, e),
        ERR_NETWORK, "nonexistent");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dirty_ranges_are_read),
        cmocka_unit_test(test_what_is_no_export_has_none),
    };

    return cmocka_run_group_tests(tests, kit_setup, kit_teardown);
}
