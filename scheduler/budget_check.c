/* ppt-budget check. */
#include <stdio.h>

#include "base/log.h"
#include "base/opt.h"
#include "scheduler/budget.h"
#include "scheduler/client.h"
#include "scheduler/ledger.h"

int budget_check(int argc, char **argv)
{
    struct client client = {0};
    const struct opt options[] = {CLIENT_OPTIONS(client)};
    const struct opt_program program = {
        .name = "ppt-budget check",
        .usage = "[OPTION]...",
        .summary = "Recomputes every balance from the ledger's entries and compares.",
        .epilogue = "Exit status 0 if all agree, 1 if not (the faults are printed).",
        .options = options,
        .n_options = sizeof options / sizeof *options,
    };
    struct error err = {0};
    int n_operands, n_faults = 0;
    int rc = opt_parse(&program, argc, argv, &n_operands, &err);
    if (rc == 0)
        rc = client_connect(&client, "ppt-budget", &err);
    if (rc == 0)
        rc = ledger_check(client.db, &n_faults, &err);
    client_close(&client);
    if (rc != 0)
        return log_error(&err);
    if (n_faults == 0) {
        printf("every balance agrees with its entries\n");
        return 0;
    }
    struct error fault = err; /* the first faults are in its detail */
    fault.code = PPT_EINTERNAL;
    snprintf(fault.text, sizeof fault.text,
             "%d balances do not agree with their entries", n_faults);
    error_hint(&fault, "stop ppt-schedd, keep the database as it is and report this");
    return log_error(&fault);
}
