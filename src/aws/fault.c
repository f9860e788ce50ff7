/* Errors of the APIs; see fault.h. Tables first, then their readers. */
#include "aws/fault.h"

#include "base/json.h"
#include "base/str.h"
#include "base/xml.h"

/* Longest error answer that is read: refusals with encoded messages are a few KiB. */
#define MAX_ANSWER (256 * 1024)

struct code_row {
    const char *code;
    enum err_kind kind;
    enum fault_class class;
    const char *remedy; /* or NULL */
};

static const char renew[] = "the credentials have expired: renew them at their source";
static const char wrong_key[] = "AWS does not know this access key, or the secret does "
                                "not belong to it: check the credentials";
static const char our_clock[] = "this machine's clock differs from AWS's: set it";
static const char busy_volume[] = "it is attached, being attached or being detached";
static const char other_region[] =
    "the bucket is in another region, or has another endpoint: set AWS_REGION to its own";
static const char damaged[] = "the data changed on the way: is a proxy in between?";
static const char raise_quota[] =
    "ask for a higher quota in Service Quotas, or free some";

static const struct code_row codes[] = {
    {"AuthFailure", ERR_DENIED, FAULT_CLOCK, wrong_key},
    {"InvalidClientTokenId", ERR_DENIED, FAULT_FINAL, wrong_key},
    {"InvalidAccessKeyId", ERR_DENIED, FAULT_FINAL, wrong_key},
    {"UnrecognizedClientException", ERR_DENIED, FAULT_FINAL, wrong_key},
    {"SignatureDoesNotMatch", ERR_DENIED, FAULT_CLOCK,
     "the secret access key does not belong to the access key id, or the clock is wrong"},
    {"InvalidSignatureException", ERR_DENIED, FAULT_CLOCK, wrong_key},
    {"IncompleteSignature", ERR_DENIED, FAULT_FINAL, NULL},
    {"MissingAuthenticationToken", ERR_DENIED, FAULT_FINAL, NULL},
    {"RequestTimeTooSkewed", ERR_DENIED, FAULT_CLOCK, our_clock},
    {"RequestInTheFuture", ERR_DENIED, FAULT_CLOCK, our_clock},
    {"RequestExpired", ERR_DENIED, FAULT_EXPIRED,
     "the credentials have expired, or this machine's clock is wrong"},
    {"ExpiredToken", ERR_DENIED, FAULT_EXPIRED, renew},
    {"ExpiredTokenException", ERR_DENIED, FAULT_EXPIRED, renew},
    {"TokenRefreshRequired", ERR_DENIED, FAULT_EXPIRED, renew},
    {"UnauthorizedOperation", ERR_DENIED, FAULT_FINAL, NULL},
    {"AccessDenied", ERR_DENIED, FAULT_FINAL, NULL},
    {"AccessDeniedException", ERR_DENIED, FAULT_FINAL, NULL},
    {"OptInRequired", ERR_DENIED, FAULT_FINAL,
     "accept the product's terms in AWS Marketplace, or enable the region"},
    {"Blocked", ERR_DENIED, FAULT_FINAL, "the account is blocked: ask AWS Support"},
    {"PendingVerification", ERR_DENIED, FAULT_FINAL,
     "AWS is still verifying the account: wait for its e-mail"},

    {"InvalidToken", ERR_DENIED, FAULT_FINAL, wrong_key},
    {"AllAccessDisabled", ERR_DENIED, FAULT_FINAL, NULL},
    {"AccountProblem", ERR_DENIED, FAULT_FINAL, "ask AWS Support about the account"},

    {"InvalidAMIID.Unavailable", ERR_NOT_FOUND, FAULT_FINAL, NULL},
    {"NoSuchBucket", ERR_NOT_FOUND, FAULT_FINAL,
     "check the bucket's name, or make the bucket"},
    {"NoSuchKey", ERR_NOT_FOUND, FAULT_FINAL, NULL},
    {"NoSuchUpload", ERR_NOT_FOUND, FAULT_FINAL, NULL},
    {"NoSuchEntity", ERR_NOT_FOUND, FAULT_FINAL, NULL},
    {"ResourceNotFoundException", ERR_NOT_FOUND, FAULT_FINAL, NULL},

    {"VolumeInUse", ERR_BUSY, FAULT_FINAL, busy_volume},
    {"IncorrectState", ERR_BUSY, FAULT_FINAL, NULL},
    {"IncorrectInstanceState", ERR_BUSY, FAULT_FINAL, NULL},
    {"IncorrectModificationState", ERR_BUSY, FAULT_FINAL, NULL},
    {"VolumeModificationRateExceeded", ERR_BUSY, FAULT_FINAL,
     "EC2 allows one modification of a volume in six hours"},
    {"InvalidSnapshot.InUse", ERR_BUSY, FAULT_FINAL, "deregister the image that uses it"},
    {"InvalidIPAddress.InUse", ERR_BUSY, FAULT_FINAL, "choose another private address"},
    {"DependencyViolation", ERR_BUSY, FAULT_FINAL, NULL},

    {"InvalidAMIName.Duplicate", ERR_EXISTS, FAULT_FINAL, NULL},
    {"IdempotentParameterMismatch", ERR_EXISTS, FAULT_FINAL,
     "this client token was used before with other parameters"},

    {"BucketAlreadyExists", ERR_EXISTS, FAULT_FINAL, "choose another name"},
    {"BucketAlreadyOwnedByYou", ERR_EXISTS, FAULT_FINAL, NULL},
    {"PreconditionFailed", ERR_EXISTS, FAULT_FINAL, NULL},

    {"PermanentRedirect", ERR_USAGE, FAULT_FINAL, other_region},
    {"TemporaryRedirect", ERR_CLOUD, FAULT_TRANSIENT, NULL},
    {"AuthorizationHeaderMalformed", ERR_USAGE, FAULT_FINAL, other_region},
    {"IllegalLocationConstraintException", ERR_USAGE, FAULT_FINAL, other_region},
    {"InvalidBucketName", ERR_USAGE, FAULT_FINAL, NULL},
    {"InvalidRange", ERR_INPUT, FAULT_FINAL, "the object is shorter than that"},
    {"InvalidObjectState", ERR_UNSUPPORTED, FAULT_FINAL,
     "the object is in an archive class: restore it in S3 first"},
    {"NotImplemented", ERR_UNSUPPORTED, FAULT_FINAL, "this endpoint cannot do that"},

    {"InvalidAction", ERR_UNSUPPORTED, FAULT_FINAL,
     "this endpoint does not know the action"},
    {"UnsupportedOperation", ERR_UNSUPPORTED, FAULT_FINAL, NULL},
    {"Unsupported", ERR_UNSUPPORTED, FAULT_FINAL, NULL},
    {"UnknownParameter", ERR_UNSUPPORTED, FAULT_FINAL, NULL},

    {"InvalidVolume.ZoneMismatch", ERR_REQUIREMENT, FAULT_FINAL,
     "volume and instance must be in one Availability Zone"},
    {"AttachmentLimitExceeded", ERR_CLOUD, FAULT_FINAL,
     "the instance has no free attachment slot: detach something or use a type with "
     "more"},
    {"VolumeLimitExceeded", ERR_CLOUD, FAULT_FINAL, raise_quota},
    {"MaxIOPSLimitExceeded", ERR_CLOUD, FAULT_FINAL, raise_quota},
    {"SnapshotLimitExceeded", ERR_CLOUD, FAULT_FINAL, raise_quota},
    {"VcpuLimitExceeded", ERR_CLOUD, FAULT_FINAL, raise_quota},
    {"InstanceLimitExceeded", ERR_CLOUD, FAULT_FINAL, raise_quota},

    {"RequestLimitExceeded", ERR_CLOUD, FAULT_THROTTLE, NULL},
    {"EC2ThrottledException", ERR_CLOUD, FAULT_THROTTLE, NULL},
    {"RequestThrottled", ERR_CLOUD, FAULT_THROTTLE, NULL},
    {"RequestThrottledException", ERR_CLOUD, FAULT_THROTTLE, NULL},
    {"ThrottledException", ERR_CLOUD, FAULT_THROTTLE, NULL},
    {"TooManyRequestsException", ERR_CLOUD, FAULT_THROTTLE, NULL},
    {"PriorRequestNotComplete", ERR_CLOUD, FAULT_THROTTLE, NULL},
    {"BandwidthLimitExceeded", ERR_CLOUD, FAULT_THROTTLE, NULL},
    {"SnapshotCreationPerVolumeRateExceeded", ERR_CLOUD, FAULT_THROTTLE, NULL},
    {"SlowDown", ERR_CLOUD, FAULT_THROTTLE, NULL},
    {"ConditionalRequestConflict", ERR_BUSY, FAULT_THROTTLE, NULL},
    {"OperationAborted", ERR_BUSY, FAULT_THROTTLE, NULL},

    {"BadDigest", ERR_CLOUD, FAULT_TRANSIENT, damaged},
    {"XAmzContentSHA256Mismatch", ERR_CLOUD, FAULT_TRANSIENT, damaged},
    {"IncompleteBody", ERR_CLOUD, FAULT_TRANSIENT, damaged},
    {"RequestTimeout", ERR_CLOUD, FAULT_TRANSIENT, NULL},
    {"RequestTimeoutException", ERR_CLOUD, FAULT_TRANSIENT, NULL},
    {"InternalError", ERR_CLOUD, FAULT_TRANSIENT, NULL},
    {"InternalFailure", ERR_CLOUD, FAULT_TRANSIENT, NULL},
    {"Unavailable", ERR_CLOUD, FAULT_TRANSIENT, NULL},
    {"ServiceUnavailable", ERR_CLOUD, FAULT_TRANSIENT, NULL},
};

