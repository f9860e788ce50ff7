#include "test.h"

#include "flow/instance_type.h"

static char *x86[] = {"x86_64"}, *arm[] = {"arm64"};
static char *bios[] = {"legacy-bios"}, *both[] = {"legacy-bios", "uefi"};

#define TYPE(n, hv, cpu, mib, gen, burst, modes)                                         \
    {                                                                                    \
        .name = (n), .hypervisor = (hv), .current_generation = (gen),                    \
        .burstable = (burst), .vcpus = (cpu), .memory_mib = (mib),                       \
        .architectures = {x86, 1, 1}, .boot_modes = {                                    \
            modes,                                                                       \
            sizeof modes / sizeof modes[0],                                              \
            2                                                                            \
        }                                                                                \
    }

static struct ec2_instance_type table[] = {
    TYPE("t2.medium", "xen", 2, 4096, true, true, bios),
    TYPE("m4.large", "xen", 2, 8192, false, false, bios),
    TYPE("m5.large", "nitro", 2, 8192, true, false, both),
    TYPE("m6i.large", "nitro", 2, 8192, true, false, both),
    TYPE("c5.large", "nitro", 2, 4096, true, false, both),
    TYPE("t3.medium", "nitro", 2, 4096, true, true, both),
    TYPE("m5.xlarge", "nitro", 4, 16384, true, false, both),
    {.name = "m5.metal",
     .hypervisor = "",
     .bare_metal = true,
     .vcpus = 2,
     .memory_mib = 4096,
     .architectures = {x86, 1, 1}},
    {.name = "m6g.medium",
     .hypervisor = "nitro",
     .vcpus = 2,
     .memory_mib = 4096,
     .architectures = {arm, 1, 1}},
};
static const struct ec2_instance_types types = {table, sizeof table / sizeof table[0], 0};

static const char *choose(struct type_wish wish)
{
    const struct ec2_instance_type *t = NULL;

    assert_ok(instance_type_choose(&types, &wish, &t, e));
    return t->name;
}

#define GIB (1024ull * 1024 * 1024)

static void test_smallest_that_suffices(void **state)
{
    struct type_wish w = {2, 4 * GIB, "legacy-bios", .nitro_ok = true};

    assert_string_equal(choose(w), "c5.large");
    w.memory_bytes = 5 * GIB;
    assert_string_equal(choose(w), "m5.large");
    w.cpus = 3;
    assert_string_equal(choose(w), "m5.xlarge");
}

static void test_guest_without_nvme_gets_xen(void **state)
{
    struct type_wish w = {2, 8 * GIB, "legacy-bios", .xen_ok = true};

    assert_string_equal(choose(w), "m4.large");
}

static void test_boot_mode_is_respected(void **state)
{
    struct type_wish w = {2, 4 * GIB, "uefi", .xen_ok = true};
    const struct ec2_instance_type *t = NULL;

    assert_fails(instance_type_choose(&types, &w, &t, e), ERR_REQUIREMENT,
                 "boots by uefi and runs on Xen");
    assert_null(t);
}

static void test_nothing_large_enough_is_told(void **state)
{
    struct type_wish w = {64, 4 * GIB, "uefi", .nitro_ok = true};
    const struct ec2_instance_type *t = NULL;

    assert_fails(instance_type_choose(&types, &w, &t, e), ERR_REQUIREMENT, "64 vCPUs");
}

static void test_explicit_type_that_cannot_boot_is_refused(void **state)
{
    struct type_wish nitro = {0, 0, "legacy-bios", .nitro_ok = true};
    struct type_wish xen = {0, 0, "legacy-bios", .xen_ok = true};

    assert_fails(instance_type_fits(&table[1], &nitro, e), ERR_REQUIREMENT, "Nitro type");
    assert_fails(instance_type_fits(&table[2], &xen, e), ERR_REQUIREMENT, "Xen type");
    assert_fails(instance_type_fits(&table[8], &nitro, e), ERR_REQUIREMENT, "x86_64");
    assert_ok(instance_type_fits(&table[2], &nitro, e));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_smallest_that_suffices),
        cmocka_unit_test(test_guest_without_nvme_gets_xen),
        cmocka_unit_test(test_boot_mode_is_respected),
        cmocka_unit_test(test_nothing_large_enough_is_told),
        cmocka_unit_test(test_explicit_type_that_cannot_boot_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
