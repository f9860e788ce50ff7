/* A tar archive, and the package in it: members lie inside of the file, the manifest and
 * the description are read, no disk is opened. */
#include "image_fuzz.h"

#include "image/package.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void walk(const struct blob *b)
{
    struct tar_members m = {0};
    struct err e = ERR_INIT;

    if (tar_list(b, &m, &e) < 0)
        assert(e.msg[0] && m.all.n == 0);
    vec_foreach (x, &m.all) {
        assert(x->name && x->name[0] && x->name[0] != '/');
        assert(x->offset <= b->len && x->len <= b->len - x->offset);
        assert(tar_find(&m, x->name) == x);
    }
    tar_members_release(&m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct blob *b = fuzz_blob(data, len);
    struct ovf_package *p = NULL;
    struct machine *m = NULL;
    struct err e = ERR_INIT;

    walk(b);
    if (ovf_package_from("fuzz.ova", b, FORMAT_TAR, NULL, &p, &e) < 0)
        assert(e.msg[0] && !p);
    else if (ovf_machine(p, NULL, IMAGE_NO_DISKS, &m, &e) < 0)
        assert(e.msg[0] && !m);
    machine_free(m);
    ovf_package_free(p);
    blob_free(b);
    return 0;
}
