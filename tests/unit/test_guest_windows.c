/* Windows guests in memory: what each requirement says of them, what a conversion
 * changes, and that it can be repeated, interrupted and given dirty hives. */
#include "windows_guest.h"

#include "plan.h"

#include "base/digest.h"
#include "base/str.h"
#include "guest/windows/hivelog.h"

/* ---- requirements ---- */

static void a_guest_from_vmware_can_be_converted(void **state)
{
    struct fixture *f = *state;

    look(f);
    assert_string_equal(f->s.info->product_name, "Windows Server 2016 Standard");
    assert_string_equal(f->s.info->hostname, "WEB01");
    assert_string_equal(f->s.info->arch, "x86_64");
    assert_true(f->s.info->fits_nitro && f->s.info->boots_bios);
    is(f, "windows-supported", FINDING_MET, "14393");
    is(f, "windows-hives", FINDING_MET, "ControlSet001");
    is(f, "windows-hibernation", FINDING_MET, "no saved session");
    is(f, "windows-fs-clean", FINDING_MET, "unmounted");
    is(f, "windows-boot-disk", FINDING_MET, "active partition 1");
    is(f, "windows-boot-storage", FINDING_FIXABLE, "stornvme\\StartOverride");
    is(f, "windows-boot-storage", FINDING_FIXABLE, "storahci\\StartOverride");
    is(f, "windows-san-policy", FINDING_FIXABLE, "SanPolicy = 2");
    is(f, "windows-drivers", FINDING_MET, "ENA network driver 2.6.0.0");
    is(f, "windows-launch-agent", FINDING_MET, "EC2Launch scripts");
    is(f, "windows-vmware-tools", FINDING_FIXABLE, "VMTools\\Start = 2");
    is(f, "windows-vmware-tools", FINDING_FIXABLE, "filter vmci");
    is(f, "windows-clock", FINDING_FIXABLE, "RealTimeIsUniversal = 0");
    is(f, "windows-dhcp", FINDING_MET, "EnableDHCP");
    is(f, "windows-rdp", FINDING_MET, "port 3389");
    is(f, "windows-firewall", FINDING_MET, "a rule lets");
    is(f, "windows-dotnet", FINDING_MET, "394802");
    is(f, "windows-ems", FINDING_MET, "/Boot/BCD: neither EMS nor debugging");
    is(f, "windows-routes", FINDING_MET, "no persistent routes");
    is(f, "windows-uac", FINDING_NOT_NEEDED, "LocalSystem");
    is(f, "windows-autologon", FINDING_NOT_NEEDED, "nobody has to be logged on");
    is(f, "windows-banner", FINDING_NOT_NEEDED, "LegalNoticeCaption is set");
    assert_null(guest_info_blocker(f->s.info, &f->o));
}

