#include "worker/join.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "worker/data_h5.h"
#include "worker/digest.h"
#include "worker/files.h"
#include "worker/import.h"

/* What is known of the sources: per split and source the true number of records. */
struct joined {
    const struct join *join;
    struct h5_source *sources;
    int64_t *n_rows; /* [MANIFEST_MAX_SPLITS][n_paths] */
    enum manifest_type y_types[MANIFEST_MAX_SPLITS];
    struct manifest manifest;
};

/* The path of a source as it is found from the virtual file's directory. */
static int relative_path(const char *virtual_path, const char *path,
                         char ret_path[MANIFEST_PATH_SIZE], struct error *err)
{
    char folder[MANIFEST_PATH_SIZE];
    const char *slash = strrchr(virtual_path, '/');
    int len = slash == NULL           ? 1
              : slash == virtual_path ? 1
                                      : (int)(slash - virtual_path);
    if (len >= (int)sizeof folder)
        return error_set(err, PPT_EUSAGE, "the path %s is too long", virtual_path);
    snprintf(folder, sizeof folder, "%.*s", len, slash == NULL ? "." : virtual_path);
    char *real_folder = realpath(folder, NULL), *real = realpath(path, NULL);
    size_t n = real_folder != NULL ? strlen(real_folder) : 0;
    int rc = 0;
    if (real_folder == NULL || real == NULL)
        rc = error_errno(err, PPT_ENOTFOUND, "%s", real_folder == NULL ? folder : path);
    else if (strncmp(real, real_folder, n) != 0 || real[n] != '/' ||
             !h5_source_is_safe(real + n + 1))
        rc = error_set(err, PPT_EUSAGE,
                       "%s does not lie in the directory of %s or below it, in a path "
                       "without %%",
                       path, virtual_path);
    if (rc == 0)
        snprintf(ret_path, MANIFEST_PATH_SIZE, "%s", real + n + 1);
    else if (rc == -PPT_EUSAGE)
        error_hint(err, "the paths of sources are relative, so that all can be moved "
                        "together");
    free(real_folder), free(real);
    return rc;
}

/* The same splits, of the same records, for the same privacy. */
static int check_alike(const struct manifest *first, const struct manifest *other,
                       const char *path, struct error *err)
{
    if (other->unit != first->unit || other->relation != first->relation)
        return error_set(err, PPT_EDATA,
                         "%s: its privacy unit or relation is not the first file's",
                         path);
    if (other->n_splits != first->n_splits)
        return error_set(err, PPT_EDATA, "%s: %d splits, the first file has %d", path,
                         other->n_splits, first->n_splits);
    for (int s = 0; s < first->n_splits; s++) {
        const struct manifest_split *want = &first->splits[s];
        const struct manifest_split *has = manifest_split(other, want->name);
        if (has == NULL)
            return error_set(err, PPT_EDATA, "%s: no split %s, the first file has one",
                             path, want->name);
        bool is_alike = has->x_type == want->x_type && has->n_dims == want->n_dims &&
                        has->n_classes == want->n_classes &&
                        has->n_tokens == want->n_tokens;
        for (int d = 0; d < want->n_dims; d++)
            is_alike = is_alike && has->dims[d] == want->dims[d];
        if (!is_alike)
            return error_set(err, PPT_EDATA,
                             "%s: the type, shape, classes or tokens of %s are not the "
                             "first file's",
                             path, want->name);
    }
    return 0;
}

static int count_splits(struct joined *joined, int i, const struct data_h5 *data,
                        const struct manifest *manifest, struct error *err)
{
    const struct join *join = joined->join;
    for (int s = 0; s < joined->manifest.n_splits; s++) {
        struct manifest_split *sum = &joined->manifest.splits[s];
        const struct manifest_split *stated = manifest_split(manifest, sum->name);
        struct data_split split;
        int rc = data_h5_split(data, stated->name, &split, err);
        if (rc != 0)
            return rc;
        rc = data_split_match(&split, stated, join->paths[i], err);
        if (rc == 0 && i > 0 && split.y_type != joined->y_types[s])
            rc = error_set(
                err, PPT_EDATA, "%s: the labels of %s are %s, the first file's are %s",
                join->paths[i], stated->name, manifest_type_name(split.y_type),
                manifest_type_name(joined->y_types[s]));
        joined->y_types[s] = split.y_type;
        joined->n_rows[s * join->n_paths + i] = split.n_rows;
        data_split_close(&split);
        if (rc != 0)
            return rc;
        bool is_stated =
            stated->nominal_count > 0 && (i == 0 || sum->nominal_count > 0);
        sum->nominal_count =
            !is_stated ? 0 : (i > 0 ? sum->nominal_count : 0) + stated->nominal_count;
    }
    return 0;
}

static int check_unit(const struct manifest *manifest, const char *path,
                      struct error *err)
{
    if (manifest->unit != UNIT_USER)
        return 0;
    error_set(err, PPT_EDATA, "%s: its unit is a user, and such files are not joined",
              path);
    return error_hint(err, "a user with records in two files would be two users: bring "
                           "each user's records together and import them as one");
}

/* A file that comes twice would count each record twice, at the price of one. */
static int check_new(const struct joined *joined, int i, struct error *err)
{
    for (int k = 0; k < i; k++)
        if (strcmp(joined->sources[k].digest, joined->sources[i].digest) == 0)
            return error_set(err, PPT_EDATA, "%s holds the same as %s",
                             joined->join->paths[i], joined->join->paths[k]);
    return 0;
}

