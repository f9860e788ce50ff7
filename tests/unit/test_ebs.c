/* The EBS direct client against a small server: what it asks for, what it refuses to
 * believe, and a snapshot read as a disk while tokens expire. */
#include "test.h"

#include "aws_env.h"

#include "aws/ebs.h"
#include "base/base64.h"
#include "base/buf.h"
#include "base/digest.h"
#include "base/str.h"

#include <inttypes.h>

#define BLOCK 4096 /* small, so that the answers are */

struct fixture {
    struct fake_script script;
    struct fake_http *fake;
    struct aws *aws;
};

static void start(struct fixture *f, const struct fake_answer *answers, size_t n)
{
    f->script = (struct fake_script){answers, n};
    f->fake = fake_http_start(fake_script_handler, &f->script, NULL, NULL);
    f->aws = aws_env_client(f->fake);
}

static void stop(struct fixture *f)
{
    aws_free(f->aws);
    fake_http_stop(f->fake);
}

#define START(...)                                                                       \
    const struct fake_answer answers[] = {__VA_ARGS__};                                  \
    struct fixture f;                                                                    \
    start(&f, answers, sizeof answers / sizeof answers[0])

static const char *uri(struct fixture *f, size_t n)
{
    return fake_http_request(f->fake, n)->uri;
}

struct seen {
    char text[256];
    size_t enough; /* blocks; 0: all */
    size_t n;
};

static int note(void *ctx, const struct ebs_shape *shape, uint64_t index,
                const char *token, struct err *e)
{
    struct seen *s = ctx;
    size_t at = strlen(s->text);

    snprintf(s->text + at, sizeof s->text - at, "%" PRIu64 "=%s ", index,
             token ? token : "none");
    return ++s->n == s->enough;
}

#define SIZES "\"VolumeSize\":1,\"BlockSize\":524288"

static void test_a_list_is_read_over_its_pages(void **state)
{
    struct seen seen = {.text = ""};
    struct ebs_shape shape;
    START({.status = 200,
           .body = "{\"Blocks\":[{\"BlockIndex\":3,\"BlockToken\":\"AAB+/w==\"}],"
                   "\"NextToken\":\"more/==\"," SIZES "}"},
          {.status = 200, .body = "{\"Blocks\":[],\"NextToken\":\"again\"," SIZES "}"},
          {.status = 200,
           .body = "{\"Blocks\":[{\"BlockIndex\":9,\"BlockToken\":\"CC\"}]," SIZES "}"});

    assert_ok(ebs_list_snapshot_blocks(f.aws, "snap-1", 2, note, &seen, &shape, e));
    assert_string_equal(seen.text, "3=AAB+/w== 9=CC ");
    assert_int_equal(shape.volume_bytes, 1u << 30);
    assert_int_equal(shape.block_bytes, 524288);
    assert_string_equal(uri(&f, 0),
                        "/snapshots/snap-1/blocks?maxResults=10000&startingBlockIndex=2");
    assert_string_equal(
        uri(&f, 1), "/snapshots/snap-1/blocks?maxResults=10000&pageToken=more%2F%3D%3D");
    assert_true(fake_has_header(fake_http_request(f.fake, 0), "authorization",
                                "/eu-west-1/ebs/aws4_request"));
    stop(&f);
}

static void test_a_list_ends_when_there_is_enough(void **state)
{
    struct seen seen = {.enough = 1};
    START({.status = 200,
           .body = "{\"Blocks\":[{\"BlockIndex\":0,\"BlockToken\":\"A\"},{\"BlockIndex\":"
                   "1,\"BlockToken\":\"B\"}],\"NextToken\":\"more\"," SIZES "}"});

    assert_ok(ebs_list_snapshot_blocks(f.aws, "snap-1", 0, note, &seen, NULL, e));
    assert_string_equal(seen.text, "0=A ");
    assert_int_equal(fake_http_count(f.fake), 1);
    stop(&f);
}

