/* Takes out of a text what names a person or account: a step before tokenising. It
 * works by patterns, so it misses what is written in other ways; differential privacy
 * does not rest on it. Where in doubt it redacts: a long number with blanks in it may
 * be taken for a telephone's.
 *
 *   mail   name@host.domain
 *   card   13 to 19 digits, blanks or hyphens between them, whose Luhn sum (ISO/IEC
 *          7812-1) is a multiple of 10
 *   id     national numbers: US social security (AAA-GG-SSSS; not area 000, 666, 9xx,
 *          group 00, serial 0000), UK national insurance (two letters, six digits in
 *          pairs or not, A to D), Spanish DNI and NIE (check letter: modulo 23), French
 *          NIR (13 digits and a check number: 97 less the rest modulo 97)
 *   phone  +, 7 to 15 digits; or 9 to 15 digits; blanks and -./() between them
 *
 * A number next to a letter or digit is part of something else and stays.
 */
#ifndef PPT_WORKER_REDACT_H
#define PPT_WORKER_REDACT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* In the order in which they are looked for. */
enum redact_kind { REDACT_MAIL, REDACT_ID, REDACT_CARD, REDACT_PHONE, REDACT_N };

struct redact {
    bool is_on[REDACT_N];
    int64_t n[REDACT_N]; /* how many were found: private, for the data's owner */
};

/* "mail"; also the text that stands in its place: "[MAIL]". */
const char *redact_name(enum redact_kind kind);

/* Kinds by name, separated by commas, or "all". False: another word. */
bool redact_parse(const char *list, struct redact *ret_redact);

/* Changes the NUL-terminated text in place; it never grows. */
void redact_text(struct redact *redact, char *text);

#endif
