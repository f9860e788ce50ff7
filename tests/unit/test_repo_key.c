/* Keys, key files and signatures against known values, and files that lie. */
#include "repo_kit.h"

#include "repo/key.h"

#include <openssl/evp.h>
#include <sys/stat.h>

static struct secret *password(const char *text)
{
    struct secret *s = NULL;

    assert_ok(secret_new(text, strlen(text), &s, e));
    return s;
}

static void test_fingerprint(void **state)
{
    struct repo_key *k = kit_key();
    char fp[REPO_FINGERPRINT_LEN];

    repo_key_fingerprint(k, fp);
    assert_string_equal(fp, KIT_FINGERPRINT);
    repo_key_free(k);
}

/* The manifest and signature of the original implementation's own test. */
static void test_signature(void **state)
{
    unsigned char enc[KEY_BYTES], one[32], two[32];
    struct repo_manifest *m = NULL;
    struct repo_key *k = NULL;
    char sig[SHA256_HEX_LEN];

    memset(one, 1, sizeof one);
    memset(two, 2, sizeof two);
    assert_int_equal(EVP_PBE_scrypt("test", 4, (const unsigned char *)"", 0, 65536, 8, 1,
                                    128u << 20, enc, sizeof enc),
                     1);
    assert_ok(repo_key_new(enc, &k, e));
    assert_ok(repo_manifest_new("host", "elsa", 1593179765, &m, e));
    assert_ok(repo_manifest_add(m, "test1.img.fidx", REPO_CRYPT_ENCRYPT, 200, one, e));
    assert_ok(repo_manifest_add(m, "abc.blob", REPO_CRYPT_NONE, 200, two, e));
    assert_ok(repo_manifest_sign(m, k, sig, e));
    assert_string_equal(
        sig, "d7b446fb7db081662081d4b40fedd858a1d6307a5aff4ecff7d5bf4fd35679e9");
    repo_manifest_free(m);
    repo_key_free(k);
}

/* Signed over what was found, or over the known fields only: both are right. */
static void test_unknown_fields_and_signatures(void **state)
{
    static const char fmt[] =
        "{\"backup-type\":\"vm\",\"backup-id\":\"a\",\"backup-time\":1,%s"
        "\"files\":[],\"unprotected\":{\"x\":null},\"signature\":\"%s\"}";
    struct repo_key *k = kit_key();
    struct repo_manifest *m = NULL;
    unsigned char raw[32];
    char text[1000], sig[SHA256_HEX_LEN];
    const char canonical[] = "{\"backup-id\":\"a\",\"backup-time\":1,\"backup-type\":"
                             "\"vm\",\"extra\":\"\\u001f\\n\xc3\xa9\",\"files\":[]}";

    assert_ok(repo_key_sign(k, canonical, strlen(canonical), raw, e));
    snprintf(text, sizeof text, fmt, "\"extra\":\"\\u001f\\n\\u00e9\",",
             str_hex(sig, raw, sizeof raw));
    assert_ok(repo_manifest_parse(text, strlen(text), &m, e));
    assert_ok(repo_manifest_check(m, k, e));
    assert_ok(repo_manifest_sign(m, k, sig, e));
    repo_manifest_free(m);
    snprintf(text, sizeof text, fmt, "\"extra\":\"changed\",", sig);
    assert_ok(repo_manifest_parse(text, strlen(text), &m, e));
    assert_ok(repo_manifest_check(m, k, e));
    repo_manifest_free(m);
    sig[0] = sig[0] == '0' ? '1' : '0';
    snprintf(text, sizeof text, fmt, "", sig);
    assert_ok(repo_manifest_parse(text, strlen(text), &m, e));
    assert_fails(repo_manifest_check(m, k, e), ERR_INPUT, "signature is wrong");
    repo_manifest_free(m);
    repo_key_free(k);
}

static void test_files_made_are_read(void **state)
{
    static const enum repo_kdf kdfs[] = {REPO_KDF_NONE, REPO_KDF_SCRYPT, REPO_KDF_PBKDF2};
    struct secret *right = password("secret"), *wrong = password("Secret"),
                  *tiny = password("four");
    struct stat st;

    for (size_t i = 0; i < 3; i++) {
        struct repo_key *a = NULL, *b = NULL;
        const char *path = kit_path("made.json");

        assert_ok(repo_key_create(path, kdfs[i], kdfs[i] ? right : NULL, e));
        assert_fails(repo_key_create(path, kdfs[i], kdfs[i] ? right : NULL, e),
                     ERR_EXISTS, "never overwritten");
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 0777, 0600);
        assert_ok(repo_key_load(path, kdfs[i] ? right : NULL, &a, e));
        repo_key_free(a);
        if (kdfs[i]) {
            assert_fails(repo_key_load(path, wrong, &b, e), ERR_DENIED, "wrong");
            assert_fails(repo_key_load(path, NULL, &b, e), ERR_DENIED, "password");
            assert_fails(repo_key_create(kit_path("x"), kdfs[i], tiny, e), ERR_USAGE,
                         "at least 5");
            assert_fails(repo_key_create(kit_path("x"), kdfs[i], NULL, e), ERR_USAGE,
                         "at least 5");
        }
        assert_int_equal(unlink(path), 0);
    }
    secret_free(right);
    secret_free(wrong);
    secret_free(tiny);
}

static int parse(const char *text, struct err *e)
{
    struct secret *pw = NULL;
    struct repo_key *k = NULL;
    int r;

    if (secret_new("password", 8, &pw, e) < 0)
        return -1;
    r = repo_key_parse(text, strlen(text), "key", pw, &k, e);
    secret_free(pw);
    repo_key_free(k);
    return r;
}

static void test_files_that_lie(void **state)
{
    assert_fails(parse("[]", e), ERR_INPUT, "not a key file");
    assert_fails(parse("{\"kdf\":null}", e), ERR_INPUT, "\"data\" is missing");
    assert_fails(parse("{\"kdf\":null,\"data\":\"AAAA\"}", e), ERR_INPUT, "3 bytes");
    assert_fails(parse("{\"kdf\":\"Argon\",\"data\":\"AAAA\"}", e), ERR_UNSUPPORTED,
                 "neither none");
    assert_fails(parse("{\"kdf\":{\"Scrypt\":{\"n\":1099511627776,\"r\":8,\"p\":1,"
                       "\"salt\":\"\"}},\"data\":\"AAAA\"}",
                       e),
                 ERR_UNSUPPORTED, "out of bounds");
    assert_fails(parse("{\"kdf\":{\"Scrypt\":{\"n\":3,\"r\":8,\"p\":1,\"salt\":\"\"}},"
                       "\"data\":\"AAAA\"}",
                       e),
                 ERR_UNSUPPORTED, "out of bounds");
    assert_fails(parse("{\"kdf\":{\"PBKDF2\":{\"iter\":99999999999,\"salt\":\"\"}},"
                       "\"data\":\"AAAA\"}",
                       e),
                 ERR_UNSUPPORTED, "out of bounds");
    assert_fails(parse("{\"kdf\":null,\"data\":\"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwd"
                       "Hh8=\",\"fingerprint\":\"00:11\"}",
                       e),
                 ERR_INPUT, "it is damaged");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fingerprint),
        cmocka_unit_test(test_signature),
        cmocka_unit_test(test_unknown_fields_and_signatures),
        cmocka_unit_test(test_files_made_are_read),
        cmocka_unit_test(test_files_that_lie),
    };
    return cmocka_run_group_tests(tests, kit_setup, kit_teardown);
}
