/* A registry hive, opened from bytes and made bytes again: a thin layer over libhivex,
 * which is linked into the child only (docs/decisions/windows-hives.md).
 *
 * Key paths are relative to the hive's root and parted by backslashes,
 * "ControlSet001\\Services\\disk"; "" is the root. Names are compared without regard to
 * case, as Windows does. Strings are UTF-8 here and UTF-16LE in the hive. What a hive
 * holds is hostile: damage is ERR_INPUT. One thread at a time; nothing blocks. */
#ifndef HOTADD_GUEST_WINDOWS_HIVE_H
#define HOTADD_GUEST_WINDOWS_HIVE_H

#include "base/auto.h"
#include "base/buf.h"
#include "base/strv.h"

#include <stdbool.h>
#include <stdint.h>

/* Largest hive that is read; SOFTWARE of a busy server has about 100 MiB. */
#define HIVE_MAX_BYTES (256u << 20)

/* Types of values, as Windows numbers them. */
enum reg_type {
    REG_T_NONE = 0,
    REG_T_SZ = 1,
    REG_T_EXPAND_SZ = 2,
    REG_T_BINARY = 3,
    REG_T_DWORD = 4,
    REG_T_MULTI_SZ = 7,
};

struct hive;

/* name is for messages: "SYSTEM". The hive must be clean (see hivelog.h). */
int hive_open(const void *data, size_t len, const char *name, struct hive **ret,
              struct err *e) err_warn_unused;
void hive_free(struct hive *h);
DEFINE_AUTO_PTR(struct hive, hive_free)
#define auto_hive auto_call(hive_free_autop)

/* Whether anything was changed since it was opened. */
bool hive_changed(const struct hive *h);

/* The hive as it is now, appended. */
int hive_bytes(struct hive *h, struct buf *out, struct err *e) err_warn_unused;

/* ---- reading: 1 there, 0 absent (outputs untouched), -1 error ---- */

int hive_has_key(struct hive *h, const char *path, struct err *e) err_warn_unused;
/* Names of the subkeys, sorted. */
int hive_keys(struct hive *h, const char *path, struct strv *ret,
              struct err *e) err_warn_unused;
int hive_value_names(struct hive *h, const char *path, struct strv *ret,
                     struct err *e) err_warn_unused;
/* name "" is the key's default value. Bytes are appended. */
int hive_get(struct hive *h, const char *path, const char *name, uint32_t *ret_type,
             struct buf *ret, struct err *e) err_warn_unused;
/* A DWORD; another type is ERR_INPUT. */
int hive_get_u32(struct hive *h, const char *path, const char *name, uint32_t *ret,
                 struct err *e) err_warn_unused;
/* SZ or EXPAND_SZ, owned. */
int hive_get_str(struct hive *h, const char *path, const char *name, char **ret,
                 struct err *e) err_warn_unused;
/* MULTI_SZ, or a single string as one. */
int hive_get_strv(struct hive *h, const char *path, const char *name, struct strv *ret,
                  struct err *e) err_warn_unused;

/* ---- changing: 1 changed, 0 it was that way already, -1 error ---- */

/* Keys on the way are made, with the security of their parents. */
int hive_add_key(struct hive *h, const char *path, struct err *e) err_warn_unused;
int hive_set(struct hive *h, const char *path, const char *name, uint32_t type,
             const void *data, size_t len, struct err *e) err_warn_unused;
int hive_set_u32(struct hive *h, const char *path, const char *name, uint32_t value,
                 struct err *e) err_warn_unused;
/* type: REG_T_SZ or REG_T_EXPAND_SZ. */
int hive_set_str(struct hive *h, const char *path, const char *name, uint32_t type,
                 const char *value, struct err *e) err_warn_unused;
int hive_set_strv(struct hive *h, const char *path, const char *name,
                  const struct strv *values, struct err *e) err_warn_unused;
int hive_delete_value(struct hive *h, const char *path, const char *name,
                      struct err *e) err_warn_unused;
/* With all below it. */
int hive_delete_key(struct hive *h, const char *path, struct err *e) err_warn_unused;

#endif
