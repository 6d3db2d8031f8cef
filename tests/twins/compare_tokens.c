/* Tokens, attention and lstm beside their twins: lengths around a block's, with padding
 * at the end, in the middle, everywhere and nowhere, and values that are none. */
#include <math.h>
#include <string.h>

#include "kernels/device.h"
#include "tests/twins/compare.h"
#include "tests/twins/twin.h"

static const double float_rounding = 0x1p-20;

static const struct kernels *const cpu = &kernels_cpu, *const dev = &kernels_cuda;

#define C(twin) ((twin).cpu)
#define D(twin) ((twin).dev)

/* Ids below `below`, some of them padding; example 1 is padding altogether, and example
 * 2 holds what is no id. */
static struct twin ids_of(int64_t n, int64_t places, int64_t below)
{
    struct twin ids = twin_floats(n * places);
    float *id = ids.cpu;
    for (int64_t at = 0; at < n * places; at++) {
        int64_t place = at % places, value = (int64_t)(twin_random() % (uint64_t)below);
        id[at] = place > places * 3 / 4 || at / places == 1 ? 0.0f : (float)value;
    }
    if (n > 2) {
        id[2 * places] = NAN, id[3 * places - 1] = (float)below;
    }
    twin_send(&ids);
    return ids;
}

static void some_nan(struct twin *x)
{
    if (x->n > 4) {
        ((float *)x->cpu)[0] = NAN, ((float *)x->cpu)[3] = -INFINITY;
    }
    twin_send(x);
}

static void embedding(int64_t n, int64_t places, int64_t c, int64_t n_tokens)
{
    struct tokens s = {places, c, n_tokens};
    struct twin ids = ids_of(n, places, n_tokens), table = twin_floats(n_tokens * c);
    struct twin y = twin_floats(n * places * c), grad = twin_floats(n_tokens * c);
    struct twin square = twin_doubles(n), slack = twin_doubles(n);
    struct twin factor = twin_floats(n), scratch = twin_doubles(n_tokens * c);
    cpu->embed(&s, n, C(ids), C(table), C(y));
    dev->embed(&s, n, D(ids), D(table), D(y));
    twin_same("embed", &y);
    some_nan(&y);
    if (n > 0) {
        ((float *)factor.cpu)[0] = 0.0f;
        twin_send(&factor);
    }
    cpu->embed_norms(&s, n, C(ids), C(y), C(square), C(slack));
    dev->embed_norms(&s, n, D(ids), D(y), D(square), D(slack));
    twin_near("embed_norms", &square, 1e-12, 1e-12);
    twin_near("embed_norms' slack", &slack, 1e-12, 1e-12);
    cpu->embed_sum(&s, n, C(factor), C(ids), C(y), C(scratch), C(grad));
    dev->embed_sum(&s, n, D(factor), D(ids), D(y), NULL, D(grad));
    twin_same("embed_sum", &grad);
    cpu->embed_sum(&s, n, NULL, C(ids), C(y), C(scratch), C(grad));
    dev->embed_sum(&s, n, NULL, D(ids), D(y), NULL, D(grad));
    twin_same("embed_sum without factors", &grad);
    twin_free(&ids), twin_free(&table), twin_free(&y), twin_free(&grad);
    twin_free(&square), twin_free(&slack), twin_free(&factor), twin_free(&scratch);
}

static void mean(int64_t n, int64_t places, int64_t c)
{
    struct tokens s = {.n_places = places, .c = c};
    struct twin ids = ids_of(n, places, 9), x = twin_floats(n * places * c);
    struct twin y = twin_floats(n * c);
    some_nan(&x);
    cpu->mean_forward(&s, n, C(ids), C(x), C(y));
    dev->mean_forward(&s, n, D(ids), D(x), D(y));
    twin_near("mean_forward", &y, float_rounding, float_rounding);
    cpu->mean_backward(&s, n, C(ids), C(y), C(x));
    dev->mean_backward(&s, n, D(ids), D(y), D(x));
    twin_near("mean_backward", &x, float_rounding, float_rounding);
    cpu->mean_forward(&s, n, NULL, C(x), C(y));
    dev->mean_forward(&s, n, NULL, D(x), D(y));
    twin_near("mean_forward of all", &y, float_rounding, float_rounding);
    twin_free(&ids), twin_free(&x), twin_free(&y);
    x = twin_floats(places * c);
    cpu->waves(places, c, C(x)), dev->waves(places, c, D(x));
    twin_near("waves", &x, 1e-6, 1e-6);
    twin_free(&x);
}

