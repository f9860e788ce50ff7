/* Automatic logon: the password, and what was put aside for it; see win32.h.
 *
 * A conversion leaves the password as Winlogon's DefaultPassword, which every user of the
 * machine can read. Windows looks for it among the LSA's secrets, too, which only the
 * system can, so at the first logon it moves there, for the case of a restart. What was
 * put aside is in Saved\N below the parameters: Key, Name and, where there was a value,
 * Data (src/guest/windows/convert_logon.c).
 *
 * A power cut leaves the password in both places or in one of them, settings put back or
 * not yet; Saved goes last, so that the next start does it all again. */
#include "win32.h"

#include <ntsecapi.h>
#include <stdlib.h>
#include <string.h>

#define SOFTWARE L"SOFTWARE\\"
#define WINLOGON L"SOFTWARE\\Microsoft\\Windows NT\\CurrentVersion\\Winlogon"
#define RUN      L"SOFTWARE\\Microsoft\\Windows\\CurrentVersion\\Run"
#define SAVED    FB_PARAMS L"\\Saved"

#define SECRET   L"DefaultPassword"
#define PREVIOUS L"HotAddPreviousPassword"
#define MARK     L"Concealed" /* 1: the secret is ours; 2: and one was there before */

#define MAX_PASSWORD 512 /* characters */
#define MAX_DATA     (64 * 1024)

/* ---- secrets ---- */

static LSA_UNICODE_STRING text(const wchar_t *s)
{
    return (LSA_UNICODE_STRING){.Buffer = (wchar_t *)s,
                                .Length = (USHORT)(wcslen(s) * sizeof *s),
                                .MaximumLength = (USHORT)((wcslen(s) + 1) * sizeof *s)};
}

static LSA_HANDLE open_policy(void)
{
    LSA_OBJECT_ATTRIBUTES none = {.Length = sizeof none};
    LSA_HANDLE h;

    return LsaOpenPolicy(NULL, &none,
                         POLICY_GET_PRIVATE_INFORMATION | POLICY_CREATE_SECRET, &h) == 0
               ? h
               : NULL;
}

/* NULL value: the secret goes. */
static int store(LSA_HANDLE h, const wchar_t *name, const wchar_t *value)
{
    LSA_UNICODE_STRING n = text(name), v = text(value ? value : L"");

    return LsaStorePrivateData(h, &n, value ? &v : NULL) == 0 ? 0 : -1;
}

/* 1 copied, 0 there is none. */
static int copy_secret(LSA_HANDLE h, const wchar_t *from, const wchar_t *to, int *ret)
{
    LSA_UNICODE_STRING n = text(from), t = text(to), *value = NULL;

    *ret = 0;
    if (LsaRetrievePrivateData(h, &n, &value) != 0 || !value)
        return 0;
    *ret = 1;
    int r = LsaStorePrivateData(h, &t, value) == 0 ? 0 : -1;
    SecureZeroMemory(value->Buffer, value->Length);
    LsaFreeMemory(value);
    return r;
}

/* ---- registry ---- */

static DWORD mark(void)
{
    DWORD v = 0, len = sizeof v;

    if (RegGetValueW(HKEY_LOCAL_MACHINE, FB_PARAMS, MARK, RRF_RT_REG_DWORD, NULL, &v,
                     &len) != 0)
        return 0;
    return v;
}

static int set_mark(DWORD v)
{
    HKEY h;
    LONG r = RegOpenKeyExW(HKEY_LOCAL_MACHINE, FB_PARAMS, 0, KEY_SET_VALUE, &h);

    if (r != 0)
        return -1;
    r = RegSetValueExW(h, MARK, 0, REG_DWORD, (const BYTE *)&v, sizeof v);
    if (r == 0)
        r = RegFlushKey(h);
    RegCloseKey(h);
    return r == 0 ? 0 : -1;
}

/* Its place in the hive is written over before the value is deleted: what is deleted
 * keeps its bytes there. */
static int erase_password(void)
{
    static wchar_t blank[MAX_PASSWORD];
    DWORD len = sizeof blank;
    HKEY h;
    LONG r;

    if (RegOpenKeyExW(HKEY_LOCAL_MACHINE, WINLOGON, 0, KEY_QUERY_VALUE | KEY_SET_VALUE,
                      &h))
        return -1;
    r = RegQueryValueExW(h, SECRET, NULL, NULL, NULL, &len);
    if (r == 0 && len <= sizeof blank) {
        memset(blank, 0, sizeof blank);
        RegSetValueExW(h, SECRET, 0, REG_SZ, (const BYTE *)blank, len);
        RegFlushKey(h);
    }
    if (r == 0)
        r = RegDeleteValueW(h, SECRET);
    if (r == 0)
        r = RegFlushKey(h);
    RegCloseKey(h);
    return r == 0 || r == ERROR_FILE_NOT_FOUND ? 0 : -1;
}

/* The mark is written before the secret: a secret of ours that nobody knows of would stay
 * for ever. */
