/* OVA and OVF packages made here: qemu-img's disks, GNU tar's archives. */
#include "image_kit.h"

#include "base/digest.h"

static const char ovf_head[] =
    "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
    "<Envelope xmlns=\"http://schemas.dmtf.org/ovf/envelope/1\"\n"
    " xmlns:ovf=\"http://schemas.dmtf.org/ovf/envelope/1\"\n"
    " xmlns:rasd=\"http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/"
    "CIM_ResourceAllocationSettingData\"\n"
    " xmlns:vmw=\"http://www.vmware.com/schema/ovf\"\n"
    " xmlns:vssd=\"http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/"
    "CIM_VirtualSystemSettingData\">\n"
    "<References>\n"
    " <File ovf:id=\"f1\" ovf:href=\"vm-disk1.vmdk\" ovf:size=\"%" PRIu64 "\"/>\n"
    " <File ovf:id=\"f2\" ovf:href=\"vm-disk2.vmdk\"/>\n"
    "</References>\n"
    "<DiskSection>\n"
    " <Disk ovf:diskId=\"d1\" ovf:fileRef=\"f1\" ovf:capacity=\"5\""
    " ovf:capacityAllocationUnits=\"byte * 2^20\"/>\n"
    " <Disk ovf:diskId=\"d2\" ovf:fileRef=\"f2\" ovf:capacity=\"3145728\"/>\n"
    " <Disk ovf:diskId=\"d3\" ovf:capacity=\"2\""
    " ovf:capacityAllocationUnits=\"GigaBytes\"/>\n"
    "</DiskSection>\n"
    "<VirtualSystem ovf:id=\"vm\"><Name>My VM</Name>\n"
    "<OperatingSystemSection ovf:id=\"96\" vmw:osType=\"debian12_64Guest\"/>\n"
    "<VirtualHardwareSection>\n"
    "<System><vssd:VirtualSystemType>vmx-19</vssd:VirtualSystemType></System>\n";

#define ITEM(type, id, rest)                                                             \
    "<Item><rasd:InstanceID>" id "</rasd:InstanceID><rasd:ResourceType>" type            \
    "</rasd:ResourceType>" rest "</Item>\n"
#define DISK(id, parent, unit, disk)                                                     \
    ITEM("17", id,                                                                       \
         "<rasd:AddressOnParent>" unit                                                   \
         "</rasd:AddressOnParent><rasd:HostResource>ovf:/disk/" disk                     \
         "</rasd:HostResource><rasd:Parent>" parent "</rasd:Parent>")

static const char ovf_tail[] =
    ITEM("3", "1", "<rasd:VirtualQuantity>4</rasd:VirtualQuantity>")
        ITEM("4", "2",
             "<rasd:AllocationUnits>byte * 2^20</rasd:AllocationUnits>"
             "<rasd:VirtualQuantity>2048</rasd:VirtualQuantity>")
            ITEM("5", "3", "<rasd:Address>0</rasd:Address>")
                ITEM("6", "4", "<rasd:Address>1</rasd:Address>")
                    ITEM("6", "5", "<rasd:Address>0</rasd:Address>")
                        ITEM("15", "6", "<rasd:Parent>3</rasd:Parent>")
                            DISK("7", "4", "0", "d3") DISK("8", "5", "1", "d2")
                                DISK("9", "5", "0", "d1") ITEM(
                                    "10", "10",
                                    "<rasd:Connection>VM Network</rasd:Connection>"
                                    "<rasd:Address>00:50:56:01:02:03</rasd:Address>"
                                    "<rasd:ResourceSubType>VmxNet3</"
                                    "rasd:ResourceSubType>") "<vmw:Config "
                                                             "ovf:required=\"false\" "
                                                             "vmw:key=\"firmware\" "
                                                             "vmw:value=\"efi\"/>\n"
                                                             "<vmw:Config "
                                                             "vmw:key=\"bootOptions."
                                                             "efiSecureBootEnabled\" "
                                                             "vmw:value=\"true\"/>\n"
                                                             "</VirtualHardwareSection></"
                                                             "VirtualSystem></"
                                                             "Envelope>\n";

