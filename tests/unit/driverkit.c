#include "driverkit.h"
#include "test.h"

#include "base/io.h"
#include "base/str.h"

#include <archive.h>
#include <archive_entry.h>
#include <assert.h>

static char zip[1 << 20];

void driverkit_zip(const char *const *files, struct buf *out)
{
    struct archive *a = archive_write_new();
    size_t used = 0;

    assert(archive_write_set_format_zip(a) == ARCHIVE_OK &&
           archive_write_open_memory(a, zip, sizeof zip, &used) == ARCHIVE_OK);
    for (; *files; files += 2) {
        struct archive_entry *x = archive_entry_new();

        archive_entry_set_pathname(x, files[0]);
        archive_entry_set_filetype(x, AE_IFREG);
        archive_entry_set_perm(x, 0644);
        archive_entry_set_size(x, (int64_t)strlen(files[1]));
        assert(archive_write_header(a, x) == ARCHIVE_OK);
        assert(archive_write_data(a, files[1], strlen(files[1])) >= 0);
        archive_entry_free(x);
    }
    assert(archive_write_close(a) == ARCHIVE_OK);
    archive_write_free(a);
    buf_add(out, zip, used);
}

char *driverkit_inf(const char *class_name, const char *name, const char *version,
                    const char *decoration, const char *id)
{
    struct err e;
    char *s = str_fmt(
        &e,
        "; made for tests\r\n[Version]\r\nSignature=\"$Windows NT$\"\r\nClass=%s\r\n"
        "ClassGuid={4d36e97b-e325-11ce-bfc1-08002be10318}\r\nProvider=%%Maker%%\r\n"
        "DriverVer=01/31/2024, %s\r\nCatalogFile=%s.cat\r\n\r\n[Manufacturer]\r\n"
        "%%Maker%% = Devices, %s\r\n\r\n[Devices.%s]\r\n%%Device%% = Install, %s\r\n\r\n"
        "[SourceDisksFiles]\r\n%s.sys = 1 ; the driver\r\n\r\n[Strings]\r\n"
        "Maker = \"Maker; Inc.\"\r\nDevice = \"A device\"\r\n",
        class_name, version, name, decoration, decoration, id, name);

    assert(s);
    return s;
}

void driverkit_put(const char *dir, const char *name, const struct buf *bytes)
{
    char path[512];

    snprintf(path, sizeof path, "%s/%s", dir, name);
    assert_ok(io_write_file_atomic(path, bytes->data, bytes->len, 0644, e));
}

static void put_zip(const char *dir, const char *name, const char *const *files)
{
    auto_buf struct buf b = BUF_INIT;

    driverkit_zip(files, &b);
    driverkit_put(dir, name, &b);
}

char *driverkit_folder(const char *version, const char *decoration)
{
    char dir[] = "/tmp/hotadd-drivers-XXXXXX";
    auto_free char *ena = driverkit_inf("Net", "ena", version, decoration,
                                        "PCI\\VEN_1D0F&DEV_EC20"),
                   *nvme = driverkit_inf("SCSIAdapter", "AWSNVMe", version, decoration,
                                         "PCI\\VEN_1D0F&DEV_8061");
    const char *const ena_files[] = {
        "ena.inf", ena, "ena.sys", "driver", "ena.cat", "sig", "install.ps1", "#", NULL};
    const char *const nvme_files[] = {"AWSNVMe.inf", nvme,  "AWSNVMe.sys", "driver",
                                      "awsnvme.cat", "sig", NULL};
    const char *const pv_files[] = {"AWSPVDriverSetup.msi", "installer", NULL};
    const char *const config_files[] = {"EC2Install.exe", "installer", NULL};
    const char *const launch_files[] = {"Module/Ec2Launch.psm1", "#", "Scripts/x.ps1",
                                        "#", NULL};
    auto_buf struct buf msi = BUF_INIT, ps = BUF_INIT;

    assert(mkdtemp(dir));
    put_zip(dir, "AwsEnaNetworkDriver.zip", ena_files);
    put_zip(dir, "AWSNVMe.zip", nvme_files);
    put_zip(dir, "AWSPVDriver-8.4.3.zip", pv_files);
    put_zip(dir, "EC2Install.zip", config_files);
    put_zip(dir, "EC2-Windows-Launch.zip", launch_files);
    buf_adds(&msi, "\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1");
    while (msi.len < 1024)
        buf_addc(&msi, 'm');
    driverkit_put(dir, "AmazonEC2Launch.msi", &msi);
    buf_adds(&ps, "# unpacks the zip beside it\n");
    driverkit_put(dir, "install.ps1", &ps);
    return strdup(dir);
}

void driverkit_remove(char *dir)
{
    assert_ok(io_remove_tree(dir, e));
    free(dir);
}
