/* Finding and opening attached volumes: in a device root and a sysfs of plain files, and,
 * as root, on loop devices with the real sysfs. */
#include "test.h"

#include "base/clock.h"
#include "base/io.h"
#include "proxy/device.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <pthread.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#define MIB (1024ull * 1024)
#define VOL "vol-0123456789abcdef0"
#define SER "vol0123456789abcdef0"

struct fixture {
    char dir[64], dev[80], sys[80], run[80];
    struct proxy_paths paths;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    char path[128];

    /* O_DIRECT is wanted, so not in memory. */
    snprintf(f->dir, sizeof f->dir, "/var/tmp/hotadd-test-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    snprintf(f->dev, sizeof f->dev, "%s/dev", f->dir);
    snprintf(f->sys, sizeof f->sys, "%s/sys", f->dir);
    snprintf(f->run, sizeof f->run, "%s/run", f->dir);
    snprintf(path, sizeof path, "%s/disk/by-id", f->dev);
    assert_ok(io_mkdir_all(path, 0700, e));
    f->paths = (struct proxy_paths){.dev = f->dev, .sys = f->sys, .run = f->run};
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    assert_ok(io_remove_tree(f->dir, e));
    free(f);
    return 0;
}

static void make_file(const char *dir, const char *name, uint64_t size, const char *text)
{
    char path[256], *slash;
    int fd;

    snprintf(path, sizeof path, "%s/%s", dir, name);
    slash = strrchr(path, '/');
    *slash = 0;
    assert_ok(io_mkdir_all(path, 0700, e));
    *slash = '/';
    fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    if (text)
        assert_ok(io_write_full(fd, text, strlen(text), path, e));
    else
        assert_int_equal(ftruncate(fd, (off_t)size), 0);
    close(fd);
}

static void make_link(struct fixture *f, const char *to)
{
    char path[256], target[256];

    snprintf(path, sizeof path, "%s/disk/by-id/nvme-Amazon_Elastic_Block_Store_" SER,
             f->dev);
    snprintf(target, sizeof target, "../../%s", to);
    assert_int_equal(symlink(target, path), 0);
}

static uint64_t in_ms(uint64_t ms)
{
    return clock_mono_ns() + ms * NS_PER_MS;
}

static void assert_found(struct fixture *f, const char *name, enum proxy_device_how how)
{
    struct proxy_device d;
    char path[256];

    assert_ok(proxy_device_find(&f->paths, VOL, "/dev/sdf", in_ms(0), NULL, &d, e));
    snprintf(path, sizeof path, "%s/%s", f->dev, name);
    assert_string_equal(d.path, path);
    assert_string_equal(d.volume_id, VOL);
    assert_int_equal(d.how, how);
}

/* ---- finding ---- */

static void test_found_by_id(void **state)
{
    struct fixture *f = *state;

    make_file(f->dev, "nvme7n1", MIB, NULL);
    make_file(f->dev, "xvdf", MIB, NULL);
    make_link(f, "nvme7n1");
    assert_found(f, "nvme7n1", PROXY_BY_ID);
}

static void test_found_by_serial_among_others(void **state)
{
    struct fixture *f = *state;

    make_file(f->sys, "block/nvme0n1/device/serial", 0, "vol0fffffffffffffff0\n");
    make_file(f->sys, "block/nvme1n1/device/serial", 0, SER "   \n");
    make_file(f->sys, "block/sda/device/serial", 0, SER "\n");
    make_file(f->dev, "nvme0n1", MIB, NULL);
    make_file(f->dev, "nvme1n1", MIB, NULL);
    assert_found(f, "nvme1n1", PROXY_BY_SERIAL);
}

static void test_found_by_xen_name(void **state)
{
    struct fixture *f = *state;

    make_file(f->dev, "xvdf", MIB, NULL);
    make_file(f->dev, "xvdg", MIB, NULL);
    assert_found(f, "xvdf", PROXY_BY_NAME);
}

static void test_other_volumes_are_never_taken(void **state)
{
    struct fixture *f = *state;
    struct proxy_device d;

    make_file(f->sys, "block/nvme1n1/device/serial", 0, "vol0fffffffffffffff0\n");
    make_file(f->dev, "nvme1n1", MIB, NULL);
    make_file(f->dev, "sdf", MIB, NULL);
    make_file(f->dev, "xvdg", MIB, NULL);
    assert_fails(proxy_device_find(&f->paths, VOL, "/dev/sdf", in_ms(0), NULL, &d, e),
                 ERR_TIMEOUT, VOL ", attached as /dev/sdf, shows as no device");
}

static void test_words_that_are_no_volume_id_are_refused(void **state)
{
    static const char *const words[] = {"",
                                        "vol-",
                                        "vol-../../../etc",
                                        "vol-0123456789abcdef",
                                        "vol-0123456789abcdef01",
                                        "vol-0123456789ABCDEF0",
                                        "snap-0123456789abcdef0",
                                        "vol-0123456789abcdef0/"};
    struct fixture *f = *state;
    struct proxy_device d;

    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        assert_fails(proxy_device_find(&f->paths, words[i], "/dev/sdf", 0, NULL, &d, e),
                     ERR_USAGE, "is no volume id");
}

struct later {
    struct fixture *f;
    struct cancel *cancel;
};

static void *attach_later(void *arg)
{
    struct later *l = arg;

    usleep(50000);
    if (l->cancel) {
        cancel_request(l->cancel);
    } else {
        make_file(l->f->dev, "nvme3n1", MIB, NULL);
        make_file(l->f->dev, "disk/by-id/nvme-other", 0, "");
        make_link(l->f, "nvme3n1");
    }
    return NULL;
}

static void test_waits_until_the_device_appears(void **state)
{
    struct fixture *f = *state;
    struct later l = {.f = f};
    struct proxy_device d;
    pthread_t t;
    char path[128];

    /* Not even the folder is there yet. */
    snprintf(path, sizeof path, "%s/disk", f->dev);
    assert_ok(io_remove_tree(path, e));
    assert_int_equal(pthread_create(&t, NULL, attach_later, &l), 0);
    assert_ok(proxy_device_find(&f->paths, VOL, "/dev/sdf", in_ms(20000), NULL, &d, e));
    pthread_join(t, NULL);
    assert_int_equal(d.how, PROXY_BY_ID);
}

static void test_wait_is_cancelled(void **state)
{
    struct fixture *f = *state;
    struct cancel c;
    struct later l = {.f = f, .cancel = &c};
    struct proxy_device d;
    pthread_t t;

    assert_ok(cancel_init(&c, e));
    assert_int_equal(pthread_create(&t, NULL, attach_later, &l), 0);
    assert_fails(proxy_device_find(&f->paths, VOL, "/dev/sdf", in_ms(60000), &c, &d, e),
                 ERR_CANCELLED, "interrupted");
    pthread_join(t, NULL);
    cancel_release(&c);
}

static void test_gone_is_told_from_still_there(void **state)
{
    struct fixture *f = *state;
    char path[256];

    make_file(f->dev, "xvdf", MIB, NULL);
    assert_fails(proxy_device_gone(&f->paths, VOL, "/dev/sdf", in_ms(0), NULL, e),
                 ERR_TIMEOUT, "still shows as");
    snprintf(path, sizeof path, "%s/xvdf", f->dev);
    assert_int_equal(unlink(path), 0);
    assert_ok(proxy_device_gone(&f->paths, VOL, "/dev/sdf", in_ms(0), NULL, e));
}

/* ---- opening ---- */

static struct proxy_device device_at(struct fixture *f, const char *name)
{
    struct proxy_device d = {.volume_id = VOL};

