#include "worker/lzf.h"

#include <string.h>

#define MAX_LITERALS 32u /* a first byte below says how many, less one */
#define LONG_RUN 7u      /* of the three bits of a length: the rest is in a byte */

/* A run of bytes that came before, at most 8192 back; it may overlap its own end. */
static bool copy_run(const unsigned char **from, const unsigned char *end,
                     unsigned char *start, unsigned char **to, size_t left)
{
    unsigned first = *(*from)++;
    size_t n = first >> 5;
    if (n == LONG_RUN) {
        if (*from == end)
            return false;
        n += *(*from)++;
    }
    n += 2;
    if (*from == end)
        return false;
    size_t back = ((size_t)(first & 31) << 8 | *(*from)++) + 1;
    if (n > left || back > (size_t)(*to - start))
        return false;
    for (size_t i = 0; i < n; i++)
        (*to)[i] = (*to)[(ptrdiff_t)i - (ptrdiff_t)back];
    *to += n;
    return true;
}

bool lzf_decode(const unsigned char *data, size_t len, unsigned char *ret_data,
                size_t want)
{
    const unsigned char *from = data, *end = data + len;
    unsigned char *to = ret_data, *limit = ret_data + want;
    while (from < end) {
        if (*from >= MAX_LITERALS) {
            if (!copy_run(&from, end, ret_data, &to, (size_t)(limit - to)))
                return false;
            continue;
        }
        size_t n = (size_t)*from++ + 1;
        if (n > (size_t)(end - from) || n > (size_t)(limit - to))
            return false;
        memcpy(to, from, n);
        from += n;
        to += n;
    }
    return to == limit;
}
