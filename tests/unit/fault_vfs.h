/* An SQLite VFS over the default one that counts changes to files (write, sync,
 * truncate, delete) and does something at the nth: the process dies in the middle of the
 * write, or the disk is full from then on. Registered as the default VFS by the test, so
 * that the code under test knows nothing of it. */
#ifndef HOTADD_TESTS_UNIT_FAULT_VFS_H
#define HOTADD_TESTS_UNIT_FAULT_VFS_H

#include <signal.h>
#include <sqlite3.h>
#include <string.h>
#include <unistd.h>

enum fault_action { FAULT_NONE, FAULT_KILL, FAULT_FULL };

static struct {
    enum fault_action action;
    unsigned long at; /* number of the change, from 1 */
    unsigned long changes, syncs;
} fault;

struct fault_file {
    sqlite3_file base;
    sqlite3_file *real; /* right behind this struct */
};

static sqlite3_file *fault_real(sqlite3_file *f)
{
    return ((struct fault_file *)f)->real;
}

/* True when this change must fail for want of space. */
static int fault_change(void)
{
    fault.changes++;
    if (fault.action == FAULT_KILL && fault.changes == fault.at) {
        kill(getpid(), SIGKILL);
        for (;;)
            pause();
    }
    return fault.action == FAULT_FULL && fault.changes >= fault.at;
}

static int fault_close(sqlite3_file *f)
{
    return fault_real(f)->pMethods->xClose(fault_real(f));
}

static int fault_read(sqlite3_file *f, void *data, int n, sqlite3_int64 offset)
{
    return fault_real(f)->pMethods->xRead(fault_real(f), data, n, offset);
}

static int fault_write(sqlite3_file *f, const void *data, int n, sqlite3_int64 offset)
{
    sqlite3_file *r = fault_real(f);

    /* The last thing a killed process does is half a write. */
    if (fault.action == FAULT_KILL && fault.changes + 1 == fault.at)
        r->pMethods->xWrite(r, data, n / 2, offset);
    if (fault_change())
        return SQLITE_FULL;
    return r->pMethods->xWrite(r, data, n, offset);
}

static int fault_truncate(sqlite3_file *f, sqlite3_int64 size)
{
    if (fault_change())
        return SQLITE_FULL;
    return fault_real(f)->pMethods->xTruncate(fault_real(f), size);
}

static int fault_sync(sqlite3_file *f, int flags)
{
    fault.syncs++;
    if (fault_change())
        return SQLITE_FULL;
    return fault_real(f)->pMethods->xSync(fault_real(f), flags);
}

static int fault_size(sqlite3_file *f, sqlite3_int64 *ret)
{
    return fault_real(f)->pMethods->xFileSize(fault_real(f), ret);
}

static int fault_lock(sqlite3_file *f, int level)
{
    return fault_real(f)->pMethods->xLock(fault_real(f), level);
}

static int fault_unlock(sqlite3_file *f, int level)
{
    return fault_real(f)->pMethods->xUnlock(fault_real(f), level);
}

static int fault_check_lock(sqlite3_file *f, int *ret)
{
    return fault_real(f)->pMethods->xCheckReservedLock(fault_real(f), ret);
}

static int fault_control(sqlite3_file *f, int op, void *arg)
{
    return fault_real(f)->pMethods->xFileControl(fault_real(f), op, arg);
}

static int fault_sector(sqlite3_file *f)
{
    return fault_real(f)->pMethods->xSectorSize(fault_real(f));
}

static int fault_traits(sqlite3_file *f)
{
    return fault_real(f)->pMethods->xDeviceCharacteristics(fault_real(f));
}

static int fault_shm_map(sqlite3_file *f, int page, int size, int extend,
                         void volatile **ret)
{
    return fault_real(f)->pMethods->xShmMap(fault_real(f), page, size, extend, ret);
}

static int fault_shm_lock(sqlite3_file *f, int offset, int n, int flags)
{
    return fault_real(f)->pMethods->xShmLock(fault_real(f), offset, n, flags);
}

static void fault_shm_barrier(sqlite3_file *f)
{
    fault_real(f)->pMethods->xShmBarrier(fault_real(f));
}

static int fault_shm_unmap(sqlite3_file *f, int delete)
{
    return fault_real(f)->pMethods->xShmUnmap(fault_real(f), delete);
}

static const sqlite3_io_methods fault_methods = {
    .iVersion = 2,
    .xClose = fault_close,
    .xRead = fault_read,
    .xWrite = fault_write,
    .xTruncate = fault_truncate,
    .xSync = fault_sync,
    .xFileSize = fault_size,
    .xLock = fault_lock,
    .xUnlock = fault_unlock,
    .xCheckReservedLock = fault_check_lock,
    .xFileControl = fault_control,
    .xSectorSize = fault_sector,
    .xDeviceCharacteristics = fault_traits,
    .xShmMap = fault_shm_map,
    .xShmLock = fault_shm_lock,
    .xShmBarrier = fault_shm_barrier,
    .xShmUnmap = fault_shm_unmap,
};

static int fault_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *f, int flags,
                      int *ret_flags)
{
    struct fault_file *ff = (struct fault_file *)f;
    sqlite3_vfs *real = vfs->pAppData;
    int rc;

    ff->real = (sqlite3_file *)(ff + 1);
    rc = real->xOpen(real, name, ff->real, flags, ret_flags);
    f->pMethods = ff->real->pMethods ? &fault_methods : NULL;
    return rc;
}

static int fault_delete(sqlite3_vfs *vfs, const char *name, int sync_dir)
{
    sqlite3_vfs *real = vfs->pAppData;

    if (fault_change())
        return SQLITE_FULL;
    return real->xDelete(real, name, sync_dir);
}

/* Everything else goes straight to the default VFS, whose other functions look at
 * nothing in the struct that differs here. */
static void fault_vfs_register(void)
{
    static sqlite3_vfs shim;
    sqlite3_vfs *real = sqlite3_vfs_find(NULL);

    shim = *real;
    shim.zName = "fault";
    shim.szOsFile = (int)sizeof(struct fault_file) + real->szOsFile;
    shim.pNext = NULL;
    shim.pAppData = real;
    shim.xOpen = fault_open;
    shim.xDelete = fault_delete;
    sqlite3_vfs_register(&shim, 1);
}

#endif
