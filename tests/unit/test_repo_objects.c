/* A repository in a store of objects, in memory: layout, locks, and a reader that shares
 * no code with us. */
#include "repo_kit.h"

#include "base/vec.h"

#include <pthread.h>

struct object {
    char *key;
    unsigned char *data;
    size_t len;
};

struct bucket {
    pthread_mutex_t lock; /* guards v */
    struct VEC(struct object) v;
};

/* One store of objects; several `struct objects` may look at it. */
struct mem_objects {
    struct objects base;
    struct bucket *bucket; /* borrowed */
};

static struct object *find(struct bucket *b, const char *key)
{
    vec_foreach (o, &b->v)
        if (str_eq(o->key, key))
            return o;
    return NULL;
}

static struct bucket *bucket_of(struct objects *o)
{
    return ((struct mem_objects *)o)->bucket;
}

static int none(const char *key, struct err *e)
{
    return err_set(e, ERR_NOT_FOUND, "%s: no such object", key);
}

static int mem_get(struct objects *o, const char *key, size_t max, struct buf *out,
                   struct err *e)
{
    struct bucket *b = bucket_of(o);
    struct object *x;
    int r = 0;

    pthread_mutex_lock(&b->lock);
    x = find(b, key);
    if (!x)
        r = none(key, e);
    else if (x->len > max)
        r = err_set(e, ERR_INPUT, "%s: too large", key);
    else
        buf_add(out, x->data, x->len);
    pthread_mutex_unlock(&b->lock);
    return r;
}

static int mem_get_range(struct objects *o, const char *key, uint64_t offset, void *buf,
                         size_t len, struct err *e)
{
    struct object *x = find(bucket_of(o), key);

    if (!x)
        return none(key, e);
    if (offset > x->len || len > x->len - offset)
        return err_set(e, ERR_INPUT, "%s: ends early", key);
    memcpy(buf, x->data + offset, len);
    return 0;
}

static int mem_put(struct objects *o, const char *key, const void *data, size_t len,
                   enum objects_put how, bool *ret_existed, struct err *e)
{
    struct bucket *b = bucket_of(o);
    struct object *x, empty = {0};

    assert_true(strlen(key) <= 1024 && key[0] != '/');
    pthread_mutex_lock(&b->lock);
    x = find(b, key);
    if (ret_existed)
        *ret_existed = x;
    if (!x || how == OBJECTS_REPLACE) {
        if (!x) {
            assert_int_equal(vec_push(&b->v, empty, e), 0);
            x = &b->v.v[b->v.n - 1];
            x->key = strdup(key);
        }
        free(x->data);
        x->data = malloc(len + 1);
        memcpy(x->data, data, len);
        x->len = len;
    }
    pthread_mutex_unlock(&b->lock);
    return 0;
}

static int mem_remove(struct objects *o, const char *key, struct err *e)
{
    struct bucket *b = bucket_of(o);
    struct object *x = find(b, key);

    if (!x)
        return 0;
    free(x->key);
    free(x->data);
    *x = b->v.v[--b->v.n];
    return 0;
}

static int mem_stat(struct objects *o, const char *key, uint64_t *ret, struct err *e)
{
    struct object *x = find(bucket_of(o), key);

    if (!x)
        return none(key, e);
    *ret = x->len;
    return 0;
}

static int by_key(const void *a, const void *b)
{
    return strcmp(((const struct object *)a)->key, ((const struct object *)b)->key);
}

static int mem_list(struct objects *o, const char *prefix, char delimiter,
                    int (*each)(void *, const char *, uint64_t, bool, struct err *),
                    void *ctx, struct err *e)
{
    struct bucket *b = bucket_of(o);
    char last[1100] = "";

    if (b->v.n)
        qsort(b->v.v, b->v.n, sizeof *b->v.v, by_key);
    for (size_t i = 0; i < b->v.n; i++) {
        const char *key = b->v.v[i].key, *end;
        char common[1100];

        if (!str_starts(key, prefix))
            continue;
        end = delimiter ? strchr(key + strlen(prefix), delimiter) : NULL;
        if (!end) {
            if (each(ctx, key, b->v.v[i].len, false, e) < 0)
                return -1;
            continue;
        }
        snprintf(common, sizeof common, "%.*s", (int)(end - key + 1), key);
        if (str_eq(common, last))
            continue;
        memcpy(last, common, sizeof last);
        if (each(ctx, common, 0, true, e) < 0)
            return -1;
    }
    return 0;
}

static void mem_free(struct objects *o)
{
    free(o->desc);
    free(o);
}

static const struct objects_ops mem_ops = {.name = "memory",
                                           .get = mem_get,
                                           .get_range = mem_get_range,
                                           .put = mem_put,
                                           .remove = mem_remove,
                                           .stat = mem_stat,
                                           .list = mem_list,
                                           .free = mem_free};

