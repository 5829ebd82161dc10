// linear_scan forward, bf16: chunked(chunk=256,lanes=16,tile=64)
// h_t = a_t h_{t-1} + b_t
// Rendered by ssmgen from templates/c/linear_scan_chunked.c.j2; source ba1295f75ff3daa3.
#include <stdint.h>
#include <string.h>

enum { LANES = 16, TILE = 64 };

typedef float floats __attribute__((vector_size(64)));
typedef int32_t ints __attribute__((vector_size(64)));
typedef uint32_t words __attribute__((vector_size(64)));
typedef uint16_t halves __attribute__((vector_size(32)));

struct linear_scan_args {
    const uint16_t *a;
    const uint16_t *b;
    const float *initial_state;
    uint16_t *out;
    float *ends;
    int64_t batch, dim, seqlen;
    int64_t a_stride_batch, a_stride_seqlen;
    int64_t b_stride_batch, b_stride_seqlen;
    int64_t out_stride_batch, out_stride_seqlen;
    int64_t threads;
};

static inline floats widen(halves x)
{
    return (floats)(__builtin_convertvector(x, words) << 16);
}

static inline floats load(const uint16_t *x)
{
    halves y;
    memcpy(&y, x, sizeof y);
    return widen(y);
}

// The first elements only; the others are zero.
static inline floats load_part(const uint16_t *x, int64_t count)
{
    uint16_t y[LANES] = {0};
    memcpy(y, x, (size_t)count * sizeof *x);
    return load(y);
}

// To nearest, ties to even; a NaN stays one, whatever its payload.
static inline halves narrow(floats x)
{
    const words bits = (words)x;
    const words rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
    const words nan = (words)(x != x);
    return __builtin_convertvector((rounded & ~nan) | (nan & 0x7fc0), halves);
}

static inline void store(uint16_t *x, floats y)
{
    const halves z = narrow(y);
    memcpy(x, &z, sizeof z);
}

static inline void store_part(uint16_t *x, floats y, int64_t count)
{
    uint16_t z[LANES];
    store(z, y);
    memcpy(x, z, (size_t)count * sizeof *x);
}

// One vector of channels per step; lanes beyond the last channel are zero.
static void load_tile(floats *tile, const uint16_t *x, int64_t stride, int64_t channels, int64_t steps)
{
    for (int64_t t = 0; t < steps; t++)
        tile[t] = channels == LANES ? load(x + t * stride) : load_part(x + t * stride, channels);
}

static void store_tile(uint16_t *x, int64_t stride, const floats *tile, int64_t channels, int64_t steps)
{
    for (int64_t t = 0; t < steps; t++)
        if (channels == LANES)
            store(x + t * stride, tile[t]);
        else
            store_part(x + t * stride, tile[t], channels);
}

enum { CHUNK = 256, NUMBER = LANES };

static inline floats choose(ints mask, floats x, floats y)
{
    return (floats)((mask & (ints)x) | (~mask & (ints)y));
}

// What a chunk that starts from zero carries to the next, and the product of its a, by which what came before decays.
static void end_of_chunk(const struct linear_scan_args *args, int64_t b, int64_t d0,
                         int64_t channels, int64_t first, int64_t last, float *end)
{
    const uint16_t *a_0 = args->a + b * args->a_stride_batch + d0;
    const uint16_t *b_0 = args->b + b * args->b_stride_batch + d0;
    floats h = {0}, decay = h + 1;
    for (int64_t t0 = first + (last - first - 1) / TILE * TILE; t0 >= first; t0 -= TILE) {
        const int64_t steps = last - t0 < TILE ? last - t0 : TILE;
        floats a_t[TILE], b_t[TILE];
        load_tile(a_t, a_0 + t0 * args->a_stride_seqlen, args->a_stride_seqlen, channels, steps);
        load_tile(b_t, b_0 + t0 * args->b_stride_seqlen, args->b_stride_seqlen, channels, steps);
        for (int64_t t = steps - 1; t >= 0; t--) {
            h = a_t[t] * h + b_t[t];
            decay = a_t[t] * decay;
        }
    }
    memcpy(end, &h, sizeof h);
    memcpy(end + NUMBER, &decay, sizeof decay);
}

// A chunk from what is carried to its start, which the ends of the `preceding` chunks add up to.
static void scan_chunk(const struct linear_scan_args *args, int64_t b, int64_t d0,
                       int64_t channels, int64_t first, int64_t last, const float *ends, int64_t preceding)
{
    const uint16_t *a_0 = args->a + b * args->a_stride_batch + d0;
    const uint16_t *b_0 = args->b + b * args->b_stride_batch + d0;
    uint16_t *out_0 = args->out + b * args->out_stride_batch + d0;
    floats h = {0};
    memcpy(&h, args->initial_state + b * args->dim + d0, (size_t)channels * sizeof(float));
    for (int64_t c = 0; c < preceding; c++) {
        floats end[2];
        memcpy(end, ends + c * 2 * NUMBER, sizeof end);
        // The decay of a growing system may be infinite.
        h = choose(h == 0, end[0], end[1] * h + end[0]);
    }
    for (int64_t t0 = first + (last - first - 1) / TILE * TILE; t0 >= first; t0 -= TILE) {
        const int64_t steps = last - t0 < TILE ? last - t0 : TILE;
        floats a_t[TILE], h_t[TILE];
        load_tile(a_t, a_0 + t0 * args->a_stride_seqlen, args->a_stride_seqlen, channels, steps);
        load_tile(h_t, b_0 + t0 * args->b_stride_seqlen, args->b_stride_seqlen, channels, steps);
        for (int64_t t = steps - 1; t >= 0; t--)
            h_t[t] = h = a_t[t] * h + h_t[t];
        store_tile(out_0 + t0 * args->out_stride_seqlen, args->out_stride_seqlen, h_t, channels, steps);
    }
}

void linear_scan(const struct linear_scan_args *args)
{
    const int64_t blocks = (args->dim + LANES - 1) / LANES, chunks = (args->seqlen + CHUNK - 1) / CHUNK;
    const int threads = (int)args->threads;
#pragma omp parallel for num_threads(threads) schedule(dynamic)
    for (int64_t item = 0; item < args->batch * blocks * (chunks - 1); item++) {
        const int64_t task = item / (chunks - 1), chunk = item % (chunks - 1), d0 = task % blocks * LANES;
        const int64_t channels = args->dim - d0 < LANES ? args->dim - d0 : LANES;
        float *ends = args->ends + task * (chunks - 1) * 2 * NUMBER;
        const int64_t first = (chunks - 1 - chunk) * CHUNK;
        const int64_t last = args->seqlen - first < CHUNK ? args->seqlen : first + CHUNK;
        end_of_chunk(args, task / blocks, d0, channels, first, last, ends + chunk * 2 * NUMBER);
    }
#pragma omp parallel for num_threads(threads) schedule(dynamic)
    for (int64_t item = 0; item < args->batch * blocks * chunks; item++) {
        const int64_t task = item / chunks, chunk = item % chunks, d0 = task % blocks * LANES;
        const int64_t channels = args->dim - d0 < LANES ? args->dim - d0 : LANES;
        float *ends = args->ends + task * (chunks - 1) * 2 * NUMBER;
        const int64_t first = (chunks - 1 - chunk) * CHUNK;
        const int64_t last = args->seqlen - first < CHUNK ? args->seqlen : first + CHUNK;
        scan_chunk(args, task / blocks, d0, channels, first, last, ends, chunk);
    }
}
