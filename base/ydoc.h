/* libyaml's door: a bounded YAML document as a tree whose nodes remember where they
 * stand. JSON is YAML, so plans and reports are read by it too.
 *
 * Nothing is trusted: bytes, depth and nodes are bounded; one document; no aliases,
 * anchors, tags, directives or merge keys; keys are scalars and stand once in their
 * mapping; invalid UTF-8 and control characters (but tab and line ends) are refused.
 * No scalar is guessed at: it is text until a reader below asks for a type, and the
 * readers know one syntax each, whatever the locale.
 *
 * All faults of a file are collected and reported in one go:
 *
 *     struct ydoc_faults faults = {.path = path};
 *     struct ydoc *doc = ydoc_parse(text, len, NULL, &faults);
 *     const struct ydoc_node *root = ydoc_root(doc);
 *     ydoc_only_keys(&faults, root, keys, n_keys);
 *     ydoc_integer(&faults, ydoc_need(&faults, root, "steps"), 1, 1000, &n_steps);
 *     rc = ydoc_faults_end(&faults, "plan", err);
 *     ydoc_free(doc);
 *
 * ydoc_root(NULL), and every reader given a NULL node, does nothing and fails in
 * silence: the fault that led there is in the collection already.
 */
#ifndef PPT_BASE_YDOC_H
#define PPT_BASE_YDOC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

enum ydoc_kind { YDOC_SCALAR, YDOC_SEQUENCE, YDOC_MAPPING };

/* Read only. Walk children with first and next. */
struct ydoc_node {
    enum ydoc_kind kind;
    int line, column; /* from 1; a column is a character, not a byte */
    const char *text; /* scalar: NUL-terminated UTF-8 without a NUL inside; else NULL */
    bool is_plain;    /* scalar: neither quoted nor a block: "3" is not a number */
    const char
        *key; /* of this value in its mapping; NULL in a sequence or at the top */
    int key_line, key_column;
    int index;      /* in its sequence or mapping, from 0 */
    int n_children; /* items, or pairs */
    const struct ydoc_node *parent, *first, *next;
};

struct ydoc;

/* 0 stands for the default. */
struct ydoc_limits {
    size_t max_bytes; /* 256 KiB */
    int max_depth;    /* 16 collections in one another */
    int max_nodes;    /* 4096 keys, scalars and collections */
};

#define YDOC_MAX_FAULTS 64
#define YDOC_FIELD_SIZE 160
#define YDOC_MESSAGE_SIZE 320

struct ydoc_fault {
    int line, column;            /* 0: of the whole file */
    char field[YDOC_FIELD_SIZE]; /* "training.batch_size", "model.layers[2].out"; or ""
                                  */
    char message[YDOC_MESSAGE_SIZE]; /* what was expected */
};

/* Start as {.path = path}. No ownership. */
struct ydoc_faults {
    const char *path; /* of the file, for messages */
    int n;            /* may be larger than YDOC_MAX_FAULTS */
    int n_policy;     /* how many of n were added by ydoc_policy_fault */
    bool is_out_of_memory;
    struct ydoc_fault list[YDOC_MAX_FAULTS];
};

/* Parses len bytes; limits may be NULL. Always adds a fault where it returns NULL. A
 * document with a repeated key or the like is returned too, so that its other faults
 * can be found, but faults->n is then > 0. Caller frees with ydoc_free. */
struct ydoc *ydoc_parse(const char *text, size_t len, const struct ydoc_limits *limits,
                        struct ydoc_faults *faults);
void ydoc_free(struct ydoc *doc);
const struct ydoc_node *ydoc_root(const struct ydoc *doc);

/* The value of a key; NULL if there is none or the node is no mapping. The other adds
 * a fault then. */
const struct ydoc_node *ydoc_get(const struct ydoc_node *mapping, const char *key);
const struct ydoc_node *ydoc_need(struct ydoc_faults *faults,
                                  const struct ydoc_node *mapping, const char *key);

/* True for an empty value, ~ and null, written plain. */
bool ydoc_is_null(const struct ydoc_node *node);

