/* Damage: each kind is made, must be named by verification and restore alike, and must
 * never reach a target. */
#include "repo_kit.h"

#include "repo/key.h"

#include <fcntl.h>
#include <libdeflate.h>
#include <sys/stat.h>

#define RAW_CHUNK                                                                        \
    ".chunks/c2e6/c2e686823489ced2017f6059b8b239318b6364f6dcd835d0a519105a1eadd6e4"

/* The store's copy, and a copy of it that is damaged. */
static char store[128];

static void fresh(void)
{
    snprintf(store, sizeof store, "%s", kit_copy_store("ds"));
}

static const char *in_store(const char *name)
{
    static char path[4096];

    snprintf(path, sizeof path, "%s/%s", store, name);
    return path;
}

static void read_file(const char *name, struct buf *b)
{
    buf_reset(b);
    assert_ok(io_read_file(in_store(name), 1 << 24, b, e));
}

static void write_file(const char *name, const void *data, size_t len)
{
    assert_ok(io_write_file_atomic(in_store(name), data, len, 0644, e));
}

static struct repo *open_store(const struct repo_key *k)
{
    struct repo_options opt = {.key = k};
    struct repo *r = NULL;

    assert_ok(repo_open_dir(store, REPO_MUST_EXIST, &opt, &r, e));
    return r;
}

static void run_verify(struct repo *r, const struct repo_verify_options *opt,
                       struct repo_verify_stats *st, struct repo_damages *out)
{
    struct repo_verify *v = NULL;
    unsigned char *all = NULL;

    *out = (struct repo_damages){0};
    assert_ok(repo_verify_begin(r, NULL, opt, &v, e));
    if (repo_verify_source(v))
        assert_ok(kit_read(repo_verify_source(v), &all, e));
    assert_ok(repo_verify_finish(v, st, out, e));
    free(all);
    repo_verify_free(v);
}

/* The file that holds the digest of chunk i of a point's disk. */
static const char *chunk_of(struct repo *r, const char *name, uint64_t i, char *out)
{
    struct repo_name n = {0};
    struct repo_point *p = NULL;
    unsigned char digest[SHA256_BYTES];

    assert_ok(repo_name_parse(name, &n, e));
    assert_ok(repo_point_open(r, &n, &p, e));
    assert_ok(fidx_digest(p->disks.v[0].index, i, digest, e));
    store_chunk_path(digest, out);
    repo_point_free(p);
    repo_name_release(&n);
    return out;
}

static void put_crc(unsigned char *p, size_t head, size_t len)
{
    uint32_t c = libdeflate_crc32(0, p + head, len - head);

    memcpy(p + 8, &c, 4);
}

enum how {
    HOW_REMOVE,
    HOW_EMPTY,
    HOW_SHORT,
    HOW_MAGIC,
    HOW_CRC,
    HOW_ZSTD,
    HOW_TAG,
    HOW_DIGEST,
    HOW_LENGTH,
    HOW_CRYPT,
    HOW_LINK,
};

static void damage(const char *name, enum how how)
{
    auto_buf struct buf b = BUF_INIT;
    unsigned char *p;

    read_file(name, &b);
    p = (unsigned char *)b.data;
    switch (how) {
    case HOW_REMOVE:
        assert_int_equal(unlink(in_store(name)), 0);
        return;
    case HOW_LINK:
        assert_int_equal(unlink(in_store(name)), 0);
        assert_int_equal(symlink("/etc/hostname", in_store(name)), 0);
        return;
    case HOW_EMPTY:
        b.len = 0;
        break;
    case HOW_SHORT:
        b.len = 11;
        break;
    case HOW_MAGIC:
        p[0] ^= 1;
        break;
    case HOW_CRC:
        p[b.len - 1] ^= 1;
        break;
    case HOW_ZSTD:
        b.len -= 3;
        put_crc(p, 12, b.len);
        break;
    case HOW_TAG:
        p[30] ^= 1;
        break;
    case HOW_DIGEST: /* a plain, uncompressed chunk */
        p[500] ^= 1;
        put_crc(p, 12, b.len);
        break;
    case HOW_LENGTH:
        b.len -= 1;
        put_crc(p, 12, b.len);
        break;
    case HOW_CRYPT: {
        auto_buf struct buf other = BUF_INIT;
        char path[STORE_CHUNK_PATH_LEN];
        struct repo_key *k = kit_key();
        struct repo *r = open_store(k);

        read_file(chunk_of(r, "100@2026-01-02T03:04:06Z", 0, path), &other);
        write_file(name, other.data, other.len);
        repo_free(r);
        repo_key_free(k);
        return;
    }
    }
    write_file(name, b.data, b.len);
}

