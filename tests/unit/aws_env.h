/* An environment of its own for tests of the AWS client: nothing of the machine's
 * settings, an empty home, a client that is quick to lose patience. */
#ifndef HOTADD_TESTS_UNIT_AWS_ENV_H
#define HOTADD_TESTS_UNIT_AWS_ENV_H

#include "aws/aws.h"
#include "fake_http.h"

#define TEST_KEY_ID "AKIDTESTTESTTESTTEST"
#define TEST_SECRET "S3cr3tK3yTh4tMustN3verB3Shown/+abcdefgh"
#define TEST_TOKEN  "T0kenTh4tMustN3verB3ShownEither+/abcdefghijkl=="

/* Unsets every AWS variable, makes an empty HOME. cmocka's setup and teardown. */
int aws_env_setup(void **state);
int aws_env_teardown(void **state);

/* Writes HOME/.aws/NAME. */
void aws_env_file(const char *name, const char *text);
/* Keys in the environment, and no metadata service. */
void aws_env_keys(void);

/* Options: region eu-west-1, everything at f, milliseconds instead of seconds. */
struct aws_options aws_env_options(const struct fake_http *f);
/* A client with those and with aws_env_keys(). */
struct aws *aws_env_client(const struct fake_http *f);

#endif
