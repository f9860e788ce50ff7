/* The plan of a first boot: which files were staged, with their digests, and the steps in
 * their order. Portable C; the format is docs/formats/firstboot-plan.md. */
#ifndef HOTADD_FIRSTBOOT_PLAN_H
#define HOTADD_FIRSTBOOT_PLAN_H

#include <stddef.h>

#define FB_PLAN_BYTES (1u << 20)
#define FB_MAX_FILES  2048
#define FB_MAX_STEPS  128

enum fb_verb {
    FB_DRIVER,      /* inf: pnputil */
    FB_MSI,         /* installer: msiexec; may restart the machine by itself */
    FB_EXE,         /* installer that knows /quiet /norestart */
    FB_SCRIPT,      /* PowerShell */
    FB_COPY,        /* file, place (with %variables%) */
    FB_DHCP,        /* every interface by DHCP */
    FB_DISKS,       /* every disk online and writable */
    FB_DWORD,       /* key below HKEY_LOCAL_MACHINE, value, number */
    FB_DEVICE_PATH, /* entry to be taken out of DevicePath */
};

struct fb_file {
    const char *digest, *path; /* in the plan's text; path relative, with slashes */
};

struct fb_step {
    enum fb_verb verb;
    const char *arg[3]; /* in the plan's text; NULL where the verb has fewer */
};

struct fb_plan {
    char text[FB_PLAN_BYTES + 1]; /* as read; cut into strings by fb_plan_parse() */
    unsigned boots;               /* starts that are allowed in all */
    struct fb_file files[FB_MAX_FILES];
    size_t n_files;
    struct fb_step steps[FB_MAX_STEPS];
    unsigned n_steps;
};

/* Parses p->text[0 .. len), which it changes. NULL, or what is wrong with it. Files that
 * steps use must be listed, and no path leaves the folder. */
const char *fb_plan_parse(struct fb_plan *p, size_t len);

const char *fb_verb_name(enum fb_verb v); /* "driver" */

#endif
