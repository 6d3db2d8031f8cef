#include "jobs/plan.h"

#include <float.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/crypto.h"
#include "base/json.h"
#include "base/pathsafe.h"
#include "base/ydoc.h"
#include "jobs/privacy/correlation.h"
#include "jobs/privacy/meter.h"

#define PLAN_MAX_BYTES (64u << 10)
#define PLAN_FORMAT "ppt-plan-1"

/* The site's bounds held when the plan was signed; they may have moved since. */
static const struct spec_policy any_policy = {
    .min_epsilon = 0,
    .max_epsilon = DBL_MAX,
    .max_delta = 1,
    .max_ranks = INT64_MAX,
    .max_cores_per_rank = INT64_MAX,
    .max_time_limit_s = INT64_MAX,
    .max_memory_bytes = INT64_MAX,
};

static int join(const char *directory, const char *name, char ret_path[PLAN_PATH_SIZE],
                struct error *err)
{
    int len = snprintf(ret_path, PLAN_PATH_SIZE, "%s/%s", directory, name);
    if (len < 0 || len >= PLAN_PATH_SIZE)
        return error_set(err, PPT_EIO, "the path %s/%s is too long", directory, name);
    return 0;
}

int plan_path(const struct plan *plan, const char *name, char ret_path[PLAN_PATH_SIZE],
              struct error *err)
{
    return join(plan->directory, name, ret_path, err);
}

static void releases_to_json(struct json *json, const struct price *price)
{
    json_array(json, "releases");
    for (int i = 0; i < price->n_releases; i++) {
        const struct price_release *release = &price->releases[i];
        json_object(json, NULL);
        json_string(json, "name", release->name);
        json_string(json, "mechanism", mechanism_name(release->mechanism.kind));
        json_number(json, "noise_multiplier", release->mechanism.noise_multiplier);
        json_number(json, "sample_rate", release->mechanism.sample_rate);
        if (release->mechanism.sampling == SAMPLING_WITHOUT_REPLACEMENT)
            json_bool(json, "is_without_replacement", true);
        if (release->mechanism.bins > 0)
            json_number(json, "bins", release->mechanism.bins);
        if (release->mechanism.kind == MECHANISM_PURE)
            json_number(json, "epsilon", release->mechanism.epsilon);
        json_integer(json, "count", release->count);
        json_close_object(json);
    }
    json_close_array(json);
}

static int to_json(const struct plan *plan, char **ret_text, struct error *err)
{
    const struct price *price = &plan->price;
    struct json json = {0};
    json_object(&json, NULL);
    json_string(&json, "format", PLAN_FORMAT);
    json_integer(&json, "job_id", plan->job_id);
    json_integer(&json, "attempt", plan->attempt);
    json_integer(&json, "epoch", plan->epoch);
    json_integer(&json, "issued_at_s", plan->issued_at_s);
    json_integer(&json, "uid", plan->uid);
    if (plan->hosts[0] != '\0')
        json_string(&json, "hosts", plan->hosts);
    json_string(&json, "directory", plan->directory);
    json_string(&json, "data_file", plan->data_file);
    if (plan->checkpoint_keys[0] != '\0')
        json_string(&json, "checkpoint_keys", plan->checkpoint_keys);
    json_string(&json, "spec_sha256", plan->spec_sha256);
    json_string(&json, "manifest_sha256", plan->manifest_sha256);
    if (plan->needs_encrypted_disk)
        json_bool(&json, "needs_encrypted_disk", true);
    if (plan->needs_confidential_gpu)
        json_bool(&json, "needs_confidential_gpu", true);
    json_object(&json, "price");
    json_bool(&json, "is_private", price->is_private);
    json_string(&json, "unit", unit_name(price->unit));
    json_string(&json, "relation", relation_name(price->relation));
    json_number(&json, "delta", price->delta);
    json_number(&json, "epsilon", price->epsilon);
    json_number(&json, "sample_rate", price->sample_rate);
    json_number(&json, "noise_multiplier", price->noise_multiplier);
    json_integer(&json, "n_steps", price->n_steps);
    if (price->n_bins > 0)
        json_integer(&json, "n_bins", price->n_bins);
    if (price->n_bands > 0)
        json_integer(&json, "n_bands", price->n_bands);
    releases_to_json(&json, price);
    json_close_object(&json);
    json_close_object(&json);
    return json_end(&json, ret_text, err);
}