static void test_changes_become_extents(void **state)
{
    auto_extent_set struct extent_set set = {0};
    START({.status = 200,
           .body = "{\"ChangedBlocks\":[{\"BlockIndex\":1,\"FirstBlockToken\":\"A\","
                   "\"SecondBlockToken\":\"B\"},{\"BlockIndex\":2,\"FirstBlockToken\":"
                   "\"C\"},{\"BlockIndex\":5,\"SecondBlockToken\":\"D\"}]," SIZES "}"});

    assert_ok(ebs_changed_extents(f.aws, "snap-1", "snap-2", &set, e));
    assert_string_equal(
        uri(&f, 0),
        "/snapshots/snap-2/changedblocks?firstSnapshotId=snap-1&maxResults=10000");
    assert_int_equal(set.n, 2);
    assert_int_equal(set.v[0].offset, 524288);
    assert_int_equal(set.v[0].len, 2 * 524288);
    assert_int_equal(set.v[1].offset, 5 * 524288);
    stop(&f);
}

static void test_lists_that_lie_are_refused(void **state)
{
    static const struct {
        const char *body, *why;
    } lies[] = {
        {"{\"Blocks\":[{\"BlockIndex\":2,\"BlockToken\":\"A\"},{\"BlockIndex\":2,"
         "\"BlockToken\":\"B\"}]," SIZES "}",
         "out of order"},
        {"{\"Blocks\":[{\"BlockIndex\":2048,\"BlockToken\":\"A\"}]," SIZES "}",
         "block 2048 of a volume"},
        {"{\"Blocks\":[{\"BlockIndex\":1}]," SIZES "}", "no sound token"},
        {"{\"Blocks\":[{\"BlockIndex\":1,\"BlockToken\":\"a b\"}]," SIZES "}",
         "no sound token"},
        {"{\"Blocks\":[{\"BlockToken\":\"A\"}]," SIZES "}", "\"BlockIndex\" is missing"},
        {"{\"Blocks\":[],\"VolumeSize\":1,\"BlockSize\":1000}", "blocks of 1000 bytes"},
        {"{\"Blocks\":[],\"VolumeSize\":70000,\"BlockSize\":524288}", "70000 GiB"},
        {"{\"Blocks\":{}," SIZES "}", "no list"},
        {"<html>", "not JSON"},
    };

    for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
        struct seen seen = {.text = ""};
        START({.status = 200, .body = lies[i].body});

        assert_fails(ebs_list_snapshot_blocks(f.aws, "snap-1", 0, note, &seen, NULL, e),
                     ERR_INPUT, lies[i].why);
        stop(&f);
    }
}

static void test_the_same_page_twice_is_no_loop(void **state)
{
    struct seen seen = {.text = ""};
    START({.status = 200, .body = "{\"Blocks\":[],\"NextToken\":\"x\"," SIZES "}"});

    assert_fails(ebs_list_snapshot_blocks(f.aws, "snap-1", 0, note, &seen, NULL, e),
                 ERR_INPUT, "the same page twice");
    assert_int_equal(fake_http_count(f.fake), 2);
    stop(&f);
}

static void test_refusals_say_what_to_do(void **state)
{
    struct seen seen = {.text = ""};
    START({.status = 403,
           .headers = "x-amzn-ErrorType: AccessDeniedException",
           .body = "{\"Message\":\"no\"}"},
          {.status = 404,
           .headers = "x-amzn-ErrorType: ResourceNotFoundException",
           .body = "{\"Message\":\"The snapshot does not exist.\"}"});

    assert_fails(ebs_list_snapshot_blocks(f.aws, "snap-1", 0, note, &seen, NULL, e),
                 ERR_DENIED, "allow ebs:ListSnapshotBlocks");
    assert_fails(ebs_list_snapshot_blocks(f.aws, "snap-1", 0, note, &seen, NULL, e),
                 ERR_NOT_FOUND, "does not exist");
    stop(&f);
}

/* ---- data ---- */

/* Headers of an answer that carries `body`, in a static buffer. */
static const char *sum_headers(const char *body, size_t len)
{
    static char text[512];
    unsigned char sum[SHA256_BYTES];
    auto_buf struct buf b = BUF_INIT;

    digest_sha256(body, len, sum);
    base64_encode(sum, sizeof sum, &b);
    snprintf(text, sizeof text,
             "x-amz-Data-Length: %zu\nx-amz-Checksum: %s\nx-amz-Checksum-Algorithm: "
             "SHA256",
             len, buf_str(&b));
    return text;
}

