/* `hotadd-lab serve`: one lab from its lock to its end. */
#ifndef HOTADD_LAB_SERVE_H
#define HOTADD_LAB_SERVE_H

#include "lab/lab.h"

struct serve_options {
    const char *state_dir;
    int port;    /* -1: the one of the last start, if free, else any; 0: any */
    bool daemon; /* return once the port answers; the lab lives on in the background */
    struct lab_settings set;
};

/* "127.0.0.1:4566" or "localhost:0"; anything that is not loopback is ERR_USAGE. */
int serve_parse_listen(const char *text, int *ret_port, struct err *e) err_warn_unused;

/* Blocks until the lab is told to stop (signal or control socket), or, as a daemon, in
 * the calling process until it serves. */
int serve_run(const struct serve_options *o, struct err *e) err_warn_unused;

/* Prints the shell lines that point a client at the lab. */
int serve_print_env(const char *state_dir, struct err *e) err_warn_unused;

/* Waits (up to two minutes) until no process serves the lab any more. */
int serve_wait_ended(const char *state_dir, struct err *e) err_warn_unused;

#endif
