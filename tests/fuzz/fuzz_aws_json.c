/* JSON of metadata services, container agents, credential_process and EBS errors, and the
 * command line of credential_process. */
#include "aws/chain.h"
#include "aws/creds.h"
#include "aws/fault.h"
#include "aws/imds_impl.h"
#include "base/str.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void as_fault(const uint8_t *data, size_t len)
{
    struct http_answer a = {.status = 400};
    struct fault f;
    struct err e;

    buf_add(&a.body, data, len);
    buf_add(&a.headers, data, len);
    fault_read(&a, AWS_EBS, NULL, &f);
    fault_err(&f, AWS_EBS, "GetSnapshotBlock", &e);
    http_answer_release(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct imds_identity id;
    struct creds *c = NULL;
    char **argv = NULL;
    struct err e = ERR_INIT;
    auto_free char *text = str_ndup((const char *)data, len, &e);

    if (creds_from_json((const char *)data, len, "fuzz", &c, &e) == 0)
        creds_unref(c);
    if (imds_identity_parse((const char *)data, len, &id, &e) == 0)
        imds_identity_release(&id);
    if (text && chain_split_command(text, &argv, &e) == 0)
        free(argv);
    as_fault(data, len);
    return 0;
}
