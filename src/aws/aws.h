/* One account seen through one region: configuration, credentials and connections that
 * every call of ec2.h, s3.h, sts.h and imds.h goes through.
 *
 * Settings are found as the AWS CLI finds them: `struct aws_options` first, then the
 * environment (AWS_REGION, AWS_DEFAULT_REGION, AWS_PROFILE, AWS_ACCESS_KEY_ID,
 * AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, AWS_ENDPOINT_URL, AWS_ENDPOINT_URL_EC2,
 * _S3, _EBS, _STS and _IAM, AWS_IGNORE_CONFIGURED_ENDPOINT_URLS, AWS_CA_BUNDLE,
 * AWS_CONFIG_FILE, AWS_SHARED_CREDENTIALS_FILE, AWS_CONTAINER_CREDENTIALS_*,
 * AWS_EC2_METADATA_SERVICE_ENDPOINT, AWS_EC2_METADATA_DISABLED), then the profile in
 * ~/.aws/config and ~/.aws/credentials, then, for region and credentials, the instance
 * metadata service. The environment is read once, by aws_new(); the files again whenever
 * credentials are renewed, so that other programs may rotate them.
 *
 * Credentials are fetched when first needed, renewed five minutes before they expire,
 * and once more when EC2 says that they have expired. They live in `struct secret` and
 * reach neither logs nor errors.
 *
 * Threads: a `struct aws` may be used by any number of threads at once; each call takes
 * a connection of its own from a pool. Calls block: until the answer, the deadline
 * (ERR_TIMEOUT) or the cancellation (ERR_CANCELLED).
 *
 * Errors of every call: ERR_CLOUD, ERR_DENIED, ERR_NOT_FOUND, ERR_BUSY or ERR_EXISTS
 * with aws_code and request_id when the API answered; ERR_NETWORK when nothing did;
 * ERR_INPUT when the answer made no sense. The message names the action and, where there
 * is a known remedy, the remedy. Retryable trouble has been retried already: `retryable`
 * tells the caller that more patience may still help. */
#ifndef HOTADD_AWS_AWS_H
#define HOTADD_AWS_AWS_H

#include "base/auto.h"
#include "base/cancel.h"
#include "base/err.h"

#include <stdint.h>

struct aws;
struct imds;

enum aws_service { AWS_EC2, AWS_STS, AWS_S3, AWS_EBS, AWS_IAM };
#define AWS_SERVICES 5

/* All borrowed for the duration of aws_new(), except `cancel`, which must outlive the
 * `struct aws`. NULL and 0 mean "as the environment and the profile say, else the
 * default". */
struct aws_options {
    const char *region;
    const char *profile;
    const char *endpoint_url;                /* for every service… */
    const char *endpoint_urls[AWS_SERVICES]; /* …and for one of them, stronger */
    const char *ca_bundle;                   /* PEM file */
    const struct cancel *cancel;             /* ends calls, waits and retries */

    /* Policy; the defaults suit EC2, tests shorten them. */
    uint64_t call_timeout_ns; /* one call with all its retries; 0: 3 min */
    uint64_t retry_base_ns;   /* first backoff, doubled each time; 0: 300 ms */
    uint64_t settle_ns; /* how long EC2 may not know yet what it just made; 0: 20 s */
};

/* Reads configuration; asks the network for nothing unless the region must come from
 * the metadata service (a few seconds at most). ERR_USAGE names the setting at fault:
 * no region, no such profile, an endpoint that is plain http but not loopback. The
 * result is owned. */
int aws_new(const struct aws_options *options, struct aws **ret,
            struct err *e) err_warn_unused;
void aws_free(struct aws *aws);

DEFINE_AUTO_PTR(struct aws, aws_free)
#define auto_aws auto_call(aws_free_autop)

/* Borrowed from aws, never NULL. */
const char *aws_region(const struct aws *aws);
/* "from AWS_REGION", "from profile prod", "from the instance metadata service". */
const char *aws_region_source(const struct aws *aws);
/* What the service is reached at, "https://ec2.eu-west-1.amazonaws.com". */
const char *aws_endpoint(const struct aws *aws, enum aws_service service);
/* "aws", "aws-cn", "aws-us-gov", …: the second word of ARNs. */
const char *aws_partition(const struct aws *aws);

/* Makes sure that there are credentials (fetching them if need be) and stores where
 * they came from: "profile prod in /home/me/.aws/credentials", "role hotadd-proxy of
 * this instance". Owned. ERR_DENIED lists every place that was looked at. */
int aws_credentials_source(struct aws *aws, char **ret, struct err *e) err_warn_unused;

/* The metadata service as configured. Borrowed from aws; may be used by many threads. */
struct imds *aws_imds(struct aws *aws);

#endif