    snprintf(d.path, sizeof d.path, "%.80s/%.80s", f->dev, name);
    return d;
}

static void put(struct fixture *f, const char *name, uint64_t offset, const char *text)
{
    struct proxy_device d = device_at(f, name);
    int fd = open(d.path, O_RDWR);

    assert_true(fd >= 0);
    assert_ok(io_pwrite_full(fd, text, strlen(text), offset, d.path, e));
    close(fd);
}

static void test_fresh_volume_opens_known_zero(void **state)
{
    struct fixture *f = *state;
    struct proxy_device d = device_at(f, "nvme1n1");
    auto_sink struct sink *s = NULL;

    make_file(f->dev, "nvme1n1", 64 * MIB, NULL);
    assert_ok(proxy_device_open(&f->paths, &d, 64 * MIB, PROXY_FRESH, NULL, &s, e));
    assert_true(s->known_zero);
    assert_int_equal(s->size_bytes, 64 * MIB);
    assert_non_null(strstr(s->desc, VOL " ("));
}

static void test_wrong_size_is_refused(void **state)
{
    struct fixture *f = *state;
    struct proxy_device d = device_at(f, "nvme1n1");
    struct sink *s = NULL;

    make_file(f->dev, "nvme1n1", 64 * MIB, NULL);
    assert_fails(proxy_device_open(&f->paths, &d, 65 * MIB, PROXY_OURS, NULL, &s, e),
                 ERR_REQUIREMENT, "has 67108864 bytes, but the volume has 68157440");
    assert_null(s);
}

static void test_volume_that_is_not_empty_is_refused(void **state)
{
    const uint64_t offsets[] = {0,        510,          MIB - 1,
                                63 * MIB, 64 * MIB - 1, 64 * MIB / 65 / 4096 * 4096};
    struct fixture *f = *state;
    struct proxy_device d = device_at(f, "nvme1n1");

    for (size_t i = 0; i < sizeof offsets / sizeof offsets[0]; i++) {
        auto_sink struct sink *s = NULL;
        char text[64];

        make_file(f->dev, "nvme1n1", 64 * MIB, NULL);
        put(f, "nvme1n1", offsets[i], "x");
        snprintf(text, sizeof text, "byte %llu is not zero",
                 (unsigned long long)offsets[i]);
        assert_fails(proxy_device_open(&f->paths, &d, 64 * MIB, PROXY_FRESH, NULL, &s, e),
                     ERR_REQUIREMENT, text);
        /* As a volume whose contents are known it opens. */
        assert_ok(proxy_device_open(&f->paths, &d, 64 * MIB, PROXY_IN_USE, NULL, &s, e));
        assert_false(s->known_zero);
    }
}

static void test_tiny_disk_is_checked_whole(void **state)
{
    struct fixture *f = *state;
    struct proxy_device d = device_at(f, "xvdf");
    auto_sink struct sink *s = NULL;

    make_file(f->dev, "xvdf", 4096, NULL);
    assert_ok(proxy_device_open(&f->paths, &d, 4096, PROXY_FRESH, NULL, &s, e));
    sink_free(take_ptr(s));
    put(f, "xvdf", 4095, "x");
    assert_fails(proxy_device_open(&f->paths, &d, 4096, PROXY_FRESH, NULL, &s, e),
                 ERR_REQUIREMENT, "byte 4095 is not zero");
}

static void test_wait_for_a_locked_device_is_cancelled(void **state)
{
    struct fixture *f = *state;
    struct proxy_device d = device_at(f, "nvme1n1");
    auto_sink struct sink *s = NULL;
    struct sink *t = NULL;
    struct cancel c;
    struct later l = {.f = f, .cancel = &c};
    pthread_t thread;

    make_file(f->dev, "nvme1n1", MIB, NULL);
    assert_ok(cancel_init(&c, e));
    assert_ok(proxy_device_open(&f->paths, &d, MIB, PROXY_OURS, NULL, &s, e));
    assert_int_equal(pthread_create(&thread, NULL, attach_later, &l), 0);
    assert_fails(proxy_device_open(&f->paths, &d, MIB, PROXY_OURS, &c, &t, e),
                 ERR_CANCELLED, "interrupted");
    pthread_join(thread, NULL);
    cancel_release(&c);
}

static void test_second_opener_is_told_of_the_lock(void **state)
{
    struct fixture *f = *state;
    struct proxy_device d = device_at(f, "nvme1n1");
    auto_sink struct sink *s = NULL;
    struct sink *t = NULL;

    make_file(f->dev, "nvme1n1", MIB, NULL);
    assert_ok(proxy_device_open(&f->paths, &d, MIB, PROXY_OURS, NULL, &s, e));
    assert_fails(proxy_device_open(&f->paths, &d, MIB, PROXY_OURS, NULL, &t, e), ERR_BUSY,
                 "locked by another program");
}

static void test_directory_and_link_are_refused(void **state)
{
    struct fixture *f = *state;
    struct proxy_device d = device_at(f, "disk");
    struct sink *s = NULL;

    assert_fails(proxy_device_open(&f->paths, &d, MIB, PROXY_OURS, NULL, &s, e),
                 ERR_REQUIREMENT, "is no block device");
    make_file(f->dev, "nvme1n1", MIB, NULL);
    make_link(f, "nvme1n1");
    d = device_at(f, "disk/by-id/nvme-Amazon_Elastic_Block_Store_" SER);
    assert_fails(proxy_device_open(&f->paths, &d, MIB, PROXY_OURS, NULL, &s, e),
                 ERR_REQUIREMENT, "is no block device");
}

static void test_quiet_mark_comes_and_goes(void **state)
{
    struct fixture *f = *state;
    char path[256];

    snprintf(path, sizeof path, "%s/quiet/" SER, f->run);
    assert_true(proxy_quiet_mark(&f->paths, VOL));
    assert_int_equal(access(path, F_OK), 0);
    proxy_quiet_unmark(&f->paths, VOL);
    assert_int_equal(access(path, F_OK), -1);
    assert_false(proxy_quiet_mark(&f->paths, "../../etc/passwd"));
}

/* ---- block devices ---- */

/* A loop device over a file of that size, which goes with its last user; skips the test
 * where there are none. */
static int loop_over(struct fixture *f, uint64_t size, char path[64])
{
    int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC), file, loop = -1;
    struct proxy_device d = device_at(f, "backing");

