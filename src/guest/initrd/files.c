/* The files a supplement will hold; see internal.h. */
#include "guest/initrd/internal.h"

#include "base/str.h"

#include <sys/stat.h>

int initrd_files_add(struct initrd_files *f, const struct initrd *im, const char *path,
                     uint32_t mode, struct buf *data, struct err *e)
{
    struct initrd_file file = {.mode = mode, .data = *data};
    struct initrd_stat st;

    if (initrd_canonical(im, path, &file.path, e) < 0)
        return -1;
    if (initrd_stat(im, file.path, INITRD_NOFOLLOW, &st) &&
        (st.mode & S_IFMT) != (mode & S_IFMT)) {
        err_set(e, ERR_UNSUPPORTED,
                "the initramfs has something at /%s that is no regular file", file.path);
        free(file.path);
        return -1;
    }
    vec_foreach (o, f)
        if (str_eq(o->path, file.path)) {
            buf_release(&o->data);
            free(o->path);
            *o = file;
            *data = (struct buf)BUF_INIT;
            return 0;
        }
    if (vec_push(f, file, e) < 0) {
        free(file.path);
        return -1;
    }
    *data = (struct buf)BUF_INIT;
    return 0;
}

void initrd_files_release(struct initrd_files *f)
{
    vec_foreach (file, f) {
        free(file->path);
        buf_release(&file->data);
    }
    vec_release(f);
}
