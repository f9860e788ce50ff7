/* Reading repositories: the vectors of an independent writer, and what must be refused.
 */
#include "repo_kit.h"

#include "repo/key.h"

#include <sys/stat.h>

static struct repo *open_ds(const char *path, const struct repo_key *key)
{
    struct repo_options opt = {.key = key};
    struct repo *r = NULL;

    assert_ok(repo_open_dir(path, REPO_MUST_EXIST, &opt, &r, e));
    return r;
}

static struct repo_point *open_point(struct repo *r, const char *name)
{
    struct repo_point *p = NULL;
    struct repo_name n = {0};

    assert_ok(repo_name_parse(name, &n, e));
    assert_ok(repo_point_open(r, &n, &p, e));
    repo_name_release(&n);
    return p;
}

static int try_point(struct repo *r, const char *name, struct err *e)
{
    struct repo_point *p = NULL;
    struct repo_name n = {0};
    int ret;

    assert_int_equal(repo_name_parse(name, &n, e), 0);
    ret = repo_point_open(r, &n, &p, e);
    repo_name_release(&n);
    repo_point_free(p);
    return ret;
}

static void test_every_vector_restores(void **state)
{
    struct repo_key *k = kit_key();
    struct repo *r = open_ds(kit_data("ds"), k);
    unsigned char *image = kit_image(), sum[SHA256_BYTES];
    auto_buf struct buf small = BUF_INIT;

    digest_sha256(image, KIT_IMAGE_BYTES, sum);
    assert_int_equal(sum[0], 0x86);
    assert_int_equal(sum[31], 0x24);
    assert_ok(io_read_file(kit_data("small.raw"), 1 << 20, &small, e));
    assert_ok(kit_restore(r, "100@2026-01-02T03:04:05Z", image, KIT_IMAGE_BYTES, e));
    assert_ok(kit_restore(r, "vm/100@2026-01-02T03:04:06Z", image, KIT_IMAGE_BYTES, e));
    assert_ok(kit_restore(r, "vm/100/2026-01-02T03:04:07Z", image, KIT_IMAGE_BYTES, e));
    assert_ok(kit_restore(r, "100@latest", image, KIT_IMAGE_BYTES, e));
    assert_ok(kit_restore(r, "prod/eu/vm/100", image, KIT_IMAGE_BYTES, e));
    assert_ok(kit_restore(r, "101@2026-01-02T03:04:05Z", small.data, small.len, e));
    assert_ok(kit_restore(r, "101", small.data, small.len, e));
    free(image);
    repo_free(r);
    repo_key_free(k);
}

static void test_list(void **state)
{
    struct repo *r = open_ds(kit_data("ds"), NULL);
    struct repo_entries v = {0};
    struct repo_name prod = kit_name("prod/eu", NULL), one = kit_name("", "100");

    assert_ok(repo_list(r, NULL, &v, e));
    assert_int_equal(v.n, 6);
    assert_string_equal(v.v[0].ns, "");
    assert_string_equal(v.v[0].id, "100");
    assert_int_equal(v.v[0].time, 1767323045);
    assert_true(v.v[0].finished && v.v[0].readable && !v.v[0].is_protected);
    assert_int_equal(v.v[0].size_bytes, KIT_IMAGE_BYTES);
    assert_int_equal(v.v[0].n_disks, 1);
    assert_int_equal(v.v[0].crypt, REPO_CRYPT_NONE);
    assert_int_equal(v.v[1].crypt, REPO_CRYPT_ENCRYPT);
    assert_int_equal(v.v[2].crypt, REPO_CRYPT_SIGN_ONLY);
    assert_string_equal(v.v[3].id, "101");
    assert_string_equal(v.v[5].ns, "prod/eu");
    assert_true(v.v[5].is_protected);
    repo_entries_release(&v);
    assert_ok(repo_list(r, &prod, &v, e));
    assert_int_equal(v.n, 1);
    repo_entries_release(&v);
    one.time = 1767323046;
    assert_ok(repo_list(r, &one, &v, e));
    assert_int_equal(v.n, 1);
    assert_int_equal(v.v[0].crypt, REPO_CRYPT_ENCRYPT);
    repo_entries_release(&v);
    one.time = REPO_EVERY;
    assert_ok(repo_list(r, &one, &v, e));
    assert_int_equal(v.n, 3);
    repo_entries_release(&v);
    one.time = REPO_LATEST;
    assert_ok(repo_list(r, &one, &v, e));
    assert_int_equal(v.n, 1);
    assert_int_equal(v.v[0].time, 1767323047);
    repo_entries_release(&v);
    repo_free(r);
}

