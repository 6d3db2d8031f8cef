/* ppt-budget show [ACCOUNT]: the tree of limits and what is left of them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/log.h"
#include "base/opt.h"
#include "base/table.h"
#include "scheduler/budget.h"
#include "scheduler/client.h"
#include "scheduler/figures.h"
#include "scheduler/ledger.h"

#define BAR_WIDTH 10

/* "[##++......]": spent, reserved, left. Any use at all shows. */
static void make_bar(const struct figures_pot *figures, char ret_bar[BAR_WIDTH + 3])
{
    double scale = figures->limit > 0 ? BAR_WIDTH / figures->limit : 0;
    int n_spent = (int)(figures->spent * scale + 0.999);
    int n_used = (int)((figures->spent + figures->reserved) * scale + 0.999);
    ret_bar[0] = '[';
    for (int i = 0; i < BAR_WIDTH; i++)
        ret_bar[1 + i] = i < n_spent ? '#' : i < n_used ? '+' : '.';
    ret_bar[BAR_WIDTH + 1] = ']';
    ret_bar[BAR_WIDTH + 2] = '\0';
}

/* The last word of the path, indented by its depth; a data set below its account. */
static void make_name(const struct ledger_pot *pot, char *ret_name, size_t size)
{
    unsigned depth = 0;
    const char *last = pot->account;
    if (pot->account[0] == '\0') {
        snprintf(ret_name, size, "data set %s", pot->dataset);
        return;
    }
    for (const char *at = pot->account; *at != '\0'; at++)
        if (*at == '/') {
            depth++;
            last = at + 1;
        }
    if (pot->dataset[0] != '\0')
        snprintf(ret_name, size, "%*son %.127s", (int)(2 * depth % 64) + 2, "",
                 pot->dataset);
    else
        snprintf(ret_name, size, "%*s%.127s", (int)(2 * depth % 64), "", last);
}

static void print_table(const struct ledger_pots *pots)
{
    static const char *const headings[] = {"ACCOUNT", ">LIMIT", ">RESERVED", ">SPENT",
                                           ">LEFT",   ">DELTA", "USED"};
    static const char gaussian[] = " (gaussian)";
    struct table *table = table_new(headings, 7);
    for (int i = 0; i < pots->n; i++) {
        const struct ledger_pot *pot = &pots->pots[i];
        char name[LEDGER_PATH_SIZE], limit[FIGURES_SIZE], reserved[FIGURES_SIZE];
        char spent[FIGURES_SIZE], left[FIGURES_SIZE], delta[32], bar[BAR_WIDTH + 3];
        make_name(pot, name, sizeof name - sizeof gaussian);
        if (pot->currency == LEDGER_GAUSSIAN)
            strcat(name, gaussian);
        if (!pot->has_limit) {
            table_row(table, (const char *[]){name, "-", "", "", "", "", ""});
            continue;
        }
        struct figures_pot figures = figures_pot(pot);
        figures_down(figures.limit, limit);
        figures_up(figures.reserved, reserved);
        figures_up(figures.spent, spent);
        figures_down(figures.remaining, left);
        json_shortest(pot->delta, delta);
        make_bar(&figures, bar);
        table_row(table,
                  (const char *[]){name, limit, reserved, spent, left, delta, bar});
    }
    table_print(table, stdout, true);
    table_free(table);
}

static int print_json(const struct ledger_pots *pots, struct error *err)
{
    struct json json = {0};
    char *text = NULL;
    json_array(&json, NULL);
    for (int i = 0; i < pots->n; i++) {
        const struct ledger_pot *pot = &pots->pots[i];
        struct figures_pot figures = figures_pot(pot);
        json_object(&json, NULL);
        json_string(&json, "account", pot->account);
        json_string(&json, "dataset", pot->dataset);
        json_bool(&json, "has_limit", pot->has_limit);
        if (pot->has_limit) {
            json_string(&json, "unit", unit_name(pot->unit));
            json_string(&json, "relation", relation_name(pot->relation));
            json_string(&json, "currency", ledger_currency_name(pot->currency));
            json_number(&json, "epsilon", pot->epsilon);
            json_number(&json, "delta", pot->delta);
            json_number(&json, "reserved_epsilon", figures.reserved);
            json_number(&json, "spent_epsilon", figures.spent);
            json_number(&json, "remaining_epsilon", figures.remaining);
            json_string(&json, "granted_by", pot->granted_by);
            json_integer(&json, "granted_at_s", pot->granted_at_s);
        }
        json_close_object(&json);
    }
    json_close_array(&json);
    int rc = json_end(&json, &text, err);
    if (rc == 0)
        fputs(text, stdout);
    free(text);
    return rc;
}

int budget_show(int argc, char **argv)
{
    struct client client = {0};
    bool is_json = false;
    const struct opt options[] = {
        {"json", 0, OPT_FLAG, &is_json, NULL, "print a JSON array", NULL},
        CLIENT_OPTIONS(client),
    };
    const struct opt_program program = {
        .name = "ppt-budget show",
        .usage = "[ACCOUNT] [OPTION]...",
        .summary = "Shows limits, what is reserved and spent, and what is left.",
        .epilogue =
            "Figures are epsilon at the limit's own delta. Epsilons of different\n"
            "jobs do not simply add up, so what is left is a guide: ppt-submit\n"
            "--dry-run says what fits. USED: # spent, + reserved, . left.",
        .options = options,
        .n_options = sizeof options / sizeof *options,
        .max_operands = 1,
    };
    struct error err = {0};
    struct ledger_pots pots = {0};
    int n_operands = 0;
    int rc = opt_parse(&program, argc, argv, &n_operands, &err);
    if (rc == 0)
        rc = client_connect(&client, "ppt-budget", &err);
    if (rc == 0)
        rc = ledger_show(client.db, n_operands == 1 ? argv[1] : NULL, &pots, &err);
    if (rc == 0 && is_json)
        rc = print_json(&pots, &err);
    else if (rc == 0)
        print_table(&pots);
    ledger_pots_free(&pots);
    client_close(&client);
    return rc == 0 ? 0 : log_error(&err);
}