static const struct code_row *row_of(const char *code)
{
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++)
        if (str_eq(codes[i].code, code))
            return &codes[i];
    return NULL;
}

/* InsufficientInstanceCapacity and its kin come as HTTP 500, but minutes must pass
 * before another try makes sense: that is the caller's patience, not ours. */
static bool is_capacity(const char *code)
{
    return str_starts(code, "Insufficient") && str_ends(code, "Capacity");
}

enum fault_class fault_classify(const struct fault *f)
{
    const struct code_row *row = row_of(f->code);

    if (row)
        return row->class;
    /* Answers to HEAD have no body, hence no code: these statuses may mean it. */
    if (f->bare && f->status == 400)
        return FAULT_EXPIRED;
    if (f->bare && f->status == 403)
        return FAULT_CLOCK;
    if (str_starts(f->code, "Throttling") || f->status == 429)
        return FAULT_THROTTLE;
    if (is_capacity(f->code))
        return FAULT_FINAL;
    if (f->status == 500 || f->status == 502 || f->status == 503 || f->status == 504)
        return FAULT_TRANSIENT;
    return FAULT_FINAL;
}

static enum err_kind kind_of(const struct fault *f)
{
    const struct code_row *row = row_of(f->code);

    if (row)
        return row->kind;
    if (str_ends(f->code, ".NotFound"))
        return ERR_NOT_FOUND;
    if (str_ends(f->code, ".Duplicate"))
        return ERR_EXISTS;
    if (!f->code[0] && (f->status == 401 || f->status == 403))
        return ERR_DENIED;
    if (f->bare && f->status == 404)
        return ERR_NOT_FOUND;
    return ERR_CLOUD;
}

