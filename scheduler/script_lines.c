#include "scheduler/script_lines.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/pathsafe.h"

#define BLANKS " \t\r\f\v"

bool script_lines_is_script(const char *path)
{
    char first[2];
    FILE *file = fopen(path, "re");
    bool is_one = file != NULL && fread(first, 1, 2, file) == 2 &&
                  memcmp(first, "#!", sizeof first) == 0;
    if (file != NULL)
        fclose(file);
    return is_one;
}

/* A word at *at goes to *to, not behind *at; both move on. False: a quote stays open.
 */
static bool copy_word(char **at, char **to)
{
    char quote = '\0', *in = *at, *out = *to;
    for (; *in != '\0'; in++) {
        if (*in == '\\' && in[1] != '\0')
            *out++ = *++in;
        else if (quote != '\0' ? *in == quote : (*in == '"' || *in == '\''))
            quote = quote == '\0' ? *in : '\0';
        else if (quote == '\0' && (*in == '#' || strchr(BLANKS, *in) != NULL))
            break;
        else
            *out++ = *in;
    }
    *at = in;
    *to = out;
    return quote == '\0';
}

/* In place: words are never longer than what they are written as. */
static int split(char *at, struct script_line *line, struct error *err)
{
    char *to = at;
    for (;;) {
        at += strspn(at, BLANKS);
        if (*at == '\0' || *at == '#')
            return 0;
        if (line->n_words == SCRIPT_LINES_MAX_WORDS)
            return error_set(err, PPT_ESPEC, "more than %d words",
                             SCRIPT_LINES_MAX_WORDS);
        line->words[line->n_words++] = to;
        if (!copy_word(&at, &to))
            return error_set(err, PPT_ESPEC, "a quote without its end");
        char end = *at;
        *to++ = '\0';
        if (end == '\0' || end == '#')
            return 0;
        at++;
    }
}

static bool has_magic(const char *text, const char *magic)
{
    size_t len = strlen(magic);
    return strncmp(text, magic, len) == 0 &&
           (text[len] == '\0' || strchr(BLANKS, text[len]) != NULL);
}

static int add_line(struct script_lines *script, char *text, int number,
                    struct error *err)
{
    if (script->n_lines == SCRIPT_LINES_MAX)
        return error_set(err, PPT_ESPEC, "more than %d such lines", SCRIPT_LINES_MAX);
    struct script_line *line = &script->lines[script->n_lines++];
    line->number = number;
    return split(text, line, err);
}

int script_lines_read(const char *path, const char *magic,
                      struct script_lines *ret_script, struct error *err)
{
    struct script_lines script = {0};
    bool leads = true;
    int number = 0;
    int rc = pathsafe_read_file(path, SCRIPT_LINES_MAX_BYTES, &script.text, NULL, err);
    if (rc != 0)
        return rc;
    for (char *at = script.text, *next; rc == 0 && at != NULL; at = next) {
        next = strchr(at, '\n');
        if (next != NULL)
            *next++ = '\0';
        number++;
        char first = at[strspn(at, BLANKS)];
        leads = leads && (first == '\0' || first == '#');
        if (!has_magic(at, magic))
            continue;
        if (leads)
            rc = add_line(&script, at + strlen(magic), number, err);
        else if (script.late_line == 0)
            script.late_line = number;
    }
    if (rc != 0) {
        error_prefix(err, "%s:%d", path, number);
        script_lines_free(&script);
        return rc;
    }
    *ret_script = script;
    return 0;
}

void script_lines_free(struct script_lines *script)
{
    free(script->text);
    script->text = NULL;
}