static struct objects *look_at(struct bucket *b)
{
    struct mem_objects *m = calloc(1, sizeof *m);

    m->base = (struct objects){.ops = &mem_ops, .desc = strdup("mem://bucket")};
    m->bucket = b;
    return &m->base;
}

static void bucket_empty(struct bucket *b)
{
    vec_foreach (o, &b->v) {
        free(o->key);
        free(o->data);
    }
    vec_release(&b->v);
}

static struct bucket bucket = {.lock = PTHREAD_MUTEX_INITIALIZER};

static struct repo *open_objects(enum repo_open how, const struct repo_key *k)
{
    struct repo_options opt = {.key = k};
    struct repo *r = NULL;

    assert_ok(repo_open_objects(look_at(&bucket), "store", how, &opt, &r, e));
    return r;
}

/* Every object as a file, for the reader in Python. */
static void write_out(void)
{
    kit_run("rm -rf \"$a\"", kit_path("out-store"), "");
    vec_foreach (o, &bucket.v) {
        char path[4096], *slash;

        snprintf(path, sizeof path, "%s/%s", kit_path("out-store"), o->key);
        slash = strrchr(path, '/');
        *slash = 0;
        assert_ok(io_mkdir_all(path, 0755, e));
        *slash = '/';
        assert_ok(io_write_file_atomic(path, o->data, o->len, 0644, e));
    }
}

static void compare_independent(const char *id, int64_t time, const struct kit_disk *d)
{
    auto_buf struct buf is = BUF_INIT;
    char args[4096], t[REPO_TIME_LEN];

    write_out();
    snprintf(args, sizeof args,
             "%s/store vm/%s/%s drive-scsi0.img.fidx %s "
             "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
             kit_path("out-store"), id, repo_time_text(time, t), kit_path("out"));
    kit_run("\"$a\"/../unit/pbs_reader.py $b", getenv("HOTADD_TEST_DATA"), args);
    assert_ok(io_read_file(kit_path("out"), 1 << 30, &is, e));
    assert_int_equal(is.len, d->size);
    assert_memory_equal(is.data, d->data, d->size);
}

static void test_round_trip_and_layout(void **state)
{
    struct repo_key *k = kit_key();
    struct repo *r = open_objects(REPO_CREATE, k);
    struct kit_disk d = kit_make_disk(5 * 65536 + 1, 65536);
    struct repo_backup_options o = {.chunk_bytes = 65536, .crypt = REPO_CRYPT_ENCRYPT};
    struct repo_backup_stats st;
    struct repo_entries v = {0};
    int64_t t = kit_back_up(r, "100", &d, &o, NULL, &st);

    assert_ok(kit_restore(r, "100", d.data, d.size, e));
    compare_independent("100", t, &d);
    assert_non_null(find(&bucket, "store/.in-use"));
    assert_non_null(find(&bucket, "store/.cnt/vm/100/owner"));
    vec_foreach (x, &bucket.v)
        assert_null(strstr(x->key, "hotadd-unfinished"));
    repo_free(r);
    r = open_objects(REPO_MUST_EXIST, k);
    assert_ok(repo_list(r, NULL, &v, e));
    assert_int_equal(v.n, 1);
    assert_true(v.v[0].finished && v.v[0].readable);
    repo_entries_release(&v);
    o.crypt = REPO_CRYPT_NONE;
    d.data[0] ^= 1;
    t = kit_back_up(r, "100", &d, &o, NULL, &st);
    compare_independent("100", t, &d);
    free(d.data);
    repo_free(r);
    repo_key_free(k);
}

static void test_namespaces_have_marks(void **state)
{
    struct repo *r = open_objects(REPO_CREATE, NULL);
    struct repo_backup_options o = {0};
    struct repo_name n = kit_name("prod/eu", "7");
    struct repo_backup *b = NULL;
    struct repo_entries v = {0};

    assert_ok(repo_backup_begin(r, &n, &o, &b, NULL, e));
    assert_non_null(find(&bucket, "store/.cnt/ns/prod/.namespace"));
    assert_non_null(find(&bucket, "store/.cnt/ns/prod/ns/eu/.namespace"));
    assert_ok(repo_list(r, &n, &v, e));
    assert_int_equal(v.n, 1);
    assert_false(v.v[0].finished);
    repo_entries_release(&v);
    repo_backup_free(b);
    assert_ok(repo_list(r, &n, &v, e));
    assert_int_equal(v.n, 0);
    repo_free(r);
}