/* Restore refuses with the offset and the cause; verification names the kind. */
static void expect(const char *point, uint64_t chunk, enum how how,
                   enum repo_damage_kind kind, const char *says)
{
    struct repo_key *k = kit_key();
    struct repo_verify_options opt = {.no_record = true};
    struct repo_verify_stats st;
    struct repo_damages v;
    char path[STORE_CHUNK_PATH_LEN], at[40];
    unsigned char *image = kit_image();
    struct repo *r;
    struct err e = ERR_INIT;
    size_t found = 0;
    bool small = strstr(point, "101@");

    fresh();
    r = open_store(k);
    chunk_of(r, point, chunk, path);
    damage(path, how);
    snprintf(at, sizeof at, "at byte %llu", (unsigned long long)chunk << 22);
    assert_int_equal(kit_restore(r, point, image, small ? 1000 : KIT_IMAGE_BYTES, &e),
                     -1);
    if (!strstr(e.msg, says) || !strstr(e.msg, at) || !strstr(e.msg, path + 13))
        fail_msg("%s: not '%s', '%s'", e.msg, says, at);
    run_verify(r, &opt, &st, &v);
    vec_foreach (d, &v) {
        assert_int_equal(d->kind, kind);
        assert_string_equal(d->file, path);
        assert_int_equal(d->offset, chunk << 22);
        assert_string_equal(d->disk, "drive-scsi0.img");
        assert_non_null(strstr(d->message, says));
        found++;
    }
    assert_true(found >= 1);
    assert_int_equal(st.chunks_bad, 1);
    assert_int_equal(st.points_bad, found);
    assert_int_equal(st.points, 6);
    repo_damages_release(&v);
    repo_free(r);
    repo_key_free(k);
    free(image);
}

static void test_every_kind_of_damage_is_named(void **state)
{
    static const char plain[] = "100@2026-01-02T03:04:05Z";
    static const char crypt[] = "100@2026-01-02T03:04:06Z";
    static const char raw[] = "101@2026-01-02T03:04:05Z";

    expect(plain, 1, HOW_REMOVE, REPO_DAMAGE_MISSING, "missing");
    expect(plain, 1, HOW_EMPTY, REPO_DAMAGE_EMPTY, "empty");
    expect(plain, 3, HOW_SHORT, REPO_DAMAGE_SHORT, "only 11 bytes");
    expect(crypt, 1, HOW_MAGIC, REPO_DAMAGE_MAGIC, "does not begin");
    expect(plain, 1, HOW_CRC, REPO_DAMAGE_CRC, "CRC");
    expect(plain, 1, HOW_ZSTD, REPO_DAMAGE_ZSTD, "decompress");
    expect(crypt, 1, HOW_TAG, REPO_DAMAGE_TAG, "authentication failed");
    expect(raw, 0, HOW_DIGEST, REPO_DAMAGE_DIGEST, "digest");
    expect(raw, 0, HOW_LENGTH, REPO_DAMAGE_LENGTH, "999 bytes instead of 1000");
    expect(plain, 1, HOW_CRYPT, REPO_DAMAGE_CRYPT, "manifest says it is not");
    expect(plain, 1, HOW_LINK, REPO_DAMAGE_READ, "symbolic links");
}