/* One thing is other than in the guest above, and one finding says so. */
static const struct odd {
    enum win_hive hive;
    const char *key, *name, *text; /* text NULL: number */
    uint32_t number;
    const char *id;
    enum finding_state state;
    const char *seen;
} odd[] = {
    {WIN_SOFTWARE, "Microsoft\\Windows NT\\CurrentVersion", "CurrentBuildNumber", "7601",
     0, "windows-supported", FINDING_REFUSED, "7601"},
    {WIN_SOFTWARE, "Microsoft\\Windows NT\\CurrentVersion", "InstallationType", "Client",
     0, "windows-supported", FINDING_REFUSED, "Client"},
    {WIN_SYSTEM, "Select", "Current", NULL, 7, "windows-hives", FINDING_REFUSED,
     "Select\\Current"},
    {WIN_CCS, "Control\\Session Manager\\Environment", "PROCESSOR_ARCHITECTURE", "x86", 0,
     "windows-arch", FINDING_REFUSED, "x86"},
    {WIN_CCS, "Services\\Dhcp", "Start", NULL, 4, "windows-dhcp", FINDING_FIXABLE,
     "Dhcp\\Start = 4"},
    {WIN_CCS, "Services\\TermService", "Start", NULL, 4, "windows-rdp", FINDING_FIXABLE,
     "TermService"},
    {WIN_CCS, "Control\\Terminal Server", "fDenyTSConnections", NULL, 1, "windows-rdp",
     FINDING_FIXABLE, "fDenyTSConnections = 1"},
    {WIN_SOFTWARE, "Policies\\Microsoft\\Windows NT\\Terminal Services",
     "fDenyTSConnections", NULL, 1, "windows-rdp", FINDING_REFUSED, "Policies"},
    {WIN_CCS, "Services\\SharedAccess\\Parameters\\FirewallPolicy\\FirewallRules",
     "RemoteDesktop-UserMode-In-TCP",
     "v2.20|Action=Allow|Active=FALSE|Dir=In|Protocol=6|LPort=3389|", 0,
     "windows-firewall", FINDING_FIXABLE, "not active"},
    {WIN_SOFTWARE, "Policies\\Microsoft\\WindowsFirewall\\PublicProfile",
     "EnableFirewall", NULL, 1, "windows-firewall", FINDING_UNKNOWN, "policy"},
    {WIN_SOFTWARE, "Policies\\Microsoft\\Windows\\DeviceInstall\\Restrictions",
     "DenyUnspecified", NULL, 1, "windows-device-policy", FINDING_UNKNOWN,
     "DenyUnspecified = 1"},
    {WIN_CCS, "Services\\CSFalconService", "Start", NULL, 2, "windows-antivirus",
     FINDING_UNKNOWN, "CSFalconService"},
    {WIN_SOFTWARE,
     "Microsoft\\Windows\\CurrentVersion\\Component Based Servicing\\RebootPending", "x",
     NULL, 1, "windows-pending-reboot", FINDING_UNKNOWN, "RebootPending"},
    {WIN_CCS, "Control\\ProductOptions", "ProductType", "LanmanNT", 0,
     "windows-domain-controller", FINDING_UNKNOWN, "LanmanNT"},
    {WIN_CCS, "Services\\partmgr\\Parameters", "SanPolicy", NULL, 1, "windows-san-policy",
     FINDING_MET, "= 1"},
    {WIN_CCS, "Control\\TimeZoneInformation", "RealTimeIsUniversal", NULL, 1,
     "windows-clock", FINDING_MET, "= 1"},
    {WIN_CCS, "Services\\Tcpip\\Parameters\\PersistentRoutes",
     "10.9.0.0,255.255.0.0,10.1.2.254,1", "", 0, "windows-routes", FINDING_UNKNOWN,
     "PersistentRoutes: 1, as 10.9.0.0"},
    {WIN_CCS, "Services\\Tcpip\\Parameters", "NameServer", "10.1.2.53", 0,
     "windows-routes", FINDING_UNKNOWN, "NameServer 10.1.2.53"},
    {WIN_CCS, "Services\\stornvme", "Start", "three", 0, "windows-boot-storage",
     FINDING_UNKNOWN, "unexpected type"},
};

static void each_odd_value_is_found(void **state)
{
    for (size_t i = 0; i < sizeof odd / sizeof odd[0]; i++) {
        const struct odd *o = &odd[i];
        struct fixture *f;
        auto_free char *key = NULL;
        struct err err;
        void *own = NULL;

        set_up(&own);
        f = own;
        key = str_fmt(&err, "%s%s", o->hive == WIN_CCS ? WINKIT_CCS : "", o->key);
        if (o->text)
            set_text(o->hive == WIN_SOFTWARE ? f->soft : f->sys, key, o->name, o->text);
        else
            set32(o->hive == WIN_SOFTWARE ? f->soft : f->sys, key, o->name, o->number);
        look(f);
        is(f, o->id, o->state, o->seen);
        tear_down(&own);
    }
}