static void test_units_of_zeros_and_joined_chunks(void **state)
{
    struct repo *r = open_ds(kit_data("ds"), NULL);
    struct repo_point *p = open_point(r, "100@2026-01-02T03:04:05Z");
    struct machine *m = NULL;
    struct source *s;
    struct unit u;

    assert_ok(repo_point_machine(p, &m, e));
    s = m->disks.v[0].source;
    assert_string_equal(s->ops->name, "repo");
    assert_string_equal(m->name, "100");
    assert_int_equal(repo_point_chunk_bytes(p, 0), 4 << 20);
    assert_string_equal(repo_point_disk_name(p, 0), "drive-scsi0.img");
    assert_int_equal(s->data_bytes_hint, (4 << 20) + 1800);
    assert_ok(source_unit_at(s, 0, 4 << 20, &u, e));
    assert_int_equal(u.kind, UNIT_ZERO);
    assert_int_equal(u.len, 4 << 20);
    assert_ok(source_unit_at(s, 12 << 20, 4 << 20, &u, e));
    assert_int_equal(u.kind, UNIT_DATA);
    assert_int_equal(u.len, 1800);
    machine_free(m);
    repo_point_free(p);
    repo_free(r);
}

/* The path of the chunk that holds these bytes, owned, and its name in hex. */
static char *chunk_path(const char *store, const void *data, size_t len,
                        char hex[SHA256_HEX_LEN])
{
    unsigned char sum[SHA256_BYTES];
    char rel[STORE_CHUNK_PATH_LEN], *path;

    digest_sha256(data, len, sum);
    str_hex(hex, sum, sizeof sum);
    assert_true(asprintf(&path, "%s/%s", store, store_chunk_path(sum, rel)) > 0);
    return path;
}

/* Chunks are read and checked two at a time, the last one alone: whichever holds other
 * data than it is named for is named itself, with its place. */
static void test_a_wrong_chunk_of_a_pair_is_named(void **state)
{
    enum { CHUNK = 65536, N = 5 };
    struct repo_backup_options o = {.chunk_bytes = CHUNK};
    struct kit_disk d = {.data = malloc(N * CHUNK), .size = N * CHUNK};
    struct repo_backup_stats st;
    struct repo *r = NULL;
    auto_free char *store = strdup(kit_path("pairs"));

    for (size_t i = 0; i < d.size; i++)
        d.data[i] = (unsigned char)(1 + i / CHUNK + i % 251);
    assert_ok(repo_open_dir(store, REPO_CREATE, NULL, &r, e));
    kit_back_up(r, "pairs", &d, &o, NULL, &st);
    assert_int_equal(st.chunks, N);
    assert_ok(kit_restore(r, "pairs", d.data, d.size, e));
    for (size_t i = 0; i < N; i++) {
        char hex[SHA256_HEX_LEN], other[SHA256_HEX_LEN], where[128];
        auto_free char *at = chunk_path(store, d.data + i * CHUNK, CHUNK, hex);
        auto_free char *from =
            chunk_path(store, d.data + (i + 1) % N * CHUNK, CHUNK, other);
        auto_free char *kept = strdup(kit_path("kept"));

        assert_int_equal(rename(at, kept), 0);
        kit_run("cp \"$a\" \"$b\"", from, at);
        snprintf(where, sizeof where, "at byte %zu: chunk %s", i * CHUNK, hex);
        assert_fails(kit_restore(r, "pairs", d.data, d.size, e), ERR_INPUT, where);
        assert_fails(kit_restore(r, "pairs", d.data, d.size, e), ERR_INPUT,
                     "does not have the digest");
        assert_int_equal(unlink(at), 0);
        assert_fails(kit_restore(r, "pairs", d.data, d.size, e), ERR_NOT_FOUND, where);
        assert_int_equal(rename(kept, at), 0);
    }
    assert_ok(kit_restore(r, "pairs", d.data, d.size, e));
    free(d.data);
    repo_free(r);
}