static void test_a_sound_store_verifies(void **state)
{
    struct repo_key *k = kit_key();
    struct repo_verify_options opt = {0};
    struct repo_verify_stats st;
    struct repo_entries entries = {0};
    struct repo_damages v;
    struct repo *r;

    fresh();
    r = open_store(k);
    run_verify(r, &opt, &st, &v);
    assert_int_equal(v.n, 0);
    assert_int_equal(st.points, 6);
    assert_int_equal(st.points_bad, 0);
    assert_int_equal(st.chunks, 13);
    assert_ok(repo_list(r, NULL, &entries, e));
    vec_foreach (x, &entries)
        assert_true(x->verified > 1700000000 && !x->verified_bad);
    repo_entries_release(&entries);
    /* The signed manifests are still right, and what was in them is still there. */
    opt.skip_verified = true;
    run_verify(r, &opt, &st, &v);
    assert_int_equal(st.points_skipped, 6);
    assert_int_equal(st.points, 0);
    {
        struct repo_manifest *m = NULL;

        assert_ok(repo_load_manifest(r, "vm/100/2026-01-02T03:04:06Z", &m, e));
        assert_ok(repo_manifest_check(m, k, e));
        assert_string_equal(json_string_value(json_object_get(
                                json_object_get(m->json, "unprotected"), "notes")),
                            "encrypted");
        assert_null(
            json_object_get(json_object_get(m->json, "unprotected"), "verify_state"));
        repo_manifest_free(m);
    }
    repo_free(r);
    repo_key_free(k);
}

static void test_without_the_key_crcs_are_checked(void **state)
{
    unsigned char other[KEY_BYTES] = {1};
    struct repo_verify_options opt = {.no_record = true};
    struct repo_key *k = kit_key(), *wrong = NULL;
    struct repo_verify_stats st;
    struct repo_damages v;
    char path[STORE_CHUNK_PATH_LEN];
    struct repo *r;

    fresh();
    r = open_store(NULL);
    run_verify(r, &opt, &st, &v);
    assert_int_equal(v.n, 0);
    assert_true(st.points_without_key > 0 && st.points_without_key < st.points);
    repo_free(r);
    assert_ok(repo_key_new(other, &wrong, e));
    r = open_store(wrong);
    run_verify(r, &opt, &st, &v);
    assert_int_equal(v.n, 0);
    repo_free(r);
    r = open_store(k);
    damage(chunk_of(r, "100@2026-01-02T03:04:06Z", 1, path), HOW_CRC);
    repo_free(r);
    r = open_store(wrong);
    run_verify(r, &opt, &st, &v);
    assert_int_equal(v.n, 1);
    assert_int_equal(v.v[0].kind, REPO_DAMAGE_CRC);
    repo_damages_release(&v);
    repo_free(r);
    repo_key_free(wrong);
    repo_key_free(k);
}

static void test_with_the_key_what_was_verified_without_is_not_skipped(void **state)
{
    struct repo_verify_options opt = {.skip_verified = true};
    struct repo_verify_stats without, st;
    struct repo_key *k = kit_key();
    struct repo_damages v;
    struct repo *r;

    fresh();
    r = open_store(NULL);
    run_verify(r, &opt, &without, &v);
    run_verify(r, &opt, &st, &v);
    assert_int_equal(st.points_skipped, without.points);
    repo_free(r);
    r = open_store(k);
    run_verify(r, &opt, &st, &v);
    assert_int_equal(st.points, without.points_without_key);
    assert_int_equal(st.points_without_key, 0);
    run_verify(r, &opt, &st, &v);
    assert_int_equal(st.points_skipped, without.points);
    repo_free(r);
    repo_key_free(k);
}

static void test_bad_chunks_are_marked_and_remembered(void **state)
{
    struct repo_verify_options opt = {.mark_bad = true};
    struct repo_verify_stats st;
    struct repo_entries entries = {0};
    struct repo_damages v;
    struct repo *r;
    struct err e = ERR_INIT;
    unsigned char image[1000] = {0};

    fresh();
    r = open_store(NULL);
    damage(RAW_CHUNK, HOW_DIGEST);
    run_verify(r, &opt, &st, &v);
    assert_int_equal(v.n, 1);
    assert_string_equal(v.v[0].point, "vm/101/2026-01-02T03:04:05Z");
    repo_damages_release(&v);
    assert_int_equal(access(in_store(RAW_CHUNK), F_OK), -1);
    assert_int_equal(access(in_store(RAW_CHUNK ".0.bad"), F_OK), 0);
    assert_int_equal(kit_restore(r, "101@2026-01-02T03:04:05Z", image, 1000, &e), -1);
    assert_non_null(strstr(e.msg, "renamed it to .bad"));
    {
        struct err *unused = &e;

        assert_int_equal(repo_list(r, NULL, &entries, unused), 0);
    }
    vec_foreach (x, &entries)
        assert_int_equal(x->verified_bad, str_eq(x->id, "101") && x->time == 1767323045);
    repo_entries_release(&entries);
    repo_free(r);
}

