/* What a conversion leaves for the first boot of Windows: the service, its plan, the
 * packages. The plan's format is docs/formats/firstboot-plan.md; the service that reads
 * it is in firstboot/. */
#ifndef HOTADD_GUEST_WINDOWS_FIRSTBOOT_H
#define HOTADD_GUEST_WINDOWS_FIRSTBOOT_H

#include "guest/guest.h"

#define FIRSTBOOT_SERVICE "HotAddFirstBoot"
#define FIRSTBOOT_FOLDER  "HotAdd" /* below the system root */
#define FIRSTBOOT_PROGRAM "hotadd-firstboot.exe"
#define FIRSTBOOT_PLAN    "plan.txt"

/* Below the current control set. The service is registered in the first; both ways keep
 * their state in the second, which only administrators can change. */
#define FIRSTBOOT_KEY        "Services\\" FIRSTBOOT_SERVICE
#define FIRSTBOOT_PARAMETERS FIRSTBOOT_KEY "\\Parameters"
/* Starts that are allowed in all. */
#define FIRSTBOOT_STARTS 8

/* Where the service's program is on this machine; owned. 1 there, 0 not, -1. */
int firstboot_program(const struct guest_options *o, char **ret,
                      struct err *e) err_warn_unused;

#endif
