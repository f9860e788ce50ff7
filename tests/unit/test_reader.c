/* Images through hotadd-reader: what comes through is what the readers of `image` say in
 * process, it ends when it should, its death is an error, and its lies are found. */
#include "image_kit.h"

#include "base/json.h"
#include "reader/reader.h"
#include "reader/wire.h"

#include <dirent.h>
#include <pthread.h>
#include <signal.h>

/* Of a small sparse VMDK by qemu-img: "overhead" in its header. */
#define FIRST_GRAIN 65536u

static void make_vmdk(const char *name, const char *options)
{
    kit_random_disk("disk.raw", 5 * 1024 * 1024 + 512 * kit_below(100));
    kit_run("qemu-img", "convert", "-f", "raw", "-O", "vmdk", "-o", options,
            kit_path("disk.raw"), kit_path(name));
}

/* The child that is a hotadd-reader; 0: there is none. */
static pid_t find_reader(void)
{
    DIR *d = opendir("/proc");
    struct dirent *x;
    pid_t found = 0;

    assert_non_null(d);
    while (!found && (x = readdir(d))) {
        auto_buf struct buf b = BUF_INIT;
        const char *program;
        char path[300];
        struct err e;

        snprintf(path, sizeof path, "/proc/%s/stat", x->d_name);
        if (strspn(x->d_name, "0123456789") != strlen(x->d_name) ||
            io_read_file(path, 65536, &b, &e) < 0)
            continue;
        /* "PID (hotadd-reader) STATE PARENT …" */
        program = strstr(buf_str(&b), "(hotadd-reader) ");
        if (program && strtol(program + 18, NULL, 10) == getpid())
            found = (pid_t)strtol(x->d_name, NULL, 10);
    }
    closedir(d);
    return found;
}

static int open_here(const char *name, struct source **ret, struct err *e)
{
    struct machine *m;

    if (reader_open_disk(kit_path(name), NULL, NULL, NULL, &m, e) < 0)
        return -1;
    *ret = kit_source(m);
    return 0;
}

static void test_every_unit_comes_through(void **state)
{
    static const char *const kinds[] = {"subformat=monolithicSparse",
                                        "subformat=streamOptimized",
                                        "subformat=monolithicFlat"};

    kit_need("qemu-img");
    for (size_t i = 0; i < 3; i++) {
        auto_source struct source *s = NULL;

        make_vmdk("disk.vmdk", kinds[i]);
        assert_ok(open_here("disk.vmdk", &s, e));
        assert_string_equal(s->ops->name, "vmdk");
        assert_int_not_equal(find_reader(), 0);
        kit_compare(s, "disk.raw");
    }
    assert_int_equal(find_reader(), 0);
}

static void test_every_format_in_the_sandbox(void **state)
{
    static const char *const formats[] = {"qcow2", "vhdx", "vpc", "vdi"};

    kit_need("qemu-img");
    kit_random_disk("disk.raw", 4 << 20);
    for (size_t i = 0; i < 4; i++) {
        auto_source struct source *s = NULL;

        kit_run("qemu-img", "convert", "-f", "raw", "-O", formats[i], "-o",
                str_eq(formats[i], "vpc") ? "force_size=on" : "size=4M",
                kit_path("disk.raw"), kit_path("disk.img"));
        assert_ok(open_here("disk.img", &s, e));
        kit_compare(s, "disk.raw");
    }
}

static void test_a_name_may_be_any_bytes(void **state)
{
    auto_source struct source *s = NULL;

    kit_need("qemu-img");
    make_vmdk("d\xff .vmdk", "subformat=streamOptimized");
    assert_ok(open_here("d\xff .vmdk", &s, e));
    kit_compare(s, "disk.raw");
}

