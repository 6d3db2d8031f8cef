/* Sums on the grid, noise and the stream that feeds it: the integers must be the CPU's
 * bit for bit, pairs in doubt among them. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/device.h"
#include "tests/twins/compare.h"
#include "tests/twins/twin.h"

#define C(twin) ((twin).cpu)
#define D(twin) ((twin).dev)

static void rounding(int64_t n)
{
    struct grid grid = {0x1p-20, 1000.0, 0x1p20};
    struct twin x = twin_doubles(n);
    double *v = x.cpu;
    if (n > 8) {
        v[0] = NAN, v[1] = INFINITY, v[2] = -INFINITY, v[3] = 0x1.8p-20;
        v[4] = 0x1p-21, v[5] = -0x1p-21, v[6] = 5e300, v[7] = -0.0;
    }
    twin_send(&x);
    kernels_cpu.grid_round(&grid, n, C(x)), kernels_cuda.grid_round(&grid, n, D(x));
    twin_same("grid_round", &x);
    struct twin f = twin_floats(n);
    float *w = f.cpu;
    if (n > 8) {
        w[0] = NAN, w[1] = INFINITY, w[2] = -INFINITY, w[3] = 0x1.8p-20f;
        w[4] = 0x1p-21f, w[5] = -0x1p-21f, w[6] = 3e38f, w[7] = -0.0f;
    }
    twin_send(&f);
    for (int i = 0; i < 3; i++) {
        kernels_cpu.grid_add(&grid, n, C(f), C(x));
        kernels_cuda.grid_add(&grid, n, D(f), D(x));
    }
    twin_same("grid_add", &x);
    struct twin drawn = twin_doubles(n);
    kernels_cpu.grid_add_drawn(n, C(drawn), C(x));
    kernels_cuda.grid_add_drawn(n, D(drawn), D(x));
    twin_same("grid_add_drawn", &x);
    twin_same("what was drawn is wiped", &drawn);
    twin_free(&x), twin_free(&f), twin_free(&drawn);
}

/* Words that depend on the pair only, and how often they were asked for. */
static void extra(void *state, int64_t pair, uint64_t ret_words[GRID_EXTRA_WORDS])
{
    ++*(int64_t *)state;
    for (int i = 0; i < GRID_EXTRA_WORDS; i++) {
        ret_words[i] =
            ((uint64_t)pair * GRID_EXTRA_WORDS + (uint64_t)i + 1) * 0x9e3779b97f4a7c15u;
    }
}

static void noise(int64_t n, double std_steps)
{
    struct grid grid = {0x1p-18, std_steps, 0x1p40};
    struct twin bits = twin_words(n), x = twin_doubles(n);
    int64_t n_cpu = 0, n_dev = 0;
    struct grid_source of_cpu = {extra, &n_cpu}, of_dev = {extra, &n_dev};
    if (n > 6) {
        ((uint64_t *)bits.cpu)[0] = 0, ((uint64_t *)bits.cpu)[2] = UINT64_MAX;
        ((uint64_t *)bits.cpu)[5] = 0;
        twin_send(&bits);
    }
    kernels_cpu.grid_round(&grid, n, C(x));
    twin_send(&x);
    kernels_cpu.grid_noise(&grid, n, C(bits), &of_cpu, C(x));
    kernels_cuda.grid_noise(&grid, n, D(bits), &of_dev, D(x));
    twin_same("grid_noise", &x);
    /* a number that does not depend on the bits, but for the odd ones set above */
    const int64_t chunk = 1 << 20; /* pairs: kernels/grid.cu */
    int64_t n_whole = n / 2 / chunk;
    int64_t n_exact = n_whole * grid_n_exact(std_steps, chunk) +
                      grid_n_exact(std_steps, n / 2 % chunk);
    twin_expect("grid_noise works out a fixed number of pairs",
                n_dev >= n_exact && n_dev <= n_exact + 3 && n_dev <= n_cpu);
    twin_free(&bits), twin_free(&x);
}