/* ---- Reading ---- */

static void copy_text(char *out, size_t len, const char *text)
{
    snprintf(out, len, "%s", text ? text : "");
}

/* Codes and ids come from outside and go into logs and the journal as they are. */
static void copy_word(char *out, size_t len, const char *text)
{
    copy_text(out, len, text);
    for (; *out; out++)
        if ((unsigned char)*out <= 0x20 || (unsigned char)*out >= 0x7f)
            *out = '?';
}

/* Ends the text where something begins that must not be shown, or helps nobody. */
static void cut_at(char *text, const char *mark)
{
    char *p = strstr(text, mark);

    if (!p)
        return;
    while (p > text && strchr(" .:\n\r\t", p[-1]))
        p--;
    *p = 0;
}

static void strike_out(char *text, const char *secret)
{
    size_t len = strlen(secret);

    if (!len)
        return;
    for (char *p; (p = strstr(text, secret));)
        memset(p, '*', len);
}

static void set_message(struct fault *f, char *text, const struct creds *creds)
{
    if (creds) {
        strike_out(text, secret_reveal(creds->secret_key));
        strike_out(text, secret_reveal(creds->token));
    }
    /* S3 and STS quote what they would have signed, all headers included. */
    cut_at(text, "The Canonical String");
    cut_at(text, "Authorization:");
    cut_at(text, "AWS4-HMAC-SHA256");
    cut_at(text, "Signature=");
    cut_at(text, "Encoded authorization failure message");
    copy_text(f->message, sizeof f->message, text);
}

