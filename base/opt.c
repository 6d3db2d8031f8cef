#include "base/opt.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int opt_number(const char *text, double *ret_value, struct error *err)
{
    char *end;
    errno = 0;
    double value = strtod(text, &end);
    if (*text == '\0' || isspace((unsigned char)*text) || *end != '\0' ||
        !isfinite(value))
        return error_set(err, PPT_EUSAGE, "'%s' is not a number", text);
    *ret_value = value;
    return 0;
}

int opt_integer(const char *text, int64_t *ret_value, struct error *err)
{
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (*text == '\0' || isspace((unsigned char)*text) || *end != '\0')
        return error_set(err, PPT_EUSAGE, "'%s' is not a whole number", text);
    if (errno == ERANGE)
        return error_set(err, PPT_EUSAGE, "%s is too large", text);
    *ret_value = value;
    return 0;
}

void opt_help(const struct opt_program *program)
{
    printf("Usage: %s %s\n%s\n\nOptions:\n", program->name, program->usage,
           program->summary);
    for (int i = 0; i <= program->n_options + 1; i++) {
        static const struct opt standard[] = {
            {"help", 'h', OPT_FLAG, NULL, NULL, "show this and exit", NULL},
            {"version", 0, OPT_FLAG, NULL, NULL, "show the version and exit", NULL},
        };
        const struct opt *opt = i < program->n_options
                                    ? &program->options[i]
                                    : &standard[i - program->n_options];
        char left[64];
        snprintf(left, sizeof left, "%c%c%s --%s%s%s", opt->letter ? '-' : ' ',
                 opt->letter ? opt->letter : ' ', opt->letter ? "," : " ", opt->name,
                 opt->argument ? " " : "", opt->argument ? opt->argument : "");
        printf("  %-30s %s\n", left, opt->help);
    }
    if (program->epilogue != NULL)
        printf("\n%s\n", program->epilogue);
}

/* For the shell completion script: one long option a line. */
static void print_words(const struct opt_program *program)
{
    for (int i = 0; i < program->n_options; i++)
        printf("--%s\n", program->options[i].name);
    printf("--help\n--version\n");
}

static int usage_error(const struct opt_program *program, struct error *err)
{
    return error_hint(err, "run %s --help", program->name);
}

static const struct opt *find_long(const struct opt_program *program, const char *name,
                                   size_t len)
{
    for (int i = 0; i < program->n_options; i++)
        if (strlen(program->options[i].name) == len &&
            strncmp(program->options[i].name, name, len) == 0)
            return &program->options[i];
    return NULL;
}

static const struct opt *find_short(const struct opt_program *program, char letter)
{
    for (int i = 0; i < program->n_options; i++)
        if (letter != '\0' && program->options[i].letter == letter)
            return &program->options[i];
    return NULL;
}

static int add_to_list(struct opt_list *list, const char *text, struct error *err)
{
    if (list->n == OPT_LIST_MAX)
        return error_set(err, PPT_EUSAGE, "given more than %d times", OPT_LIST_MAX);
    list->values[list->n++] = text;
    return 0;
}

static int store(const struct opt_program *program, const struct opt *opt,
                 const char *text, struct error *err)
{
    int rc = 0;
    switch (opt->type) {
    case OPT_FLAG:
        *(bool *)opt->value = true;
        break;
    case OPT_STRING:
        *(const char **)opt->value = text;
        break;
    case OPT_INTEGER:
        rc = opt_integer(text, opt->value, err);
        break;
    case OPT_NUMBER:
        rc = opt_number(text, opt->value, err);
        break;
    case OPT_LIST:
        rc = add_to_list(opt->value, text, err);
        break;
    }
    if (rc != 0) {
        error_prefix(err, "--%s", opt->name);
        return usage_error(program, err);
    }
    if (opt->is_given != NULL)
        *opt->is_given = true;
    return 0;
}

static void answer_standard(const struct opt_program *program, const char *arg)
{
    if (strcmp(arg, "--help") == 0 ||
        (strcmp(arg, "-h") == 0 && find_short(program, 'h') == NULL)) {
        opt_help(program);
        exit(0);
    }
    if (strcmp(arg, "--version") == 0) {
        printf("%s (ppt) %s\n", program->name, PPT_VERSION);
        exit(0);
    }
    if (strcmp(arg, "--completion-words") == 0) {
        print_words(program);
        exit(0);
    }
}

/* One argument that starts with a dash; *at is moved over a value taken from argv. */
static int parse_option(const struct opt_program *program, int argc, char **argv,
                        int *at, struct error *err)
{
    const char *arg = argv[*at], *inline_value = NULL;
    const struct opt *opt;
    if (arg[1] == '-') {
        const char *equals = strchr(arg, '=');
        size_t len = equals ? (size_t)(equals - arg - 2) : strlen(arg + 2);
        opt = find_long(program, arg + 2, len);
        inline_value = equals ? equals + 1 : NULL;
    } else {
        opt = find_short(program, arg[1]);
        inline_value = arg[2] != '\0' ? arg + 2 : NULL;
    }
    if (opt == NULL) {
        error_set(err, PPT_EUSAGE, "unknown option '%s'", arg);
        return usage_error(program, err);
    }
    if (opt->type == OPT_FLAG) {
        if (inline_value != NULL) {
            error_set(err, PPT_EUSAGE, "--%s takes no value", opt->name);
            return usage_error(program, err);
        }
        return store(program, opt, NULL, err);
    }
    if (inline_value == NULL) {
        if (*at + 1 >= argc) {
            error_set(err, PPT_EUSAGE, "--%s needs a value: %s", opt->name,
                      opt->argument);
            return usage_error(program, err);
        }
        inline_value = argv[++*at];
    }
    return store(program, opt, inline_value, err);
}

int opt_parse(const struct opt_program *program, int argc, char **argv,
              int *ret_n_operands, struct error *err)
{
    int n_operands = 0;
    bool only_operands = false;
    for (int i = 1; i < argc; i++) {
        if (!only_operands && strcmp(argv[i], "--") == 0) {
            only_operands = true;
        } else if (!only_operands && argv[i][0] == '-' && argv[i][1] != '\0') {
            answer_standard(program, argv[i]);
            int rc = parse_option(program, argc, argv, &i, err);
            if (rc != 0)
                return rc;
        } else {
            argv[1 + n_operands++] = argv[i];
            only_operands |= program->is_last != NULL && program->is_last(argv[i]);
        }
    }
    if (n_operands < program->min_operands ||
        (program->max_operands >= 0 && n_operands > program->max_operands)) {
        error_set(err, PPT_EUSAGE, "%s: usage: %s %s",
                  n_operands < program->min_operands ? "something is missing"
                                                     : "too many arguments",
                  program->name, program->usage);
        return usage_error(program, err);
    }
    *ret_n_operands = n_operands;
    return 0;
}
