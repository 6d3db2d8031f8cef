#include "worker/columns.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/pathsafe.h"
#include "base/ydoc.h"

#define MAX_FILE_BYTES (256u << 10)
#define MAX_COLUMNS 4096
#define NAME_SIZE 128

enum column_kind { COLUMN_SKIP, COLUMN_NUMBER, COLUMN_WORDS, COLUMN_LABEL };

struct column {
    enum column_kind kind;
    char name[NAME_SIZE];
    double mean, std; /* number: (x - mean) / std, after the logarithm */
    bool is_log;      /* number: sign(x) log(1 + |x|) */
    int n_edges;      /* number: which of n_edges + 1 bins, behind the value */
    double *edges;    /* ascending */
    int n_words;      /* words, label: 0 for a label that is a number */
    char (*words)[NAME_SIZE];
};

struct columns {
    int64_t n, n_features, label;
    struct column *list;
};

static int read_words(struct ydoc_faults *faults, const struct ydoc_node *node,
                      struct column *column)
{
    if (node->kind != YDOC_SEQUENCE || node->n_children < 2) {
        ydoc_fault(faults, node, "expected a list of two or more words");
        return -PPT_ESPEC;
    }
    column->words = calloc((size_t)node->n_children, sizeof *column->words);
    if (column->words == NULL) {
        faults->is_out_of_memory = true;
        return -PPT_ENOMEM;
    }
    for (const struct ydoc_node *n = node->first; n != NULL; n = n->next) {
        if (ydoc_string(faults, n, NAME_SIZE, column->words[n->index]) != 0)
            continue;
        for (int w = 0; w < n->index; w++)
            if (strcmp(column->words[w], column->words[n->index]) == 0)
                ydoc_fault(faults, n, "expected each word once");
    }
    column->n_words = node->n_children;
    return 0;
}

static int read_edges(struct ydoc_faults *faults, const struct ydoc_node *node,
                      struct column *column)
{
    static const struct ydoc_range any = {-1e30, 1e30, false, false};
    if (node->kind != YDOC_SEQUENCE || node->n_children < 1) {
        ydoc_fault(faults, node, "expected a list of numbers that ascend");
        return -PPT_ESPEC;
    }
    column->edges = calloc((size_t)node->n_children, sizeof *column->edges);
    if (column->edges == NULL) {
        faults->is_out_of_memory = true;
        return -PPT_ENOMEM;
    }
    for (const struct ydoc_node *n = node->first; n != NULL; n = n->next) {
        double *edge = &column->edges[n->index];
        if (ydoc_number(faults, n, any, edge) == 0 && n->index > 0 &&
            edge[0] <= edge[-1])
            ydoc_fault(faults, n, "expected a number above the one before it");
    }
    column->n_edges = node->n_children;
    return 0;
}

/* {mean: 40, std: 12, log: true, bins: [20, 30]}, each of them optional. */
static void read_number(struct ydoc_faults *faults, const struct ydoc_node *node,
                        struct column *column)
{
    static const char *const keys[] = {"mean", "std", "log", "bins"};
    static const struct ydoc_range mean = {-1e30, 1e30, false, false};
    static const struct ydoc_range std = {0, 1e30, true, false};
    column->kind = COLUMN_NUMBER;
    ydoc_only_keys(faults, node, keys, 4);
    if (ydoc_get(node, "mean") != NULL)
        ydoc_number(faults, ydoc_get(node, "mean"), mean, &column->mean);
    if (ydoc_get(node, "std") != NULL)
        ydoc_number(faults, ydoc_get(node, "std"), std, &column->std);
    if (ydoc_get(node, "log") != NULL)
        ydoc_bool(faults, ydoc_get(node, "log"), &column->is_log);
    if (ydoc_get(node, "bins") != NULL)
        read_edges(faults, ydoc_get(node, "bins"), column);
}

static void read_mapping(struct ydoc_faults *faults, const struct ydoc_node *node,
                         struct column *column)
{
    static const char *const keys[] = {"words", "label"};
    const struct ydoc_node *words = ydoc_get(node, "words");
    const struct ydoc_node *label = ydoc_get(node, "label");
    if (words == NULL && label == NULL) {
        read_number(faults, node, column);
        return;
    }
    ydoc_only_keys(faults, node, keys, 2);
    if (words != NULL && label != NULL)
        ydoc_fault(faults, node, "expected either words or a label, found both");
    column->kind = label != NULL ? COLUMN_LABEL : COLUMN_WORDS;
    read_words(faults, label != NULL ? label : words, column);
}

/* "age: number", "age: {mean: 40}", "sex: {words: [F, M]}", "id: skip". */
static void read_column(struct ydoc_faults *faults, const struct ydoc_node *item,
                        struct column *column)
{
    static const char *const words[] = {"skip", "number", "label"};
    static const enum column_kind kinds[] = {COLUMN_SKIP, COLUMN_NUMBER, COLUMN_LABEL};
    column->std = 1;
    if (item->kind != YDOC_MAPPING || item->n_children != 1) {
        ydoc_fault(faults, item,
                   "expected one column, such as age: {mean: 40, std: 12}");
        return;
    }
    const struct ydoc_node *node = item->first;
    if (snprintf(column->name, NAME_SIZE, "%s", node->key) >= NAME_SIZE)
        ydoc_fault(faults, node, "expected a name of at most %d bytes", NAME_SIZE - 1);
    int word = 0;
    if (node->kind == YDOC_MAPPING)
        read_mapping(faults, node, column);
    else if (node->kind == YDOC_SCALAR && ydoc_word(faults, node, words, 3, &word) == 0)
        column->kind = kinds[word];
    else if (node->kind == YDOC_SEQUENCE)
        ydoc_fault(faults, node, "expected skip, number, label or a mapping");
}

