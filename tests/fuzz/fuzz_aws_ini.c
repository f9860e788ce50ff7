/* ~/.aws/config and ~/.aws/credentials. */
#include "aws/ini.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct aws_ini *ini = NULL;
    struct err e = ERR_INIT;

    if (aws_ini_parse((const char *)data, len, "fuzz", &ini, &e) == 0) {
        aws_ini_get(ini, "default", "region", NULL);
        aws_ini_get(ini, "services dev", "ec2", "endpoint_url");
        aws_ini_has(ini, "profile two words");
        aws_ini_free(ini);
    }
    return 0;
}
