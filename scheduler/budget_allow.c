/* ppt-budget dataset allow NAME. */
#include "base/log.h"
#include "base/opt.h"
#include "scheduler/allocation.h"
#include "scheduler/budget.h"
#include "scheduler/client.h"

int budget_allow(int argc, char **argv)
{
    struct client client = {0};
    bool is_withdrawn = false;
    const char *reason = "";
    const struct opt options[] = {
        {"withdraw", 0, OPT_FLAG, &is_withdrawn, NULL, "allow it no longer", NULL},
        {"reason", 0, OPT_STRING, &reason, "TEXT", "kept in the database", NULL},
        CLIENT_OPTIONS(client),
    };
    const struct opt_program program = {
        .name = "ppt-budget dataset allow",
        .usage = "NAME [OPTION]...",
        .summary = "Lets jobs in their users' own allocations use a data set.",
        .epilogue =
            "Such a job's processes are its user's: whoever may read the data file\n"
            "is trusted to publish nothing of it but what such jobs make. They are\n"
            "charged in full, whatever they use. See ppt-submit(1), --here.",
        .options = options,
        .n_options = sizeof options / sizeof *options,
        .min_operands = 1,
        .max_operands = 1,
    };
    struct error err = {0};
    int n_operands;
    int rc = opt_parse(&program, argc, argv, &n_operands, &err);
    if (rc == 0)
        rc = client_connect(&client, "ppt-budget", &err);
    if (rc == 0)
        rc = allocation_allow(client.db, argv[1], !is_withdrawn, reason, &err);
    client_close(&client);
    return rc == 0 ? 0 : log_error(&err);
}
