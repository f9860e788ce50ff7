/* hotadd: the commands, one file each. */
#include "base/str.h"
#include "cli/command.h"

#include <stdio.h>

static const struct command commands[] = {
    {"check", "say what a source is and whether it can be converted", cmd_check},
    {"convert", "make an EC2 instance of a machine from VMware or elsewhere",
     cmd_convert},
    {"restore", "make an EC2 instance of a machine that ran on EC2 before", cmd_restore},
    {"import", "make an EC2 instance by way of S3 and Amazon's VM Import", cmd_import},
    {"copy", "copy one disk to a device or file", cmd_copy},
    {"backup", "back up machines into a repository", cmd_backup},
    {"list", "list the recovery points of a repository", cmd_list},
    {"verify", "read recovery points and say what is damaged", cmd_verify},
    {"forget", "remove a recovery point", cmd_forget},
    {"key", "make or show a key for encrypted backups", cmd_key},
    {"sync", "Live Sync: keep replicas fresh from each backup", cmd_sync},
    {"jobs", "list jobs, or show one", cmd_jobs},
    {"resume", "go on with a job that failed or was interrupted", cmd_resume},
    {"undo", "remove what a job made", cmd_undo},
    {"serve", "serve the monitor: a page, an API and metrics", cmd_serve},
    {"gc", "list or remove what no job accounts for", cmd_gc},
    {"drivers", "say which of AWS's packages for Windows are at hand", cmd_drivers},
    {"version", "print the version", cmd_version},
};
#define N_COMMANDS (sizeof commands / sizeof commands[0])

static void print_help(FILE *out)
{
    fprintf(out, "usage: hotadd COMMAND [OPTIONS] [ARGUMENTS]\n\n"
                 "Restores backed-up virtual machines to Amazon EC2 by writing straight "
                 "to EBS\nvolumes attached to the machine it runs on.\n\nCommands:\n");
    for (size_t i = 0; i < N_COMMANDS; i++)
        fprintf(out, "  %-10s%s\n", commands[i].name, commands[i].summary);
    fprintf(out, "\n`hotadd COMMAND --help` tells of each; so do hotadd(1) and "
                 "hotadd-COMMAND(1).\n");
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        print_help(stderr);
        return EXIT_USAGE;
    }
    if (str_eq(argv[1], "--help") || str_eq(argv[1], "-h") || str_eq(argv[1], "help")) {
        print_help(stdout);
        return EXIT_DONE;
    }
    if (str_eq(argv[1], "--version"))
        argv[1] += 2;
    for (size_t i = 0; i < N_COMMANDS; i++)
        if (str_eq(argv[1], commands[i].name))
            return commands[i].run(argc - 1, argv + 1);
    fprintf(stderr, "hotadd: there is no command '%s'; see `hotadd --help`\n", argv[1]);
    return EXIT_USAGE;
}
