#include "jobs/manifest.h"

#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/pathsafe.h"
#include "base/ydoc.h"
#include "jobs/spec/name.h"

#define COUNT(array) (int)(sizeof(array) / sizeof(array)[0])
#define MOST_ROWS ((int64_t)1 << 48)
#define MOST_DIM ((int64_t)1 << 31)
#define MOST_FEATURES ((int64_t)1 << 31) /* floats of one record */
#define MOST_DIMS 3

static const char *const type_names[TYPE_N] = {
    [TYPE_UINT8] = "uint8",   [TYPE_FLOAT32] = "float32", [TYPE_INT64] = "int64",
    [TYPE_UINT16] = "uint16", [TYPE_INT32] = "int32",
};

const char *manifest_type_name(enum manifest_type type)
{
    return type_names[type];
}

/* A path without line ends or other bytes that would break a message. */
static void read_file(struct ydoc_faults *faults, const struct ydoc_node *node,
                      struct manifest *manifest)
{
    char path[MANIFEST_PATH_SIZE];
    if (ydoc_string(faults, node, sizeof path, path) != 0)
        return;
    if (path[0] == '\0' || strpbrk(path, "\t\r\n") != NULL)
        ydoc_fault(faults, node, "expected the path of an HDF5 file");
    else
        memcpy(manifest->file, path, sizeof path);
}

static void read_digest(struct ydoc_faults *faults, const struct ydoc_node *node,
                        struct manifest *manifest)
{
    if (node == NULL)
        return;
    const size_t len = MANIFEST_HEX_SIZE - 1;
    if (node->kind != YDOC_SCALAR || strlen(node->text) != len ||
        strspn(node->text, "0123456789abcdef") != len)
        ydoc_fault(faults, node, "expected a SHA-256 digest: 64 digits of 0-9 and a-f");
    else
        memcpy(manifest->digest, node->text, MANIFEST_HEX_SIZE);
}

static void read_dims(struct ydoc_faults *faults, const struct ydoc_node *node,
                      struct manifest_split *split)
{
    if (node == NULL)
        return;
    if (node->kind != YDOC_SEQUENCE || node->n_children < 1 ||
        node->n_children > MOST_DIMS) {
        ydoc_fault(faults, node, "expected a list of 1 to %d sizes, such as [28, 28]",
                   MOST_DIMS);
        return;
    }
    int64_t n_features = 1;
    for (const struct ydoc_node *n = node->first; n != NULL; n = n->next) {
        if (ydoc_integer(faults, n, 1, MOST_DIM, &split->dims[n->index]) != 0)
            return;
        if (split->dims[n->index] > MOST_FEATURES / n_features) {
            ydoc_fault(faults, node, "expected at most %lld values in one record",
                       (long long)MOST_FEATURES);
            return;
        }
        n_features *= split->dims[n->index];
    }
    split->n_dims = node->n_children;
}

/* Tokens are one whole number each, in a row. */
static void read_tokens(struct ydoc_faults *faults, const struct ydoc_node *node,
                        struct manifest_split *split)
{
    bool is_whole = split->x_type != TYPE_FLOAT32 && split->x_type != TYPE_INT64;
    if (ydoc_get(node, "n_tokens") == NULL) {
        if (split->x_type == TYPE_UINT16 || split->x_type == TYPE_INT32)
            ydoc_fault_at(
                faults, node, "x_type",
                "expected uint8 or float32, or n_tokens with it: ids of tokens");
        return;
    }
    ydoc_integer(faults, ydoc_get(node, "n_tokens"), 2, MANIFEST_MAX_TOKENS,
                 &split->n_tokens);
    if (!is_whole)
        ydoc_fault_at(faults, node, "x_type",
                      "expected uint8, uint16 or int32 for ids of tokens");
    if (split->n_dims > 1)
        ydoc_fault_at(faults, node, "dims", "expected one size for a row of tokens");
}

