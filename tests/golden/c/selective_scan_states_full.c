// selective_scan forward, bf16: states(lanes=16)
// h_t = exp(delta_t A) h_{t-1} + delta_t B_t u_t,  y_t = C_t . h_t + D u_t,  out = y * silu(z)
// delta = softplus(delta + delta_bias) when asked
// Rendered by ssmgen from templates/c/selective_scan_states.c.j2; source eaebe62b9dbc0778.
#include <stdint.h>
#include <string.h>
#if defined(__AVX512DQ__)
#include <immintrin.h>
#endif

enum { LANES = 16, STATES = 16, INTERVAL = 128, STATE_BLOCK = 16 };

// Where the states of the channels from d on lie before a chunk of one sequence; blocks of channels do not cross groups.
static inline int64_t slot_offset(int64_t batch_of_chunks, int64_t dim, int64_t groups, int64_t d)
{
    const int64_t width = dim / groups, blocks = (width + STATE_BLOCK - 1) / STATE_BLOCK, member = d % width;
    const int64_t block = (batch_of_chunks * groups + d / width) * blocks + member / STATE_BLOCK;
    return block * STATES * STATE_BLOCK + member % STATE_BLOCK;
}

typedef float floats __attribute__((vector_size(64)));
typedef int32_t ints __attribute__((vector_size(64)));
typedef uint32_t words __attribute__((vector_size(64)));
typedef uint16_t halves __attribute__((vector_size(32)));

struct selective_scan_args {
    const uint16_t *u;
    const uint16_t *delta;
    const float *A;
    const float *B;
    const float *C;
    const float *D;
    const uint16_t *z;
    const float *delta_bias;
    const float *initial_state;
    const int32_t *cu_seqlens;
    uint16_t *out;
    float *last_state;
    float *states;
    int64_t batch, dim, seqlen, groups;
    int64_t u_stride_batch, u_stride_seqlen;
    int64_t delta_stride_batch, delta_stride_seqlen;
    int64_t z_stride_batch, z_stride_seqlen;
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

// max(x, 0) + log1p(w), w = exp(-|x|); log1p(w) = 2 artanh(w / (2 + w)), as a series in (w / (2 + w))^2 <= 1/9.
static inline floats softplus(floats x)
{
    const floats w = exp2_lanes(choose(x < 0, x, -x) * 1.4426950408889634f);
    const floats s = w / (w + 2), s2 = s * s;
    floats p = 0.11764705882352941f * s2 + 0.13333333333333333f;
    p = p * s2 + 0.15384615384615385f;
    p = p * s2 + 0.18181818181818182f;
    p = p * s2 + 0.2222222222222222f;
    p = p * s2 + 0.2857142857142857f;
    p = p * s2 + 0.4f;
    p = p * s2 + 0.6666666666666666f;
    p = p * s2 + 2.0f;
    return choose(x <= 20, choose(x > 0, x, (floats){0}) + p * s, x); // x where it is NaN, too
}

static inline floats silu(floats x)
{
    return x / (1 + exp2_lanes(-1.4426950408889634f * x));
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

static inline void store_states(float *x, floats h, int64_t stride, int count)
{
    for (int n = 0; n < count; n++)
        x[n * stride] = h[n];
}

// LANES steps of one channel; those beyond the end are zero.
static inline floats load_steps(const uint16_t *x, int64_t stride, int64_t steps)
{
    uint16_t row[LANES] = {0};
    for (int64_t t = 0; t < steps; t++)
        row[t] = x[t * stride];
    return load(row);
}

// One channel, all of time, states in vector lanes. A step leaves its products h C in a row; transposing LANES rows turns the
// sums over the lanes into a sum of rows.
static void scan_channel(const struct selective_scan_args *args, int64_t b, int64_t d)
{
    const int64_t first = args->cu_seqlens[b], seqlen = args->cu_seqlens[b + 1] - first;
    const int64_t g = d / (args->dim / args->groups);
    const float *initial_state = args->initial_state + (b * args->dim + d) * STATES;
    floats h0 = load_states(initial_state, LANES);
    const floats A0 = exponent(load_states(args->A + d * STATES, LANES));
    const float *B = args->B + (g * args->seqlen + first) * STATES;
    const float *C = args->C + (g * args->seqlen + first) * STATES;
    const uint16_t *u_0 = args->u + first * args->u_stride_seqlen + d;
    const uint16_t *delta_0 = args->delta + first * args->delta_stride_seqlen + d;
    const uint16_t *z_0 = args->z + first * args->z_stride_seqlen + d;
    uint16_t *out_0 = args->out + first * args->out_stride_seqlen + d;

    for (int64_t t0 = 0; t0 < seqlen; t0 += LANES) {
        const int64_t steps = seqlen - t0 < LANES ? seqlen - t0 : LANES;
        if (t0 % INTERVAL == 0) {
            float *states = args->states + slot_offset(first / INTERVAL + b + t0 / INTERVAL, args->dim, args->groups, d);
            store_states(states, h0, STATE_BLOCK, LANES);
        }
        const floats u = load_steps(u_0 + t0 * args->u_stride_seqlen, args->u_stride_seqlen, steps);
        const floats delta = softplus(load_steps(delta_0 + t0 * args->delta_stride_seqlen, args->delta_stride_seqlen, steps) + args->delta_bias[d]);
        const floats delta_u = delta * u;
        floats rows[LANES] = {0};
        for (int64_t t = 0; t < steps; t++) {
            const float *B_t = B + (t0 + t) * STATES;
            const float *C_t = C + (t0 + t) * STATES;
            h0 = exp2_lanes(delta[t] * A0) * h0 + delta_u[t] * load_states(B_t, LANES);
            rows[t] = h0 * load_states(C_t, LANES);
        }
        transpose(rows);
        floats y = args->D[d] * u;
        for (int n = 0; n < LANES; n++)
            y += rows[n];
        y *= silu(load_steps(z_0 + t0 * args->z_stride_seqlen, args->z_stride_seqlen, steps));
        uint16_t *out = out_0 + t0 * args->out_stride_seqlen, row[LANES];
        store(row, y);
        for (int64_t t = 0; t < steps; t++)
            out[t * args->out_stride_seqlen] = row[t];
    }
    float *last_state = args->last_state + (b * args->dim + d) * STATES;
    memcpy(last_state, &h0, LANES * sizeof *last_state);
}

void selective_scan(const struct selective_scan_args *args)
{
    // Below some ten microseconds of work, waking threads costs more than they bring.
    const int64_t work = args->dim * args->seqlen * STATES;
    const int threads = work < 131072 ? 1 : (int)args->threads;
#pragma omp parallel for num_threads(threads) schedule(dynamic)
    for (int64_t task = 0; task < args->batch * args->dim; task++)
        scan_channel(args, task / args->dim, task % args->dim);
}
