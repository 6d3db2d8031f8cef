/* For the MPI tests: what a scheduler and a data owner would have made.
 *
 * plan_tool data FILE.h5 N [spoil|nan] N train and N test records of 3 classes in 8
 *                                    dimensions that a plane separates, and the
 * manifest with the nominal count N rounded down to hundreds; spoil: the last training
 * label is out of range; nan: its record holds a NaN
 * plan_tool digest FILE.h5 N         the manifest anew, for what the file is now
 * plan_tool terabyte FILE.h5 [N]     N (2^28) train records of 2 classes in 1024
 *                                    dimensions, 1 TiB of which the file holds a few
 *                                    chunks, and the manifest; the others read as zeros
 * plan_tool key FILE                 FILE (secret) and FILE.pub
 * plan_tool plan SPEC FILE.h5 KEY DIR ATTEMPT
 *                                    for $PLAN_UID (default: this user's), $PLAN_HOSTS
 *                                    (default: any), keys of checkpoints in $PLAN_KEYS
 *                                    (default: beside them), with the demands in
 *                                    $PLAN_REQUIRE: "disk gpu"
 * plan_tool used DIR KEY.pub         prints what the meter holds for the training step
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/crypto.h"
#include "base/log.h"
#include "base/pathsafe.h"
#include "jobs/plan.h"
#include "jobs/privacy/meter.h"
#include "worker/data_h5.h"
#include "worker/digest.h"
#include "worker/import.h"

enum { N_FEATURES = 8, N_CLASSES = 3, TERABYTE_FEATURES = 1024, TERABYTE_PARTS = 16 };
#define TERABYTE_ROWS ((int64_t)1 << 28)

static struct error err;

/* In [-1, 1], the same on every machine. */
static float draw(uint64_t *state)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (float)((double)(*state >> 33) / (double)(UINT64_C(1) << 30) - 1.0);
}

static int add_split(struct data_h5 *data, const char *name, int64_t n, bool is_spoiled,
                     bool has_nan, uint64_t seed)
{
    struct data_split split = {.n_rows = n,
                               .x_type = TYPE_FLOAT32,
                               .y_type = TYPE_UINT8,
                               .n_dims = 1,
                               .dims = {N_FEATURES},
                               .n_classes = N_CLASSES};
    int rc = data_h5_add(data, name, &split, &err);
    for (int64_t i = 0; rc == 0 && i < n; i++) {
        float x[N_FEATURES];
        unsigned char y = (unsigned char)(i % N_CLASSES);
        for (int j = 0; j < N_FEATURES; j++)
            x[j] = 0.5f * draw(&seed) + (j == y ? 1.0f : 0.0f);
        if (is_spoiled && i == n - 1)
            y = N_CLASSES;
        if (has_nan && i == n - 1)
            x[N_FEATURES - 1] = NAN;
        rc = h5_data_write(split.x, i, 1, x, &err);
        if (rc == 0)
            rc = h5_data_write(split.y, i, 1, &y, &err);
    }
    data_split_close(&split);
    return rc;
}

/* Of the splits "train" and, where n_splits is 2, "test". */
static int write_manifest(const char *path, int n_splits,
                          const struct manifest_split *split)
{
    char manifest_path[MANIFEST_PATH_SIZE];
    struct manifest manifest = {.name = "planes", .n_splits = n_splits};
    const char *slash = strrchr(path, '/');
    snprintf(manifest.file, sizeof manifest.file, "%s", slash ? slash + 1 : path);
    for (int s = 0; s < 2; s++)
        manifest.splits[s] = *split;
    strcpy(manifest.splits[0].name, "train");
    strcpy(manifest.splits[1].name, "test");
    int rc = digest_file(path, &comm_alone, manifest.digest, &err);
    if (rc == 0)
        rc = import_manifest_path(path, manifest_path, &err);
    FILE *file = rc == 0 ? fopen(manifest_path, "w") : NULL;
    if (file == NULL)
        return rc != 0 ? rc : error_errno(&err, PPT_EIO, "%s", manifest_path);
    rc = manifest_write(&manifest, file, &err);
    fclose(file);
    return rc;
}