static char *filled(char c)
{
    static char data[BLOCK + 1];

    memset(data, c, BLOCK);
    data[BLOCK] = 0;
    return data;
}

static void test_a_block_is_read_and_checked(void **state)
{
    char *body = filled('d'), buf[BLOCK];
    const char *good = sum_headers(body, BLOCK);
    START({.status = 200, .body = body, .headers = good});

    assert_ok(ebs_get_snapshot_block(f.aws, "snap-1", 7, "A+/=", buf, BLOCK, e));
    assert_memory_equal(buf, body, BLOCK);
    assert_string_equal(uri(&f, 0), "/snapshots/snap-1/blocks/7?blockToken=A%2B%2F%3D");
    stop(&f);
}

static void test_damaged_data_is_asked_for_again(void **state)
{
    char *body = filled('d'), buf[BLOCK], *bad = strdup(body);
    const char *good = sum_headers(body, BLOCK);
    START({.status = 200, .body = bad, .headers = good},
          {.status = 200, .body = body, .headers = good});

    bad[100] = 'X';
    assert_ok(ebs_get_snapshot_block(f.aws, "snap-1", 7, "A", buf, BLOCK, e));
    assert_memory_equal(buf, body, BLOCK);
    assert_int_equal(fake_http_count(f.fake), 2);
    stop(&f);
    free(bad);
}

static void test_data_that_stays_damaged_is_an_error(void **state)
{
    char *body = filled('d'), buf[BLOCK];
    const char *other = sum_headers("other", 5);
    char wrong[512];

    snprintf(wrong, sizeof wrong, "x-amz-Data-Length: %d\n%s", BLOCK,
             strchr(other, '\n') + 1);
    {
        START({.status = 200, .body = body, .headers = wrong});
        assert_fails(ebs_get_snapshot_block(f.aws, "snap-1", 7, "A", buf, BLOCK, e),
                     ERR_INPUT, "block 7 of snap-1: the data does not fit its checksum");
        assert_int_equal(fake_http_count(f.fake), 3);
        stop(&f);
    }
    {
        START({.status = 200, .body = "short", .headers = other});
        assert_fails(ebs_get_snapshot_block(f.aws, "snap-1", 7, "A", buf, BLOCK, e),
                     ERR_INPUT, "5 bytes");
        stop(&f);
    }
}

/* ---- a snapshot as a disk ---- */

/* 12 GiB (windows of 4 GiB) of 512 KiB blocks; written are the blocks below. Tokens are
 * "gGENERATION": those of an older generation than `generation` are refused. */
#define BIG 524288
static const uint64_t written[] = {0, 1, 2, 5, 8191, 8192, 20000};
#define N_WRITTEN (sizeof written / sizeof written[0])

struct disk {
    char body[8192];
    char data[BIG + 1];
    char headers[512];
    unsigned generation;
    size_t lists, refused;
};

static void list_blocks(struct disk *d, const struct fake_request *r,
                        struct fake_answer *ret)
{
    const char *from = strstr(r->uri, "startingBlockIndex=");
    uint64_t start = from ? strtoull(from + 19, NULL, 10) : 0;
    size_t at = (size_t)snprintf(d->body, sizeof d->body, "{\"Blocks\":[");

    d->lists++;
    for (size_t i = 0; i < N_WRITTEN; i++)
        if (written[i] >= start)
            at += (size_t)snprintf(
                d->body + at, sizeof d->body - at,
                "%s{\"BlockIndex\":%" PRIu64 ",\"BlockToken\":\"g%u\"}",
                d->body[at - 1] == '[' ? "" : ",", written[i], d->generation);
    snprintf(d->body + at, sizeof d->body - at,
             "],\"VolumeSize\":12,\"BlockSize\":524288}");
    ret->body = d->body;
}

static void answer_disk(void *ctx, size_t n, const struct fake_request *r,
                        struct fake_answer *ret)
{
    struct disk *d = ctx;
    const char *index = strstr(r->uri, "/blocks/");
    const char *token = strstr(r->uri, "blockToken=g");

