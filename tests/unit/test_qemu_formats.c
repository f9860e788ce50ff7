/* qcow2, VHD and VDI through qemu-nbd, NBD exports through libnbd, raw images. */
#include "image_kit.h"

#include <dirent.h>
#include <signal.h>
#include <sys/wait.h>

static void through_qemu(const char *format, const char *opt, const char *name)
{
    auto_source struct source *s = NULL;

    kit_need("qemu-img");
    kit_need("qemu-nbd");
    kit_random_disk("q.raw", 37 << 20);
    kit_run("qemu-img", "convert", "-f", "raw", "-O", format, "-o", opt,
            kit_path("q.raw"), kit_path("q.img"));
    assert_ok(kit_open("q.img", NULL, &s, e));
    assert_string_equal(s->ops->name, name);
    kit_compare(s, "q.raw");
}

static void test_qcow2_reads_as_written(void **state)
{
    through_qemu("qcow2", "compat=1.1", "qcow2");
}

static void test_vdi_reads_as_written(void **state)
{
    through_qemu("vdi", "static=off", "vdi");
}

static void test_dynamic_vhd_reads_as_written(void **state)
{
    through_qemu("vpc", "subformat=dynamic,force_size=on", "vhd");
}

static void test_fixed_vhd_reads_as_written(void **state)
{
    through_qemu("vpc", "subformat=fixed,force_size=on", "vhd");
}

static unsigned count_sockets_left(void)
{
    DIR *d = opendir("/tmp");
    struct dirent *de;
    unsigned n = 0;

    while ((de = readdir(d)))
        n += str_starts(de->d_name, "hotadd-qemu-");
    closedir(d);
    return n;
}

static void test_qemu_leaves_no_socket_and_no_process(void **state)
{
    struct source *s = NULL;
    unsigned before = count_sockets_left();

    kit_need("qemu-nbd");
    kit_run("qemu-img", "create", "-f", "qcow2", kit_path("left.qcow2"), "1M");
    assert_ok(kit_open("left.qcow2", NULL, &s, e));
    assert_int_equal(count_sockets_left(), before);
    source_free(s);
    /* It held the file with a lock; a writer gets it now. */
    kit_run("qemu-io", "-c", "write 0 512", kit_path("left.qcow2"));
}

