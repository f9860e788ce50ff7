/* The text descriptor of a VMDK, alone and with flat extents in the same file. */
#include "image_fuzz.h"

#include "image/tar.h"
#include "image/vmdk.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check(const struct vmdk_desc *d)
{
    uint64_t sum = 0;

    assert(d->extents.n);
    vec_foreach (x, &d->extents) {
        assert(x->len_bytes && x->len_bytes % VMDK_SECTOR == 0);
        assert(x->kind == VMDK_ZERO ? !x->file : x->file && x->file[0]);
        sum += x->len_bytes;
    }
    assert(sum == d->len_bytes && sum <= VMDK_MAX_BYTES);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    char name[] = "flat.vmdk";
    struct tar_member member = {.name = name, .len = len};
    struct tar_members members = {.all = {.v = &member, .n = 1}};
    struct blob *b = fuzz_blob(data, len);
    struct image_dir *dir = NULL;
    struct vmdk_desc d = {0};
    struct source *s = NULL;
    struct err e = ERR_INIT;

    if (vmdk_desc_parse((const char *)data, len, "fuzz", &d, &e) == 0)
        check(&d);
    else
        assert(e.msg[0]);
    vmdk_desc_release(&d);
    assert(image_dir_of_tar(b, &members, "d.vmdk", &dir, &e) == 0);
    if (vmdk_open(b, FORMAT_VMDK_TEXT, dir, NULL, &s, &e) < 0)
        assert(e.msg[0] && !s);
    source_free(s);
    image_dir_free(dir);
    blob_free(b);
    return 0;
}
