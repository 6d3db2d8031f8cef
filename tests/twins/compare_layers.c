/* Convolution, pooling, normalisation and loss: kernels of images and rows. */
#include <math.h>
#include <string.h>

#include "kernels/device.h"
#include "tests/twins/compare.h"
#include "tests/twins/twin.h"

static const double float_rounding = 0x1p-20; /* few roundings, or of values near 4 */

static const struct kernels *const cpu = &kernels_cpu, *const dev = &kernels_cuda;

#define C(twin) ((twin).cpu)
#define D(twin) ((twin).dev)

/* h x w x c with a window of size, stride, pad. */
static struct window window_of(int64_t h, int64_t w, int64_t c, int64_t size,
                               int64_t stride, int64_t pad)
{
    struct window window = {h, w, c, size, stride, pad, 0, 0};
    window.out_h = (h + 2 * pad - size) / stride + 1;
    window.out_w = (w + 2 * pad - size) / stride + 1;
    return window;
}

static void odd_values(struct twin *x)
{
    if (x->n > 8) {
        ((float *)x->cpu)[1] = NAN, ((float *)x->cpu)[4] = INFINITY;
        ((float *)x->cpu)[6] = -0.0f, ((float *)x->cpu)[7] = -INFINITY;
    }
    twin_send(x);
}

static void folding(const struct window *w, int64_t n)
{
    int64_t places = w->out_h * w->out_w, row = w->size * w->size * w->c;
    struct twin x = twin_floats(n * w->h * w->w * w->c);
    struct twin cols = twin_floats(n * places * row);
    struct twin scratch = twin_floats((w->h + 2 * w->pad) * (w->w + 2 * w->pad) * w->c);
    odd_values(&x);
    cpu->unfold(w, n, C(x), C(cols), C(scratch));
    dev->unfold(w, n, D(x), D(cols), NULL);
    twin_same("unfold", &cols);
    cpu->fold(w, n, C(cols), C(x), C(scratch)), dev->fold(w, n, D(cols), D(x), NULL);
    twin_same("fold", &x);
    twin_free(&x), twin_free(&cols), twin_free(&scratch);
}

static void pooling(const struct window *w, int64_t n)
{
    int64_t n_in = n * w->h * w->w * w->c, n_out = n * w->out_h * w->out_w * w->c;
    struct twin x = twin_floats(n_in), dx = twin_floats(n_in), y = twin_floats(n_out);
    struct twin index = twin_ints(n_out, 1), dy = twin_floats(n_out);
    odd_values(&x), odd_values(&dy);
    cpu->max_pool_forward(w, n, C(x), C(y), C(index));
    dev->max_pool_forward(w, n, D(x), D(y), D(index));
    twin_same("max_pool_forward", &y);
    twin_same("max_pool_forward's index", &index);
    cpu->max_pool_backward(w, n, C(dy), C(index), C(dx));
    dev->max_pool_backward(w, n, D(dy), D(index), D(dx));
    twin_same("max_pool_backward", &dx);
    cpu->avg_pool_forward(w, n, C(x), C(y)), dev->avg_pool_forward(w, n, D(x), D(y));
    twin_near("avg_pool_forward", &y, float_rounding, float_rounding);
    cpu->avg_pool_backward(w, n, C(dy), C(dx));
    dev->avg_pool_backward(w, n, D(dy), D(dx));
    twin_near("avg_pool_backward", &dx, float_rounding, float_rounding);
    twin_free(&x), twin_free(&dx), twin_free(&y), twin_free(&index), twin_free(&dy);
}

static void norm(int64_t n, int64_t places, int64_t width, int64_t groups)
{
    struct grouping s = {places, width * groups, groups};
    int64_t len = n * places * s.c;
    struct twin x = twin_floats(len), y = twin_floats(len), dy = twin_floats(len);
    struct twin scale = twin_floats(s.c), shift = twin_floats(s.c);
    struct twin stats = twin_floats(n * groups * 2), each = twin_floats(n * 2 * s.c);
    if (n > 2) {
        ((float *)x.cpu)[0] = NAN, ((float *)x.cpu)[places * s.c] = INFINITY;
        twin_send(&x);
    }
    cpu->group_norm_forward(&s, n, C(x), C(scale), C(shift), C(y), C(stats));
    dev->group_norm_forward(&s, n, D(x), D(scale), D(shift), D(y), D(stats));
    twin_near("group_norm_forward's stats", &stats, float_rounding, float_rounding);
    twin_near("group_norm_forward", &y, 4 * float_rounding, 16 * float_rounding);
    twin_send(&stats); /* the same ones for both from here on */
    cpu->group_norm_each(&s, n, C(x), C(stats), C(dy), C(each));
    dev->group_norm_each(&s, n, D(x), D(stats), D(dy), D(each));
    twin_near("group_norm_each", &each, float_rounding, 64 * float_rounding);
    cpu->group_norm_backward(&s, n, C(x), C(scale), C(stats), C(dy), C(y));
    dev->group_norm_backward(&s, n, D(x), D(scale), D(stats), D(dy), D(y));
    /* 1/std is at most 316: a group of one value has no variance */
    twin_near("group_norm_backward", &y, 4 * float_rounding, 4096 * float_rounding);
    twin_free(&x), twin_free(&y), twin_free(&dy), twin_free(&scale);
    twin_free(&shift), twin_free(&stats), twin_free(&each);
}

