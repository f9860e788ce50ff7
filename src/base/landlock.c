/* Landlock; see landlock.h. All rights that the kernel knows are handled, which forbids
 * what no rule allows. */
#include "base/landlock.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Newer than Debian 12's headers. */
#define RIGHT_REFER    (1ULL << 13) /* ABI 2 */
#define RIGHT_TRUNCATE (1ULL << 14) /* ABI 3 */

/* Those that make sense for a file that is no folder. */
#define FILE_RIGHTS                                                                      \
    (LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_READ_FILE |                         \
     LANDLOCK_ACCESS_FS_WRITE_FILE | RIGHT_TRUNCATE)

static uint64_t rights_known(long abi)
{
    uint64_t all = (LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1;

    return all | (abi >= 2 ? RIGHT_REFER : 0) | (abi >= 3 ? RIGHT_TRUNCATE : 0);
}

int landlock_begin(struct landlock *ret, struct err *e)
{
    long abi =
        syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    struct landlock_ruleset_attr attr = {.handled_access_fs = rights_known(abi)};

    *ret = (struct landlock)LANDLOCK_INIT;
    if (abi < 1)
        return 0;
    ret->known = attr.handled_access_fs;
    ret->rules = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof attr, 0);
    return ret->rules < 0 ? err_sys(e, "Landlock") : 0;
}

int landlock_allow_fd(const struct landlock *l, int fd, unsigned rights, struct err *e)
{
    struct landlock_path_beneath_attr rule = {.parent_fd = fd};
    struct stat st;

    if (l->rules < 0)
        return 0;
    if (rights & LANDLOCK_READ)
        rule.allowed_access |= LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR;
    if (rights & LANDLOCK_RUN)
        rule.allowed_access |= LANDLOCK_ACCESS_FS_EXECUTE;
    if (rights & LANDLOCK_WRITE)
        rule.allowed_access |= LANDLOCK_ACCESS_FS_WRITE_FILE | RIGHT_TRUNCATE;
    rule.allowed_access &= l->known;
    if (fstat(fd, &st) == 0 && !S_ISDIR(st.st_mode))
        rule.allowed_access &= FILE_RIGHTS;
    if (syscall(SYS_landlock_add_rule, l->rules, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) <
        0)
        return err_sys(e, "Landlock: rule");
    return 0;
}

int landlock_allow(const struct landlock *l, const char *path, unsigned rights,
                   struct err *e)
{
    auto_fd int fd = -1;

    if (l->rules < 0)
        return 0;
    fd = open(path, O_PATH | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT || errno == EACCES ? 0 : err_sys(e, "%s: open", path);
    return landlock_allow_fd(l, fd, rights, e) < 0 ? err_prefix(e, "%s", path) : 0;
}

int landlock_enter(const struct landlock *l, struct err *e)
{
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return err_sys(e, "no_new_privs");
    if (l->rules >= 0 && syscall(SYS_landlock_restrict_self, l->rules, 0) < 0)
        return err_sys(e, "Landlock");
    return 0;
}

void landlock_release(struct landlock *l)
{
    if (l->rules >= 0)
        close(l->rules);
    *l = (struct landlock)LANDLOCK_INIT;
}
