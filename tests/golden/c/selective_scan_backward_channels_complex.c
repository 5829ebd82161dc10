// selective_scan backward, fp32: channels(blocks=1,lanes=16,states=4)
// h_t = exp(delta_t A) h_{t-1} + delta_t B_t u_t,  y_t = C_t . h_t + D u_t,  out = y * silu(z)
// delta = softplus(delta + delta_bias) when asked
// Rendered by ssmgen from templates/c/selective_scan_backward_channels.c.j2; source 20d7f250c5365991.

#include <stdint.h>
#include <string.h>
#if defined(__AVX512DQ__)
#include <immintrin.h>
#endif

enum { LANES = 16, STATES = 16, TILE = 16, PLANES = 2 * STATES, STATE_BLOCK = 16 };

// Where the states of the channels from d on lie before a chunk of one sequence; blocks of channels do not cross groups.
static inline int64_t slot_offset(int64_t batch_of_chunks, int64_t dim, int64_t groups, int64_t d)
{
    const int64_t width = dim / groups, blocks = (width + STATE_BLOCK - 1) / STATE_BLOCK, member = d % width;
    const int64_t block = (batch_of_chunks * groups + d / width) * blocks + member / STATE_BLOCK;
    return block * PLANES * STATE_BLOCK + member % STATE_BLOCK;
}

typedef float floats __attribute__((vector_size(64)));
typedef int32_t ints __attribute__((vector_size(64)));