static void test_what_it_reads_is_known(void **state)
{
    auto_source struct source *s = NULL;
    struct stat st;

    kit_need("qemu-img");
    make_vmdk("disk.vmdk", "subformat=monolithicFlat");
    assert_ok(open_here("disk.vmdk", &s, e));
    assert_int_equal(stat(kit_path("disk-flat.vmdk"), &st), 0);
    assert_true(s->ops->reads(s, &st));
    assert_int_equal(stat(kit_path("disk.raw"), &st), 0);
    assert_false(s->ops->reads(s, &st));
}

static void test_the_machine_comes_through(void **state)
{
    auto_machine struct machine *here = NULL, *there = NULL;
    json_auto_t *want = NULL, *got = NULL;
    auto_free char *a = NULL, *b = NULL;
    struct err ignored;

    kit_need("qemu-img");
    make_vmdk("disk.vmdk", "subformat=monolithicSparse");
    kit_text("vm.vmx",
             "config.version = \"8\"\nvirtualHW.version = \"19\"\n"
             "displayName = \"a |22b|22 \xc3\xa9\"\nguestOS = \"debian12-64\"\n"
             "memsize = \"3072\"\nnumvcpus = \"3\"\nfirmware = \"efi\"\n"
             "scsi0.present = \"TRUE\"\nscsi0.virtualDev = \"pvscsi\"\n"
             "scsi0:3.present = \"TRUE\"\nscsi0:3.fileName = \"disk.vmdk\"\n"
             "ethernet0.present = \"TRUE\"\nethernet0.virtualDev = \"vmxnet3\"\n"
             "ethernet0.address = \"00:50:56:00:00:01\"\n");
    assert_ok(image_open(kit_path("vm.vmx"), NULL, &here, e));
    assert_ok(reader_open(kit_path("vm.vmx"), NULL, NULL, &there, e));
    want = machine_json(here, &ignored);
    got = machine_json(there, &ignored);
    assert_non_null(want);
    assert_non_null(got);
    assert_ok(json_text(want, &a, e));
    assert_ok(json_text(got, &b, e));
    assert_string_equal(a, b);
    assert_int_equal(there->disks.v[0].unit, here->disks.v[0].unit);
    assert_string_equal(there->disks.v[0].source->desc, here->disks.v[0].source->desc);
    assert_int_equal(there->disks.v[0].source->data_bytes_hint,
                     here->disks.v[0].source->data_bytes_hint);
}

/* What a package says of itself is printed. */
static void test_words_cannot_command_a_terminal(void **state)
{
    auto_machine struct machine *m = NULL;

    kit_need("qemu-img");
    make_vmdk("d\033[2J.vmdk", "subformat=monolithicSparse");
    kit_text("loud.vmx", "config.version = \"8\"\nvirtualHW.version = \"19\"\n"
                         "displayName = \"a|1B[31m|0Ab\"\nguestOS = \"x|07\"\n"
                         "scsi0.present = \"TRUE\"\nscsi0:0.present = \"TRUE\"\n"
                         "scsi0:0.fileName = \"d|1B[2J.vmdk\"\n"
                         "ethernet0.present = \"TRUE\"\n"
                         "ethernet0.networkName = \"LAN|1Bc\"\n");
    assert_ok(reader_open(kit_path("loud.vmx"), NULL, NULL, &m, e));
    assert_string_equal(m->name, "a [31m b");
    assert_string_equal(m->guest_id, "x ");
    assert_string_equal(m->disks.v[0].name, "d [2J.vmdk");
    assert_null(strchr(m->disks.v[0].source->desc, '\033'));
    assert_string_equal(m->nics.v[0].network, "LAN c");
}

static void test_errors_are_the_readers_own(void **state)
{
    static const char *const names[] = {"short.vmdk", "nothing.ova", "noise"};

    kit_need("qemu-img");
    make_vmdk("short.vmdk", "subformat=monolithicSparse");
    kit_truncate("short.vmdk", 70000);
    kit_text("noise", "no disk at all");
    for (size_t i = 0; i < 3; i++) {
        auto_source struct source *s = NULL;
        struct err here, there;

        assert_int_equal(kit_open_as(kit_path(names[i]), NULL, NULL, &s, &here), -1);
        assert_int_equal(open_here(names[i], &s, &there), -1);
        assert_int_equal(there.kind, here.kind);
        assert_string_equal(there.msg, here.msg);
    }
    assert_int_equal(find_reader(), 0);
}