    if (control < 0)
        skip_because("no /dev/loop-control here");
    make_file(f->dev, "backing", size, NULL);
    file = open(d.path, O_RDWR | O_CLOEXEC);
    /* Another test may be faster with the free one. */
    for (int tries = 0; tries < 20 && loop < 0; tries++) {
        struct loop_config c = {.fd = (unsigned)file,
                                .info = {.lo_flags = LO_FLAGS_AUTOCLEAR}};
        int n = ioctl(control, LOOP_CTL_GET_FREE);

        snprintf(path, 64, "/dev/loop%d", n);
        loop = n < 0 ? -1 : open(path, O_RDWR | O_CLOEXEC);
        if (loop >= 0 && ioctl(loop, LOOP_CONFIGURE, &c) < 0) {
            close(loop);
            loop = -1;
        }
    }
    close(control);
    close(file);
    if (loop < 0)
        skip_because("no loop device can be had here");
    return loop;
}

static void test_block_device_is_opened_exclusively(void **state)
{
    struct fixture *f = *state;
    struct proxy_paths real = {.run = f->run};
    struct proxy_device d = {.volume_id = VOL};
    auto_sink struct sink *s = NULL;
    auto_fd int loop = loop_over(f, 4 * MIB, d.path);
    int fd;

    assert_ok(proxy_device_open(&real, &d, 4 * MIB, PROXY_FRESH, NULL, &s, e));
    assert_true(s->align >= 512);
    fd = open(d.path, O_RDWR | O_EXCL);
    assert_int_equal(fd, -1);
    assert_int_equal(errno, EBUSY);
    assert_int_equal(flock(loop, LOCK_SH | LOCK_NB), -1);
}

