/* The first boot's operations on Windows. */
#ifndef HOTADD_FIRSTBOOT_WIN32_H
#define HOTADD_FIRSTBOOT_WIN32_H

#include "core.h"

#include <windows.h>

#define FB_SERVICE L"HotAddFirstBoot"
#define FB_PATH    1024 /* characters of a path */
#define FB_KEY     L"SYSTEM\\CurrentControlSet\\Services\\HotAddFirstBoot"
#define FB_PARAMS  FB_KEY L"\\Parameters"

struct win32 {
    wchar_t folder[FB_PATH];  /* where the program is, without a final backslash */
    wchar_t windows[FB_PATH]; /* the system root */
    int logon;                /* started by a logon and not as a service */
};

extern const struct fb_ops win32_ops; /* on a struct win32 */

/* Finds its folder by the running program. 0 or -1. */
int win32_init(struct win32 *w);

/* ---- parts ---- */

/* A staged file's whole path. */
int win32_path(const struct win32 *w, const char *path, wchar_t out[FB_PATH]);
int win32_wide(const char *s, wchar_t *out, int cap);
/* Formats; -1 when it does not fit. */
int win32_fmt(wchar_t *out, size_t cap, const wchar_t *fmt, ...);

/* win32_system.c */
int win32_run_tool(struct win32 *w, enum fb_tool tool, const char *path,
                   unsigned *exit_code);
int win32_run_line(const wchar_t *program, wchar_t *line, unsigned timeout_s,
                   unsigned *exit_code);
int win32_restart(struct win32 *w);
int win32_dhcp(struct win32 *w);
int win32_disks(void);
int win32_uninstall(struct win32 *w, int keep_files);
int win32_protect(struct win32 *w);

/* win32_logon.c */
int win32_conceal(void);
int win32_put_back(void);
/* The registration of a logon's way; 0 or -1. */
int win32_unregister_logon(void);
void win32_settle(void);

#endif
