/* Images that were used: written over, zeroed and discarded in several runs of their
 * machine (qemu-io), and then read as qemu-img reads them. A converted image has every
 * table in order; these have not. */
#include "image_kit.h"

#define RUNS     3
#define COMMANDS 20

struct kind {
    const char *format, *options;
    bool compressed; /* what it begins with, and some of what is written */
};

/* One command of qemu-io. Only a whole cluster can be written compressed. */
static void scribble(const struct kind *k, uint64_t size, char *command, size_t len)
{
    static const char *const verbs[] = {"write -P 7", "write -P 9", "write -z",
                                        "write -z -u", "discard"};
    uint64_t at = kit_below(size / 512) * 512, n = (1 + kit_below(600)) * 512;
    size_t n_verbs = str_eq(k->format, "qcow2") ? 5 : 4;

    n = n < size - at ? n : size - at;
    if (k->compressed && kit_below(5) == 0)
        snprintf(command, len, "write -c -P 8 %" PRIu64 " 64k", at / 2 / 65536 * 65536);
    else
        snprintf(command, len, "%s %" PRIu64 " %" PRIu64, verbs[kit_below(n_verbs)], at,
                 n);
}

static void run_once(const struct kind *k, uint64_t size)
{
    const char *argv[5 + 2 * COMMANDS] = {"qemu-io", "-f", k->format};
    auto_buf struct buf out = BUF_INIT;
    char commands[COMMANDS][64];
    struct err e;
    size_t n = 3;

    for (size_t i = 0; i < COMMANDS; i++) {
        scribble(k, size, commands[i], sizeof commands[i]);
        argv[n++] = "-c";
        argv[n++] = commands[i];
    }
    argv[n++] = kit_path("h.img");
    /* What is stored already cannot be written compressed: said, and passed over. */
    if (child_run(argv, 1u << 20, &out, NULL, 120 * NS_PER_S, &e) < 0 && !k->compressed)
        fail_msg("%s: %s", e.msg, buf_str(&out));
}

static void use(const struct kind *k)
{
    uint64_t size = (11 << 20) + 512 * kit_below(2048);
    auto_source struct source *s = NULL;

    kit_random_disk("h.raw", size);
    kit_run("qemu-img", "convert", "-f", "raw", "-O", k->format, "-o", k->options,
            kit_path("h.raw"), kit_path("h.img"), k->compressed ? "-c" : NULL);
    for (unsigned i = 0; i < RUNS; i++) {
        run_once(k, size);
        /* The time before keeps clusters of its own in the file. */
        if (str_eq(k->format, "qcow2") && i == 0)
            kit_run("qemu-img", "snapshot", "-c", "before", kit_path("h.img"));
    }
    kit_run("qemu-img", "convert", "-f", k->format, "-O", "raw", kit_path("h.img"),
            kit_path("h.raw"));
    assert_ok(kit_open("h.img", NULL, &s, e));
    print_message("# %s %s\n", k->format, k->options);
    kit_compare(s, "h.raw");
}

static void use_all(const struct kind *k, size_t n)
{
    kit_need("qemu-io");
    for (size_t i = 0; i < n; i++)
        use(&k[i]);
}

#define USE(kinds) use_all(kinds, sizeof(kinds) / sizeof((kinds)[0]))

static void test_a_used_qcow2(void **state)
{
    static const struct kind kinds[] = {
        {"qcow2", "compat=0.10", false},
        {"qcow2", "compat=1.1", false},
        {"qcow2", "compat=1.1", true},
        {"qcow2", "cluster_size=4k", false},
        {"qcow2", "cluster_size=2M", false},
        {"qcow2", "compression_type=zstd", true},
        {"qcow2", "extended_l2=on", false},
        {"qcow2", "extended_l2=on", true},
        {"qcow2", "extended_l2=on,cluster_size=16k", true},
        {"qcow2", "extended_l2=on,cluster_size=2M,compression_type=zstd", true},
        {"qcow2", "preallocation=metadata", false},
    };

    USE(kinds);
}

static void test_a_used_vmdk(void **state)
{
    static const struct kind kinds[] = {
        {"vmdk", "subformat=monolithicSparse", false},
        {"vmdk", "subformat=monolithicSparse,zeroed_grain=on", false},
        {"vmdk", "subformat=monolithicFlat", false},
        {"vmdk", "subformat=twoGbMaxExtentSparse", false},
        {"vmdk", "subformat=twoGbMaxExtentFlat", false},
    };

    USE(kinds);
}

static void test_a_used_vhdx(void **state)
{
    static const struct kind kinds[] = {
        {"vhdx", "subformat=dynamic", false},
        {"vhdx", "subformat=dynamic,block_size=1M", false},
        {"vhdx", "subformat=dynamic,block_state_zero=off", false},
        {"vhdx", "subformat=fixed", false},
    };

    USE(kinds);
}

static void test_a_used_vhd_and_vdi(void **state)
{
    static const struct kind kinds[] = {
        {"vpc", "subformat=dynamic,force_size=on", false},
        {"vpc", "subformat=fixed,force_size=on", false},
        {"vdi", "static=off", false},
        {"vdi", "static=on", false},
    };

    USE(kinds);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_used_qcow2),
        cmocka_unit_test(test_a_used_vmdk),
        cmocka_unit_test(test_a_used_vhdx),
        cmocka_unit_test(test_a_used_vhd_and_vdi),
    };

    return cmocka_run_group_tests(tests, kit_setup, kit_teardown);
}
