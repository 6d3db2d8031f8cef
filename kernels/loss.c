/* Losses beside softmax cross-entropy (xent.c), a row an example. A label outside the
 * classes gives a loss that is not a number, as there. */
#include "kernels/cpu.h"

#include <math.h>

CPU_CLONES void loss_mse(int64_t n, int64_t classes, const float *logits,
                         const int32_t *label, float *grad, double *loss)
{
    for (int64_t i = 0; i < n; i++) {
        const float *row = logits + i * classes;
        double sum = 0.0;
        for (int64_t j = 0; j < classes; j++) {
            float off = row[j] - (j == label[i] ? 1.0f : 0.0f);
            sum += (double)off * (double)off;
            if (grad != NULL) {
                grad[i * classes + j] = off * (2.0f / (float)classes);
            }
        }
        if (loss != NULL) {
            bool is_class = label[i] >= 0 && label[i] < classes;
            loss[i] = is_class ? sum / (double)classes : NAN;
        }
    }
}

CPU_CLONES void loss_hinge(int64_t n, int64_t classes, const float *logits,
                           const int32_t *label, float *grad, double *loss)
{
    float share = 1.0f / (float)classes;
    for (int64_t i = 0; i < n; i++) {
        const float *row = logits + i * classes;
        bool is_class = label[i] >= 0 && label[i] < classes;
        float right = is_class ? row[label[i]] : NAN;
        double sum = 0.0, n_near = 0.0;
        for (int64_t j = 0; j < classes; j++) {
            double margin = 1.0 - (double)right + (double)row[j];
            /* a NaN is neither above 0 nor below it, and is handed on */
            double slope = margin > 0.0 ? 1.0 : margin <= 0.0 ? 0.0 : margin;
            bool is_other = j != label[i];
            sum += is_other && margin > 0.0 ? margin : is_other ? slope : 0.0;
            n_near += is_other ? slope : 0.0;
            if (grad != NULL) {
                grad[i * classes + j] = (float)slope * share;
            }
        }
        if (grad != NULL && is_class) {
            grad[i * classes + label[i]] = (float)-n_near * share;
        }
        if (loss != NULL) {
            loss[i] = sum / (double)classes;
        }
    }
}
