/* ppt-data: makes data sets from the formats they come in, and looks at them. It is the
 * data owner's tool: it sees true record counts, which nobody else may. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/json.h"
#include "base/log.h"
#include "base/opt.h"
#include "base/table.h"
#include "worker/columns.h"
#include "worker/data_h5.h"
#include "worker/digest.h"
#include "worker/import.h"
#include "worker/join.h"
#include "worker/redact.h"
#include "worker/scatter.h"
#include "worker/tokeniser.h"

/* What the options of an import say. */
struct request {
    const char *name, *unit, *output;
    const char *train_x, *train_y, *test_x, *test_y; /* idx, npy */
    const char *features;
    int64_t n_tokens;
    const char *train, *test, *label, *header; /* csv */
    const char *columns_path;
    const char *tokeniser_path, *redact_list; /* text */
    int64_t length;
    struct tokeniser *tokeniser;
    struct redact redact;
    struct columns *columns;
    int64_t nominal_count, nominal_test_count, nominal_users, n_classes;
    const char *users_path;
    struct users users;
    bool has_nominal_count, may_replace, is_quiet;
};

#define COMMON_OPTIONS(r)                                                              \
    {"output", 'o', OPT_STRING, &(r)->output, "FILE.h5", "the HDF5 file to write",     \
     NULL},                                                                            \
        {"nominal-count",        0,   OPT_INTEGER,                                     \
         &(r)->nominal_count,    "N", "public number of training records (needed)",    \
         &(r)->has_nominal_count},                                                     \
        {"nominal-test-count",                                                         \
         0,                                                                            \
         OPT_INTEGER,                                                                  \
         &(r)->nominal_test_count,                                                     \
         "N",                                                                          \
         "the same of test records, if it is public",                                  \
         NULL},                                                                        \
        {"name", 0, OPT_STRING, &(r)->name, "NAME", "of the data set (default: FILE)", \
         NULL},                                                                        \
        {"classes",   0,                                                               \
         OPT_INTEGER, &(r)->n_classes,                                                 \
         "N",         "labels are 0..N-1 (default: from the labels)",                  \
         NULL},                                                                        \
        {"unit",     0,      OPT_STRING,                                               \
         &(r)->unit, "UNIT", "whose privacy: example (default) or user",               \
         NULL},                                                                        \
        {"train-users", 0,                                                             \
         OPT_STRING,    &(r)->users_path,                                              \
         "FILE",        "whose each training record is, a line each",                  \
         NULL},                                                                        \
        {"nominal-users",                                                              \
         0,                                                                            \
         OPT_INTEGER,                                                                  \
         &(r)->nominal_users,                                                          \
         "N",                                                                          \
         "public number of their users",                                               \
         NULL},                                                                        \
        {"force", 'f', OPT_FLAG, &(r)->may_replace, NULL, "replace files that exist",  \
         NULL},                                                                        \
    {                                                                                  \
        "quiet", 'q', OPT_FLAG, &(r)->is_quiet, NULL, "no progress", NULL              \
    }

#define N_OPTIONS(options) ((int)(sizeof(options) / sizeof(options)[0]))

static int parse_pair_options(const char *name, struct request *request, int argc,
                              char **argv, struct error *err)
{
    const struct opt options[] = {
        {"train-x", 0, OPT_STRING, &request->train_x, "FILE", "training records", NULL},
        {"train-y", 0, OPT_STRING, &request->train_y, "FILE", "their labels", NULL},
        {"test-x", 0, OPT_STRING, &request->test_x, "FILE", "test records", NULL},
        {"test-y", 0, OPT_STRING, &request->test_y, "FILE", "their labels", NULL},
        {"tokens", 0, OPT_INTEGER, &request->n_tokens, "N",
         "records are ids below N, 0 for padding", NULL},
        {"features", 0, OPT_STRING, &request->features, "NAME",
         "scattering: of images, in place of pixels", NULL},
        COMMON_OPTIONS(request)};
    const struct opt_program program = {
        .name = name,
        .usage = "--train-x FILE --train-y FILE [--test-x FILE --test-y FILE]\n"
                 "       --nominal-count N -o FILE.h5",
        .summary = "Makes a data set from arrays of records and of labels; gzip too.",
        .epilogue = "Writes FILE.h5 and FILE.manifest.yaml. See ppt-data(1).",
        .options = options,
        .n_options = N_OPTIONS(options)};
    int n_operands;
    return opt_parse(&program, argc, argv, &n_operands, err);
}

