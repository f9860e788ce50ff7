/* Programs, network, disks and the service's own removal; see win32.h. */
#include "win32.h"

#include <aclapi.h>
#include <sddl.h>
#include <stdio.h>
#include <winioctl.h>

#define TCPIP L"SYSTEM\\CurrentControlSet\\Services\\Tcpip\\Parameters\\Interfaces"

#define DRIVER_S    600
#define INSTALLER_S 1800
#define SETTLE_MS   180000

/* ---- programs ---- */

int win32_run_line(const wchar_t *program, wchar_t *line, unsigned timeout_s,
                   unsigned *exit_code)
{
    STARTUPINFOW si = {.cb = sizeof si};
    PROCESS_INFORMATION pi;
    DWORD code = 0;
    int r = -1;

    if (!CreateProcessW(program, line, NULL, NULL, FALSE, CREATE_NO_WINDOW, NULL, NULL,
                        &si, &pi))
        return -1;
    if (WaitForSingleObject(pi.hProcess, timeout_s * 1000) == WAIT_OBJECT_0 &&
        GetExitCodeProcess(pi.hProcess, &code)) {
        *exit_code = code;
        r = 0;
    } else {
        TerminateProcess(pi.hProcess, 1);
    }
    CloseHandle(pi.hThread);
    CloseHandle(pi.hProcess);
    return r;
}

int win32_run_tool(struct win32 *w, enum fb_tool tool, const char *path,
                   unsigned *exit_code)
{
    static const struct {
        const wchar_t *program, *before, *after;
        unsigned timeout_s;
    } tools[] = {
        [FB_PNPUTIL] = {L"System32\\pnputil.exe", L"-i -a", L"", DRIVER_S},
        [FB_MSIEXEC] = {L"System32\\msiexec.exe", L"/i", L"/quiet /norestart",
                        INSTALLER_S},
        [FB_INSTALLER] = {NULL, L"", L"/quiet /norestart", INSTALLER_S},
        [FB_POWERSHELL] = {L"System32\\WindowsPowerShell\\v1.0\\powershell.exe",
                           L"-NoProfile -NonInteractive -ExecutionPolicy Bypass -File",
                           L"", INSTALLER_S},
    };
    wchar_t file[FB_PATH], program[FB_PATH], line[4 * FB_PATH];

    if (win32_path(w, path, file) < 0)
        return -1;
    if (tool == FB_INSTALLER) {
        return win32_fmt(line, 4 * FB_PATH, L"\"%ls\" %ls", file, tools[tool].after) < 0
                   ? -1
                   : win32_run_line(file, line, tools[tool].timeout_s, exit_code);
    }
    if (win32_fmt(program, FB_PATH, L"%ls\\%ls", w->windows, tools[tool].program) < 0 ||
        win32_fmt(line, 4 * FB_PATH, L"\"%ls\" %ls \"%ls\" %ls", program,
                  tools[tool].before, file, tools[tool].after) < 0)
        return -1;
    return win32_run_line(program, line, tools[tool].timeout_s, exit_code);
}

int win32_restart(struct win32 *w)
{
    wchar_t program[FB_PATH], line[2 * FB_PATH];
    unsigned code = 1;

    if (win32_fmt(program, FB_PATH, L"%ls\\System32\\shutdown.exe", w->windows) < 0 ||
        win32_fmt(line, 2 * FB_PATH, L"\"%ls\" /r /t 5 /f /d p:4:1", program) < 0)
        return -1;
    return win32_run_line(program, line, 60, &code) < 0 || code ? -1 : 0;
}

/* ---- devices ---- */

/* Not in every header and library, but in every Windows since 2000. */
void win32_settle(void)
{
    typedef DWORD(WINAPI * wait_fn)(DWORD);
    HMODULE m = LoadLibraryExW(L"setupapi.dll", NULL, LOAD_LIBRARY_SEARCH_SYSTEM32);
    wait_fn wait =
        m ? (wait_fn)(void *)GetProcAddress(m, "CMP_WaitNoPendingInstallEvents") : NULL;

    if (wait)
        wait(SETTLE_MS);
}

