// selective_scan forward, fp32: channels(exp=poly,lanes=16,states=8,tile=16)
// h_t = exp(delta_t A) h_{t-1} + delta_t B_t u_t,  y_t = C_t . h_t + D u_t,  out = y * silu(z)
// delta = softplus(delta + delta_bias) when asked
// Rendered by ssmgen from templates/c/selective_scan_channels.c.j2; source 8cade3bca599358a.
#include <stdint.h>
#include <string.h>
#if defined(__AVX512DQ__)
#include <immintrin.h>
#endif

enum { LANES = 16, STATES = 16, TILE = 16, STATE_BLOCK = 16 };

// Where the states of the channels from d on lie before a chunk of one sequence; blocks of channels do not cross groups.
static inline int64_t slot_offset(int64_t batch_of_chunks, int64_t dim, int64_t groups, int64_t d)
{
    const int64_t width = dim / groups, blocks = (width + STATE_BLOCK - 1) / STATE_BLOCK, member = d % width;
    const int64_t block = (batch_of_chunks * groups + d / width) * blocks + member / STATE_BLOCK;
    return block * STATES * STATE_BLOCK + member % STATE_BLOCK;
}

typedef float floats __attribute__((vector_size(64)));
typedef int32_t ints __attribute__((vector_size(64)));

struct selective_scan_args {
    const float *u;
    const float *delta;
    const float *A;
    const float *B;
    const float *C;
    float *out;
    float *states;
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

// LANES steps of LANES channels.
static inline __attribute__((always_inline)) void load_square(floats *tile, const float *x, int64_t stride)
{
    floats rows[LANES];
#pragma GCC unroll 16
    for (int c = 0; c < LANES; c++)
        rows[c] = load(x + c * stride);
    transpose(rows);
#pragma GCC unroll 16
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
#pragma GCC unroll 16
    for (int t = 0; t < LANES; t++)
        rows[t] = tile[t];
    transpose(rows);
#pragma GCC unroll 16
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

enum { READ = 2, AHEAD = 64 }; // AHEAD: reals in four lines

// What a walk reads for the tile after it, a row at each step, so that the arithmetic hides what misses the caches. A tile is a
// square: rows of more than a line each, a power of two apart, would drive one another out of L1.
struct rows_ahead {
    const float *from;
    float *to;
    int64_t stride;
};

static inline void read_ahead(const struct rows_ahead *rows, int64_t t)
{
    const float *row = rows->from + t * rows->stride;
    memcpy(rows->to + t * LANES, row, LANES * sizeof *row);
    __builtin_prefetch(row + AHEAD, 0, 2); // into L2
}

// One vector of channels per state.
static void load_states(floats *states, const float *x, int64_t channels)
{
    for (int n = 0; n < STATES; n++)
        for (int64_t c = 0; c < LANES; c++)
            states[n][c] = c < channels ? x[c * STATES + n] : 0;
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

static inline __attribute__((always_inline)) void walk_tile(floats *h, const floats *A, const float *B, const float *C, const floats *delta, const floats *u,
                      floats *y, int64_t steps, int bounded, const struct rows_ahead *next)
{
    for (int n = 0; n < 16; n += 8) {
        floats h0 = h[n], h1 = h[n + 1], h2 = h[n + 2], h3 = h[n + 3],
            h4 = h[n + 4], h5 = h[n + 5], h6 = h[n + 6], h7 = h[n + 7];
        const floats A0 = A[n], A1 = A[n + 1], A2 = A[n + 2], A3 = A[n + 3],
            A4 = A[n + 4], A5 = A[n + 5], A6 = A[n + 6], A7 = A[n + 7];
        for (int64_t t = 0; t < steps; t++) {
            read_ahead(&next[n / 8], t);
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
            y[t] = (n ? y[t] : (floats){0}) + h0 * C_t[0] + h1 * C_t[1] + h2 * C_t[2] + h3 * C_t[3]
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
    floats h[STATES] = {0};
    floats A[STATES], most = {0};
    load_states(A, args->A + d0 * STATES, channels);
    for (int n = 0; n < STATES; n++) {
        A[n] = exponent(A[n]);
        most = largest(most, A[n]);
    }
    const float *B = args->B + (b * args->groups + g) * args->seqlen * STATES;
    const float *C = args->C + (b * args->groups + g) * args->seqlen * STATES;
    const float *u_0 = args->u + b * args->u_stride_batch + d0 * args->u_stride_dim;
    const float *delta_0 = args->delta + b * args->delta_stride_batch + d0 * args->delta_stride_dim;
    float *out_0 = args->out + b * args->out_stride_batch + d0 * args->out_stride_dim;

    float rows[READ][LANES * LANES], unused[LANES * LANES] = {0};
    const struct rows_ahead nothing = {unused, unused, 0};
    const int64_t whole = channels == LANES ? args->seqlen / TILE * TILE : 0;
    for (int64_t t0 = 0; t0 < args->seqlen; t0 += TILE) {
        const int64_t steps = args->seqlen - t0 < TILE ? args->seqlen - t0 : TILE;
        float *states = args->states + slot_offset(b * ((args->seqlen + TILE - 1) / TILE) + t0 / TILE, args->dim, args->groups, d0);
        for (int n = 0; n < STATES; n++)
            store_channels(states + n * STATE_BLOCK, h[n], channels);
        const int is_read = 0 < t0 && t0 < whole, is_next = t0 + TILE < whole;
        floats u[TILE], delta[TILE], y[TILE];
        if (is_read)
            load_square(u, rows[0], LANES);
        else
            load_tile(u, u_0 + t0, args->u_stride_dim, channels, steps);
        if (is_read)
            load_square(delta, rows[1], LANES);
        else
            load_tile(delta, delta_0 + t0, args->delta_stride_dim, channels, steps);
        struct rows_ahead next[2];
        next[0] = is_next ? (struct rows_ahead){u_0 + t0 + TILE, rows[0], args->u_stride_dim} : nothing;
        next[1] = is_next ? (struct rows_ahead){delta_0 + t0 + TILE, rows[1], args->delta_stride_dim} : nothing;
        if (are_bounded(delta, steps, most))
            walk_tile(h, A, B + t0 * STATES, C + t0 * STATES, delta, u, y, steps, 1, next);
        else
            walk_tile(h, A, B + t0 * STATES, C + t0 * STATES, delta, u, y, steps, 0, next);
        store_tile(out_0 + t0, args->out_stride_dim, y, channels, steps);
    }
#if defined(__AVX512DQ__)
    _mm_sfence(); // for threads that read the streamed states next
#endif
}

void selective_scan(const struct selective_scan_args *args)
{
    const int64_t groups = args->groups, width = args->dim / groups;
    const int64_t blocks = (width + LANES - 1) / LANES;
    const int64_t tasks = args->batch * groups * blocks;
    // Below some ten microseconds of work, waking threads costs more than they bring.
    const int64_t work = args->batch * args->dim * args->seqlen * STATES;
    const int threads = work < 131072 ? 1 : (int)args->threads;
#pragma omp parallel for num_threads(threads) schedule(dynamic)
    for (int64_t task = 0; task < tasks; task++) {
        const int64_t d = task % blocks * LANES, channels = width - d < LANES ? width - d : LANES;
        const int64_t g = task / blocks % groups, b = task / blocks / groups;
        scan_block(args, b, g, g * width + d, channels);
    }
}
