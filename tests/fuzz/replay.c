/* Stands in for libFuzzer's main: runs the target once over each file named, or in each
 * folder named. TAP on standard output; a fault ends the process, as in the fuzzer. */
#include "base/io.h"

#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static unsigned n_done, n_bad;

static void replay_file(const char *path)
{
    auto_buf struct buf b = BUF_INIT;
    struct err e;

    if (io_read_file(path, 64 << 20, &b, &e) < 0) {
        printf("not ok %u - %s\n", ++n_done, e.msg);
        n_bad++;
        return;
    }
    fflush(stdout);
    /* A copy of exactly its length, so that reading beyond it is seen. */
    {
        auto_free uint8_t *exact = malloc(b.len ? b.len : 1);

        if (!exact)
            return;
        memcpy(exact, buf_str(&b), b.len);
        LLVMFuzzerTestOneInput(exact, b.len);
    }
    printf("ok %u - %s\n", ++n_done, strrchr(path, '/') ? strrchr(path, '/') + 1 : path);
}

static void replay_folder(const char *path)
{
    DIR *d = opendir(path);

    for (struct dirent *ent; d && (ent = readdir(d));) {
        char file[4096];

        if (ent->d_name[0] == '.')
            continue;
        snprintf(file, sizeof file, "%s/%s", path, ent->d_name);
        replay_file(file);
    }
    if (d)
        closedir(d);
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        struct stat st;

        if (stat(argv[i], &st) == 0 && S_ISDIR(st.st_mode))
            replay_folder(argv[i]);
        else
            replay_file(argv[i]);
    }
    printf("1..%u\n", n_done);
    return n_bad || n_done == 0;
}
