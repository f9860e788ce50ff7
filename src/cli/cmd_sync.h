/* The commands below `hotadd sync`; argv[0] is the subcommand. */
#ifndef HOTADD_CLI_CMD_SYNC_H
#define HOTADD_CLI_CMD_SYNC_H

#include "cli/command.h"
#include "sync/sync.h"

int cmd_sync_create(int argc, char **argv);
int cmd_sync_run(int argc, char **argv);
int cmd_sync_watch(int argc, char **argv);
int cmd_sync_list(int argc, char **argv);
int cmd_sync_show(int argc, char **argv);
int cmd_sync_pause(int argc, char **argv);
int cmd_sync_resume(int argc, char **argv);
int cmd_sync_resync(int argc, char **argv);
int cmd_sync_verify(int argc, char **argv);
int cmd_sync_delete(int argc, char **argv);

/* One line about a pass's result, for people. */
void sync_print_result(const json_t *result);

#endif