static int store_file(const char *directory, const char *name, const void *data,
                      size_t len, enum plan_sync sync, struct error *err)
{
    char path[PLAN_PATH_SIZE];
    int rc = join(directory, name, path, err);
    if (rc != 0)
        return rc;
    return sync == PLAN_NOW ? pathsafe_replace_soon(path, data, len, 0600, err)
                            : pathsafe_write_fast(path, data, len, 0600, err);
}

/* What this process has signed itself, lately: reading it again it need not verify it.
 * Verifying takes longer than all the rest of settling a short job. */
static struct own_signature {
    unsigned char public_key[CRYPTO_KEY_SIZE];
    unsigned char digest[CRYPTO_SHA256_SIZE], signature[CRYPTO_SIGNATURE_SIZE];
} own_signatures[256];
static unsigned n_own_signatures;
#define MAX_OWN (sizeof own_signatures / sizeof *own_signatures)

static void sign(const struct crypto_signer *signer, const char *text, size_t len,
                 unsigned char ret_signature[CRYPTO_SIGNATURE_SIZE])
{
    struct own_signature *own = &own_signatures[n_own_signatures++ % MAX_OWN];
    crypto_signer_sign(signer, text, len, own->signature);
    crypto_signer_public(signer, own->public_key);
    crypto_sha256(text, len, own->digest);
    memcpy(ret_signature, own->signature, CRYPTO_SIGNATURE_SIZE);
}

static bool is_own(const unsigned char public_key[CRYPTO_KEY_SIZE], const char *text,
                   size_t len, const unsigned char signature[CRYPTO_SIGNATURE_SIZE])
{
    unsigned char digest[CRYPTO_SHA256_SIZE];
    for (unsigned i = 0; i < MAX_OWN && i < n_own_signatures; i++) {
        const struct own_signature *own = &own_signatures[i];
        if (memcmp(own->signature, signature, sizeof own->signature) != 0)
            continue;
        crypto_sha256(text, len, digest);
        return memcmp(own->digest, digest, sizeof digest) == 0 &&
               memcmp(own->public_key, public_key, sizeof own->public_key) == 0;
    }
    return false;
}

static bool is_signed(const unsigned char public_key[CRYPTO_KEY_SIZE], const char *text,
                      size_t len, const unsigned char signature[CRYPTO_SIGNATURE_SIZE])
{
    return is_own(public_key, text, len, signature) ||
           crypto_verify(public_key, text, len, signature);
}

int plan_draft(const char *directory, const struct plan *plan, const struct spec *spec,
               const char *manifest_text, const struct crypto_signer *signer,
               enum plan_sync sync, unsigned char ret_signature[PLAN_SIGNATURE_SIZE],
               struct error *err)
{
    char *text = NULL, *canonical = NULL;
    int rc = to_json(plan, &text, err);
    if (rc == 0)
        rc = spec_canonical(spec, &canonical, err);
    if (rc == 0)
        rc =
            store_file(directory, "spec.json", canonical, strlen(canonical), sync, err);
    if (rc == 0)
        rc = store_file(directory, "manifest.yaml", manifest_text,
                        strlen(manifest_text), sync, err);
    if (rc == 0)
        rc = store_file(directory, "plan.json", text, strlen(text), sync, err);
    if (rc == 0)
        sign(signer, text, strlen(text), ret_signature);
    free(text);
    free(canonical);
    return rc;
}
_Static_assert(PLAN_SIGNATURE_SIZE == CRYPTO_SIGNATURE_SIZE, "Ed25519");

