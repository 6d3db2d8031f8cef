#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/ydoc.h"

/* ret_field gets "a.b[2].c"; an over-long path is cut. */
static void field_path(const struct ydoc_node *node, char ret_field[YDOC_FIELD_SIZE])
{
    const struct ydoc_node *chain[64];
    int n = 0;
    for (; node != NULL && n < 64; node = node->parent)
        chain[n++] = node;
    size_t used = 0;
    ret_field[0] = '\0';
    while (n-- > 0 && used < YDOC_FIELD_SIZE) {
        size_t left = YDOC_FIELD_SIZE - used;
        int len = 0;
        if (chain[n]->key != NULL)
            len = snprintf(ret_field + used, left, "%s%s", used > 0 ? "." : "",
                           chain[n]->key);
        else if (chain[n]->parent != NULL)
            len = snprintf(ret_field + used, left, "[%d]", chain[n]->index);
        used += len > 0 ? (size_t)len : 0;
    }
}

/* Keys come from the file: nothing in them may move a terminal's cursor or break a
 * line of the report; a sequence that a cut has torn is left out. */
static void tidy(char *text)
{
    size_t len = strlen(text);
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)text[i] < 0x20)
            text[i] = ' ';
    size_t tail = len;
    while (tail > 0 && ((unsigned char)text[tail - 1] & 0xc0) == 0x80)
        tail--;
    if (tail == 0 || (unsigned char)text[tail - 1] < 0xc0)
        return;
    unsigned char lead = (unsigned char)text[tail - 1];
    size_t want = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
    if (len - (tail - 1) < want)
        text[tail - 1] = '\0';
}

/* Beyond the list's end faults are counted only. */
static void add(struct ydoc_faults *faults, const struct ydoc_node *node,
                const char *key, const char *format, va_list ap)
{
    if (faults->n++ >= YDOC_MAX_FAULTS)
        return;
    struct ydoc_fault *fault = &faults->list[faults->n - 1];
    memset(fault, 0, sizeof *fault);
    if (node != NULL) {
        fault->line = node->line;
        fault->column = node->column;
        field_path(node, fault->field);
    }
    if (key != NULL) {
        size_t used = strlen(fault->field);
        snprintf(fault->field + used, sizeof fault->field - used, "%s%s",
                 used > 0 ? "." : "", key);
    }
    vsnprintf(fault->message, sizeof fault->message, format, ap);
    tidy(fault->field);
    tidy(fault->message);
}

void ydoc_fault(struct ydoc_faults *faults, const struct ydoc_node *node,
                const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    add(faults, node, NULL, format, ap);
    va_end(ap);
}

/* At the key's value if it is there, else at the mapping. */
static void add_at(struct ydoc_faults *faults, const struct ydoc_node *mapping,
                   const char *key, const char *format, va_list ap)
{
    const struct ydoc_node *value = ydoc_get(mapping, key);
    if (value != NULL)
        add(faults, value, NULL, format, ap);
    else
        add(faults, mapping, key, format, ap);
}

void ydoc_fault_at(struct ydoc_faults *faults, const struct ydoc_node *mapping,
                   const char *key, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    add_at(faults, mapping, key, format, ap);
    va_end(ap);
}

void ydoc_policy_fault(struct ydoc_faults *faults, const struct ydoc_node *mapping,
                       const char *key, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    add_at(faults, mapping, key, format, ap);
    va_end(ap);
    faults->n_policy++;
}

const struct ydoc_node *ydoc_need(struct ydoc_faults *faults,
                                  const struct ydoc_node *mapping, const char *key)
{
    if (mapping == NULL || mapping->kind != YDOC_MAPPING)
        return NULL;
    const struct ydoc_node *value = ydoc_get(mapping, key);
    if (value == NULL)
        ydoc_fault_at(faults, mapping, key, "expected this key, it is missing");
    return value;
}

static bool has_fault(const struct ydoc_faults *faults, const struct ydoc_fault *fault)
{
    int n = faults->n < YDOC_MAX_FAULTS ? faults->n : YDOC_MAX_FAULTS;
    for (int i = 0; i < n; i++)
        if (faults->list[i].line == fault->line &&
            faults->list[i].column == fault->column &&
            strcmp(faults->list[i].field, fault->field) == 0 &&
            strcmp(faults->list[i].message, fault->message) == 0)
            return true;
    return false;
}

void ydoc_faults_merge(struct ydoc_faults *faults, const struct ydoc_faults *more)
{
    int n = more->n < YDOC_MAX_FAULTS ? more->n : YDOC_MAX_FAULTS, n_new = 0;
    for (int i = 0; i < n; i++) {
        if (has_fault(faults, &more->list[i]))
            continue;
        if (faults->n + n_new < YDOC_MAX_FAULTS)
            faults->list[faults->n + n_new] = more->list[i];
        n_new++;
    }
    n_new += more->n - n; /* those that were counted only */
    faults->n += n_new;
    if (more->n_policy == more->n) /* all or not all is what counts */
        faults->n_policy += n_new;
    faults->is_out_of_memory = faults->is_out_of_memory || more->is_out_of_memory;
}

static int by_place(const void *a, const void *b)
{
    const struct ydoc_fault *x = a, *y = b;
    if (x->line != y->line)
        return x->line < y->line ? -1 : 1;
    if (x->column != y->column)
        return x->column < y->column ? -1 : 1;
    int order = strcmp(x->field, y->field);
    return order != 0 ? order : strcmp(x->message, y->message);
}

static int fault_line(const char *path, const struct ydoc_fault *fault, char *ret_line,
                      size_t size)
{
    char place[32] = "";
    if (fault->line > 0)
        snprintf(place, sizeof place, "%d:%d:", fault->line, fault->column);
    return snprintf(ret_line, size, "%s:%s %s%s%s", path, place, fault->field,
                    fault->field[0] != '\0' ? ": " : "", fault->message);
}

int ydoc_faults_end(struct ydoc_faults *faults, const char *what, struct error *err)
{
    if (faults->is_out_of_memory)
        return error_set(err, PPT_ENOMEM, "%s: not enough memory to read this %s",
                         faults->path, what);
    if (faults->n == 0)
        return 0;
    int n_listed = faults->n < YDOC_MAX_FAULTS ? faults->n : YDOC_MAX_FAULTS;
    qsort(faults->list, (size_t)n_listed, sizeof faults->list[0], by_place);

    /* the last line is kept free for "and ... more" */
    char detail[sizeof err->detail];
    const size_t room = sizeof detail - 40;
    size_t used = 0;
    int n_shown = 0;
    for (; n_shown < n_listed; n_shown++) {
        char line[YDOC_FIELD_SIZE + YDOC_MESSAGE_SIZE + 256];
        int len = fault_line(faults->path, &faults->list[n_shown], line, sizeof line);
        if (len < 0 || used + (size_t)len + 1 > room)
            break;
        used += (size_t)snprintf(detail + used, sizeof detail - used, "%s%s",
                                 used > 0 ? "\n" : "", line);
    }
    if (n_shown < faults->n)
        snprintf(detail + used, sizeof detail - used, "%sand %d more",
                 used > 0 ? "\n" : "", faults->n - n_shown);

    enum ppt_error code = faults->n_policy == faults->n ? PPT_EPOLICY : PPT_ESPEC;
    error_set(err, code, "%s is not a valid %s: %d fault%s", faults->path, what,
              faults->n, faults->n == 1 ? "" : "s");
    error_detail(err, "%s", detail);
    return -(int)code;
}