static void read_split(struct ydoc_faults *faults, const struct ydoc_node *node,
                       struct manifest_split *split)
{
    static const char *const keys[] = {"name",    "nominal_count", "nominal_users",
                                       "x_type",  "dims",          "n_classes",
                                       "n_tokens"};
    if (ydoc_only_keys(faults, node, keys, COUNT(keys)) != 0 &&
        node->kind != YDOC_MAPPING)
        return;
    name_read(faults, ydoc_need(faults, node, "name"), sizeof split->name, split->name);
    const struct ydoc_node *count = ydoc_get(node, "nominal_count");
    ydoc_integer(faults, count, 1, MOST_ROWS, &split->nominal_count);
    ydoc_integer(faults, ydoc_get(node, "nominal_users"), 1, MOST_ROWS,
                 &split->nominal_users);
    if (split->nominal_users > split->nominal_count)
        ydoc_fault_at(faults, node, "nominal_users",
                      "expected at most nominal_count, a record at least for each");
    int type = TYPE_UINT8;
    ydoc_word(faults, ydoc_need(faults, node, "x_type"), type_names, TYPE_N, &type);
    split->x_type = (enum manifest_type)type;
    read_dims(faults, ydoc_need(faults, node, "dims"), split);
    ydoc_integer(faults, ydoc_need(faults, node, "n_classes"), 1, MOST_DIM,
                 &split->n_classes);
    read_tokens(faults, node, split);
}

static void read_splits(struct ydoc_faults *faults, const struct ydoc_node *node,
                        struct manifest *manifest)
{
    if (node == NULL)
        return;
    if (node->kind != YDOC_SEQUENCE || node->n_children < 1 ||
        node->n_children > MANIFEST_MAX_SPLITS) {
        ydoc_fault(faults, node, "expected a list of 1 to %d splits",
                   MANIFEST_MAX_SPLITS);
        return;
    }
    for (const struct ydoc_node *n = node->first; n != NULL; n = n->next) {
        struct manifest_split *split = &manifest->splits[manifest->n_splits];
        read_split(faults, n, split);
        if (split->name[0] != '\0' && manifest_split(manifest, split->name) != NULL)
            ydoc_fault_at(faults, n, "name",
                          "expected each split once, found \"%s\" "
                          "again",
                          split->name);
        manifest->n_splits++;
    }
}

static void check_users(struct ydoc_faults *faults, const struct ydoc_node *splits,
                        const struct manifest *manifest)
{
    const struct ydoc_node *node = splits == NULL ? NULL : splits->first;
    for (int s = 0; s < manifest->n_splits; s++, node = node->next)
        if (manifest->splits[s].nominal_users > 0 && manifest->unit != UNIT_USER)
            ydoc_fault_at(faults, node, "nominal_users",
                          "expected only with unit: user");
}

static void read_manifest(struct ydoc_faults *faults, const struct ydoc_node *root,
                          struct manifest *manifest)
{
    static const char *const keys[] = {"name",     "file",   "unit",
                                       "relation", "digest", "splits"};
    const char *words[UNIT_N + RELATION_N];
    ydoc_only_keys(faults, root, keys, COUNT(keys));
    name_read(faults, ydoc_need(faults, root, "name"), sizeof manifest->name,
              manifest->name);
    read_file(faults, ydoc_need(faults, root, "file"), manifest);

    int index = 0;
    for (int u = 0; u < UNIT_N; u++)
        words[u] = unit_name((enum privacy_unit)u);
    ydoc_word(faults, ydoc_need(faults, root, "unit"), words, UNIT_N, &index);
    manifest->unit = (enum privacy_unit)index;
    index = 0;
    for (int r = 0; r < RELATION_N; r++)
        words[r] = relation_name((enum privacy_relation)r);
    ydoc_word(faults, ydoc_need(faults, root, "relation"), words, RELATION_N, &index);
    manifest->relation = (enum privacy_relation)index;

