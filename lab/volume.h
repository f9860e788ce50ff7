/* Volumes: EC2's rules of type, size and speed, creation, attachments. All under the
 * lab's lock, inside the running transaction. */
#ifndef HOTADD_LAB_VOLUME_H
#define HOTADD_LAB_VOLUME_H

#include "lab/act.h"

struct volume_spec {
    const char *zone;        /* borrowed, checked by the caller */
    const char *type;        /* NULL: gp2, as CreateVolume's default is */
    const char *snapshot_id; /* NULL: blank */
    const char *kms_key;
    json_int_t size_gib; /* 0 and !has_size: the snapshot's */
    json_int_t iops, throughput;
    bool has_size, has_iops, has_throughput;
    bool encrypted, has_encrypted, multi_attach;
};

/* Reads the members VolumeType, Size or VolumeSize, SnapshotId, Iops, Throughput,
 * Encrypted, KmsKeyId of CreateVolume's parameters or of an Ebs structure. */
int volume_spec_read(const json_t *node, const char *size_name, struct volume_spec *ret,
                     struct err *e) err_warn_unused;

/* Applies defaults and checks every rule, account limits included. */
int volume_spec_check(struct lab *lab, struct volume_spec *spec,
                      struct err *e) err_warn_unused;

/* Makes the file (or orders the copy) and the document, state "creating". The tag set is
 * taken over. */
int volume_create(struct act *a, const struct volume_spec *spec, json_t *tag_set,
                  json_t **ret_doc, struct err *e) err_warn_unused;

/* Gives a volume's document (and file, which may grow) the size, type and speed of a
 * checked spec, as ModifyVolume does. */
int volume_respec(struct lab *lab, json_t *doc, const struct volume_spec *spec,
                  struct err *e) err_warn_unused;

/* For CopyVolumes: the source's size, type, speed and encryption with the caller's
 * changes, checked. */
int volume_copy_spec(struct act *a, const json_t *src, struct volume_spec *spec,
                     struct err *e) err_warn_unused;
/* Has the copier fill the volume with what the source's file holds. */
int volume_copy_from(struct lab *lab, json_t *doc, const char *source_id,
                     struct err *e) err_warn_unused;

/* Removes the document and the file. */
int volume_delete(struct lab *lab, const char *id, struct err *e) err_warn_unused;

/* The attachment of a volume to that instance (any when NULL), or NULL; borrowed. */
json_t *volume_attachment(const json_t *volume, const char *instance_id);

/* Adds an attachment, already attached when `now`. */
int volume_add_attachment(json_t *volume, const char *instance_id, const char *device,
                          bool delete_on_termination, int64_t now_ms, int64_t due_ms,
                          struct err *e) err_warn_unused;

/* Takes the attachment out; the volume becomes available with its last one. */
int volume_drop_attachment(json_t *volume, const char *instance_id,
                           struct err *e) err_warn_unused;

/* Owned array of the volumes attached to an instance, in any attachment state. */
int volumes_of_instance(struct lab *lab, const char *instance_id, json_t **ret,
                        struct err *e) err_warn_unused;

/* Whether two device names are one attachment point (/dev/sdf, xvdf). */
bool device_names_clash(const char *a, const char *b);
/* EC2's naming rules (Linux HVM and Windows together). */
bool device_name_ok(const char *name);

#endif