static void a_static_address_is_found_and_fixed(void **state)
{
    static const char key[] =
        WINKIT_CCS "Services\\Tcpip\\Parameters\\Interfaces\\{bbbb}";
    struct fixture *f = *state;
    struct strv address = {0};

    assert_ok(strv_add(&address, "10.1.2.3", e));
    set32(f->sys, key, "EnableDHCP", 0);
    assert_ok(hive_set_strv(f->sys, key, "IPAddress", &address, e));
    strv_release(&address);
    look(f);
    is(f, "windows-dhcp", FINDING_FIXABLE, "{bbbb}: EnableDHCP = 0, IPAddress 10.1.2.3");
    assert_string_equal(guest_info_blocker(f->s.info, &f->o)->id, "windows-dhcp");
}

/* Its settings stay in the registry for good. */
static void the_address_of_a_card_that_is_gone_does_not_matter(void **state)
{
    static const char network[] =
        WINKIT_CCS "Control\\Network\\{4D36E972-E325-11CE-BFC1-08002BE10318}";
    struct fixture *f = *state;
    auto_free char *there = NULL;
    struct strv address = {0};
    struct err err;

    assert_ok(strv_add(&address, "10.1.2.3", e));
    assert_ok(hive_set_strv(f->sys,
                            WINKIT_CCS "Services\\Tcpip\\Parameters\\Interfaces\\{bbbb}",
                            "IPAddress", &address, e));
    strv_release(&address);
    there = str_fmt(&err, "%s\\{bbbb}\\Connection", network);
    assert_ok(hive_set_str(f->sys, there, "Name", REG_T_SZ, "Ethernet0", e));
    look(f);
    is(f, "windows-dhcp", FINDING_FIXABLE, "{bbbb}");
    f->sys = winkit_open(&f->m, NULL);
    f->soft = winkit_open(&f->m, WINKIT_SOFTWARE);
    assert_gives(1, hive_delete_key(f->sys, there, e));
    look(f);
    is(f, "windows-dhcp", FINDING_MET, "");
}

static void replace_bcd(struct fixture *f, const char *element, const char *path)
{
    auto_buf struct buf b = BUF_INIT;
    struct hive *h = winkit_bcd();

    assert_ok(hive_set(h, element, "Element", REG_T_BINARY, "\1", 1, e));
    assert_ok(hive_bytes(h, &b, e));
    hive_free(h);
    if (path)
        memfs_bytes(&f->m, path, b.data, b.len);
    else
        buf_add(&f->bcd, b.data, b.len);
}

static void who_keeps_the_serial_port_is_told(void **state)
{
    struct fixture *f = *state;

    look(f);
    replace_bcd(f, WINKIT_LOADER "260000b0", "/Boot/BCD");
    look(f);
    is(f, "windows-ems", FINDING_UNKNOWN, "/Boot/BCD: ems is on");
    assert_null(guest_info_blocker(f->s.info, &f->o));
    memfs_bytes(&f->m, "/Boot/BCD", "regf", 4);
    look(f);
    is(f, "windows-ems", FINDING_UNKNOWN, "registry hive BCD");
    memfs_remove(&f->m, "/Boot/BCD");
    look(f);
    is(f, "windows-ems", FINDING_UNKNOWN, "no \\Boot\\BCD");
    replace_bcd(f, WINKIT_BOOT_MANAGER "16000020", NULL);
    look(f);
    is(f, "windows-ems", FINDING_UNKNOWN, "BCD: bootems is on");
}

