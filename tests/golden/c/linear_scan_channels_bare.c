// linear_scan forward, fp32: channels(lanes=8,tile=64)
// h_t = a_t h_{t-1} + b_t
// Rendered by ssmgen from templates/c/linear_scan_channels.c.j2; source 63d04ef38b99302d.
#include <stdint.h>
#include <string.h>

enum { LANES = 8, TILE = 64 };

typedef float floats __attribute__((vector_size(32)));
typedef int32_t ints __attribute__((vector_size(32)));

struct linear_scan_args {
    const float *a;
    const float *b;
    float *out;
    int64_t batch, dim, seqlen;
    int64_t a_stride_batch, a_stride_dim;
    int64_t b_stride_batch, b_stride_dim;
    int64_t out_stride_batch, out_stride_dim;
    int64_t threads;
};

static inline floats load(const float *x)
{
    floats y;
    memcpy(&y, x, sizeof y);
    return y;
}

// The first elements only; the others are zero.
static inline floats load_part(const float *x, int64_t count)
{
    float y[LANES] = {0};
    memcpy(y, x, (size_t)count * sizeof *x);
    return load(y);
}

static inline void store(float *x, floats y)
{
    memcpy(x, &y, sizeof y);
}

static inline void store_part(float *x, floats y, int64_t count)
{
    float z[LANES];
    store(z, y);
    memcpy(x, z, (size_t)count * sizeof *x);
}

#if defined(__clang__)
#define SHUFFLE(x, y, ...) __builtin_shufflevector(x, y, __VA_ARGS__)
#else
#define SHUFFLE(x, y, ...) __builtin_shuffle(x, y, (ints){__VA_ARGS__})
#endif

enum { UNIT = 4 }; // reals in 128 bits

// Inside units first, by interleaving rows, then of whole units, by parting the even from the odd ones: one instruction a vector.
static inline __attribute__((always_inline)) void transpose(floats rows[LANES])
{
    floats next[LANES];
#pragma GCC unroll 8
    for (int stage = 1; stage < UNIT; stage *= 2) {
#pragma GCC unroll 8
        for (int i = 0; i < LANES / 2; i++) {
            const int first = i / (UNIT / 2) * UNIT + i % (UNIT / 2);
            const floats x = rows[first], y = rows[first + UNIT / 2];
            next[2 * i] = SHUFFLE(x, y, 0, 8, 1, 9, 4, 12, 5, 13);
            next[2 * i + 1] = SHUFFLE(x, y, 2, 10, 3, 11, 6, 14, 7, 15);
        }
#pragma GCC unroll 8
        for (int i = 0; i < LANES; i++)
            rows[i] = next[i];
    }
#pragma GCC unroll 8
    for (int stage = UNIT; stage < LANES; stage *= 2) {
#pragma GCC unroll 8
        for (int i = 0; i < LANES / 2; i++) {
            const int first = i / UNIT * 2 * UNIT + i % UNIT;
            const floats x = rows[first], y = rows[first + UNIT];
            next[i] = SHUFFLE(x, y, 0, 1, 2, 3, 8, 9, 10, 11);
            next[i + LANES / 2] = SHUFFLE(x, y, 4, 5, 6, 7, 12, 13, 14, 15);
        }
#pragma GCC unroll 8
        for (int i = 0; i < LANES; i++)
            rows[i] = next[i];
    }
}

// LANES steps of LANES channels.
static inline __attribute__((always_inline)) void load_square(floats *tile, const float *x, int64_t stride)
{
    floats rows[LANES];
#pragma GCC unroll 8
    for (int c = 0; c < LANES; c++) {
        __builtin_prefetch(x + c * stride + TILE); // rows are more streams than the hardware follows
        rows[c] = load(x + c * stride);
    }
    transpose(rows);
#pragma GCC unroll 8
    for (int t = 0; t < LANES; t++)
        tile[t] = rows[t];
}

// One vector of channels per step; lanes beyond the last channel are zero.
static void load_tile(floats *tile, const float *x, int64_t stride, int64_t channels, int64_t steps)
{
    for (int64_t t = 0; t < steps; t += LANES) {
        if (channels == LANES && steps - t >= LANES) {
            load_square(tile + t, x + t, stride);
            continue;
        }
        floats rows[LANES] = {0};
        for (int64_t c = 0; c < channels; c++)
            rows[c] = steps - t >= LANES ? load(x + c * stride + t) : load_part(x + c * stride + t, steps - t);
        transpose(rows);
        memcpy(tile + t, rows, sizeof rows);
    }
}

static inline __attribute__((always_inline)) void store_square(float *x, const floats *tile, int64_t stride)
{
    floats rows[LANES];
#pragma GCC unroll 8
    for (int t = 0; t < LANES; t++)
        rows[t] = tile[t];
    transpose(rows);
#pragma GCC unroll 8
    for (int c = 0; c < LANES; c++)
        store(x + c * stride, rows[c]);
}

static void store_tile(float *x, int64_t stride, const floats *tile, int64_t channels, int64_t steps)
{
    for (int64_t t = 0; t < steps; t += LANES) {
        if (channels == LANES && steps - t >= LANES) {
            store_square(x + t, tile + t, stride);
            continue;
        }
        floats rows[LANES];
        memcpy(rows, tile + t, sizeof rows);
        transpose(rows);
        for (int64_t c = 0; c < channels; c++)
            if (steps - t >= LANES)
                store(x + c * stride + t, rows[c]);
            else
                store_part(x + c * stride + t, rows[c], steps - t);
    }
}

// `channels` channels from d0 on of one batch, all of time.
static void scan_block(const struct linear_scan_args *args, int64_t b, int64_t d0, int64_t channels)
{
    const int64_t first = 0, last = args->seqlen;
    const float *a_0 = args->a + b * args->a_stride_batch + d0 * args->a_stride_dim;
    const float *b_0 = args->b + b * args->b_stride_batch + d0 * args->b_stride_dim;
    float *out_0 = args->out + b * args->out_stride_batch + d0 * args->out_stride_dim;
    floats h = {0};
    for (int64_t t0 = first; t0 < last; t0 += TILE) {
        const int64_t steps = last - t0 < TILE ? last - t0 : TILE;
        floats a_t[TILE], h_t[TILE];
        load_tile(a_t, a_0 + t0, args->a_stride_dim, channels, steps);
        load_tile(h_t, b_0 + t0, args->b_stride_dim, channels, steps);
        for (int64_t t = 0; t < steps; t++)
            h_t[t] = h = a_t[t] * h + h_t[t];
        store_tile(out_0 + t0, args->out_stride_dim, h_t, channels, steps);
    }
}

void linear_scan(const struct linear_scan_args *args)
{
    const int64_t blocks = (args->dim + LANES - 1) / LANES;
    // Below some ten microseconds of work, waking threads costs more than they bring.
    const int threads = args->batch * args->dim * args->seqlen < 32768 ? 1 : (int)args->threads;
#pragma omp parallel for num_threads(threads) schedule(dynamic)
    for (int64_t task = 0; task < args->batch * blocks; task++) {
        const int64_t d0 = task % blocks * LANES;
        scan_block(args, task / blocks, d0, args->dim - d0 < LANES ? args->dim - d0 : LANES);
    }
}