/* A damaged file of a point itself: opening it fails, and verification names it. */
static void expect_file(const char *point, const char *file, size_t at,
                        enum err_kind err_kind, enum repo_damage_kind kind,
                        const char *says)
{
    struct repo_verify_options opt = {.no_record = true};
    struct repo_key *k = kit_key();
    auto_buf struct buf b = BUF_INIT;
    struct repo_verify_stats st;
    struct repo_point *p = NULL;
    struct repo_name n = {0};
    struct repo_damages v;
    char name[256];
    struct repo *r;
    struct err e = ERR_INIT;

    fresh();
    snprintf(name, sizeof name, "%s/%s", point, file);
    read_file(name, &b);
    b.data[at < b.len ? at : b.len - 1] ^= 1;
    write_file(name, b.data, b.len);
    r = open_store(k);
    assert_int_equal(repo_name_parse(point, &n, &e), 0);
    assert_int_equal(repo_point_open(r, &n, &p, &e), -1);
    if (e.kind != err_kind || !strstr(e.msg, says))
        fail_msg("%s: %s", err_kind_name(e.kind), e.msg);
    run_verify(r, &opt, &st, &v);
    assert_int_equal(v.n, 1);
    assert_int_equal(v.v[0].kind, kind);
    assert_string_equal(v.v[0].file, name);
    assert_null(v.v[0].disk);
    assert_int_equal(st.points_bad, 1);
    repo_damages_release(&v);
    repo_name_release(&n);
    repo_free(r);
    repo_key_free(k);
}

static void test_damaged_files_of_points(void **state)
{
    static const char plain[] = "vm/100/2026-01-02T03:04:05Z";
    static const char index[] = "drive-scsi0.img.fidx";

    expect_file(plain, "index.json.blob", 100, ERR_INPUT, REPO_DAMAGE_MANIFEST, "CRC");
    expect_file(plain, index, 0, ERR_INPUT, REPO_DAMAGE_INDEX, "not a fixed index");
    expect_file(plain, index, 40, ERR_INPUT, REPO_DAMAGE_INDEX, "not the one in the");
    expect_file(plain, index, 65, ERR_INPUT, REPO_DAMAGE_INDEX, "manifest's has");
    expect_file(plain, index, 4100, ERR_INPUT, REPO_DAMAGE_INDEX, "checksum is wrong");
}

/* The manifest as text is changed, and stored again. */
static void rewrite(struct repo *r, const char *point, const char *from, const char *to)
{
    auto_buf struct buf raw = BUF_INIT, text = BUF_INIT, out = BUF_INIT;
    char name[256];
    const char *at;
    struct datablob_work *w;
    enum repo_damage_kind kind;

    snprintf(name, sizeof name, "%s/index.json.blob", point);
    read_file(name, &raw);
    assert_ok(datablob_take(&r->pool, 0, &w, e));
    assert_ok(datablob_decode(w, (unsigned char *)raw.data, raw.len, DATABLOB_PLAIN,
                              1 << 20, &text, &kind, e));
    datablob_give(&r->pool, w);
    at = strstr(buf_str(&text), from);
    assert_non_null(at);
    buf_add(&out, text.data, (size_t)(at - text.data));
    buf_adds(&out, to);
    buf_adds(&out, at + strlen(from));
    buf_reset(&raw);
    assert_ok(datablob_encode_buf(&r->pool, DATABLOB_PLAIN, out.data, out.len, &raw, e));
    write_file(name, raw.data, raw.len);
}

static void expect_refused(const char *point, const char *from, const char *to,
                           enum err_kind kind, const char *says)
{
    struct repo_key *k = kit_key();
    struct repo_point *p = NULL;
    struct repo_name n = {0};
    struct repo *r;
    struct err e = ERR_INIT;

    fresh();
    r = open_store(k);
    rewrite(r, point, from, to);
    assert_int_equal(repo_name_parse(point, &n, &e), 0);
    assert_int_equal(repo_point_open(r, &n, &p, &e), -1);
    if (e.kind != kind || !strstr(e.msg, says))
        fail_msg("%s: %s", err_kind_name(e.kind), e.msg);
    repo_name_release(&n);
    repo_free(r);
    repo_key_free(k);
}

