/* The lines of a batch script that speak to a program, read as sbatch reads #SBATCH
 * lines: of the comments that lead the script, those that begin with the magic word;
 * blanks part words, quotes and backslashes keep them together, and a bare # begins a
 * comment.
 */
#ifndef PPT_SCHEDULER_SCRIPT_LINES_H
#define PPT_SCHEDULER_SCRIPT_LINES_H

#include <stdbool.h>

#include "base/error.h"

#define SCRIPT_LINES_MAX_BYTES (4u << 20) /* Slurm's own limit */
#define SCRIPT_LINES_MAX 64
#define SCRIPT_LINES_MAX_WORDS 32 /* of a line */

struct script_line {
    int number; /* of the file's line, from 1 */
    int n_words;
    char *words[SCRIPT_LINES_MAX_WORDS]; /* without the magic word */
};

struct script_lines {
    char *text; /* what the words point into */
    int n_lines;
    struct script_line lines[SCRIPT_LINES_MAX];
    int late_line; /* the first such line after the comments, where sbatch does not look
                      any more; 0: none */
};

/* Begins with "#!", as every batch script must? False too where it cannot be read. */
bool script_lines_is_script(const char *path);

/* `magic` is "#PPT", for instance; a blank or the line's end must follow it.
 * Free by script_lines_free. Errors: PPT_ESPEC (path:line: a quote without its end, too
 * many words or lines), PPT_ENOTFOUND, PPT_EIO, PPT_ENOMEM. */
int script_lines_read(const char *path, const char *magic,
                      struct script_lines *ret_script, struct error *err);
void script_lines_free(struct script_lines *script);

#endif
