/* ppt-budget's subcommands: one file each, one function each.
 *
 * argv[0] is the last word of the subcommand; the answer goes to stdout, everything
 * else to stderr; the exit status is returned. Not for other programs.
 */
#ifndef PPT_SCHEDULER_BUDGET_H
#define PPT_SCHEDULER_BUDGET_H

int budget_account(int argc, char **argv); /* account create */
int budget_member(int argc, char **argv);  /* member add, member remove */
int budget_dataset(int argc, char **argv); /* dataset add, dataset allow */
int budget_allow(int argc, char **argv);   /* dataset allow, for budget_dataset */
int budget_grant(int argc, char **argv);
int budget_show(int argc, char **argv);
int budget_history(int argc, char **argv);
int budget_check(int argc, char **argv);
int budget_price(int argc, char **argv);

#endif