static void test_manifests_that_lie(void **state)
{
    static const char plain[] = "vm/100/2026-01-02T03:04:05Z";
    static const char crypt[] = "vm/100/2026-01-02T03:04:06Z";
    static const char sign[] = "vm/100/2026-01-02T03:04:07Z";

    expect_refused(sign, "\"size\": 33", "\"size\": 34", ERR_INPUT, "signature is wrong");
    expect_refused(sign, "\"signature\": \"1219", "\"signature\": \"1218", ERR_INPUT,
                   "signature is wrong");
    expect_refused(crypt, "\"encrypt\"", "\"none\"", ERR_INPUT, "signature is wrong");
    expect_refused(sign,
                   "\"1219044e1863086d406800cd8e63746fb3b7cfb6589695c7df367b3e031e"
                   "69d5\"",
                   "null", ERR_INPUT, "has no signature");
    expect_refused(plain, "drive-scsi0.img.fidx", "../drive-scsi0.img.fidx", ERR_INPUT,
                   "not a file's name");
    expect_refused(plain, "vm.conf.blob", "drive-scsi0.img.fidx", ERR_INPUT, "twice");
    expect_refused(plain, "\"none\"", "\"rot13\"", ERR_UNSUPPORTED, "crypt-mode");
    expect_refused(plain, "\"vm\"", "\"vmx\"", ERR_UNSUPPORTED, "type");
    expect_refused(plain, "\"none\"", "\"encrypt\"", ERR_INPUT, "has no signature");
    expect_refused(plain, "12584712", "12584713", ERR_INPUT, "manifest's has");
}

static void test_signed_points_are_not_exchanged(void **state)
{
    struct repo_key *k = kit_key();
    struct repo_point *p = NULL;
    struct repo_name n = {0};
    struct repo *r;

    fresh();
    kit_run("mv \"$a/vm/100\" \"$a/vm/200\"", store, "");
    r = open_store(k);
    assert_ok(repo_name_parse("200@2026-01-02T03:04:05Z", &n, e));
    assert_ok(repo_point_open(r, &n, &p, e)); /* renamed by an administrator */
    repo_point_free(p);
    n.time = 1767323046;
    assert_fails(repo_point_open(r, &n, &p, e), ERR_INPUT, "signed as that of vm/100");
    repo_name_release(&n);
    repo_free(r);
    repo_key_free(k);
}

static void test_remove(void **state)
{
    struct repo_point *p = NULL;
    struct repo_name n = {0}, prod = {0};
    struct repo_entries v = {0};
    struct repo *r, *r2;

    fresh();
    r = open_store(NULL);
    r2 = open_store(NULL);
    assert_ok(repo_name_parse("101@2026-01-02T03:04:05Z", &n, e));
    assert_ok(repo_name_parse("prod/eu/vm/100", &prod, e));
    assert_ok(repo_point_open(r2, &n, &p, e));
    assert_fails(repo_point_remove(r, &n, e), ERR_BUSY, "in use");
    repo_point_free(p);
    assert_ok(repo_point_remove(r, &n, e));
    assert_fails(repo_point_remove(r, &n, e), ERR_NOT_FOUND, "no finished point");
    assert_fails(repo_point_remove(r, &prod, e), ERR_DENIED, "protected");
    n.time = REPO_LATEST;
    assert_ok(repo_point_remove(r, &n, e));
    assert_int_equal(access(in_store("vm/101"), F_OK), -1);
    assert_ok(repo_list(r, NULL, &v, e));
    assert_int_equal(v.n, 4);
    repo_entries_release(&v);
    repo_name_release(&n);
    repo_name_release(&prod);
    repo_free(r);
    repo_free(r2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_kind_of_damage_is_named),
        cmocka_unit_test(test_a_sound_store_verifies),
        cmocka_unit_test(test_without_the_key_crcs_are_checked),
        cmocka_unit_test(test_with_the_key_what_was_verified_without_is_not_skipped),
        cmocka_unit_test(test_bad_chunks_are_marked_and_remembered),
        cmocka_unit_test(test_damaged_files_of_points),
        cmocka_unit_test(test_manifests_that_lie),
        cmocka_unit_test(test_signed_points_are_not_exchanged),
        cmocka_unit_test(test_remove),
    };
    return cmocka_run_group_tests(tests, kit_setup, kit_teardown);
}
