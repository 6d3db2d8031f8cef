/* The records of a rank that no step of this epoch has had yet: a bit each, with counts
 * by which long stretches are passed over.
 * Memory: n_rows/8 + n_rows/2048 bytes. A find reads at most n_rows/4096 counts and 128
 * words.
 */
#ifndef PPT_JOBS_DP_DECK_H
#define PPT_JOBS_DP_DECK_H

#include <stdint.h>

#include "base/error.h"

struct deck {
    int64_t n_rows, n_left, n_words;
    uint64_t *words;  /* bit i % 64 of words[i / 64]: record i is left */
    uint16_t *counts; /* of those left among 64 words */
};

/* Empty until deck_fill. Close with deck_close. Errors: PPT_ENOMEM. */
int deck_open(struct deck *deck, int64_t n_rows, struct error *err);
void deck_close(struct deck *deck);

/* All records are left. */
void deck_fill(struct deck *deck);

/* The record left at or after `from` that has `gap` others left before it from there
 * on; n_rows where there are not so many. */
int64_t deck_find(const struct deck *deck, int64_t from, uint64_t gap);

/* Requires that the record is left. */
void deck_take(struct deck *deck, int64_t record);

#endif
