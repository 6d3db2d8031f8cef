/* Tables for people: columns as wide as their contents, numbers to the right, cut at
 * the terminal's width; no escape codes unless stdout is a terminal. */
#ifndef PPT_BASE_TABLE_H
#define PPT_BASE_TABLE_H

#include <stdbool.h>
#include <stdio.h>

#define TABLE_MAX_COLUMNS 16

struct table;

/* Headings are upper-case words; one that starts with '>' is aligned to the right (the
 * sign is not shown). Caller frees. */
struct table *table_new(const char *const *headings, int n_columns);
void table_free(struct table *table);

/* A row of n_columns cells (copied). */
void table_row(struct table *table, const char *const *cells);

/* Prints it. with_head false leaves the headings out (--no-header). */
void table_print(const struct table *table, FILE *file, bool with_head);

#endif
