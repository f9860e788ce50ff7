/* Descriptions of machines: Proxmox VE's configuration, or, when it begins with '{', our
 * own JSON (src/repo/pveconf.c, src/repo/machine.c). */
#include "repo/private.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    auto_described struct described d = {0};
    struct err e = ERR_INIT;
    char *text = NULL;
    int r;

    if (len && data[0] == '{')
        r = repo_machine_parse((const char *)data, len, &d, &e);
    else
        r = repo_pveconf_parse((const char *)data, len, "100", &d, &e);
    if (r < 0)
        return 0;
    assert(d.archives.n == d.machine->disks.n);
    vec_foreach (a, &d.archives)
        assert(repo_id_valid(*a));
    if (repo_machine_text(d.machine, &d.archives, &text, &e) == 0)
        free(text);
    return 0;
}
