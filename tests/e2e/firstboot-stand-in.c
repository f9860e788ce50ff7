/* Stands in for pnputil, msiexec and the like under Wine: writes down how it was called,
 * in C:\record.txt, and does what a file named after it says: C:\NAME.exit holds an exit
 * code, C:\NAME.hang makes it hang (once), as an installer that restarts the machine. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <windows.h>

int main(int argc, char **argv)
{
    char self[MAX_PATH], path[2 * MAX_PATH];
    char *name, *dot;
    int code = 0;
    FILE *f;

    GetModuleFileNameA(NULL, self, sizeof self);
    name = strrchr(self, '\\') + 1;
    dot = strrchr(name, '.');
    if (dot)
        *dot = 0;
    f = fopen("C:\\record.txt", "a");
    if (f) {
        fprintf(f, "%s", name);
        for (int i = 1; i < argc; i++)
            fprintf(f, " %s", argv[i]);
        fprintf(f, "\n");
        fclose(f);
    }
    snprintf(path, sizeof path, "C:\\%s.hang", name);
    if (remove(path) == 0)
        Sleep(600000);
    snprintf(path, sizeof path, "C:\\%s.exit", name);
    f = fopen(path, "r");
    if (f) {
        if (fscanf(f, "%d", &code) != 1)
            code = 99;
        fclose(f);
    }
    return code;
}