static void digest_line(struct buf *out, const char *file)
{
    unsigned char d[SHA256_BYTES];
    char hex[SHA256_HEX_LEN];
    size_t len;
    char *data = kit_read(file, &len);

    digest_sha256(data, len, d);
    buf_addf(out, "SHA256(%s)= %s\n", file, str_hex(hex, d, sizeof d));
    free(data);
}

/* vm.ovf, vm.mf, two disks and their raw images in the scratch folder. */
static void make_files(void)
{
    auto_buf struct buf ovf = BUF_INIT, mf = BUF_INIT;

    kit_random_disk("1.raw", 5 << 20);
    kit_random_disk("2.raw", 3 << 20);
    kit_run("qemu-img", "convert", "-O", "vmdk", "-o", "subformat=streamOptimized",
            kit_path("1.raw"), kit_path("vm-disk1.vmdk"));
    kit_run("qemu-img", "convert", "-O", "vmdk", "-o", "subformat=streamOptimized",
            kit_path("2.raw"), kit_path("vm-disk2.vmdk"));
    buf_addf(&ovf, ovf_head, kit_size("vm-disk1.vmdk"));
    buf_adds(&ovf, ovf_tail);
    kit_text("vm.ovf", buf_str(&ovf));
    digest_line(&mf, "vm.ovf");
    digest_line(&mf, "vm-disk1.vmdk");
    digest_line(&mf, "vm-disk2.vmdk");
    kit_text("vm.mf", buf_str(&mf));
}

static void make_ova(const char *format)
{
    char opt[32];

    make_files();
    snprintf(opt, sizeof opt, "--format=%s", format);
    kit_run("tar", "-C", kit_dir, opt, "-cf", kit_path("vm.ova"), "vm.ovf", "vm.mf",
            "vm-disk1.vmdk", "vm-disk2.vmdk");
}

static void check_machine(const struct machine *m)
{
    assert_string_equal(m->name, "My VM");
    assert_string_equal(m->guest_id, "debian12_64Guest");
    assert_int_equal(m->cpus, 4);
    assert_int_equal(m->memory_bytes, 2048ull << 20);
    assert_int_equal(m->firmware, FIRMWARE_UEFI);
    assert_true(m->secure_boot);
    assert_int_equal(m->nics.n, 1);
    assert_string_equal(m->nics.v[0].mac, "00:50:56:01:02:03");
    assert_string_equal(m->nics.v[0].model, "VmxNet3");
    assert_string_equal(m->nics.v[0].network, "VM Network");
    assert_int_equal(m->disks.n, 3);
    assert_string_equal(m->disks.v[0].name, "vm-disk1.vmdk");
    assert_string_equal(m->disks.v[1].name, "vm-disk2.vmdk");
    assert_string_equal(m->disks.v[2].name, "d3");
    assert_int_equal(m->disks.v[1].controller, 0);
    assert_int_equal(m->disks.v[1].unit, 1);
    assert_int_equal(m->disks.v[2].controller, 1);
    assert_int_equal(m->disks.v[0].size_bytes, 5 << 20);
    assert_int_equal(m->disks.v[2].size_bytes, 2ull << 30);
    kit_compare(m->disks.v[0].source, "1.raw");
    kit_compare(m->disks.v[1].source, "2.raw");
}

static void ova_in_tar_format(const char *format)
{
    auto_machine struct machine *m = NULL;

    kit_need("qemu-img");
    kit_need("tar");
    make_ova(format);
    assert_ok(image_open(kit_path("vm.ova"), NULL, &m, e));
    check_machine(m);
}

static void test_ova_as_ustar(void **state)
{
    ova_in_tar_format("ustar");
}

static void test_ova_as_gnu_tar(void **state)
{
    ova_in_tar_format("gnu");
}

static void test_ova_as_pax(void **state)
{
    ova_in_tar_format("posix");
}