static int parse_csv_options(const char *name, struct request *request, int argc,
                             char **argv, struct error *err)
{
    const struct opt options[] = {
        {"train", 0, OPT_STRING, &request->train, "FILE", "training records", NULL},
        {"test", 0, OPT_STRING, &request->test, "FILE", "test records", NULL},
        {"label", 0, OPT_STRING, &request->label, "COLUMN",
         "heading or number of the label (default: last)", NULL},
        {"header", 0, OPT_STRING, &request->header, "WHEN",
         "is the first line one: auto (default), yes, no", NULL},
        {"columns", 0, OPT_STRING, &request->columns_path, "FILE",
         "what each column holds (default: numbers)", NULL},
        COMMON_OPTIONS(request)};
    const struct opt_program program = {
        .name = name,
        .usage = "--train FILE [--test FILE] --nominal-count N -o FILE.h5",
        .summary = "Makes a data set from comma-separated values; gzip too.",
        .epilogue = "Writes FILE.h5 and FILE.manifest.yaml. See ppt-data(1).",
        .options = options,
        .n_options = N_OPTIONS(options)};
    int n_operands;
    return opt_parse(&program, argc, argv, &n_operands, err);
}

static int parse_text_options(const char *name, struct request *request, int argc,
                              char **argv, struct error *err)
{
    const struct opt options[] = {
        {"train", 0, OPT_STRING, &request->train, "FILE", "training records", NULL},
        {"test", 0, OPT_STRING, &request->test, "FILE", "test records", NULL},
        {"length", 0, OPT_INTEGER, &request->length, "N", "tokens of a record (needed)",
         NULL},
        {"tokeniser", 0, OPT_STRING, &request->tokeniser_path, "FILE",
         "byte pairs to merge (default: bytes)", NULL},
        {"redact", 0, OPT_STRING, &request->redact_list, "LIST",
         "of mail, card, id, phone; or all", NULL},
        COMMON_OPTIONS(request)};
    const struct opt_program program = {
        .name = name,
        .usage = "--train FILE [--test FILE] --length N\n"
                 "       --nominal-count N -o FILE.h5",
        .summary = "Makes a data set from lines of a label, a tab and text; gzip too.",
        .epilogue = "Writes FILE.h5 and FILE.manifest.yaml. See ppt-data(1).",
        .options = options,
        .n_options = N_OPTIONS(options)};
    int n_operands;
    return opt_parse(&program, argc, argv, &n_operands, err);
}

static int need(const char *value, const char *option, struct error *err)
{
    if (value != NULL)
        return 0;
    error_set(err, PPT_EUSAGE, "%s is missing", option);
    return error_hint(err, "run ppt-data import FORMAT --help");
}

static int check_users(const struct request *request, struct error *err)
{
    bool has_users = request->users_path != NULL;
    if (has_users != (request->nominal_users != 0))
        return error_set(err, PPT_EUSAGE,
                         "--train-users FILE and --nominal-users N belong together");
    if (has_users && unit_from_name(request->unit) != UNIT_USER)
        return error_set(err, PPT_EUSAGE, "--train-users is for --unit user");
    if (has_users &&
        (request->nominal_users < 1 || request->nominal_users > request->nominal_count))
        return error_set(err, PPT_EUSAGE,
                         "--nominal-users is %lld, expected 1 to the nominal count",
                         (long long)request->nominal_users);
    return 0;
}