static void test_damage_met_later(void **state)
{
    auto_source struct source *s = NULL;
    auto_free void *buf = NULL;
    struct err here = ERR_INIT;
    bool failed = false;

    kit_need("qemu-img");
    make_vmdk("bad.vmdk", "subformat=streamOptimized");
    /* In a stream, not in what pads one: the first grain's, behind the tables. */
    kit_poke("bad.vmdk", FIRST_GRAIN + 12 + 2, "\xff\xff\xff\xff", 4);
    assert_int_equal(kit_read_all("bad.vmdk", &here), -1);
    assert_ok(open_here("bad.vmdk", &s, e));
    assert_int_equal(posix_memalign(&buf, 4096, 4u << 20), 0);
    for (uint64_t at = 0; at < s->size_bytes && !failed;) {
        struct err there;
        struct unit u;

        failed = source_unit_at(s, at, 4u << 20, &u, &there) < 0 ||
                 (u.kind == UNIT_DATA && source_fetch(s, &u, buf, &there) < 0);
        if (failed) {
            assert_int_equal(there.kind, here.kind);
            assert_string_equal(there.msg, here.msg);
        }
        at += u.len;
    }
    assert_true(failed);
}

static void test_what_needs_no_parser_needs_no_reader(void **state)
{
    auto_source struct source *s = NULL;
    auto_machine struct machine *m = NULL;

    kit_random_disk("plain.raw", 2 << 20);
    assert_ok(open_here("plain.raw", &s, e));
    assert_string_equal(s->ops->name, "raw");
    assert_int_equal(find_reader(), 0);
    kit_compare(s, "plain.raw");
    assert_ok(reader_open(kit_path("plain.raw"), NULL, NULL, &m, e));
    assert_int_equal(find_reader(), 0);
    assert_string_equal(m->name, "plain");
}

/* ---- its life ---- */

static void *fetch_until_it_fails(void *arg)
{
    struct source *s = arg;
    auto_free void *buf = NULL;
    struct err e = ERR_INIT;
    uint64_t at = 0;

    if (posix_memalign(&buf, 4096, 4u << 20))
        return NULL;
    for (;;) {
        struct unit u;

        if (source_unit_at(s, at, 65536, &u, &e) < 0 ||
            (u.kind == UNIT_DATA && source_fetch(s, &u, buf, &e) < 0))
            break;
        at = (at + u.len) % s->size_bytes;
        at = at + u.len == s->size_bytes ? 0 : at;
    }
    return str_dup(e.msg, &e);
}

static void says_signal_9(char *why)
{
    assert_non_null(why);
    assert_non_null(strstr(why, "hotadd-reader ended without an answer, signal 9"));
    assert_non_null(strstr(why, "disk.vmdk"));
    free(why);
}

static void test_a_reader_that_dies_is_an_error(void **state)
{
    auto_source struct source *s = NULL;
    pthread_t threads[5];
    char *why = NULL;
    pid_t pid;

    kit_need("qemu-img");
    make_vmdk("disk.vmdk", "subformat=streamOptimized");
    assert_ok(open_here("disk.vmdk", &s, e));
    for (size_t i = 0; i < 5; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, fetch_until_it_fails, s), 0);
    usleep(50000);
    pid = find_reader();
    assert_int_not_equal(pid, 0);
    assert_int_equal(kill(pid, SIGKILL), 0);
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(pthread_join(threads[i], (void **)&why), 0);
        says_signal_9(why);
    }
    says_signal_9(fetch_until_it_fails(s));
}

