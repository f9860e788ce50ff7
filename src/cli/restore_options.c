/* The options of convert and restore; see restore_options.h. */
#include "cli/restore_options.h"

#include "base/str.h"
#include "cli/repo_words.h"

#include <stdlib.h>

#define AT(f) offsetof(struct restore_options, params.f)

static const struct option_def defs[] = {
    {"dry-run", 'n', OPTION_FLAG, offsetof(struct restore_options, dry_run), NULL,
     "print the whole plan, create nothing"},
    {"on-failure", 0, OPTION_STRING, offsetof(struct restore_options, on_failure), "WHAT",
     "keep what was made for resume (keep), or remove it (undo)"},

    {.type = OPTION_HEADING, .help = "The source"},
    {"format", 'f', OPTION_STRING, AT(format), "FORMAT",
     "of a bare image: raw, vmdk, qcow2, vhd, vhdx"},
    REPO_OPTIONS(struct restore_options, params),
    {"skip-digests", 0, OPTION_FLAG, AT(skip_digests), NULL,
     "do not check the digests of an OVF manifest"},
    {"skip-check", 0, OPTION_FLAG, AT(skip_check), NULL,
     "restore only: do not look into the guest"},
    {"profile", 0, OPTION_STRING, AT(profile), "PROFILE",
     "what the guest is to drive: nitro, xen or both (nitro)"},
    {"fix", 0, OPTION_FLAG, AT(fix), NULL,
     "also mend what changes how the guest is administered"},
    {"windows-gpt", 0, OPTION_FLAG, AT(windows_gpt), NULL,
     "take a Windows guest on GPT, as a UEFI instance"},
    {"drivers", 0, OPTION_STRING, AT(drivers), "DIR",
     "AWS's packages for Windows (/var/lib/hotadd/drivers)"},

    {.type = OPTION_HEADING, .help = "The instance"},
    {"name", 0, OPTION_STRING, AT(name), "NAME", "its Name tag (the machine's name)"},
    {"instance-type", 't', OPTION_STRING, AT(instance_type), "TYPE",
     "instance type (the smallest that fits)"},
    {"subnet", 0, OPTION_STRING, AT(subnet), "ID", "subnet (the zone's default)"},
    {"security-group", 0, OPTION_LIST, AT(security_groups), "ID",
     "security group; may be repeated (the VPC's default)"},
    {"key-name", 0, OPTION_STRING, AT(key_name), "NAME", "key pair"},
    {"iam-profile", 0, OPTION_STRING, AT(iam_profile), "NAME|ARN", "instance profile"},
    {"private-ip", 0, OPTION_STRING, AT(private_ip), "ADDRESS", "private IPv4 address"},
    {"tag", 0, OPTION_LIST, AT(tags), "KEY=VALUE",
     "tag of instance and volumes; may be repeated"},
    {"imds", 0, OPTION_STRING, AT(imds), "WHAT",
     "metadata service: IMDSv2 only (required), or also v1 (optional)"},
    {"delete-on-termination", 0, OPTION_FLAG, AT(delete_on_termination), NULL,
     "volumes go with the instance"},
    {"carrier", 0, OPTION_STRING, AT(carrier), "AMI",
     "AMI whose boot mode the instance takes (hotadd's own)"},
    {"finish", 0, OPTION_STRING, AT(finish), "HOW", "finisher: swap"},
    {"boot-timeout", 0, OPTION_U64, AT(boot_timeout_s), "SECONDS",
     "for the first boot's status checks (900)"},
    {"no-wait", 0, OPTION_FLAG, AT(no_wait), NULL, "do not wait for the first boot"},

    {.type = OPTION_HEADING, .help = "The volumes"},
    {"volume-type", 0, OPTION_STRING, AT(volume_type), "TYPE",
     "gp3, gp2, io1 or io2 (gp3)"},
    {"iops", 0, OPTION_U64, AT(iops), "N",
     "I/O operations a second (the type's default)"},
    {"throughput", 0, OPTION_U64, AT(throughput), "MIBPS", "of gp3, in MiB/s (125)"},
    {"encrypted", 0, OPTION_FLAG, AT(encrypted), NULL, "encrypt them"},
    {"kms-key", 0, OPTION_STRING, AT(kms_key), "KEY", "with this KMS key"},

    {.type = OPTION_HEADING, .help = "The work"},
    {"max-rate", 0, OPTION_BYTES, AT(max_rate), "BYTES",
     "at most so many bytes of data a second (100M)"},
    {"verify", 0, OPTION_FLAG, AT(verify), NULL, "read back what was written"},
    {"region", 0, OPTION_STRING, AT(region), "REGION", "AWS region (the proxy's)"},
    {"zone", 0, OPTION_STRING, AT(zone), "ZONE",
     "Availability Zone; must be the proxy's"},
    {"aws-profile", 0, OPTION_STRING, AT(aws_profile), "NAME",
     "profile of ~/.aws/config"},
    {"device-root", 0, OPTION_STRING, AT(device_root), "DIR",
     "where attached volumes appear (/dev)"},
    COMMON_OPTIONS(struct restore_options),
    OPTION_END,
};

void restore_options_release(struct restore_options *o)
{
    options_release(defs, o);
    free(o->params.source);
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
    char **files[] = {&p->repo, &p->key, &p->key_password_file};

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
    int first, r = options_parse(argc, argv, help, defs, o, &first, e);

    if (r != 0)
        return r;
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