static int check_request(const struct request *request, struct error *err)
{
    int rc = need(request->output, "-o FILE.h5", err);
    if (rc != 0)
        return rc;
    if (!request->has_nominal_count) {
        error_set(err, PPT_EUSAGE, "--nominal-count is missing");
        return error_hint(
            err, "how many records there truly are is private: adding or removing one "
                 "person would show. State a public number near it, such as a rounded "
                 "one; sample rates and averages use that one for ever");
    }
    if (request->nominal_count < 1 || request->nominal_test_count < 0)
        return error_set(err, PPT_EUSAGE, "a nominal count must be 1 or more");
    if (request->n_classes < 0 || request->n_classes == 1)
        return error_set(err, PPT_EUSAGE, "--classes must be 2 or more");
    if (request->features != NULL && strcmp(request->features, "scattering") != 0)
        return error_set(err, PPT_EUSAGE, "--features is \"%s\", expected scattering",
                         request->features);
    if (unit_from_name(request->unit) < 0)
        return error_set(err, PPT_EUSAGE,
                         "--unit is \"%s\", expected \"example\" or \"user\"",
                         request->unit);
    return check_users(request, err);
}

typedef int open_pair(const char *x_path, const char *y_path, struct source *ret_source,
                      struct error *err);

static int open_pairs(const struct request *request, open_pair *open_one,
                      struct source sources[2], int *ret_n, struct error *err)
{
    bool has_test = request->test_x != NULL || request->test_y != NULL;
    int rc = need(request->train_x, "--train-x FILE", err);
    if (rc == 0)
        rc = need(request->train_y, "--train-y FILE", err);
    if (rc == 0 && has_test)
        rc = need(request->test_x, "--test-x FILE", err);
    if (rc == 0 && has_test)
        rc = need(request->test_y, "--test-y FILE", err);
    if (rc == 0)
        rc = open_one(request->train_x, request->train_y, &sources[0], err);
    if (rc == 0 && has_test)
        rc = open_one(request->test_x, request->test_y, &sources[1], err);
    *ret_n = has_test ? 2 : 1;
    for (int s = 0; rc == 0 && request->features != NULL && s < *ret_n; s++)
        rc = scatter_source(&sources[s], err);
    for (int s = 0; rc == 0 && s < *ret_n; s++)
        rc = source_as_tokens(&sources[s], request->n_tokens, err);
    return rc;
}

static int read_columns(struct request *request, struct error *err)
{
    if (request->columns_path == NULL)
        return 0;
    if (request->label != NULL)
        return error_set(err, PPT_EUSAGE,
                         "--label and --columns: the columns' file says which is the "
                         "label");
    int rc = columns_read(request->columns_path, &request->columns, err);
    if (rc == 0 && request->n_classes == 0)
        request->n_classes = columns_n_labels(request->columns);
    return rc;
}

static int open_csvs(struct request *request, struct source sources[2], int *ret_n,
                     struct error *err)
{
    static const char *const words[] = {
        [CSV_HEADER_AUTO] = "auto", [CSV_HEADER_YES] = "yes", [CSV_HEADER_NO] = "no"};
    int header = CSV_HEADER_AUTO;
    while (header <= CSV_HEADER_NO && strcmp(words[header], request->header) != 0)
        header++;
    if (header > CSV_HEADER_NO)
        return error_set(err, PPT_EUSAGE,
                         "--header is \"%s\", expected auto, yes or no",
                         request->header);
    int rc = need(request->train, "--train FILE", err);
    if (rc == 0)
        rc = read_columns(request, err);
    if (rc == 0)
        rc = source_open_csv(request->train, request->label, (enum csv_header)header,
                             request->columns, &sources[0], err);
    if (rc == 0 && request->test != NULL)
        rc = source_open_csv(request->test, request->label, (enum csv_header)header,
                             request->columns, &sources[1], err);
    *ret_n = request->test != NULL ? 2 : 1;
    return rc;
}

/* How often was each kind found; private, like all that depends on the records. */
static void tell_redacted(const struct request *request)
{
    const struct redact *redact = &request->redact;
    for (int kind = 0; kind < REDACT_N; kind++)
        if (redact->is_on[kind])
            log_info("redacted: %s %lld times (a private number)",
                     redact_name((enum redact_kind)kind), (long long)redact->n[kind]);
}