static void test_it_knows_no_secret(void **state)
{
    auto_source struct source *s = NULL;
    auto_buf struct buf b = BUF_INIT;
    char path[64];

    kit_need("qemu-img");
    make_vmdk("disk.vmdk", "subformat=monolithicSparse");
    assert_int_equal(setenv("AWS_SECRET_ACCESS_KEY", "sesame", 1), 0);
    assert_ok(open_here("disk.vmdk", &s, e));
    snprintf(path, sizeof path, "/proc/%d/environ", find_reader());
    assert_ok(io_read_file(path, 1u << 20, &b, e));
    assert_int_not_equal(b.len, 0);
    assert_null(memmem(b.data, b.len, "sesame", 6));
    assert_null(memmem(b.data, b.len, "AWS_", 4));
}

static void test_a_stop_ends_it(void **state)
{
    struct machine *m = NULL;
    struct cancel c;

    kit_need("qemu-img");
    make_vmdk("disk.vmdk", "subformat=monolithicSparse");
    assert_ok(cancel_init(&c, e));
    cancel_request(&c);
    assert_fails(reader_open_disk(kit_path("disk.vmdk"), NULL, NULL, &c, &m, e),
                 ERR_CANCELLED, "");
    cancel_release(&c);
    assert_int_equal(find_reader(), 0);
}

/* ---- what it says is checked ---- */

static int make_nothing(void *ctx, uint32_t disk, const char *format, struct source *s,
                        struct source **ret, struct err *e)
{
    return err_set(e, ERR_FAILED, "made");
}

static void test_machines_that_cannot_be(void **state)
{
#define M(disk)                                                                          \
    "{\"name\":\"m\",\"cpus\":1,\"memory_bytes\":1,\"firmware\":1,\"disks\":[{" disk     \
    "\"controller\":0,\"unit\":0,\"name\":\"n\",\"desc\":\"d\",\"format\":\"f\"}]}"
    static const struct {
        const char *text, *why;
    } bad[] = {
        {"{}", "name"},
        {"{\"name\":1}", "name"},
        {"{\"name\":\"m\",\"cpus\":4294967296,\"memory_bytes\":1,\"firmware\":1}",
         "cpus"},
        {"{\"name\":\"m\",\"cpus\":1,\"memory_bytes\":1,\"firmware\":3}", "firmware"},
        {M("\"size_bytes\":2305843009213693952,\"align\":512,\"unit_max_bytes\":512,"
           "\"fetch_bytes\":0,"),
         "size_bytes"},
        {M("\"size_bytes\":512,\"align\":0,\"unit_max_bytes\":512,\"fetch_bytes\":0,"),
         "units"},
        {M("\"size_bytes\":512,\"align\":768,\"unit_max_bytes\":768,\"fetch_bytes\":0,"),
         "units"},
        {M("\"size_bytes\":512,\"align\":512,\"unit_max_bytes\":513,\"fetch_bytes\":0,"),
         "units"},
        {M("\"size_bytes\":512,\"align\":512,\"unit_max_bytes\":8388608,"), "unit_max"},
        {M("\"size_bytes\":512,\"align\":512,\"unit_max_bytes\":512,\"fetch_bytes\":"
           "8388608,"),
         "fetch_bytes"},
        {M("\"size_bytes\":512,\"align\":512,\"unit_max_bytes\":512,\"fetch_bytes\":0,"),
         "made"},
    };

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        auto_machine struct machine *m = NULL;
        json_auto_t *j = json_loads(bad[i].text, 0, NULL);
        struct err e = ERR_INIT;

        assert_non_null(j);
        assert_int_equal(wire_machine(j, make_nothing, NULL, &m, &e), -1);
        if (!strstr(e.msg, bad[i].why))
            fail_msg("%s: %s", bad[i].text, e.msg);
    }
}

