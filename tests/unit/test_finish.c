/* The finisher's choice as a table, and the role's policies. */
#include "test.h"

#include "base/str.h"
#include "flow/import.h"
#include "flow/preflight.h"

#define HOME    .volume_zone = "eu-west-1a", .instance_zone = "eu-west-1a", .n_disks = 2
#define REFUSED -1

struct row {
    const char *name;
    struct finish_facts facts;
    const char *wanted;
    int want;         /* a finisher, or REFUSED */
    const char *text; /* in why, or in the refusal */
    const char *others;
};

static const struct row rows[] = {
    {"swap is what happens when nothing is said",
     {HOME},
     NULL,
     FINISH_SWAP,
     "nothing loads lazily",
     "not image: snapshots take time"},
    {"auto prefers swap", {HOME}, "auto", FINISH_SWAP, "boot mode", "not import: "},
    {"a licence is lent by the carrier",
     {HOME, .windows = true, .amazon_image = true},
     "auto",
     FINISH_SWAP,
     "its licence",
     "not image: RegisterImage loses the licence"},
    {"another zone leads to the image",
     {.volume_zone = "eu-west-1a", .instance_zone = "eu-west-1b", .n_disks = 1},
     "auto",
     FINISH_IMAGE,
     "wanted in eu-west-1b",
     "not swap: volumes attach in their own zone only, eu-west-1a"},
    {"another zone refuses swap",
     {.volume_zone = "eu-west-1a", .instance_zone = "eu-west-1b", .n_disks = 1},
     "swap",
     REFUSED,
     "--finish auto",
     ""},
    {"an image to keep leads to the image",
     {HOME, .keep_image = true},
     "auto",
     FINISH_IMAGE,
     "no image that could be kept",
     "not swap"},
    {"Windows is refused by the image finisher, with the reason",
     {HOME, .windows = true, .amazon_image = true},
     "image",
     REFUSED,
     "RegisterImage loses the licence of Windows",
     ""},
    {"Windows in another zone needs the import",
     {.windows = true,
      .amazon_image = true,
      .volume_zone = "a",
      .instance_zone = "b",
      .n_disks = 1},
     "auto",
     FINISH_IMPORT,
     "wanted in b",
     "not image: RegisterImage"},
    {"one's own licence needs the import",
     {HOME, .windows = true, .amazon_image = true, .byol = true},
     "auto",
     FINISH_IMPORT,
     "licence of yours",
     "not swap: the carrier"},
    {"one's own licence refuses swap",
     {HOME, .windows = true, .amazon_image = true, .byol = true},
     "swap",
     REFUSED,
     "licence of yours",
     ""},
    {"a Windows that Amazon has no image of needs the import",
     {HOME, .windows = true, .guest = "Windows 10 Pro"},
     "auto",
     FINISH_IMPORT,
     "no image of Windows 10 Pro",
     ""},
    {"a static address needs the import",
     {HOME, .refused = "linux-dhcp: Address by DHCP"},
     "auto",
     FINISH_IMPORT,
     "linux-dhcp",
     "not image: the guest does not meet linux-dhcp"},
    {"a licence of one's own changes nothing for Linux",
     {HOME, .byol = true},
     "auto",
     FINISH_SWAP,
     "",
     ""},
    {"import takes no more than 21 disks",
     {.volume_zone = "a", .instance_zone = "a", .n_disks = 22},
     "import",
     REFUSED,
     "at most 21 disks, and the machine has 22",
     ""},
    {"import takes disks below 8 TiB",
     {HOME, .largest_bytes = (uint64_t)8 << 40},
     "import",
     REFUSED,
     "8 TiB",
     ""},
    {"just below is fine",
     {HOME, .largest_bytes = ((uint64_t)8 << 40) - 512},
     "import",
     FINISH_IMPORT,
     "VM Import",
     ""},
    {"a carrier is for swap alone",
     {HOME, .carrier = true},
     "image",
     REFUSED,
     "carrier",
     ""},
    {"when nothing can be done, all reasons are told",
     {.windows = true,
      .byol = true,
      .amazon_image = true,
      .volume_zone = "a",
      .instance_zone = "a",
      .n_disks = 40},
     "auto",
     REFUSED,
     "not swap: the carrier",
     ""},
    {"a word that is no finisher", {HOME}, "magic", REFUSED, "magic", ""},
};

static void the_facts_choose_the_finisher(void **state)
{
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct row *r = &rows[i];
        struct finish_choice c = {.finisher = 99};
        struct err e = ERR_INIT;
        int got = finish_choose(&r->facts, r->wanted, &c, &e);

        print_message("# %s\n", r->name);
        if (r->want == REFUSED) {
            assert_int_equal(got, -1);
            assert_non_null(strstr(e.msg, r->text));
            continue;
        }
        assert_int_equal(got, 0);
        assert_int_equal(c.finisher, r->want);
        assert_non_null(strstr(c.why, r->text));
        assert_non_null(strstr(c.others, r->others));
    }
}

static void the_plan_names_its_finisher(void **state)
{
    struct plan p = {0};

    assert_int_equal(finisher_of_plan(&p), FINISH_SWAP);
    p.finisher = (char *)"import";
    assert_int_equal(finisher_of_plan(&p), FINISH_IMPORT);
    p.finisher = (char *)"image";
    assert_int_equal(finisher_of_plan(&p), FINISH_IMAGE);
}

