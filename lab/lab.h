/* One lab: a state directory being served. What the parts of hotadd-lab share. */
#ifndef HOTADD_LAB_LAB_H
#define HOTADD_LAB_LAB_H

#include "lab/store.h"

#include "base/err.h"

#include <pthread.h>
#include <stdint.h>

#define LAB_REGION  "us-east-1"
#define LAB_ACCOUNT "123456789012"
#define LAB_AMAZON  "801119661308" /* the account whose images are "owned by amazon" */
#define LAB_ROLE    "hotadd-proxy-role"

#define LAB_TIME_LEN 32

struct lab_settings {
    int64_t delay_ms;       /* of each asynchronous change of state */
    int64_t impaired_ms;    /* without a sign of health until a check fails */
    int64_t role_ttl_ms;    /* life of credentials given through IMDS */
    int64_t block_token_ms; /* life of the EBS direct APIs' tokens */
    int64_t max_volumes;    /* per account */
    int64_t max_disk_gib;   /* sum of volume sizes per account */
    bool no_machines;       /* instances change state but nothing boots */
};

struct machines; /* the QEMUs under this lab; lab/machines.h */
struct s3_store; /* buckets and objects; lab/s3_store.h */
struct copier;   /* copies of volume data under way; lab/copier.h */
struct importer; /* VM Import's tasks; lab/importer.h */

struct lab {
    char *state_dir; /* absolute; owned */
    struct lab_settings set;
    uint16_t api_port, imds_port; /* set before any request is served */
    struct s3_store *s3;          /* has a lock of its own */
    pthread_mutex_t lock; /* guards everything below, and one transaction at a time */
    pthread_cond_t wake;  /* the keeper has something to do, or a copy has ended */
    struct store *store;
    struct machines *machines;
    struct copier *copier;
    struct importer *importer;
    bool stopping;
};

/* Makes or opens the state directory and brings its documents, devices and copies up to
 * date. `state_dir` is borrowed. */
int lab_open(const char *state_dir, const struct lab_settings *set, struct lab **ret,
             struct err *e) err_warn_unused;
/* Stops threads and machines. No request may be under way. */
void lab_close(struct lab *lab);

/* First-start documents: zones' network, proxy instance, carrier images, credentials. */
int lab_seed(struct lab *lab, struct err *e) err_warn_unused;

int64_t lab_now_ms(void);
/* "2026-01-02T03:04:05.000Z"; returned. */
char *lab_time(char out[LAB_TIME_LEN], int64_t ms);

/* A value of the lab itself (kind "meta"), borrowed, or NULL. */
const char *lab_meta(struct lab *lab, const char *key);
int lab_meta_set(struct lab *lab, const char *key, const char *value,
                 struct err *e) err_warn_unused;

/* STATE/volumes/vol-….raw or STATE/snapshots/snap-….raw; owned, NULL with e set. */
char *lab_volume_path(const struct lab *lab, const char *id,
                      struct err *e) err_warn_unused;
char *lab_snapshot_path(const struct lab *lab, const char *id,
                        struct err *e) err_warn_unused;

#endif