static void disks_and_volumes_are_judged(void **state)
{
    struct fixture *f = *state;

    f->table = "gpt";
    look(f);
    is(f, "windows-boot-disk", FINDING_REFUSED, "without an EFI");
    f->esp = true;
    look(f);
    is(f, "windows-boot-disk", FINDING_REFUSED, "GPT with an EFI");
    f->o.windows_gpt = true;
    look(f);
    is(f, "windows-boot-disk", FINDING_MET, "as asked");
    f->dynamic = true;
    look(f);
    is(f, "windows-boot-disk", FINDING_REFUSED, "dynamic");
    memfs_file(&f->m, "/hiberfil.sys", "HIBR and so on");
    f->m.free_bytes = 1u << 30;
    f->ntfs = NTFS_DAMAGED;
    look(f);
    is(f, "windows-hibernation", FINDING_REFUSED, "saved session");
    is(f, "windows-space", FINDING_REFUSED, "1024 MiB");
    is(f, "windows-fs-clean", FINDING_REFUSED, "cannot be mounted");
    memfs_file(&f->m, "/hiberfil.sys", "wake");
    memfs_remove(&f->m, "/Windows/System32/drivers/stornvme.sys");
    f->ntfs = NTFS_UNCLEAN;
    look(f);
    is(f, "windows-hibernation", FINDING_MET, "");
    is(f, "windows-fs-clean", FINDING_MET, "checks it at the first boot");
    is(f, "windows-boot-storage", FINDING_REFUSED, "stornvme.sys");
    assert_false(f->s.info->fits_nitro);
}

static void a_saved_session_is_discarded_only_when_asked(void **state)
{
    struct fixture *f = *state;

    memfs_file(&f->m, "/hiberfil.sys", "hibr");
    f->ntfs = NTFS_HIBERNATED;
    look(f);
    is(f, "windows-hibernation", FINDING_REFUSED, "saved session");
    f->o.discard_hibernation = true;
    look(f);
    is(f, "windows-hibernation", FINDING_FIXABLE, "discarded as asked");
    assert_null(guest_info_blocker(f->s.info, &f->o));
    f->o.purpose = GUEST_RESTORE;
    look(f);
    is(f, "windows-hibernation", FINDING_REFUSED, "saved session");
}

static void missing_packages_are_named(void **state)
{
    struct fixture *f = *state;

    f->o.drivers = "/nonexistent";
    f->o.profile = GUEST_BOTH;
    f->o.first_boot = "/nonexistent.exe";
    look(f);
    is(f, "windows-drivers", FINDING_REFUSED, "ENA network driver, Xen PV drivers");
    is(f, "windows-launch-agent", FINDING_UNKNOWN, "EC2Launch scripts");
    is(f, "windows-first-boot", FINDING_REFUSED, "nonexistent.exe");
}

static void a_restore_and_an_import_ask_for_less(void **state)
{
    struct fixture *f = *state;

    set_text(f->soft, "Microsoft\\Windows NT\\CurrentVersion\\Winlogon", "AutoAdminLogon",
             "1");
    f->o.method = GUEST_IMPORT;
    look(f);
    is(f, "windows-autologon", FINDING_REFUSED, "AutoAdminLogon = 1");
    is(f, "windows-boot-storage", FINDING_NOT_NEEDED, "import");
    f->o.method = GUEST_SWAP;
    f->o.purpose = GUEST_RESTORE;
    look(f);
    is(f, "windows-autologon", FINDING_NOT_NEEDED, "");
    is(f, "windows-drivers", FINDING_NOT_NEEDED, "");
    is(f, "windows-boot-storage", FINDING_REFUSED, "");
    is(f, "windows-clock", FINDING_NOT_NEEDED, "");
}

static void a_machine_of_ec2_may_use_awss_disk_driver(void **state)
{
    struct fixture *f = *state;

    f->o.purpose = GUEST_RESTORE;
    set32(f->sys, WINKIT_CCS "Services\\AWSNVMe", "Start", 0);
    look(f);
    is(f, "windows-boot-storage", FINDING_MET, "AWSNVMe");
}

/* ---- dirty hives ---- */