static int conceal(LSA_HANDLE h, const wchar_t *password)
{
    int had = 0;

    if (!mark() &&
        (copy_secret(h, SECRET, PREVIOUS, &had) < 0 || set_mark(had ? 2 : 1) < 0))
        return -1;
    if (store(h, SECRET, password) < 0) {
        /* Then there is none of ours. */
        if (set_mark(0) == 0)
            store(h, PREVIOUS, NULL);
        return -1;
    }
    return erase_password() < 0 ? -1 : 1;
}

static int has_key(const wchar_t *key)
{
    HKEY h;

    if (RegOpenKeyExW(HKEY_LOCAL_MACHINE, key, 0, KEY_READ, &h) != 0)
        return 0;
    RegCloseKey(h);
    return 1;
}

int win32_conceal(void)
{
    wchar_t password[MAX_PASSWORD] = L"";
    DWORD len = sizeof password;
    LSA_HANDLE h;
    int r = -1;

    /* Only what a conversion put there. */
    if (!has_key(SAVED) ||
        RegGetValueW(HKEY_LOCAL_MACHINE, WINLOGON, SECRET, RRF_RT_REG_SZ, NULL, password,
                     &len) == ERROR_FILE_NOT_FOUND)
        return 0;
    h = *password ? open_policy() : NULL;
    if (h) {
        r = conceal(h, password);
        LsaClose(h);
    }
    SecureZeroMemory(password, sizeof password);
    return r;
}

/* ---- putting back ---- */

static int forget_secret(void)
{
    DWORD m = mark();
    LSA_HANDLE h;
    int had, r;

    if (!m)
        return 0;
    h = open_policy();
    if (!h)
        return -1;
    r = m == 2 ? copy_secret(h, PREVIOUS, SECRET, &had) : store(h, SECRET, NULL);
    if (r == 0 && m == 2)
        r = store(h, PREVIOUS, NULL);
    LsaClose(h);
    return r < 0 ? -1 : set_mark(0);
}

static int set_or_delete(const wchar_t *key, const wchar_t *name, DWORD type, BYTE *data,
                         DWORD len)
{
    HKEY h;
    LONG r = RegOpenKeyExW(HKEY_LOCAL_MACHINE, key, 0, KEY_SET_VALUE, &h);

    if (r != 0)
        return -1;
    r = data ? RegSetValueExW(h, name, 0, type, data, len) : RegDeleteValueW(h, name);
    if (r == ERROR_FILE_NOT_FOUND && !data)
        r = 0;
    if (r == 0)
        r = RegFlushKey(h);
    RegCloseKey(h);
    return r == 0 ? 0 : -1;
}

static int put_back_one(HKEY saved, const wchar_t *slot)
{
    wchar_t key[512], name[256];
    DWORD key_len = sizeof key, name_len = sizeof name, type = 0, len = MAX_DATA;
    BYTE *data = malloc(MAX_DATA);
    LONG r;
    int done = -1;

    if (!data)
        return -1;
    r = RegGetValueW(saved, slot, L"Data", RRF_RT_ANY | RRF_NOEXPAND, &type, data, &len);
    if ((r == 0 || r == ERROR_FILE_NOT_FOUND) &&
        RegGetValueW(saved, slot, L"Key", RRF_RT_REG_SZ, NULL, key, &key_len) == 0 &&
        RegGetValueW(saved, slot, L"Name", RRF_RT_REG_SZ, NULL, name, &name_len) == 0 &&
        !_wcsnicmp(key, SOFTWARE, wcslen(SOFTWARE)))
        done = set_or_delete(key, name, type, r == 0 ? data : NULL, len);
    SecureZeroMemory(data, MAX_DATA);
    free(data);
    return done;
}

int win32_put_back(void)
{
    wchar_t slot[64];
    int done = 0, r = 0;
    HKEY h;
    LONG open = RegOpenKeyExW(HKEY_LOCAL_MACHINE, SAVED, 0, KEY_READ, &h);

    if (open != 0)
        return forget_secret() < 0 || open != ERROR_FILE_NOT_FOUND ? -1 : 0;
    /* Ours goes first and not by way of its being put back, which leaves its bytes. */
    if (erase_password() < 0)
        r = -1;
    for (DWORD i = 0, n = 64; RegEnumKeyExW(h, i, slot, &n, NULL, NULL, NULL, NULL) == 0;
         i++, n = 64) {
        if (put_back_one(h, slot) < 0)
            r = -1;
        else
            done++;
    }
    RegCloseKey(h);
    if (forget_secret() < 0)
        r = -1;
    if (r == 0 && RegDeleteTreeW(HKEY_LOCAL_MACHINE, SAVED) != 0)
        r = -1;
    return r < 0 ? -1 : done;
}

int win32_unregister_logon(void)
{
    int r = set_or_delete(RUN, FB_SERVICE, 0, NULL, 0);

    return RegDeleteTreeW(HKEY_LOCAL_MACHINE, FB_KEY) == 0 ? r : -1;
}
