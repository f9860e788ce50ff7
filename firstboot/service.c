/* The Windows service that does the work of a first boot; see core.h.
 *
 * It says at once that it runs, works, and ends. It takes no orders: a shutdown ends it
 * wherever it is, and the next start goes on from there. */
#include "win32.h"

#include <stdlib.h>

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

static void WINAPI service_main(DWORD argc, LPWSTR *argv)
{
    struct win32 *w = calloc(1, sizeof *w);
    struct fb_plan *plan = calloc(1, sizeof *plan);

    handle = RegisterServiceCtrlHandlerExW(FB_SERVICE, control, NULL);
    if (!handle)
        return;
    report(SERVICE_RUNNING);
    if (w && plan && win32_init(w) == 0)
        fb_run(&win32_ops, w, plan);
    free(plan);
    free(w);
    report(SERVICE_STOPPED);
}

int main(void)
{
    SERVICE_TABLE_ENTRYW table[] = {{(LPWSTR)FB_SERVICE, service_main}, {NULL, NULL}};

    return StartServiceCtrlDispatcherW(table) ? 0 : 1;
}
