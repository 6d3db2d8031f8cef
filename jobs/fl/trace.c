#include "jobs/fl/trace.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/ydoc.h"

#define HEADER "client,examples_per_s,bytes_per_s,from_s,to_s"
enum { N_COLUMNS = 5, MOST_TOLD = 40 };
/* A clock that was set to the beginning of an interval is in it, whatever its digits.
 */
#define ALMOST_S 1e-6

static const char *const columns[N_COLUMNS] = {"client", "examples_per_s",
                                               "bytes_per_s", "from_s", "to_s"};

struct reading {
    const char *name;
    const struct partition *partition;
    double period_s;
    bool is_json;
    int64_t line;
};

static int fault(const struct reading *reading, int column, const char *wanted,
                 const char *found, struct error *err)
{
    return error_set(err, PPT_ESPEC, "%s:%lld: %s: expected %s, found \"%.*s\"",
                     reading->name, (long long)reading->line, columns[column], wanted,
                     MOST_TOLD, found);
}

/* The client of that id, or -1. */
static int64_t find_client(const struct partition *partition, int64_t id)
{
    int64_t low = 0, high = partition->n_clients;
    if (partition->ids == NULL) {
        return id >= 0 && id < partition->n_clients ? id : -1;
    }
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        if (partition->ids[middle] < id) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < partition->n_clients && partition->ids[low] == id ? low : -1;
}

static int read_client(const struct reading *reading, const char *field,
                       int64_t *ret_client, struct error *err)
{
    char *end;
    errno = 0;
    long long id = strtoll(field, &end, 10);
    if (end == field || *end != '\0' || errno != 0) {
        return fault(reading, 0, "a whole number", field, err);
    }
    *ret_client = find_client(reading->partition, id);
    return *ret_client >= 0 ? 0
                            : fault(reading, 0,
                                    reading->partition->ids == NULL
                                        ? "the number of one of the job's clients"
                                        : "the id of one of the data set's users",
                                    field, err);
}

static int read_number(const struct reading *reading, int column, const char *field,
                       bool is_speed, double *ret_number, struct error *err)
{
    char *end;
    double number = strtod(field, &end);
    bool is_number = end != field && *end == '\0' && isfinite(number);
    if (is_speed && (!is_number || number < 1e-6 || number > 1e15)) {
        return fault(reading, column, "a number from 1e-06 to 1e+15", field, err);
    }
    if (!is_speed && (!is_number || number < 0.0 || number > reading->period_s)) {
        return fault(reading, column, "seconds from 0 to devices.period", field, err);
    }
    *ret_number = number;
    return 0;
}

/* Cuts a line at its commas. */
static int split(const struct reading *reading, char *line,
                 const char *ret_fields[N_COLUMNS], struct error *err)
{
    int n = 0;
    for (char *at = line; at != NULL; n++) {
        char *comma = strchr(at, ',');
        if (n < N_COLUMNS) {
            ret_fields[n] = at;
        }
        if (comma != NULL) {
            *comma++ = '\0';
        }
        at = comma;
    }
    return n == N_COLUMNS
               ? 0
               : error_set(err, PPT_ESPEC, "%s:%lld: expected %d fields, found %d",
                           reading->name, (long long)reading->line, N_COLUMNS, n);
}

static int read_fields(const struct reading *reading, const char *fields[N_COLUMNS],
                       struct trace_interval *ret_interval, struct error *err)
{
    struct trace_interval interval = {.line = reading->line};
    double *const numbers[] = {NULL, &interval.examples_per_s, &interval.bytes_per_s,
                               &interval.from_s, &interval.to_s};
    int rc = read_client(reading, fields[0], &interval.client, err);
    for (int i = 1; rc == 0 && i < N_COLUMNS; i++) {
        rc = read_number(reading, i, fields[i], i < 3, numbers[i], err);
    }
    if (rc == 0 && interval.from_s >= interval.to_s) {
        rc = fault(reading, 4, "more than from_s", fields[4], err);
    }
    if (rc == 0) {
        *ret_interval = interval;
    }
    return rc;
}

/* The same as a line of JSON. */
static int read_object(const struct reading *reading, const char *line,
                       struct trace_interval *ret_interval, struct error *err)
{
    struct ydoc_faults faults = {.path = reading->name};
    const char *fields[N_COLUMNS];
    struct ydoc *doc = ydoc_parse(line, strlen(line), NULL, &faults);
    const struct ydoc_node *root = ydoc_root(doc);
    ydoc_only_keys(&faults, root, columns, N_COLUMNS);
    for (int i = 0; i < N_COLUMNS; i++) {
        const struct ydoc_node *node = ydoc_need(&faults, root, columns[i]);
        if (node != NULL && !node->is_plain) {
            ydoc_fault(&faults, node, "expected a number");
        }
        fields[i] = node != NULL ? node->text : NULL;
    }
    int rc = 0;
    if (faults.n > 0) {
        rc = error_set(err, PPT_ESPEC, "%s:%lld: %s%s%s", reading->name,
                       (long long)reading->line, faults.list[0].field,
                       faults.list[0].field[0] != '\0' ? ": " : "",
                       faults.list[0].message);
    } else {
        rc = read_fields(reading, fields, ret_interval, err);
    }
    ydoc_free(doc);
    return rc;
}

