/* Windows' driver information files (.inf): what a driver is, which systems and devices
 * it serves, and which files it needs. Pure; the text is foreign.
 *
 * Source: Microsoft's "INF File Sections and Directives" (Version, Manufacturer, Models,
 * SourceDisksFiles, Strings) and "Combining Platform Extensions with Operating System
 * Versions" for decorations. */
#ifndef HOTADD_GUEST_DRIVERS_INF_H
#define HOTADD_GUEST_DRIVERS_INF_H

#include "base/auto.h"
#include "base/strv.h"

#include <stdbool.h>
#include <stdint.h>

#define INF_MAX_BYTES (4u << 20)

/* One section of models, for the systems that its decoration names. */
struct inf_models {
    char *decoration; /* owned: "NTamd64.10.0"; "" for all */
    struct strv ids;  /* hardware and compatible ids */
};

struct inf {
    /* Owned; "" where the file does not say. */
    char *class_name, *class_guid, *provider;
    char *version; /* of DriverVer: "2.7.0.0" */
    char *catalog; /* "ena.cat" */
    struct VEC(struct inf_models) models;
    struct strv files; /* of SourceDisksFiles, in lower case */
};

/* UTF-16LE and UTF-8 with their marks, else one byte a character. ERR_INPUT for what is
 * no INF of a driver for Windows NT. */
int inf_parse(const void *data, size_t len, struct inf *ret,
              struct err *e) err_warn_unused;
void inf_release(struct inf *f);
#define auto_inf auto_call(inf_release)

/* Whether a decoration covers the 64-bit server of that build. */
bool inf_decoration_serves(const char *decoration, uint32_t build);
/* Whether any section with ids does. */
bool inf_serves(const struct inf *f, uint32_t build);
/* Whether the device (an id's beginning, "PCI\\VEN_1D0F&DEV_EC20") is served there. */
bool inf_serves_device(const struct inf *f, uint32_t build, const char *id);

#endif
