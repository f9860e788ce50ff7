/* The options of convert, restore and import; see restore_options.h. */
#include "cli/restore_options.h"

#include "base/str.h"
#include "cli/repo_words.h"

#include <stdlib.h>

#define AT(f) offsetof(struct restore_options, params.f)

/* Groups of options, for the tables below. */
#define JOB_OPTIONS                                                                      \
    {"dry-run",   'n',                                                                   \
     OPTION_FLAG, offsetof(struct restore_options, dry_run),                             \
     NULL,        "print the whole plan, create nothing"},                               \
    {                                                                                    \
        "on-failure", 0, OPTION_STRING, offsetof(struct restore_options, on_failure),    \
            "WHAT", "keep what was made for resume (keep), or remove it (undo)"          \
    }

#define SOURCE_OPTIONS                                                                   \
    {.type = OPTION_HEADING, .help = "The source"},                                      \
        {"format",   'f',      OPTION_STRING,                                            \
         AT(format), "FORMAT", "of a bare image: raw, vmdk, qcow2, vhd, vhdx, vdi"},     \
        REPO_OPTIONS(struct restore_options, params),                                    \
    {                                                                                    \
        "skip-digests", 0, OPTION_FLAG, AT(skip_digests), NULL,                          \
            "do not check the digests of an OVF manifest"                                \
    }

#define INSTANCE_OPTIONS                                                                   \
    {.type = OPTION_HEADING, .help = "The instance"},                                      \
        {"name", 0, OPTION_STRING, AT(name), "NAME", "its Name tag (the machine's name)"}, \
        {"instance-type",   't',    OPTION_STRING,                                         \
         AT(instance_type), "TYPE", "instance type (the smallest that fits)"},             \
        {"subnet", 0, OPTION_STRING, AT(subnet), "ID", "subnet (the zone's default)"},     \
        {"security-group",                                                                 \
         0,                                                                                \
         OPTION_LIST,                                                                      \
         AT(security_groups),                                                              \
         "ID",                                                                             \
         "security group; may be repeated (the VPC's default)"},                           \
        {"key-name", 0, OPTION_STRING, AT(key_name), "NAME", "key pair"},                  \
        {"iam-profile",   0,          OPTION_STRING,                                       \
         AT(iam_profile), "NAME|ARN", "instance profile"},                                 \
        {"private-ip",   0,         OPTION_STRING,                                         \
         AT(private_ip), "ADDRESS", "private IPv4 address"},                               \
        {"tag",    0,           OPTION_LIST,                                               \
         AT(tags), "KEY=VALUE", "tag of instance and volumes; may be repeated"},           \
        {"imds",                                                                           \
         0,                                                                                \
         OPTION_STRING,                                                                    \
         AT(imds),                                                                         \
         "WHAT",                                                                           \
         "metadata service: IMDSv2 only (required), or also v1 (optional)"},               \
        {"delete-on-termination",   0,    OPTION_FLAG,                                     \
         AT(delete_on_termination), NULL, "volumes go with the instance"},                 \
        {"licence",   0,       OPTION_STRING,                                              \
         AT(licence), "WHOSE", "of Windows: billed by EC2 (aws), or your own (byol)"},     \
        {"boot-timeout",     0,         OPTION_U64,                                        \
         AT(boot_timeout_s), "SECONDS", "for the first boot's status checks (900)"},       \
    {                                                                                      \
        "no-wait", 0, OPTION_FLAG, AT(no_wait), NULL, "do not wait for the first boot"     \
    }

#define VOLUME_OPTIONS                                                                    \
    {.type = OPTION_HEADING, .help = "The volumes"},                                      \
        {"volume-type",   0,      OPTION_STRING,                                          \
         AT(volume_type), "TYPE", "gp3, gp2, io1 or io2 (gp3)"},                          \
        {"iops",   0,   OPTION_U64,                                                       \
         AT(iops), "N", "I/O operations a second (the type's default)"},                  \
        {"throughput", 0, OPTION_U64, AT(throughput), "MIBPS", "of gp3, in MiB/s (125)"}, \
        {"encrypted", 0, OPTION_FLAG, AT(encrypted), NULL, "encrypt them"},               \
    {                                                                                     \
        "kms-key", 0, OPTION_STRING, AT(kms_key), "KEY", "with this KMS key"              \
    }

#define WORK_OPTIONS                                                                       \
    {.type = OPTION_HEADING, .help = "The work"},                                          \
        {"max-rate",   0,       OPTION_BYTES,                                              \
         AT(max_rate), "BYTES", "at most so many bytes of data a second (100M)"},          \
        {"region", 0, OPTION_STRING, AT(region), "REGION", "AWS region (this machine's)"}, \
    {                                                                                      \
        "aws-profile", 0, OPTION_STRING, AT(aws_profile), "NAME",                          \
            "profile of ~/.aws/config"                                                     \
    }

