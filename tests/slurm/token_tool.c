/* For the tests of what Slurm lets in: any token that the site's key could sign.
 *
 * token_tool KEY JOB ATTEMPT UID EXPIRES NAME   EXPIRES: Unix time
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/pathsafe.h"
#include "jobs/token.h"

int main(int argc, char **argv)
{
    struct error err = {0};
    unsigned char secret[CRYPTO_KEY_SIZE];
    struct token token = {0};
    char text[TOKEN_SIZE];
    log_init("token_tool", false);
    if (argc != 7) {
        error_set(&err, PPT_EUSAGE, "token_tool KEY JOB ATTEMPT UID EXPIRES NAME");
        return log_error(&err);
    }
    if (pathsafe_read_secret(argv[1], secret, sizeof secret, &err) != 0)
        return log_error(&err);
    token.job_id = atoll(argv[2]);
    token.attempt = atoll(argv[3]);
    token.uid = atoll(argv[4]);
    token.expires_at_s = atoll(argv[5]);
    snprintf(token.name, sizeof token.name, "%s", argv[6]);
    token_make(&token, secret, text);
    puts(text);
    return 0;
}