static void test_replies_that_cannot_be(void **state)
{
    char desc[] = "disk";
    struct source s = {.size_bytes = 10240, .unit_align = 4096, .desc = desc};
    const struct wire_request rq = {.limit_bytes = 4096, .unit.offset = 4096};
    const struct wire_reply good = {
        .n_units = 2,
        .units = {{.offset = 4096, .len = 4096, .kind = UNIT_DATA},
                  {.offset = 8192, .len = 2048, .kind = UNIT_DATA}}};
    struct wire_reply bad[9];

    assert_ok(wire_check_reply(&rq, &s, &good, sizeof good, e));
    for (size_t i = 0; i < 9; i++)
        bad[i] = good;
    bad[0].n_units = 0;
    bad[1].n_units = WIRE_UNITS + 1;
    bad[2].units[0].offset = 0;
    bad[3].units[1].len = 2049;
    bad[4].units[0].len = 0;
    bad[5].units[0].len = 2048;
    bad[6].units[0].len = UINT64_MAX;
    bad[7].units[0].kind = (enum unit_kind)7;
    bad[8].n_units = 3;
    for (size_t i = 0; i < 9; i++)
        assert_fails(wire_check_reply(&rq, &s, &bad[i], sizeof bad[i], e), ERR_FAILED,
                     "the reader");
    /* A data unit longer than was asked for would not fit; one of zeros may be. */
    bad[0] = good;
    bad[0].n_units = 1;
    bad[0].units[0].len = 6144;
    assert_fails(wire_check_reply(&rq, &s, &bad[0], sizeof bad[0], e), ERR_FAILED, "");
    bad[0].units[0].kind = UNIT_ZERO;
    assert_ok(wire_check_reply(&rq, &s, &bad[0], sizeof bad[0], e));
    assert_fails(wire_check_reply(&rq, &s, &good, sizeof good - 1, e), ERR_FAILED, "");
    memset(&bad[1], 'x', sizeof bad[1]);
    assert_fails(wire_check_reply(&rq, &s, &bad[1], sizeof bad[1], e), ERR_FAILED, "xxx");
}

/* ---- digests ---- */

static void test_digests_are_compared(void **state)
{
    kit_need("qemu-img");
    kit_need("sha256sum");
    make_vmdk("vm-disk1.vmdk", "subformat=streamOptimized");
    kit_text("vm.ovf", "<Envelope/>");
    kit_run("sh", "-c",
            "cd \"$1\" && for f in vm.ovf vm-disk1.vmdk; do "
            "printf 'SHA256(%s)= %s\\n' $f $(sha256sum <$f | cut -d' ' -f1); done >vm.mf",
            "sh", kit_dir);
    assert_ok(reader_verify_digests(kit_path("vm.ovf"), NULL, NULL, NULL, e));
    kit_poke("vm-disk1.vmdk", kit_size("vm-disk1.vmdk") - 1, "!", 1);
    assert_fails(reader_verify_digests(kit_path("vm.ovf"), NULL, NULL, NULL, e),
                 ERR_INPUT, "vm-disk1.vmdk");
    assert_int_equal(find_reader(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_unit_comes_through),
        cmocka_unit_test(test_every_format_in_the_sandbox),
        cmocka_unit_test(test_a_name_may_be_any_bytes),
        cmocka_unit_test(test_what_it_reads_is_known),
        cmocka_unit_test(test_the_machine_comes_through),
        cmocka_unit_test(test_words_cannot_command_a_terminal),
        cmocka_unit_test(test_errors_are_the_readers_own),
        cmocka_unit_test(test_damage_met_later),
        cmocka_unit_test(test_what_needs_no_parser_needs_no_reader),
        cmocka_unit_test(test_a_reader_that_dies_is_an_error),
        cmocka_unit_test(test_it_knows_no_secret),
        cmocka_unit_test(test_a_stop_ends_it),
        cmocka_unit_test(test_machines_that_cannot_be),
        cmocka_unit_test(test_replies_that_cannot_be),
        cmocka_unit_test(test_digests_are_compared),
    };

    return cmocka_run_group_tests(tests, kit_setup, kit_teardown);
}