static void attention(int64_t n, const struct heads *s, bool has_ids)
{
    int64_t places = s->n_places, c = s->c;
    struct twin ids = ids_of(n, places, 9), x = twin_floats(n * places * 3 * c);
    struct twin y = twin_floats(n * places * c), dx = twin_floats(n * places * 3 * c);
    struct twin share = twin_floats(n * s->heads * places * places);
    struct twin scratch = twin_floats(places * places);
    if (n > 5) {
        some_nan(&x);
    }
    cpu->attention_forward(s, n, has_ids ? C(ids) : NULL, C(x), C(y), C(share));
    dev->attention_forward(s, n, has_ids ? D(ids) : NULL, D(x), D(y), D(share));
    twin_near("attention's shares", &share, 2e-5, 1e-6);
    twin_near("attention_forward", &y, 2e-5, 2e-5);
    twin_send(&share), twin_send(&y);
    cpu->attention_backward(s, n, C(x), C(y), C(share), C(scratch), C(dx));
    dev->attention_backward(s, n, D(x), D(y), D(share), NULL, D(dx));
    twin_near("attention_backward", &dx, 2e-5, 2e-4);
    twin_free(&ids), twin_free(&x), twin_free(&y), twin_free(&dx), twin_free(&share);
    twin_free(&scratch);
}

/* Forward through all places, then back, with the products left out. */
static void lstm(int64_t n, int64_t places, int64_t c, bool has_ids, bool is_last)
{
    struct tokens s = {.n_places = places, .c = c};
    struct twin ids = ids_of(n, places, 9), step = twin_floats(n * 4 * c);
    struct twin gates = twin_floats(n * places * 4 * c),
                y = twin_floats(n * places * c);
    struct twin cell = twin_floats(n * places * c),
                before = twin_floats(n * places * c);
    struct twin state = twin_floats(n * c), dcell = twin_floats(n * c);
    if (n > 5) {
        some_nan(&gates);
    }
    for (int64_t t = 0; t < places; t++) {
        cpu->lstm_forward(&s, t, n, has_ids ? C(ids) : NULL, C(step), C(gates), C(cell),
                          C(before), C(state), is_last ? NULL : C(y));
        dev->lstm_forward(&s, t, n, has_ids ? D(ids) : NULL, D(step), D(gates), D(cell),
                          D(before), D(state), is_last ? NULL : D(y));
    }
    twin_near("lstm_forward", &y, 1e-5, 1e-5), twin_near("its cell", &cell, 1e-5, 1e-5);
    twin_near("its gates", &gates, 1e-5, 1e-5);
    twin_near("its states", &before, 1e-5, 1e-5);
    twin_near("its last state", &state, 1e-5, 1e-5);
    twin_send(&gates), twin_send(&cell), twin_send(&state), twin_send(&y);
    for (int64_t t = places - 1; t >= 0; t--) {
        cpu->lstm_backward(&s, t, n, has_ids ? C(ids) : NULL, C(cell),
                           is_last ? NULL : C(y), C(gates), C(step), C(state),
                           C(dcell));
        dev->lstm_backward(&s, t, n, has_ids ? D(ids) : NULL, D(cell),
                           is_last ? NULL : D(y), D(gates), D(step), D(state),
                           D(dcell));
    }
    twin_near("lstm_backward", &gates, 1e-5, 1e-5);
    twin_near("its step", &step, 1e-5, 1e-5), twin_near("dstate", &state, 1e-5, 1e-5);
    twin_near("dcell", &dcell, 1e-5, 1e-5);
    cpu->scale(n * c, 0.3f, C(state)), dev->scale(n * c, 0.3f, D(state));
    twin_near("scale", &state, 1e-5, 1e-5);
    twin_free(&ids), twin_free(&step), twin_free(&gates), twin_free(&y);
    twin_free(&cell), twin_free(&before), twin_free(&state), twin_free(&dcell);
}

void compare_tokens(void)
{
    for (int64_t n = 0; n < 8; n = 2 * n + 1) {
        embedding(n, 1, 1, 2), embedding(n, 17, 5, 6), embedding(n, 40, 300, 70);
        lstm(n, 1, 1, true, false), lstm(n, 9, 37, true, true);
        lstm(n, 6, 80, false, false), lstm(n, 11, 3, true, false);
        mean(n, 1, 1), mean(n, 23, 130), mean(n, 7, 5);
        const struct heads shapes[] = {
            {1, 1, 1, false}, {7, 6, 3, false}, {19, 8, 1, true}, {300, 4, 2, true}};
        for (size_t i = 0; i < (n == 1 ? 4 : 3); i++) {
            attention(n, &shapes[i], true);
            attention(n, &shapes[i], false);
        }
    }
}
