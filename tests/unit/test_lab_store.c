#include "test.h"

#include "lab/store.h"
#include "lab/xmlout.h"

#include "base/io.h"
#include "base/str.h"

#include <sys/wait.h>

struct place {
    char dir[64], db[80];
};

static int setup(void **state)
{
    struct place *p = calloc(1, sizeof *p);

    snprintf(p->dir, sizeof p->dir, "/tmp/hotadd-store-XXXXXX");
    if (!mkdtemp(p->dir))
        return -1;
    snprintf(p->db, sizeof p->db, "%s/lab.db", p->dir);
    *state = p;
    return 0;
}

static int teardown(void **state)
{
    struct place *p = *state;
    struct err e = ERR_INIT;
    int r = io_remove_tree(p->dir, &e);

    free(p);
    return r;
}

static void put(struct store *s, const char *id, const char *value)
{
    assert_ok(store_put(s, "volume", id, json_pack("{s:s}", "v", value), e));
}

static const char *get(struct store *s, const char *id)
{
    return json_string_value(json_object_get(store_get(s, "volume", id), "v"));
}

static void test_a_commit_survives_and_order_is_kept(void **state)
{
    struct place *p = *state;
    struct store *s;
    json_t *list;

    assert_ok(store_open(p->db, &s, e));
    put(s, "b", "1");
    put(s, "a", "2");
    assert_ok(store_commit(s, e));
    put(s, "b", "3");
    assert_ok(store_commit(s, e));
    store_close(s);

    assert_ok(store_open(p->db, &s, e));
    assert_ok(store_list(s, "volume", &list, e));
    assert_int_equal(json_array_size(list), 2);
    assert_string_equal(json_string_value(json_object_get(json_array_get(list, 0), "v")),
                        "3");
    json_decref(list);
    store_close(s);
}

static void test_a_rollback_forgets_changes(void **state)
{
    struct place *p = *state;
    struct store *s;
    json_t *doc, *list;

    assert_ok(store_open(p->db, &s, e));
    put(s, "a", "1");
    assert_ok(store_commit(s, e));
    assert_ok(store_edit(s, "volume", "a", &doc, e));
    json_object_set_new(doc, "v", json_string("2"));
    put(s, "b", "9");
    assert_string_equal(get(s, "a"), "2");
    store_rollback(s);
    assert_string_equal(get(s, "a"), "1");
    assert_null(get(s, "b"));

    assert_ok(store_delete(s, "volume", "a", e));
    assert_null(get(s, "a"));
    assert_ok(store_list(s, "volume", &list, e));
    assert_int_equal(json_array_size(list), 0);
    json_decref(list);
    store_rollback(s);
    assert_string_equal(get(s, "a"), "1");
    assert_fails(store_edit(s, "volume", "zz", &doc, e), ERR_NOT_FOUND, "zz");
    store_close(s);
}

/* A child commits documents one after another until it is killed; what is found then
 * must be a whole beginning of what it wrote. */
static void test_a_killed_writer_leaves_whole_commits(void **state)
{
    struct place *p = *state;
    struct store *s;
    json_t *list;
    int status, ready[2];
    char byte;
    pid_t pid;

    assert_int_equal(pipe(ready), 0);
    pid = fork();
    if (pid == 0) {
        struct err e = ERR_INIT;

        if (store_open(p->db, &s, &e) < 0)
            _exit(1);
        for (int i = 0;; i++) {
            char a[16], b[16];

            snprintf(a, sizeof a, "%06d-a", i);
            snprintf(b, sizeof b, "%06d-b", i);
            if (store_put(s, "volume", a, json_pack("{s:i}", "v", i), &e) < 0 ||
                store_put(s, "volume", b, json_pack("{s:i}", "v", i), &e) < 0 ||
                store_commit(s, &e) < 0 || (i == 20 && write(ready[1], "", 1) != 1))
                _exit(1);
        }
    }
    close(ready[1]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    usleep(10 * 1000);
    kill(pid, SIGKILL);
    waitpid(pid, &status, 0);
    assert_true(WIFSIGNALED(status));
    assert_ok(store_open(p->db, &s, e));
    assert_ok(store_list(s, "volume", &list, e));
    assert_true(json_array_size(list) > 0);
    assert_int_equal(json_array_size(list) % 2, 0);
    for (size_t i = 0; i < json_array_size(list); i++)
        assert_int_equal(
            json_integer_value(json_object_get(json_array_get(list, i), "v")), i / 2);
    json_decref(list);
    store_close(s);
}

static void test_answers_are_escaped_and_hide_what_is_ours(void **state)
{
    json_t *doc =
        json_pack("{s:s, s:[{s:s}], s:b, s:i, s:n, s:s}", "name", "a<b>&\x01\"c",
                  "tagSet", "key", "k", "yes", 1, "n", -5, "none", "_secret", "s3cr3t");
    auto_buf struct buf out = BUF_INIT;

    assert_ok(xmlout_document("R", XMLNS_EC2, doc, &out, e));
    json_decref(doc);
    assert_non_null(strstr(buf_str(&out), "<R xmlns=\"" XMLNS_EC2 "\">"));
    assert_non_null(strstr(buf_str(&out), "<name>a&lt;b&gt;&amp;?"));
    assert_non_null(strstr(buf_str(&out), "<tagSet><item><key>k</key></item></tagSet>"));
    assert_non_null(strstr(buf_str(&out), "<yes>true</yes><n>-5</n><none/>"));
    assert_null(strstr(buf_str(&out), "s3cr3t"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_commit_survives_and_order_is_kept, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_a_rollback_forgets_changes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_killed_writer_leaves_whole_commits, setup,
                                        teardown),
        cmocka_unit_test(test_answers_are_escaped_and_hide_what_is_ours),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
