#include "base/json.h"

#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void append(struct json *json, const char *text, size_t len)
{
    if (json->len + len + 1 > json->capacity) {
        size_t capacity = (json->len + len + 1) * 2;
        char *larger = realloc(json->text, capacity);
        if (larger == NULL) {
            json->has_failed = true;
            return;
        }
        json->text = larger;
        json->capacity = capacity;
    }
    memcpy(json->text + json->len, text, len);
    json->len += len;
    json->text[json->len] = '\0';
}

static bool is_plain(unsigned char c)
{
    return c >= 0x20 && c != 0x7f && c != '"' && c != '\\';
}

static void append_escape(struct json *json, unsigned char c)
{
    char escape[8];
    if (c == '"' || c == '\\')
        snprintf(escape, sizeof escape, "\\%c", c);
    else if (c == '\n')
        strcpy(escape, "\\n");
    else if (c == '\t')
        strcpy(escape, "\\t");
    else
        snprintf(escape, sizeof escape, "\\u%04x", c);
    append(json, escape, strlen(escape));
}

static void append_quoted(struct json *json, const char *text)
{
    append(json, "\"", 1);
    while (*text != '\0') {
        size_t n = 0;
        while (is_plain((unsigned char)text[n]))
            n++;
        append(json, text, n);
        text += n;
        if (*text != '\0')
            append_escape(json, (unsigned char)*text++);
    }
    append(json, "\"", 1);
}

static void begin(struct json *json, const char *key)
{
    if (json->needs_comma)
        append(json, ", ", 2);
    json->needs_comma = true;
    if (key != NULL) {
        append_quoted(json, key);
        append(json, ": ", 2);
    }
}

static void open_with(struct json *json, const char *key, const char *bracket)
{
    begin(json, key);
    append(json, bracket, 1);
    json->needs_comma = false;
}

static void close_with(struct json *json, const char *bracket)
{
    append(json, bracket, 1);
    json->needs_comma = true;
}

void json_object(struct json *json, const char *key)
{
    open_with(json, key, "{");
}

void json_array(struct json *json, const char *key)
{
    open_with(json, key, "[");
}

void json_close_object(struct json *json)
{
    close_with(json, "}");
}

void json_close_array(struct json *json)
{
    close_with(json, "]");
}

void json_string(struct json *json, const char *key, const char *value)
{
    begin(json, key);
    append_quoted(json, value);
}

static void word(struct json *json, const char *key, const char *text)
{
    begin(json, key);
    append(json, text, strlen(text));
}

void json_integer(struct json *json, const char *key, int64_t value)
{
    char text[32];
    snprintf(text, sizeof text, "%" PRId64, value);
    word(json, key, text);
}

void json_number(struct json *json, const char *key, double value)
{
    char text[32];
    json_shortest(value, text);
    word(json, key, isfinite(value) ? text : "null");
}

void json_bool(struct json *json, const char *key, bool value)
{
    word(json, key, value ? "true" : "false");
}

void json_null(struct json *json, const char *key)
{
    word(json, key, "null");
}

int json_end(struct json *json, char **ret_text, struct error *err)
{
    append(json, "\n", 1);
    bool has_failed = json->has_failed;
    char *text = json->text;
    memset(json, 0, sizeof *json);
    if (has_failed) {
        free(text);
        return error_set(err, PPT_ENOMEM, "no memory for JSON text");
    }
    *ret_text = text;
    return 0;
}

void json_shortest(double value, char ret_text[32])
{
    if (fabs(value) < 1e15 && value == trunc(value)) {
        snprintf(ret_text, 32, "%.0f", value); /* 10, not 1e+01 */
        return;
    }
    /* %g drops zeros at the end, so 15 digits, which a double always has, find every
     * shorter text; a subnormal has fewer. */
    for (int digits = isnormal(value) ? DBL_DIG : 1; digits <= 17; digits++) {
        snprintf(ret_text, 32, "%.*g", digits, value);
        if (strtod(ret_text, NULL) == value)
            return;
    }
}
