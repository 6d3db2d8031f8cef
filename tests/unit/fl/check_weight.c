/* Weights are bounded, a share is 1 at most, and digits add up exactly. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "jobs/fl/weight.h"
#include "kernels/ring.h"

static struct spec_federation by_examples(int64_t max_weight)
{
    return (struct spec_federation){.weighting = WEIGHTING_EXAMPLES,
                                    .max_weight = max_weight};
}

START_TEST(shares)
{
    struct spec_federation equal = {0}, any = by_examples(0), ten = by_examples(10);
    ck_assert_int_eq(weight_of(&equal, 0), 0);
    ck_assert_int_eq(weight_of(&equal, 700), 1);
    ck_assert_int_eq(weight_of(&any, 700), 700);
    ck_assert_int_eq(weight_of(&ten, 7), 7);
    ck_assert_int_eq(weight_of(&ten, 700), 10);
    ck_assert_double_eq(weight_share(&equal, 700), 1.0);
    ck_assert_double_eq(weight_share(&ten, 7), 0.7);
    for (int64_t n = 0; n < 1000; n++) {
        ck_assert(weight_share(&ten, n) >= 0.0 && weight_share(&ten, n) <= 1.0);
    }
    ck_assert_double_eq(weight_expected(&equal, 2.5), 1.0);
    ck_assert_double_eq(weight_expected(&ten, 2.5), 0.25);
    ck_assert_double_eq(weight_expected(&ten, 25), 1.0);
}
END_TEST

/* The largest weights of the largest cohorts that a ring bears. */
START_TEST(digits_add_up)
{
    static const uint32_t sizes[] = {2, 3, 10, 1000, 1 << 16, (1 << 20) - 1};
    for (int n_bits = 8; n_bits <= RING_MAX_BITS && n_bits <= 24; n_bits++) {
        for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
            for (int64_t most = 1; most <= 1 << 20; most = 3 * most + 1) {
                struct weight_digits digits;
                int rc = weight_plan(most, n_bits, sizes[s], &digits, NULL);
                ck_assert_int_eq(rc == 0, sizes[s] < 1u << n_bits);
                if (rc != 0) {
                    continue;
                }
                uint32_t one[WEIGHT_MAX_DIGITS], sum[WEIGHT_MAX_DIGITS] = {0};
                ck_assert(digits.n >= 1 && digits.n <= WEIGHT_MAX_DIGITS);
                int64_t weights[] = {most, most / 2, 0, 1};
                uint64_t times[] = {sizes[s] - 2, 1, 1, 0}, total = 0;
                for (int w = 0; w < 4; w++) {
                    weight_write(&digits, weights[w], one);
                    total += times[w] * (uint64_t)weights[w];
                    for (int d = 0; d < digits.n; d++) {
                        uint64_t digit = sum[d] + times[w] * one[d];
                        sum[d] = (uint32_t)(digit & ((UINT64_C(1) << n_bits) - 1));
                    }
                }
                ck_assert_int_eq(weight_read(&digits, sum), (int64_t)total);
            }
        }
    }
}
END_TEST

START_TEST(too_few_bits)
{
    struct weight_digits digits = {.n = 77};
    struct error err = {0};
    ck_assert_int_eq(weight_plan(1000, 8, 256, &digits, &err), -PPT_ERANGE);
    ck_assert_ptr_nonnull(
        strstr(err.text, "8 bits are too few for the weights of 256 clients"));
    ck_assert_int_eq(digits.n, 77);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("weight");
    TCase *tcase = tcase_create("weight");
    tcase_add_test(tcase, shares);
    tcase_add_test(tcase, digits_add_up);
    tcase_add_test(tcase, too_few_bits);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? 0 : 1;
}
