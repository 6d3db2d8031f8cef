/* Runs sql/examples with psql, each in a database of its own, and compares what it says
 * with the kept .out beside it.
 *
 *   ledger-examples [--keep]     --keep writes the .out files anew
 */
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/pg/pg.h"

int main(int argc, char **argv)
{
    bool keep = argc > 1 && strcmp(argv[1], "--keep") == 0;
    char pattern[1100], command[8192], user[64];
    glob_t files;
    int n_failed = 0;
    pg_start();
    snprintf(user, sizeof user, "%s", pg_query("SELECT session_user"));
    snprintf(pattern, sizeof pattern, "%s/examples/*.sql", pg_sql_directory());
    if (glob(pattern, 0, NULL, &files) != 0) {
        fprintf(stderr, "ledger-examples: nothing at %s\n", pattern);
        return 1;
    }
    for (size_t i = 0; i < files.gl_pathc; i++) {
        const char *path = files.gl_pathv[i];
        int stem = (int)strlen(path) - 4;
        pg_fresh();
        snprintf(command, sizeof command,
                 "psql -X -q -a -v owner=%s '%s' <'%s' 2>&1 | %s '%.*s.out'%s", user,
                 pg_conninfo(NULL), path, keep ? "cat >" : "diff -u", stem, path,
                 keep ? "" : " -");
        if (system(command) != 0) {
            fprintf(stderr, "ledger-examples: %s says something else now\n", path);
            n_failed++;
        }
    }
    printf("%zu examples, %d differ\n", files.gl_pathc, n_failed);
    globfree(&files);
    pg_stop();
    return n_failed == 0 ? 0 : 1;
}