/* SYSTEM becomes dirty: its header says so, and VMTools' start type is in LOG1 alone. */
static void make_dirty(struct fixture *f, uint32_t sequence)
{
    struct memfs_node *n = memfs_find(&f->m, WINKIT_SYSTEM);
    auto_buf struct buf old = BUF_INIT, now = BUF_INIT, log = BUF_INIT;
    struct hive *h = winkit_open(&f->m, NULL);

    buf_add(&old, n->data.data, n->data.len);
    set32(h, WINKIT_CCS "Services\\VMTools", "Start", 3);
    assert_ok(hive_bytes(h, &now, e));
    hive_free(h);
    hivekit_dirty(&old, 21, 20);
    hivekit_log(&old, &log);
    hivekit_entry(&old, &now, sequence, &log);
    memfs_bytes(&f->m, WINKIT_SYSTEM, old.data, old.len);
    /* Spelled otherwise than the hive, as it may be. */
    memfs_bytes(&f->m, "/Windows/System32/config/System.log1", log.data, log.len);
}

static void a_dirty_hive_is_replayed(void **state)
{
    struct fixture *f = *state;

    look(f);
    make_dirty(f, 20);
    look(f);
    is(f, "windows-hives", FINDING_MET, "1 and 0 changes");
    is(f, "windows-vmware-tools", FINDING_FIXABLE, "VMTools\\Start = 3");
}

static void a_hive_that_cannot_be_replayed_is_refused(void **state)
{
    struct fixture *f = *state;

    look(f);
    make_dirty(f, 25);
    look(f);
    is(f, "windows-hives", FINDING_REFUSED, "changes between are lost");
    is(f, "windows-rdp", FINDING_UNKNOWN, "registry hive SYSTEM");
    assert_non_null(guest_info_blocker(f->s.info, &f->o));
}

static void a_damaged_hive_is_refused(void **state)
{
    struct fixture *f = *state;

    look(f);
    memfs_bytes(&f->m, WINKIT_SOFTWARE, "regf", 4);
    look(f);
    is(f, "windows-hives", FINDING_REFUSED, "no registry hive");
    is(f, "windows-supported", FINDING_UNKNOWN, "CurrentBuildNumber");
}

/* ---- conversion ---- */

static void conversion_changes_the_registry(void **state)
{
    struct fixture *f = *state;
    struct hive *h;
    struct strv filters = {0};

    look(f);
    assert_true(convert(f) > 5);
    h = winkit_open(&f->m, NULL);
    assert_int_equal(number(h, "Services\\stornvme", "Start"), 0);
    assert_int_equal(number(h, "Services\\stornvme", "ErrorControl"), 3);
    assert_gives(0, hive_has_key(h, WINKIT_CCS "Services\\stornvme\\StartOverride", e));
    assert_gives(0, hive_has_key(h, WINKIT_CCS "Services\\storahci\\StartOverride", e));
    assert_int_equal(number(h, "Services\\intelide", "Start"), 3);
    assert_int_equal(number(h, "Services\\partmgr\\Parameters", "SanPolicy"), 1);
    assert_int_equal(number(h, "Services\\VMTools", "Start"), 4);
    assert_int_equal(number(h, "Services\\vm3dmp-stats", "Start"), 4);
    assert_int_equal(number(h, "Services\\pvscsi", "Start"), 0);
    assert_int_equal(number(h, "Control\\TimeZoneInformation", "RealTimeIsUniversal"), 1);
    assert_int_equal(number(h, "Control\\CrashControl", "AutoReboot"), 0);
    assert_int_equal(number(h, "Services\\HotAddFirstBoot", "Start"), 2);
    assert_ok(hive_get_strv(
        h, WINKIT_CCS "Control\\Class\\{4d36e967-e325-11ce-bfc1-08002be10318}",
        "UpperFilters", &filters, e));
    assert_int_equal(filters.n, 1);
    assert_string_equal(filters.v[0], "partmgr");
    strv_release(&filters);
    hive_free(h);
    vec_foreach (x, &f->s.info->findings)
        if (x->state == FINDING_FIXABLE && x->fix == FINDING_FIX_CONVERT)
            fail_msg("still fixable: %s: %s", x->id, x->seen);
    assert_non_null(memfs_find(&f->m, "/Windows/HotAdd/original" WINKIT_SYSTEM));
    assert_non_null(memfs_find(&f->m, "/Windows/HotAdd/conversion.json"));
}