static void test_keys_are_asked_for(void **state)
{
    struct repo *r = open_ds(kit_data("ds"), NULL);
    unsigned char other[32] = {9};
    struct repo_key *k = NULL;

    assert_fails(try_point(r, "100@2026-01-02T03:04:06Z", e), ERR_DENIED,
                 "encrypted with key " KIT_FINGERPRINT);
    assert_int_equal(try_point(r, "100@2026-01-02T03:04:07Z", &(struct err){0}), 0);
    repo_free(r);
    assert_ok(repo_key_new(other, &k, e));
    r = open_ds(kit_data("ds"), k);
    assert_fails(try_point(r, "100@2026-01-02T03:04:06Z", e), ERR_DENIED, "but key ");
    assert_fails(try_point(r, "100@2026-01-02T03:04:07Z", e), ERR_DENIED,
                 "none to go without");
    assert_int_equal(try_point(r, "100@2026-01-02T03:04:05Z", &(struct err){0}), 0);
    repo_free(r);
    repo_key_free(k);
}

static void test_what_is_not_there_is_listed(void **state)
{
    struct repo *r = open_ds(kit_data("ds"), NULL);

    assert_fails(try_point(r, "101@2030-01-01T00:00:00Z", e), ERR_NOT_FOUND,
                 "there is: vm/101@2026-01-02T03:04:05Z, vm/101@");
    assert_fails(try_point(r, "999", e), ERR_NOT_FOUND, "prod/eu/vm/100@");
    repo_free(r);
    assert_fails(repo_open_dir("/usr", REPO_MUST_EXIST, NULL, &r, e), ERR_INPUT,
                 "not a Proxmox Backup datastore");
    assert_fails(repo_open_dir("/nowhere/at/all", REPO_MUST_EXIST, NULL, &r, e),
                 ERR_NOT_FOUND, "/nowhere");
    assert_fails(repo_open_dir("/usr", REPO_CREATE, NULL, &r, e), ERR_INPUT, "nor empty");
}

static void test_equal_ranges(void **state)
{
    struct repo_key *k = kit_key();
    struct repo *r = open_ds(kit_data("ds"), k);
    struct repo_point *a = open_point(r, "100@2026-01-02T03:04:05Z");
    struct repo_point *b = open_point(r, "100@2026-01-02T03:04:07Z");
    struct repo_point *c = open_point(r, "100@2026-01-02T03:04:06Z");
    struct repo_point *d = open_point(r, "prod/eu/vm/100");
    struct extent_set s = {0};

    assert_ok(repo_point_equal(a, 0, b, 0, &s, e));
    assert_int_equal(extent_set_bytes(&s), KIT_IMAGE_BYTES);
    extent_set_release(&s);
    assert_ok(repo_point_equal(a, 0, c, 0, &s, e));
    assert_int_equal(s.n, 0);
    assert_ok(repo_point_equal(a, 0, d, 0, &s, e));
    assert_int_equal(s.n, 0);
    repo_point_free(a);
    repo_point_free(b);
    repo_point_free(c);
    repo_point_free(d);
    repo_free(r);
    repo_key_free(k);
}

