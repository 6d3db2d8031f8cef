/* ppt-budget grant ACCOUNT --epsilon E --delta D [--dataset NAME] [--reason TEXT]. */
#include <stdio.h>

#include "base/log.h"
#include "base/opt.h"
#include "scheduler/budget.h"
#include "scheduler/client.h"
#include "scheduler/ledger.h"

static int check(const struct ledger_grant *grant, bool has_epsilon, bool has_delta,
                 struct error *err)
{
    if (!has_epsilon || !has_delta)
        return error_set(err, PPT_EUSAGE, "--epsilon and --delta are both needed");
    if (grant->account == NULL && grant->dataset == NULL) {
        error_set(err, PPT_EUSAGE, "an account is missing");
        return error_hint(err, "or --dataset NAME for a data set over all accounts");
    }
    return 0;
}

int budget_grant(int argc, char **argv)
{
    struct client client = {0};
    struct ledger_grant grant = {
        .unit = UNIT_EXAMPLE, .relation = RELATION_ADD_REMOVE, .reason = ""};
    const char *unit = "example";
    bool has_epsilon = false, has_delta = false;
    const struct opt options[] = {
        {"epsilon", 'e', OPT_NUMBER, &grant.epsilon, "E", "of the guarantee",
         &has_epsilon},
        {"delta", 'd', OPT_NUMBER, &grant.delta, "D", "of the guarantee, such as 1e-6",
         &has_delta},
        {"dataset", 0, OPT_STRING, &grant.dataset, "NAME",
         "for this data set only (default: all data)", NULL},
        {"unit", 0, OPT_STRING, &unit, "UNIT", "example (default) or user", NULL},
        {"currency", 0, OPT_STRING, &grant.currency, "NAME",
         "renyi (default) or gaussian: full batches only", NULL},
        {"reason", 0, OPT_STRING, &grant.reason, "TEXT", "kept in the history", NULL},
        CLIENT_OPTIONS(client),
    };
    const struct opt_program program = {
        .name = "ppt-budget grant",
        .usage = "[ACCOUNT] --epsilon E --delta D [OPTION]...",
        .summary = "Gives an account (or a data set over all accounts) a new limit.",
        .epilogue =
            "The limit is the total for ever, not an addition: jobs already run\n"
            "count under it. Example: ppt-budget grant acme -e 4 -d 1e-6",
        .options = options,
        .n_options = sizeof options / sizeof *options,
        .max_operands = 1,
    };
    struct error err = {0};
    int n_operands;
    int rc = opt_parse(&program, argc, argv, &n_operands, &err);
    if (rc == 0) {
        grant.account = n_operands == 1 ? argv[1] : NULL;
        rc = check(&grant, has_epsilon, has_delta, &err);
    }
    int known = unit_from_name(unit);
    if (rc == 0 && known < 0)
        rc = error_set(&err, PPT_EUSAGE, "unknown unit '%s': example or user", unit);
    if (rc == 0) {
        grant.unit = (enum privacy_unit)known;
        rc = client_connect(&client, "ppt-budget", &err);
    }
    if (rc == 0)
        rc = ledger_grant(client.db, &grant, &err);
    client_close(&client);
    return rc == 0 ? 0 : log_error(&err);
}