static void import_takes_what_it_changes_itself(void **state)
{
    assert_true(import_takes("linux-dhcp"));
    assert_true(import_takes("windows-boot-disk"));
    assert_false(import_takes("linux-encryption"));
    assert_false(import_takes("linux-boot-mode"));
}

/* ---- Limits ---- */

static const struct finding *limit(uint64_t bytes, size_t n_disks,
                                   const struct restore_params *p, const char *id,
                                   struct guest_info *info)
{
    static struct source sources[40];
    static struct machine_disk disks[40];
    struct machine m = {.disks = {disks, n_disks, 40}};

    for (size_t i = 0; i < n_disks; i++) {
        sources[i].size_bytes = bytes;
        disks[i].source = &sources[i];
    }
    assert_ok(import_limits(&m, p, info, e));
    return guest_info_finding(info, id);
}

static void is_refused(uint64_t bytes, size_t n_disks, const struct restore_params *p,
                       const char *id, bool want)
{
    struct guest_info *info = calloc(1, sizeof *info);
    const struct finding *f = limit(bytes, n_disks, p, id, info);

    assert_non_null(f);
    assert_int_equal(f->state, want ? FINDING_REFUSED : FINDING_MET);
    assert_true(!want || *f->remedy);
    guest_info_free(info);
}

#define GIB_ ((uint64_t)1 << 30)

static void limits_are_findings_with_remedies(void **state)
{
    struct restore_params volumes = {0}, raw = {.bucket = (char *)"b"},
                          vhd = {.bucket = (char *)"b", .disk_format = (char *)"vhd"},
                          one = {.bucket = (char *)"b", .one_image = true};

    is_refused(GIB_, 21, &one, "import-disks", false);
    is_refused(GIB_, 22, &one, "import-disks", true);
    is_refused(GIB_, 22, &raw, "import-disks", false);
    is_refused(GIB_, 22, &volumes, "import-disks", true);
    is_refused(625 * GIB_, 1, &raw, "import-disk-size", false);
    is_refused(625 * GIB_ + 512, 1, &raw, "import-disk-size", true);
    is_refused(2041 * GIB_, 1, &vhd, "import-disk-size", true);
    is_refused(8191 * GIB_, 1, &volumes, "import-disk-size", false);
    is_refused(8192 * GIB_, 1, &volumes, "import-disk-size", true);
}

/* ---- The role ---- */

static bool trusts(const char *text)
{
    bool ok = false;

    assert_ok(import_role_trusts(text, &ok, e));
    return ok;
}

static bool reads(const char *text)
{
    bool ok = false;

    assert_ok(import_role_reads(text, "aws", "my-bucket", &ok, e));
    return ok;
}

static void our_own_policies_suffice(void **state)
{
    struct err e = ERR_INIT;
    char *trust = import_role_trust(&e),
         *policy = import_role_policy("aws", "my-bucket", &e);

    assert_non_null(trust);
    assert_non_null(policy);
    assert_true(trusts(trust));
    assert_true(reads(policy));
    free(trust);
    free(policy);
}

static void other_policies_are_understood(void **state)
{
    assert_true(
        trusts("{\"Statement\": {\"Effect\": \"Allow\", \"Principal\": {\"Service\": "
               "[\"ec2.amazonaws.com\", \"vmie.amazonaws.com\"]}, \"Action\": "
               "[\"sts:AssumeRole\"]}}"));
    assert_false(trusts("{\"Statement\": [{\"Effect\": \"Allow\", \"Principal\": "
                        "{\"Service\": \"ec2.amazonaws.com\"}, \"Action\": "
                        "\"sts:AssumeRole\"}]}"));
    assert_false(trusts("{}"));
    assert_true(reads("{\"Statement\": [{\"Effect\": \"Allow\", \"Action\": \"s3:*\", "
                      "\"Resource\": \"*\"}]}"));
    assert_true(reads("{\"Statement\": [{\"Effect\": \"Allow\", \"Action\": \"s3:Get*\", "
                      "\"Resource\": \"arn:aws:s3:::my-*/*\"}]}"));
    assert_false(reads("{\"Statement\": [{\"Effect\": \"Allow\", \"Action\": "
                       "\"s3:GetObject\", \"Resource\": \"arn:aws:s3:::other/*\"}]}"));
    assert_false(reads("{\"Statement\": [{\"Effect\": \"Allow\", \"Action\": "
                       "\"s3:PutObject\", \"Resource\": \"*\"}]}"));
    assert_false(reads("{\"Statement\": [{\"Effect\": \"Allow\", \"Action\": \"s3:*\", "
                       "\"Resource\": \"*\"}, {\"Effect\": \"Deny\", \"Action\": "
                       "\"s3:GetObject\", \"Resource\": \"*\"}]}"));
    assert_false(reads("[1, 2]"));
}

static void a_policy_that_is_no_json_is_an_error(void **state)
{
    bool ok = false;

    assert_fails(import_role_trusts("{\"Statement\": ", &ok, e), ERR_INPUT, "trust");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_facts_choose_the_finisher),
        cmocka_unit_test(the_plan_names_its_finisher),
        cmocka_unit_test(import_takes_what_it_changes_itself),
        cmocka_unit_test(limits_are_findings_with_remedies),
        cmocka_unit_test(our_own_policies_suffice),
        cmocka_unit_test(other_policies_are_understood),
        cmocka_unit_test(a_policy_that_is_no_json_is_an_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