static void test_ovf_with_files_beside_it(void **state)
{
    auto_machine struct machine *m = NULL;

    kit_need("qemu-img");
    make_files();
    assert_ok(image_open(kit_path("vm.ovf"), NULL, &m, e));
    check_machine(m);
}

static void test_one_disk_by_fragment_number_and_name(void **state)
{
    auto_source struct source *a = NULL, *b = NULL, *c = NULL;

    kit_need("qemu-img");
    kit_need("tar");
    make_ova("ustar");
    assert_ok(kit_open("vm.ova#2", NULL, &a, e));
    kit_compare(a, "2.raw");
    assert_ok(kit_open("vm.ova", "1", &b, e));
    kit_compare(b, "1.raw");
    assert_ok(kit_open("vm.ova", "d3", &c, e));
    assert_int_equal(c->size_bytes, 2ull << 30);
}

static void test_which_disk_must_be_said_when_there_are_several(void **state)
{
    struct source *s = NULL;

    kit_need("qemu-img");
    kit_need("tar");
    make_ova("ustar");
    assert_fails(kit_open("vm.ova", NULL, &s, e), ERR_USAGE,
                 "has several disks, say which: 1 (vm-disk1.vmdk), 2 (vm-disk2.vmdk), 3");
    assert_fails(kit_open("vm.ova#4", NULL, &s, e), ERR_USAGE, "has no disk \"4\"");
}

static int verify(const char *name, struct err *e)
{
    auto_image_digests struct image_digests *d = NULL;

    if (image_digests_open(kit_path(name), NULL, &d, e) < 0)
        return -1;
    return image_digests_verify_all(d, NULL, NULL, e);
}

static void test_sound_manifest_verifies(void **state)
{
    auto_image_digests struct image_digests *d = NULL;

    kit_need("qemu-img");
    kit_need("tar");
    make_ova("ustar");
    assert_ok(image_digests_open(kit_path("vm.ova"), NULL, &d, e));
    assert_int_equal(image_digests_n(d), 3);
    assert_int_equal(image_digests_bytes(d, 1), kit_size("vm-disk1.vmdk"));
    assert_ok(verify("vm.ova", e));
    assert_ok(verify("vm.ovf", e));
}

static void test_changed_disk_fails_verification_by_name(void **state)
{
    char c;

    kit_need("qemu-img");
    make_files();
    c = (char)kit_rand();
    kit_poke("vm-disk2.vmdk", kit_below(kit_size("vm-disk2.vmdk")), &c, 1);
    kit_poke("vm-disk2.vmdk", kit_size("vm-disk2.vmdk"), "more", 4);
    assert_fails(verify("vm.ovf", e), ERR_INPUT,
                 "vm-disk2.vmdk does not match the manifest: its SHA256 is ");
}

static void test_file_of_the_manifest_must_be_there(void **state)
{
    struct machine *m = NULL;

    kit_need("qemu-img");
    make_files();
    assert_int_equal(unlink(kit_path("vm-disk2.vmdk")), 0);
    assert_fails(image_open(kit_path("vm.ovf"), NULL, &m, e), ERR_NOT_FOUND,
                 "vm-disk2.vmdk does not exist");
}

static void test_without_a_manifest_there_is_nothing_to_verify(void **state)
{
    auto_machine struct machine *m = NULL;

    kit_need("qemu-img");
    make_files();
    assert_int_equal(unlink(kit_path("vm.mf")), 0);
    assert_ok(image_open(kit_path("vm.ovf"), NULL, &m, e));
    assert_ok(verify("vm.ovf", e));
}

static void test_truncated_ova_is_named_with_its_place(void **state)
{
    struct machine *m = NULL;

    kit_need("qemu-img");
    kit_need("tar");
    make_ova("ustar");
    kit_truncate("vm.ova", kit_size("vm.ova") / 2);
    assert_fails(image_open(kit_path("vm.ova"), NULL, &m, e), ERR_INPUT,
                 "it is truncated or damaged");
}

