#include "worker/redact.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

enum { MAX_DIGITS = 19, MAX_LOCAL = 64, MAX_HOST = 255 };
enum { SHORTEST = 6 }; /* of what is found and of the marks that replace it */

static const char *const names[REDACT_N] = {
    [REDACT_MAIL] = "mail",
    [REDACT_CARD] = "card",
    [REDACT_ID] = "id",
    [REDACT_PHONE] = "phone",
};
static const char *const marks[REDACT_N] = {
    [REDACT_MAIL] = "[MAIL]",
    [REDACT_CARD] = "[CARD]",
    [REDACT_ID] = "[ID]",
    [REDACT_PHONE] = "[PHONE]",
};

const char *redact_name(enum redact_kind kind)
{
    return names[kind];
}

bool redact_parse(const char *list, struct redact *ret_redact)
{
    struct redact redact = {0};
    bool is_all = strcmp(list, "all") == 0;
    for (const char *at = list; !is_all;) {
        size_t len = strcspn(at, ",");
        int kind = 0;
        while (kind < REDACT_N &&
               (strlen(names[kind]) != len || strncmp(names[kind], at, len) != 0))
            kind++;
        if (kind == REDACT_N)
            return false;
        redact.is_on[kind] = true;
        if (at[len] == '\0')
            break;
        at += len + 1;
    }
    for (int kind = 0; is_all && kind < REDACT_N; kind++)
        redact.is_on[kind] = true;
    *ret_redact = redact;
    return true;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* ASCII only: other bytes are letters of some alphabet. */
static bool is_word(char c)
{
    return isalnum((unsigned char)c) != 0 || (unsigned char)c >= 0x80;
}

static bool is_local(char c)
{
    return isalnum((unsigned char)c) != 0 || (c != '\0' && strchr("._%+-", c) != NULL);
}

/* Bytes of "host.domain" at `at`; 0: none. */
static size_t host_len(const char *at)
{
    size_t len = 0, dot = 0;
    while (len < MAX_HOST &&
           (isalnum((unsigned char)at[len]) != 0 || at[len] == '-' || at[len] == '.')) {
        if (at[len] == '.' && (len == 0 || at[len - 1] == '.'))
            break;
        dot = at[len] == '.' ? len : dot;
        len++;
    }
    if (len > 0 && at[len - 1] == '.') { /* the end of a sentence */
        len--;
        dot = 0;
        for (size_t i = 1; i < len; i++)
            dot = at[i] == '.' ? i : dot;
    }
    bool has_domain = dot > 0 && len - dot > 2;
    for (size_t i = dot + 1; has_domain && i < len; i++)
        has_domain = isalpha((unsigned char)at[i]) != 0;
    return has_domain ? len : 0;
}

/* Bytes of a mail address that begins here; 0: none. */
static size_t mail_len(const char *text)
{
    size_t local = 0;
    while (local < MAX_LOCAL && is_local(text[local]))
        local++;
    if (local == 0 || text[local] != '@')
        return 0;
    size_t host = host_len(text + local + 1);
    return host == 0 ? 0 : local + 1 + host;
}

/* The first digits of a text, at most MAX_DIGITS, with what may stand between them. */
struct digits {
    int n;
    char list[MAX_DIGITS];
    size_t end[MAX_DIGITS + 1]; /* bytes of the text that k of them take */
};

static struct digits digits_of(const char *text, const char *between, int most_between)
{
    struct digits digits = {0};
    int gap = 0;
    for (size_t i = 0; text[i] != '\0' && digits.n < MAX_DIGITS; i++) {
        if (is_digit(text[i])) {
            digits.list[digits.n++] = text[i];
            digits.end[digits.n] = i + 1;
            gap = 0;
        } else if (strchr(between, text[i]) == NULL || ++gap > most_between) {
            break;
        }
    }
    return digits;
}

static bool ends_here(const char *text)
{
    return !is_word(text[0]);
}

static bool is_luhn(const char *digits, int n)
{
    int sum = 0;
    for (int i = 0; i < n; i++) {
        int digit = digits[n - 1 - i] - '0';
        int twice = 2 * digit > 9 ? 2 * digit - 9 : 2 * digit;
        sum += i % 2 == 0 ? digit : twice;
    }
    return sum % 10 == 0;
}

/* The longest that fits: other digits may follow, such as a card's security code. */
static size_t card_len(const char *text)
{
    struct digits digits = digits_of(text, " -", 1);
    int n = is_digit(text[0]) ? digits.n : 0;
    while (n >= 12 && !(ends_here(text + digits.end[n]) && is_luhn(digits.list, n)))
        n--;
    return n >= 12 ? digits.end[n] : 0;
}

/* 'd' a digit, 'a' a letter, ' ' a blank or nothing, others themselves. */
static size_t shape_len(const char *text, const char *shape)
{
    size_t len = 0;
    for (; *shape != '\0'; shape++) {
        char c = text[len];
        if (*shape == ' ') {
            len += c == ' ' || c == '-';
            continue;
        }
        bool fits = *shape == 'd'   ? is_digit(c)
                    : *shape == 'a' ? isalpha((unsigned char)c) != 0
                                    : c == *shape;
        if (!fits)
            return 0;
        len++;
    }
    return ends_here(text + len) ? len : 0;
}

static size_t us_len(const char *text)
{
    size_t len = shape_len(text, "ddd-dd-dddd");
    bool is_none = strncmp(text, "000", 3) == 0 || strncmp(text, "666", 3) == 0 ||
                   text[0] == '9' || strncmp(text + 4 * (len > 0), "00", 2) == 0 ||
                   strncmp(text + 7 * (len > 0), "0000", 4) == 0;
    return is_none ? 0 : len;
}

static size_t uk_len(const char *text)
{
    size_t len = shape_len(text, "aa dd dd dd a");
    char last = len == 0 ? 'Z' : (char)toupper((unsigned char)text[len - 1]);
    return last >= 'A' && last <= 'D' ? len : 0;
}

/* 8 digits, or X, Y or Z for the first of them, and a letter. */
static size_t spanish_len(const char *text)
{
    const char *first = strchr("XYZ", toupper((unsigned char)text[0]));
    size_t len =
        shape_len(text, first != NULL && *first != '\0' ? "addddddd a" : "dddddddd a");
    if (len == 0)
        return 0;
    int number = is_digit(text[0]) ? text[0] - '0' : (int)(*first - 'X');
    for (int i = 1; i < 8; i++)
        number = 10 * number + (text[i] - '0');
    bool is_right =
        toupper((unsigned char)text[len - 1]) == "TRWAGMYFPDXBNJZSQVHLCKE"[number % 23];
    return is_right ? len : 0;
}

static size_t french_len(const char *text)
{
    enum { N = 15 };
    if (text[0] != '1' && text[0] != '2')
        return 0;
    struct digits digits = digits_of(text, " ", 1);
    if (digits.n < N || !ends_here(text + digits.end[N]))
        return 0;
    int64_t number = 0;
    int check = 10 * (digits.list[13] - '0') + (digits.list[14] - '0');
    for (int i = 0; i < 13; i++)
        number = 10 * number + (digits.list[i] - '0');
    return check == 97 - number % 97 ? digits.end[N] : 0;
}

static size_t id_len(const char *text)
{
    size_t (*const each[])(const char *) = {us_len, uk_len, spanish_len, french_len};
    size_t len = 0;
    for (int i = 0; len == 0 && i < 4; i++)
        len = each[i](text);
    return len;
}

static size_t phone_len(const char *text)
{
    size_t skip = text[0] == '+' || text[0] == '(';
    int least = text[0] == '+' ? 7 : 9;
    if (!is_digit(text[skip]))
        return 0;
    struct digits digits = digits_of(text + skip, " -./()", 2);
    int n = digits.n < 15 ? digits.n : 15;
    while (n >= least && !ends_here(text + skip + digits.end[n]))
        n--;
    return n >= least ? skip + digits.end[n] : 0;
}

/* What begins here: its kind and its bytes; 0: nothing. */
static size_t find(const struct redact *redact, const char *text,
                   enum redact_kind *ret_kind)
{
    size_t (*const each[REDACT_N])(const char *) = {
        [REDACT_MAIL] = mail_len,
        [REDACT_CARD] = card_len,
        [REDACT_ID] = id_len,
        [REDACT_PHONE] = phone_len,
    };
    for (int kind = 0; kind < REDACT_N; kind++) {
        size_t len = redact->is_on[kind] ? each[kind](text) : 0;
        if (len >= SHORTEST) {
            *ret_kind = (enum redact_kind)kind;
            return len;
        }
    }
    return 0;
}

void redact_text(struct redact *redact, char *text)
{
    size_t from = 0, to = 0;
    enum redact_kind kind = REDACT_MAIL;
    char before = ' '; /* text[from - 1] may be overwritten by now */
    while (text[from] != '\0') {
        size_t len = is_word(before) ? 0 : find(redact, text + from, &kind);
        if (len == 0) {
            before = text[from];
            text[to++] = text[from++];
            continue;
        }
        size_t mark = strlen(marks[kind]);
        memcpy(text + to, marks[kind], mark);
        to += mark;
        from += len;
        before = ']';
        redact->n[kind]++;
    }
    text[to] = '\0';
}