static void layer_norm(int64_t n, int64_t places, int64_t c)
{
    struct twin x = twin_floats(n * places * c), dy = twin_floats(n * places * c);
    struct twin stats = twin_floats(n * places * 2), each = twin_floats(n * 2 * c);
    odd_values(&dy);
    cpu->layer_norm_each(n, places, c, C(x), C(stats), C(dy), C(each));
    dev->layer_norm_each(n, places, c, D(x), D(stats), D(dy), D(each));
    twin_near("layer_norm_each", &each, float_rounding, 64 * float_rounding);
    twin_free(&x), twin_free(&dy), twin_free(&stats), twin_free(&each);
}

static void loss(int64_t n, int64_t classes)
{
    struct twin logits = twin_floats(n * classes),
                label = twin_ints(n, (int32_t)classes);
    struct twin grad = twin_floats(n * classes), nats = twin_doubles(n);
    if (n > 6) {
        float *x = logits.cpu;
        x[0] = NAN, x[2 * classes - 1] = NAN, x[2 * classes] = INFINITY;
        x[3 * classes] = -INFINITY, x[4 * classes] = 90.0f;
        ((int32_t *)label.cpu)[5] = -1, ((int32_t *)label.cpu)[6] = (int32_t)classes;
    }
    twin_send(&logits), twin_send(&label);
    cpu->xent(n, classes, C(logits), C(label), C(grad), C(nats));
    dev->xent(n, classes, D(logits), D(label), D(grad), D(nats));
    twin_near("xent's gradient", &grad, 1e-6, 1e-7);
    twin_near("xent's loss", &nats, 1e-6, 1e-6);
    dev->xent(n, classes, D(logits), D(label), NULL, D(nats));
    twin_near("xent without a gradient", &nats, 1e-6, 1e-6);
    dev->xent(n, classes, D(logits), D(label), D(grad), NULL);
    twin_near("xent without a loss", &grad, 1e-6, 1e-7);
    cpu->mse(n, classes, C(logits), C(label), C(grad), C(nats));
    dev->mse(n, classes, D(logits), D(label), D(grad), D(nats));
    twin_near("mse's gradient", &grad, 1e-6, 1e-7);
    twin_near("mse's loss", &nats, 1e-12, 1e-12);
    cpu->hinge(n, classes, C(logits), C(label), C(grad), C(nats));
    dev->hinge(n, classes, D(logits), D(label), D(grad), D(nats));
    twin_near("hinge's gradient", &grad, 1e-6, 1e-7);
    twin_near("hinge's loss", &nats, 1e-12, 1e-12);
    dev->hinge(n, classes, D(logits), D(label), NULL, D(nats));
    dev->mse(n, classes, D(logits), D(label), D(grad), NULL);
    twin_expect("xent_correct", cpu->xent_correct(n, classes, C(logits), C(label)) ==
                                    dev->xent_correct(n, classes, D(logits), D(label)));
    twin_free(&logits), twin_free(&label), twin_free(&grad), twin_free(&nats);
}

void compare_layers(void)
{
    for (int64_t n = 0; n < 14; n = 3 * n + 1) {
        const struct window windows[] = {
            window_of(1, 1, 1, 1, 1, 0),   window_of(7, 5, 3, 3, 1, 0),
            window_of(9, 9, 17, 2, 1, 0),  window_of(8, 10, 4, 2, 2, 0),
            window_of(11, 13, 2, 3, 2, 0), window_of(9, 7, 1, 2, 3, 0)};
        const struct window padded[] = {window_of(7, 5, 3, 3, 1, 1),
                                        window_of(12, 9, 2, 5, 2, 2),
                                        window_of(4, 4, 1, 4, 3, 3)};
        for (size_t i = 0; i < sizeof windows / sizeof *windows; i++) {
            folding(&windows[i], n);
            pooling(&windows[i], n);
        }
        for (size_t i = 0; i < sizeof padded / sizeof *padded; i++) {
            folding(&padded[i], n);
        }
        norm(n, 1, 1, 1), norm(n, 49, 4, 8), norm(n, 300, 2, 3), norm(n, 5, 300, 1);
        layer_norm(n, 1, 1), layer_norm(n, 17, 5), layer_norm(n, 3, 300);
        loss(n, 1), loss(n, 10), loss(n, 64), loss(n, 65), loss(n, 1000);
    }
}