static void test_link_to_a_block_device_is_followed(void **state)
{
    struct fixture *f = *state;
    struct proxy_device found, d;
    auto_fd int loop = loop_over(f, MIB, d.path);
    char path[256];

    assert_true(loop >= 0);
    snprintf(path, sizeof path, "%s/disk/by-id/nvme-Amazon_Elastic_Block_Store_" SER,
             f->dev);
    assert_int_equal(symlink(d.path, path), 0);
    assert_ok(proxy_device_find(&f->paths, VOL, "/dev/sdf", in_ms(0), NULL, &found, e));
    assert_string_equal(found.path, d.path);
}

/* A link that udev has not removed yet leads to a device that is another volume now. */
static void test_stale_link_is_not_followed(void **state)
{
    struct fixture *f = *state;
    struct proxy_device found, d = {.volume_id = VOL};
    auto_fd int loop = loop_over(f, MIB, d.path);
    char path[256], name[128];
    struct stat st;
    struct sink *s = NULL;

    assert_int_equal(fstat(loop, &st), 0);
    snprintf(path, sizeof path, "%s/disk/by-id/nvme-Amazon_Elastic_Block_Store_" SER,
             f->dev);
    assert_int_equal(symlink(d.path, path), 0);
    snprintf(name, sizeof name, "dev/block/%u:%u/device/serial",
             (unsigned)(st.st_rdev >> 8), (unsigned)(st.st_rdev & 0xff));
    make_file(f->sys, name, 0, "vol0fffffffffffffff0\n");
    assert_fails(proxy_device_find(&f->paths, VOL, "/dev/sdf", in_ms(0), NULL, &found, e),
                 ERR_TIMEOUT, "is volume vol0fffffffffffffff0");
    assert_fails(proxy_device_open(&f->paths, &d, MIB, PROXY_OURS, NULL, &s, e),
                 ERR_REQUIREMENT, "is volume vol0fffffffffffffff0 now, not " VOL);
}