/* Adds a fault at a node, whose field path is worked out. */
void ydoc_fault(struct ydoc_faults *faults, const struct ydoc_node *node,
                const char *format, ...) __attribute__((format(printf, 3, 4)));
/* Adds a fault about a key of a mapping, at the key's value if it is there, else at the
 * mapping. */
void ydoc_fault_at(struct ydoc_faults *faults, const struct ydoc_node *mapping,
                   const char *key, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* The same, counted as a matter of policy. */
void ydoc_policy_fault(struct ydoc_faults *faults, const struct ydoc_node *mapping,
                       const char *key, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Adds a fault for each key that is not among keys[n_keys], with the nearest known one;
 * and one if the node is no mapping. Returns 0 or -PPT_ESPEC. */
int ydoc_only_keys(struct ydoc_faults *faults, const struct ydoc_node *node,
                   const char *const *keys, int n_keys);

/* 0 and *err untouched if there are no faults; else fills err: "PATH is not a valid
 * WHAT: 2 faults", and in err->detail one line a fault in the order of the file,
 * "path:line:column: field: what was expected". Those that do not fit are counted.
 * Errors: PPT_EPOLICY if all of them are matters of policy, else PPT_ESPEC; or
 * PPT_ENOMEM. */
int ydoc_faults_end(struct ydoc_faults *faults, const char *what, struct error *err);

/* Adds those faults of `more` that are not there yet: for what is read several times.
 */
void ydoc_faults_merge(struct ydoc_faults *faults, const struct ydoc_faults *more);

/* A file that stands for several: a tree may be changed between two readings. */

/* Takes a key and its value out of a mapping. They can still be read and know where
 * they stood. NULL if there is no such key. */
const struct ydoc_node *ydoc_take(const struct ydoc_node *mapping, const char *key);

/* A place for a scalar at the path, such as "training.learning_rate", that is the key
 * of `at`; mappings on its way are made. It says "" until ydoc_say, which makes it say
 * what a scalar of the same document does, and stand there. NULL, with a fault at `at`,
 * where something stands already or nothing can. Requires a root that is a mapping. */
const struct ydoc_node *ydoc_place(struct ydoc *doc, struct ydoc_faults *faults,
                                   const struct ydoc_node *at);
void ydoc_say(const struct ydoc_node *place, const struct ydoc_node *scalar);

/* Readers. Each returns 0, or adds a fault and returns -PPT_ESPEC with *ret untouched.
 */

/* Decimal digits with an optional minus: no plus, leading zeros, 0x, underscores. */
int ydoc_integer(struct ydoc_faults *faults, const struct ydoc_node *node, int64_t min,
                 int64_t max, int64_t *ret_value);

struct ydoc_range {
    double min, max;
    bool is_above_min; /* min itself is refused */
    bool is_below_max; /* max itself is refused */
};

/* JSON's numbers: 3, 0.5, 1e-6; no plus, leading zeros, ".5", "5.", inf, nan. */
int ydoc_number(struct ydoc_faults *faults, const struct ydoc_node *node,
                struct ydoc_range range, double *ret_value);

/* true or false, in these letters. */
int ydoc_bool(struct ydoc_faults *faults, const struct ydoc_node *node,
              bool *ret_value);

/* Any scalar of at most size - 1 bytes, copied into ret_text[size]. */
int ydoc_string(struct ydoc_faults *faults, const struct ydoc_node *node, size_t size,
                char *ret_text);

/* One of n_words words. */
int ydoc_word(struct ydoc_faults *faults, const struct ydoc_node *node,
              const char *const *words, int n_words, int *ret_index);

/* Bytes: an integer, or one with KiB, MiB, GiB or TiB behind it (2GiB, 512 MiB). */
int ydoc_size(struct ydoc_faults *faults, const struct ydoc_node *node, int64_t min,
              int64_t max, int64_t *ret_bytes);

/* Seconds: 90s, 15m, 2h, 1d, or HH:MM:SS, D-HH:MM:SS as Slurm has them. A bare integer
 * is refused: Slurm means minutes by it. */
int ydoc_duration(struct ydoc_faults *faults, const struct ydoc_node *node,
                  int64_t min_s, int64_t max_s, int64_t *ret_s);

#endif
