/* VMX descriptions, with small flat disks. */
#include "image_kit.h"

#include "image/vmx.h"

/* A flat VMDK of n sectors, filled with c. */
static void make_disk(const char *name, unsigned sectors, char c)
{
    char text[400], flat[64], *data = malloc(sectors * 512);

    snprintf(flat, sizeof flat, "%s.flat", name);
    snprintf(text, sizeof text,
             "# Disk DescriptorFile\nversion=1\nparentCID=ffffffff\n"
             "createType=\"monolithicFlat\"\nRW %u FLAT \"%s\" 0\n",
             sectors, strrchr(flat, '/') ? strrchr(flat, '/') + 1 : flat);
    kit_text(name, text);
    memset(data, c, sectors * 512);
    kit_write(flat, data, sectors * 512);
    free(data);
}

static void make_vm(const char *more)
{
    static const char head[] = ".encoding = \"UTF-8\"\n"
                               "config.version = \"8\"\n"
                               "virtualHW.version = \"19\"\n";
    auto_buf struct buf b = BUF_INIT;

    make_disk("a.vmdk", 8, 'a');
    make_disk("b.vmdk", 16, 'b');
    make_disk("c.vmdk", 24, 'c');
    buf_adds(&b, head);
    buf_adds(&b, more);
    kit_text("vm.vmx", buf_str(&b));
}

static int open_vm(struct machine **ret, struct err *e)
{
    return image_open(kit_path("vm.vmx"), NULL, ret, e);
}

static void test_hardware_and_disks_in_order(void **state)
{
    auto_machine struct machine *m = NULL;

    make_vm("displayName = \"Web |22one|22\"\nguestOS = \"debian12-64\"\n"
            "numvcpus = \"2\"\nmemsize = \"4096\"\nfirmware = \"efi\"\n"
            "uefi.secureBoot.enabled = \"TRUE\"\n"
            "ide0:0.present = \"TRUE\"\nide0:0.fileName = \"c.vmdk\"\n"
            "scsi0.present = \"TRUE\"\n"
            "scsi0:2.present = \"TRUE\"\nscsi0:2.fileName = \"b.vmdk\"\n"
            "scsi0:0.present = \"TRUE\"\nscsi0:0.fileName = \"a.vmdk\"\n"
            "SCSI0:0.deviceType = \"scsi-hardDisk\"\n"
            "sata0:0.present = \"TRUE\"\nsata0:0.deviceType = \"cdrom-image\"\n"
            "sata0:0.fileName = \"/isos/x.iso\"\n"
            "ethernet0.present = \"TRUE\"\nethernet0.virtualDev = \"vmxnet3\"\n"
            "ethernet0.generatedAddress = \"00:0c:29:01:02:03\"\n"
            "ethernet0.networkName = \"LAN\"\n"
            "ethernet1.present = \"FALSE\"\n");
    assert_ok(open_vm(&m, e));
    assert_string_equal(m->name, "Web \"one\"");
    assert_string_equal(m->guest_id, "debian12-64");
    assert_int_equal(m->cpus, 2);
    assert_int_equal(m->memory_bytes, 4096ull << 20);
    assert_int_equal(m->firmware, FIRMWARE_UEFI);
    assert_true(m->secure_boot);
    assert_int_equal(m->disks.n, 3);
    assert_string_equal(m->disks.v[0].name, "a.vmdk");
    assert_string_equal(m->disks.v[1].name, "b.vmdk");
    assert_string_equal(m->disks.v[2].name, "c.vmdk");
    assert_int_equal(m->disks.v[1].unit, 2);
    assert_int_equal(m->disks.v[1].size_bytes, 16 * 512);
    assert_int_equal(m->nics.n, 1);
    assert_string_equal(m->nics.v[0].mac, "00:0c:29:01:02:03");
    assert_string_equal(m->nics.v[0].network, "LAN");
    kit_compare(m->disks.v[2].source, "c.vmdk.flat");
}

