#include "test.h"

#include "disk/sink.h"

#include <fcntl.h>

static int temp_file(uint64_t size)
{
    char path[] = "/tmp/hotadd-test-XXXXXX";
    int fd = mkstemp(path);

    assert_true(fd >= 0);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(ftruncate(fd, (off_t)size), 0);
    return fd;
}

static void test_zero_reads_back_as_zero(void **state)
{
    auto_sink struct sink *s = NULL;
    char data[8192], back[8192], zeros[4096] = {0};

    assert_ok(sink_fd_new(temp_file(1 << 20), "t", SINK_ZEROS_UNKNOWN, &s, e));
    assert_int_equal(s->size_bytes, 1 << 20);
    memset(data, 'x', sizeof data);
    assert_ok(s->ops->write(s, data, sizeof data, 4096, e));
    assert_ok(s->ops->zero(s, 4096, 4096, e));
    assert_ok(s->ops->flush(s, e));
    assert_ok(s->ops->read(s, back, sizeof back, 4096, e));
    assert_memory_equal(back, zeros, 4096);
    assert_memory_equal(back + 4096, data, 4096);
}

static void test_direct_file_that_ends_inside_a_block(void **state)
{
    /* Not on /tmp, which may be a file system without O_DIRECT. */
    char path[] = "./hotadd-test-XXXXXX";
    int fd = mkostemp(path, O_DIRECT);
    auto_sink struct sink *s = NULL;
    auto_free void *data = NULL, *back = NULL;

    if (fd < 0)
        skip_because("this file system does not know O_DIRECT");
    assert_int_equal(unlink(path), 0);
    assert_int_equal(ftruncate(fd, 8192 + 100), 0);
    assert_int_equal(posix_memalign(&data, 4096, 8192), 0);
    assert_int_equal(posix_memalign(&back, 4096, 8192), 0);
    memset(data, 'x', 8192);
    memset(back, 0, 8192);
    assert_ok(sink_fd_new(fd, "t", SINK_KNOWN_ZERO, &s, e));
    assert_int_equal(s->align, 4096);
    assert_ok(s->ops->write(s, data, 4096 + 100, 4096, e));
    assert_ok(s->ops->flush(s, e));
    assert_ok(s->ops->read(s, back, 4096 + 100, 4096, e));
    assert_memory_equal(back, data, 4096 + 100);
}

static void test_pipes_are_refused(void **state)
{
    struct sink *s = NULL;
    int p[2];

    assert_int_equal(pipe(p), 0);
    assert_fails(sink_fd_new(p[1], "the pipe", SINK_ZEROS_UNKNOWN, &s, e), ERR_USAGE,
                 "the pipe: neither a block device nor a regular file");
    close(p[0]);
    close(p[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_zero_reads_back_as_zero),
        cmocka_unit_test(test_direct_file_that_ends_inside_a_block),
        cmocka_unit_test(test_pipes_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