static int64_t n_features_of(const struct column *column)
{
    switch (column->kind) {
    case COLUMN_NUMBER:
        return 1 + (column->n_edges > 0 ? column->n_edges + 1 : 0);
    case COLUMN_WORDS:
        return column->n_words;
    default:
        return 0;
    }
}

static void read_list(struct ydoc_faults *faults, const struct ydoc_node *root,
                      struct columns *columns)
{
    if (root == NULL)
        return;
    if (root->kind != YDOC_SEQUENCE || root->n_children > MAX_COLUMNS) {
        ydoc_fault(faults, root, "expected a list of at most %d columns", MAX_COLUMNS);
        return;
    }
    columns->list = calloc((size_t)root->n_children + 1, sizeof *columns->list);
    if (columns->list == NULL) {
        faults->is_out_of_memory = true;
        return;
    }
    columns->n = root->n_children;
    for (const struct ydoc_node *n = root->first; n != NULL; n = n->next) {
        struct column *column = &columns->list[n->index];
        read_column(faults, n, column);
        columns->n_features += n_features_of(column);
        if (column->kind == COLUMN_LABEL && columns->label >= 0)
            ydoc_fault(faults, n, "expected one label, found a second");
        if (column->kind == COLUMN_LABEL)
            columns->label = n->index;
    }
    if (columns->label < 0 || columns->n_features < 1)
        ydoc_fault(faults, root, "expected a label and at least one other column");
}

int columns_read(const char *path, struct columns **ret_columns, struct error *err)
{
    char *text;
    size_t len;
    int rc = pathsafe_read_file(path, MAX_FILE_BYTES, &text, &len, err);
    if (rc != 0)
        return rc;
    struct columns *columns = calloc(1, sizeof *columns);
    struct ydoc_faults *faults = calloc(1, sizeof *faults);
    if (columns == NULL || faults == NULL) {
        free(text), free(columns), free(faults);
        return error_set(err, PPT_ENOMEM, "no memory to read %s", path);
    }
    columns->label = -1;
    faults->path = path;
    struct ydoc *doc = ydoc_parse(text, len, NULL, faults);
    read_list(faults, ydoc_root(doc), columns);
    rc = ydoc_faults_end(faults, "list of columns", err);
    ydoc_free(doc);
    free(text), free(faults);
    if (rc != 0) {
        columns_free(columns);
        return rc;
    }
    *ret_columns = columns;
    return 0;
}

void columns_free(struct columns *columns)
{
    if (columns == NULL)
        return;
    for (int64_t c = 0; c < columns->n; c++)
        free(columns->list[c].edges), free(columns->list[c].words);
    free(columns->list);
    free(columns);
}

int64_t columns_count(const struct columns *columns)
{
    return columns->n;
}

int64_t columns_n_features(const struct columns *columns)
{
    return columns->n_features;
}

int64_t columns_label(const struct columns *columns)
{
    return columns->label;
}

const char *columns_name(const struct columns *columns, int64_t column)
{
    return columns->list[column].name;
}

static int find_word(const struct column *column, const char *text)
{
    int w = 0;
    while (w < column->n_words && strcmp(column->words[w], text) != 0)
        w++;
    return w;
}

static bool number_features(const struct column *column, const char *text, float *ret_x,
                            const char **ret_wanted)
{
    char *end;
    double value = strtod(text, &end);
    *ret_wanted = "a number";
    if (end == text || *end != '\0')
        return false;
    int bin = 0;
    for (int e = 0; e < column->n_edges; e++) {
        bin += value >= column->edges[e];
        ret_x[2 + e] = 0;
    }
    if (column->is_log)
        value = copysign(log1p(fabs(value)), value);
    ret_x[0] = (float)((value - column->mean) / column->std);
    if (column->n_edges > 0) {
        ret_x[1] = 0;
        ret_x[1 + bin] = 1;
    }
    *ret_wanted = "a finite number that float32 can hold";
    return isfinite(ret_x[0]);
}

bool columns_feature(const struct columns *columns, int64_t column, const char *text,
                     float *ret_x, int64_t *ret_n, const char **ret_wanted)
{
    const struct column *is = &columns->list[column];
    *ret_n = n_features_of(is);
    if (is->kind == COLUMN_NUMBER)
        return number_features(is, text, ret_x, ret_wanted);
    if (is->kind == COLUMN_WORDS) {
        int word = find_word(is, text);
        for (int w = 0; w < is->n_words; w++)
            ret_x[w] = w == word ? 1 : 0;
    }
    return true;
}

int64_t columns_n_labels(const struct columns *columns)
{
    return columns->list[columns->label].n_words;
}

bool columns_label_value(const struct columns *columns, const char *text,
                         int64_t *ret_y)
{
    const struct column *label = &columns->list[columns->label];
    int word = find_word(label, text);
    if (word == label->n_words)
        return false;
    *ret_y = word;
    return true;
}
