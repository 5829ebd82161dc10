// selective_scan forward, bf16: channels(exp=poly,lanes=16,states=8,tile=64)
// h_t = exp(delta_t A) h_{t-1} + delta_t B_t u_t,  y_t = C_t . h_t + D u_t,  out = y * silu(z)
// delta = softplus(delta + delta_bias) when asked
// Rendered by ssmgen from templates/c/selective_scan_channels.c.j2; source 5803d57f411d7cb5.
#include <stdint.h>
#include <string.h>
#if defined(__AVX512DQ__)
#include <immintrin.h>
#endif

enum { LANES = 16, STATES = 16, TILE = 64, INTERVAL = 128, STATE_BLOCK = 16 };

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

static inline floats exp2_bounded(floats x, floats y)
{
    return exp2_lanes(x * y);
}

enum { CLAMPS = 0 };
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

// 2^(x y) where that is a normal number.
static inline floats exp2_bounded(floats x, floats y)
{
    const floats shifted = x * y + 0x1.8p23f;
    const floats f = x * y - (shifted - 0x1.8p23f);
    floats p = 0x1.5bcef4p-10f * f + 0x1.3cd19cp-7f;
    p = p * f + 0x1.c6b660p-5f;
    p = p * f + 0x1.ebfa10p-3f;
    p = p * f + 0x1.62e42cp-1f;
    p = p * f + 1.0f;
    return (floats)((ints)p + ((ints)shifted << 23));
}

enum { CLAMPS = 1 };
#endif

// log2(e) A, so that exp(delta A) is a power of 2; a NaN loses its payload, which exp2_lanes might take for an exponent. Those in
// delta reach the state by delta u.
static inline floats exponent(floats A)
{
    return choose(A == A, 1.4426950408889634f * A, (floats){0} + __builtin_nanf(""));
}

// As integers, magnitudes are in the same order, and NaNs beyond infinity.
static inline floats largest(floats x, floats y)
{
    const ints a = (ints)x & 0x7fffffff, b = (ints)y & 0x7fffffff;
    return choose(a > b, (floats)a, (floats)b);
}

// Whether 2^(x y) is a normal number for every x of a tile and every y no larger than `most`.
static inline int are_bounded(const floats *x, int64_t steps, floats most)
{
    if (!CLAMPS)
        return 1;
    floats peak = {0};
    for (int64_t t = 0; t < steps; t++)
        peak = largest(peak, x[t]);
    int bounded = 1;
    for (int i = 0; i < LANES; i++)
        bounded &= peak[i] * most[i] < 125.0f;
    return bounded;
}