int plan_issue(const char *directory,
               const unsigned char signature[PLAN_SIGNATURE_SIZE], bool with_meter,
               enum plan_sync sync, struct error *err)
{
    char path[PLAN_PATH_SIZE];
    int rc = join(directory, PLAN_METER, path, err);
    if (rc == 0 && with_meter)
        rc = meter_create(path, err);
    if (rc == 0)
        rc = store_file(directory, "plan.sig", signature, PLAN_SIGNATURE_SIZE, sync,
                        err);
    return rc != 0 || sync == PLAN_LATER ? rc : pathsafe_sync_parent(path, err);
}

int plan_store(const struct plan *plan, const struct spec *spec,
               const char *manifest_text, const struct crypto_signer *signer,
               struct error *err)
{
    unsigned char signature[PLAN_SIGNATURE_SIZE];
    int rc = plan_draft(plan->directory, plan, spec, manifest_text, signer, PLAN_NOW,
                        signature, err);
    return rc != 0 ? rc
                   : plan_issue(plan->directory, signature,
                                plan->price.is_private && plan->attempt == 1, PLAN_NOW,
                                err);
}

/* The words of an enumeration are few; both of these are shorter than a table. */
static int read_unit(struct ydoc_faults *faults, const struct ydoc_node *node,
                     enum privacy_unit *ret_unit)
{
    const char *const words[] = {unit_name(UNIT_EXAMPLE), unit_name(UNIT_USER)};
    int index = 0;
    int rc = ydoc_word(faults, node, words, UNIT_N, &index);
    *ret_unit = (enum privacy_unit)index;
    return rc;
}

static int read_relation(struct ydoc_faults *faults, const struct ydoc_node *node,
                         enum privacy_relation *ret_relation)
{
    const char *const words[] = {relation_name(RELATION_ADD_REMOVE),
                                 relation_name(RELATION_REPLACE_ONE)};
    int index = 0;
    int rc = ydoc_word(faults, node, words, RELATION_N, &index);
    *ret_relation = (enum privacy_relation)index;
    return rc;
}

static void read_release(struct ydoc_faults *faults, const struct ydoc_node *node,
                         struct price_release *release)
{
    const char *words[MECHANISM_N_KINDS];
    for (int k = 0; k < MECHANISM_N_KINDS; k++)
        words[k] = mechanism_name((enum mechanism_kind)k);
    int kind = 0;
    ydoc_string(faults, ydoc_need(faults, node, "name"), sizeof release->name,
                release->name);
    ydoc_word(faults, ydoc_need(faults, node, "mechanism"), words, MECHANISM_N_KINDS,
              &kind);
    release->mechanism.kind = (enum mechanism_kind)kind;
    ydoc_number(faults, ydoc_need(faults, node, "noise_multiplier"),
                (struct ydoc_range){0, 1e12, true, false},
                &release->mechanism.noise_multiplier);
    ydoc_number(faults, ydoc_need(faults, node, "sample_rate"),
                (struct ydoc_range){0, 1, true, false},
                &release->mechanism.sample_rate);
    ydoc_number(faults, ydoc_get(node, "bins"),
                (struct ydoc_range){1, 1e9, false, false}, &release->mechanism.bins);
    ydoc_number(faults, ydoc_get(node, "epsilon"),
                (struct ydoc_range){0, 100, true, false}, &release->mechanism.epsilon);
    ydoc_integer(faults, ydoc_need(faults, node, "count"), 0, INT64_MAX,
                 &release->count);
    const struct mechanism *read = &release->mechanism;
    if (read->kind == MECHANISM_SKELLAM) /* these two say all of it */
        release->mechanism = price_skellam(read->noise_multiplier, read->sample_rate);
    bool is_without_replacement = false;
    ydoc_bool(faults, ydoc_get(node, "is_without_replacement"),
              &is_without_replacement);
    if (is_without_replacement) {
        release->mechanism.sampling = SAMPLING_WITHOUT_REPLACEMENT;
        release->mechanism.relation = RELATION_REPLACE_ONE;
    }
}

