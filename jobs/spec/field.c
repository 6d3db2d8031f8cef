#include "jobs/spec/field.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "jobs/spec/name.h"

#define MAX_FIELDS 32
#define MAX_WORDS 8

static int read_word(struct ydoc_faults *faults, const struct ydoc_node *node,
                     const struct field *field, void *at)
{
    const char *words[MAX_WORDS];
    assert(field->n_words <= MAX_WORDS);
    for (int w = 0; w < field->n_words; w++)
        words[w] = field->word(w);
    int index = field->n_words; /* unknown: what depends on it is not judged */
    int rc = ydoc_word(faults, node, words, field->n_words, &index);
    memcpy(at, &index, sizeof index);
    return rc;
}

static void set_default(const struct field *field, void *at)
{
    int word = (int)field->n_default;
    switch (field->type) {
    case FIELD_NAME:
    case FIELD_FILE:
        if (field->text_default != NULL)
            snprintf(at, SPEC_NAME_SIZE, "%s", field->text_default);
        break;
    case FIELD_INTEGER:
    case FIELD_DURATION:
    case FIELD_SIZE:
        *(int64_t *)at = field->n_default;
        break;
    case FIELD_NUMBER:
        *(double *)at = field->number_default;
        break;
    case FIELD_WORD:
        memcpy(at, &word, sizeof word);
        break;
    case FIELD_ACCOUNT:
    case FIELD_SECTION:
    case FIELD_OWN:
        break;
    }
}

static void read_value(struct ydoc_faults *faults, const struct ydoc_node *node,
                       const struct field *field, void *at)
{
    switch (field->type) {
    case FIELD_SECTION:
        field_read(faults, node, field->section, at);
        break;
    case FIELD_NAME:
        if (field->is_required || field->text_default != NULL || !ydoc_is_null(node))
            name_read(faults, node, SPEC_NAME_SIZE, at);
        break;
    case FIELD_FILE:
        name_read_model(faults, node, SPEC_NAME_SIZE, at);
        break;
    case FIELD_ACCOUNT:
        name_read_account(faults, node, SPEC_PATH_SIZE, at);
        break;
    case FIELD_INTEGER:
        ydoc_integer(faults, node, field->n_least, field->n_most, at);
        break;
    case FIELD_NUMBER:
        ydoc_number(faults, node, field->range, at);
        break;
    case FIELD_DURATION:
        ydoc_duration(faults, node, field->n_least, field->n_most, at);
        break;
    case FIELD_SIZE:
        ydoc_size(faults, node, field->n_least, field->n_most, at);
        break;
    case FIELD_WORD:
        read_word(faults, node, field, at);
        break;
    case FIELD_OWN:
        break;
    }
}

/* A value whose 0 is written as a word. */
static void read_or_word(struct ydoc_faults *faults, const struct ydoc_node *node,
                         const struct field *field, void *at)
{
    if (node->kind == YDOC_SCALAR && strcmp(node->text, field->zero_word) == 0)
        return;
    struct ydoc_faults own = {.path = faults->path};
    read_value(&own, node, field, at);
    if (own.n > 0)
        ydoc_fault(faults, node, "expected %s or %s", field->zero_word,
                   own.list[0].message + strlen("expected "));
}

/* A key that does not go with the others is a fault; its value is 0 in any case. */
static void drop_idle(struct ydoc_faults *faults, const struct ydoc_node *node,
                      const struct field *field, void *base)
{
    static const size_t sizes[] = {[FIELD_INTEGER] = sizeof(int64_t),
                                   [FIELD_NUMBER] = sizeof(double),
                                   [FIELD_WORD] = sizeof(int)};
    if (field->applies == NULL || field->applies(base))
        return;
    assert(field->type == FIELD_INTEGER || field->type == FIELD_NUMBER ||
           field->type == FIELD_WORD);
    if (ydoc_get(node, field->key) != NULL)
        ydoc_fault_at(faults, node, field->key, "expected only with %s",
                      field->only_with);
    memset((char *)base + field->offset, 0, sizes[field->type]);
}