static int write_planes(const char *path, int64_t n)
{
    const struct manifest_split split = {.nominal_count = n / 100 * 100,
                                         .x_type = TYPE_FLOAT32,
                                         .n_dims = 1,
                                         .dims = {N_FEATURES},
                                         .n_classes = N_CLASSES};
    return write_manifest(path, 2, &split);
}

/* Chunked, so that what is not written takes no room; some of each rank's part is. */
static int fill_terabyte(struct h5 *file, int64_t n_rows)
{
    const struct h5_shape x_shape = {
        .type = TYPE_FLOAT32, .n_dims = 2, .dims = {n_rows, TERABYTE_FEATURES}};
    const struct h5_shape y_shape = {.type = TYPE_UINT8, .n_dims = 1, .dims = {n_rows}};
    struct h5_data *x = NULL, *y = NULL;
    static float row[TERABYTE_FEATURES];
    const unsigned char label = 1;
    int rc = h5_group(file, "train", &err);
    if (rc == 0)
        rc = h5_set_integer(file, "train", "n_classes", 2, &err);
    if (rc == 0)
        rc = h5_data_create(file, "train/x", &x_shape, 8, &x, &err);
    if (rc == 0)
        rc = h5_data_create(file, "train/y", &y_shape, 1 << 16, &y, &err);
    for (int j = 0; j < TERABYTE_FEATURES; j++)
        row[j] = 1.0f / (float)(j + 1);
    for (int64_t part = 0; rc == 0 && part < TERABYTE_PARTS; part++) {
        int64_t at = n_rows / TERABYTE_PARTS * part + part;
        rc = h5_data_write(x, at, 1, row, &err);
        if (rc == 0)
            rc = h5_data_write(y, at, 1, &label, &err);
    }
    h5_data_close(x);
    h5_data_close(y);
    return rc;
}

static int make_terabyte(const char *path, int64_t n_rows)
{
    const struct manifest_split split = {.nominal_count = n_rows,
                                         .x_type = TYPE_FLOAT32,
                                         .n_dims = 1,
                                         .dims = {TERABYTE_FEATURES},
                                         .n_classes = 2};
    struct data_h5 data;
    int rc = data_h5_create(path, UNIT_EXAMPLE, RELATION_ADD_REMOVE, &data, &err);
    if (rc == 0)
        rc = fill_terabyte(data.file, n_rows);
    if (rc == 0)
        rc = data_h5_close(&data, &err);
    return rc != 0 ? rc : write_manifest(path, 1, &split);
}

static int make_data(const char *path, int64_t n, const char *fault)
{
    struct data_h5 data;
    int rc = data_h5_create(path, UNIT_EXAMPLE, RELATION_ADD_REMOVE, &data, &err);
    if (rc == 0)
        rc = add_split(&data, "train", n, strcmp(fault, "spoil") == 0,
                       strcmp(fault, "nan") == 0, 1);
    if (rc == 0)
        rc = add_split(&data, "test", n, false, false, 2);
    if (rc == 0)
        rc = data_h5_close(&data, &err);
    return rc != 0 ? rc : write_planes(path, n);
}

static int make_key(const char *path)
{
    unsigned char secret[CRYPTO_KEY_SIZE], public_key[CRYPTO_KEY_SIZE];
    char public_path[PLAN_PATH_SIZE];
    crypto_sign_keypair(secret, public_key);
    snprintf(public_path, sizeof public_path, "%s.pub", path);
    int rc = pathsafe_write_new(path, secret, sizeof secret, 0600, &err);
    return rc != 0 ? rc
                   : pathsafe_write_new(public_path, public_key, sizeof public_key,
                                        0644, &err);
}

