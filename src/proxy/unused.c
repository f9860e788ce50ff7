/* Is a disk used by this machine? See private.h. O_EXCL asks the kernel the same; this
 * names the user, and sees what O_EXCL does not (a partition's mount on some file
 * systems shows under an anonymous device number). */
#include "proxy/private.h"

#include "base/buf.h"
#include "base/io.h"
#include "base/str.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#define MAX_TABLE (4u << 20)

static int refuse(const char *path, const char *name, const char *why, const char *who,
                  struct err *e)
{
    return err_set(e, ERR_REQUIREMENT, "%s: %s is %s%s%s: it is not ours to write to",
                   path, name, why, *who ? " " : "", who);
}

/* The source of a mount or a line of /proc/swaps: does it name this device? */
static bool names_device(const char *source, dev_t rdev)
{
    struct stat st;

    return source[0] == '/' && stat(source, &st) == 0 && S_ISBLK(st.st_mode) &&
           st.st_rdev == rdev;
}

/* proc(5), /proc/PID/mountinfo: "ID PARENT MAJOR:MINOR ROOT MOUNTPOINT … - TYPE SOURCE
 * …". Spaces in names are escaped there, so words can be told apart. */
static bool mount_line_is(char *line, dev_t rdev, const char **ret_where)
{
    char *words[5] = {0}, *rest = line, *dash, *source;
    unsigned maj, min;

    for (int i = 0; i < 5; i++)
        if (!(words[i] = strsep(&rest, " ")))
            return false;
    *ret_where = words[4];
    if (sscanf(words[2], "%u:%u", &maj, &min) == 2 && makedev(maj, min) == rdev)
        return true;
    dash = rest ? strstr(rest, " - ") : NULL;
    if (!dash)
        return false;
    dash += 3;
    strsep(&dash, " ");
    source = dash ? strsep(&dash, " ") : NULL;
    return source && names_device(source, rdev);
}

static int check_mounts(const struct proxy_paths *paths, const char *path,
                        const char *name, dev_t rdev, struct err *e)
{
    auto_buf struct buf b = BUF_INIT;
    char file[PROXY_LONG_PATH], *rest, *line;

    snprintf(file, sizeof file, "%s/self/mountinfo", paths_proc(paths));
    if (io_read_file(file, MAX_TABLE, &b, e) < 0)
        return -1;
    for (rest = b.data; rest && (line = strsep(&rest, "\n")) && *line;) {
        const char *where = "";

        if (mount_line_is(line, rdev, &where))
            return refuse(path, name, "mounted on", where, e);
    }
    return 0;
}

static int check_swap(const struct proxy_paths *paths, const char *path, const char *name,
                      dev_t rdev, struct err *e)
{
    auto_buf struct buf b = BUF_INIT;
    char file[PROXY_LONG_PATH], *rest, *line;
    struct err missing;

    snprintf(file, sizeof file, "%s/swaps", paths_proc(paths));
    /* A kernel without swap has no such file. */
    if (io_read_file(file, MAX_TABLE, &b, &missing) < 0)
        return 0;
    for (rest = b.data; rest && (line = strsep(&rest, "\n")) && *line;) {
        line[strcspn(line, " \t")] = 0;
        if (names_device(line, rdev))
            return refuse(path, name, "swap space", "", e);
    }
    return 0;
}

/* SYS/…/holders lists the device-mapper and MD devices on top. */
static int check_holders(const char *sys_dir, const char *path, const char *name,
                         struct err *e)
{
    char dir[PROXY_LONG_PATH * 2];
    struct dirent *de;
    int r = 0;
    DIR *d;

    snprintf(dir, sizeof dir, "%s/holders", sys_dir);
    d = opendir(dir);
    if (!d)
        return 0;
    while (r == 0 && (de = readdir(d)))
        if (de->d_name[0] != '.')
            r = refuse(path, name, "held by", de->d_name, e);
    closedir(d);
    return r;
}

static int check_one(const struct proxy_paths *paths, const char *path, const char *name,
                     const char *sys_dir, dev_t rdev, struct err *e)
{
    if (check_holders(sys_dir, path, name, e) < 0 ||
        check_mounts(paths, path, name, rdev, e) < 0 ||
        check_swap(paths, path, name, rdev, e) < 0)
        return -1;
    return 0;
}

static int check_partition(const struct proxy_paths *paths, const char *path,
                           const char *sys_dir, const char *name, struct err *e)
{
    char dir[PROXY_LONG_PATH], file[PROXY_LONG_PATH * 2], line[32];
    unsigned maj, min;

    if (strlen(sys_dir) + strlen(name) + 2 > sizeof dir)
        return 0;
    snprintf(dir, sizeof dir, "%s/%s", sys_dir, name);
    snprintf(file, sizeof file, "%s/partition", dir);
    if (access(file, F_OK) < 0)
        return 0;
    snprintf(file, sizeof file, "%s/dev", dir);
    if (read_line(file, line, sizeof line) < 0 || sscanf(line, "%u:%u", &maj, &min) != 2)
        return 0;
    return check_one(paths, path, name, dir, makedev(maj, min), e);
}

int device_check_unused(const struct proxy_paths *paths, const char *path, dev_t rdev,
                        struct err *e)
{
    char dir[PROXY_LONG_PATH], file[PROXY_LONG_PATH + 16];
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    struct dirent *de;
    int r;
    DIR *d;

    snprintf(dir, sizeof dir, "%s/dev/block/%u:%u", paths_sys(paths), major(rdev),
             minor(rdev));
    snprintf(file, sizeof file, "%s/partition", dir);
    if (access(file, F_OK) == 0)
        return err_set(e, ERR_REQUIREMENT, "%s is a partition, not a whole disk", path);
    r = check_one(paths, path, name, dir, rdev, e);
    d = r == 0 ? opendir(dir) : NULL;
    if (!d)
        return r;
    while (r == 0 && (de = readdir(d)))
        if (de->d_name[0] != '.')
            r = check_partition(paths, path, dir, de->d_name, e);
    closedir(d);
    return r;
}
