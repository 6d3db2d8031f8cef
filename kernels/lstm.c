/* Long short-term memory, one place of all examples at a time: what stands between its
 * products. */
#include "kernels/cpu.h"

#include "kernels/fastmath.h"

CPU_INLINE bool is_padding(const float *ids, int64_t at)
{
    return ids != NULL && !(ids[at] >= 1.0f);
}

CPU_CLONES void lstm_forward(const struct tokens *tokens, int64_t t, int64_t n,
                             const float *ids, const float *step, float *gates,
                             float *cell, float *before, float *state, float *y)
{
    int64_t c = tokens->c, places = tokens->n_places;
    for (int64_t i = 0; i < n; i++) {
        int64_t at = i * places + t;
        const float *restrict add = step + i * 4 * c;
        float *restrict gate = gates + at * 4 * c, *restrict to = cell + at * c;
        float *restrict old = before + at * c, *restrict own = state + i * c;
        bool is_held = is_padding(ids, at);
        for (int64_t j = 0; j < c; j++) {
            float last = t == 0 ? 0.0f : cell[(at - 1) * c + j];
            float in = fastmath_sigmoid(gate[j] + add[j]);
            float forget = fastmath_sigmoid(gate[c + j] + add[c + j]);
            float new = fastmath_tanh(gate[2 * c + j] + add[2 * c + j]);
            float out = fastmath_sigmoid(gate[3 * c + j] + add[3 * c + j]);
            float kept = forget * last + in * new;
            gate[j] = in, gate[c + j] = forget;
            gate[2 * c + j] = new, gate[3 * c + j] = out;
            old[j] = own[j];
            to[j] = is_held ? last : kept;
            own[j] = is_held ? own[j] : out * fastmath_tanh(kept);
        }
        for (int64_t j = 0; y != NULL && j < c; j++) {
            y[at * c + j] = own[j];
        }
    }
}

CPU_CLONES void lstm_backward(const struct tokens *tokens, int64_t t, int64_t n,
                              const float *ids, const float *cell, const float *dy,
                              float *gates, float *step, float *dstate, float *dcell)
{
    int64_t c = tokens->c, places = tokens->n_places;
    for (int64_t i = 0; i < n; i++) {
        int64_t at = i * places + t;
        const float *restrict now = cell + at * c;
        float *restrict gate = gates + at * 4 * c, *restrict to = step + i * 4 * c;
        float *restrict ds = dstate + i * c, *restrict dc = dcell + i * c;
        bool is_held = is_padding(ids, at);
        for (int64_t j = 0; dy != NULL && j < c; j++) {
            ds[j] += dy[at * c + j];
        }
        for (int64_t j = 0; j < c; j++) {
            float last = t == 0 ? 0.0f : cell[(at - 1) * c + j];
            float in = gate[j], forget = gate[c + j];
            float new = gate[2 * c + j], out = gate[3 * c + j];
            float squashed = fastmath_tanh(now[j]);
            float flow = dc[j] + ds[j] * out * (1.0f - squashed * squashed);
            to[j] = is_held ? 0.0f : flow * new *in *(1.0f - in);
            to[c + j] = is_held ? 0.0f : flow * last * forget * (1.0f - forget);
            to[2 * c + j] = is_held ? 0.0f : flow * in * (1.0f - new *new);
            to[3 * c + j] = is_held ? 0.0f : ds[j] * squashed * out * (1.0f - out);
            dc[j] = is_held ? dc[j] : flow * forget;
            ds[j] = is_held ? ds[j] : 0.0f;
        }
        for (int64_t j = 0; j < 4 * c; j++) {
            gate[j] = to[j];
        }
    }
}
