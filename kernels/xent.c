/* Softmax cross-entropy, a row an example; rows are short, so plain loops in double. */
#include "kernels/cpu.h"

#include <math.h>

#include "kernels/fastmath.h"

static inline float row_max(int64_t classes, const float *row)
{
    float max = row[0];
    for (int64_t j = 1; j < classes; j++) {
        max = row[j] > max ? row[j] : max;
    }
    return max;
}

CPU_CLONES void xent_grad(int64_t n, int64_t classes, const float *logits,
                          const int32_t *label, float *grad, double *loss)
{
    for (int64_t i = 0; i < n; i++) {
        const float *row = logits + i * classes;
        float max = row_max(classes, row);
        double sum = 0.0;
        float at_label = NAN;
        for (int64_t j = 0; j < classes; j++) {
            sum += (double)fastmath_exp_negative(row[j] - max);
            at_label = j == label[i] ? row[j] : at_label;
        }
        if (grad != NULL) {
            float inverse = (float)(1.0 / sum);
            for (int64_t j = 0; j < classes; j++) {
                float share = fastmath_exp_negative(row[j] - max) * inverse;
                grad[i * classes + j] = share - (j == label[i] ? 1.0f : 0.0f);
            }
        }
        if (loss != NULL) {
            loss[i] = log(sum) - (double)(at_label - max);
        }
    }
}

int64_t xent_correct(int64_t n, int64_t classes, const float *logits,
                     const int32_t *label)
{
    int64_t n_correct = 0;
    for (int64_t i = 0; i < n; i++) {
        const float *row = logits + i * classes;
        int64_t best = 0;
        bool is_number = !isnan(row[0]);
        for (int64_t j = 1; j < classes; j++) {
            best = row[j] > row[best] ? j : best;
            is_number = is_number && !isnan(row[j]);
        }
        n_correct += is_number && best == label[i];
    }
    return n_correct;
}
