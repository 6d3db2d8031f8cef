#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/ydoc.h"

#define FOUND_SIZE 96

/* What stands at a node, for "expected ..., found ...". */
static const char *found(const struct ydoc_node *node, char ret_text[FOUND_SIZE])
{
    if (node->kind == YDOC_SEQUENCE)
        return "a list";
    if (node->kind == YDOC_MAPPING)
        return "a mapping";
    if (ydoc_is_null(node))
        return "nothing";
    const int most = 40;
    bool is_long = strlen(node->text) > (size_t)most;
    int len = is_long ? most : (int)strlen(node->text);
    while (is_long && len > 0 && ((unsigned char)node->text[len] & 0xc0) == 0x80)
        len--;
    snprintf(ret_text, FOUND_SIZE, "%s\"%.*s%s\"", node->is_plain ? "" : "the text ",
             len, node->text, is_long ? "..." : "");
    return ret_text;
}

static int expected(struct ydoc_faults *faults, const struct ydoc_node *node,
                    const char *what)
{
    char text[FOUND_SIZE];
    ydoc_fault(faults, node, "expected %s, found %s", what, found(node, text));
    return -PPT_ESPEC;
}

static bool is_scalar(const struct ydoc_node *node)
{
    return node->kind == YDOC_SCALAR && !ydoc_is_null(node);
}

bool ydoc_is_null(const struct ydoc_node *node)
{
    return node != NULL && node->kind == YDOC_SCALAR && node->is_plain &&
           (node->text[0] == '\0' || strcmp(node->text, "~") == 0 ||
            strcmp(node->text, "null") == 0);
}

/* Digits without a leading zero at *p; moves *p behind them. */
static bool take_whole(const char **p)
{
    size_t n = strspn(*p, "0123456789");
    if (n == 0 || (n > 1 && (*p)[0] == '0'))
        return false;
    *p += n;
    return true;
}

/* False if the text is no integer at all; one too large for int64_t is cut to its
 * ends, which is as much out of range as it is. */
static bool parse_integer(const char *text, size_t len, int64_t *ret_value)
{
    const char *p = text + (text[0] == '-');
    if (!take_whole(&p) || p != text + len)
        return false;
    *ret_value = strtoll(text, NULL, 10); /* saturates by itself */
    return true;
}

int ydoc_integer(struct ydoc_faults *faults, const struct ydoc_node *node, int64_t min,
                 int64_t max, int64_t *ret_value)
{
    if (node == NULL)
        return -PPT_ESPEC;
    int64_t value;
    bool ok = node->kind == YDOC_SCALAR && node->is_plain &&
              parse_integer(node->text, strlen(node->text), &value);
    if (ok && value >= min && value <= max) {
        *ret_value = value;
        return 0;
    }
    char what[96];
    if (max == INT64_MAX)
        snprintf(what, sizeof what, "an integer of at least %lld", (long long)min);
    else
        snprintf(what, sizeof what, "an integer from %lld to %lld", (long long)min,
                 (long long)max);
    return expected(faults, node, what);
}

static bool is_number(const char *text)
{
    const char *p = text + (text[0] == '-');
    if (!take_whole(&p))
        return false;
    if (*p == '.') {
        size_t n = strspn(++p, "0123456789");
        if (n == 0)
            return false;
        p += n;
    }
    if (*p == 'e' || *p == 'E') {
        p++;
        p += *p == '-' || *p == '+';
        size_t n = strspn(p, "0123456789");
        if (n == 0)
            return false;
        p += n;
    }
    return *p == '\0';
}

/* In the C locale, whatever the program has set. */
static int parse_number(const char *text, double *ret_value)
{
    locale_t c = newlocale(LC_NUMERIC_MASK, "C", (locale_t)0);
    if (c == (locale_t)0)
        return -PPT_ENOMEM;
    *ret_value = strtod_l(text, NULL, c);
    freelocale(c);
    return 0;
}

static void describe_range(struct ydoc_range range, char *ret_text, size_t size)
{
    if (!range.is_above_min && !range.is_below_max)
        snprintf(ret_text, size, "a number from %g to %g", range.min, range.max);
    else
        snprintf(ret_text, size, "a number %s %g and %s %g",
                 range.is_above_min ? "above" : "of at least", range.min,
                 range.is_below_max ? "below" : "at most", range.max);
}

int ydoc_number(struct ydoc_faults *faults, const struct ydoc_node *node,
                struct ydoc_range range, double *ret_value)
{
    if (node == NULL)
        return -PPT_ESPEC;
    char what[96];
    describe_range(range, what, sizeof what);
    if (node->kind != YDOC_SCALAR || !node->is_plain || !is_number(node->text))
        return expected(faults, node, what);
    double value;
    if (parse_number(node->text, &value) != 0) {
        faults->is_out_of_memory = true;
        faults->n++;
        return -PPT_ENOMEM;
    }
    bool ok = range.is_above_min ? value > range.min : value >= range.min;
    ok = ok && (range.is_below_max ? value < range.max : value <= range.max);
    if (!ok)
        return expected(faults, node, what);
    *ret_value = value == 0 ? 0 : value; /* no negative zero: one value, one name */
    return 0;
}