static int make_plan(const char *spec_path, const char *data_path, const char *key_path,
                     const char *directory, const char *attempt)
{
    const char *uid = getenv("PLAN_UID"), *hosts = getenv("PLAN_HOSTS");
    const char *demands = getenv("PLAN_REQUIRE"), *keys = getenv("PLAN_KEYS");
    static struct spec spec;
    static struct manifest manifest;
    static struct plan plan;
    unsigned char secret[CRYPTO_KEY_SIZE];
    char manifest_path[MANIFEST_PATH_SIZE], *text = NULL;
    size_t len;
    struct spec_policy policy = spec_policy_default();
    int rc = import_manifest_path(data_path, manifest_path, &err);
    if (rc == 0)
        rc = spec_read(spec_path, &policy, &spec, NULL, &err);
    if (rc == 0)
        rc = pathsafe_read_file(manifest_path, 1 << 20, &text, &len, &err);
    if (rc == 0)
        rc = manifest_parse(text, len, manifest_path, &manifest, &err);
    if (rc == 0)
        rc = pathsafe_read_secret(key_path, secret, sizeof secret, &err);
    if (rc == 0)
        rc = price_job(&spec, &manifest, &plan.price, &err);
    if (rc == 0) {
        plan.job_id = 7;
        plan.attempt = atoi(attempt);
        plan.epoch = 1;
        plan.needs_encrypted_disk = demands != NULL && strstr(demands, "disk") != NULL;
        plan.needs_confidential_gpu = demands != NULL && strstr(demands, "gpu") != NULL;
        plan.uid = uid == NULL ? (int64_t)getuid() : atoll(uid);
        snprintf(plan.hosts, sizeof plan.hosts, "%s", hosts == NULL ? "" : hosts);
        snprintf(plan.checkpoint_keys, sizeof plan.checkpoint_keys, "%s",
                 keys == NULL ? "" : keys);
        snprintf(plan.directory, sizeof plan.directory, "%s", directory);
        snprintf(plan.data_file, sizeof plan.data_file, "%s", data_path);
        memcpy(plan.spec_sha256, spec.sha256, sizeof spec.sha256);
        crypto_sha256_hex(text, len, plan.manifest_sha256);
        struct crypto_signer *signer = crypto_signer_new(secret);
        rc = plan_store(&plan, &spec, text, signer, &err);
        crypto_signer_free(signer);
    }
    free(text);
    return rc;
}

static int print_used(const char *directory, const char *key_path)
{
    static struct spec spec;
    static struct manifest manifest;
    static struct plan plan;
    unsigned char public_key[CRYPTO_KEY_SIZE];
    char path[PLAN_PATH_SIZE];
    int64_t used[PRICE_MAX_RELEASES];
    bool is_damaged;
    int rc = pathsafe_read_public(key_path, public_key, sizeof public_key, &err);
    if (rc == 0)
        rc = plan_load(directory, public_key, NULL, &plan, &spec, &manifest, &err);
    if (rc == 0)
        rc = plan_path(&plan, "meter", path, &err);
    if (rc == 0)
        rc = meter_read(path, &plan.price, used, &is_damaged, &err);
    if (rc == 0)
        printf("%lld\n", (long long)used[PRICE_TRAINING_STEP]);
    return rc;
}

int main(int argc, char **argv)
{
    log_init("plan_tool", false);
    int rc = -PPT_EUSAGE;
    if (argc >= 4 && strcmp(argv[1], "data") == 0)
        rc = make_data(argv[2], atoll(argv[3]), argc > 4 ? argv[4] : "");
    else if (argc == 4 && strcmp(argv[1], "digest") == 0)
        rc = write_planes(argv[2], atoll(argv[3]));
    else if ((argc == 3 || argc == 4) && strcmp(argv[1], "terabyte") == 0)
        rc = make_terabyte(argv[2], argc == 4 ? atoll(argv[3]) : TERABYTE_ROWS);
    else if (argc == 3 && strcmp(argv[1], "key") == 0)
        rc = make_key(argv[2]);
    else if (argc == 7 && strcmp(argv[1], "plan") == 0)
        rc = make_plan(argv[2], argv[3], argv[4], argv[5], argv[6]);
    else if (argc == 4 && strcmp(argv[1], "used") == 0)
        rc = print_used(argv[2], argv[3]);
    else
        error_set(&err, PPT_EUSAGE, "plan_tool data|digest|terabyte|key|plan|used ...");
    return rc == 0 ? 0 : log_error(&err);
}