    ret->status = 200;
    if (!index) {
        list_blocks(d, r, ret);
        return;
    }
    if (!token || strtoul(token + 12, NULL, 10) != d->generation) {
        d->refused++;
        ret->status = 400;
        ret->headers = "x-amzn-ErrorType: ValidationException";
        ret->body = "{\"Message\":\"m\",\"Reason\":\"INVALID_BLOCK_TOKEN\"}";
        return;
    }
    memset(d->data, 'a' + (int)(strtoull(index + 8, NULL, 10) % 26), BIG);
    snprintf(d->headers, sizeof d->headers, "%s", sum_headers(d->data, BIG));
    ret->body = d->data;
    ret->headers = d->headers;
}

static struct disk *disk_new(void)
{
    struct disk *d = calloc(1, sizeof *d);

    assert_non_null(d);
    return d;
}

/* The whole disk by its units; every byte is compared. */
static void expect_content(struct source *s)
{
    char *buf = aligned_alloc(4096, 2 * BIG);
    uint64_t at = 0, data = 0;
    struct unit u;

    assert_non_null(buf);
    for (; at < s->size_bytes; at += u.len) {
        assert_ok(source_unit_at(s, at, 2 * BIG, &u, e));
        assert_int_equal(u.offset, at);
        assert_in_range(u.len, 1, s->size_bytes - at);
        for (size_t i = 0; i < N_WRITTEN; i++)
            if (u.kind == UNIT_ZERO)
                assert_false(written[i] * BIG >= at && written[i] * BIG < at + u.len);
        if (u.kind == UNIT_ZERO)
            continue;
        assert_ok(source_fetch(s, &u, buf, e));
        for (uint64_t i = 0; i < u.len; i++)
            assert_int_equal(buf[i], 'a' + (int)((at + i) / BIG % 26));
        data += u.len;
    }
    assert_int_equal(at, s->size_bytes);
    assert_int_equal(data, N_WRITTEN * BIG);
    free(buf);
}

static void test_a_snapshot_reads_as_its_disk(void **state)
{
    struct disk *d = disk_new();
    struct fake_http *fake = fake_http_start(answer_disk, d, NULL, NULL);
    struct aws *aws = aws_env_client(fake);
    struct source *s;

    assert_ok(ebs_source_new(aws, "snap-1", "i-1 /dev/sda1", &s, e));
    assert_int_equal(s->size_bytes, 12ull << 30);
    assert_string_equal(s->desc, "i-1 /dev/sda1");
    expect_content(s);
    /* One list a window that has data; what is empty costs none. */
    assert_int_equal(d->lists, 3);
    source_free(s);
    aws_free(aws);
    fake_http_stop(fake);
    free(d);
}

static void test_expired_tokens_are_renewed(void **state)
{
    struct disk *d = disk_new();
    struct fake_http *fake = fake_http_start(answer_disk, d, NULL, NULL);
    struct aws *aws = aws_env_client(fake);
    struct source *s;

    assert_ok(ebs_source_new(aws, "snap-1", "disk", &s, e));
    d->generation = 1;
    expect_content(s);
    assert_int_equal(d->refused, 1);
    source_free(s);
    aws_free(aws);
    fake_http_stop(fake);
    free(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_list_is_read_over_its_pages),
        cmocka_unit_test(test_a_list_ends_when_there_is_enough),
        cmocka_unit_test(test_changes_become_extents),
        cmocka_unit_test(test_lists_that_lie_are_refused),
        cmocka_unit_test(test_the_same_page_twice_is_no_loop),
        cmocka_unit_test(test_refusals_say_what_to_do),
        cmocka_unit_test(test_a_block_is_read_and_checked),
        cmocka_unit_test(test_damaged_data_is_asked_for_again),
        cmocka_unit_test(test_data_that_stays_damaged_is_an_error),
        cmocka_unit_test(test_a_snapshot_reads_as_its_disk),
        cmocka_unit_test(test_expired_tokens_are_renewed),
    };

    return cmocka_run_group_tests(tests, aws_env_setup, aws_env_teardown);
}
