#include "worker/mould.h"

#include <stdlib.h>
#include <string.h>

struct mould_hole {
    size_t at, len;
};

/* False unless it is there, and once. */
static bool find(const char *image, size_t len, const struct mould_value *mark,
                 struct mould_hole *ret_hole)
{
    const char *first = memmem(image, len, mark->data, mark->len);
    if (first == NULL || mark->len == 0)
        return false;
    *ret_hole = (struct mould_hole){(size_t)(first - image), mark->len};
    size_t rest = len - ret_hole->at - 1;
    return memmem(first + 1, rest, mark->data, mark->len) == NULL;
}

bool mould_make(char *image, size_t len, const struct mould_value *marks, int n_marks,
                struct mould *ret_mould)
{
    struct mould mould = {.image = image, .len = len, .n_holes = n_marks};
    mould.holes = calloc((size_t)n_marks + 1, sizeof *mould.holes);
    bool is_found = mould.holes != NULL;
    for (int i = 0; is_found && i < n_marks; i++)
        is_found = find(image, len, &marks[i], &mould.holes[i]);
    if (is_found)
        *ret_mould = mould;
    else
        mould_free(&mould);
    return is_found;
}

void mould_free(struct mould *mould)
{
    free(mould->image);
    free(mould->holes);
    *mould = (struct mould){0};
}

char *mould_cast(const struct mould *mould, const struct mould_value *values)
{
    char *image = malloc(mould->len);
    if (image == NULL)
        return NULL;
    memcpy(image, mould->image, mould->len);
    for (int i = 0; i < mould->n_holes; i++)
        memcpy(image + mould->holes[i].at, values[i].data, mould->holes[i].len);
    return image;
}
