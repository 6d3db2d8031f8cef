/* ppt-jobspec.5 names every key that the parser knows, with its type, range and
 * default, and no other; its examples are valid specs.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/pathsafe.h"
#include "jobs/spec/field.h"
#include "jobs/spec/sweep.h"

#define MAX_LINE 256
#define MAX_KEYS 256

/* One ".It Ic key Pq words" under ".Ss section". */
struct entry {
    char section[64], key[64], words[MAX_LINE];
};

static struct entry entries[MAX_KEYS];
static int n_entries;
static char *page;

static void add_entry(const char *section, const char *line)
{
    ck_assert_int_lt(n_entries, MAX_KEYS);
    struct entry *entry = &entries[n_entries++];
    snprintf(entry->section, sizeof entry->section, "%s", section);
    ck_assert_int_eq(sscanf(line, ".It Ic %63s", entry->key), 1);
    const char *words = strstr(line, " Pq ");
    snprintf(entry->words, sizeof entry->words, "%s", words ? words + 4 : "");
}

static void read_page(void)
{
    char path[1024], section[64] = "", line[MAX_LINE];
    snprintf(path, sizeof path, "%s/jobs/spec/ppt-jobspec.5", getenv("PPT_SOURCE_DIR"));
    size_t len;
    ck_assert_int_eq(pathsafe_read_file(path, 1 << 20, &page, &len, NULL), 0);
    n_entries = 0;
    for (const char *p = page; *p != '\0'; p += strcspn(p, "\n") + 1) {
        snprintf(line, sizeof line, "%.*s", (int)strcspn(p, "\n"), p);
        if (sscanf(line, ".Ss %63s", section) == 1 && strcmp(section, "top") == 0)
            section[0] = '\0';
        if (strncmp(line, ".It Ic ", 7) == 0)
            add_entry(section, line);
    }
}

static const char *time_words(int64_t s, char *ret_text)
{
    int64_t unit = s % 86400 == 0 ? 86400 : s % 3600 == 0 ? 3600 : 1;
    sprintf(ret_text, "%lld%c", (long long)(s / unit),
            unit == 86400  ? 'd'
            : unit == 3600 ? 'h'
                           : 's');
    return ret_text;
}

static const char *size_words(int64_t bytes, char *ret_text)
{
    int shift = bytes % ((int64_t)1 << 40) == 0   ? 40
                : bytes % ((int64_t)1 << 30) == 0 ? 30
                                                  : 20;
    sprintf(ret_text, "%lld%ciB", (long long)(bytes >> shift),
            shift == 40   ? 'T'
            : shift == 30 ? 'G'
                          : 'M');
    return ret_text;
}

static void number_words(struct ydoc_range range, char *ret_text)
{
    if (range.is_above_min)
        sprintf(ret_text, "number, above %g and at most %g", range.min, range.max);
    else if (range.is_below_max)
        sprintf(ret_text, "number, of at least %g and below %g", range.min, range.max);
    else
        sprintf(ret_text, "number, from %g to %g", range.min, range.max);
}

/* Type and range, and into ret_default what stands for a key that is left out. */
static void type_words(const struct field *field, char *ret_type, char *ret_default)
{
    char a[32], b[32];
    ret_default[0] = '\0';
    switch (field->type) {
    case FIELD_SECTION:
        strcpy(ret_type, "mapping");
        break;
    case FIELD_NAME:
        strcpy(ret_type, "name");
        strcpy(ret_default, field->text_default ? field->text_default : "null");
        break;
    case FIELD_FILE:
        strcpy(ret_type, "file name ending in .h5 or .safetensors");
        strcpy(ret_default, field->text_default ? field->text_default : "null");
        break;
    case FIELD_ACCOUNT:
        strcpy(ret_type, "account");
        break;
    case FIELD_INTEGER:
        if (field->n_most == INT64_MAX)
            sprintf(ret_type, "integer, at least %lld", (long long)field->n_least);
        else
            sprintf(ret_type, "integer, %lld to %lld", (long long)field->n_least,
                    (long long)field->n_most);
        sprintf(ret_default, "%lld", (long long)field->n_default);
        break;
    case FIELD_NUMBER:
        number_words(field->range, ret_type);
        sprintf(ret_default, "%g", field->number_default);
        break;
    case FIELD_DURATION:
        sprintf(ret_type, "time, %s to %s", time_words(field->n_least, a),
                time_words(field->n_most, b));
        time_words(field->n_default, ret_default);
        break;
    case FIELD_SIZE:
        sprintf(ret_type, "size, %s to %s", size_words(field->n_least, a),
                size_words(field->n_most, b));
        size_words(field->n_default, ret_default);
        break;
    case FIELD_WORD:
        ret_type[0] = '\0';
        for (int w = 0; w < field->n_words; w++)
            sprintf(ret_type + strlen(ret_type), "%s%s",
                    w == 0                    ? ""
                    : w == field->n_words - 1 ? " or "
                                              : ", ",
                    field->word(w));
        strcpy(ret_default, field->word((int)field->n_default));
        break;
    case FIELD_OWN:
        ck_abort();
    }
}

