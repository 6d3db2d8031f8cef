/* Lines "noise rate steps delta" in, lines with the composed-loss epsilon out: for
 * tests/dev/compare_pld.py. */
#include <stdio.h>
#include <stdlib.h>

#include "jobs/privacy/pld.h"

int main(void)
{
    double noise, rate, delta, epsilon;
    long long steps;
    while (scanf("%lf %lf %lld %lf", &noise, &rate, &steps, &delta) == 4) {
        struct pld_release release = {PAIR_GAUSSIAN, noise, rate, NULL, steps, {NULL}};
        struct pld_plan plan = {RELATION_ADD_REMOVE, 1, &release};
        struct error err = {0};
        if (pld_epsilon(&plan, delta, &epsilon, NULL, &err) != 0) {
            fprintf(stderr, "%s\n", err.text);
            return 1;
        }
        printf("%.17g\n", epsilon);
    }
    return 0;
}
