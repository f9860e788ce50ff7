/* The first boot as a state machine, over a table of what the system does. Portable C:
 * Windows is behind the table in win32.c, a recording stand-in in the unit test.
 *
 * State is in the service's registry key, so that it survives restarts and power cuts:
 *
 *   Boots     starts so far
 *   Next      how many steps are behind us
 *   Running   the number of the step under way, from 1; 0: none
 *   Failed    how many steps failed
 *   Restart   1: a step asked for a restart; 2: it was made
 *
 * A step is entered again if the machine went down in it, except an installer: the one
 * of the PV drivers restarts the machine by itself, and is done then. */
#ifndef HOTADD_FIRSTBOOT_CORE_H
#define HOTADD_FIRSTBOOT_CORE_H

#include "plan.h"

enum fb_tool { FB_PNPUTIL, FB_MSIEXEC, FB_INSTALLER, FB_POWERSHELL };

#define FB_DIGEST_LEN 65 /* hex and NUL */

/* Functions return 0, or -1 when it did not work. ctx is the caller's. */
struct fb_ops {
    /* Reads the plan's file: its length, or -1. */
    long (*load_plan)(void *ctx, char *text, size_t cap);
    /* Lower-case hex of SHA-256. */
    int (*hash)(void *ctx, const void *data, size_t len, char hex[FB_DIGEST_LEN]);
    int (*hash_file)(void *ctx, const char *path, char hex[FB_DIGEST_LEN]);

    /* The service's parameters. get: 0 for one that is absent. */
    unsigned (*get)(void *ctx, const char *name);
    int (*set)(void *ctx, const char *name, unsigned value);
    int (*get_text)(void *ctx, const char *name, char *text, size_t cap);

    /* Keeps others than administrators out of the folder. */
    int (*protect)(void *ctx);
    /* Waits until Windows has looked at its new devices. */
    void (*settle)(void *ctx);
    /* Runs a tool on a staged file to its end. */
    int (*run)(void *ctx, enum fb_tool tool, const char *path, unsigned *exit_code);
    int (*copy)(void *ctx, const char *path, const char *to);
    int (*dhcp)(void *ctx);
    int (*disks)(void *ctx);
    int (*dword)(void *ctx, const char *key, const char *name, unsigned value);
    int (*device_path)(void *ctx, const char *entry);

    /* With automatic logon: takes the password out of where anyone can read it, to where
     * Windows alone does. 1 done, 0 there was none, -1 it had to stay. */
    int (*conceal)(void *ctx);
    /* Puts back what the conversion and conceal() put aside: how many settings, or -1. */
    int (*put_back)(void *ctx);

    /* One line for the log and the serial console. */
    void (*say)(void *ctx, const char *line);
    int (*restart)(void *ctx);
    /* The registration and, unless keep_files, what was staged. */
    int (*uninstall)(void *ctx, int keep_files);
};

enum fb_result {
    FB_FINISHED, /* all is done, the service is gone */
    FB_RESTART,  /* the machine restarts and the service goes on */
    FB_REFUSED,  /* payload or plan are not what was staged; nothing was run */
    FB_GAVE_UP,  /* too many starts */
};

/* However it ends, but for a restart, settings are put back and nothing starts it again.
 * `plan` is memory for the plan. */
enum fb_result fb_run(const struct fb_ops *ops, void *ctx, struct fb_plan *plan);

#endif
