/* The one table of a spec's fields: from it come the parser, the defaults, the
 * canonical form, and the test that the man page names every key and its range.
 */
#ifndef PPT_JOBS_SPEC_FIELD_H
#define PPT_JOBS_SPEC_FIELD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/json.h"
#include "base/ydoc.h"
#include "jobs/spec/spec.h"

enum field_type {
    FIELD_SECTION,  /* a mapping with a table of its own */
    FIELD_NAME,     /* char[SPEC_NAME_SIZE]; "" is null, where that is the default */
    FIELD_FILE,     /* the same, ends in .h5 or .safetensors */
    FIELD_ACCOUNT,  /* char[SPEC_PATH_SIZE] */
    FIELD_INTEGER,  /* int64_t */
    FIELD_NUMBER,   /* double */
    FIELD_DURATION, /* int64_t, seconds */
    FIELD_SIZE,     /* int64_t, bytes */
    FIELD_WORD,     /* an enum */
    FIELD_OWN       /* read and written by functions of its own */
};

struct field_section;

struct field {
    const char *key;
    enum field_type type;
    size_t offset;    /* in the section's struct */
    bool is_required; /* else the default below holds; optional FIELD_OWNs default to
                         what their read does with NULL */
    /* INTEGER, DURATION, SIZE; n_least > n_most never happens */
    int64_t n_least, n_most, n_default;
    /* NUMBER */
    struct ydoc_range range;
    double number_default;
    /* WORD: words are word(0) .. word(n_words - 1); the default is n_default */
    const char *(*word)(int index);
    int n_words;
    const char *text_default;            /* NAME, FILE */
    const struct field_section *section; /* SECTION */
    /* INTEGER, NUMBER: how 0, outside the range, is written: as a word ("auto"), or
     * (also DURATION's 0, NAME's "" and WORD's first) by leaving the key out */
    const char *zero_word;
    bool hides_zero;
    /* OWN. read gets NULL for a key that is not given; write adds `key` or nothing. */
    void (*read)(struct ydoc_faults *faults, const struct ydoc_node *node, void *base);
    void (*write)(struct json *json, const struct field *field, const void *base);
    /* NULL: always. Where false the key is a fault ("only with ..."), the value 0 and
     * the canonical form without it. True while what decides it is not known. */
    bool (*applies)(const void *base);
    const char *only_with; /* "optimizer: momentum" */
};

struct field_section {
    const char *path; /* "training", "training.schedule.step", "" for the top,
                         "conv2d" for a layer */
    const struct field *fields;
    int n_fields;
};

/* Every section, for the man page's test; ends with a NULL path. */
extern const struct field_section *const field_sections[];

/* The sections that readers of one file hand to another. */
extern const struct field_section field_top, field_layer[LAYER_N_KINDS];

/* Fills the section's struct from its mapping, defaults where a key is not given; node
 * NULL: defaults only, and nothing is missed. All faults are added. */
void field_read(struct ydoc_faults *faults, const struct ydoc_node *node,
                const struct field_section *section, void *base);

/* The digest of a struct spec_base, as FIELD_OWN. */
void field_read_digest(struct ydoc_faults *faults, const struct ydoc_node *node,
                       void *base);
void field_write_digest(struct json *json, const struct field *field, const void *base);

/* Adds the section's pairs in the table's order. */
void field_write(struct json *json, const struct field_section *section,
                 const void *base);

#endif