static void read_price(struct ydoc_faults *faults, const struct ydoc_node *node,
                       struct price *price)
{
    const struct ydoc_range any = {0, 1e300, false, false};
    ydoc_bool(faults, ydoc_need(faults, node, "is_private"), &price->is_private);
    read_unit(faults, ydoc_need(faults, node, "unit"), &price->unit);
    read_relation(faults, ydoc_need(faults, node, "relation"), &price->relation);
    ydoc_number(faults, ydoc_need(faults, node, "delta"), any, &price->delta);
    ydoc_number(faults, ydoc_need(faults, node, "epsilon"), any, &price->epsilon);
    ydoc_number(faults, ydoc_need(faults, node, "sample_rate"),
                (struct ydoc_range){0, 1, true, false}, &price->sample_rate);
    ydoc_number(faults, ydoc_need(faults, node, "noise_multiplier"), any,
                &price->noise_multiplier);
    ydoc_integer(faults, ydoc_need(faults, node, "n_steps"), 1, INT64_MAX,
                 &price->n_steps);
    ydoc_integer(faults, ydoc_get(node, "n_bins"), 1, INT64_MAX, &price->n_bins);
    ydoc_integer(faults, ydoc_get(node, "n_bands"), 1, CORRELATION_MAX_BANDS,
                 &price->n_bands);
    const struct ydoc_node *releases = ydoc_need(faults, node, "releases");
    if (releases == NULL)
        return;
    if (releases->kind != YDOC_SEQUENCE || releases->n_children > PRICE_MAX_RELEASES) {
        ydoc_fault(faults, releases, "expected a list of at most %d releases",
                   PRICE_MAX_RELEASES);
        return;
    }
    price->n_releases = releases->n_children;
    for (const struct ydoc_node *n = releases->first; n != NULL; n = n->next)
        read_release(faults, n, &price->releases[n->index]);
}

static int from_json(const char *text, size_t len, const char *path,
                     struct plan *ret_plan, struct error *err)
{
    struct ydoc_faults faults = {.path = path};
    struct plan plan = {.uid = -1};
    char format[32] = "";
    struct ydoc *doc = ydoc_parse(text, len, NULL, &faults);
    const struct ydoc_node *root = ydoc_root(doc);
    ydoc_string(&faults, ydoc_need(&faults, root, "format"), sizeof format, format);
    ydoc_integer(&faults, ydoc_need(&faults, root, "job_id"), 1, INT64_MAX,
                 &plan.job_id);
    ydoc_integer(&faults, ydoc_need(&faults, root, "attempt"), 1, INT64_MAX,
                 &plan.attempt);
    ydoc_integer(&faults, ydoc_need(&faults, root, "epoch"), 0, INT64_MAX, &plan.epoch);
    ydoc_integer(&faults, ydoc_need(&faults, root, "issued_at_s"), 0, INT64_MAX,
                 &plan.issued_at_s);
    /* Not in plans of an older version; a reader given no node does nothing. */
    ydoc_integer(&faults, ydoc_get(root, "uid"), -1, UINT32_MAX, &plan.uid);
    ydoc_string(&faults, ydoc_get(root, "hosts"), sizeof plan.hosts, plan.hosts);
    ydoc_string(&faults, ydoc_need(&faults, root, "directory"), sizeof plan.directory,
                plan.directory);
    ydoc_string(&faults, ydoc_need(&faults, root, "data_file"), sizeof plan.data_file,
                plan.data_file);
    ydoc_string(&faults, ydoc_get(root, "checkpoint_keys"), sizeof plan.checkpoint_keys,
                plan.checkpoint_keys);
    ydoc_string(&faults, ydoc_need(&faults, root, "spec_sha256"),
                sizeof plan.spec_sha256, plan.spec_sha256);
    ydoc_string(&faults, ydoc_need(&faults, root, "manifest_sha256"),
                sizeof plan.manifest_sha256, plan.manifest_sha256);
    ydoc_bool(&faults, ydoc_get(root, "needs_encrypted_disk"),
              &plan.needs_encrypted_disk);
    ydoc_bool(&faults, ydoc_get(root, "needs_confidential_gpu"),
              &plan.needs_confidential_gpu);
    read_price(&faults, ydoc_need(&faults, root, "price"), &plan.price);
    ydoc_free(doc);
    int rc = ydoc_faults_end(&faults, "plan", err);
    if (rc != 0)
        return rc;
    if (strcmp(format, PLAN_FORMAT) != 0)
        return error_set(err, PPT_ETRUST, "%s has format '%s': expected " PLAN_FORMAT,
                         path, format);
    /* The cost is a function of the releases, so the plan does not repeat it. */
    int64_t all[PRICE_MAX_RELEASES] = {0};
    for (int i = 0; i < plan.price.n_releases; i++)
        all[i] = plan.price.releases[i].count;
    rc = price_used(&plan.price, all, &plan.price.cost, err);
    if (rc == 0)
        *ret_plan = plan;
    return rc;
}

