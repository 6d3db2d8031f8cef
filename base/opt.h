/* Command lines as a table: parsing, --help, --version, usage errors.
 *
 * A program describes its options once; the help screen, the parser and the shell
 * completion come from that table. Long options take "--name value" or "--name=value";
 * short ones "-n value". Everything after "--" is an operand.
 */
#ifndef PPT_BASE_OPT_H
#define PPT_BASE_OPT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

enum opt_type { OPT_FLAG, OPT_STRING, OPT_INTEGER, OPT_NUMBER, OPT_LIST };

#define OPT_LIST_MAX 64

/* What an option that may be repeated was given, in order. */
struct opt_list {
    const char *values[OPT_LIST_MAX];
    int n;
};

struct opt {
    const char *name;   /* "noise-multiplier", without dashes */
    char letter;        /* or 0 */
    enum opt_type type; /* what `value` points to: bool, const char *, int64_t, double,
                           opt_list */
    void *value;
    const char *argument; /* "FILE" in the help; NULL for flags */
    const char *help;     /* one line */
    bool *is_given;       /* may be NULL */
};

struct opt_program {
    const char *name;     /* "ppt-submit", or "ppt-budget grant" for a subcommand */
    const char *usage;    /* "FILE [--wait]" */
    const char *summary;  /* one sentence */
    const char *epilogue; /* examples, exit statuses; may be NULL */
    const struct opt *options;
    int n_options;
    int min_operands, max_operands; /* max -1: any number */
    /* An operand after which all arguments are operands, as behind "--"; may be NULL.
     */
    bool (*is_last)(const char *operand);
};

/* Parses argv[1..]. Operands are moved to the front of argv[1..], their number goes to
 * *ret_n_operands. --help and --version print to stdout and exit(0); --completion-words
 * prints the option names for the shell. Errors: PPT_EUSAGE (text says what, hint
 * points at --help). */
int opt_parse(const struct opt_program *program, int argc, char **argv,
              int *ret_n_operands, struct error *err);

/* Prints what --help prints. */
void opt_help(const struct opt_program *program);

/* Parses a whole decimal number; NaN, infinities and trailing rubbish are refused. */
int opt_number(const char *text, double *ret_value, struct error *err);
int opt_integer(const char *text, int64_t *ret_value, struct error *err);

#endif
