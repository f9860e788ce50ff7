/* VM Import's work: tasks made by ImportImage and ImportSnapshot, carried out one after
 * the other in the background.
 *
 * A task's document carries its place on the way as `_stage`; every stage can be begun
 * again from its start, so a lab that was killed goes on where it was. What the task is
 * to do is in `_disks`: [{format, bucket, key} or {snapshot}], and for images `_words`
 * holds what the caller said of the machine. */
#ifndef HOTADD_LAB_IMPORTER_H
#define HOTADD_LAB_IMPORTER_H

#include "lab/act.h"

struct importer;

/* Largest disk that VM Import takes. */
#define IMPORT_MAX_BYTES (8ull << 40)

int importer_start(struct lab *lab, struct err *e) err_warn_unused;
/* Ends the task under way where it is; the next start goes on with it. NULL is fine. */
void importer_stop(struct importer *m);

/* Under the lab's lock: looks for work. */
void importer_kick(struct lab *lab);

/* Under the lab's lock: the task has been marked as cancelled, see to it. */
void importer_cancel(struct lab *lab, const char *task_id);

/* ---- Between the importer's files; all under the lab's lock ---- */

/* True for ImportImage's tasks. */
bool import_is_image(const json_t *task);

/* The member that tells of disk `i`: of snapshotDetailSet, or the snapshotTaskDetail. */
json_t *import_detail(json_t *task, size_t i);

/* status, statusMessage ("" removes it) and progress, where the kind of task has them. */
int import_report(json_t *task, const char *status, const char *message, int progress,
                  struct err *e) err_warn_unused;

/* Makes the document of a finished snapshot whose file is there. */
int import_add_snapshot(struct lab *lab, const json_t *task, const char *id, uint64_t gib,
                        struct err *e) err_warn_unused;

/* Makes the image of a task whose snapshots are there, and writes its id down. */
int import_add_image(struct lab *lab, json_t *task, struct err *e) err_warn_unused;

#endif