static int read_line(const struct reading *reading, char *line,
                     struct trace_interval *ret_interval, struct error *err)
{
    const char *fields[N_COLUMNS];
    if (reading->is_json) {
        return read_object(reading, line, ret_interval, err);
    }
    int rc = split(reading, line, fields, err);
    return rc != 0 ? rc : read_fields(reading, fields, ret_interval, err);
}

static int in_order(const void *a, const void *b)
{
    const struct trace_interval *x = a, *y = b;
    return x->client != y->client ? (x->client > y->client) - (x->client < y->client)
                                  : (x->from_s > y->from_s) - (x->from_s < y->from_s);
}

static int check_overlaps(const struct reading *reading, const struct trace *trace,
                          struct error *err)
{
    for (int64_t i = 1; i < trace->n; i++) {
        const struct trace_interval *before = &trace->intervals[i - 1];
        const struct trace_interval *at = &trace->intervals[i];
        if (before->client == at->client && at->from_s < before->to_s) {
            return error_set(err, PPT_ESPEC,
                             "%s:%lld: the interval overlaps with that of line %lld, "
                             "which is the same client's",
                             reading->name, (long long)at->line,
                             (long long)before->line);
        }
    }
    return 0;
}

/* The next line without its end, NULL behind the last. */
static char *next_line(char **at)
{
    char *line = *at;
    if (line == NULL || *line == '\0') {
        return NULL;
    }
    char *end = strchr(line, '\n');
    *at = end == NULL ? NULL : end + 1;
    size_t len = end == NULL ? strlen(line) : (size_t)(end - line);
    if (len > 0 && line[len - 1] == '\r') {
        len--;
    }
    line[len] = '\0';
    return line;
}

static int read_all(struct reading *reading, char *text, struct trace *trace,
                    struct error *err)
{
    char *line;
    int rc = 0;
    while (rc == 0 && (line = next_line(&text)) != NULL) {
        reading->line++;
        if (reading->line == 1 && !reading->is_json) {
            rc = strcmp(line, HEADER) == 0
                     ? 0
                     : error_set(err, PPT_ESPEC, "%s:1: expected " HEADER,
                                 reading->name);
        } else if (*line != '\0' && *line != '#') {
            rc = read_line(reading, line, &trace->intervals[trace->n], err);
            trace->n += rc == 0;
        }
    }
    if (rc == 0 && trace->n == 0) {
        rc = error_set(err, PPT_ESPEC, "%s: no interval: nobody would ever be there",
                       reading->name);
    }
    return rc;
}

static int64_t count_lines(const char *text, size_t len)
{
    int64_t n = 1;
    for (size_t i = 0; i < len; i++) {
        n += text[i] == '\n';
    }
    return n;
}

int trace_parse(char *text, size_t len, const char *name,
                const struct partition *partition, double period_s,
                struct trace *ret_trace, struct error *err)
{
    struct reading reading = {name, partition, period_s, len > 0 && text[0] == '{', 0};
    struct trace trace = {0};
    trace.intervals = malloc((size_t)count_lines(text, len) * sizeof *trace.intervals);
    if (trace.intervals == NULL) {
        return error_set(err, PPT_ENOMEM, "no memory for a trace of devices");
    }
    int rc = read_all(&reading, text, &trace, err);
    if (rc == 0) {
        qsort(trace.intervals, (size_t)trace.n, sizeof *trace.intervals, in_order);
        rc = check_overlaps(&reading, &trace, err);
    }
    if (rc != 0) {
        trace_close(&trace);
        return rc;
    }
    *ret_trace = trace;
    return 0;
}

void trace_close(struct trace *trace)
{
    free(trace->intervals);
    *trace = (struct trace){0};
}

const struct trace_interval *trace_find(const struct trace *trace, int64_t client,
                                        double second)
{
    int64_t low = 0, high = trace->n; /* the first interval behind that second */
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        const struct trace_interval *at = &trace->intervals[middle];
        if (at->client < client ||
            (at->client == client && at->from_s <= second + ALMOST_S)) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    const struct trace_interval *found = low > 0 ? &trace->intervals[low - 1] : NULL;
    return found != NULL && found->client == client && second < found->to_s ? found
                                                                            : NULL;
}

double trace_wait_s(const struct trace *trace, double second, double period_s)
{
    double least = period_s;
    for (int64_t i = 0; i < trace->n; i++) {
        double wait = trace->intervals[i].from_s - second;
        least = fmin(least, wait > 0.0 ? wait : wait + period_s);
    }
    return least;
}
