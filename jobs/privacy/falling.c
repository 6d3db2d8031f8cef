#include "jobs/privacy/falling.h"

#include <math.h>

/* f > 0 at `low` and f <= 0 at `high`; either is NAN until it is known. */
struct bracket {
    double low, high, f_low, f_high;
    int last; /* the side that moved last, 1: high */
};

static void put(struct bracket *bracket, double at, double f)
{
    int side = f <= 0 ? 1 : -1;
    if (side > 0) {
        bracket->high = at;
        bracket->f_high = f;
        bracket->f_low *= bracket->last == side ? 0.5 : 1;
    } else {
        bracket->low = at;
        bracket->f_low = f;
        bracket->f_high *= bracket->last == side ? 0.5 : 1;
    }
    bracket->last = side;
}

/* Where to look next; outwards by `stride` where an end is missing. */
static double next(const struct bracket *bracket, double stride)
{
    if (isnan(bracket->low))
        return bracket->high - stride;
    if (isnan(bracket->high))
        return bracket->low + stride;
    double part = bracket->f_low / (bracket->f_low - bracket->f_high);
    if (!isfinite(bracket->f_low))
        part = 0.5;
    return bracket->low + fmin(fmax(part, 0.01), 0.99) * (bracket->high - bracket->low);
}

int falling_root(const struct falling *falling, double *ret_x, struct error *err)
{
    struct bracket bracket = {.low = NAN, .high = NAN};
    double at = fmin(fmax(falling->start, falling->least), falling->most);
    double stride = falling->stride;
    for (int i = 0; i < 80; i++) {
        double f;
        int rc = falling->value(falling->state, at, &f, err);
        if (rc != 0)
            return rc;
        put(&bracket, at, f);
        if ((f <= 0 && (f > -falling->closeness || at <= falling->least)) ||
            (f > 0 && at >= falling->most) ||
            bracket.high - bracket.low < falling->width)
            break;
        at = fmin(fmax(next(&bracket, stride), falling->least), falling->most);
        stride *= 2;
    }
    *ret_x = bracket.high;
    return 0;
}
