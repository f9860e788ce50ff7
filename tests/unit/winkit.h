/* A Windows guest made from nothing: its two hives and the few files that are looked at.
 * It proves edits, not that Windows starts. */
#ifndef HOTADD_TESTS_UNIT_WINKIT_H
#define HOTADD_TESTS_UNIT_WINKIT_H

#include "hivekit.h"
#include "memfs.h"

#define WINKIT_CCS "ControlSet001\\"

/* The hives of a Windows Server 2016 as it leaves VMware: VMware's tools, DHCP, Remote
 * Desktop on and let in by the firewall, stornvme overridden. build: any that hotadd
 * knows. */
struct hive *winkit_system(void);
struct hive *winkit_software(uint32_t build);

/* Local users: Administrator, Guest (disabled) and mover (locked). */
struct hive *winkit_sam(void);

/* A boot configuration whose default is WINKIT_LOADER. */
struct hive *winkit_bcd(void);
#define WINKIT_BOOT_MANAGER "Objects\\{9dea862c-5cdd-4e70-acc1-f32b344d4795}\\Elements\\"
#define WINKIT_LOADER       "Objects\\{11111111-2222-3333-4444-555555555555}\\Elements\\"

/* The guest's files with these hives, and a boot configuration. */
void winkit_put(struct memfs *m, struct hive *sys, struct hive *soft);

/* One of its hives, opened anew; NULL path: SYSTEM. */
struct hive *winkit_open(const struct memfs *m, const char *path);
#define WINKIT_SYSTEM   "/Windows/System32/config/SYSTEM"
#define WINKIT_SOFTWARE "/Windows/System32/config/SOFTWARE"
#define WINKIT_SAM      "/Windows/System32/config/SAM"

#endif