/* One source against its manifest, and against the first. */
static int look_at(struct joined *joined, int i, struct error *err)
{
    const char *path = joined->join->paths[i];
    char manifest_path[MANIFEST_PATH_SIZE];
    struct manifest manifest;
    struct data_h5 data;
    if (joined->join->progress != NULL)
        joined->join->progress(path);
    int rc = import_manifest_path(path, manifest_path, err);
    if (rc == 0)
        rc = manifest_read(manifest_path, &manifest, err);
    if (rc == 0)
        rc = check_unit(&manifest, path, err);
    if (rc == 0)
        rc = digest_check(path, manifest.digest, &comm_alone, err);
    if (rc == 0)
        rc = relative_path(joined->join->path, path, joined->sources[i].path, err);
    if (rc != 0)
        return rc;
    memcpy(joined->sources[i].digest, manifest.digest, sizeof manifest.digest);
    if (i == 0)
        joined->manifest = manifest;
    rc = check_new(joined, i, err);
    if (rc == 0)
        rc = check_alike(&joined->manifest, &manifest, path, err);
    if (rc == 0)
        rc = data_h5_open(path, &data, err);
    if (rc != 0)
        return rc;
    if (h5_n_sources(data.file) > 0)
        rc = error_set(err, PPT_EDATA, "%s is itself joined: join its sources", path);
    if (rc == 0)
        rc = count_splits(joined, i, &data, &manifest, err);
    data_h5_close(&data, NULL);
    return rc;
}

static int write_virtual(struct joined *joined, const char *path, struct error *err)
{
    const struct manifest *manifest = &joined->manifest;
    int n = joined->join->n_paths;
    struct data_h5 data;
    int rc = data_h5_create(path, manifest->unit, manifest->relation, &data, err);
    if (rc != 0)
        return rc;
    rc = h5_set_sources(data.file, joined->sources, n, err);
    for (int s = 0; rc == 0 && s < manifest->n_splits; s++) {
        const struct manifest_split *stated = &manifest->splits[s];
        struct data_split split = {.x_type = stated->x_type,
                                   .y_type = joined->y_types[s],
                                   .n_dims = stated->n_dims,
                                   .n_classes = stated->n_classes,
                                   .n_tokens = stated->n_tokens};
        memcpy(split.dims, stated->dims, sizeof split.dims);
        for (int i = 0; i < n; i++)
            split.n_rows += joined->n_rows[s * n + i];
        rc = data_h5_join(&data, stated->name, &split, joined->sources,
                          joined->n_rows + s * n, n, err);
    }
    int end_rc = data_h5_close(&data, rc == 0 ? err : NULL);
    return rc != 0 ? rc : end_rc;
}

static int write_both(struct joined *joined, const char *manifest_path,
                      struct error *err)
{
    const char *path = joined->join->path, *slash = strrchr(path, '/');
    struct manifest *manifest = &joined->manifest;
    char temporary[MANIFEST_PATH_SIZE];
    if (snprintf(temporary, sizeof temporary, "%s.tmp-%ld", path, (long)getpid()) >=
        (int)sizeof temporary)
        return error_set(err, PPT_EUSAGE, "the path %s is too long", path);
    snprintf(manifest->name, sizeof manifest->name, "%s", joined->join->name);
    snprintf(manifest->file, sizeof manifest->file, "%s",
             slash != NULL ? slash + 1 : path);
    int rc = write_virtual(joined, temporary, err);
    if (rc == 0)
        rc = digest_file(temporary, &comm_alone, manifest->digest, err);
    if (rc != 0) {
        unlink(temporary);
        return rc;
    }
    rc = files_replace(temporary, path, err);
    if (rc == 0)
        rc = import_manifest_write(manifest, manifest_path, err);
    if (rc != 0)
        unlink(path);
    return rc;
}

int join_run(const struct join *join, struct manifest *ret_manifest, struct error *err)
{
    struct joined joined = {.join = join};
    char manifest_path[MANIFEST_PATH_SIZE];
    if (join->n_paths < 1 || join->n_paths > H5_MAX_SOURCES)
        return error_set(err, PPT_EUSAGE, "%d files to join, expected 1 to %d",
                         join->n_paths, H5_MAX_SOURCES);
    int rc = import_manifest_path(join->path, manifest_path, err);
    if (rc == 0 && !join->may_replace)
        rc = import_check_absent(join->path, err);
    if (rc == 0 && !join->may_replace)
        rc = import_check_absent(manifest_path, err);
    if (rc != 0)
        return rc;
    size_t n = (size_t)join->n_paths;
    joined.sources = calloc(n, sizeof *joined.sources);
    joined.n_rows = calloc(n * MANIFEST_MAX_SPLITS, sizeof *joined.n_rows);
    if (joined.sources == NULL || joined.n_rows == NULL)
        rc = error_set(err, PPT_ENOMEM, "no memory to join");
    for (int i = 0; rc == 0 && i < join->n_paths; i++)
        rc = look_at(&joined, i, err);
    if (rc == 0)
        rc = write_both(&joined, manifest_path, err);
    if (rc == 0)
        *ret_manifest = joined.manifest;
    free(joined.sources);
    free(joined.n_rows);
    return rc;
}