/* What winioctl.h of mingw-w64 lacks (Windows SDK, ntdddisk.h). */
#define GET_ATTRIBUTES CTL_CODE(IOCTL_DISK_BASE, 0x3c, METHOD_BUFFERED, FILE_ANY_ACCESS)
#define SET_ATTRIBUTES                                                                   \
    CTL_CODE(IOCTL_DISK_BASE, 0x3d, METHOD_BUFFERED, FILE_READ_ACCESS | FILE_WRITE_ACCESS)
#define OFFLINE_OR_READ_ONLY 3ull

struct get_attributes {
    DWORD version, reserved;
    DWORDLONG attributes;
};

struct set_attributes {
    DWORD version;
    BOOLEAN persist;
    BYTE reserved1[3];
    DWORDLONG attributes, mask;
    DWORD reserved2[4];
};

static int bring_online(HANDLE h)
{
    struct get_attributes now = {0};
    struct set_attributes want = {
        .version = sizeof want, .persist = TRUE, .mask = OFFLINE_OR_READ_ONLY};
    DWORD n;

    if (!DeviceIoControl(h, GET_ATTRIBUTES, NULL, 0, &now, sizeof now, &n, NULL) ||
        !(now.attributes & OFFLINE_OR_READ_ONLY))
        return 0;
    if (!DeviceIoControl(h, SET_ATTRIBUTES, &want, sizeof want, NULL, 0, &n, NULL))
        return -1;
    DeviceIoControl(h, IOCTL_DISK_UPDATE_PROPERTIES, NULL, 0, NULL, 0, &n, NULL);
    return 0;
}

int win32_disks(void)
{
    int r = 0;

    for (int i = 0; i < 64; i++) {
        wchar_t name[64];
        HANDLE h;

        win32_fmt(name, 64, L"\\\\.\\PhysicalDrive%d", i);
        h = CreateFileW(name, GENERIC_READ | GENERIC_WRITE,
                        FILE_SHARE_READ | FILE_SHARE_WRITE, NULL, OPEN_EXISTING, 0, NULL);
        if (h == INVALID_HANDLE_VALUE)
            continue;
        if (bring_online(h) < 0)
            r = -1;
        CloseHandle(h);
    }
    return r;
}

/* ---- network ---- */

static void interface_by_dhcp(HKEY interfaces, const wchar_t *guid)
{
    static const wchar_t *const values[] = {L"IPAddress", L"SubnetMask",
                                            L"DefaultGateway", L"DefaultGatewayMetric"};
    DWORD one = 1;
    HKEY h;

    if (RegOpenKeyExW(interfaces, guid, 0, KEY_SET_VALUE, &h) != 0)
        return;
    RegSetValueExW(h, L"EnableDHCP", 0, REG_DWORD, (const BYTE *)&one, sizeof one);
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++)
        RegDeleteValueW(h, values[i]);
    RegCloseKey(h);
}

int win32_dhcp(struct win32 *w)
{
    wchar_t guid[256], program[FB_PATH], line[2 * FB_PATH];
    unsigned code = 0;
    HKEY h;

    if (RegOpenKeyExW(HKEY_LOCAL_MACHINE, TCPIP, 0, KEY_READ, &h) != 0)
        return -1;
    for (DWORD i = 0, n = 256; RegEnumKeyExW(h, i, guid, &n, NULL, NULL, NULL, NULL) == 0;
         i++, n = 256)
        interface_by_dhcp(h, guid);
    RegCloseKey(h);
    if (win32_fmt(program, FB_PATH, L"%ls\\System32\\ipconfig.exe", w->windows) < 0 ||
        win32_fmt(line, 2 * FB_PATH, L"\"%ls\" /renew", program) < 0)
        return -1;
    /* Its exit code also tells of cards that have no cable. */
    return win32_run_line(program, line, 120, &code);
}