static void the_xen_profile_starts_ide_and_stages_the_pv_installer(void **state)
{
    struct fixture *f = *state;
    struct hive *h;

    f->o.profile = GUEST_XEN;
    set_text(f->sys, WINKIT_CCS "Control\\ProductOptions", "ProductType", "LanmanNT");
    look(f);
    convert(f);
    h = winkit_open(&f->m, NULL);
    assert_int_equal(number(h, "Services\\intelide", "Start"), 0);
    hive_free(h);
    h = winkit_open(&f->m, WINKIT_SOFTWARE);
    assert_gives(1, hive_has_key(h, "Wow6432Node\\Amazon\\AWSPVDriverSetup", e));
    hive_free(h);
    assert_non_null(strstr(memfs_text(&f->m, "/Windows/HotAdd/plan.txt"),
                           "msi\tpackages/pv/AWSPVDriverSetup.msi\n"));
    assert_null(memfs_find(&f->m, "/Windows/HotAdd/drivers/ena/ena.sys"));
}

/* Found, converted and converted again; each with the launch agent of its own. */
static void every_version_is_converted(void **state)
{
    static const struct {
        uint32_t build;
        const char *name, *agent;
    } versions[] = {
        {9600, "Windows Server 2012 R2", "exe\tpackages/ec2config/EC2Install.exe\n"},
        {14393, "Windows Server 2016", "script\tpackages/ec2launch/install.ps1\n"},
        {17763, "Windows Server 2019", "script\tpackages/ec2launch/install.ps1\n"},
        {20348, "Windows Server 2022",
         "msi\tpackages/ec2launch-v2/AmazonEC2Launch.msi\n"},
        {26100, "Windows Server 2025",
         "msi\tpackages/ec2launch-v2/AmazonEC2Launch.msi\n"},
    };

    for (size_t i = 0; i < sizeof versions / sizeof versions[0]; i++) {
        struct fixture *f;
        const char *plan;
        void *own;

        set_up(&own);
        f = own;
        hive_free(f->soft);
        f->soft = winkit_software(versions[i].build);
        set_text(f->soft, "Microsoft\\Windows NT\\CurrentVersion", "ProductName",
                 versions[i].name);
        look(f);
        is(f, "windows-supported", FINDING_MET, "");
        assert_null(guest_info_blocker(f->s.info, &f->o));
        assert_string_equal(f->s.info->product_name, versions[i].name);
        assert_true(convert(f) > 5);
        plan = memfs_text(&f->m, "/Windows/HotAdd/plan.txt");
        if (!strstr(plan, versions[i].agent) ||
            !strstr(plan, "driver\tdrivers/ena/ena.inf\n"))
            fail_msg("%s: %s", versions[i].name, plan);
        assert_int_equal(convert(f), 0);
        tear_down(&own);
    }
}

/* What the conversion writes the service must be able to read. */
static void the_service_understands_the_plan(void **state)
{
    static struct fb_plan plan;
    struct fixture *f = *state;
    const char *text;

    f->o.profile = GUEST_BOTH;
    look(f);
    convert(f);
    text = memfs_text(&f->m, "/Windows/HotAdd/plan.txt");
    snprintf(plan.text, sizeof plan.text, "%s", text);
    assert_null(fb_plan_parse(&plan, strlen(text)));
    assert_int_equal(plan.boots, 8);
    assert_true(plan.n_files > 8);
    assert_int_equal(plan.steps[0].verb, FB_DRIVER);
    assert_int_equal(plan.steps[2].verb, FB_MSI);
    assert_int_equal(plan.steps[plan.n_steps - 1].verb, FB_DEVICE_PATH);
}