void field_read(struct ydoc_faults *faults, const struct ydoc_node *node,
                const struct field_section *section, void *base)
{
    const char *keys[MAX_FIELDS];
    assert(section->n_fields <= MAX_FIELDS);
    for (int f = 0; f < section->n_fields; f++)
        keys[f] = section->fields[f].key;
    if (node != NULL)
        ydoc_only_keys(faults, node, keys, section->n_fields);
    bool is_mapping = node != NULL && node->kind == YDOC_MAPPING;

    for (int f = 0; f < section->n_fields; f++) {
        const struct field *field = &section->fields[f];
        const struct ydoc_node *value = ydoc_get(node, field->key);
        void *at = (char *)base + field->offset;
        set_default(field, at);
        if (value == NULL && field->is_required && is_mapping)
            ydoc_need(faults, node, field->key);
        if (field->type == FIELD_OWN)
            field->read(faults, value, base);
        else if (value != NULL && field->zero_word != NULL)
            read_or_word(faults, value, field, at);
        else if (value != NULL || field->type == FIELD_SECTION)
            read_value(faults, value, field, at);
    }
    for (int f = 0; f < section->n_fields; f++)
        drop_idle(faults, node, &section->fields[f], base);
}

static void write_value(struct json *json, const struct field *field, const void *at)
{
    char text[32];
    int word;
    switch (field->type) {
    case FIELD_SECTION:
        json_object(json, field->key);
        field_write(json, field->section, at);
        json_close_object(json);
        break;
    case FIELD_NAME:
    case FIELD_FILE:
    case FIELD_ACCOUNT:
        if (*(const char *)at == '\0')
            json_null(json, field->key);
        else
            json_string(json, field->key, at);
        break;
    case FIELD_INTEGER:
    case FIELD_SIZE:
        json_integer(json, field->key, *(const int64_t *)at);
        break;
    case FIELD_NUMBER:
        json_number(json, field->key, *(const double *)at);
        break;
    case FIELD_DURATION:
        snprintf(text, sizeof text, "%llds", (long long)*(const int64_t *)at);
        json_string(json, field->key, text);
        break;
    case FIELD_WORD:
        memcpy(&word, at, sizeof word);
        json_string(json, field->key, field->word(word));
        break;
    case FIELD_OWN:
        break;
    }
}

static bool is_zero(const struct field *field, const void *at)
{
    switch (field->type) {
    case FIELD_INTEGER:
    case FIELD_DURATION:
        return *(const int64_t *)at == 0;
    case FIELD_NUMBER:
        return *(const double *)at == 0;
    case FIELD_NAME:
        return *(const char *)at == '\0';
    case FIELD_WORD:
        return memcmp(at, &(int){0}, sizeof(int)) == 0;
    default:
        return false;
    }
}

void field_write(struct json *json, const struct field_section *section,
                 const void *base)
{
    for (int f = 0; f < section->n_fields; f++) {
        const struct field *field = &section->fields[f];
        const void *at = (const char *)base + field->offset;
        if (field->applies != NULL && !field->applies(base))
            continue;
        if (field->type == FIELD_OWN)
            field->write(json, field, base);
        else if (field->zero_word != NULL && is_zero(field, at))
            json_string(json, field->key, field->zero_word);
        else if (!field->hides_zero || !is_zero(field, at))
            write_value(json, field, at);
    }
}

void field_read_digest(struct ydoc_faults *faults, const struct ydoc_node *node,
                       void *base)
{
    struct spec_base *spec = base;
    const size_t len = SPEC_HEX_SIZE - 1;
    if (node == NULL)
        return;
    if (node->kind != YDOC_SCALAR || strlen(node->text) != len ||
        strspn(node->text, "0123456789abcdef") != len)
        ydoc_fault(faults, node, "expected a SHA-256 digest: 64 digits of 0-9 and a-f");
    else
        memcpy(spec->sha256, node->text, SPEC_HEX_SIZE);
}

void field_write_digest(struct json *json, const struct field *field, const void *base)
{
    const struct spec_base *spec = base;
    json_string(json, field->key, spec->sha256);
}
