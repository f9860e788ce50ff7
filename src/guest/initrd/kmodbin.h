/* kmod's binary index (modules.dep.bin, modules.alias.bin, …), version 2.1: a trie from
 * keys to values. Internal to this folder.
 *
 * Layout, all numbers big-endian: u32 magic B007F457, u32 version 00020001, u32 root.
 * A reference to a node has its offset in the low 28 bits and says in the high ones which
 * parts follow there, in this order: 80000000 a NUL-terminated prefix; 20000000 first and
 * last byte (u8 each) of a range of children and a u32 reference for each byte of it (0:
 * none); 40000000 a u32 count of values, each a u32 priority and a NUL-terminated string.
 * The prefix comes before the child's byte. (libkmod-index.c; depmod writes the same.) */
#ifndef HOTADD_GUEST_INITRD_KMODBIN_H
#define HOTADD_GUEST_INITRD_KMODBIN_H

#include "base/buf.h"
#include "base/err.h"
#include "base/vec.h"

#include <stdint.h>

struct kmodbin_value {
    char *key, *value; /* owned by whoever filled the array, see below */
    uint32_t priority; /* lower comes first */
};

struct kmodbin_values VEC(struct kmodbin_value);

/* Appends everything in the index, in key order; key and value are owned (release with
 * kmodbin_values_release). Hostile data: offsets are checked, and no more references are
 * followed than a file of that size can hold. */
int kmodbin_read(const void *data, size_t len, struct kmodbin_values *ret,
                 struct err *e) err_warn_unused;
void kmodbin_values_release(struct kmodbin_values *v);

/* Appends an index of the values, given in any order, to out. Values of one key come out
 * by priority, equal ones as given. Keys are ASCII; others are left out, as depmod does.
 */
int kmodbin_write(const struct kmodbin_values *v, struct buf *out,
                  struct err *e) err_warn_unused;

#endif