/* A first boot that was interrupted, and a conversion after it. */
static void a_new_plan_starts_at_its_beginning(void **state)
{
    static const char key[] = WINKIT_CCS "Services\\HotAddFirstBoot\\Parameters";
    struct fixture *f = *state;
    struct hive *h;
    uint32_t n;

    set32(f->sys, key, "Next", 5);
    set32(f->sys, key, "Boots", 7);
    look(f);
    convert(f);
    h = winkit_open(&f->m, NULL);
    assert_gives(0, hive_get_u32(h, key, "Next", &n, e));
    assert_gives(0, hive_get_u32(h, key, "Boots", &n, e));
    hive_free(h);
}

/* Each staged file is in the plan with its digest, the plan's is in the registry. */
static void the_payload_is_staged_and_hashed(void **state)
{
    struct fixture *f = *state;
    const char *plan;
    unsigned char digest[SHA256_BYTES];
    char hex[SHA256_HEX_LEN], line[256];
    auto_free char *kept = NULL, *path = NULL;
    struct hive *h;

    look(f);
    convert(f);
    plan = memfs_text(&f->m, "/Windows/HotAdd/plan.txt");
    assert_non_null(plan);
    assert_non_null(memfs_find(&f->m, "/Windows/HotAdd/hotadd-firstboot.exe"));
    digest_sha256("driver", 6, digest);
    snprintf(line, sizeof line, "file\t%s\tdrivers/ena/ena.sys\n",
             str_hex(hex, digest, sizeof digest));
    assert_non_null(strstr(plan, line));
    assert_non_null(strstr(plan, "driver\tdrivers/ena/ena.inf\n"));
    assert_non_null(strstr(plan, "script\tpackages/ec2launch/install.ps1\n"));
    assert_non_null(strstr(plan, "dword\tSYSTEM\\CurrentControlSet\\Control\\CrashControl"
                                 "\tAutoReboot\t1\n"));
    assert_true(str_ends(plan, "end\n"));
    digest_sha256(plan, strlen(plan), digest);
    h = winkit_open(&f->m, NULL);
    assert_ok(hive_get_str(h, WINKIT_CCS "Services\\HotAddFirstBoot\\Parameters",
                           "PlanSha256", &kept, e));
    hive_free(h);
    assert_string_equal(kept, str_hex(hex, digest, sizeof digest));
    h = winkit_open(&f->m, WINKIT_SOFTWARE);
    assert_ok(
        hive_get_str(h, "Microsoft\\Windows\\CurrentVersion", "DevicePath", &path, e));
    hive_free(h);
    assert_string_equal(path, "%SystemRoot%\\inf;%SystemRoot%\\HotAdd\\drivers\\nvme;"
                              "%SystemRoot%\\HotAdd\\drivers\\ena");
    assert_int_equal(memfs_find(&f->m, "/Windows/HotAdd/plan.txt")->mode, 0700);
}

static void converting_twice_changes_nothing_more(void **state)
{
    struct fixture *f = *state;

    look(f);
    assert_true(convert(f) > 0);
    assert_int_equal(convert(f), 0);
}

static void fix_mends_what_is_the_users(void **state)
{
    static const char key[] =
        WINKIT_CCS "Services\\Tcpip\\Parameters\\Interfaces\\{bbbb}";
    struct fixture *f = *state;
    struct strv address = {0};

    assert_ok(strv_add(&address, "10.1.2.3", e));
    set32(f->sys, key, "EnableDHCP", 0);
    assert_ok(hive_set_strv(f->sys, key, "IPAddress", &address, e));
    strv_release(&address);
    set32(f->sys, WINKIT_CCS "Control\\Terminal Server", "fDenyTSConnections", 1);
    set_text(f->sys,
             WINKIT_CCS
             "Services\\SharedAccess\\Parameters\\FirewallPolicy\\FirewallRules",
             "RemoteDesktop-UserMode-In-TCP", "v2.20|Action=Allow|Active=FALSE|Dir=In|");
    f->o.fix = true;
    look(f);
    assert_null(guest_info_blocker(f->s.info, &f->o));
    convert(f);
    is(f, "windows-dhcp", FINDING_MET, "");
    is(f, "windows-rdp", FINDING_MET, "");
    is(f, "windows-firewall", FINDING_MET, "");
    assert_int_equal(convert(f), 0);
}