static void test_names(void **state)
{
    static const char *const bad[] = {"",           "/",       "a/b",       "vm/",
                                      "vm/../x",    "-x",      ".x",        "vm/a@b",
                                      "x@2026-1-2", "/vm/100", "a//vm/1",   "../vm/1",
                                      "vm/a/b",     "100@",    "a@b@latest"};
    struct repo_name n = {0};
    int64_t t;

    assert_ok(repo_name_parse("vm/vm/100@latest", &n, e));
    assert_string_equal(n.ns, "vm");
    assert_string_equal(n.id, "100");
    assert_int_equal(n.time, REPO_LATEST);
    repo_name_release(&n);
    assert_ok(repo_name_parse("vm/100", &n, e));
    assert_int_equal(n.time, REPO_EVERY);
    repo_name_release(&n);
    assert_fails(repo_name_parse("host/elsa", &n, e), ERR_UNSUPPORTED,
                 "virtual machines");
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_fails(repo_name_parse(bad[i], &n, e), ERR_USAGE, "does not name");
    assert_true(repo_time_parse("2026-01-02T03:04:05Z", &t));
    assert_int_equal(t, 1767323045);
    assert_false(repo_time_parse("2026-01-02T03:04:65Z", &t));
    assert_false(repo_time_parse("2026-02-31T03:04:05Z", &t));
    assert_true(repo_ns_valid("a/b/c/d/e/f/g"));
    assert_false(repo_ns_valid("a/b/c/d/e/f/g/h"));
}

static void test_proxmox_configurations(void **state)
{
    static const char text[] =
        "#qmdump#map:scsi1:drive-other:local:raw:\n"
        "bios: ovmf\nboot: order=virtio0;ide2;scsi1\ncores: 4\nsockets: 2\n"
        "efidisk0: local:x,pre-enrolled-keys=1\nide2: a.iso,media=cdrom\n"
        "memory: 2048\nname: web 01\nnet0: virtio=BC:24:11:00:00:01,bridge=vmbr0\n"
        "net1: model=e1000,macaddr=BC:24:11:00:00:02\n"
        "scsi1: local:b\nscsi0: local:a\nvirtio0: local:c,size=3G\n"
        "[old]\nname: no\nide0: local:z\n";
    auto_described struct described d = {0};
    struct machine *m;

    assert_ok(repo_pveconf_parse(text, strlen(text), "100", &d, e));
    m = d.machine;
    assert_string_equal(m->name, "web 01");
    assert_int_equal(m->cpus, 8);
    assert_int_equal(m->memory_bytes, 2048ull << 20);
    assert_int_equal(m->firmware, FIRMWARE_UEFI);
    assert_true(m->secure_boot);
    assert_int_equal(d.archives.n, 3);
    assert_string_equal(d.archives.v[0], "drive-virtio0.img");
    assert_string_equal(d.archives.v[1], "drive-other.img");
    assert_string_equal(d.archives.v[2], "drive-scsi0.img");
    assert_string_equal(m->disks.v[1].name, "scsi1");
    assert_int_equal(m->nics.n, 2);
    assert_string_equal(m->nics.v[0].mac, "BC:24:11:00:00:01");
    assert_string_equal(m->nics.v[0].network, "vmbr0");
    assert_string_equal(m->nics.v[1].model, "e1000");
    assert_string_equal(m->nics.v[1].mac, "BC:24:11:00:00:02");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_vector_restores),
        cmocka_unit_test(test_list),
        cmocka_unit_test(test_units_of_zeros_and_joined_chunks),
        cmocka_unit_test(test_a_wrong_chunk_of_a_pair_is_named),
        cmocka_unit_test(test_keys_are_asked_for),
        cmocka_unit_test(test_what_is_not_there_is_listed),
        cmocka_unit_test(test_equal_ranges),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_proxmox_configurations),
    };
    return cmocka_run_group_tests(tests, kit_setup, kit_teardown);
}
