/* ppt-budget member add|remove ACCOUNT LOGIN. */
#include <string.h>

#include "base/log.h"
#include "base/opt.h"
#include "scheduler/budget.h"
#include "scheduler/client.h"
#include "scheduler/ledger.h"

int budget_member(int argc, char **argv)
{
    struct client client = {0};
    const struct opt options[] = {CLIENT_OPTIONS(client)};
    const struct opt_program program = {
        .name = "ppt-budget member",
        .usage = "add|remove ACCOUNT LOGIN",
        .summary = "Says who may submit jobs to an account and to those below it.",
        .epilogue =
            "LOGIN is a login of the database, by default the name of the user.\n"
            "Example: ppt-budget member add acme/research alice",
        .options = options,
        .n_options = sizeof options / sizeof *options,
        .min_operands = 3,
        .max_operands = 3,
    };
    struct error err = {0};
    int n_operands;
    int rc = opt_parse(&program, argc, argv, &n_operands, &err);
    bool adds = rc == 0 && strcmp(argv[1], "add") == 0;
    if (rc == 0 && !adds && strcmp(argv[1], "remove") != 0) {
        rc = error_set(&err, PPT_EUSAGE, "unknown word '%s' after member", argv[1]);
        error_hint(&err, "run ppt-budget member --help");
    }
    if (rc == 0)
        rc = client_connect(&client, "ppt-budget", &err);
    if (rc == 0)
        rc = (adds ? ledger_member_add : ledger_member_remove)(client.db, argv[2],
                                                               argv[3], &err);
    client_close(&client);
    return rc == 0 ? 0 : log_error(&err);
}