static void read_xml(const struct http_answer *a, const struct creds *creds,
                     struct fault *f)
{
    auto_xml xmlDoc *doc = NULL;
    auto_free char *code = NULL, *message = NULL, *id = NULL, *region = NULL;
    struct err e;
    xmlNode *root, *error;

    if (xml_parse(buf_str(&a->body), a->body.len, MAX_ANSWER, "error", &doc, &e) < 0)
        return;
    root = xml_root(doc);
    error = xml_child(xml_child(root, "Errors"), "Error"); /* EC2 */
    if (!error)
        error = xml_child(root, "Error"); /* STS */
    if (!error)
        error = root; /* S3 */
    if (xml_child_text(error, "Code", &code, &e) < 0 ||
        xml_child_text(error, "Message", &message, &e) < 0 ||
        xml_child_text(error, "Region", &region, &e) < 0 ||
        xml_child_text(root, xml_child(root, "RequestID") ? "RequestID" : "RequestId",
                       &id, &e) < 0)
        return;
    copy_word(f->code, sizeof f->code, code);
    copy_word(f->request_id, sizeof f->request_id, id);
    copy_word(f->region, sizeof f->region, region);
    if (message)
        set_message(f, message, creds);
}

/* The code is in a header, after the last '#' and before ':'. */
static void read_json(const struct http_answer *a, const struct creds *creds,
                      struct fault *f)
{
    auto_free char *type = NULL, *message = NULL, *id = NULL;
    json_auto_t *doc = NULL;
    struct err e;

    if (http_answer_header(a, "x-amzn-ErrorType", &type, &e) < 0 ||
        http_answer_header(a, "x-amzn-RequestId", &id, &e) < 0)
        return;
    copy_word(f->request_id, sizeof f->request_id, id);
    if (a->body.len <= MAX_ANSWER &&
        json_parse(buf_str(&a->body), a->body.len, "error", &doc, &e) == 0) {
        const char *text = json_str_or(doc, "Message", json_str_or(doc, "message", ""));

        message = str_dup(text, &e);
        if (!type)
            type = str_dup(json_str_or(doc, "__type", ""), &e);
    }
    if (type) {
        const char *start = strrchr(type, '#');

        type[strcspn(type, ":")] = 0;
        copy_word(f->code, sizeof f->code, start ? start + 1 : type);
    }
    if (message)
        set_message(f, message, creds);
}

/* What S3 says in headers: all there is when HEAD was asked, and where a bucket is. */
static void read_s3_headers(const struct http_answer *a, struct fault *f)
{
    auto_free char *region = NULL, *id = NULL;
    struct err e;

    f->bare = a->body.len == 0;
    if (http_answer_header(a, "x-amz-bucket-region", &region, &e) == 0 && region &&
        (a->status == 301 || a->status == 307 || a->status == 400))
        copy_word(f->region, sizeof f->region, region);
    if (!f->request_id[0] && http_answer_header(a, "x-amz-request-id", &id, &e) == 0)
        copy_word(f->request_id, sizeof f->request_id, id);
}

