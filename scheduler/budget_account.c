/* ppt-budget account create PATH (also: ppt-budget create PATH). */
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/opt.h"
#include "scheduler/budget.h"
#include "scheduler/client.h"
#include "scheduler/ledger.h"

int budget_account(int argc, char **argv)
{
    struct client client = {0};
    const struct opt options[] = {CLIENT_OPTIONS(client)};
    const struct opt_program program = {
        .name = "ppt-budget account create",
        .usage = "PATH",
        .summary = "Makes an account below one that exists, or a new top one.",
        .epilogue = "Example: ppt-budget account create acme/research\n"
                    "An account has no limit of its own until it is granted one; the\n"
                    "accounts above it bind it all the same.",
        .options = options,
        .n_options = sizeof options / sizeof *options,
        .min_operands = 1,
        .max_operands = 1,
    };
    struct error err = {0};
    int n_operands;
    if (strcmp(argv[0], "account") == 0 &&
        client_expect(&argc, &argv, "create", &program, &err) != 0)
        return log_error(&err);
    int rc = opt_parse(&program, argc, argv, &n_operands, &err);
    if (rc == 0)
        rc = client_connect(&client, "ppt-budget", &err);
    if (rc == 0)
        rc = ledger_account_create(client.db, argv[1], &err);
    client_close(&client);
    return rc == 0 ? 0 : log_error(&err);
}
