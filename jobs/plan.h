/* What the scheduler hands to the worker: a signed plan in the job's directory.
 *
 * The directory holds plan.json, plan.sig (Ed25519 over plan.json's bytes), spec.json
 * (the spec's canonical form) and manifest.yaml (as registered); the plan names both by
 * SHA-256. An empty meter is made with the first signature (jobs/privacy/meter.h says
 * what it binds); the worker charges it, and writes checkpoint (and its key),
 * report.json and the model beside it. Guarantee: plan_load returns a plan only if the
 * signature, both digests and the job directory agree.
 */
#ifndef PPT_JOBS_PLAN_H
#define PPT_JOBS_PLAN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/crypto.h"
#include "base/error.h"
#include "jobs/manifest.h"
#include "jobs/privacy/price.h"
#include "jobs/spec/spec.h"

#define PLAN_PATH_SIZE 1024
#define PLAN_HOSTS_SIZE 4096
#define PLAN_METER "meter"
#define PLAN_PLOT "rounds.svg" /* of a federation that is done */
#define PLAN_KEY_HANDED "handed"
#define PLAN_SIGNATURE_SIZE 64 /* Ed25519 */

struct plan {
    int64_t job_id;
    int64_t attempt;     /* 1, 2, ...: a restart is a new attempt */
    int64_t epoch;       /* fencing: the scheduler's lease */
    int64_t issued_at_s; /* Unix time */
    int64_t uid; /* whose processes may run it; -1: anybody's (an older version's) */
    char hosts[PLAN_HOSTS_SIZE];    /* where: "n1,n2", as gethostname has them; "": not
                                       known when it was signed */
    char directory[PLAN_PATH_SIZE]; /* absolute, of the job */
    char data_file[PLAN_PATH_SIZE]; /* absolute, of the HDF5 file */
    char checkpoint_keys[PLAN_PATH_SIZE]; /* absolute, of the directory where the worker
                                             keeps the checkpoints' key; "": with them;
                                             PLAN_KEY_HANDED: who starts rank 0 hands
                                             it the key, and no file of the worker's
                                             has it */
    char spec_sha256[SPEC_HEX_SIZE];
    char manifest_sha256[MANIFEST_HEX_SIZE];
    bool needs_encrypted_disk;   /* the site demands it of this directory ... */
    bool needs_confidential_gpu; /* ... and of the GPUs, if the job has any */
    struct price price;          /* releases with their counts, noise, rate, steps */
};

/* When a file of the plan's is written: is it on disk when the call returns, or some
 * time later? A power cut may then cost a job its plan: it is settled in full, or
 * started again with a new one. For ranks that a power cut ends too. */
enum plan_sync { PLAN_NOW, PLAN_LATER };

/* Writes all but the signature, and hands that out: nothing runs by a plan that has
 * none. `directory` exists; it is the plan's, or another from where the
 * plan's bytes are carried there. Errors: PPT_EIO. */
int plan_draft(const char *directory, const struct plan *plan, const struct spec *spec,
               const char *manifest_text, const struct crypto_signer *signer,
               enum plan_sync sync, unsigned char ret_signature[PLAN_SIGNATURE_SIZE],
               struct error *err);

/* Puts the signature beside its draft, and before it the meter: with_meter for a
 * private job of which nothing has run yet, and never again. PLAN_NOW: all names in the
 * directory are on disk when it returns. Errors: PPT_EIO. */
int plan_issue(const char *directory,
               const unsigned char signature[PLAN_SIGNATURE_SIZE], bool with_meter,
               enum plan_sync sync, struct error *err);

/* Both into the plan's directory, with a meter for attempt 1. */
int plan_store(const struct plan *plan, const struct spec *spec,
               const char *manifest_text, const struct crypto_signer *signer,
               struct error *err);

/* Spec and manifest of the plan that was loaded last. Another plan that names the same
 * two by their digests has them from here: they are neither read nor parsed again.
 * Zero-initialise. */
struct plan_seen {
    char spec_sha256[SPEC_HEX_SIZE]; /* "": nothing yet */
    char manifest_sha256[MANIFEST_HEX_SIZE];
    struct spec spec;
    struct manifest manifest;
};

/* Reads and verifies. `seen` may be NULL. Errors: PPT_ETRUST (says which check failed),
 * PPT_EIO, PPT_ESPEC. */
int plan_load(const char *directory, const unsigned char public_key[32],
              struct plan_seen *seen, struct plan *ret_plan, struct spec *ret_spec,
              struct manifest *ret_manifest, struct error *err);

/* For a process that another one which it trusts has told `plan`, as plan_load gave it
 * for this directory: the rest, by the digests that the plan names, without the
 * signature. Errors as above. */
int plan_load_told(const struct plan *plan, const char *directory,
                   struct plan_seen *seen, struct spec *ret_spec,
                   struct manifest *ret_manifest, struct error *err);

/* May a process of this user on this host run it? Errors: PPT_ETRUST. */
int plan_check_place(const struct plan *plan, int64_t uid, const char *host,
                     struct error *err);

/* plan.directory + "/" + name into a buffer of PLAN_PATH_SIZE. Errors: PPT_EIO (too
 * long). */
int plan_path(const struct plan *plan, const char *name, char ret_path[PLAN_PATH_SIZE],
              struct error *err);

#endif