static void test_bios_order_puts_its_disks_first(void **state)
{
    auto_machine struct machine *m = NULL;

    make_vm("bios.hddOrder = \"scsi0:2,scsi0:1\"\n"
            "scsi0:0.present = \"TRUE\"\nscsi0:0.fileName = \"a.vmdk\"\n"
            "scsi0:1.present = \"TRUE\"\nscsi0:1.fileName = \"b.vmdk\"\n"
            "scsi0:2.present = \"TRUE\"\nscsi0:2.fileName = \"c.vmdk\"\n");
    assert_ok(open_vm(&m, e));
    assert_string_equal(m->disks.v[0].name, "c.vmdk");
    assert_string_equal(m->disks.v[1].name, "b.vmdk");
    assert_string_equal(m->disks.v[2].name, "a.vmdk");
    assert_int_equal(m->firmware, FIRMWARE_BIOS);
    assert_int_equal(m->cpus, 1);
}

static void test_snapshot_delta_is_refused(void **state)
{
    struct machine *m = NULL;

    make_vm("scsi0:0.present = \"TRUE\"\nscsi0:0.fileName = \"a-000001.vmdk\"\n");
    assert_fails(open_vm(&m, e), ERR_UNSUPPORTED,
                 "scsi0:0 is the snapshot delta a-000001.vmdk");
}

static void test_raw_device_is_refused(void **state)
{
    struct machine *m = NULL;

    make_vm("scsi0:0.present = \"TRUE\"\nscsi0:0.fileName = \"a.vmdk\"\n"
            "scsi0:0.deviceType = \"rawDisk\"\n");
    assert_fails(open_vm(&m, e), ERR_UNSUPPORTED, "is of type \"rawDisk\"");
}

static void test_encrypted_vm_is_refused(void **state)
{
    struct machine *m = NULL;

    make_vm("encryption.keySafe = \"vmware:key/list/(pair\"\n");
    assert_fails(open_vm(&m, e), ERR_UNSUPPORTED, "the VM is encrypted");
}

static void test_paths_outside_the_folder_need_trust(void **state)
{
    struct image_options opt = {.trust_paths = true};
    auto_machine struct machine *m = NULL;
    char text[600];

    assert_int_equal(mkdir(kit_path("else"), 0700), 0);
    assert_int_equal(mkdir(kit_path("vm"), 0700), 0);
    make_disk("else/x.vmdk", 8, 'x');
    snprintf(text, sizeof text,
             "config.version = \"8\"\nscsi0:0.present = \"TRUE\"\n"
             "scsi0:0.fileName = \"%s\"\n",
             kit_path("else/x.vmdk"));
    kit_text("vm/vm.vmx", text);
    assert_fails(image_open(kit_path("vm/vm.vmx"), NULL, &m, e), ERR_UNSUPPORTED,
                 "is outside the folder");
    kit_text("vm/vm.vmx", "config.version = \"8\"\nscsi0:0.present = \"TRUE\"\n"
                          "scsi0:0.fileName = \"../else/x.vmdk\"\n");
    assert_fails(image_open(kit_path("vm/vm.vmx"), NULL, &m, e), ERR_UNSUPPORTED,
                 "is outside the folder");
    assert_int_equal(symlink("../else/x.vmdk", kit_path("vm/x.vmdk")), 0);
    kit_text("vm/vm.vmx", "config.version = \"8\"\nscsi0:0.present = \"TRUE\"\n"
                          "scsi0:0.fileName = \"x.vmdk\"\n");
    assert_fails(image_open(kit_path("vm/vm.vmx"), NULL, &m, e), ERR_UNSUPPORTED,
                 "is outside the folder");
    kit_text("vm/vm.vmx", text);
    assert_ok(image_open(kit_path("vm/vm.vmx"), &opt, &m, e));
    kit_compare(m->disks.v[0].source, "else/x.vmdk.flat");
}