static int open_texts(struct request *request, struct source sources[2], int *ret_n,
                      struct error *err)
{
    struct redact *redact = request->redact_list != NULL ? &request->redact : NULL;
    if (redact != NULL && !redact_parse(request->redact_list, redact))
        return error_set(err, PPT_EUSAGE,
                         "--redact is \"%s\", expected all or a list of mail, card, id "
                         "and phone",
                         request->redact_list);
    if (request->length < 1 || request->length > 65536)
        return error_set(err, PPT_EUSAGE, "--length is %lld, expected 1 to 65536",
                         (long long)request->length);
    int rc = need(request->train, "--train FILE", err);
    if (rc == 0)
        rc = tokeniser_open(request->tokeniser_path, &request->tokeniser, err);
    if (rc == 0)
        rc = source_open_text(request->train, request->length, request->tokeniser,
                              redact, &sources[0], err);
    if (rc == 0 && request->test != NULL)
        rc = source_open_text(request->test, request->length, request->tokeniser,
                              redact, &sources[1], err);
    *ret_n = request->test != NULL ? 2 : 1;
    return rc;
}

/* A line a second once an import has taken two. */
static void show_progress(void *state, double part)
{
    time_t *last = state;
    time_t now = time(NULL);
    if (*last == 0)
        *last = now + 1;
    if (now <= *last)
        return;
    *last = now;
    log_info("%.0f %% imported", 100 * part);
}

/* "dir/mnist.h5" -> "mnist". */
static void name_of_file(const char *path, char ret_name[MANIFEST_NAME_SIZE])
{
    const char *slash = strrchr(path, '/');
    const char *base = slash != NULL ? slash + 1 : path;
    size_t len = strcspn(base, ".");
    snprintf(ret_name, MANIFEST_NAME_SIZE, "%.*s", (int)len, base);
}

static void tell_owner(const struct request *request, const struct source *train,
                       const struct manifest *manifest)
{
    double ratio = (double)train->n_rows / (double)request->nominal_count;
    if (ratio > 2 || ratio < 0.5)
        log_warning("the nominal count is far from the true one: rates and noise will "
                    "fit the nominal one");
    if (request->n_classes == 0)
        log_info("%lld classes were counted from the labels and are public now; state "
                 "them with --classes if the labels must not show it",
                 (long long)manifest->splits[0].n_classes);
}

static int import_sources(const struct request *request, struct source *sources, int n,
                          struct error *err)
{
    time_t last = 0;
    char name[MANIFEST_NAME_SIZE], manifest_path[MANIFEST_PATH_SIZE];
    struct manifest manifest;
    name_of_file(request->output, name);
    struct import import = {
        .name = request->name != NULL ? request->name : name,
        .unit = (enum privacy_unit)unit_from_name(request->unit),
        .n_classes = request->n_classes,
        .n_splits = n,
        .splits = {{.name = "train",
                    .nominal_count = request->nominal_count,
                    .source = &sources[0],
                    .users = request->users_path != NULL ? &request->users : NULL,
                    .nominal_users = request->nominal_users},
                   {.name = "test",
                    .nominal_count = request->nominal_test_count,
                    .source = &sources[1]}},
        .path = request->output,
        .may_replace = request->may_replace,
        .progress = show_progress,
        .progress_state = &last};
    int rc = import_run(&import, &manifest, err);
    if (rc == 0)
        rc = import_manifest_path(request->output, manifest_path, err);
    if (rc != 0)
        return rc;
    tell_owner(request, &sources[0], &manifest);
    tell_redacted(request);
    printf("%s\n", manifest_path);
    return 0;
}

/* What an import can read. */
struct format {
    const char *name, *program;
    int (*parse)(const char *name, struct request *request, int argc, char **argv,
                 struct error *err);
    int (*open)(struct request *request, struct source sources[2], int *ret_n,
                struct error *err);
};

static int open_idx(struct request *request, struct source sources[2], int *ret_n,
                    struct error *err)
{
    return open_pairs(request, source_open_idx, sources, ret_n, err);
}

static int open_npy(struct request *request, struct source sources[2], int *ret_n,
                    struct error *err)
{
    return open_pairs(request, source_open_npy, sources, ret_n, err);
}

static const struct format formats[] = {
    {"idx", "ppt-data import idx", parse_pair_options, open_idx},
    {"npy", "ppt-data import npy", parse_pair_options, open_npy},
    {"csv", "ppt-data import csv", parse_csv_options, open_csvs},
    {"text", "ppt-data import text", parse_text_options, open_texts},
};
enum { N_FORMATS = sizeof formats / sizeof formats[0] };

