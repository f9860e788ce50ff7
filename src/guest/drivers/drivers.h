/* AWS's packages for Windows, as the user put them into a folder of the proxy: which are
 * there, of which version, and which guests they serve. hotadd brings none of them and
 * downloads none; docs/windows.md says where AWS publishes them.
 *
 * Functions block on reading files. What is in the folder is foreign. */
#ifndef HOTADD_GUEST_DRIVERS_DRIVERS_H
#define HOTADD_GUEST_DRIVERS_DRIVERS_H

#include "guest/drivers/bundle.h"
#include "guest/drivers/inf.h"

enum package_form {
    PACKAGE_DRIVER, /* zip with .inf, .sys and .cat files */
    PACKAGE_MSI,    /* zip with an installer .msi */
    PACKAGE_BARE_MSI,
    PACKAGE_EXE,    /* zip with an installer .exe */
    PACKAGE_SCRIPT, /* zip of scripts, with install.ps1 beside it */
};

struct package_kind {
    const char *id;    /* "ena" */
    const char *title; /* "ENA network driver" */
    const char *stem;  /* beginning of the file's name, without regard to case */
    enum package_form form;
    const char *device;   /* a hardware id that its INF must serve; NULL: none */
    const char *ceiling;  /* newest version for Server 2012 R2; NULL: none is known */
    uint32_t first, last; /* builds that it serves */
    const char *url;      /* where AWS publishes the current one */
};
/* Ends with id NULL. */
extern const struct package_kind package_kinds[];

struct driver_package {
    const struct package_kind *kind;
    char *path;    /* owned */
    char *version; /* owned; "" unknown */
    char *fault;   /* owned; why it cannot be used; NULL: it can */
    char sha256[65];
    struct VEC(struct inf) infs;
};

struct driver_store {
    char *dir; /* owned */
    bool exists;
    struct VEC(struct driver_package) packages;
};

/* Looks at the files in dir and its direct subfolders. A folder that does not exist is an
 * empty store; a file that is no sound package is one with a fault. */
int driver_store_open(const char *dir, struct driver_store **ret,
                      struct err *e) err_warn_unused;
void driver_store_free(struct driver_store *s);
DEFINE_AUTO_PTR(struct driver_store, driver_store_free)
#define auto_driver_store auto_call(driver_store_free_autop)

const struct package_kind *package_kind_named(const char *id); /* NULL: none */

/* Whether the package serves that build of Windows. */
bool driver_package_serves(const struct driver_package *p, uint32_t build);
/* The newest that does; borrowed, NULL: none. */
const struct driver_package *driver_store_choose(const struct driver_store *s,
                                                 const char *kind, uint32_t build);

/* Its files, read anew; the archive must still be the one that was looked at. A bare
 * installer is a bundle of itself. */
int driver_package_read(const struct driver_package *p, struct bundle *ret,
                        struct err *e) err_warn_unused;

/* Dotted numbers, compared as numbers: below, at or above 0. */
int version_compare(const char *a, const char *b);

#endif
