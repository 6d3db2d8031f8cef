#include "tests/unit/privacy/price_fixture.h"

#include <check.h>
#include <math.h>
#include <string.h>

struct manifest manifest(void)
{
    struct manifest m = {.name = "mnist",
                         .unit = UNIT_EXAMPLE,
                         .relation = RELATION_ADD_REMOVE,
                         .n_splits = 2};
    strcpy(m.splits[0].name, "train");
    m.splits[0].nominal_count = 60000;
    strcpy(m.splits[1].name, "test");
    m.splits[1].nominal_count = 10000;
    return m;
}

struct spec spec(void)
{
    struct spec s = {.kind = JOB_DP};
    strcpy(s.dataset.train, "train");
    strcpy(s.dataset.test, "test");
    s.privacy = (struct spec_privacy){.is_private = true,
                                      .unit = UNIT_EXAMPLE,
                                      .epsilon = 3,
                                      .delta = 1e-6,
                                      .clip_norm = 1};
    s.training = (struct spec_training){
        .epochs = 15, .batch_size = 256, .evaluation = EVALUATION_NONE};
    return s;
}

struct price price_of(const struct spec *s, const struct manifest *m)
{
    struct price price;
    struct error err = {0};
    int rc = price_job(s, m, &price, &err);
    ck_assert_msg(rc == 0, "%s", err.text);
    return price;
}

double epsilon_of(const struct cost *cost, double delta)
{
    double epsilon = NAN;
    ck_assert_int_eq(cost_epsilon(cost, delta, &epsilon, NULL, NULL), 0);
    return epsilon;
}

void expect(const struct spec *s, const struct manifest *m, int code, const char *text)
{
    struct price price = {.n_steps = 42};
    struct error err = {0};
    int rc = price_job(s, m, &price, &err);
    ck_assert_msg(rc == -code, "got %d (%s)", rc, err.text);
    ck_assert_msg(strstr(err.text, text) != NULL, "'%s' lacks '%s'", err.text, text);
    ck_assert_int_eq(price.n_steps, 42);
}