    read_digest(faults, ydoc_need(faults, root, "digest"), manifest);
    read_splits(faults, ydoc_need(faults, root, "splits"), manifest);
    check_users(faults, ydoc_get(root, "splits"), manifest);
}

int manifest_parse(const char *text, size_t len, const char *path,
                   struct manifest *ret_manifest, struct error *err)
{
    struct manifest manifest;
    memset(&manifest, 0, sizeof manifest);
    struct ydoc_limits limits = {.max_bytes = MANIFEST_MAX_BYTES};
    struct ydoc_faults faults = {.path = path};
    struct ydoc *doc = ydoc_parse(text, len, &limits, &faults);
    if (doc != NULL)
        read_manifest(&faults, ydoc_root(doc), &manifest);
    ydoc_free(doc);
    int rc = ydoc_faults_end(&faults, "manifest", err);
    if (rc == 0)
        *ret_manifest = manifest;
    return rc;
}

int manifest_read(const char *path, struct manifest *ret_manifest, struct error *err)
{
    char *text;
    size_t len;
    int rc = pathsafe_read_file(path, MANIFEST_MAX_BYTES, &text, &len, err);
    if (rc != 0)
        return rc;
    rc = manifest_parse(text, len, path, ret_manifest, err);
    free(text);
    return rc;
}

static void write_split(FILE *file, const struct manifest_split *split)
{
    fprintf(file, "  - name: \"%s\"\n", split->name);
    if (split->nominal_count > 0)
        fprintf(file, "    nominal_count: %lld\n", (long long)split->nominal_count);
    if (split->nominal_users > 0)
        fprintf(file, "    nominal_users: %lld\n", (long long)split->nominal_users);
    fprintf(file, "    x_type: %s\n    dims: [", type_names[split->x_type]);
    for (int d = 0; d < split->n_dims; d++)
        fprintf(file, "%s%lld", d > 0 ? ", " : "", (long long)split->dims[d]);
    fprintf(file, "]\n    n_classes: %lld\n", (long long)split->n_classes);
    if (split->n_tokens > 0)
        fprintf(file, "    n_tokens: %lld\n", (long long)split->n_tokens);
}

/* The path may hold any character: it is written as JSON writes it. */
static int write_path(FILE *file, const char *path, struct error *err)
{
    struct json json = {0};
    char *text;
    json_string(&json, NULL, path);
    int rc = json_end(&json, &text, err);
    if (rc != 0)
        return rc;
    fprintf(file, "file: %s", text); /* with its newline */
    free(text);
    return 0;
}

int manifest_write(const struct manifest *manifest, FILE *file, struct error *err)
{
    fprintf(file,
            "# The public facts of a data set. nominal numbers are fixed at import and "
            "may\n"
            "# be told to anybody; the true number of records stands nowhere here.\n"
            "name: \"%s\"\n",
            manifest->name);
    int rc = write_path(file, manifest->file, err);
    if (rc != 0)
        return rc;
    fprintf(file, "unit: %s\nrelation: %s\ndigest: \"%s\"\nsplits:\n",
            unit_name(manifest->unit), relation_name(manifest->relation),
            manifest->digest);
    for (int s = 0; s < manifest->n_splits; s++)
        write_split(file, &manifest->splits[s]);
    if (fflush(file) != 0 || ferror(file))
        return error_errno(err, PPT_EIO, "cannot write the manifest of '%s'",
                           manifest->name);
    return 0;
}

bool manifest_has_users(const struct manifest *manifest)
{
    for (int s = 0; s < manifest->n_splits; s++)
        if (manifest->splits[s].nominal_users > 0)
            return true;
    return false;
}

const struct manifest_split *manifest_split(const struct manifest *manifest,
                                            const char *name)
{
    for (int s = 0; s < manifest->n_splits; s++)
        if (strcmp(manifest->splits[s].name, name) == 0)
            return &manifest->splits[s];
    return NULL;
}
