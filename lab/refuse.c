/* Errors as the API answers them; see refuse.h. No state. */
#include "lab/refuse.h"

#include "base/str.h"

#include <stdio.h>

int refuse(struct err *e, const char *code, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    err_vset(e, ERR_CLOUD, fmt, ap);
    va_end(ap);
    snprintf(e->aws_code, sizeof e->aws_code, "%s", code);
    return -1;
}

int refuse_missing(struct err *e, const char *name)
{
    return refuse(e, "MissingParameter", "The request must contain the parameter %s",
                  name);
}

int refuse_value(struct err *e, const char *name, const char *value, const char *why)
{
    return refuse(e, "InvalidParameterValue",
                  "Value (%.200s) for parameter %s is invalid.%s%s", value, name,
                  *why ? " " : "", why);
}

unsigned refuse_status(const char *code)
{
    static const struct {
        const char *code;
        unsigned status;
    } table[] = {
        {"AuthFailure", 401},
        {"DryRunOperation", 412},
        {"ExpiredToken", 403},
        {"ExpiredTokenException", 403},
        {"IncompleteSignatureException", 400},
        {"IncompleteSignature", 400},
        {"InsufficientInstanceCapacity", 500},
        {"InternalError", 500},
        {"InternalFailure", 500},
        {"InternalServerException", 500},
        {"InvalidSignatureException", 403},
        {"ResourceNotFoundException", 404},
        {"ServiceQuotaExceededException", 402},
        {"UnknownOperationException", 404},
        {"UnrecognizedClientException", 403},
        {"InvalidClientTokenId", 403},
        {"RequestEntityTooLarge", 413},
        {"RequestLimitExceeded", 503},
        {"ServerInternal", 500},
        {"ServiceUnavailable", 503},
        {"SignatureDoesNotMatch", 403},
        {"UnauthorizedOperation", 403},
        {"Unavailable", 503},
        {"AccessDenied", 403},
        {"AccessDeniedException", 403},
        {"ConflictException", 409},
        {"DeleteConflict", 409},
        {"EntityAlreadyExists", 409},
        {"LimitExceeded", 409},
        {"NoSuchEntity", 404},
        {"BucketAlreadyExists", 409},
        {"BucketAlreadyOwnedByYou", 409},
        {"BucketNotEmpty", 409},
        {"ConditionalRequestConflict", 409},
        {"InvalidAccessKeyId", 403},
        {"InvalidRange", 416},
        {"MethodNotAllowed", 405},
        {"MissingContentLength", 411},
        {"NoSuchBucket", 404},
        {"NoSuchKey", 404},
        {"NoSuchUpload", 404},
        {"NotImplemented", 501},
        {"NotModified", 304},
        {"OperationAborted", 409},
        {"PreconditionFailed", 412},
        {"RequestTimeTooSkewed", 403},
        {"SlowDown", 503},
    };

    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (str_eq(table[i].code, code))
            return table[i].status;
    return 400;
}
