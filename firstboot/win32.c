/* Files, digests, registry and messages; see win32.h. */
#include "win32.h"

#include <bcrypt.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define PNP L"SOFTWARE\\Microsoft\\Windows\\CurrentVersion"

int win32_wide(const char *s, wchar_t *out, int cap)
{
    return MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, s, -1, out, cap) > 0 ? 0
                                                                                   : -1;
}

int win32_fmt(wchar_t *out, size_t cap, const wchar_t *fmt, ...)
{
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = _vsnwprintf(out, cap, fmt, ap);
    va_end(ap);
    /* Microsoft's function leaves what is too long without an end. */
    if (n >= 0 && (size_t)n < cap)
        return 0;
    out[0] = 0;
    return -1;
}

int win32_path(const struct win32 *w, const char *path, wchar_t out[FB_PATH])
{
    wchar_t name[FB_PATH];

    if (win32_wide(path, name, FB_PATH) < 0)
        return -1;
    for (wchar_t *p = name; *p; p++)
        if (*p == L'/')
            *p = L'\\';
    return win32_fmt(out, FB_PATH, L"%ls\\%ls", w->folder, name);
}

int win32_init(struct win32 *w)
{
    DWORD n = GetModuleFileNameW(NULL, w->folder, FB_PATH);
    wchar_t *slash = n && n < FB_PATH ? wcsrchr(w->folder, L'\\') : NULL;

    if (!slash || !GetWindowsDirectoryW(w->windows, FB_PATH))
        return -1;
    *slash = 0;
    return 0;
}

/* ---- files ---- */

static HANDLE open_read(const wchar_t *path)
{
    return CreateFileW(path, GENERIC_READ, FILE_SHARE_READ, NULL, OPEN_EXISTING, 0, NULL);
}

static long op_load_plan(void *ctx, char *text, size_t cap)
{
    wchar_t path[FB_PATH];
    HANDLE h;
    DWORD n = 0, more = 0;
    char extra;
    BOOL ok;

    if (win32_path(ctx, "plan.txt", path) < 0)
        return -1;
    h = open_read(path);
    if (h == INVALID_HANDLE_VALUE)
        return -1;
    ok = ReadFile(h, text, (DWORD)cap, &n, NULL) && ReadFile(h, &extra, 1, &more, NULL);
    CloseHandle(h);
    return ok && !more ? (long)n : -1;
}

struct sha {
    BCRYPT_ALG_HANDLE alg;
    BCRYPT_HASH_HANDLE hash;
};

static int sha_start(struct sha *s)
{
    if (BCryptOpenAlgorithmProvider(&s->alg, BCRYPT_SHA256_ALGORITHM, NULL, 0) != 0)
        return -1;
    if (BCryptCreateHash(s->alg, &s->hash, NULL, 0, NULL, 0, 0) == 0)
        return 0;
    BCryptCloseAlgorithmProvider(s->alg, 0);
    return -1;
}

static int sha_end(struct sha *s, int r, char hex[FB_DIGEST_LEN])
{
    unsigned char d[32];

    if (r == 0 && BCryptFinishHash(s->hash, d, sizeof d, 0) != 0)
        r = -1;
    for (int i = 0; r == 0 && i < 32; i++)
        snprintf(hex + 2 * i, 3, "%02x", d[i]);
    BCryptDestroyHash(s->hash);
    BCryptCloseAlgorithmProvider(s->alg, 0);
    return r;
}

static int op_hash(void *ctx, const void *data, size_t len, char hex[FB_DIGEST_LEN])
{
    struct sha s;

    if (sha_start(&s) < 0)
        return -1;
    return sha_end(&s, BCryptHashData(s.hash, (PUCHAR)data, (ULONG)len, 0) ? -1 : 0, hex);
}