static void test_one_machine_and_one_writer_a_group(void **state)
{
    struct repo *r = open_objects(REPO_CREATE, NULL);
    struct repo *r2 = open_objects(REPO_MUST_EXIST, NULL);
    struct repo_backup_options o = {0};
    struct repo_name n = kit_name("", "8");
    struct repo_backup *a = NULL, *b = NULL;
    struct objects *raw = look_at(&bucket);

    assert_ok(repo_backup_begin(r, &n, &o, &a, NULL, e));
    assert_fails(repo_backup_begin(r2, &n, &o, &b, NULL, e), ERR_BUSY, "vm/8");
    repo_backup_free(a);
    assert_ok(repo_backup_begin(r2, &n, &o, &b, NULL, e));
    repo_backup_free(b);
    assert_ok(mem_put(raw, "store/.in-use", "{\"hostname\":\"pbs1\"}", 19,
                      OBJECTS_REPLACE, NULL, e));
    assert_fails(repo_backup_begin(r, &n, &o, &a, NULL, e), ERR_DENIED, "in use by pbs1");
    assert_fails(repo_point_remove(r, &n, e), ERR_DENIED, "in use by pbs1");
    assert_ok(mem_remove(raw, "store/.in-use", e));
    objects_free(raw);
    repo_free(r);
    repo_free(r2);
}

static void test_a_prefix_that_is_no_datastore(void **state)
{
    struct bucket other = {.lock = PTHREAD_MUTEX_INITIALIZER};
    struct objects *raw = look_at(&other);
    struct repo *r = NULL;

    assert_fails(repo_open_objects(look_at(&other), "s", REPO_MUST_EXIST, NULL, &r, e),
                 ERR_NOT_FOUND, "holds no datastore");
    assert_ok(mem_put(raw, "s/photo.jpg", "x", 1, OBJECTS_REPLACE, NULL, e));
    assert_fails(repo_open_objects(look_at(&other), "s", REPO_CREATE, NULL, &r, e),
                 ERR_INPUT, "no Proxmox Backup datastore");
    assert_fails(repo_open_objects(look_at(&other), "../s", REPO_CREATE, NULL, &r, e),
                 ERR_USAGE, "not a datastore's name");
    bucket_empty(&other);
    objects_free(raw);
}

static void test_verify_marks_and_removes(void **state)
{
    struct repo *r = open_objects(REPO_CREATE, NULL);
    struct kit_disk d = {.data = calloc(1, 65536), .size = 65536};
    struct repo_backup_options o = {.chunk_bytes = 65536};
    struct repo_verify_options vo = {.mark_bad = true};
    struct repo_name n = kit_name("", "9");
    struct repo_verify_stats st;
    struct repo_backup_stats bs;
    struct repo_damages v = {0};
    struct repo_verify *run = NULL;
    unsigned char *all = NULL;
    char key[200];

    memset(d.data, 7, d.size);
    kit_back_up(r, "9", &d, &o, NULL, &bs);
    vec_foreach (x, &bucket.v)
        if (x->len > 12 && strstr(x->key, ".chunks") && x->data[x->len - 1]) {
            x->data[x->len - 1] ^= 1;
            snprintf(key, sizeof key, "%s.0.bad", x->key);
        }
    assert_ok(repo_verify_begin(r, &n, &vo, &run, e));
    assert_ok(kit_read(repo_verify_source(run), &all, e));
    assert_ok(repo_verify_finish(run, &st, &v, e));
    assert_int_equal(v.n, 1);
    assert_int_equal(v.v[0].kind, REPO_DAMAGE_CRC);
    repo_damages_release(&v);
    repo_verify_free(run);
    free(all);
    vec_foreach (x, &bucket.v)
        if (strstr(x->key, ".0.bad"))
            *key = 0;
    assert_int_equal(*key, 0);
    /* The next backup stores the chunk again. */
    kit_back_up(r, "9", &d, &o, NULL, &bs);
    assert_int_equal(bs.new_chunks, 1);
    assert_ok(kit_restore(r, "9", d.data, d.size, e));
    n.time = REPO_LATEST;
    assert_ok(repo_point_remove(r, &n, e));
    assert_ok(repo_point_remove(r, &n, e));
    assert_null(find(&bucket, "store/.cnt/vm/9/owner"));
    free(d.data);
    repo_free(r);
}

static int teardown(void **state)
{
    bucket_empty(&bucket);
    return kit_teardown(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip_and_layout),
        cmocka_unit_test(test_namespaces_have_marks),
        cmocka_unit_test(test_one_machine_and_one_writer_a_group),
        cmocka_unit_test(test_a_prefix_that_is_no_datastore),
        cmocka_unit_test(test_verify_marks_and_removes),
    };
    return cmocka_run_group_tests(tests, kit_setup, teardown);
}
