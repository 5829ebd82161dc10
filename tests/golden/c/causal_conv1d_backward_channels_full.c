// causal_conv1d backward, bf16: channels(block=128,lanes=16)
// out_t = bias + sum_k weight_{W-1-k} x_{t-k}, k = 0 ... W - 1, through silu when asked
// Rendered by ssmgen from templates/c/causal_conv1d_channels_backward.c.j2; source 1497a11015fa839d.
#include <stdint.h>
#include <string.h>

enum { LANES = 16, WIDTH = 4, BLOCK = 128 };

typedef float floats __attribute__((vector_size(64)));
typedef int32_t ints __attribute__((vector_size(64)));
typedef uint32_t words __attribute__((vector_size(64)));
typedef uint16_t halves __attribute__((vector_size(32)));

struct causal_conv1d_backward_args {
    const uint16_t *x;
    const float *weight;
    const uint16_t *dout;
    uint16_t *dx;
    float *dweight;
    int64_t batch, dim, seqlen;
    int64_t x_stride_batch, x_stride_seqlen;
    int64_t dout_stride_batch, dout_stride_seqlen;
    int64_t dx_stride_batch, dx_stride_seqlen;
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

// `channels` channels from d0 on of all sequences, channels in lanes. A step's gradient waits for those of the WIDTH - 1 steps
// that see it, which a ring of rows keeps.
static void gradients(const struct causal_conv1d_backward_args *args, int64_t d0, int64_t channels)
{
    static const float none[BLOCK];
    float weight[WIDTH][BLOCK] = {0};
    for (int64_t c = 0; c < channels; c++) {
        for (int tap = 0; tap < WIDTH; tap++)
            weight[tap][c] = args->weight[(d0 + c) * WIDTH + tap];
    }
    float dweight[WIDTH][BLOCK] = {0};
    for (int64_t b = 0; b < args->batch; b++) {
        const uint16_t *x = args->x + b * args->x_stride_batch + d0;
        const uint16_t *dout = args->dout + b * args->dout_stride_batch + d0;
        uint16_t *dx = args->dx + b * args->dx_stride_batch + d0;
        static const uint16_t before[WIDTH - 1][BLOCK];
        float g[WIDTH][BLOCK];
        for (int64_t t = 0; t < args->seqlen + WIDTH - 1; t++) {
            float *g_t = g[t % WIDTH];
            if (t >= args->seqlen) {
                memset(g_t, 0, sizeof g[0]);
            } else {
                const uint16_t *taps[WIDTH];
                for (int tap = 0; tap < WIDTH; tap++) {
                    const int64_t seen = t - (WIDTH - 1) + tap;
                    taps[tap] = seen < 0 ? before[WIDTH - 1 + seen] : x + seen * args->x_stride_seqlen;
                }
                for (int64_t c = 0; c < channels; c += LANES) {
                    const floats x0 = load_some(taps[0] + c, channels - c);
                    const floats x1 = load_some(taps[1] + c, channels - c);
                    const floats x2 = load_some(taps[2] + c, channels - c);
                    const floats x3 = load_some(taps[3] + c, channels - c);
                    floats slope = load_some(dout + t * args->dout_stride_seqlen + c, channels - c);
                    const floats dweight0 = load_reals(dweight[0] + c, LANES) + slope * x0;
                    memcpy(dweight[0] + c, &dweight0, sizeof dweight0);
                    const floats dweight1 = load_reals(dweight[1] + c, LANES) + slope * x1;
                    memcpy(dweight[1] + c, &dweight1, sizeof dweight1);
                    const floats dweight2 = load_reals(dweight[2] + c, LANES) + slope * x2;
                    memcpy(dweight[2] + c, &dweight2, sizeof dweight2);
                    const floats dweight3 = load_reals(dweight[3] + c, LANES) + slope * x3;
                    memcpy(dweight[3] + c, &dweight3, sizeof dweight3);
                    memcpy(g_t + c, &slope, sizeof slope);
                }
            }
            const int64_t seen = t - (WIDTH - 1);
            if (seen < 0)
                continue;
            const float *seeing[WIDTH];
            for (int i = 0; i < WIDTH; i++)
                seeing[i] = g[(seen + i) % WIDTH];
            for (int64_t c = 0; c < channels; c += LANES) {
                floats sum = load_reals(weight[3] + c, LANES) * load_reals(seeing[0] + c, LANES);
                sum += load_reals(weight[2] + c, LANES) * load_reals(seeing[1] + c, LANES);
                sum += load_reals(weight[1] + c, LANES) * load_reals(seeing[2] + c, LANES);
                sum += load_reals(weight[0] + c, LANES) * load_reals(seeing[3] + c, LANES);
                store_some(dx + seen * args->dx_stride_seqlen + c, sum, channels - c);
            }
        }
    }
    for (int64_t c = 0; c < channels; c++) {
        for (int tap = 0; tap < WIDTH; tap++)
            args->dweight[(d0 + c) * WIDTH + tap] = dweight[tap][c];
    }
}

void causal_conv1d_backward(const struct causal_conv1d_backward_args *args)
{
    const int64_t blocks = (args->dim + BLOCK - 1) / BLOCK;
    // Below some ten microseconds of work, waking threads costs more than they bring.
    const int threads = args->batch * args->dim * args->seqlen < 32768 ? 1 : (int)args->threads;
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t block = 0; block < blocks; block++) {
        const int64_t d0 = block * BLOCK;
        gradients(args, d0, args->dim - d0 < BLOCK ? args->dim - d0 : BLOCK);
    }
}