static int run_import(int argc, char **argv, struct error *err)
{
    struct request request = {.unit = "example", .header = "auto"};
    struct source sources[2] = {0};
    const char *name = argc > 1 ? argv[1] : "";
    int f = 0, n = 0;
    while (f < N_FORMATS && strcmp(formats[f].name, name) != 0)
        f++;
    if (f == N_FORMATS) {
        error_set(err, PPT_EUSAGE,
                  "unknown format \"%s\", expected idx, csv, npy or text", name);
        return error_hint(err, "run ppt-data --help");
    }
    const struct format *format = &formats[f];
    int rc = format->parse(format->program, &request, argc - 1, argv + 1, err);
    log_init("ppt-data", request.is_quiet);
    if (rc == 0)
        rc = check_request(&request, err);
    if (rc == 0)
        rc = format->open(&request, sources, &n, err);
    if (rc == 0 && request.users_path != NULL)
        rc = users_read(request.users_path, &request.users, err);
    if (rc == 0)
        rc = import_sources(&request, sources, n, err);
    source_close(&sources[0]);
    source_close(&sources[1]);
    users_free(&request.users);
    columns_free(request.columns);
    tokeniser_free(request.tokeniser);
    return rc;
}

static void show_file(const char *path)
{
    log_info("checking %s", path);
}

static int run_join(int argc, char **argv, struct error *err)
{
    struct request request = {0};
    const struct opt options[] = {
        {"output", 'o', OPT_STRING, &request.output, "ALL.h5", "the file to write",
         NULL},
        {"name", 0, OPT_STRING, &request.name, "NAME", "of the data set (default: ALL)",
         NULL},
        {"force", 'f', OPT_FLAG, &request.may_replace, NULL, "replace files that exist",
         NULL},
        {"quiet", 'q', OPT_FLAG, &request.is_quiet, NULL, "no progress", NULL}};
    const struct opt_program program = {
        .name = "ppt-data join",
        .usage = "-o ALL.h5 FILE.h5...",
        .summary = "Makes one data set of several, whose files stay where they are.",
        .epilogue = "Each FILE.h5 has its manifest beside it. See ppt-data(1).",
        .options = options,
        .n_options = N_OPTIONS(options),
        .min_operands = 1,
        .max_operands = H5_MAX_SOURCES};
    char name[MANIFEST_NAME_SIZE], manifest_path[MANIFEST_PATH_SIZE];
    struct manifest manifest;
    int n_operands;
    int rc = opt_parse(&program, argc, argv, &n_operands, err);
    if (rc == 0)
        rc = need(request.output, "-o ALL.h5", err);
    if (rc != 0)
        return rc;
    log_init("ppt-data", request.is_quiet);
    name_of_file(request.output, name);
    const struct join join = {.name = request.name != NULL ? request.name : name,
                              .paths = (const char *const *)argv + 1,
                              .n_paths = n_operands,
                              .path = request.output,
                              .may_replace = request.may_replace,
                              .progress = show_file};
    rc = join_run(&join, &manifest, err);
    if (rc == 0)
        rc = import_manifest_path(request.output, manifest_path, err);
    if (rc == 0)
        printf("%s\n", manifest_path);
    return rc;
}

static void shape_text(const struct data_split *split, char ret_text[80])
{
    int at = 0;
    for (int d = 0; d < split->n_dims; d++)
        at += snprintf(ret_text + at, 80 - (size_t)at, "%s%lld", d > 0 ? " x " : "",
                       (long long)split->dims[d]);
}

static const char *storage_name(const struct h5_data *data)
{
    return h5_data_n_parts(data) > 0 ? "joined"
           : h5_data_is_direct(data) ? "contiguous"
                                     : "chunked";
}

static void split_row(struct table *table, const char *name,
                      const struct data_split *split)
{
    char records[24], shape[80], classes[24];
    snprintf(records, sizeof records, "%lld", (long long)split->n_rows);
    snprintf(classes, sizeof classes, "%lld", (long long)split->n_classes);
    shape_text(split, shape);
    table_row(table,
              (const char *const[]){name, records, manifest_type_name(split->x_type),
                                    shape, classes, manifest_type_name(split->y_type),
                                    storage_name(split->x)});
}