static void a_dirty_hive_is_written_clean_with_its_changes(void **state)
{
    struct fixture *f = *state;
    struct memfs_node *n;

    look(f);
    make_dirty(f, 20);
    look(f);
    convert(f);
    n = memfs_find(&f->m, WINKIT_SYSTEM);
    assert_int_equal(hivelog_header(n->data.data, n->data.len).state, HIVE_CLEAN);
    is(f, "windows-hives", FINDING_MET, "are whole");
    n = memfs_find(&f->m, "/Windows/HotAdd/original" WINKIT_SYSTEM);
    assert_int_equal(hivelog_header(n->data.data, n->data.len).state, HIVE_DIRTY);
}

/* A power cut at each write; the conversion is then run again. */
static void an_interrupted_conversion_is_completed(void **state)
{
    struct fixture *f = *state;
    struct memfs start;
    size_t writes;

    look(f);
    memfs_copy(&start, &f->m);
    convert(f);
    writes = f->m.writes;
    assert_true(writes > 20);
    for (size_t at = 1; at < writes; at += 7) {
        auto_conversion struct conversion c = {.s = &f->s};

        memfs_release(&f->m);
        memfs_copy(&f->m, &start);
        look(f);
        f->m.fail_at = at;
        assert_ok(windows_convert(&c, e));
        assert_fails(changes_apply(&f->s.fs, &memfs_write_ops, &c.overlay, e), ERR_FAILED,
                     "power cut");
        f->m.fail_at = 0;
        look(f);
        convert(f);
        is(f, "windows-boot-storage", FINDING_MET, "");
        assert_int_equal(convert(f), 0);
    }
    memfs_release(&start);
}

static void names_are_found_in_any_case(void **state)
{
    struct fixture *f = *state;
    auto_free char *path = NULL;
    struct gfs fs;

    look(f);
    fs = memfs_gfs(&f->m);
    assert_gives(1, windows_path(&fs, "/", "WINDOWS/system32/Config/system", &path, e));
    assert_string_equal(path, WINKIT_SYSTEM);
    free(path);
    path = NULL;
    assert_gives(0, windows_path(&fs, "/", "windows/New/File", &path, e));
    assert_string_equal(path, "/Windows/New/File");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_GUEST(a_guest_from_vmware_can_be_converted),
        cmocka_unit_test(each_odd_value_is_found),
        WITH_GUEST(a_static_address_is_found_and_fixed),
        WITH_GUEST(the_address_of_a_card_that_is_gone_does_not_matter),
        WITH_GUEST(who_keeps_the_serial_port_is_told),
        WITH_GUEST(disks_and_volumes_are_judged),
        WITH_GUEST(a_saved_session_is_discarded_only_when_asked),
        WITH_GUEST(missing_packages_are_named),
        WITH_GUEST(a_restore_and_an_import_ask_for_less),
        WITH_GUEST(a_machine_of_ec2_may_use_awss_disk_driver),
        WITH_GUEST(a_dirty_hive_is_replayed),
        WITH_GUEST(a_hive_that_cannot_be_replayed_is_refused),
        WITH_GUEST(a_damaged_hive_is_refused),
        WITH_GUEST(conversion_changes_the_registry),
        WITH_GUEST(the_xen_profile_starts_ide_and_stages_the_pv_installer),
        WITH_GUEST(the_payload_is_staged_and_hashed),
        cmocka_unit_test(every_version_is_converted),
        WITH_GUEST(the_service_understands_the_plan),
        WITH_GUEST(a_new_plan_starts_at_its_beginning),
        WITH_GUEST(converting_twice_changes_nothing_more),
        WITH_GUEST(fix_mends_what_is_the_users),
        WITH_GUEST(a_dirty_hive_is_written_clean_with_its_changes),
        WITH_GUEST(an_interrupted_conversion_is_completed),
        WITH_GUEST(names_are_found_in_any_case),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
