/* Text to ids of tokens. Bytes: a byte is its own id, 1 to 255 (0 is padding, and no
 * text holds a zero byte). Byte pairs (Sennrich et al. 2016, arXiv 1508.07909): the
 * pairs of a public list are merged, the earliest in the list first; merge i (from 0)
 * has the id 256 + i. A list that was learnt from secret records would tell of them.
 *
 * The file has one merge a line, two symbols and a blank between them, in the letters
 * that GPT-2's merges.txt writes for bytes (printable ones for themselves, the others,
 * in order, from U+0100 on: a blank is U+0120); a first line "#version..." is skipped.
 * Ids differ from GPT-2's. A text is cut into words before each blank, and nowhere
 * else, before its pairs are merged.
 */
#ifndef PPT_WORKER_TOKENISER_H
#define PPT_WORKER_TOKENISER_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct tokeniser;

/* path NULL: bytes. Caller frees. At most 65280 merges, 8 MiB.
 * Errors: PPT_ENOTFOUND, PPT_EIO, PPT_ENOMEM, PPT_ESPEC (path:line: what is wrong). */
int tokeniser_open(const char *path, struct tokeniser **ret_tokeniser,
                   struct error *err);
void tokeniser_free(struct tokeniser *tokeniser);

/* The same from len bytes of a file; `path` is for messages. */
int tokeniser_parse(const char *text, size_t len, const char *path,
                    struct tokeniser **ret_tokeniser, struct error *err);

/* Ids are below it: 256 and the number of merges. */
int64_t tokeniser_n_tokens(const struct tokeniser *tokeniser);

/* The ids of the text's first tokens, at most max; returns how many. */
size_t tokeniser_encode(const struct tokeniser *tokeniser, const char *text, size_t max,
                        int32_t *ret_ids);

#endif
