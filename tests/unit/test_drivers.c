/* INF files, archives under limits, and the folder of packages. */
#include "driverkit.h"
#include "test.h"

#include "base/str.h"
#include "guest/drivers/drivers.h"
#include "guest/windows/utf16.h"

static const char inf_text[] =
    "\xef\xbb\xbf[version]\nSIGNATURE = \"$WINDOWS NT$\" ; \"quoted; not a comment\"\n"
    "Class = Net\nProvider = %P%\nDriverVer = 03/04/2024 , 2.7.0.1\n"
    "CatalogFile.NTamd64 = ena.cat\n"
    "[Manufacturer]\n%P% = Amazon, NTamd64.10.0, \\\n   NTamd64.6.3, NTx86.10.0\n"
    "[Amazon.NTamd64.10.0]\n\"Name, with comma\" = Inst, PCI\\VEN_1D0F&DEV_EC20, "
    "PCI\\VEN_1D0F&DEV_EC21\n"
    "[Amazon.NTx86.10.0]\n%D% = Inst, PCI\\VEN_1D0F&DEV_0EC2\n"
    "[SourceDisksFiles]\nENA.SYS = 1\n[Strings]\nP = \"The \"\"Maker\"\"\"\n";

static void an_inf_tells_what_it_is_for(void **state)
{
    auto_inf struct inf f = {0};

    assert_ok(inf_parse(inf_text, sizeof inf_text - 1, &f, e));
    assert_string_equal(f.class_name, "Net");
    assert_string_equal(f.provider, "The \"Maker\"");
    assert_string_equal(f.version, "2.7.0.1");
    assert_string_equal(f.catalog, "ena.cat");
    assert_int_equal(f.files.n, 1);
    assert_string_equal(f.files.v[0], "ena.sys");
    assert_int_equal(f.models.n, 3);
    assert_true(inf_serves_device(&f, 14393, "pci\\ven_1d0f&dev_ec21"));
    /* The sections for 2012 R2 are empty, those for 32 bits do not count. */
    assert_false(inf_serves(&f, 9600));
    assert_false(inf_serves_device(&f, 14393, "PCI\\VEN_1D0F&DEV_0EC2"));
}

static void utf16_infs_are_read(void **state)
{
    auto_buf struct buf wide = BUF_INIT;
    auto_inf struct inf f = {0};

    buf_add(&wide, "\xff\xfe", 2);
    assert_ok(utf8_to_utf16(inf_text + 3, &wide, e));
    assert_ok(inf_parse(wide.data, wide.len, &f, e));
    assert_string_equal(f.class_name, "Net");
    inf_release(&f);
    f = (struct inf){0};
    assert_fails(inf_parse("\xfe\xff\0[", 4, &f, e), ERR_INPUT, "byte order");
    assert_fails(inf_parse("[Version]\n", 10, &f, e), ERR_INPUT, "signature");
}

static void decorations_are_compared_as_windows_does(void **state)
{
    static const struct {
        const char *decoration;
        uint32_t build;
        bool serves;
    } cases[] = {
        {"", 9600, true},
        {"NT", 14393, true},
        {"NTamd64", 9600, true},
        {"ntAMD64.6.3", 9600, true},
        {"NTamd64.6.3", 17763, true},
        {"NTamd64.10.0", 9600, false},
        {"NTamd64.10.0", 14393, true},
        {"NTamd64.10.0...17763", 14393, false},
        {"NTamd64.10.0...14393", 17763, true},
        {"NTamd64.10.0.3", 17763, true},
        {"NTamd64.10.0.1", 17763, false},
        {"NTx86", 14393, false},
        {"NTarm64.10.0", 26100, false},
        {"amd64", 14393, false},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        if (inf_decoration_serves(cases[i].decoration, cases[i].build) != cases[i].serves)
            fail_msg("%s, %u", cases[i].decoration, cases[i].build);
}

static void archives_are_read_and_unsafe_ones_refused(void **state)
{
    static const char *const good[] = {"a\\b.txt", "hello", "c", "", NULL};
    static const char *const up[] = {"a/../../x", "1", NULL};
    static const char *const drive[] = {"C:x", "1", NULL};
    static const char *const root[] = {"/x", "1", NULL};
    static const char *const twice[] = {"x", "1", "X", "2", NULL};
    static const char *const dot[] = {"x.", "1", NULL};
    static const struct {
        const char *const *files;
        const char *message;
    } bad[] = {{up, "unsafe"},
               {drive, "odd characters"},
               {root, "unsafe"},
               {twice, "twice"},
               {dot, "unsafe"}};
    auto_buf struct buf b = BUF_INIT;
    auto_bundle struct bundle z = {0}, none = {0};

    driverkit_zip(good, &b);
    assert_ok(bundle_read(b.data, b.len, &z, e));
    assert_int_equal(z.files.n, 2);
    assert_string_equal(z.files.v[0].name, "a/b.txt");
    assert_string_equal(z.files.v[0].data.data, "hello");
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        buf_reset(&b);
        driverkit_zip(bad[i].files, &b);
        assert_fails(bundle_read(b.data, b.len, &none, e), ERR_INPUT, bad[i].message);
    }
    assert_fails(bundle_read("no zip", 6, &none, e), ERR_INPUT, "zip");
}

