/* ppt-budget: accounts, limits, balances; and a calculator. */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "scheduler/budget.h"

struct command {
    const char *words[2]; /* the second is left to the function */
    int (*run)(int argc, char **argv);
    const char *usage, *help;
};

static const struct command commands[] = {
    {{"show", NULL}, budget_show, "show [ACCOUNT]", "limits, reserved, spent, left"},
    {{"history", NULL},
     budget_history,
     "history ACCOUNT|JOB",
     "grants and every job's entries"},
    {{"price", NULL}, budget_price, "price ...", "a calculator; needs no database"},
    {{"create", NULL}, budget_account, "create PATH", "the same as account create"},
    {{"account", "create"},
     budget_account,
     "account create PATH",
     "acme, then acme/research"},
    {{"member", "add"},
     budget_member,
     "member add ACCOUNT LOGIN",
     "who may submit; member remove"},
    {{"dataset", "add"},
     budget_dataset,
     "dataset add MANIFEST",
     "register a data set and its limit"},
    {{"dataset", "allow"},
     budget_dataset,
     "dataset allow NAME",
     "use by jobs in their users' allocations"},
    {{"grant", NULL}, budget_grant, "grant ACCOUNT", "a new limit (epsilon, delta)"},
    {{"check", NULL}, budget_check, "check", "recompute every balance"},
};
#define N_COMMANDS ((int)(sizeof commands / sizeof *commands))

static void print_help(void)
{
    printf("Usage: ppt-budget COMMAND [ARGUMENT]...\n"
           "Shows and grants privacy budgets, and tells what privacy costs.\n\n"
           "Commands:\n");
    for (int i = 0; i < N_COMMANDS; i++)
        printf("  %-30s %s\n", commands[i].usage, commands[i].help);
    printf(
        "\n  --help                         show this and exit; also COMMAND --help\n"
        "  --version                      show the version and exit\n\n"
        "The database is --database CONNINFO, else the site's configuration, else\n"
        "libpq's environment (PGHOST, PGDATABASE). Manual: ppt-budget(1).\n");
}

static void print_words(void)
{
    for (int i = 0; i < N_COMMANDS; i++)
        printf("%s\n", commands[i].words[0]);
    printf("--help\n--version\n");
}

static const struct command *find(const char *word)
{
    for (int i = 0; i < N_COMMANDS; i++)
        if (strcmp(commands[i].words[0], word) == 0)
            return &commands[i];
    return NULL;
}

static int fail_unknown(const char *word)
{
    struct error err = {0};
    if (word == NULL)
        error_set(&err, PPT_EUSAGE, "a command is missing");
    else
        error_set(&err, PPT_EUSAGE, "unknown command '%s'", word);
    error_hint(&err, "run ppt-budget --help");
    return log_error(&err);
}

int main(int argc, char **argv)
{
    log_init("ppt-budget", false);
    if (argc < 2)
        return fail_unknown(NULL);
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        print_help();
        return 0;
    }
    if (strcmp(argv[1], "--version") == 0) {
        printf("ppt-budget (ppt) %s\n", PPT_VERSION);
        return 0;
    }
    if (strcmp(argv[1], "--completion-words") == 0) {
        print_words();
        return 0;
    }
    const struct command *command = find(argv[1]);
    if (command == NULL)
        return fail_unknown(argv[1]);
    return command->run(argc - 1, argv + 1);
}
