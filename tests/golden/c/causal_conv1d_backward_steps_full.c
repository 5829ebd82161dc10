// causal_conv1d backward, bf16: steps(lanes=16,tile=256)
// out_t = bias + sum_k weight_{W-1-k} x_{t-k}, k = 0 ... W - 1, through silu when asked
// Rendered by ssmgen from templates/c/causal_conv1d_steps_backward.c.j2; source 2157f6c0da2bca38.
#include <stdint.h>
#include <string.h>
#if defined(__AVX512DQ__)
#include <immintrin.h>
#endif

enum { LANES = 16, WIDTH = 4, TILE = 256 };

typedef float floats __attribute__((vector_size(64)));
typedef int32_t ints __attribute__((vector_size(64)));
typedef uint32_t words __attribute__((vector_size(64)));
typedef uint16_t halves __attribute__((vector_size(32)));

struct causal_conv1d_backward_args {
    const uint16_t *x;
    const float *weight;
    const float *bias;
    const uint16_t *initial_state;
    const uint16_t *dout;
    const uint16_t *dlast_state;
    uint16_t *dx;
    float *dweight;
    float *dbias;
    uint16_t *dinitial_state;
    int64_t batch, dim, seqlen;
    int64_t x_stride_batch, x_stride_dim;
    int64_t dout_stride_batch, dout_stride_dim;
    int64_t dx_stride_batch, dx_stride_dim;
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

static inline floats choose(ints mask, floats x, floats y)
{
    return (floats)((mask & (ints)x) | (~mask & (ints)y));
}

#if defined(__AVX512DQ__)
// 2^x = 2^r p(x - r) with r the nearest sixteenth, whose power is in a table. p is minimax and exact at 0, so that decays
// near 1 are not biased. Relative error at most 1.1e-7; 0 and infinity beyond the exponents, and NaNs stay NaNs.
static inline floats exp2_lanes(floats x)
{
    enum { NEAREST_SIXTEENTH = 4 << 4 | _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC };
    const floats powers = {
        1.0f, 1.0442737824274138f, 1.0905077326652577f, 1.1387886347566916f,
        1.189207115002721f, 1.241857812073484f, 1.2968395546510096f, 1.3542555469368927f,
        1.4142135623730951f, 1.4768261459394993f, 1.5422108254079407f, 1.6104903319492543f,
        1.681792830507429f, 1.7562521603732995f, 1.8340080864093424f, 1.9152065613971474f,
    };
    const floats f = _mm512_reduce_ps(x, NEAREST_SIXTEENTH);
    const floats power = _mm512_permutexvar_ps((__m512i)(x + 0x1.8p19f), powers); // r in its low bits
    floats p = 0x1.c6b348p-5f * f + 0x1.ebff92p-3f;
    p = p * f + 0x1.62e430p-1f;
    return _mm512_scalef_ps(power * f * p + power, x + 0x1p-5f); // which rounds down
}

#else
// 2^x = 2^r p(x - r) with r the nearest integer. p is minimax on [-1/2, 1/2] under a bound that shrinks towards 0, where p
// is exact, so that decays near 1 are not biased. Relative error at most 1.9e-7; 0 and infinity beyond the exponents.
// Of NaNs, only those without a payload are sure to stay one.
static inline floats clamp(floats x, float low, float high)
{
    x = choose(x < low, (floats){0} + low, x);
    return choose(x > high, (floats){0} + high, x);
}

static inline floats exp2_lanes(floats x)
{
    x = clamp(x, -127.0f, 128.0f);
    const floats shifted = x + 0x1.8p23f; // r in its low bits
    const floats f = x - (shifted - 0x1.8p23f);
    floats p = 0x1.5bcef4p-10f * f + 0x1.3cd19cp-7f;
    p = p * f + 0x1.c6b660p-5f;
    p = p * f + 0x1.ebfa10p-3f;
    p = p * f + 0x1.62e42cp-1f;
    p = p * f + 1.0f;
    return (floats)((ints)p + ((ints)shifted << 23));
}

#endif

// g times the derivative of silu at y.
static inline floats through_silu(floats g, floats y)
{
    const floats s = 1 / (1 + exp2_lanes(-1.4426950408889634f * y));
    return g * (s * (1 + y * (1 - s)));
}

static inline float total(floats x)
{
    float y[LANES];
    memcpy(y, &x, sizeof y);
#pragma GCC unroll 16
    for (int half = LANES / 2; half > 0; half /= 2)
#pragma GCC unroll 16
        for (int i = 0; i < half; i++)
            y[i] += y[i + half];
    return y[0];
}

// One channel of all sequences, steps in lanes. A step's gradient waits for those of the WIDTH - 1 steps that see it.
static void gradients(const struct causal_conv1d_backward_args *args, int64_t d)
{
    const float *weight = args->weight + d * WIDTH;
    floats dweight[WIDTH] = {0}, dbias = {0};
    for (int64_t b = 0; b < args->batch; b++) {
        const uint16_t *x = args->x + b * args->x_stride_batch + d * args->x_stride_dim;
        const uint16_t *dout = args->dout + b * args->dout_stride_batch + d * args->dout_stride_dim;
        uint16_t *dx = args->dx + b * args->dx_stride_batch + d * args->dx_stride_dim;
        float window[WIDTH - 1 + TILE] = {0}, g[WIDTH - 1 + TILE] = {0}, sums[TILE + LANES];
        for (int i = 0; i < WIDTH - 1; i++)
            window[i] = load_part(args->initial_state + (b * args->dim + d) * (WIDTH - 1) + i, 1)[0];
        for (int64_t t0 = 0; t0 < args->seqlen + WIDTH - 1; t0 += TILE) {
            const int64_t rest = args->seqlen + WIDTH - 1 - t0, steps = rest < TILE ? rest : TILE, given = args->seqlen - t0;
            for (int64_t t = 0; t < steps; t += LANES) {
                const floats now = load_some(x + t0 + t, given - t);
                memcpy(window + WIDTH - 1 + t, &now, sizeof now);
            }
            for (int64_t t = 0; t < steps; t += LANES) {
                const floats x0 = load_reals(window + t + 0, LANES);
                const floats x1 = load_reals(window + t + 1, LANES);
                const floats x2 = load_reals(window + t + 2, LANES);
                const floats x3 = load_reals(window + t + 3, LANES);
                floats slope = load_some(dout + t0 + t, given - t);
                slope = through_silu(slope, args->bias[d] + weight[0] * x0 + weight[1] * x1 + weight[2] * x2 + weight[3] * x3);
                for (int64_t i = given > t ? given - t : 0; i < LANES; i++)
                    slope[i] = 0;
                dweight[0] += slope * x0;
                dweight[1] += slope * x1;
                dweight[2] += slope * x2;
                dweight[3] += slope * x3;
                dbias += slope;
                memcpy(g + WIDTH - 1 + t, &slope, sizeof slope);
            }
            for (int64_t t = 0; t < steps; t += LANES) {
                const floats sum = weight[3] * load_reals(g + t, LANES) + weight[2] * load_reals(g + t + 1, LANES) + weight[1] * load_reals(g + t + 2, LANES) + weight[0] * load_reals(g + t + 3, LANES);
                memcpy(sums + t, &sum, sizeof sum);
            }
            for (int64_t i = 0; i < WIDTH - 1; i++)
                if (given + i >= 0 && given + i < steps)
                    sums[given + i] += load_part(args->dlast_state + (b * args->dim + d) * (WIDTH - 1) + i, 1)[0];
            const int64_t first = t0 == 0 ? WIDTH - 1 : 0;
            for (int64_t i = 0; i < first; i++)
                store_part(args->dinitial_state + (b * args->dim + d) * (WIDTH - 1) + i, (floats){0} + sums[i], 1);
            for (int64_t t = first; t < steps; t += LANES)
                store_some(dx + t0 + t - (WIDTH - 1), load_reals(sums + t, LANES), steps - t);
            memmove(window, window + steps, (WIDTH - 1) * sizeof *window);
            memmove(g, g + steps, (WIDTH - 1) * sizeof *g);
        }
    }
    for (int tap = 0; tap < WIDTH; tap++)
        args->dweight[d * WIDTH + tap] = total(dweight[tap]);
    args->dbias[d] = total(dbias);
}

void causal_conv1d_backward(const struct causal_conv1d_backward_args *args)
{
    // Below some ten microseconds of work, waking threads costs more than they bring.
    const int threads = args->batch * args->dim * args->seqlen < 32768 ? 1 : (int)args->threads;
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t d = 0; d < args->dim; d++)
        gradients(args, d);
}