static int load_file(const char *directory, const char *name, size_t max_bytes,
                     char **ret_text, size_t *ret_len, struct error *err)
{
    char path[PLAN_PATH_SIZE];
    int rc = join(directory, name, path, err);
    return rc != 0 ? rc : pathsafe_read_file(path, max_bytes, ret_text, ret_len, err);
}

static int verify(const char *directory, const unsigned char public_key[32],
                  char **ret_text, size_t *ret_len, struct error *err)
{
    char *text = NULL, *signature = NULL;
    size_t len, signature_len;
    int rc = load_file(directory, "plan.json", PLAN_MAX_BYTES, &text, &len, err);
    if (rc == 0)
        rc = load_file(directory, "plan.sig", CRYPTO_SIGNATURE_SIZE, &signature,
                       &signature_len, err);
    if (rc == 0 && (signature_len != CRYPTO_SIGNATURE_SIZE ||
                    !is_signed(public_key, text, len, (unsigned char *)signature))) {
        rc = error_set(err, PPT_ETRUST,
                       "the signature of %s/plan.json does not fit this public key",
                       directory);
        error_hint(err, "the plan was edited, or another ppt-schedd signed it");
    }
    free(signature);
    if (rc != 0) {
        free(text);
        return rc;
    }
    *ret_text = text;
    *ret_len = len;
    return 0;
}

static int check_directory(const struct plan *plan, const char *directory,
                           struct error *err)
{
    char *real = realpath(directory, NULL);
    bool is_same = real != NULL && strcmp(real, plan->directory) == 0;
    free(real);
    if (!is_same)
        return error_set(err, PPT_ETRUST,
                         "the plan in %s is for the job directory %s: it was copied",
                         directory, plan->directory);
    return 0;
}

static int check_digest(const char *directory, const char *name, const char *text,
                        size_t len, const char *expected, struct error *err)
{
    char hex[CRYPTO_HEX_SIZE];
    crypto_sha256_hex(text, len, hex);
    if (strcmp(hex, expected) != 0)
        return error_set(err, PPT_ETRUST, "%s/%s is not the one that the plan names",
                         directory, name);
    return 0;
}

static int load_spec(const char *directory, const struct plan *plan,
                     struct spec *ret_spec, struct error *err)
{
    char *text = NULL;
    size_t len = 0;
    int rc = load_file(directory, "spec.json", SPEC_MAX_BYTES, &text, &len, err);
    if (rc == 0)
        rc = check_digest(directory, "spec.json", text, len, plan->spec_sha256, err);
    if (rc == 0)
        rc = spec_parse(text, len, "spec.json", &any_policy, ret_spec, err);
    free(text);
    return rc;
}