/* The lock that qemu-nbd holds on the image goes when qemu-nbd does. */
static void test_qemu_ends_when_we_are_killed(void **state)
{
    auto_buf struct buf out = BUF_INIT;
    struct err e = ERR_INIT;
    int r = -1, status;
    pid_t pid;

    kit_need("qemu-nbd");
    kit_run("qemu-img", "create", "-f", "qcow2", kit_path("kill.qcow2"), "1M");
    pid = fork();
    if (pid == 0) {
        struct source *s;

        if (kit_open("kill.qcow2", NULL, &s, &e) == 0)
            kill(getpid(), SIGKILL);
        _exit(1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    for (unsigned i = 0; i < 100 && r < 0; i++) {
        r = child_run((const char *[]){"qemu-io", "-c", "write 0 512",
                                       kit_path("kill.qcow2"), NULL},
                      65536, &out, NULL, 60 * NS_PER_S, &e);
        if (r < 0 && cancel_sleep_ns(NULL, 50 * NS_PER_MS, &e) < 0)
            break;
    }
    if (r < 0)
        fail_msg("%s", e.msg);
}

static void test_backing_file_is_refused(void **state)
{
    struct source *s = NULL;

    kit_need("qemu-img");
    kit_run("qemu-img", "create", "-f", "qcow2", kit_path("base.qcow2"), "1M");
    kit_run("qemu-img", "create", "-f", "qcow2", "-F", "qcow2", "-b",
            kit_path("base.qcow2"), kit_path("over.qcow2"));
    assert_fails(kit_open("over.qcow2", NULL, &s, e), ERR_UNSUPPORTED,
                 "a qcow2 overlay on a backing file: flatten it first");
}

static void test_external_data_file_is_refused(void **state)
{
    char opt[300];
    struct source *s = NULL;

    kit_need("qemu-img");
    snprintf(opt, sizeof opt, "data_file=%s", kit_path("ext.data"));
    kit_run("qemu-img", "create", "-f", "qcow2", "-o", opt, kit_path("ext.qcow2"), "1M");
    assert_fails(kit_open("ext.qcow2", NULL, &s, e), ERR_UNSUPPORTED,
                 "a qcow2 with its data in another file");
}

static void test_differencing_vhd_is_refused(void **state)
{
    struct source *s = NULL;

    kit_need("qemu-img");
    kit_run("qemu-img", "create", "-f", "vpc", kit_path("d.vhd"), "8M");
    kit_poke("d.vhd", kit_size("d.vhd") - 512 + 60, "\0\0\0\4", 4);
    assert_fails(kit_open("d.vhd", NULL, &s, e), ERR_UNSUPPORTED, "a differencing VHD");
}

static void test_what_qemu_says_of_a_damaged_image_is_told(void **state)
{
    struct source *s = NULL;

    kit_need("qemu-nbd");
    kit_run("qemu-img", "create", "-f", "qcow2", kit_path("dmg.qcow2"), "1M");
    kit_poke("dmg.qcow2", 20, "\0\0\0\x50", 4); /* cluster_bits */
    assert_fails(kit_open("dmg.qcow2", NULL, &s, e), ERR_INPUT,
                 "dmg.qcow2: qemu-nbd: Unsupported cluster size");
}

static void test_format_must_agree_with_the_content(void **state)
{
    struct image_options opt = {.format = "qcow2"};
    struct source *s = NULL;

    kit_random_disk("r.img", 1 << 20);
    assert_fails(image_open_disk(kit_path("r.img"), NULL, &opt, &s, e), ERR_INPUT,
                 "not a qcow2 image");
    opt.format = "floppy";
    assert_fails(image_open_disk(kit_path("r.img"), NULL, &opt, &s, e), ERR_USAGE,
                 "unknown image format \"floppy\"");
}

static void test_qcow2_inside_an_ova_is_read_in_place(void **state)
{
    auto_source struct source *s = NULL;

    kit_need("qemu-nbd");
    kit_random_disk("in.raw", 3 << 20);
    kit_run("qemu-img", "convert", "-O", "qcow2", kit_path("in.raw"),
            kit_path("in.qcow2"));
    kit_text("in.ovf",
             "<Envelope xmlns:r=\"r\"><References><File id=\"f\" href=\"in.qcow2\"/>"
             "</References><DiskSection><Disk diskId=\"d\" fileRef=\"f\" capacity=\"1\"/>"
             "</DiskSection><VirtualSystem id=\"v\"><VirtualHardwareSection><Item>"
             "<r:ResourceType>17</r:ResourceType>"
             "<r:HostResource>ovf:/disk/d</r:HostResource></Item>"
             "</VirtualHardwareSection></VirtualSystem></Envelope>");
    kit_run("tar", "-C", kit_dir, "-cf", kit_path("in.ova"), "in.ovf", "in.qcow2");
    assert_ok(kit_open("in.ova", NULL, &s, e));
    kit_compare(s, "in.raw");
}

/* -------------------------------------------------------------------------- NBD */

/* qemu-nbd or nbdkit on a socket in the scratch folder; retried until it listens. */
static int open_uri(const char *sock, const char *export, struct source **ret,
                    struct err *e)
{
    char uri[400];

    snprintf(uri, sizeof uri, "nbd+unix:///%s?socket=%s", export, kit_path(sock));
    for (unsigned i = 0; i < 100; i++) {
        if (image_open_disk(uri, NULL, NULL, ret, e) == 0)
            return 0;
        if (cancel_sleep_ns(NULL, 50 * NS_PER_MS, e) < 0)
            break;
    }
    return image_open_disk(uri, NULL, NULL, ret, e);
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

    assert_fails(
        image_open_disk("nbd+unix:///?socket=/nonexistent/sock", NULL, NULL, &s, e),
        ERR_NETWORK, "cannot connect");
    assert_fails(image_open_disk("http://example/disk.vmdk", NULL, NULL, &s, e),
                 ERR_USAGE, "are the URIs that are read");
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
    assert_ok(image_open_disk(kit_path("odd.raw"), NULL, &opt, &s, e));
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
        cmocka_unit_test(test_qcow2_reads_as_written),
        cmocka_unit_test(test_vdi_reads_as_written),
        cmocka_unit_test(test_dynamic_vhd_reads_as_written),
        cmocka_unit_test(test_fixed_vhd_reads_as_written),
        cmocka_unit_test(test_qemu_leaves_no_socket_and_no_process),
        cmocka_unit_test(test_qemu_ends_when_we_are_killed),
        cmocka_unit_test(test_backing_file_is_refused),
        cmocka_unit_test(test_external_data_file_is_refused),
        cmocka_unit_test(test_differencing_vhd_is_refused),
        cmocka_unit_test(test_what_qemu_says_of_a_damaged_image_is_told),
        cmocka_unit_test(test_format_must_agree_with_the_content),
        cmocka_unit_test(test_qcow2_inside_an_ova_is_read_in_place),
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
