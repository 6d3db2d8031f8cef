/* ppt-budget dataset add MANIFEST --epsilon E --delta D [--public]. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/opt.h"
#include "base/pathsafe.h"
#include "jobs/manifest.h"
#include "scheduler/budget.h"
#include "scheduler/client.h"
#include "scheduler/ledger.h"

#define MANIFEST_MAX_BYTES (64u << 10)

/* The HDF5 file's absolute path: the manifest names it relative to itself. */
static int find_file(const char *manifest_path, const struct manifest *manifest,
                     char ret_file[LEDGER_PATH_SIZE], struct error *err)
{
    char path[2 * PATH_MAX], resolved[PATH_MAX];
    const char *slash = strrchr(manifest_path, '/');
    if (manifest->file[0] == '/' || slash == NULL)
        snprintf(path, sizeof path, "%s", manifest->file);
    else
        snprintf(path, sizeof path, "%.*s/%s", (int)(slash - manifest_path),
                 manifest_path, manifest->file);
    if (realpath(path, resolved) == NULL) {
        error_errno(err, PPT_EIO, "cannot find the data file %s", path);
        return error_hint(err,
                          "the manifest names it; it must be there to register it");
    }
    if (strlen(resolved) >= LEDGER_PATH_SIZE)
        return error_set(err, PPT_EIO, "the path %s is too long", resolved);
    memcpy(ret_file, resolved, strlen(resolved) + 1);
    return 0;
}

static int read_manifest(const char *path, struct ledger_dataset *ret_dataset,
                         struct error *err)
{
    size_t len;
    char *text = NULL;
    struct manifest manifest;
    int rc = pathsafe_read_file(path, MANIFEST_MAX_BYTES, &text, &len, err);
    if (rc == 0)
        rc = manifest_parse(text, len, path, &manifest, err);
    if (rc == 0)
        rc = find_file(path, &manifest, ret_dataset->file, err);
    if (rc != 0) {
        free(text);
        return rc;
    }
    memcpy(ret_dataset->name, manifest.name, sizeof ret_dataset->name);
    ret_dataset->manifest = text;
    ret_dataset->unit = manifest.unit;
    ret_dataset->relation = manifest.relation;
    return 0;
}

int budget_dataset(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "allow") == 0)
        return budget_allow(argc - 1, argv + 1);
    struct client client = {0};
    struct ledger_dataset dataset = {0};
    double epsilon = 0, delta = 0;
    bool has_epsilon = false, has_delta = false;
    const char *reason = "", *currency = NULL;
    const struct opt options[] = {
        {"epsilon", 'e', OPT_NUMBER, &epsilon, "E", "limit over all accounts",
         &has_epsilon},
        {"delta", 'd', OPT_NUMBER, &delta, "D", "of the limit, such as 1e-6",
         &has_delta},
        {"public", 0, OPT_FLAG, &dataset.is_public, NULL,
         "not secret: may be used without privacy", NULL},
        {"currency", 0, OPT_STRING, &currency, "NAME",
         "renyi (default) or gaussian: full batches only", NULL},
        {"reason", 0, OPT_STRING, &reason, "TEXT", "kept in the history", NULL},
        CLIENT_OPTIONS(client),
    };
    const struct opt_program program = {
        .name = "ppt-budget dataset add",
        .usage = "MANIFEST --epsilon E --delta D [OPTION]...",
        .summary = "Registers a data set with the manifest that ppt-data wrote.",
        .epilogue =
            "The manifest's text is kept in the database: later changes of the\n"
            "file do not count. With --public the limit may be left out.",
        .options = options,
        .n_options = sizeof options / sizeof *options,
        .min_operands = 1,
        .max_operands = 1,
    };
    struct error err = {0};
    int n_operands;
    int rc = client_expect(&argc, &argv, "add", &program, &err);
    if (rc == 0)
        rc = opt_parse(&program, argc, argv, &n_operands, &err);
    if (rc == 0 && (has_epsilon != has_delta || (!has_epsilon && !dataset.is_public)))
        rc = error_set(&err, PPT_EUSAGE, "--epsilon and --delta are both needed");
    if (rc == 0)
        rc = read_manifest(argv[1], &dataset, &err);
    if (rc == 0)
        rc = client_connect(&client, "ppt-budget", &err);
    if (rc == 0)
        rc = ledger_dataset_add(client.db, &dataset, epsilon, delta, currency, reason,
                                &err);
    client_close(&client);
    free(dataset.manifest);
    return rc == 0 ? 0 : log_error(&err);
}