struct selective_scan_backward_args {
    const float *u;
    const float *delta;
    const float *A;
    const float *B;
    const float *C;
    const float *dout;
    const float *states;
    float *du;
    float *ddelta;
    float *dA;
    float *dB;
    float *dC;
    float *sums;
    float *partial;
    float *rows;
    int64_t batch, dim, seqlen, groups;
    int64_t u_stride_batch, u_stride_dim;
    int64_t delta_stride_batch, delta_stride_dim;
    int64_t dout_stride_batch, dout_stride_dim;
    int64_t du_stride_batch, du_stride_dim;
    int64_t ddelta_stride_batch, ddelta_stride_dim;
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

struct pair {
    floats re, im;
};

// log2(e) Re A, and Im A / pi as a sum of two parts.
struct rate {
    floats re, turns, rest;
};

static inline struct rate rate(struct pair A)
{
    struct rate y = {exponent(A.re)};
    for (int i = 0; i < LANES; i++) {
        const float turns = A.im[i] * 0x1.45f306p-2f;
        y.turns[i] = turns;
        y.rest[i] = __builtin_fmaf(A.im[i], 0x1.45f306p-2f, -turns) + A.im[i] * 0x1.b93910p-27f;
    }
    return y;
}

// exp(x A). Whole half-turns are a sign; of what is left, f in [-1/2, 1/2], cos and sin are minimax polynomials. The phase
// keeps its last digits up to 2^22 half-turns where products and sums are fused.
static inline struct pair exp_complex(floats x, struct rate A)
{
    const floats shifted = x * A.turns + 0x1.8p23f; // whole half-turns in its low bits
    const floats f = x * A.turns - (shifted - 0x1.8p23f) + x * A.rest, f2 = f * f;
    const floats size = (floats)((ints)exp2_lanes(x * A.re) ^ (ints)shifted << 31);
    floats c = -0x1.8c0b50p-6f * f2 + 0x1.e0dbdep-3f;
    c = c * f2 + -0x1.55ce5cp+0f;
    c = c * f2 + 0x1.03c1d8p+2f;
    c = c * f2 + -0x1.3bd3ccp+2f;
    floats s = 0x1.3c5f26p-4f * f2 + -0x1.323450p-1f;
    s = s * f2 + 0x1.46677cp+1f;
    s = s * f2 + -0x1.4abbb6p+2f;
    s = s * f2 + -0x1.5a307cp-23f;
    return (struct pair){size * (c * f2 + 1), size * (f * 0x1.921fb6p+1f + f * s)};
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

// A pair of vectors of channels per state.
static void load_states(struct pair *states, const float *x, int64_t channels)
{
    for (int n = 0; n < STATES; n++)
        for (int64_t c = 0; c < LANES; c++) {
            states[n].re[c] = c < channels ? x[c * PLANES + 2 * n] : 0;
            states[n].im[c] = c < channels ? x[c * PLANES + 2 * n + 1] : 0;
        }
}

static void load_rates(struct rate *A, const float *x, int64_t channels)
{
    struct pair pairs[STATES];
    load_states(pairs, x, channels);
    for (int n = 0; n < STATES; n++)
        A[n] = rate(pairs[n]);
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

enum { BLOCKS = 1, GROUP = 4, SUMS = 1 * PLANES + 0, VECTORS = 8, ROWS = 2 * TILE * VECTORS, APART = 256 };
// Rows of different threads are pages apart, farther than prefetchers go: side by side they cost 20% of the whole.
typedef floats unaligned __attribute__((aligned(sizeof(float)), may_alias));

static inline struct pair times_conjugate(struct pair x, struct pair y)
{
    return (struct pair){x.re * y.re + x.im * y.im, x.im * y.re - x.re * y.im};
}

// The lanes of x and y by turns, of the lower and of the upper half of every 128 bits.
static inline floats interleave_low(floats x, floats y)
{
    return SHUFFLE(x, y, 0, 16, 1, 17, 4, 20, 5, 21, 8, 24, 9, 25, 12, 28, 13, 29);
}

static inline floats interleave_high(floats x, floats y)
{
    return SHUFFLE(x, y, 2, 18, 3, 19, 6, 22, 7, 23, 10, 26, 11, 27, 14, 30, 15, 31);
}

// Of two vectors that hold two numbers each in every fourth and next lane, one that holds the four.
static inline floats fold_pairs(floats x, floats y)
{
    return SHUFFLE(x, y, 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29) + SHUFFLE(x, y, 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31);
}

enum { READ = 3, WRITTEN = 2 };

// The rows of a tile on their way from memory into a buffer, or back.
struct rows {
    const float *from;
    float *to;
    int64_t stride; // of those in memory
    int streamed;
};

static inline void read_row(const struct rows *rows, int64_t t)
{
    const float *row = rows->from + t * rows->stride;
    memcpy(rows->to + t * LANES, row, LANES * sizeof *row);
    __builtin_prefetch(row - TILE, 0, 2); // into L2
}

static inline void write_row(const struct rows *rows, int64_t t)
{
    float *row = rows->to + t * rows->stride;
#if defined(__AVX512DQ__)
    if (rows->streamed) {
        _mm512_stream_ps(row, load(rows->from + t * LANES));
        return;
    }
#endif
    memcpy(row, rows->from + t * LANES, LANES * sizeof *row);
    __builtin_prefetch(row - TILE, 1, 2);
}

// Whole tiles from such rows and into them.
static void load_rows(floats *tile, const float *rows)
{
    load_square(tile, rows, TILE);
}

static void store_rows(float *rows, const floats *tile)
{
    store_square(rows, tile, TILE);
}

// What one block of channels carries from tile to tile, and what it sums over time.
struct block {
    struct rate A[STATES];
    struct pair g[STATES], dA[STATES];
};

// One tile of a block: sum_g is sum_n g B, sum_q is sum_n (g a h_{t-1}) A.
struct tile {
    floats u[TILE], delta[TILE], x[TILE], dy[TILE], sum_g[TILE], sum_q[TILE];
};

static void open_block(struct block *block, const struct selective_scan_backward_args *args, int64_t b, int64_t d0, int64_t channels)
{
    memset(block, 0, sizeof *block);
    load_rates(block->A, args->A + d0 * PLANES, channels);
}

// The states before a tile, and those before the tile that precedes it, which are asked for meanwhile.
struct states {
    const float *from, *before;
    int64_t channels;
};

// A tile from where the walk before it has put its rows, or from memory.
static void open_tile(struct tile *tile, float (*rows)[TILE * LANES], const struct block *block, const struct selective_scan_backward_args *args,
                      int64_t b, int64_t d0, int64_t channels, int64_t t0, int64_t steps)
{
    const float *u_0 = args->u + b * args->u_stride_batch + d0 * args->u_stride_dim;
    const float *delta_0 = args->delta + b * args->delta_stride_batch + d0 * args->delta_stride_dim;
    const float *dout_0 = args->dout + b * args->dout_stride_batch + d0 * args->dout_stride_dim;
    if (rows) {
        load_rows(tile->u, rows[0]);
        load_rows(tile->delta, rows[1]);
        load_rows(tile->dy, rows[2]);
    } else {
        load_tile(tile->u, u_0 + t0, args->u_stride_dim, channels, steps);
        load_tile(tile->delta, delta_0 + t0, args->delta_stride_dim, channels, steps);
        load_tile(tile->dy, dout_0 + t0, args->dout_stride_dim, channels, steps);
    }
    for (int64_t t = 0; t < steps; t++) {
        tile->x[t] = tile->delta[t] * tile->u[t];
        tile->sum_g[t] = tile->sum_q[t] = (floats){0};
    }
}

// A whole tile goes to where the next walk writes it from, another one to memory.
static void close_tile(struct tile *tile, float (*rows)[TILE * LANES], struct block *block, const struct selective_scan_backward_args *args,
                       int64_t b, int64_t d0, int64_t channels, int64_t t0, int64_t steps)
{
    float *du_0 = args->du + b * args->du_stride_batch + d0 * args->du_stride_dim;
    float *ddelta_0 = args->ddelta + b * args->ddelta_stride_batch + d0 * args->ddelta_stride_dim;
    for (int64_t t = 0; t < steps; t++) {
        const floats u = tile->u[t], g = tile->sum_g[t];
        tile->u[t] = tile->delta[t] * g;
        tile->delta[t] = u * g + 0.6931471805599453f * tile->sum_q[t];
    }
    if (rows) {
        store_rows(rows[0], tile->u);
        store_rows(rows[1], tile->delta);
    } else {
        store_tile(du_0 + t0, args->du_stride_dim, tile->u, channels, steps);
        store_tile(ddelta_0 + t0, args->ddelta_stride_dim, tile->delta, channels, steps);
    }
}

// The states n to n + 3 of a tile: forward for h, which only every TILE-th step keeps, then back.
// What is written to memory and read from it meanwhile belongs to the tiles before and after.
static void walk_4(struct tile *tile, struct block *block, const struct states *states, int64_t steps, int n,
                   const float *B, const float *C, unaligned *dB, unaligned *dC, const struct rows *written, const struct rows *read)
{
    struct pair a[TILE][4], h[TILE][4]; // h before each step
    __builtin_prefetch(states->before + 2 * (n + 0) * STATE_BLOCK, 0, 2);
    __builtin_prefetch(states->before + (2 * (n + 0) + 1) * STATE_BLOCK, 0, 2);
    struct pair h0 = {load_channels(states->from + 2 * (n + 0) * STATE_BLOCK, states->channels), load_channels(states->from + (2 * (n + 0) + 1) * STATE_BLOCK, states->channels)};
    const struct rate rate0 = block->A[n + 0];
    const struct pair A0 = {rate0.re, 4.532360141827193f * rate0.turns};
    __builtin_prefetch(states->before + 2 * (n + 1) * STATE_BLOCK, 0, 2);
    __builtin_prefetch(states->before + (2 * (n + 1) + 1) * STATE_BLOCK, 0, 2);
    struct pair h1 = {load_channels(states->from + 2 * (n + 1) * STATE_BLOCK, states->channels), load_channels(states->from + (2 * (n + 1) + 1) * STATE_BLOCK, states->channels)};
    const struct rate rate1 = block->A[n + 1];
    const struct pair A1 = {rate1.re, 4.532360141827193f * rate1.turns};
    __builtin_prefetch(states->before + 2 * (n + 2) * STATE_BLOCK, 0, 2);
    __builtin_prefetch(states->before + (2 * (n + 2) + 1) * STATE_BLOCK, 0, 2);
    struct pair h2 = {load_channels(states->from + 2 * (n + 2) * STATE_BLOCK, states->channels), load_channels(states->from + (2 * (n + 2) + 1) * STATE_BLOCK, states->channels)};
    const struct rate rate2 = block->A[n + 2];
    const struct pair A2 = {rate2.re, 4.532360141827193f * rate2.turns};
    __builtin_prefetch(states->before + 2 * (n + 3) * STATE_BLOCK, 0, 2);
    __builtin_prefetch(states->before + (2 * (n + 3) + 1) * STATE_BLOCK, 0, 2);
    struct pair h3 = {load_channels(states->from + 2 * (n + 3) * STATE_BLOCK, states->channels), load_channels(states->from + (2 * (n + 3) + 1) * STATE_BLOCK, states->channels)};
    const struct rate rate3 = block->A[n + 3];
    const struct pair A3 = {rate3.re, 4.532360141827193f * rate3.turns};
    for (int64_t t = 0; t < steps; t++) {
        write_row(written, t);
        const float *B_t = B + t * PLANES + 2 * n;
        const floats delta = tile->delta[t], x = tile->x[t];
        h[t][0] = h0;
        const struct pair a0 = a[t][0] = exp_complex(delta, rate0);
        h0 = times_conjugate(h0, (struct pair){a0.re, -a0.im});
        h0.re += x * B_t[0];
        h0.im += x * B_t[1];
        h[t][1] = h1;
        const struct pair a1 = a[t][1] = exp_complex(delta, rate1);
        h1 = times_conjugate(h1, (struct pair){a1.re, -a1.im});
        h1.re += x * B_t[2];
        h1.im += x * B_t[3];
        h[t][2] = h2;
        const struct pair a2 = a[t][2] = exp_complex(delta, rate2);
        h2 = times_conjugate(h2, (struct pair){a2.re, -a2.im});
        h2.re += x * B_t[4];
        h2.im += x * B_t[5];
        h[t][3] = h3;
        const struct pair a3 = a[t][3] = exp_complex(delta, rate3);
        h3 = times_conjugate(h3, (struct pair){a3.re, -a3.im});
        h3.re += x * B_t[6];
        h3.im += x * B_t[7];
    }
    struct pair g0 = block->g[n + 0], dA0 = block->dA[n + 0];
    struct pair g1 = block->g[n + 1], dA1 = block->dA[n + 1];
    struct pair g2 = block->g[n + 2], dA2 = block->dA[n + 2];
    struct pair g3 = block->g[n + 3], dA3 = block->dA[n + 3];
    for (int64_t t = steps - 1; t >= 0; t--) {
        read_row(read, t);
        const float *B_t = B + t * PLANES + 2 * n;
        const float *C_t = C + t * PLANES + 2 * n;
        unaligned *dB_t = dB + t * VECTORS;
        unaligned *dC_t = dC + t * VECTORS;
        const floats delta = tile->delta[t], x = tile->x[t], dy = 2 * tile->dy[t];
        floats sum_g = tile->sum_g[t], sum_q = tile->sum_q[t];
        const floats dy_low = interleave_low(dy, -dy), dy_high = interleave_high(dy, -dy);
        dC_t[0] += fold_pairs(dy_low * interleave_low(h0.re, h0.im) + dy_high * interleave_high(h0.re, h0.im),
                               dy_low * interleave_low(h1.re, h1.im) + dy_high * interleave_high(h1.re, h1.im));
        dC_t[1] += fold_pairs(dy_low * interleave_low(h2.re, h2.im) + dy_high * interleave_high(h2.re, h2.im),
                               dy_low * interleave_low(h3.re, h3.im) + dy_high * interleave_high(h3.re, h3.im));
        g0.re += dy * C_t[0];
        sum_g += g0.re * B_t[0];
        g0.im -= dy * C_t[1];
        sum_g += g0.im * B_t[1];
        g1.re += dy * C_t[2];
        sum_g += g1.re * B_t[2];
        g1.im -= dy * C_t[3];
        sum_g += g1.im * B_t[3];
        g2.re += dy * C_t[4];
        sum_g += g2.re * B_t[4];
        g2.im -= dy * C_t[5];
        sum_g += g2.im * B_t[5];
        g3.re += dy * C_t[6];
        sum_g += g3.re * B_t[6];
        g3.im -= dy * C_t[7];
        sum_g += g3.im * B_t[7];
        const floats x_low = interleave_low(x, x), x_high = interleave_high(x, x);
        dB_t[0] += fold_pairs(x_low * interleave_low(g0.re, g0.im) + x_high * interleave_high(g0.re, g0.im),
                               x_low * interleave_low(g1.re, g1.im) + x_high * interleave_high(g1.re, g1.im));
        dB_t[1] += fold_pairs(x_low * interleave_low(g2.re, g2.im) + x_high * interleave_high(g2.re, g2.im),
                               x_low * interleave_low(g3.re, g3.im) + x_high * interleave_high(g3.re, g3.im));
        h0 = h[t][0];
        g0 = times_conjugate(g0, a[t][0]);
        const struct pair q0 = times_conjugate(g0, h0);
        sum_q += q0.re * A0.re;
        dA0.re += q0.re * delta;
        sum_q += q0.im * A0.im;
        dA0.im += q0.im * delta;
        h1 = h[t][1];
        g1 = times_conjugate(g1, a[t][1]);
        const struct pair q1 = times_conjugate(g1, h1);
        sum_q += q1.re * A1.re;
        dA1.re += q1.re * delta;
        sum_q += q1.im * A1.im;
        dA1.im += q1.im * delta;
        h2 = h[t][2];
        g2 = times_conjugate(g2, a[t][2]);
        const struct pair q2 = times_conjugate(g2, h2);
        sum_q += q2.re * A2.re;
        dA2.re += q2.re * delta;
        sum_q += q2.im * A2.im;
        dA2.im += q2.im * delta;
        h3 = h[t][3];
        g3 = times_conjugate(g3, a[t][3]);
        const struct pair q3 = times_conjugate(g3, h3);
        sum_q += q3.re * A3.re;
        dA3.re += q3.re * delta;
        sum_q += q3.im * A3.im;
        dA3.im += q3.im * delta;
        tile->sum_g[t] = sum_g;
        tile->sum_q[t] = sum_q;
    }
    block->g[n + 0] = g0;
    block->dA[n + 0] = dA0;
    block->g[n + 1] = g1;
    block->dA[n + 1] = dA1;
    block->g[n + 2] = g2;
    block->dA[n + 2] = dA2;
    block->g[n + 3] = g3;
    block->dA[n + 3] = dA3;
}

// The sums over the lanes that hold the same plane of a row, one after the other.
static inline __attribute__((always_inline)) void add_lanes(float *out, const unaligned *row, int fold)
{
    float sums[4] = {0};
    for (int lane = 0; lane < LANES; lane += fold)
        for (int k = 0; k < fold; k++)
            sums[k] += (*row)[lane + k];
    memcpy(out, sums, (size_t)fold * sizeof *out);
}

static void add_rows(float *out, const unaligned *rows, int64_t steps)
{
    for (int64_t t = 0; t < steps; t++) {
        for (int i = 0; i < 8; i++)
            add_lanes(out + t * PLANES + i * 4, rows + t * VECTORS + i, 4);
    }
}

static inline int64_t channels_of(int64_t width, int block)
{
    const int64_t left = width - block * LANES;
    return left < 0 ? 0 : left < LANES ? left : LANES;
}

static void plan_reading(struct rows *rows, float (*to)[TILE * LANES], const struct selective_scan_backward_args *args, int64_t b,
                         int64_t d0, int64_t t0)
{
    const float *u = args->u + b * args->u_stride_batch + d0 * args->u_stride_dim + t0;
    rows[0] = (struct rows){u, to[0], args->u_stride_dim};
    const float *delta = args->delta + b * args->delta_stride_batch + d0 * args->delta_stride_dim + t0;
    rows[1] = (struct rows){delta, to[1], args->delta_stride_dim};
    const float *dout = args->dout + b * args->dout_stride_batch + d0 * args->dout_stride_dim + t0;
    rows[2] = (struct rows){dout, to[2], args->dout_stride_dim};
}

static void plan_writing(struct rows *rows, float (*from)[TILE * LANES], const struct selective_scan_backward_args *args, int64_t b,
                         int64_t d0, int64_t t0)
{
    // Past the caches, where they would not hold it all; such lines need not be read before they are written.
    const int streamed = args->batch * args->dim * args->seqlen >= 2097152;
    float *du = args->du + b * args->du_stride_batch + d0 * args->du_stride_dim + t0;
    rows[0] = (struct rows){from[0], du, args->du_stride_dim, streamed && (uintptr_t)du % 64 == 0 && args->du_stride_dim % LANES == 0};
    float *ddelta = args->ddelta + b * args->ddelta_stride_batch + d0 * args->ddelta_stride_dim + t0;
    rows[1] = (struct rows){from[1], ddelta, args->ddelta_stride_dim, streamed && (uintptr_t)ddelta % 64 == 0 && args->ddelta_stride_dim % LANES == 0};
}

// A team of neighbouring blocks, so that the rows which all channels share are summed in lanes first.
static void scan_team(const struct selective_scan_backward_args *args, int64_t b, int64_t g, int64_t d0, int64_t width, float *partial, unaligned *rows)
{
    struct block blocks[BLOCKS];
    const int count = (int)((width + LANES - 1) / LANES);
    const int64_t chunks = (args->seqlen + TILE - 1) / TILE;
    unaligned *dB = rows;
    unaligned *dC = rows + TILE * VECTORS;
    for (int i = 0; i < count; i++)
        open_block(&blocks[i], args, b, d0 + i * LANES, channels_of(width, i));
    struct tile tile;
    float rows_read[READ][TILE * LANES] __attribute__((aligned(64))), rows_written[WRITTEN][TILE * LANES] __attribute__((aligned(64)));
    float unused[2][TILE * LANES] __attribute__((aligned(64))) = {0};
    const struct rows nothing = {unused[0], unused[1], 0};
    struct rows reading[4], writing[4];
    for (int k = 0; k < 4; k++)
        reading[k] = nothing;
    for (int k = 0; k < 4; k++)
        writing[k] = nothing;
    int is_read = 0;
    for (int64_t chunk = chunks - 1; chunk >= 0; chunk--) {
        const int64_t t0 = chunk * TILE, steps = args->seqlen - t0 < TILE ? args->seqlen - t0 : TILE;
        const float *B = args->B + ((b * args->groups + g) * args->seqlen + t0) * PLANES;
        const float *C = args->C + ((b * args->groups + g) * args->seqlen + t0) * PLANES;
        memset(dB, 0, (size_t)steps * VECTORS * sizeof *dB);
        memset(dC, 0, (size_t)steps * VECTORS * sizeof *dC);
        for (int i = 0; i < count; i++) {
            const int64_t d = d0 + i * LANES, channels = channels_of(width, i);
            const struct states states = {
                args->states + slot_offset(b * ((args->seqlen + TILE - 1) / TILE) + chunk, args->dim, args->groups, d),
                args->states + slot_offset(b * ((args->seqlen + TILE - 1) / TILE) + (chunk > 0 ? chunk - 1 : 0), args->dim, args->groups, d),
                channels,
            };
            open_tile(&tile, is_read ? rows_read : NULL, &blocks[i], args, b, d, channels, t0, steps);
            const int next = i + 1 < count ? i + 1 : 0;
            const int64_t next_t0 = next ? t0 : t0 - TILE;
            is_read = steps == TILE && next_t0 >= 0 && channels_of(width, next) == LANES;
            if (is_read)
                plan_reading(reading, rows_read, args, b, d0 + next * LANES, next_t0);
            else
                for (int k = 0; k < READ; k++)
                    reading[k] = nothing;
            for (int group = 0; group < 4; group++)
                walk_4(&tile, &blocks[i], &states, steps, group * GROUP, B, C, dB + 2 * group, dC + 2 * group, writing + group, reading + group);
            const int is_whole = steps == TILE && channels == LANES;
            close_tile(&tile, is_whole ? rows_written : NULL, &blocks[i], args, b, d, channels, t0, steps);
            if (is_whole)
                plan_writing(writing, rows_written, args, b, d, t0);
            else
                for (int k = 0; k < WRITTEN; k++)
                    writing[k] = nothing;
        }
        add_rows(partial + t0 * PLANES, dB, steps);
        add_rows(partial + args->seqlen * PLANES + t0 * PLANES, dC, steps);
    }
    // What the last tile left to be written.
    for (int k = 0; k < WRITTEN; k++)
        for (int64_t t = 0; t < TILE; t++)
            write_row(&writing[k], t);
#if defined(__AVX512DQ__)
    _mm_sfence(); // for threads that read what was streamed
#endif
    for (int i = 0; i < count; i++) {
        const int64_t d = d0 + i * LANES, channels = channels_of(width, i);
        float *sums = args->sums + b * SUMS * args->dim + d;
        for (int n = 0; n < STATES; n++) {
            memcpy(sums + (0 * PLANES + 2 * n) * args->dim, &blocks[i].dA[n].re, (size_t)channels * sizeof *sums);
            memcpy(sums + (0 * PLANES + 2 * n + 1) * args->dim, &blocks[i].dA[n].im, (size_t)channels * sizeof *sums);
        }
    }
}

void selective_scan_backward(const struct selective_scan_backward_args *args)
{
    const int64_t groups = args->groups, width = args->dim / groups;
    const int64_t teams = (width + BLOCKS * LANES - 1) / (BLOCKS * LANES);
    // Below some ten microseconds of work, waking threads costs more than they bring.
    const int64_t work = args->batch * args->dim * args->seqlen * STATES;
    const int threads = work < 65536 ? 1 : (int)args->threads;
#pragma omp parallel for num_threads(threads) schedule(dynamic)
    for (int64_t task = 0; task < args->batch * groups * teams; task++) {
        const int64_t d = task % teams * BLOCKS * LANES, g = task / teams % groups, b = task / teams / groups;
        const int64_t channels = width - d < BLOCKS * LANES ? width - d : BLOCKS * LANES;
        scan_team(args, b, g, g * width + d, channels, args->partial + task * 2 * args->seqlen * PLANES, (unaligned *)args->rows + task * (ROWS + APART));
    }
    // What several tasks share is added up in one order, whatever the threads.
#pragma omp parallel for num_threads(threads)
    for (int64_t d = 0; d < args->dim; d++) {
        for (int n = 0; n < PLANES; n++) {
            float dA = 0;
            for (int64_t b = 0; b < args->batch; b++)
                dA += args->sums[(b * SUMS + 0 * PLANES + n) * args->dim + d];
            args->dA[d * PLANES + n] = dA;
        }
    }
#pragma omp parallel for num_threads(threads)
    for (int64_t row = 0; row < args->batch * groups * args->seqlen; row++) {
        const int64_t group = row / args->seqlen, t = row % args->seqlen;
        const float *partial = args->partial + group * teams * 2 * args->seqlen * PLANES + t * PLANES;
        float dB[PLANES] = {0};
        float dC[PLANES] = {0};
        for (int64_t team = 0; team < teams; team++) {
            for (int n = 0; n < PLANES; n++)
                dB[n] += partial[n];
            partial += args->seqlen * PLANES;
            for (int n = 0; n < PLANES; n++)
                dC[n] += partial[n];
            partial += args->seqlen * PLANES;
        }
        memcpy(args->dB + row * PLANES, dB, sizeof dB);
        memcpy(args->dC + row * PLANES, dC, sizeof dC);
    }
}