static inline floats decay(floats delta, floats A, int bounded)
{
    return bounded ? exp2_bounded(delta, A) : exp2_lanes(delta * A);
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

// One vector of channels per state.
static void load_states(floats *states, const float *x, int64_t channels)
{
    for (int n = 0; n < STATES; n++)
        for (int64_t c = 0; c < LANES; c++)
            states[n][c] = c < channels ? x[c * STATES + n] : 0;
}

static inline floats load_channels(const float *x, int64_t channels)
{
    floats y = {0};
    if (channels == LANES)
        memcpy(&y, x, sizeof y); // of a known size, so not a call
    else
        memcpy(&y, x, (size_t)channels * sizeof *x);
    return y;
}

// A vector is a whole line: it goes past the caches, since backward comes much later, and need not be read before it is
// written. 25% of a forward pass that saves every 16th state.
static inline void store_channels(float *x, floats y, int64_t channels)
{
#if defined(__AVX512DQ__)
    if (channels == LANES && (uintptr_t)x % sizeof y == 0) {
        _mm512_stream_ps(x, y);
        return;
    }
#endif
    if (channels == LANES)
        memcpy(x, &y, sizeof y);
    else
        memcpy(x, &y, (size_t)channels * sizeof *x);
}

static inline __attribute__((always_inline)) void walk_tile(floats *h, const floats *A, const float *B, const float *C, floats D, const floats *delta, const floats *u,
                      floats *y, int64_t steps, int bounded)
{
    for (int n = 0; n < 16; n += 8) {
        floats h0 = h[n], h1 = h[n + 1], h2 = h[n + 2], h3 = h[n + 3],
            h4 = h[n + 4], h5 = h[n + 5], h6 = h[n + 6], h7 = h[n + 7];
        const floats A0 = A[n], A1 = A[n + 1], A2 = A[n + 2], A3 = A[n + 3],
            A4 = A[n + 4], A5 = A[n + 5], A6 = A[n + 6], A7 = A[n + 7];
        for (int64_t t = 0; t < steps; t++) {
            const float *B_t = B + t * STATES + n;
            const float *C_t = C + t * STATES + n;
            const floats x = delta[t] * u[t];
            h0 = decay(delta[t], A0, bounded) * h0 + x * B_t[0];
            h1 = decay(delta[t], A1, bounded) * h1 + x * B_t[1];
            h2 = decay(delta[t], A2, bounded) * h2 + x * B_t[2];
            h3 = decay(delta[t], A3, bounded) * h3 + x * B_t[3];
            h4 = decay(delta[t], A4, bounded) * h4 + x * B_t[4];
            h5 = decay(delta[t], A5, bounded) * h5 + x * B_t[5];
            h6 = decay(delta[t], A6, bounded) * h6 + x * B_t[6];
            h7 = decay(delta[t], A7, bounded) * h7 + x * B_t[7];
            y[t] = (n ? y[t] : D * u[t]) + h0 * C_t[0] + h1 * C_t[1] + h2 * C_t[2] + h3 * C_t[3]
                + h4 * C_t[4] + h5 * C_t[5] + h6 * C_t[6] + h7 * C_t[7];
        }
        h[n] = h0;
        h[n + 1] = h1;
        h[n + 2] = h2;
        h[n + 3] = h3;
        h[n + 4] = h4;
        h[n + 5] = h5;
        h[n + 6] = h6;
        h[n + 7] = h7;
    }
}

// `channels` channels from d0 on of one batch, all of time: states in registers, a group at a time, over a tile in L1.
static void scan_block(const struct selective_scan_args *args, int64_t b, int64_t g, int64_t d0,
                       int64_t channels)
{
    const int64_t first = args->cu_seqlens[b], seqlen = args->cu_seqlens[b + 1] - first;
    floats h[STATES];
    load_states(h, args->initial_state + (b * args->dim + d0) * STATES, channels);
    floats A[STATES], most = {0};
    load_states(A, args->A + d0 * STATES, channels);
    for (int n = 0; n < STATES; n++) {
        A[n] = exponent(A[n]);
        most = largest(most, A[n]);
    }
    const floats D = load_channels(args->D + d0, channels);
    const floats delta_bias = load_channels(args->delta_bias + d0, channels);
    const float *B = args->B + (g * args->seqlen + first) * STATES;
    const float *C = args->C + (g * args->seqlen + first) * STATES;
    const uint16_t *u_0 = args->u + first * args->u_stride_seqlen + d0;
    const uint16_t *delta_0 = args->delta + first * args->delta_stride_seqlen + d0;
    const uint16_t *z_0 = args->z + first * args->z_stride_seqlen + d0;
    uint16_t *out_0 = args->out + first * args->out_stride_seqlen + d0;

    for (int64_t t0 = 0; t0 < seqlen; t0 += TILE) {
        const int64_t steps = seqlen - t0 < TILE ? seqlen - t0 : TILE;
        if (t0 % INTERVAL == 0) {
            float *states = args->states + slot_offset(first / INTERVAL + b + t0 / INTERVAL, args->dim, args->groups, d0);
            for (int n = 0; n < STATES; n++)
                store_channels(states + n * STATE_BLOCK, h[n], channels);
        }
        floats u[TILE], delta[TILE], y[TILE];
        load_tile(u, u_0 + t0 * args->u_stride_seqlen, args->u_stride_seqlen, channels, steps);
        load_tile(delta, delta_0 + t0 * args->delta_stride_seqlen, args->delta_stride_seqlen, channels, steps);
        for (int64_t t = 0; t < steps; t++)
            delta[t] = softplus(delta[t] + delta_bias);
        if (are_bounded(delta, steps, most))
            walk_tile(h, A, B + t0 * STATES, C + t0 * STATES, D, delta, u, y, steps, 1);
        else
            walk_tile(h, A, B + t0 * STATES, C + t0 * STATES, D, delta, u, y, steps, 0);
        floats *z = u; // u is spent
        load_tile(z, z_0 + t0 * args->z_stride_seqlen, args->z_stride_seqlen, channels, steps);
        for (int64_t t = 0; t < steps; t++)
            y[t] *= silu(z[t]);
        store_tile(out_0 + t0 * args->out_stride_seqlen, args->out_stride_seqlen, y, channels, steps);
    }
#if defined(__AVX512DQ__)
    _mm_sfence(); // for threads that read the streamed states next
#endif
    float *last_state = args->last_state + (b * args->dim + d0) * STATES;
    for (int64_t c = 0; c < channels; c++)
        for (int n = 0; n < STATES; n++)
            last_state[c * STATES + n] = h[n][c];
}

void selective_scan(const struct selective_scan_args *args)
{
    const int64_t groups = args->groups, width = args->dim / groups;
    const int64_t blocks = (width + LANES - 1) / LANES;
    const int64_t tasks = args->batch * groups * blocks;
    // Below some ten microseconds of work, waking threads costs more than they bring.
    const int64_t work = args->dim * args->seqlen * STATES;
    const int threads = work < 131072 ? 1 : (int)args->threads;
#pragma omp parallel for num_threads(threads) schedule(dynamic)
    for (int64_t task = 0; task < tasks; task++) {
        const int64_t d = task % blocks * LANES, channels = width - d < LANES ? width - d : LANES;
        const int64_t g = task / blocks % groups, b = task / blocks / groups;
        scan_block(args, b, g, g * width + d, channels);
    }
}
