#include "scheduler/batch_script.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/pathsafe.h"

#define MAX_SCRIPT_BYTES (64u << 10)

/* No blanks, quotes, dollars; no % (Slurm's file names), no line ends. */
static bool is_plain(const char *text)
{
    for (const char *at = text; *at != '\0'; at++)
        if (!isalnum((unsigned char)*at) && strchr("/._-+=:,", *at) == NULL)
            return false;
    return text[0] != '\0';
}

static int check_values(const struct batch_value *values, int n_values,
                        struct error *err)
{
    for (int i = 0; i < n_values; i++)
        if (!is_plain(values[i].text))
            return error_set(err, PPT_ELAUNCH,
                             "expected a path of letters, digits and /._-+=:, for a "
                             "batch script, found \"%.200s\"",
                             values[i].text);
    return 0;
}

/* Writes `text` with every @NAME@ replaced. An at-sign has no other use. */
static int fill_in(const char *text, const struct batch_value *values, int n_values,
                   const char *path, FILE *to, struct error *err)
{
    for (const char *at = text; *at != '\0';) {
        size_t len = strcspn(at, "@");
        fwrite(at, 1, len, to);
        at += len;
        if (*at == '\0')
            break;
        len = strcspn(++at, "@\n");
        int i = 0;
        while (i < n_values &&
               (strlen(values[i].name) != len || strncmp(values[i].name, at, len) != 0))
            i++;
        if (i == n_values || at[len] != '@')
            return error_set(err, PPT_ELAUNCH, "%s: there is no value named @%.*s@",
                             path, len > 40 ? 40 : (int)len, at);
        fputs(values[i].text, to);
        at += len + 1;
    }
    return 0;
}

int batch_script_write(const char *template, const struct batch_value *values,
                       int n_values, const char *path, struct error *err)
{
    char *source = NULL, *text = NULL;
    size_t len;
    FILE *to = open_memstream(&text, &len);
    int rc =
        to == NULL ? error_set(err, PPT_ENOMEM, "out of memory starting a job") : 0;
    if (rc == 0)
        rc = check_values(values, n_values, err);
    if (rc == 0)
        rc = pathsafe_read_file(template, MAX_SCRIPT_BYTES, &source, &len, err);
    if (rc == -PPT_ENOTFOUND)
        rc = error_set(err, PPT_ELAUNCH, "there is no batch script %s", template);
    if (rc == 0)
        rc = fill_in(source, values, n_values, template, to, err);
    if (to != NULL && fclose(to) != 0 && rc == 0)
        rc = error_set(err, PPT_ENOMEM, "out of memory starting a job");
    if (rc == 0)
        rc = pathsafe_replace(path, text, strlen(text), 0600, err);
    free(source);
    free(text);
    return rc;
}
