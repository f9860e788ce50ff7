/* Partition tables of disks that are imported into the lab. */
#include "lab/import_disk.h"

#include "base/auto.h"
#include "base/io.h"

#include <sys/mman.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    auto_fd int fd = memfd_create("disk", MFD_CLOEXEC);
    struct import_traits t;
    struct err e = ERR_INIT;
    char path[40];

    if (fd < 0 || io_pwrite_full(fd, data, len, 0, "disk", &e) < 0)
        return 0;
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    return import_disk_traits(path, &t, &e) < 0 ? -1 : 0;
}
