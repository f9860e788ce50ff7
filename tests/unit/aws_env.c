/* See aws_env.h. */
#include "test.h"

#include "aws_env.h"

#include "base/clock.h"
#include "base/io.h"

#include <sys/stat.h>
#include <unistd.h>

static char home[64];

int aws_env_setup(void **state)
{
    for (size_t i = 0; environ[i];) {
        char name[128];

        snprintf(name, sizeof name, "%.*s", (int)strcspn(environ[i], "="), environ[i]);
        if (strncmp(name, "AWS_", 4) == 0 && unsetenv(name) == 0)
            i = 0;
        else
            i++;
    }
    snprintf(home, sizeof home, "/tmp/hotadd-aws-XXXXXX");
    if (!mkdtemp(home))
        return -1;
    setenv("HOME", home, 1);
    return 0;
}

int aws_env_teardown(void **state)
{
    struct err e;

    return io_remove_tree(home, &e);
}

void aws_env_file(const char *name, const char *text)
{
    char path[256];

    snprintf(path, sizeof path, "%s/.aws", home);
    mkdir(path, 0700);
    snprintf(path, sizeof path, "%s/.aws/%s", home, name);
    assert_ok(io_write_file_atomic(path, text, strlen(text), 0600, e));
}

void aws_env_keys(void)
{
    setenv("AWS_ACCESS_KEY_ID", TEST_KEY_ID, 1);
    setenv("AWS_SECRET_ACCESS_KEY", TEST_SECRET, 1);
    setenv("AWS_SESSION_TOKEN", TEST_TOKEN, 1);
    setenv("AWS_EC2_METADATA_DISABLED", "true", 1);
}

struct aws_options aws_env_options(const struct fake_http *f)
{
    return (struct aws_options){.region = "eu-west-1",
                                .endpoint_url = f ? fake_http_url(f) : NULL,
                                .call_timeout_ns = 20 * NS_PER_S,
                                .retry_base_ns = NS_PER_MS,
                                .settle_ns = 800 * NS_PER_MS};
}

struct aws *aws_env_client(const struct fake_http *f)
{
    struct aws_options o = aws_env_options(f);
    struct aws *aws = NULL;

    aws_env_keys();
    assert_ok(aws_new(&o, &aws, e));
    return aws;
}
