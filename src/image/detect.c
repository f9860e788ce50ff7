/* What a file is, by its bytes. Pure: reads a few sectors, keeps nothing. */
#include "image/formats.h"

#include "base/str.h"

#include <ctype.h>

struct magic {
    uint32_t offset, len;
    const char *bytes;
    enum image_format format;
};

static const struct magic magics[] = {
    {0, 4, "KDMV", FORMAT_VMDK_SPARSE},
    {0, 21, "# Disk DescriptorFile", FORMAT_VMDK_TEXT},
    {0, 4, "COWD", FORMAT_VMDK_COWD},
    {0, 8, "\xbe\xba\xfe\xca\x00\x00\x00\x00", FORMAT_VMDK_SESPARSE},
    {0, 4, "QFI\xfb", FORMAT_QCOW2},
    {0, 8, "conectix", FORMAT_VHD},
    {0, 8, "vhdxfile", FORMAT_VHDX},
    {64, 4, "\x7f\x10\xda\xbe", FORMAT_VDI},
    {257, 5, "ustar", FORMAT_TAR},
    {0, 2, "\x1f\x8b", FORMAT_GZIP},
    {0, 3, "BZh", FORMAT_BZIP2},
    {0, 6,
     "\xfd"
     "7zXZ\0",
     FORMAT_XZ},
    {0, 4, "\x28\xb5\x2f\xfd", FORMAT_ZSTD},
    {0, 4, "PK\x03\x04", FORMAT_ZIP},
};

/* A disk has boot code or zeros in sector 0 and 55 AA at its end; the two-byte and
 * three-byte magics could be boot code. */
static bool short_magic(enum image_format f)
{
    return f == FORMAT_GZIP || f == FORMAT_BZIP2;
}

static bool has(const unsigned char *head, size_t n, const struct magic *m)
{
    return n >= m->offset + m->len && memcmp(head + m->offset, m->bytes, m->len) == 0;
}

/* No boot code begins so. */
bool image_is_utf16(const void *text, size_t n)
{
    const unsigned char *head = text;

    return n >= 4 && ((head[0] == 0xff && head[1] == 0xfe && head[2] && !head[3]) ||
                      (head[0] == 0xfe && head[1] == 0xff && !head[2] && head[3]));
}

/* Text that begins as an OVF (XML with an Envelope) or a VMX (key = "value"). */
static enum image_format detect_text(const unsigned char *head, size_t n)
{
    const char *s = (const char *)head;
    size_t i = 0;

    if (image_is_utf16(head, n))
        return FORMAT_UTF16;
    if (n >= 3 && memcmp(head, "\xef\xbb\xbf", 3) == 0)
        i = 3;
    while (i < n && isspace(head[i]))
        i++;
    if (memchr(head, 0, n))
        return FORMAT_UNKNOWN;
    if (i < n && s[i] == '<')
        return memmem(s, n, "Envelope", 8) ? FORMAT_OVF : FORMAT_UNKNOWN;
    if (memmem(s, n, "config.version", 14) || memmem(s, n, "virtualHW.version", 17))
        return FORMAT_VMX;
    return FORMAT_UNKNOWN;
}

/* A fixed VHD is a raw disk with a footer. */
static int detect_end(const struct blob *b, enum image_format *ret, struct err *e)
{
    char tail[8];

    *ret = FORMAT_UNKNOWN;
    if (b->is_device || b->len < 1024 || b->len % 512)
        return 0;
    if (blob_read(b, tail, sizeof tail, b->len - 512, e) < 0)
        return -1;
    if (memcmp(tail, "conectix", 8) == 0)
        *ret = FORMAT_VHD;
    return 0;
}

int image_detect(const struct blob *b, enum image_format *ret, struct err *e)
{
    unsigned char head[4096];
    size_t n = b->len < sizeof head ? (size_t)b->len : sizeof head;
    bool boot_sector;

    if (blob_read(b, head, n, 0, e) < 0)
        return -1;
    boot_sector = n >= 512 && head[510] == 0x55 && head[511] == 0xaa;
    for (size_t i = 0; i < sizeof magics / sizeof magics[0]; i++)
        if (has(head, n, &magics[i]) && !(boot_sector && short_magic(magics[i].format))) {
            *ret = magics[i].format;
            return 0;
        }
    *ret = detect_text(head, n);
    if (*ret == FORMAT_UNKNOWN)
        return detect_end(b, ret, e);
    return 0;
}

static const struct {
    uint32_t offset, len;
    const char *bytes;
} disk_marks[] = {
    {510, 2, "\x55\xaa"},     /* MBR, boot sector */
    {512, 8, "EFI PART"},     /* GPT */
    {4096, 8, "EFI PART"},    /* GPT of a disk with sectors of 4 KiB */
    {1080, 2, "\x53\xef"},    /* ext2, 3, 4 */
    {0, 4, "XFSB"},           /* XFS */
    {3, 8, "NTFS    "},       /* NTFS */
    {65600, 8, "_BHRfS_M"},   /* Btrfs */
    {32768, 4, "JFS1"},       /* JFS */
    {512, 8, "LABELONE"},     /* LVM */
    {4086, 10, "SWAPSPACE2"}, /* swap */
    {0, 6, "LUKS\xba\xbe"},   /* LUKS */
};

int image_looks_like_disk(const struct blob *b, bool *ret, struct err *e)
{
    *ret = false;
    for (size_t i = 0; i < sizeof disk_marks / sizeof disk_marks[0]; i++) {
        char bytes[16];

        if (disk_marks[i].offset + disk_marks[i].len > b->len)
            continue;
        if (blob_read(b, bytes, disk_marks[i].len, disk_marks[i].offset, e) < 0)
            return -1;
        if (memcmp(bytes, disk_marks[i].bytes, disk_marks[i].len) == 0)
            *ret = true;
    }
    return 0;
}

const char *image_format_text(enum image_format f)
{
    static const char *const texts[] = {
        [FORMAT_UNKNOWN] = "of unknown format",
        [FORMAT_RAW] = "a raw image",
        [FORMAT_VMDK_SPARSE] = "a VMDK",
        [FORMAT_VMDK_TEXT] = "a VMDK descriptor",
        [FORMAT_VMDK_COWD] = "a vmfsSparse VMDK",
        [FORMAT_VMDK_SESPARSE] = "a seSparse VMDK",
        [FORMAT_QCOW2] = "a qcow2 image",
        [FORMAT_VHD] = "a VHD",
        [FORMAT_VHDX] = "a VHDX",
        [FORMAT_VDI] = "a VDI",
        [FORMAT_TAR] = "a tar archive",
        [FORMAT_OVF] = "an OVF description",
        [FORMAT_VMX] = "a VMX description",
        [FORMAT_UTF16] = "text in UTF-16",
        [FORMAT_GZIP] = "gzip-compressed",
        [FORMAT_BZIP2] = "bzip2-compressed",
        [FORMAT_XZ] = "xz-compressed",
        [FORMAT_ZSTD] = "zstd-compressed",
        [FORMAT_ZIP] = "a zip archive",
    };

    return texts[f];
}