static int op_hash_file(void *ctx, const char *path, char hex[FB_DIGEST_LEN])
{
    static unsigned char chunk[1 << 16];
    wchar_t wide[FB_PATH];
    struct sha s;
    HANDLE h;
    DWORD n;
    int r;

    if (win32_path(ctx, path, wide) < 0)
        return -1;
    h = open_read(wide);
    if (h == INVALID_HANDLE_VALUE)
        return -1;
    r = sha_start(&s);
    if (r == 0) {
        for (;;) {
            if (!ReadFile(h, chunk, sizeof chunk, &n, NULL))
                r = -1;
            if (r < 0 || !n)
                break;
            if (BCryptHashData(s.hash, chunk, n, 0) != 0)
                r = -1;
        }
        r = sha_end(&s, r, hex);
    }
    CloseHandle(h);
    return r;
}

/* Folders on the way to a file, one by one. */
static void make_folders(wchar_t *path)
{
    for (wchar_t *p = wcschr(path, L'\\'); p && (p = wcschr(p + 1, L'\\'));) {
        *p = 0;
        CreateDirectoryW(path, NULL);
        *p = L'\\';
    }
}

static int op_copy(void *ctx, const char *path, const char *to)
{
    wchar_t from[FB_PATH], place[FB_PATH], whole[FB_PATH];
    DWORD n;

    if (win32_path(ctx, path, from) < 0 || win32_wide(to, place, FB_PATH) < 0)
        return -1;
    n = ExpandEnvironmentStringsW(place, whole, FB_PATH);
    if (!n || n > FB_PATH)
        return -1;
    make_folders(whole);
    return CopyFileW(from, whole, FALSE) ? 0 : -1;
}

/* ---- registry ---- */

static unsigned op_get(void *ctx, const char *name)
{
    wchar_t wide[64];
    DWORD v = 0, len = sizeof v;

    if (win32_wide(name, wide, 64) < 0 ||
        RegGetValueW(HKEY_LOCAL_MACHINE, FB_PARAMS, wide, RRF_RT_REG_DWORD, NULL, &v,
                     &len) != 0)
        return 0;
    return v;
}

static int set_dword(const wchar_t *key, const wchar_t *name, DWORD value)
{
    HKEY h;
    LONG r = RegCreateKeyExW(HKEY_LOCAL_MACHINE, key, 0, NULL, 0, KEY_SET_VALUE, NULL, &h,
                             NULL);

    if (r != 0)
        return -1;
    r = RegSetValueExW(h, name, 0, REG_DWORD, (const BYTE *)&value, sizeof value);
    /* State must outlive a power cut. */
    if (r == 0)
        r = RegFlushKey(h);
    RegCloseKey(h);
    return r == 0 ? 0 : -1;
}

static int op_set(void *ctx, const char *name, unsigned value)
{
    wchar_t wide[64];

    return win32_wide(name, wide, 64) < 0 ? -1 : set_dword(FB_PARAMS, wide, value);
}

static int op_get_text(void *ctx, const char *name, char *text, size_t cap)
{
    wchar_t wide[64], value[128];
    DWORD len = sizeof value;

    if (win32_wide(name, wide, 64) < 0 ||
        RegGetValueW(HKEY_LOCAL_MACHINE, FB_PARAMS, wide, RRF_RT_REG_SZ, NULL, value,
                     &len) != 0)
        return -1;
    return WideCharToMultiByte(CP_UTF8, 0, value, -1, text, (int)cap, NULL, NULL) > 0
               ? 0
               : -1;
}

static int op_dword(void *ctx, const char *key, const char *name, unsigned value)
{
    wchar_t k[512], n[256];

    if (win32_wide(key, k, 512) < 0 || win32_wide(name, n, 256) < 0)
        return -1;
    return set_dword(k, n, value);
}

