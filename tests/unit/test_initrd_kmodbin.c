/* kmod's binary index: what we write is what depmod writes. */
#include "initrd_test.h"

#include "base/io.h"
#include "guest/initrd/kmodbin.h"

#include <dirent.h>

static void add(struct kmodbin_values *v, const char *key, const char *value,
                uint32_t prio)
{
    const struct kmodbin_value n = {
        .key = strdup(key), .value = strdup(value), .priority = prio};

    assert_ok(vec_push(v, n, e));
}

static void test_empty_index_round_trip(void **state)
{
    struct kmodbin_values none = {0}, got = {0};
    auto_buf struct buf b = BUF_INIT;

    assert_ok(kmodbin_write(&none, &b, e));
    assert_int_equal(b.len, 12);
    assert_ok(kmodbin_read(b.data, b.len, &got, e));
    assert_int_equal(got.n, 0);
}

static void test_round_trip_in_key_order(void **state)
{
    struct kmodbin_values v = {0}, got = {0};
    auto_buf struct buf b = BUF_INIT;

    add(&v, "nvme_core", "b", 5);
    add(&v, "nvme", "two", 9);
    add(&v, "nvme", "one", 3);
    add(&v, "n", "x", 1);
    add(&v, "xen", "y", 1);
    add(&v, "caf\xc3\xa9", "left out", 1);
    assert_ok(kmodbin_write(&v, &b, e));
    assert_ok(kmodbin_read(b.data, b.len, &got, e));
    assert_int_equal(got.n, 5);
    assert_string_equal(got.v[0].key, "n");
    assert_string_equal(got.v[1].value, "one");
    assert_string_equal(got.v[2].value, "two");
    assert_int_equal(got.v[2].priority, 9);
    assert_string_equal(got.v[3].key, "nvme_core");
    assert_string_equal(got.v[4].key, "xen");
    kmodbin_values_release(&v);
    kmodbin_values_release(&got);
}

/* Reads a file depmod wrote and writes it again: every byte must agree. */
static void check_same(const char *path)
{
    auto_buf struct buf file = BUF_INIT, again = BUF_INIT;
    struct kmodbin_values v = {0};

    assert_ok(io_read_file(path, 64 << 20, &file, e));
    assert_ok(kmodbin_read(file.data, file.len, &v, e));
    assert_ok(kmodbin_write(&v, &again, e));
    assert_int_equal(again.len, file.len);
    assert_memory_equal(again.data, file.data, file.len);
    kmodbin_values_release(&v);
}

static void test_same_bytes_as_depmod(void **state)
{
    static const char *const names[] = {"dep", "alias", "symbols", "builtin"};
    DIR *d = opendir("/lib/modules");
    unsigned compared = 0;

    for (struct dirent *k; d && (k = readdir(d));)
        for (size_t i = 0; k->d_name[0] != '.' && i < 4; i++) {
            char path[512];

            snprintf(path, sizeof path, "/lib/modules/%s/modules.%s.bin", k->d_name,
                     names[i]);
            if (access(path, R_OK) == 0) {
                check_same(path);
                compared++;
            }
        }
    if (d)
        closedir(d);
    if (!compared)
        skip_because("this computer has no kernel modules to compare with");
}

static void test_damage_is_refused(void **state)
{
    static const uint8_t loop[] = {0xB0, 0x07, 0xF4, 0x57, 0,   2,    0, 1, 0x20,
                                   0,    0,    12,   'a',  'a', 0x20, 0, 0, 12};
    struct kmodbin_values v = {0}, src = {0};
    auto_buf struct buf b = BUF_INIT;

    assert_fails(kmodbin_read("short", 5, &v, e), ERR_INPUT, "byte 4");
    assert_fails(kmodbin_read("not an index", 12, &v, e), ERR_INPUT, "no module index");
    assert_fails(kmodbin_read(loop, sizeof loop, &v, e), ERR_INPUT, "loop");
    add(&src, "nvme", "kernel/nvme.ko:", 1);
    add(&src, "nvme_core", "kernel/nvme-core.ko:", 2);
    assert_ok(kmodbin_write(&src, &b, e));
    for (size_t len = 0; len < b.len; len++) {
        struct err e = ERR_INIT;

        /* Cut anywhere it must end in an error or in less, never beyond the end. */
        auto_free char *exact = malloc(len + 1);
        memcpy(exact, b.data, len);
        if (kmodbin_read(exact, len, &v, &e) == 0)
            kmodbin_values_release(&v);
        else
            assert_int_equal(e.kind, ERR_INPUT);
    }
    assert_int_equal(v.n, 0);
    kmodbin_values_release(&src);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty_index_round_trip),
        cmocka_unit_test(test_round_trip_in_key_order),
        cmocka_unit_test(test_same_bytes_as_depmod),
        cmocka_unit_test(test_damage_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
