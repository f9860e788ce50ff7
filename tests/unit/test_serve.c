/* The nbdkit plugin and the servers that preflight starts with it. */
#include "image_kit.h"

#include "image/serve.h"

#include <signal.h>
#include <sys/wait.h>

static int open_served(const struct image_server *s, size_t i, struct source **ret,
                       struct err *e)
{
    char uri[400];

    snprintf(uri, sizeof uri, "nbd+unix:///?socket=%s", image_server_socket(s, i));
    return kit_open_as(uri, NULL, NULL, ret, e);
}

static void make_vm(void)
{
    kit_random_disk("1.raw", (7 << 20) + 512);
    kit_random_disk("2.raw", 3 << 20);
    kit_run("qemu-img", "convert", "-O", "vmdk", "-o", "subformat=streamOptimized",
            kit_path("1.raw"), kit_path("1.vmdk"));
    kit_run("qemu-img", "convert", "-O", "vmdk", kit_path("2.raw"), kit_path("2.vmdk"));
    kit_text("vm.vmx", "config.version = \"8\"\n"
                       "scsi0:0.present = \"TRUE\"\nscsi0:0.fileName = \"1.vmdk\"\n"
                       "scsi0:1.present = \"TRUE\"\nscsi0:1.fileName = \"2.vmdk\"\n");
}

static void test_all_disks_read_as_they_are(void **state)
{
    auto_source struct source *a = NULL, *b = NULL;
    struct image_server *s = NULL;

    kit_need("qemu-img");
    kit_need("nbdkit");
    make_vm();
    assert_ok(image_serve_start(kit_path("vm.vmx"), 2, NULL, NULL, NULL, &s, e));
    assert_ok(open_served(s, 0, &a, e));
    assert_ok(open_served(s, 1, &b, e));
    kit_compare(a, "1.raw");
    kit_compare(b, "2.raw");
    source_free(take_ptr(a));
    source_free(take_ptr(b));
    image_serve_stop(s);
}

/* A recovery point, by words that this folder knows nothing of. */
static void test_more_words_reach_the_plugin(void **state)
{
    const char *data = getenv("HOTADD_TEST_DATA");
    auto_source struct source *a = NULL;
    auto_strv struct strv words = {0};
    auto_buf struct buf want = BUF_INIT;
    struct image_server *s = NULL;
    char path[4096];

    kit_need("nbdkit");
    assert_non_null(data);
    snprintf(path, sizeof path, "%s/pbs/small.raw", data);
    assert_ok(io_read_file(path, 1 << 20, &want, e));
    kit_write("small.raw", want.data, want.len);
    assert_ok(strv_addf(&words, e, "repo=%s/pbs/ds", data));
    assert_ok(
        image_serve_start("101@2026-01-02T03:04:05Z", 1, NULL, &words, NULL, &s, e));
    assert_ok(open_served(s, 0, &a, e));
    kit_compare(a, "small.raw");
    source_free(take_ptr(a));
    image_serve_stop(s);
    s = NULL;
    assert_fails(image_serve_start("102", 1, NULL, &words, NULL, &s, e), ERR_INPUT,
                 "no finished point vm/102");
}

static void test_zeros_are_holes_to_clients(void **state)
{
    auto_source struct source *a = NULL;
    struct image_server *s = NULL;
    struct unit u;

    kit_need("qemu-img");
    kit_need("nbdkit");
    kit_run("qemu-img", "create", "-f", "vmdk", kit_path("big.vmdk"), "1T");
    assert_ok(image_serve_start(kit_path("big.vmdk"), 1, NULL, NULL, NULL, &s, e));
    assert_ok(open_served(s, 0, &a, e));
    assert_int_equal(a->data_bytes_hint, 0);
    assert_ok(source_unit_at(a, 0, 1 << 20, &u, e));
    assert_int_equal(u.kind, UNIT_ZERO);
    source_free(take_ptr(a));
    image_serve_stop(s);
}

static void test_what_is_wrong_with_the_source_is_told(void **state)
{
    struct image_server *s = NULL;

    kit_need("qemu-img");
    kit_need("nbdkit");
    make_vm();
    kit_truncate("2.vmdk", 70000);
    assert_fails(image_serve_start(kit_path("vm.vmx"), 2, NULL, NULL, NULL, &s, e),
                 ERR_INPUT, "disk 2 cannot be served: ");
}

static void test_servers_end_when_we_are_killed(void **state)
{
    struct image_server *s = NULL;
    auto_source struct source *a = NULL;
    struct err e = ERR_INIT;
    int pipe_fds[2], status, r = 0;
    char path[200] = {0}, uri[300];
    pid_t pid;

    kit_need("qemu-img");
    kit_need("nbdkit");
    make_vm();
    assert_int_equal(pipe(pipe_fds), 0);
    pid = fork();
    if (pid == 0) {
        if (image_serve_start(kit_path("1.vmdk"), 1, NULL, NULL, NULL, &s, &e) == 0) {
            const char *p = image_server_socket(s, 0);

            if (write(pipe_fds[1], p, strlen(p)) > 0)
                kill(getpid(), SIGKILL);
        }
        _exit(1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    assert_true(read(pipe_fds[0], path, sizeof path - 1) > 0);
    snprintf(uri, sizeof uri, "nbd+unix:///?socket=%s", path);
    for (unsigned i = 0; i < 100 && r == 0; i++) {
        r = kit_open_as(uri, NULL, NULL, &a, &e);
        if (r == 0) {
            source_free(take_ptr(a));
            if (cancel_sleep_ns(NULL, 50 * NS_PER_MS, &e) < 0)
                break;
        }
    }
    assert_int_equal(r, -1);
    *strrchr(path, '/') = 0;
    assert_int_equal(io_remove_tree(path, &e), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_disks_read_as_they_are),
        cmocka_unit_test(test_more_words_reach_the_plugin),
        cmocka_unit_test(test_zeros_are_holes_to_clients),
        cmocka_unit_test(test_what_is_wrong_with_the_source_is_told),
        cmocka_unit_test(test_servers_end_when_we_are_killed),
    };
    return cmocka_run_group_tests(tests, kit_setup, kit_teardown);
}