static int load_manifest(const char *directory, const struct plan *plan,
                         struct manifest *ret_manifest, struct error *err)
{
    char *text = NULL;
    size_t len = 0;
    int rc = load_file(directory, "manifest.yaml", PLAN_MAX_BYTES, &text, &len, err);
    if (rc == 0)
        rc = check_digest(directory, "manifest.yaml", text, len, plan->manifest_sha256,
                          err);
    if (rc == 0)
        rc = manifest_parse(text, len, "manifest.yaml", ret_manifest, err);
    free(text);
    return rc;
}

static bool was_seen(const struct plan_seen *seen, const struct plan *plan)
{
    return seen->spec_sha256[0] != '\0' &&
           strcmp(seen->spec_sha256, plan->spec_sha256) == 0 &&
           strcmp(seen->manifest_sha256, plan->manifest_sha256) == 0;
}

/* What the plan names by its digests. */
static int see(const char *directory, const struct plan *plan, struct plan_seen *seen,
               struct error *err)
{
    if (was_seen(seen, plan))
        return 0;
    seen->spec_sha256[0] = '\0';
    int rc = load_spec(directory, plan, &seen->spec, err);
    if (rc == 0)
        rc = load_manifest(directory, plan, &seen->manifest, err);
    if (rc != 0)
        return rc;
    memcpy(seen->spec_sha256, plan->spec_sha256, sizeof seen->spec_sha256);
    memcpy(seen->manifest_sha256, plan->manifest_sha256, sizeof seen->manifest_sha256);
    return 0;
}

int plan_load_told(const struct plan *plan, const char *directory,
                   struct plan_seen *seen, struct spec *ret_spec,
                   struct manifest *ret_manifest, struct error *err)
{
    struct plan_seen *own = seen == NULL ? calloc(1, sizeof *own) : NULL;
    if (seen == NULL)
        seen = own;
    int rc = seen == NULL ? error_set(err, PPT_ENOMEM, "no memory to read a plan")
                          : check_directory(plan, directory, err);
    if (rc == 0)
        rc = see(directory, plan, seen, err);
    if (rc == 0) {
        *ret_spec = seen->spec;
        *ret_manifest = seen->manifest;
    }
    free(own);
    return rc;
}

int plan_load(const char *directory, const unsigned char public_key[32],
              struct plan_seen *seen, struct plan *ret_plan, struct spec *ret_spec,
              struct manifest *ret_manifest, struct error *err)
{
    char *text = NULL;
    size_t len = 0;
    struct plan plan;
    int rc = verify(directory, public_key, &text, &len, err);
    if (rc == 0)
        rc = from_json(text, len, "plan.json", &plan, err);
    if (rc == 0)
        rc = plan_load_told(&plan, directory, seen, ret_spec, ret_manifest, err);
    if (rc == 0)
        *ret_plan = plan;
    free(text);
    return rc;
}

/* Is `name` one of the names between commas? */
static bool is_listed(const char *list, const char *name)
{
    size_t len = strlen(name);
    for (const char *at = list; *at != '\0'; at += *at == ',') {
        size_t n = strcspn(at, ",");
        if (n == len && len > 0 && strncmp(at, name, len) == 0)
            return true;
        at += n;
    }
    return false;
}

int plan_check_place(const struct plan *plan, int64_t uid, const char *host,
                     struct error *err)
{
    if (plan->uid >= 0 && uid != plan->uid) {
        error_set(err, PPT_ETRUST,
                  "the plan is for processes of user id %lld, and this is user id %lld",
                  (long long)plan->uid, (long long)uid);
        return error_hint(err, "a plan runs as the user it was signed for; hand in a "
                               "job of your own with ppt-submit");
    }
    if (plan->hosts[0] != '\0' && !is_listed(plan->hosts, host)) {
        error_set(err, PPT_ETRUST, "the plan is for %.200s, and this is %.100s",
                  plan->hosts, host);
        return error_hint(err, "name other hosts in launcher.arguments (--host), and "
                               "plans are signed for any");
    }
    return 0;
}