static const struct option_def defs[] = {
    JOB_OPTIONS,
    SOURCE_OPTIONS,
    {"skip-check", 0, OPTION_FLAG, AT(skip_check), NULL,
     "restore only: do not look into the guest"},
    {"profile", 0, OPTION_STRING, AT(profile), "PROFILE",
     "what the guest is to drive: nitro, xen or both (nitro)"},
    {"fix", 0, OPTION_FLAG, AT(fix), NULL,
     "also mend what changes how the guest is administered"},
    {"windows-gpt", 0, OPTION_FLAG, AT(windows_gpt), NULL,
     "take a Windows guest on GPT, as a UEFI instance"},
    {"discard-hibernation", 0, OPTION_FLAG, AT(discard_hibernation), NULL,
     "take a hibernated Windows guest, losing its saved session"},
    {"drivers", 0, OPTION_STRING, AT(drivers), "DIR",
     "AWS's packages for Windows (/var/lib/hotadd/drivers)"},
    {"first-boot", 0, OPTION_STRING, AT(first_boot), "WAY",
     "of Windows: by a service, or by autologon (service)"},
    {"logon-user", 0, OPTION_STRING, AT(logon_user), "NAME",
     "autologon: an administrator, [DOMAIN\\]NAME (Administrator)"},
    {"logon-password-file", 0, OPTION_STRING, AT(logon_password_file), "FILE",
     "autologon: its first line is that user's password"},

    INSTANCE_OPTIONS,
    {"carrier", 0, OPTION_STRING, AT(carrier), "AMI",
     "AMI whose boot mode the instance takes (hotadd's own)"},
    {"finish", 0, OPTION_STRING, AT(finish), "HOW",
     "finisher: swap, image, import or auto (swap)"},
    {"keep-image", 0, OPTION_FLAG, AT(keep_image), NULL,
     "keep the image that image or import made"},
    {"role", 0, OPTION_STRING, AT(role), "NAME",
     "role that the import finisher takes (vmimport)"},

    VOLUME_OPTIONS,
    WORK_OPTIONS,
    {"verify", 0, OPTION_FLAG, AT(verify), NULL, "read back what was written"},
    {"zone", 0, OPTION_STRING, AT(zone), "ZONE",
     "Availability Zone; with swap, the proxy's"},
    {"device-root", 0, OPTION_STRING, AT(device_root), "DIR",
     "where attached volumes appear (/dev)"},
    COMMON_OPTIONS(struct restore_options),
    OPTION_END,
};

static const struct option_def import_defs[] = {
    JOB_OPTIONS,

    {.type = OPTION_HEADING, .help = "The import"},
    {"bucket", 'b', OPTION_STRING, AT(bucket), "NAME",
     "S3 bucket of the same region that the disks are uploaded to"},
    {"prefix", 0, OPTION_STRING, AT(prefix), "TEXT",
     "what their keys begin with (hotadd-import)"},
    {"disk-format", 0, OPTION_STRING, AT(disk_format), "FORMAT",
     "of the uploaded disks: raw or vhd (raw)"},
    {"one-image", 0, OPTION_FLAG, AT(one_image), NULL,
     "data disks too become part of the image"},
    {"keep-image", 0, OPTION_FLAG, AT(keep_image), NULL, "keep the imported image"},
    {"role", 0, OPTION_STRING, AT(role), "NAME", "role that VM Import takes (vmimport)"},
    {"setup", 0, OPTION_FLAG, offsetof(struct restore_options, setup), NULL,
     "print what makes that role; no source is given"},
    {"apply", 0, OPTION_FLAG, offsetof(struct restore_options, apply), NULL,
     "with --setup: make it"},

    SOURCE_OPTIONS,
    {"skip-check", 0, OPTION_FLAG, AT(skip_check), NULL, "do not look into the guest"},

    INSTANCE_OPTIONS,
    VOLUME_OPTIONS,
    WORK_OPTIONS,
    {"zone", 0, OPTION_STRING, AT(zone), "ZONE",
     "Availability Zone (this machine's, or any)"},
    COMMON_OPTIONS(struct restore_options),
    OPTION_END,
};

void restore_options_release(struct restore_options *o)
{
    /* Not both tables: what they share would be freed twice. */
    restore_params_release(&o->params);
    free(o->on_failure);
    free(o->common.journal);
    memset(o, 0, sizeof *o);
}

int source_make_absolute(char **source, struct err *e)
{
    char *path;

    if (strstr(*source, "://") || **source == '/')
        return 0;
    path = realpath(*source, NULL);
    if (!path)
        return err_sys(e, "%s", *source);
    free(*source);
    *source = path;
    return 0;
}

int restore_params_make_absolute(struct restore_params *p, struct err *e)
{
    struct source_spec spec = restore_params_source(p, NULL);
    char **files[] = {&p->repo, &p->key, &p->key_password_file, &p->logon_password_file};

    if (!source_is_point(&spec) && source_make_absolute(&p->source, e) < 0)
        return -1;
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        if (*files[i] && source_make_absolute(files[i], e) < 0)
            return -1;
    return 0;
}

int restore_options_parse(int argc, char **argv, const struct command_help *help,
                          struct restore_options *o, struct err *e)
{
    bool import = str_eq(help->name, "import");
    int first,
        r = options_parse(argc, argv, help, import ? import_defs : defs, o, &first, e);

    if (r != 0)
        return r;
    if (o->setup && argc == first)
        return restore_params_check(&o->params, e);
    if (o->setup || o->apply)
        return err_set(e, ERR_USAGE,
                       o->setup ? "--setup takes no source" : "--apply is for --setup");
    if (argc - first != 1)
        return err_set(e, ERR_USAGE, "give one source; see `hotadd %s --help`",
                       help->name);
    if (o->on_failure && !str_eq(o->on_failure, "keep") && !str_eq(o->on_failure, "undo"))
        return err_set(e, ERR_USAGE, "--on-failure %s: must be keep or undo",
                       o->on_failure);
    if (str_set(&o->params.source, argv[first], e) < 0 ||
        restore_params_make_absolute(&o->params, e) < 0)
        return -1;
    return restore_params_check(&o->params, e);
}

const struct option_def *restore_option_table(void)
{
    return defs;
}
