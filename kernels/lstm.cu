/* Twins of lstm.c. Floors, n c values a place: forward 4 (4 + 4 + 4 + 1 + 1 + 1 + 2 +
 * 1) n c bytes (gates both ways, step, both cells, before, state both ways, y),
 * backward 4 (4 + 4 + 4 + 2 + 1 + 2 + 2) n c. */
#include "kernels/cuda.h"

#include "kernels/fastmath.h"

static __device__ inline bool is_padding(const float *ids, int64_t at)
{
    return ids != NULL && !(ids[at] >= 1.0f);
}

/* A thread a channel of an example, in both. */
static __global__ void lstm_forward(struct tokens s, int64_t t, int64_t n,
                                    const float *ids, const float *step, float *gates,
                                    float *cell, float *before, float *state, float *y)
{
    CUDA_EACH(ij, n * s.c)
    {
        int64_t i = ij / s.c, j = ij % s.c, at = i * s.n_places + t;
        const float *add = step + i * 4 * s.c;
        float *gate = gates + at * 4 * s.c;
        float last = t == 0 ? 0.0f : cell[(at - 1) * s.c + j], old = state[ij];
        float in = fastmath_sigmoid(gate[j] + add[j]);
        float forget = fastmath_sigmoid(gate[s.c + j] + add[s.c + j]);
        float fresh = fastmath_tanh(gate[2 * s.c + j] + add[2 * s.c + j]);
        float out = fastmath_sigmoid(gate[3 * s.c + j] + add[3 * s.c + j]);
        float kept = forget * last + in * fresh;
        bool is_held = is_padding(ids, at);
        float own = is_held ? old : out * fastmath_tanh(kept);
        gate[j] = in;
        gate[s.c + j] = forget;
        gate[2 * s.c + j] = fresh;
        gate[3 * s.c + j] = out;
        before[at * s.c + j] = old;
        cell[at * s.c + j] = is_held ? last : kept;
        state[ij] = own;
        if (y != NULL) {
            y[at * s.c + j] = own;
        }
    }
}

static __global__ void lstm_backward(struct tokens s, int64_t t, int64_t n,
                                     const float *ids, const float *cell,
                                     const float *dy, float *gates, float *step,
                                     float *dstate, float *dcell)
{
    CUDA_EACH(ij, n * s.c)
    {
        int64_t i = ij / s.c, j = ij % s.c, at = i * s.n_places + t;
        float *gate = gates + at * 4 * s.c, *to = step + i * 4 * s.c;
        float last = t == 0 ? 0.0f : cell[(at - 1) * s.c + j];
        float in = gate[j], forget = gate[s.c + j];
        float fresh = gate[2 * s.c + j], out = gate[3 * s.c + j];
        float ds = dstate[ij] + (dy == NULL ? 0.0f : dy[at * s.c + j]);
        float squashed = fastmath_tanh(cell[at * s.c + j]);
        float flow = dcell[ij] + ds * out * (1.0f - squashed * squashed);
        bool is_held = is_padding(ids, at);
        gate[j] = to[j] = is_held ? 0.0f : flow * fresh * in * (1.0f - in);
        gate[s.c + j] = to[s.c + j] =
            is_held ? 0.0f : flow * last * forget * (1.0f - forget);
        gate[2 * s.c + j] = to[2 * s.c + j] =
            is_held ? 0.0f : flow * in * (1.0f - fresh * fresh);
        gate[3 * s.c + j] = to[3 * s.c + j] =
            is_held ? 0.0f : ds * squashed * out * (1.0f - out);
        dcell[ij] = is_held ? dcell[ij] : flow * forget;
        dstate[ij] = is_held ? ds : 0.0f;
    }
}

void cuda_lstm_forward(const struct tokens *tokens, int64_t t, int64_t n,
                       const float *ids, const float *step, float *gates, float *cell,
                       float *before, float *state, float *y)
{
    CUDA_LAUNCH(lstm_forward, cuda_blocks(n * tokens->c), CUDA_THREADS, *tokens, t, n,
                ids, step, gates, cell, before, state, y);
}

void cuda_lstm_backward(const struct tokens *tokens, int64_t t, int64_t n,
                        const float *ids, const float *cell, const float *dy,
                        float *gates, float *step, float *dstate, float *dcell)
{
    CUDA_LAUNCH(lstm_backward, cuda_blocks(n * tokens->c), CUDA_THREADS, *tokens, t, n,
                ids, cell, dy, gates, step, dstate, dcell);
}