void fault_read(const struct http_answer *a, enum aws_service service,
                const struct creds *creds, struct fault *ret)
{
    *ret = (struct fault){.status = a->status};
    if (service == AWS_EBS)
        read_json(a, creds, ret);
    else
        read_xml(a, creds, ret);
    if (service == AWS_S3)
        read_s3_headers(a, ret);
}

/* ---- Telling ---- */

static const char *const iam_prefix[AWS_SERVICES] = {[AWS_EC2] = "ec2",
                                                     [AWS_STS] = "sts",
                                                     [AWS_S3] = "s3",
                                                     [AWS_EBS] = "ebs",
                                                     [AWS_IAM] = "iam"};

/* S3's actions have other names in policies than in its API. */
static const char *iam_action(enum aws_service service, const char *action)
{
    static const char *const names[][2] = {
        {"HeadObject", "GetObject"},
        {"HeadBucket", "ListBucket"},
        {"ListObjectsV2", "ListBucket"},
        {"DeleteObjects", "DeleteObject"},
        {"CreateMultipartUpload", "PutObject"},
        {"UploadPart", "PutObject"},
        {"UploadPartCopy", "PutObject"},
        {"CompleteMultipartUpload", "PutObject"},
        {"ListParts", "ListMultipartUploadParts"},
        {"ListMultipartUploads", "ListBucketMultipartUploads"},
    };

    for (size_t i = 0; service == AWS_S3 && i < sizeof names / sizeof names[0]; i++)
        if (str_eq(names[i][0], action))
            return names[i][1];
    return action;
}

/* AWS names what was missing ("… is not authorized to perform: ec2:CreateTags on …");
 * it need not be the action called. */
static void missing_action(const struct fault *f, enum aws_service service,
                           const char *action, char *out, size_t out_len)
{
    const char *p = strstr(f->message, "perform: ");

    if (p) {
        size_t len = strcspn(p + 9, " \n\"'");

        if (len > 2 && len < 100) {
            snprintf(out, out_len, "%.*s", (int)len, p + 9);
            return;
        }
    }
    snprintf(out, out_len, "%s:%s", iam_prefix[service], iam_action(service, action));
}

static bool is_permission(const struct fault *f)
{
    return str_eq(f->code, "UnauthorizedOperation") ||
           str_starts(f->code, "AccessDenied") || (f->bare && f->status == 403);
}

int fault_err(const struct fault *f, enum aws_service service, const char *action,
              struct err *e)
{
    const struct code_row *row = row_of(f->code);
    enum fault_class class = fault_classify(f);
    char remedy[256] = "", missing[128];

    if (is_permission(f)) {
        missing_action(f, service, action, missing, sizeof missing);
        /* S3 does not tell an object's absence to those who may not list. */
        snprintf(remedy, sizeof remedy,
                 ": allow %s%s in the IAM policy of the credentials in use", missing,
                 str_eq(missing, "s3:GetObject") ? " and s3:ListBucket" : "");
    } else if (row && row->remedy) {
        snprintf(remedy, sizeof remedy, ": %s", row->remedy);
    } else if (f->bare && f->status == 400) {
        snprintf(remedy, sizeof remedy,
                 ", which may mean expired credentials or another region");
    } else if (f->status >= 300 && f->status < 400 && !f->code[0]) {
        snprintf(remedy, sizeof remedy,
                 ": redirects are not followed: check region and endpoint");
    }
    if (f->code[0])
        err_set(e, kind_of(f), "%s: %s: %s%s", action, f->code, f->message, remedy);
    else
        err_set(e, kind_of(f), "%s: HTTP status %d%s", action, f->status, remedy);
    e->retryable =
        class == FAULT_TRANSIENT || class == FAULT_THROTTLE || is_capacity(f->code);
    copy_text(e->aws_code, sizeof e->aws_code, f->code);
    copy_text(e->request_id, sizeof e->request_id, f->request_id);
    return -1;
}
