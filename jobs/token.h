/* The admission token: a line of text by which Slurm's side knows that the scheduler
 * has priced and admitted a job.
 *
 *     ppt1:JOB:ATTEMPT:UID:EXPIRES:NAME:SIGNATURE
 *
 * Numbers are decimal, EXPIRES is Unix time in seconds, SIGNATURE is Ed25519 by the key
 * that signs plans over "ppt-token\n" and all before the last colon, in lower-case
 * hexadecimal. Plans begin with a brace, so neither can be shown for the other. There
 * is one spelling of a token: what is parsed writes the same bytes.
 *
 * It is not a secret. It is good for one user, one job name and a submission before it
 * expires; whoever copies it can hand in that user's job of that name and no other.
 * That an attempt runs once is not its work but the ticket's (slurm/README.md).
 */
#ifndef PPT_JOBS_TOKEN_H
#define PPT_JOBS_TOKEN_H

#include <stdint.h>

#include "base/crypto.h"
#include "base/error.h"

#define TOKEN_NAME_SIZE 128
#define TOKEN_SIZE 352 /* of the text with its end */

struct token {
    int64_t job_id, attempt; /* 1, 2, ... */
    int64_t uid;             /* whose job it is in Slurm; 0 to 2^32 - 2 */
    int64_t expires_at_s;    /* Unix time; not later may the job be handed to Slurm */
    char name[TOKEN_NAME_SIZE]; /* of the job in Slurm; a name as in jobs/spec/name.h */
};

/* What Slurm says about the job that shows a token. */
struct token_bearer {
    int64_t uid;
    const char *name;
    int64_t submitted_at_s; /* Unix time */
};

/* Signs; `secret_key` is the plan key's 32-byte seed. A field that no token may have is
 * a bug of the caller. */
void token_make(const struct token *token,
                const unsigned char secret_key[CRYPTO_KEY_SIZE],
                char ret_text[TOKEN_SIZE]);

/* Form and signature. Errors: PPT_ETRUST (says which part is wrong). */
int token_read(const char *text, const unsigned char public_key[CRYPTO_KEY_SIZE],
               struct token *ret_token, struct error *err);

/* Is it this job's? User, name, expiry. Errors: PPT_ETRUST. */
int token_check(const struct token *token, const struct token_bearer *bearer,
                struct error *err);

#endif