static void test_disk_shorter_than_described_is_refused(void **state)
{
    struct machine *m = NULL;

    kit_need("qemu-img");
    make_files();
    assert_int_equal(unlink(kit_path("vm.mf")), 0);
    kit_truncate("vm-disk1.vmdk", kit_size("vm-disk1.vmdk") - 512);
    assert_fails(image_open(kit_path("vm.ovf"), NULL, &m, e), ERR_INPUT, "is truncated");
}

static void test_chunked_disk_is_put_together(void **state)
{
    auto_machine struct machine *m = NULL;
    auto_free char *ovf = NULL;
    char *at, part[64];
    size_t n = 0;

    kit_need("qemu-img");
    make_files();
    assert_int_equal(unlink(kit_path("vm.mf")), 0);
    kit_run("split", "-b", "100000", "-d", "-a", "9", kit_path("vm-disk1.vmdk"),
            kit_path("vm-disk1.vmdk."));
    assert_int_equal(unlink(kit_path("vm-disk1.vmdk")), 0);
    ovf = kit_read("vm.ovf", NULL);
    at = strstr(ovf, "ovf:id=\"f1\"");
    n = (size_t)(at - ovf);
    {
        auto_buf struct buf b = BUF_INIT;

        buf_add(&b, ovf, n);
        buf_adds(&b, "ovf:chunkSize=\"100000\" ");
        buf_adds(&b, at);
        kit_text("vm.ovf", buf_str(&b));
    }
    assert_ok(image_open(kit_path("vm.ovf"), NULL, &m, e));
    check_machine(m);
    snprintf(part, sizeof part, "vm-disk1.vmdk.%09d", 0);
    kit_truncate(part, 99999);
    machine_free(take_ptr(m));
    assert_fails(image_open(kit_path("vm.ovf"), NULL, &m, e), ERR_INPUT,
                 "has 99999 bytes, its description wants 100000");
}

/* The number of chunks must not wrap to none. */
static void test_chunks_beyond_all_numbers_are_refused(void **state)
{
    auto_machine struct machine *m = NULL;
    auto_free char *ovf = NULL;
    auto_buf struct buf b = BUF_INIT;
    char *at;

    kit_need("qemu-img");
    make_files();
    assert_int_equal(unlink(kit_path("vm.mf")), 0);
    ovf = kit_read("vm.ovf", NULL);
    at = strstr(ovf, "<File ovf:id=\"f1\"");
    buf_add(&b, ovf, (size_t)(at - ovf));
    buf_adds(&b, "<File ovf:id=\"f1\" ovf:href=\"vm-disk1.vmdk\" "
                 "ovf:size=\"18446744073709551615\" ovf:chunkSize=\"2\"/>");
    buf_adds(&b, strstr(at, "/>") + 2);
    kit_text("vm.ovf", buf_str(&b));
    assert_fails(image_open(kit_path("vm.ovf"), NULL, &m, e), ERR_INPUT,
                 "is split in chunks");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ova_as_ustar),
        cmocka_unit_test(test_ova_as_gnu_tar),
        cmocka_unit_test(test_ova_as_pax),
        cmocka_unit_test(test_ovf_with_files_beside_it),
        cmocka_unit_test(test_one_disk_by_fragment_number_and_name),
        cmocka_unit_test(test_which_disk_must_be_said_when_there_are_several),
        cmocka_unit_test(test_sound_manifest_verifies),
        cmocka_unit_test(test_changed_disk_fails_verification_by_name),
        cmocka_unit_test(test_file_of_the_manifest_must_be_there),
        cmocka_unit_test(test_without_a_manifest_there_is_nothing_to_verify),
        cmocka_unit_test(test_truncated_ova_is_named_with_its_place),
        cmocka_unit_test(test_disk_shorter_than_described_is_refused),
        cmocka_unit_test(test_chunked_disk_is_put_together),
        cmocka_unit_test(test_chunks_beyond_all_numbers_are_refused),
    };
    return cmocka_run_group_tests(tests, kit_setup, kit_teardown);
}
