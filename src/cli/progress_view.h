/* How a person or a program sees long work: a bar that redraws itself on a terminal,
 * plain lines now and then elsewhere, JSON lines with --json. Goes to standard error. */
#ifndef HOTADD_CLI_PROGRESS_VIEW_H
#define HOTADD_CLI_PROGRESS_VIEW_H

#include "base/progress.h"

#include <stdbool.h>

enum progress_view_kind { PROGRESS_VIEW_BAR, PROGRESS_VIEW_LINES, PROGRESS_VIEW_JSON };

/* Bar when standard error is a terminal, else lines; JSON when asked. `quiet` shows
 * nothing. The returned progress is valid until the process ends (one per process). */
const struct progress *progress_view_start(bool json, bool quiet);

/* Erases a bar that is being drawn, so that the next line begins clean. */
void progress_view_clear(void);

#endif