/* RFC 8439, section 2.3.2: block 1 of this key and nonce. */
static void vector_of_the_rfc(void)
{
    static const uint8_t expected[64] = {
        0x10, 0xf1, 0xe7, 0xe4, 0xd1, 0x3b, 0x59, 0x15, 0x50, 0x0f, 0xdd, 0x1f, 0xa3,
        0x20, 0x71, 0xc4, 0xc7, 0xd1, 0xf4, 0xc7, 0x33, 0xc0, 0x68, 0x03, 0x04, 0x22,
        0xaa, 0x9a, 0xc3, 0xd4, 0x6c, 0x4e, 0xd2, 0x82, 0x64, 0x46, 0x07, 0x9f, 0xaa,
        0x09, 0x14, 0xc2, 0xd7, 0x05, 0xd9, 0x8b, 0x02, 0xa2, 0xb5, 0x12, 0x9c, 0xd1,
        0xde, 0x16, 0x4e, 0xb9, 0xcb, 0xd0, 0x83, 0xe8, 0xa2, 0x50, 0x3c, 0x4e};
    uint8_t key[32], got[128];
    void *words = NULL;
    for (int i = 0; i < 32; i++) {
        key[i] = (uint8_t)i;
    }
    twin_expect("memory", device_alloc(sizeof got, &words));
    device_random_words(key, 0x09000000, 0x4a000000, 16, words);
    twin_expect("download", device_download(got, words, sizeof got));
    twin_expect("the vector of RFC 8439", memcmp(got + 64, expected, 64) == 0);
    device_free(words);
}

/* Lengths that end within a block say the same words; other streams say others. */
static void streams(int64_t n)
{
    const uint8_t key[32] = {7};
    size_t n_bytes = (size_t)n * sizeof(uint64_t);
    struct twin whole = twin_words(n + 9), part = twin_words(n);
    device_random_words(key, 3, 5, n + 9, D(whole));
    device_random_words(key, 3, 5, n, D(part));
    twin_expect("download", device_download(C(part), D(whole), n_bytes));
    twin_same("random words of a shorter call", &part);
    device_random_words(key, 4, 5, n, D(part));
    uint64_t *other = malloc(n_bytes + 1);
    twin_expect("download", device_download(other, D(part), n_bytes));
    int64_t n_equal = 0;
    for (int64_t i = 0; i < n; i++) {
        n_equal += other[i] == ((uint64_t *)part.cpu)[i];
    }
    twin_expect("another stream has other words", n_equal == 0);
    free(other);
    twin_free(&whole), twin_free(&part);
}

static void refusals(void)
{
    const uint8_t key[32] = {0};
    void *huge = NULL;
    twin_expect("no error yet", device_error() == NULL);
    device_random_words(key, 0, 0, ((int64_t)1 << 35) + 1, NULL);
    twin_expect("too many words are refused", !device_sync());
    const char *text = device_error();
    twin_expect("and said so", text != NULL && strstr(text, "2^35") != NULL);
    twin_expect("no such device memory", !device_alloc((size_t)1 << 50, &huge));
    twin_expect("memory in words", device_error() != NULL && device_error() == NULL);
}

/* A stream of its own does the same, and the default one comes back. */
static void another_stream(void)
{
    const uint8_t key[32] = {9};
    struct twin words = twin_words(1000);
    void *stream = NULL;
    twin_expect("a stream", device_stream_new(&stream));
    device_stream_use(stream);
    device_random_words(key, 1, 2, 1000, D(words));
    twin_expect("download", device_download(C(words), D(words), 8000));
    twin_expect("zeros", device_zero(D(words), 8000) && device_sync());
    device_stream_use(NULL);
    device_stream_free(stream);
    device_random_words(key, 1, 2, 1000, D(words));
    twin_same("random words on another stream", &words);
    twin_free(&words);
}

void compare_grid(void)
{
    const int64_t lens[] = {0, 2, 30, 256, 258, 4098, 32768, 32770, 70000};
    for (size_t i = 0; i < sizeof lens / sizeof *lens; i++) {
        rounding(lens[i]);
        streams(lens[i]);
        noise(lens[i], 1000.5);
        noise(lens[i], 0x1p-20);
    }
    noise(4098, 0x1p38); /* most pairs are in doubt */
    noise(258, GRID_MAX_STD_STEPS);
    noise((2 << 20) + 66, 1000.5); /* a chunk and a little */
    vector_of_the_rfc();
    another_stream();
    refusals();
}