static void expected_words(const struct field *field, char *ret_words)
{
    char type[MAX_LINE], preset[MAX_LINE];
    type_words(field, type, preset);
    if (field->zero_word != NULL)
        strcpy(preset, field->zero_word);
    else if (field->type == FIELD_INTEGER && field->n_default < field->n_least)
        strcpy(preset, "kernel"); /* of the pools */
    if (field->is_required)
        sprintf(ret_words, "%s; required", type);
    else if ((field->hides_zero && field->type != FIELD_WORD) ||
             field->type == FIELD_SECTION)
        strcpy(ret_words, type);
    else
        sprintf(ret_words, "%s; default %s", type, preset);
    if (field->only_with != NULL)
        sprintf(ret_words + strlen(ret_words), "; only with %s", field->only_with);
}

static const struct entry *find_entry(const char *section, const char *key)
{
    for (int e = 0; e < n_entries; e++)
        if (strcmp(entries[e].section, section) == 0 &&
            strcmp(entries[e].key, key) == 0)
            return &entries[e];
    return NULL;
}

START_TEST(page_and_table_agree)
{
    int n_keys = 0;
    read_page();
    for (int s = 0; field_sections[s] != NULL; s++) {
        const struct field_section *section = field_sections[s];
        for (int f = 0; f < section->n_fields; f++, n_keys++) {
            const struct field *field = &section->fields[f];
            const struct entry *entry = find_entry(section->path, field->key);
            ck_assert_msg(entry != NULL, "the page lacks %s.%s", section->path,
                          field->key);
            char words[3 * MAX_LINE];
            if (field->type == FIELD_OWN)
                continue;
            expected_words(field, words);
            ck_assert_msg(strcmp(entry->words, words) == 0,
                          "%s.%s: the page says \"%s\", the table \"%s\"",
                          section->path, field->key, entry->words, words);
        }
    }
    /* none is missing, so equal numbers mean that the page has no key too many */
    ck_assert_int_eq(n_entries, n_keys);
    ck_assert_int_gt(n_keys, 50);
    free(page);
}
END_TEST

START_TEST(examples_are_valid)
{
    int n_examples = 0;
    struct spec_policy policy = spec_policy_default();
    read_page();
    const char *start, *p = page;
    while ((start = strstr(p, ".Bd -literal -offset indent\n")) != NULL) {
        start = strchr(start, '\n') + 1;
        p = strstr(start, ".Ed\n");
        ck_assert_ptr_nonnull(p);
        struct sweep *sweep;
        struct error err = {0};
        int rc =
            sweep_parse(start, (size_t)(p - start), "example", &policy, &sweep, &err);
        ck_assert_msg(rc == 0, "%s\n%s", err.text, err.detail);
        sweep_free(sweep);
        n_examples++;
    }
    ck_assert_int_eq(n_examples, 4);
    free(page);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("man");
    TCase *tcase = tcase_create("man");
    tcase_add_test(tcase, page_and_table_agree);
    tcase_add_test(tcase, examples_are_valid);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? 0 : 1;
}
