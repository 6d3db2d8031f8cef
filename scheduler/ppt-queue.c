/* ppt-queue: jobs, from the first look to the last. */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "scheduler/jobs.h"

struct command {
    const char *word;
    int (*run)(int argc, char **argv);
    const char *usage, *help;
};

static const struct command commands[] = {
    {"list", jobs_list, "list", "your jobs (the default); --all, --sweep"},
    {"show", jobs_show, "show ID|SWEEP", "all facts: price, use, where the model is"},
    {"log", jobs_log, "log ID [--follow]", "what its processes have written"},
    {"wait", jobs_wait, "wait ID|SWEEP", "until it ends; exit status 0 or 22"},
    {"cancel", jobs_cancel, "cancel ID|SWEEP", "take it back, or stop it"},
};
#define N_COMMANDS ((int)(sizeof commands / sizeof *commands))

static void print_help(void)
{
    printf("Usage: ppt-queue [COMMAND] [ARGUMENT]...\n"
           "Lists, shows, follows, waits for and cancels jobs.\n\nCommands:\n");
    for (int i = 0; i < N_COMMANDS; i++)
        printf("  %-30s %s\n", commands[i].usage, commands[i].help);
    printf(
        "\n  --help                         show this and exit; also COMMAND --help\n"
        "  --version                      show the version and exit\n\n"
        "Options without a command are those of list. Manual: ppt-queue(1).\n");
}

static int fail_unknown(const char *word)
{
    struct error err = {0};
    error_set(&err, PPT_EUSAGE, "unknown command '%s'", word);
    error_hint(&err, "run ppt-queue --help");
    return log_error(&err);
}

int main(int argc, char **argv)
{
    log_init("ppt-queue", false);
    if (argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
        print_help();
        return 0;
    }
    if (argc > 1 && strcmp(argv[1], "--version") == 0) {
        printf("ppt-queue (ppt) %s\n", PPT_VERSION);
        return 0;
    }
    if (argc > 1 && strcmp(argv[1], "--completion-words") == 0) {
        for (int i = 0; i < N_COMMANDS; i++)
            printf("%s\n", commands[i].word);
        printf("--help\n--version\n");
        return 0;
    }
    if (argc < 2 || argv[1][0] == '-')
        return jobs_list(argc, argv);
    for (int i = 0; i < N_COMMANDS; i++)
        if (strcmp(commands[i].word, argv[1]) == 0)
            return commands[i].run(argc - 1, argv + 1);
    return fail_unknown(argv[1]);
}
