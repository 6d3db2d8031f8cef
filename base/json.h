/* Writes JSON: for --json, canonical forms, plans and reports. Reading is base/ydoc's
 * (JSON is YAML).
 *
 * A growing string; commas and escapes are put in by it. A failed allocation sticks and
 * json_end reports it, so callers need not check each call.
 */
#ifndef PPT_BASE_JSON_H
#define PPT_BASE_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* Zero-initialise. */
struct json {
    char *text;
    size_t len, capacity;
    bool needs_comma, has_failed;
};

/* key is NULL inside an array and at the top. */
void json_object(struct json *json, const char *key);
void json_array(struct json *json, const char *key);
void json_close_object(struct json *json);
void json_close_array(struct json *json);
void json_string(struct json *json, const char *key, const char *value);
void json_integer(struct json *json, const char *key, int64_t value);
/* Shortest decimal that reads back as the same double; null for NaN and infinities. */
void json_number(struct json *json, const char *key, double value);
void json_bool(struct json *json, const char *key, bool value);
void json_null(struct json *json, const char *key);

/* The text with a trailing newline, NUL-terminated; caller frees. The struct is empty
 * again. Errors: PPT_ENOMEM. */
int json_end(struct json *json, char **ret_text, struct error *err);

/* Shortest decimal that reads back as the same double, into a buffer of 32. */
void json_shortest(double value, char ret_text[32]);

#endif