static void test_mounted_device_is_refused_by_name(void **state)
{
    struct fixture *f = *state;
    struct proxy_device d = {.volume_id = VOL};
    auto_fd int loop = loop_over(f, MIB, d.path);
    struct stat st;
    char line[256], text[64];
    struct sink *s = NULL;

    assert_int_equal(fstat(loop, &st), 0);
    snprintf(line, sizeof line,
             "22 1 8:1 / / rw - ext4 /dev/nosuch rw\n"
             "30 22 7:%u / /mnt/guest rw,noatime shared:1 - xfs %s rw\n",
             (unsigned)(st.st_rdev & 0xff), d.path);
    make_file(f->dir, "proc/self/mountinfo", 0, line);
    snprintf(text, sizeof text, "%s/proc", f->dir);
    f->paths.proc = text;
    assert_fails(proxy_device_open(&f->paths, &d, MIB, PROXY_OURS, NULL, &s, e),
                 ERR_REQUIREMENT, "mounted on /mnt/guest");
    /* Btrfs shows an anonymous number: the source is what counts. */
    snprintf(line, sizeof line, "30 22 0:44 / /srv rw - btrfs %s rw\n", d.path);
    make_file(f->dir, "proc/self/mountinfo", 0, line);
    assert_fails(proxy_device_open(&f->paths, &d, MIB, PROXY_OURS, NULL, &s, e),
                 ERR_REQUIREMENT, "mounted on /srv");
    make_file(f->dir, "proc/self/mountinfo", 0, "22 1 8:1 / / rw - ext4 /dev/x rw\n");
    snprintf(line, sizeof line, "Filename\tType\n%s partition 1 0 -2\n", d.path);
    make_file(f->dir, "proc/swaps", 0, line);
    assert_fails(proxy_device_open(&f->paths, &d, MIB, PROXY_OURS, NULL, &s, e),
                 ERR_REQUIREMENT, "is swap space");
}

static void test_partitions_and_holders_are_seen(void **state)
{
    struct fixture *f = *state;
    struct proxy_device d = {.volume_id = VOL};
    auto_fd int loop = loop_over(f, MIB, d.path);
    struct stat st;
    char name[128], path[256];
    struct sink *s = NULL;

    assert_int_equal(fstat(loop, &st), 0);
    snprintf(name, sizeof name, "dev/block/7:%u", (unsigned)(st.st_rdev & 0xff));
    snprintf(path, sizeof path, "%s/p2/partition", name);
    make_file(f->sys, path, 0, "2\n");
    snprintf(path, sizeof path, "%s/p2/dev", name);
    make_file(f->sys, path, 0, "259:7\n");
    snprintf(path, sizeof path, "%s/p2/holders/dm-0", name);
    make_file(f->sys, path, 0, "");
    assert_fails(proxy_device_open(&f->paths, &d, MIB, PROXY_OURS, NULL, &s, e),
                 ERR_REQUIREMENT, "p2 is held by dm-0");
    snprintf(path, sizeof path, "%s/partition", name);
    make_file(f->sys, path, 0, "1\n");
    assert_fails(proxy_device_open(&f->paths, &d, MIB, PROXY_OURS, NULL, &s, e),
                 ERR_REQUIREMENT, "is a partition, not a whole disk");
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_found_by_id),
        T(test_found_by_serial_among_others),
        T(test_found_by_xen_name),
        T(test_other_volumes_are_never_taken),
        T(test_words_that_are_no_volume_id_are_refused),
        T(test_waits_until_the_device_appears),
        T(test_wait_is_cancelled),
        T(test_gone_is_told_from_still_there),
        T(test_fresh_volume_opens_known_zero),
        T(test_wrong_size_is_refused),
        T(test_volume_that_is_not_empty_is_refused),
        T(test_tiny_disk_is_checked_whole),
        T(test_wait_for_a_locked_device_is_cancelled),
        T(test_second_opener_is_told_of_the_lock),
        T(test_directory_and_link_are_refused),
        T(test_quiet_mark_comes_and_goes),
        T(test_block_device_is_opened_exclusively),
        T(test_link_to_a_block_device_is_followed),
        T(test_stale_link_is_not_followed),
        T(test_mounted_device_is_refused_by_name),
        T(test_partitions_and_holders_are_seen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