static void a_bomb_is_not_unpacked(void **state)
{
    size_t n = 70u << 20;
    char *zeros = calloc(1, n + 1);
    const char *files[] = {"zeros", zeros, NULL};
    auto_buf struct buf b = BUF_INIT;
    auto_bundle struct bundle z = {0};

    memset(zeros, '0', n);
    driverkit_zip(files, &b);
    free(zeros);
    assert_true(b.len < 1u << 20);
    assert_fails(bundle_read(b.data, b.len, &z, e), ERR_INPUT, "more than 64 MiB");
}

static void the_folder_is_known_by_kind_and_version(void **state)
{
    char *dir = driverkit_folder("2.6.0.0", "NTamd64.6.3");
    auto_driver_store struct driver_store *s = NULL;
    const struct driver_package *p;
    auto_bundle struct bundle b = {0};

    assert_ok(driver_store_open(dir, &s, e));
    assert_true(s->exists);
    assert_int_equal(s->packages.n, 6);
    p = driver_store_choose(s, "ena", 14393);
    assert_non_null(p);
    assert_string_equal(p->version, "2.6.0.0");
    assert_non_null(driver_store_choose(s, "ena", 9600));
    p = driver_store_choose(s, "pv", 9600);
    assert_non_null(p);
    assert_string_equal(p->version, "8.4.3");
    assert_null(driver_store_choose(s, "pv", 26100));
    assert_null(driver_store_choose(s, "ec2config", 14393));
    assert_non_null(driver_store_choose(s, "ec2launch", 14393));
    p = driver_store_choose(s, "ec2launch-v2", 20348);
    assert_non_null(p);
    assert_ok(driver_package_read(p, &b, e));
    assert_int_equal(b.files.n, 1);
    driverkit_remove(dir);
    assert_fails(driver_package_read(p, &b, e), ERR_SYS, "AmazonEC2Launch");
}

static void what_is_not_whole_has_a_fault(void **state)
{
    char *dir = driverkit_folder("3.0.0.1", "NTamd64.6.3");
    auto_free char *inf =
        driverkit_inf("Net", "ena", "9.0.0.0", "NTamd64.10.0", "PCI\\VEN_1D0F&DEV_EC20");
    const char *const files[] = {"ena.inf", inf, "ena.sys", "driver", NULL};
    auto_buf struct buf b = BUF_INIT;
    auto_driver_store struct driver_store *s = NULL;
    bool found = false;

    driverkit_zip(files, &b);
    driverkit_put(dir, "AwsEnaNetworkDriver-9.0.0.zip", &b);
    assert_ok(driver_store_open(dir, &s, e));
    vec_foreach (p, &s->packages)
        if (p->fault) {
            found = true;
            assert_non_null(strstr(p->fault, "catalog ena.cat"));
        }
    assert_true(found);
    /* The sound one is taken; on 2012 R2 it is too new. */
    assert_string_equal(driver_store_choose(s, "ena", 14393)->version, "3.0.0.1");
    assert_null(driver_store_choose(s, "ena", 9600));
    driverkit_remove(dir);
}

static void no_folder_is_an_empty_store(void **state)
{
    auto_driver_store struct driver_store *s = NULL;

    assert_ok(driver_store_open("/nonexistent/hotadd", &s, e));
    assert_false(s->exists);
    assert_int_equal(s->packages.n, 0);
    assert_true(version_compare("1.5.1", "1.10") < 0);
    assert_int_equal(version_compare("2.6", "2.6.0"), 0);
    assert_true(version_compare("2.6.0.1", "2.6.0") > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_inf_tells_what_it_is_for),
        cmocka_unit_test(utf16_infs_are_read),
        cmocka_unit_test(decorations_are_compared_as_windows_does),
        cmocka_unit_test(archives_are_read_and_unsafe_ones_refused),
        cmocka_unit_test(a_bomb_is_not_unpacked),
        cmocka_unit_test(the_folder_is_known_by_kind_and_version),
        cmocka_unit_test(what_is_not_whole_has_a_fault),
        cmocka_unit_test(no_folder_is_an_empty_store),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