static void test_missing_disk_is_named(void **state)
{
    struct machine *m = NULL;

    make_vm("scsi0:0.present = \"TRUE\"\nscsi0:0.fileName = \"gone.vmdk\"\n");
    assert_fails(open_vm(&m, e), ERR_NOT_FOUND, "gone.vmdk does not exist");
}

static void test_vm_without_disks_is_refused(void **state)
{
    struct machine *m = NULL;

    make_vm("scsi0.present = \"FALSE\"\nscsi0:0.present = \"TRUE\"\n"
            "scsi0:0.fileName = \"a.vmdk\"\n");
    assert_fails(open_vm(&m, e), ERR_UNSUPPORTED, "the VM has no disk");
}

static int parse(const char *text, struct err *e)
{
    struct vmx v = {0};
    int r = vmx_parse(text, "t.vmx", &v, e);

    vmx_release(&v);
    return r;
}

static void test_bad_lines_are_named(void **state)
{
    assert_fails(parse("a = \"1\"\nnonsense\n", e), ERR_INPUT, "t.vmx: line 2: not of");
    assert_fails(parse("a = \"1\nb=2\n", e), ERR_INPUT,
                 "line 1: a value whose quotation");
    assert_fails(parse("a = \"1\" b\n", e), ERR_INPUT, "line 1: text after the value");
    assert_fails(parse("a = \"1\"\nB = \"2\"\n\nA = \"3\"\n", e), ERR_INPUT,
                 "lines 1 and 4 both set \"A\"");
    assert_ok(parse("#!/usr/bin/vmware\r\na = \"1\"\r\nA = \"1\"\r\n", e));
}

static void test_huge_numbers_are_refused(void **state)
{
    struct machine *m = NULL;

    make_vm("memsize = \"99999999999999999999999\"\n");
    assert_fails(open_vm(&m, e), ERR_INPUT, "vm.vmx: memsize");
    make_vm("numvcpus = \"1000000\"\n");
    assert_fails(open_vm(&m, e), ERR_INPUT, "numvcpus is 1000000");
}

static void test_nul_bytes_are_refused(void **state)
{
    static char text[] = "config.version = \"8\"\nvirtualHW.version = \"19\"\n";
    auto_machine struct machine *m = NULL;
    char big[6000];

    memset(big, ' ', sizeof big);
    memcpy(big, text, sizeof text - 1);
    big[5000] = 0;
    kit_write("vm.vmx", big, sizeof big);
    assert_fails(open_vm(&m, e), ERR_INPUT, "a NUL byte at byte 5000");
}

static void test_utf16_is_named(void **state)
{
    static const unsigned char le[] = "\xff\xfe.\0e\0n\0c\0";
    auto_machine struct machine *m = NULL;

    kit_write("vm.vmx", le, sizeof le - 1);
    assert_fails(open_vm(&m, e), ERR_UNSUPPORTED,
                 "vm.vmx is text in UTF-16: save it as UTF-8");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hardware_and_disks_in_order),
        cmocka_unit_test(test_bios_order_puts_its_disks_first),
        cmocka_unit_test(test_snapshot_delta_is_refused),
        cmocka_unit_test(test_raw_device_is_refused),
        cmocka_unit_test(test_encrypted_vm_is_refused),
        cmocka_unit_test(test_paths_outside_the_folder_need_trust),
        cmocka_unit_test(test_missing_disk_is_named),
        cmocka_unit_test(test_vm_without_disks_is_refused),
        cmocka_unit_test(test_bad_lines_are_named),
        cmocka_unit_test(test_huge_numbers_are_refused),
        cmocka_unit_test(test_nul_bytes_are_refused),
        cmocka_unit_test(test_utf16_is_named),
    };
    return cmocka_run_group_tests(tests, kit_setup, kit_teardown);
}