static void split_json(struct json *json, const char *name,
                       const struct data_split *split)
{
    json_object(json, NULL);
    json_string(json, "name", name);
    json_integer(json, "n_records", split->n_rows);
    json_string(json, "x_type", manifest_type_name(split->x_type));
    json_string(json, "y_type", manifest_type_name(split->y_type));
    json_array(json, "dims");
    for (int d = 0; d < split->n_dims; d++)
        json_integer(json, NULL, split->dims[d]);
    json_close_array(json);
    json_integer(json, "n_classes", split->n_classes);
    if (split->n_tokens > 0)
        json_integer(json, "n_tokens", split->n_tokens);
    json_bool(json, "has_users", split->has_users);
    json_bool(json, "is_contiguous", h5_data_is_direct(split->x));
    json_integer(json, "n_sources", h5_data_n_parts(split->x));
    json_close_object(json);
}

/* Adds each split to the table and the JSON array. */
static int list_splits(const struct data_h5 *data, struct table *table,
                       struct json *json, struct error *err)
{
    char names[MANIFEST_MAX_SPLITS][H5_MAX_NAME];
    int n = 0;
    int rc = h5_groups(data->file, MANIFEST_MAX_SPLITS, names, &n, err);
    for (int s = 0; rc == 0 && s < n; s++) {
        struct data_split split;
        rc = data_h5_split(data, names[s], &split, err);
        if (rc != 0)
            break;
        split_row(table, names[s], &split);
        split_json(json, names[s], &split);
        data_split_close(&split);
    }
    return rc;
}

static int print_info(const struct data_h5 *data, bool as_json, struct error *err)
{
    static const char *const headings[] = {"SPLIT",    ">RECORDS", "TYPE",   "RECORD",
                                           ">CLASSES", "LABELS",   "STORAGE"};
    struct table *table = table_new(headings, 7);
    struct json json = {0};
    char *text = NULL;
    json_object(&json, NULL);
    json_string(&json, "file", h5_path(data->file));
    json_string(&json, "unit", unit_name(data->unit));
    json_string(&json, "relation", relation_name(data->relation));
    json_array(&json, "splits");
    int rc = list_splits(data, table, &json, err);
    json_close_array(&json);
    json_close_object(&json);
    int end_rc = json_end(&json, &text, rc == 0 ? err : NULL);
    rc = rc != 0 ? rc : end_rc;
    if (rc == 0 && as_json)
        fputs(text, stdout);
    if (rc == 0 && !as_json) {
        printf("unit: %s, relation: %s\n", unit_name(data->unit),
               relation_name(data->relation));
        table_print(table, stdout, true);
    }
    free(text);
    table_free(table);
    return rc;
}

static int run_info(int argc, char **argv, struct error *err)
{
    bool as_json = false;
    const struct opt options[] = {
        {"json", 0, OPT_FLAG, &as_json, NULL, "print JSON", NULL}};
    const struct opt_program program = {
        .name = "ppt-data info",
        .usage = "FILE.h5 [--json]",
        .summary = "Shows a data set's layout and its true record counts.",
        .epilogue = "The counts are private: they are for the data's owner only.",
        .options = options,
        .n_options = N_OPTIONS(options),
        .min_operands = 1,
        .max_operands = 1};
    int n_operands;
    struct data_h5 data;
    int rc = opt_parse(&program, argc, argv, &n_operands, err);
    if (rc == 0)
        rc = data_h5_open(argv[1], &data, err);
    if (rc != 0)
        return rc;
    rc = print_info(&data, as_json, err);
    data_h5_close(&data, NULL);
    if (rc == 0)
        log_warning(
            "the numbers of records are private: publish those of the manifest");
    return rc;
}

