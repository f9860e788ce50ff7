/* A VMX description's text, and the machine that it describes; its one disk file is the
 * text itself and is not opened. */
#include "image_fuzz.h"

#include "image/tar.h"
#include "image/vmx.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void parse(const uint8_t *data, size_t len)
{
    char *text = malloc(len + 1);
    struct vmx v = {0};
    struct err e = ERR_INIT;

    assert(text);
    memcpy(text, data, len);
    text[len] = 0;
    if (vmx_parse(text, "fuzz", &v, &e) < 0)
        assert(e.msg[0] && v.entries.n == 0);
    /* No key that is asked for is as long as that. */
    vec_foreach (x, &v.entries)
        assert(x->key && x->value && (strlen(x->key) > 100 || vmx_get(&v, "%s", x->key)));
    vmx_release(&v);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    char name[] = "disk.vmdk";
    struct tar_member member = {.name = name, .len = len};
    struct tar_members members = {.all = {.v = &member, .n = 1}};
    struct blob *b = fuzz_blob(data, len);
    struct image_dir *dir = NULL;
    struct machine *m = NULL;
    struct err e = ERR_INIT;

    parse(data, len);
    assert(image_dir_of_tar(b, &members, "vm.vmx", &dir, &e) == 0);
    if (vmx_machine(b, dir, NULL, IMAGE_NO_DISKS, &m, &e) < 0)
        assert(e.msg[0] && !m);
    machine_free(m);
    image_dir_free(dir);
    blob_free(b);
    return 0;
}
