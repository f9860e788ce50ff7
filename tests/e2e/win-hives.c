/* win-hives DIR [dirty]: the hives of tests/unit/winkit.c as files in DIR, for disks that
 * look like Windows': SYSTEM, SOFTWARE, SAM and BCD, and with "dirty" a SYSTEM whose last
 * change is in SYSTEM.LOG1 alone. */
#include "winkit.h"

#include "base/io.h"

static void write_file(const char *dir, const char *name, const struct buf *b)
{
    char path[4096];

    snprintf(path, sizeof path, "%s/%s", dir, name);
    assert_ok(io_write_file_atomic(path, b->data, b->len, 0644, e));
}

static void write_hive(const char *dir, const char *name, struct hive *h)
{
    auto_buf struct buf b = BUF_INIT;

    assert_ok(hive_bytes(h, &b, e));
    write_file(dir, name, &b);
}

static void write_dirty(const char *dir, struct hive *h)
{
    auto_buf struct buf old = BUF_INIT, now = BUF_INIT, log = BUF_INIT;

    assert_ok(hive_bytes(h, &old, e));
    assert_ok(hive_set_u32(h, WINKIT_CCS "Services\\VMTools", "Start", 3, e));
    assert_ok(hive_bytes(h, &now, e));
    hivekit_dirty(&old, 21, 20);
    hivekit_log(&old, &log);
    hivekit_entry(&old, &now, 20, &log);
    write_file(dir, "SYSTEM", &old);
    write_file(dir, "SYSTEM.LOG1", &log);
}

int main(int argc, char **argv)
{
    struct hive *sys, *soft, *sam, *bcd;

    if (argc < 2) {
        fprintf(stderr, "usage: win-hives DIR [dirty]\n");
        return 2;
    }
    sys = winkit_system();
    soft = winkit_software(14393);
    sam = winkit_sam();
    bcd = winkit_bcd();
    if (argc > 2)
        write_dirty(argv[1], sys);
    else
        write_hive(argv[1], "SYSTEM", sys);
    write_hive(argv[1], "SOFTWARE", soft);
    write_hive(argv[1], "SAM", sam);
    write_hive(argv[1], "BCD", bcd);
    hive_free(sys);
    hive_free(soft);
    hive_free(sam);
    hive_free(bcd);
    return 0;
}
