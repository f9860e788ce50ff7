/* The program of a first boot: a Windows service, or, with --logon, what an automatic
 * logon starts; see core.h.
 *
 * The service says at once that it runs, works, and ends. It takes no orders: a shutdown
 * ends it wherever it is, and the next start goes on from there. After an automatic logon
 * nobody shall find an open session, so its end is a logoff. */
#include "win32.h"

#include <stdlib.h>
#include <string.h>

static SERVICE_STATUS_HANDLE handle;

static void report(DWORD state)
{
    SERVICE_STATUS s = {.dwServiceType = SERVICE_WIN32_OWN_PROCESS,
                        .dwCurrentState = state};

    SetServiceStatus(handle, &s);
}

static DWORD WINAPI control(DWORD code, DWORD type, LPVOID data, LPVOID context)
{
    return code == SERVICE_CONTROL_INTERROGATE ? NO_ERROR : ERROR_CALL_NOT_IMPLEMENTED;
}

static enum fb_result first_boot(int logon)
{
    struct win32 *w = calloc(1, sizeof *w);
    struct fb_plan *plan = calloc(1, sizeof *plan);
    enum fb_result r = FB_GAVE_UP;

    if (w && plan && win32_init(w) == 0) {
        w->logon = logon;
        r = fb_run(&win32_ops, w, plan);
    }
    free(plan);
    free(w);
    return r;
}

static void WINAPI service_main(DWORD argc, LPWSTR *argv)
{
    handle = RegisterServiceCtrlHandlerExW(FB_SERVICE, control, NULL);
    if (!handle)
        return;
    report(SERVICE_RUNNING);
    first_boot(0);
    report(SERVICE_STOPPED);
}

static int may_work(void)
{
    HKEY h;

    if (RegOpenKeyExW(HKEY_LOCAL_MACHINE, FB_PARAMS, 0, KEY_SET_VALUE, &h) != 0)
        return 0;
    RegCloseKey(h);
    return 1;
}

/* Every logon starts it, by whoever it is and also a second one. */
static int run_logon(void)
{
    HANDLE only;

    if (!may_work())
        return 1;
    only = CreateMutexW(NULL, TRUE, L"Global\\HotAddFirstBoot");
    if (!only || GetLastError() == ERROR_ALREADY_EXISTS)
        return 1;
    FreeConsole();
    if (first_boot(1) != FB_RESTART)
        ExitWindowsEx(EWX_LOGOFF | EWX_FORCEIFHUNG,
                      SHTDN_REASON_MAJOR_APPLICATION | SHTDN_REASON_FLAG_PLANNED);
    CloseHandle(only);
    return 0;
}

int main(int argc, char **argv)
{
    SERVICE_TABLE_ENTRYW table[] = {{(LPWSTR)FB_SERVICE, service_main}, {NULL, NULL}};

    if (argc == 2 && !strcmp(argv[1], "--logon"))
        return run_logon();
    return StartServiceCtrlDispatcherW(table) ? 0 : 1;
}
