/* ppt-token: is this line the admission token of that job? For Slurm's prolog. */
#include <stdio.h>

#include "base/log.h"
#include "base/opt.h"
#include "base/pathsafe.h"
#include "jobs/token.h"

struct request {
    const char *public_key, *text;
    struct token_bearer bearer;
};

static int parse(int argc, char **argv, struct request *request, struct error *err)
{
    struct token_bearer *bearer = &request->bearer;
    const struct opt options[] = {
        {"public-key", 0, OPT_STRING, &request->public_key, "FILE",
         "the scheduler's key, 32 bytes", NULL},
        {"uid", 0, OPT_INTEGER, &bearer->uid, "N", "the job's user id", NULL},
        {"name", 0, OPT_STRING, &bearer->name, "NAME", "the job's name", NULL},
        {"submitted", 0, OPT_INTEGER, &bearer->submitted_at_s, "TIME",
         "of its submission, in Unix seconds", NULL}};
    const struct opt_program program = {
        .name = "ppt-token",
        .usage = "--public-key FILE --uid N --name NAME --submitted TIME -- TOKEN",
        .summary = "Checks that a job of Slurm carries its own admission token.",
        .epilogue = "Exit status: 0 it does, and stdout says \"job N attempt M\";\n"
                    "13 it does not; 2 or 3 where nothing can be said of it.",
        .options = options,
        .n_options = (int)(sizeof options / sizeof options[0]),
        .min_operands = 1,
        .max_operands = 1};
    int n_operands;
    int rc = opt_parse(&program, argc, argv, &n_operands, err);
    if (rc != 0)
        return rc;
    request->text = argv[1];
    if (request->public_key != NULL && bearer->name != NULL && bearer->uid >= 0 &&
        bearer->submitted_at_s >= 0)
        return 0;
    error_set(err, PPT_EUSAGE,
              "expected --public-key, --uid, --name and --submitted of the job");
    return error_hint(err, "run ppt-token --help");
}

/* A key that cannot be trusted is the site's fault and says nothing of the token. */
static int read_key(const char *path, unsigned char ret_key[CRYPTO_KEY_SIZE],
                    struct error *err)
{
    int rc = pathsafe_read_public(path, ret_key, CRYPTO_KEY_SIZE, err);
    if (rc == 0)
        return 0;
    err->code = PPT_EIO;
    return -PPT_EIO;
}

int main(int argc, char **argv)
{
    struct request request = {.bearer = {.uid = -1, .submitted_at_s = -1}};
    struct error err = {0};
    unsigned char public_key[CRYPTO_KEY_SIZE];
    struct token token;
    log_init("ppt-token", true);
    int rc = parse(argc, argv, &request, &err);
    if (rc == 0)
        rc = read_key(request.public_key, public_key, &err);
    if (rc == 0)
        rc = token_read(request.text, public_key, &token, &err);
    if (rc == 0)
        rc = token_check(&token, &request.bearer, &err);
    if (rc != 0)
        return log_error(&err);
    printf("job %lld attempt %lld\n", (long long)token.job_id,
           (long long)token.attempt);
    return 0;
}
