/* The KVM probe. What this machine can do is unknown here, so the tests hold on every
 * kind: with KVM, without, and with one that hangs. */
#include "base/clock.h"
#include "base/io.h"
#include "base/kvm.h"
#include "base/str.h"
#include "test.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static void test_no_device_is_absent(void **state)
{
    char why[KVM_WHY_LEN];

    assert_int_equal(kvm_try("/nonexistent/kvm", 1, NS_PER_S, why), KVM_ABSENT);
    assert_non_null(strstr(why, "/nonexistent/kvm"));
}

static void test_other_character_device_is_not_kvm(void **state)
{
    assert_int_equal(kvm_try("/dev/null", 1, NS_PER_S, NULL), KVM_ABSENT);
}

static void test_plain_file_is_not_kvm(void **state)
{
    char path[] = "/tmp/hotadd-test-kvm-XXXXXX";
    int fd = mkstemp(path);

    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(kvm_try(path, 1, NS_PER_S, NULL), KVM_ABSENT);
    unlink(path);
}

static void need_kvm(void)
{
    int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);

    if (fd < 0)
        skip_because("/dev/kvm cannot be opened");
    close(fd);
}

/* So little work that even a KVM that interprets every instruction gets it right. */
static void test_small_guest_runs_where_kvm_opens(void **state)
{
    char why[KVM_WHY_LEN];

    need_kvm();
    assert_int_equal(kvm_try("/dev/kvm", 1000, 20 * NS_PER_S, why), KVM_WORKS);
    assert_string_equal(why, "");
}

/* So much work that no KVM finishes it in time: the same path as one that hangs. */
static void test_hung_guest_is_killed_at_the_deadline(void **state)
{
    uint64_t before_ns = clock_mono_ns(), took_ns;
    char why[KVM_WHY_LEN];

    need_kvm();
    assert_int_equal(kvm_try("/dev/kvm", UINT32_MAX, NS_PER_S / 2, why), KVM_TOO_SLOW);
    took_ns = clock_mono_ns() - before_ns;
    assert_true(took_ns >= NS_PER_S / 2);
    assert_true(took_ns < 2 * NS_PER_S);
    assert_non_null(strstr(why, "hung"));
    /* The child was reaped. */
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
}

static void test_probe_is_quick_and_cached(void **state)
{
    char dir[] = "/tmp/hotadd-test-kvm-XXXXXX", first_why[KVM_WHY_LEN], why[KVM_WHY_LEN];
    struct err err = ERR_INIT;
    enum kvm_state first;
    uint64_t before_ns;

    assert_non_null(mkdtemp(dir));
    auto_free char *cache = str_fmt(&err, "%s/kvm", dir);
    before_ns = clock_mono_ns();
    first = kvm_probe(cache, first_why);
    assert_true(clock_mono_ns() - before_ns < 5 * NS_PER_S);
    before_ns = clock_mono_ns();
    for (int i = 0; i < 20; i++) {
        assert_int_equal(kvm_probe(cache, why), first);
        assert_string_equal(why, first_why);
    }
    assert_true(clock_mono_ns() - before_ns < NS_PER_S);
    assert_ok(io_remove_tree(dir, e));
}

static void test_cache_of_another_boot_is_replaced(void **state)
{
    static const char old[] = "00000000-0000-0000-0000-000000000000 0 works\n";
    char dir[] = "/tmp/hotadd-test-kvm-XXXXXX";
    struct err err = ERR_INIT;
    auto_buf struct buf now = BUF_INIT;

    assert_non_null(mkdtemp(dir));
    auto_free char *cache = str_fmt(&err, "%s/kvm", dir);
    assert_ok(io_write_file_atomic(cache, old, strlen(old), 0600, e));
    kvm_probe(cache, NULL);
    assert_ok(io_read_file(cache, 1000, &now, e));
    assert_null(strstr(buf_str(&now), "00000000-0000-0000"));
    assert_non_null(strstr(buf_str(&now), "\n"));
    assert_ok(io_remove_tree(dir, e));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_device_is_absent),
        cmocka_unit_test(test_other_character_device_is_not_kvm),
        cmocka_unit_test(test_plain_file_is_not_kvm),
        cmocka_unit_test(test_small_guest_runs_where_kvm_opens),
        cmocka_unit_test(test_hung_guest_is_killed_at_the_deadline),
        cmocka_unit_test(test_probe_is_quick_and_cached),
        cmocka_unit_test(test_cache_of_another_boot_is_replaced),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