/* The list without one entry; its type, which is EXPAND_SZ, stays. */
static int op_device_path(void *ctx, const char *entry)
{
    static wchar_t list[16384], out[16384];
    wchar_t wide[512], *at = list;
    DWORD len = sizeof list;
    HKEY h;
    LONG r;

    if (win32_wide(entry, wide, 512) < 0 ||
        RegGetValueW(HKEY_LOCAL_MACHINE, PNP, L"DevicePath",
                     RRF_RT_REG_SZ | RRF_RT_REG_EXPAND_SZ | RRF_NOEXPAND, NULL, list,
                     &len) != 0)
        return -1;
    out[0] = 0;
    while (at) {
        wchar_t *next = wcschr(at, L';');

        if (next)
            *next++ = 0;
        if (*at && _wcsicmp(at, wide) != 0) {
            if (out[0])
                wcscat(out, L";");
            wcscat(out, at);
        }
        at = next;
    }
    if (RegOpenKeyExW(HKEY_LOCAL_MACHINE, PNP, 0, KEY_SET_VALUE, &h) != 0)
        return -1;
    r = RegSetValueExW(h, L"DevicePath", 0, REG_EXPAND_SZ, (const BYTE *)out,
                       (DWORD)((wcslen(out) + 1) * sizeof *out));
    RegCloseKey(h);
    return r == 0 ? 0 : -1;
}

/* ---- messages ---- */

/* EC2's console output is what is written to the first serial port. */
static HANDLE open_console(void)
{
    HANDLE h =
        CreateFileW(L"\\\\.\\COM1", GENERIC_WRITE, 0, NULL, OPEN_EXISTING, 0, NULL);
    DCB d = {.DCBlength = sizeof d};

    if (h != INVALID_HANDLE_VALUE && GetCommState(h, &d)) {
        d.BaudRate = CBR_115200;
        d.ByteSize = 8;
        d.Parity = NOPARITY;
        d.StopBits = ONESTOPBIT;
        d.fOutxCtsFlow = d.fOutxDsrFlow = FALSE;
        SetCommState(h, &d);
    }
    return h;
}

static void write_line(HANDLE h, const char *line)
{
    DWORD n;

    if (h == INVALID_HANDLE_VALUE)
        return;
    WriteFile(h, line, (DWORD)strlen(line), &n, NULL);
    WriteFile(h, "\r\n", 2, &n, NULL);
    FlushFileBuffers(h);
    CloseHandle(h);
}

static void op_say(void *ctx, const char *line)
{
    const struct win32 *w = ctx;
    wchar_t path[FB_PATH];
    SYSTEMTIME t;
    char stamped[600];

    GetSystemTime(&t);
    snprintf(stamped, sizeof stamped, "%04u-%02u-%02uT%02u:%02u:%02uZ %s", t.wYear,
             t.wMonth, t.wDay, t.wHour, t.wMinute, t.wSecond, line);
    if (win32_fmt(path, FB_PATH, L"%ls\\firstboot.log", w->folder) == 0)
        write_line(CreateFileW(path, FILE_APPEND_DATA, FILE_SHARE_READ, NULL, OPEN_ALWAYS,
                               0, NULL),
                   stamped);
    write_line(open_console(), line);
}

/* ---- the table ---- */

static int op_run(void *ctx, enum fb_tool tool, const char *path, unsigned *exit_code)
{
    return win32_run_tool(ctx, tool, path, exit_code);
}

static int op_protect(void *ctx)
{
    return win32_protect(ctx);
}

static void op_settle(void *ctx)
{
    win32_settle();
}

static int op_dhcp(void *ctx)
{
    return win32_dhcp(ctx);
}

static int op_disks(void *ctx)
{
    return win32_disks();
}

static int op_conceal(void *ctx)
{
    return win32_conceal();
}

static int op_put_back(void *ctx)
{
    return win32_put_back();
}

static int op_restart(void *ctx)
{
    return win32_restart(ctx);
}

static int op_uninstall(void *ctx, int keep_files)
{
    return win32_uninstall(ctx, keep_files);
}

const struct fb_ops win32_ops = {
    .load_plan = op_load_plan,
    .hash = op_hash,
    .hash_file = op_hash_file,
    .get = op_get,
    .set = op_set,
    .get_text = op_get_text,
    .protect = op_protect,
    .settle = op_settle,
    .run = op_run,
    .copy = op_copy,
    .dhcp = op_dhcp,
    .disks = op_disks,
    .dword = op_dword,
    .device_path = op_device_path,
    .conceal = op_conceal,
    .put_back = op_put_back,
    .say = op_say,
    .restart = op_restart,
    .uninstall = op_uninstall,
};