int ydoc_bool(struct ydoc_faults *faults, const struct ydoc_node *node, bool *ret_value)
{
    if (node == NULL)
        return -PPT_ESPEC;
    bool is_word = node->kind == YDOC_SCALAR && node->is_plain;
    if (is_word && strcmp(node->text, "true") == 0)
        *ret_value = true;
    else if (is_word && strcmp(node->text, "false") == 0)
        *ret_value = false;
    else
        return expected(faults, node, "true or false");
    return 0;
}

int ydoc_string(struct ydoc_faults *faults, const struct ydoc_node *node, size_t size,
                char *ret_text)
{
    if (node == NULL)
        return -PPT_ESPEC;
    if (!is_scalar(node))
        return expected(faults, node, "text");
    size_t len = strlen(node->text);
    if (len >= size) {
        ydoc_fault(faults, node, "expected text of at most %zu bytes, found %zu",
                   size - 1, len);
        return -PPT_ESPEC;
    }
    memcpy(ret_text, node->text, len + 1);
    return 0;
}

/* Least number of letters to insert, drop, change or swap; words are cut at 31. */
static int distance(const char *a, const char *b)
{
    enum { MOST = 31 };
    int d[MOST + 1][MOST + 1];
    int n = (int)strnlen(a, MOST), m = (int)strnlen(b, MOST);
    for (int i = 0; i <= n; i++)
        for (int j = 0; j <= m; j++) {
            if (i == 0 || j == 0) {
                d[i][j] = i + j;
                continue;
            }
            int best = d[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
            best = d[i - 1][j] + 1 < best ? d[i - 1][j] + 1 : best;
            best = d[i][j - 1] + 1 < best ? d[i][j - 1] + 1 : best;
            bool is_swap =
                i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
            if (is_swap && d[i - 2][j - 2] + 1 < best)
                best = d[i - 2][j - 2] + 1;
            d[i][j] = best;
        }
    return d[n][m];
}

/* The word that was most likely meant, or NULL. */
static const char *nearest(const char *text, const char *const *words, int n_words)
{
    const char *best = NULL;
    int best_distance = (int)strlen(text) / 3 + 1;
    for (int w = 0; w < n_words; w++) {
        int d = distance(text, words[w]);
        if (d <= best_distance && (best == NULL || d < best_distance)) {
            best = words[w];
            best_distance = d;
        }
    }
    return best;
}

/* "a, b or c" */
static void join(const char *const *words, int n_words, const char *last,
                 char *ret_text, size_t size)
{
    size_t used = 0;
    ret_text[0] = '\0';
    for (int w = 0; w < n_words && used < size; w++)
        used += (size_t)snprintf(ret_text + used, size - used, "%s%s",
                                 w == 0             ? ""
                                 : w == n_words - 1 ? last
                                                    : ", ",
                                 words[w]);
}

int ydoc_only_keys(struct ydoc_faults *faults, const struct ydoc_node *node,
                   const char *const *keys, int n_keys)
{
    if (node == NULL)
        return -PPT_ESPEC;
    if (node->kind != YDOC_MAPPING)
        return expected(faults, node, "a mapping");
    int rc = 0;
    for (const struct ydoc_node *n = node->first; n != NULL; n = n->next) {
        bool is_known = false;
        for (int k = 0; k < n_keys && !is_known; k++)
            is_known = strcmp(n->key, keys[k]) == 0;
        if (is_known || strcmp(n->key, "<<") == 0) /* a merge is a fault already */
            continue;
        struct ydoc_node place = *n;
        place.line = n->key_line;
        place.column = n->key_column;
        const char *near = nearest(n->key, keys, n_keys);
        char all[240];
        join(keys, n_keys, " or ", all, sizeof all);
        if (n_keys == 0)
            ydoc_fault(faults, &place, "expected no keys here");
        else if (near != NULL)
            ydoc_fault(faults, &place, "expected a known key: did you mean \"%s\"?",
                       near);
        else
            ydoc_fault(faults, &place, "expected one of the keys %s", all);
        rc = -PPT_ESPEC;
    }
    return rc;
}

int ydoc_word(struct ydoc_faults *faults, const struct ydoc_node *node,
              const char *const *words, int n_words, int *ret_index)
{
    if (node == NULL)
        return -PPT_ESPEC;
    for (int w = 0; node->kind == YDOC_SCALAR && w < n_words; w++)
        if (strcmp(node->text, words[w]) == 0) {
            *ret_index = w;
            return 0;
        }
    char all[240];
    join(words, n_words, " or ", all, sizeof all);
    return expected(faults, node, all);
}

static const struct {
    const char *name;
    int shift;
} size_units[] = {{"TiB", 40}, {"GiB", 30}, {"MiB", 20}, {"KiB", 10}};

static const struct {
    char letter;
    int64_t seconds;
} time_units[] = {{'d', 86400}, {'h', 3600}, {'m', 60}, {'s', 1}};

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

/* In the largest unit that divides it: 512MiB. */
static const char *size_text(int64_t bytes, char ret_text[32])
{
    for (size_t u = 0; u < COUNT(size_units); u++)
        if (bytes != 0 && bytes % ((int64_t)1 << size_units[u].shift) == 0) {
            snprintf(ret_text, 32, "%lld%s", (long long)bytes >> size_units[u].shift,
                     size_units[u].name);
            return ret_text;
        }
    snprintf(ret_text, 32, "%lld", (long long)bytes);
    return ret_text;
}

static const char *time_text(int64_t seconds, char ret_text[32])
{
    size_t u = 0;
    while (time_units[u].letter != 's' &&
           (seconds == 0 || seconds % time_units[u].seconds != 0))
        u++;
    snprintf(ret_text, 32, "%lld%c", (long long)(seconds / time_units[u].seconds),
             time_units[u].letter);
    return ret_text;
}

int ydoc_size(struct ydoc_faults *faults, const struct ydoc_node *node, int64_t min,
              int64_t max, int64_t *ret_bytes)
{
    if (node == NULL)
        return -PPT_ESPEC;
    char what[160], least[32], most[32];
    snprintf(what, sizeof what,
             "a size in KiB, MiB, GiB or TiB, or an integer of bytes, from %s to %s",
             size_text(min, least), size_text(max, most));
    if (!is_scalar(node))
        return expected(faults, node, what);
    size_t len = strspn(node->text, "0123456789");
    const char *suffix = node->text + len + (len > 0 && node->text[len] == ' ');
    int shift = node->text[len] == '\0' && node->is_plain ? 0 : -1;
    for (size_t u = 0; u < COUNT(size_units); u++)
        if (strcmp(suffix, size_units[u].name) == 0)
            shift = size_units[u].shift;
    int64_t value;
    if (shift < 0 || !parse_integer(node->text, len, &value) ||
        value > INT64_MAX >> shift)
        return expected(faults, node, what);
    value <<= shift;
    if (value < min || value > max)
        return expected(faults, node, what);
    *ret_bytes = value;
    return 0;
}

/* n digits exactly, or any number of them for n 0; then `end`. */
static bool take_field(const char **p, size_t n, char end, int64_t *ret_value)
{
    size_t len = strspn(*p, "0123456789");
    if (len == 0 || len > 9 || (n > 0 && len != n) || (*p)[len] != end)
        return false;
    *ret_value = strtoll(*p, NULL, 10);
    *p += len + (end != '\0');
    return true;
}

/* [D-]HH:MM:SS */
static bool parse_clock(const char *text, int64_t *ret_s)
{
    int64_t d = 0, h, m, s;
    const char *p = text;
    bool has_days = strchr(text, '-') != NULL;
    if (has_days && !take_field(&p, 0, '-', &d))
        return false;
    if (!take_field(&p, has_days ? 2 : 0, ':', &h) || !take_field(&p, 2, ':', &m) ||
        !take_field(&p, 2, '\0', &s))
        return false;
    if (m > 59 || s > 59 || (has_days && h > 23))
        return false;
    *ret_s = ((d * 24 + h) * 60 + m) * 60 + s;
    return true;
}

/* 90s, 15m, 2h, 1d */
static bool parse_span(const char *text, int64_t *ret_s)
{
    const char *p = text;
    if (!take_whole(&p) || p[0] == '\0' || p[1] != '\0')
        return false;
    for (size_t u = 0; u < COUNT(time_units); u++) {
        const char *digits = text;
        if (p[0] == time_units[u].letter && take_field(&digits, 0, p[0], ret_s)) {
            *ret_s *= time_units[u].seconds;
            return true;
        }
    }
    return false;
}

int ydoc_duration(struct ydoc_faults *faults, const struct ydoc_node *node,
                  int64_t min_s, int64_t max_s, int64_t *ret_s)
{
    if (node == NULL)
        return -PPT_ESPEC;
    int64_t value_s = 0;
    bool ok = is_scalar(node) &&
              (parse_span(node->text, &value_s) || parse_clock(node->text, &value_s));
    if (ok && value_s >= min_s && value_s <= max_s) {
        *ret_s = value_s;
        return 0;
    }
    char what[160], least[32], most[32];
    snprintf(what, sizeof what,
             "a time such as 90s, 15m, 2h, 1d, HH:MM:SS or D-HH:MM:SS, from %s to %s",
             time_text(min_s, least), time_text(max_s, most));
    return expected(faults, node, what);
}
