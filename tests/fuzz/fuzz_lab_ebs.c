/* Requests of the EBS direct APIs: the first line is method and target, the second a
 * token, the rest a body of StartSnapshot. */
#include "lab/ebs_request.h"

#include "base/auto.h"
#include "base/str.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void try_target(char *line)
{
    char *target = strchr(line, ' '), *query;
    struct ebs_target t;
    struct err e = ERR_INIT;
    uint64_t n = 0;

    if (!target)
        return;
    *target++ = 0;
    query = strchr(target, '?');
    if (query)
        *query++ = 0;
    if (ebs_target_parse(line, target, query ? query : "", &t, &e) < 0)
        return;
    if (ebs_query_number(&t, "maxResults", 10000, &n, &e) < 0)
        n = 0;
    ebs_target_release(&t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static const unsigned char key[EBS_KEY_BYTES] = {1, 2, 3};
    struct err e = ERR_INIT;
    auto_free char *text = str_ndup((const char *)data, len, &e);
    char *token = text ? strchr(text, '\n') : NULL, *body;
    char good[EBS_TOKEN_LEN];
    struct ebs_start s;
    uint64_t number;

    if (!token)
        return 0;
    *token++ = 0;
    try_target(text);
    body = strchr(token, '\n');
    if (body)
        *body++ = 0;
    if (ebs_token_check(key, "block snap-1 2", token, 0, &number)) {
        /* Only what was made with the key passes. */
        ebs_token_make(key, "block snap-1 2", number, 1, good);
    }
    if (body && ebs_start_parse(body, strlen(body), &s, &e) == 0)
        ebs_start_release(&s);
    return 0;
}