static int match_splits(const char *path, const struct manifest *manifest,
                        struct error *err)
{
    struct data_h5 data;
    int rc = data_h5_open(path, &data, err);
    if (rc != 0)
        return rc;
    for (int s = 0; rc == 0 && s < manifest->n_splits; s++) {
        struct data_split split;
        rc = data_h5_split(&data, manifest->splits[s].name, &split, err);
        if (rc != 0)
            break;
        rc = data_split_match(&split, &manifest->splits[s], path, err);
        data_split_close(&split);
    }
    data_h5_close(&data, NULL);
    return rc;
}

static int check_sources(const char *path, struct error *err)
{
    struct h5 *file;
    int rc = h5_open(path, &file, err);
    if (rc != 0)
        return rc;
    rc = digest_check_sources(file, &comm_alone, err);
    h5_close(file, NULL);
    return rc;
}

static int run_verify(int argc, char **argv, struct error *err)
{
    const char *manifest_option = NULL;
    char manifest_path[MANIFEST_PATH_SIZE];
    struct manifest manifest;
    const struct opt options[] = {{"manifest", 0, OPT_STRING, &manifest_option, "FILE",
                                   "default: the one beside FILE.h5", NULL}};
    const struct opt_program program = {
        .name = "ppt-data verify",
        .usage = "FILE.h5 [--manifest FILE]",
        .summary = "Checks a data file's digest and layout against its manifest.",
        .options = options,
        .n_options = N_OPTIONS(options),
        .min_operands = 1,
        .max_operands = 1};
    int n_operands;
    int rc = opt_parse(&program, argc, argv, &n_operands, err);
    if (rc == 0)
        rc = import_manifest_path(argv[1], manifest_path, err);
    if (rc == 0)
        rc = manifest_read(manifest_option != NULL ? manifest_option : manifest_path,
                           &manifest, err);
    if (rc == 0)
        rc = digest_check(argv[1], manifest.digest, &comm_alone, err);
    if (rc == 0)
        rc = check_sources(argv[1], err);
    if (rc == 0)
        rc = match_splits(argv[1], &manifest, err);
    if (rc == 0)
        printf("%s: ok\n", argv[1]);
    return rc;
}

static void print_help(void)
{
    printf(
        "Usage: ppt-data COMMAND ...\n"
        "Makes data sets from the formats they come in, and looks at them.\n\n"
        "Commands:\n"
        "  import idx    from MNIST's format\n"
        "  import npy    from NumPy arrays\n"
        "  import csv    from comma-separated values\n"
        "  import text   from labels and text, a line each\n"
        "  join FILE...  make one data set of several\n"
        "  info FILE     show a data set's layout (counts are private)\n"
        "  verify FILE   check a data file against its manifest\n\n"
        "Options:\n"
        "  -h, --help     show this, or a command's own help behind it\n"
        "      --version  show the version\n\n"
        "ppt-data import idx --train-x F --train-y F --nominal-count 60000 -o m.h5\n");
}

static int run_command(int argc, char **argv, struct error *err)
{
    const char *command = argc > 1 ? argv[1] : "";
    if (strcmp(command, "import") == 0 && argc > 2 && argv[2][0] != '-')
        return run_import(argc - 1, argv + 1, err);
    if (strcmp(command, "join") == 0)
        return run_join(argc - 1, argv + 1, err);
    if (strcmp(command, "info") == 0)
        return run_info(argc - 1, argv + 1, err);
    if (strcmp(command, "verify") == 0)
        return run_verify(argc - 1, argv + 1, err);
    bool is_import = strcmp(command, "import") == 0;
    const char *word = is_import && argc > 2 ? argv[2] : command;
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
        print_help();
        return 0;
    }
    if (strcmp(word, "--version") == 0) {
        printf("ppt-data %s\n", PPT_VERSION);
        return 0;
    }
    if (is_import)
        error_set(err, PPT_EUSAGE, "import what? expected idx, csv, npy or text");
    else
        error_set(err, PPT_EUSAGE,
                  "unknown command \"%s\", expected import, join, info or verify",
                  command);
    return error_hint(err, "run ppt-data --help");
}

int main(int argc, char **argv)
{
    struct error err = {0};
    log_init("ppt-data", false);
    int rc = run_command(argc, argv, &err);
    if (rc == 0 && fflush(stdout) != 0)
        rc = error_errno(&err, PPT_EIO, "standard output");
    return rc == 0 ? 0 : log_error(&err);
}
