#include "jobs/dp/deck.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { WORD = 64, BLOCK = 64 }; /* records a word, words a count */

int deck_open(struct deck *deck, int64_t n_rows, struct error *err)
{
    *deck = (struct deck){.n_rows = n_rows, .n_words = (n_rows + WORD - 1) / WORD};
    size_t n_blocks = (size_t)(deck->n_words + BLOCK - 1) / BLOCK;
    deck->words = calloc((size_t)deck->n_words + 1, sizeof *deck->words);
    deck->counts = calloc(n_blocks + 1, sizeof *deck->counts);
    if (deck->words == NULL || deck->counts == NULL) {
        deck_close(deck);
        return error_set(err, PPT_ENOMEM, "no memory to deal %lld records",
                         (long long)n_rows);
    }
    return 0;
}

void deck_close(struct deck *deck)
{
    free(deck->words);
    free(deck->counts);
    *deck = (struct deck){0};
}

void deck_fill(struct deck *deck)
{
    for (int64_t w = 0; w < deck->n_words; w++) {
        int64_t n = deck->n_rows - w * WORD;
        deck->words[w] = n >= WORD ? UINT64_MAX : (UINT64_C(1) << n) - 1;
    }
    for (int64_t b = 0; b * BLOCK < deck->n_words; b++) {
        int64_t n = deck->n_rows - b * BLOCK * WORD;
        deck->counts[b] = (uint16_t)(n < BLOCK * WORD ? n : BLOCK * WORD);
    }
    deck->n_left = deck->n_rows;
}

int64_t deck_find(const struct deck *deck, int64_t from, uint64_t gap)
{
    if (from >= deck->n_rows || gap >= (uint64_t)deck->n_left) {
        return deck->n_rows;
    }
    int64_t w = from / WORD;
    uint64_t word = deck->words[w] & (UINT64_MAX << (from % WORD));
    for (;;) {
        uint64_t n = (uint64_t)__builtin_popcountll(word);
        if (gap < n) {
            break;
        }
        gap -= n;
        w++;
        while (w < deck->n_words && w % BLOCK == 0 && gap >= deck->counts[w / BLOCK]) {
            gap -= deck->counts[w / BLOCK];
            w += BLOCK;
        }
        if (w >= deck->n_words) {
            return deck->n_rows;
        }
        word = deck->words[w];
    }
    for (; gap > 0; gap--) {
        word &= word - 1; /* clears the lowest bit */
    }
    return w * WORD + __builtin_ctzll(word);
}

void deck_take(struct deck *deck, int64_t record)
{
    uint64_t bit = UINT64_C(1) << (record % WORD);
    assert((deck->words[record / WORD] & bit) != 0);
    deck->words[record / WORD] &= ~bit;
    deck->counts[record / WORD / BLOCK]--;
    deck->n_left--;
}
