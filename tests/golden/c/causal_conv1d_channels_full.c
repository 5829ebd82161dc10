// causal_conv1d forward, bf16: channels(block=256,chunk=64,lanes=16)
// out_t = bias + sum_k weight_{W-1-k} x_{t-k}, k = 0 ... W - 1, through silu when asked
// Rendered by ssmgen from templates/c/causal_conv1d_channels.c.j2; source 9b9bd96e5c4cf406.
#include <stdint.h>
#include <string.h>

enum { LANES = 16, WIDTH = 4, BLOCK = 256, CHUNK = 64 };

typedef float floats __attribute__((vector_size(64)));
typedef int32_t ints __attribute__((vector_size(64)));
typedef uint32_t words __attribute__((vector_size(64)));
typedef uint16_t halves __attribute__((vector_size(32)));

struct causal_conv1d_args {
    const uint16_t *x;
    const float *weight;
    uint16_t *out;
    int64_t batch, dim, seqlen;
    int64_t x_stride_batch, x_stride_seqlen;
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

static inline floats load_some(const uint16_t *x, int64_t count)
{
    return count >= LANES ? load(x) : load_part(x, count > 0 ? count : 0);
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

static inline void store_some(uint16_t *x, floats y, int64_t count)
{
    if (count >= LANES)
        store(x, y);
    else if (count > 0)
        store_part(x, y, count);
}

static inline floats load_reals(const float *x, size_t count)
{
    floats y = {0};
    memcpy(&y, x, count * sizeof *x);
    return y;
}

// The steps first to last of `channels` channels from d0 on, channels in lanes; the rows of the steps before are still in L1.
static void convolve(const struct causal_conv1d_args *args, int64_t b, int64_t d0, int64_t channels, int64_t first, int64_t last)
{
    float weight[WIDTH][BLOCK] = {0};
    for (int64_t c = 0; c < channels; c++) {
        for (int tap = 0; tap < WIDTH; tap++)
            weight[tap][c] = args->weight[(d0 + c) * WIDTH + tap];
    }
    const uint16_t *x = args->x + b * args->x_stride_batch + d0;
    uint16_t *out = args->out + b * args->out_stride_batch + d0;
    static const uint16_t before[WIDTH - 1][BLOCK];
    for (int64_t t = first; t < last; t++) {
        const uint16_t *taps[WIDTH];
        for (int tap = 0; tap < WIDTH; tap++) {
            const int64_t seen = t - (WIDTH - 1) + tap;
            taps[tap] = seen < 0 ? before[WIDTH - 1 + seen] : x + seen * args->x_stride_seqlen;
        }
        for (int64_t c = 0; c < channels; c += LANES) {
            floats y = load_reals(weight[0] + c, LANES) * load_some(taps[0] + c, channels - c);
            y += load_reals(weight[1] + c, LANES) * load_some(taps[1] + c, channels - c);
            y += load_reals(weight[2] + c, LANES) * load_some(taps[2] + c, channels - c);
            y += load_reals(weight[3] + c, LANES) * load_some(taps[3] + c, channels - c);
            store_some(out + t * args->out_stride_seqlen + c, y, channels - c);
        }
    }
}

void causal_conv1d(const struct causal_conv1d_args *args)
{
    const int64_t blocks = (args->dim + BLOCK - 1) / BLOCK, chunks = (args->seqlen + CHUNK - 1) / CHUNK;
    // Below some ten microseconds of work, waking threads costs more than they bring.
    const int threads = args->batch * args->dim * args->seqlen < 32768 ? 1 : (int)args->threads;
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t task = 0; task < args->batch * chunks * blocks; task++) {
        const int64_t d0 = task % blocks * BLOCK, first = task / blocks % chunks * CHUNK;
        const int64_t channels = args->dim - d0 < BLOCK ? args->dim - d0 : BLOCK;
        convolve(args, task / (blocks * chunks), d0, channels, first, args->seqlen - first < CHUNK ? args->seqlen : first + CHUNK);
    }
}