/* ---- access and removal ---- */

int win32_protect(struct win32 *w)
{
    PSECURITY_DESCRIPTOR sd;
    BOOL present, defaulted;
    PACL dacl;
    int r = -1;

    /* LocalSystem and Administrators, here and below; nothing from above. */
    if (!ConvertStringSecurityDescriptorToSecurityDescriptorW(
            L"D:PAI(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)", SDDL_REVISION_1, &sd, NULL))
        return -1;
    if (GetSecurityDescriptorDacl(sd, &present, &dacl, &defaulted) && present &&
        SetNamedSecurityInfoW(w->folder, SE_FILE_OBJECT,
                              DACL_SECURITY_INFORMATION |
                                  PROTECTED_DACL_SECURITY_INFORMATION,
                              NULL, NULL, dacl, NULL) == ERROR_SUCCESS)
        r = 0;
    LocalFree(sd);
    return r;
}

static int remove_tree(const wchar_t *path)
{
    wchar_t pattern[FB_PATH], child[FB_PATH];
    WIN32_FIND_DATAW d;
    HANDLE h;
    int r = 0;

    if (win32_fmt(pattern, FB_PATH, L"%ls\\*", path) < 0)
        return -1;
    h = FindFirstFileW(pattern, &d);
    if (h == INVALID_HANDLE_VALUE)
        return GetLastError() == ERROR_PATH_NOT_FOUND ||
                       GetLastError() == ERROR_FILE_NOT_FOUND
                   ? 0
                   : -1;
    do {
        if (!wcscmp(d.cFileName, L".") || !wcscmp(d.cFileName, L".."))
            continue;
        if (win32_fmt(child, FB_PATH, L"%ls\\%ls", path, d.cFileName) < 0)
            r = -1;
        else if ((d.dwFileAttributes & FILE_ATTRIBUTE_DIRECTORY) &&
                 !(d.dwFileAttributes & FILE_ATTRIBUTE_REPARSE_POINT))
            r |= remove_tree(child);
        else if (!DeleteFileW(child))
            r = -1;
    } while (FindNextFileW(h, &d));
    FindClose(h);
    return RemoveDirectoryW(path) ? r : -1;
}

static int remove_files(struct win32 *w)
{
    static const wchar_t *const trees[] = {L"drivers", L"packages", L"config"};
    wchar_t path[FB_PATH];
    int r = 0;

    for (size_t i = 0; i < sizeof trees / sizeof trees[0]; i++)
        if (win32_fmt(path, FB_PATH, L"%ls\\%ls", w->folder, trees[i]) < 0 ||
            remove_tree(path) < 0)
            r = -1;
    if (win32_fmt(path, FB_PATH, L"%ls\\plan.txt", w->folder) == 0)
        DeleteFileW(path);
    /* A running program cannot be deleted; Windows does it at its next start. */
    if (GetModuleFileNameW(NULL, path, FB_PATH))
        MoveFileExW(path, NULL, MOVEFILE_DELAY_UNTIL_REBOOT);
    return r;
}

static int unregister_service(void)
{
    SC_HANDLE manager = OpenSCManagerW(NULL, NULL, SC_MANAGER_CONNECT);
    SC_HANDLE service = manager ? OpenServiceW(manager, FB_SERVICE, DELETE) : NULL;
    int r = service && DeleteService(service) ? 0 : -1;

    if (service)
        CloseServiceHandle(service);
    if (manager)
        CloseServiceHandle(manager);
    return r;
}

int win32_uninstall(struct win32 *w, int keep_files)
{
    int r = w->logon ? win32_unregister_logon() : unregister_service();

    if (!keep_files && remove_files(w) < 0)
        r = -1;
    return r;
}
