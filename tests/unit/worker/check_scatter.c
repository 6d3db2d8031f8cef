/* Scattering features against SciPy's numbers, tests/vectors/scattering.txt (which
 * tests/dev/make_scattering.py explains), and what they are of. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/worker/scratch.h"
#include "worker/scatter.h"

static struct error err;
static int64_t n_reads, n_closed;
static const double tolerance = 3e-5;

static unsigned pixel(int64_t i)
{
    unsigned hashed = (unsigned)i * 2654435761u >> 24;
    return i / 5 % 3 == 0 ? hashed : 0;
}

/* Three records of the same image. */
static int read_images(struct source *source, size_t max, void *ret_x, int64_t *ret_y,
                       size_t *ret_n, struct error *error)
{
    (void)error;
    int64_t n = source->dims[source->n_dims - 2] * source->dims[source->n_dims - 1];
    ck_assert_uint_eq(max, 1);
    for (int64_t i = 0; n_reads < 3 && i < n; i++) {
        float value = (float)pixel(i);
        if (source->x_type == TYPE_UINT8)
            ((unsigned char *)ret_x)[i] = (unsigned char)pixel(i);
        else
            memcpy((float *)ret_x + i, &value, sizeof value);
    }
    *ret_y = n_reads;
    *ret_n = n_reads++ < 3;
    return 0;
}

static void close_images(struct source *source)
{
    (void)source;
    n_closed++;
}

static struct source images(enum manifest_type type, int n_dims, int64_t a, int64_t b,
                            int64_t c)
{
    n_reads = n_closed = 0;
    return (struct source){.n_rows = 3,
                           .x_type = type,
                           .n_dims = n_dims,
                           .dims = {a, b, c},
                           .max_label = 2,
                           .read = read_images,
                           .close = close_images};
}

static void compare(struct source *source, int64_t h, int64_t w)
{
    char path[1024], line[256];
    long long file_h = 0, file_w = 0, n = 0;
    int64_t y[4];
    size_t got;
    snprintf(path, sizeof path, "%s/tests/vectors/scattering.txt",
             getenv("PPT_SOURCE_DIR"));
    FILE *file = fopen(path, "r");
    ck_assert_ptr_nonnull(file);
    while (file_h != h && fgets(line, sizeof line, file) != NULL)
        sscanf(line, "image %lld %lld %lld", &file_h, &file_w, &n);
    ck_assert(file_h == h && file_w == w);
    ck_assert_int_eq(source->dims[0] * source->dims[1] * source->dims[2], n);
    float *x = malloc(4 * source_row_bytes(source));
    ck_assert_int_eq(source->read(source, 4, x, y, &got, &err), 0);
    ck_assert_uint_eq(got, 3);
    ck_assert(y[0] == 0 && y[2] == 2);
    ck_assert_mem_eq(x, x + 2 * n, source_row_bytes(source));
    for (int64_t at = 0; at < n; at += 7) {
        double wanted;
        ck_assert_int_eq(fscanf(file, "%lf", &wanted), 1);
        ck_assert_double_eq_tol((double)x[at], wanted, tolerance);
    }
    fclose(file);
    free(x);
}

START_TEST(bytes_are_as_scipy_has_them)
{
    struct source source = images(TYPE_UINT8, 2, 28, 28, 0);
    ck_assert_int_eq(scatter_source(&source, &err), 0);
    ck_assert_int_eq(source.x_type, TYPE_FLOAT32);
    ck_assert(source.dims[0] == 49 && source.dims[1] == 7 && source.dims[2] == 7);
    compare(&source, 28, 28);
    source_close(&source);
    ck_assert_int_eq(n_closed, 1);
}
END_TEST

START_TEST(floats_are_as_scipy_has_them)
{
    struct source source = images(TYPE_FLOAT32, 3, 1, 13, 9);
    ck_assert_int_eq(scatter_source(&source, &err), 0);
    ck_assert(source.dims[0] == 49 && source.dims[1] == 4 && source.dims[2] == 3);
    compare(&source, 13, 9);
    source_close(&source);
}
END_TEST

START_TEST(other_records_are_refused)
{
    struct source others[] = {
        images(TYPE_UINT8, 1, 784, 0, 0), images(TYPE_UINT8, 3, 3, 32, 32),
        images(TYPE_UINT8, 2, 8, 28, 0), images(TYPE_FLOAT32, 2, 28, 8, 0),
        images(TYPE_UINT8, 2, 28, 1025, 0)};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        ck_assert_int_eq(scatter_source(&others[i], &err), -PPT_EDATA);
        scratch_expect(&err, "these records are none");
        ck_assert_ptr_eq(others[i].read, read_images);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("scatter");
    TCase *tc = tcase_create("scatter");
    tcase_add_test(tc, bytes_are_as_scipy_has_them);
    tcase_add_test(tc, floats_are_as_scipy_has_them);
    tcase_add_test(tc, other_records_are_refused);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
