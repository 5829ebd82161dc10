// selective_scan forward, fp32: states(lanes=16)
// h_t = exp(delta_t A) h_{t-1} + delta_t B_t u_t,  y_t = C_t . h_t + D u_t,  out = y * silu(z)
// delta = softplus(delta + delta_bias) when asked
// Rendered by ssmgen from templates/c/selective_scan_states.c.j2; source 4cbf9f9ae6e3667b.
#include <stdint.h>
#include <string.h>
#if defined(__AVX512DQ__)
#include <immintrin.h>
#endif

enum { LANES = 16, STATES = 16 };

typedef float floats __attribute__((vector_size(64)));
typedef int32_t ints __attribute__((vector_size(64)));

struct selective_scan_args {
    const float *u;
    const float *delta;
    const float *A;
    const float *B;
    const float *C;
    float *out;
    int64_t batch, dim, seqlen, groups;
    int64_t u_stride_batch, u_stride_dim;
    int64_t delta_stride_batch, delta_stride_dim;
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

// log2(e) A, so that exp(delta A) is a power of 2; a NaN loses its payload, which exp2_lanes might take for an exponent. Those in
// delta reach the state by delta u.
static inline floats exponent(floats A)
{
    return choose(A == A, 1.4426950408889634f * A, (floats){0} + __builtin_nanf(""));
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
#pragma GCC unroll 16
    for (int stage = 1; stage < UNIT; stage *= 2) {
#pragma GCC unroll 16
        for (int i = 0; i < LANES / 2; i++) {
            const int first = i / (UNIT / 2) * UNIT + i % (UNIT / 2);
            const floats x = rows[first], y = rows[first + UNIT / 2];
            next[2 * i] = SHUFFLE(x, y, 0, 16, 1, 17, 4, 20, 5, 21, 8, 24, 9, 25, 12, 28, 13, 29);
            next[2 * i + 1] = SHUFFLE(x, y, 2, 18, 3, 19, 6, 22, 7, 23, 10, 26, 11, 27, 14, 30, 15, 31);
        }
#pragma GCC unroll 16
        for (int i = 0; i < LANES; i++)
            rows[i] = next[i];
    }
#pragma GCC unroll 16
    for (int stage = UNIT; stage < LANES; stage *= 2) {
#pragma GCC unroll 16
        for (int i = 0; i < LANES / 2; i++) {
            const int first = i / UNIT * 2 * UNIT + i % UNIT;
            const floats x = rows[first], y = rows[first + UNIT];
            next[i] = SHUFFLE(x, y, 0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27);
            next[i + LANES / 2] = SHUFFLE(x, y, 4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31);
        }
#pragma GCC unroll 16
        for (int i = 0; i < LANES; i++)
            rows[i] = next[i];
    }
}

static inline floats load_states(const float *x, size_t count)
{
    floats y = {0};
    memcpy(&y, x, count * sizeof *x);
    return y;
}

// LANES steps of one channel; those beyond the end are zero.
static inline floats load_steps(const float *x, int64_t steps)
{
    return steps == LANES ? load(x) : load_part(x, steps);
}

// One channel, all of time, states in vector lanes. A step leaves its products h C in a row; transposing LANES rows turns the
// sums over the lanes into a sum of rows.
static void scan_channel(const struct selective_scan_args *args, int64_t b, int64_t d)
{
    const int64_t g = d / (args->dim / args->groups);
    floats h0 = {0};
    const floats A0 = exponent(load_states(args->A + d * STATES, LANES));
    const float *B = args->B + (b * args->groups + g) * args->seqlen * STATES;
    const float *C = args->C + (b * args->groups + g) * args->seqlen * STATES;
    const float *u_0 = args->u + b * args->u_stride_batch + d * args->u_stride_dim;
    const float *delta_0 = args->delta + b * args->delta_stride_batch + d * args->delta_stride_dim;
    float *out_0 = args->out + b * args->out_stride_batch + d * args->out_stride_dim;

    for (int64_t t0 = 0; t0 < args->seqlen; t0 += LANES) {
        const int64_t steps = args->seqlen - t0 < LANES ? args->seqlen - t0 : LANES;
        const floats u = load_steps(u_0 + t0, steps);
        const floats delta = load_steps(delta_0 + t0, steps);
        const floats delta_u = delta * u;
        floats rows[LANES] = {0};
        for (int64_t t = 0; t < steps; t++) {
            const float *B_t = B + (t0 + t) * STATES;
            const float *C_t = C + (t0 + t) * STATES;
            h0 = exp2_lanes(delta[t] * A0) * h0 + delta_u[t] * load_states(B_t, LANES);
            rows[t] = h0 * load_states(C_t, LANES);
        }
        transpose(rows);
        floats y = {0};
        for (int n = 0; n < LANES; n++)
            y += rows[n];
        float *out = out_0 + t0;
        if (steps == LANES)
            store(out, y);
        else
            store_part(out, y, steps);
    }
}

void selective_scan(const struct selective_scan_args *args)
{
    // Below some ten microseconds of work, waking threads costs more than they bring.
    const int64_t work = args->batch * args->dim * args->seqlen * STATES;
    const int threads = work < 131072 ? 1 : (int)args->threads;
#pragma omp parallel for num_threads(threads) schedule(dynamic)
    for (int64_t task = 0; task < args->batch * args->dim; task++)
        scan_channel(args, task / args->dim, task % args->dim);
}
