// causal_conv1d_update forward, bf16: channels(lanes=16)
// out_t = bias + sum_k weight_{W-1-k} x_{t-k}, k = 0 ... W - 1, through silu when asked
// Rendered by ssmgen from templates/c/causal_conv1d_update.c.j2; source faced8b2e6b5d27c.
#include <stdint.h>
#include <string.h>
#if defined(__AVX512DQ__)
#include <immintrin.h>
#endif

enum { LANES = 16, WIDTH = 4 };

typedef float floats __attribute__((vector_size(64)));
typedef int32_t ints __attribute__((vector_size(64)));
typedef uint32_t words __attribute__((vector_size(64)));
typedef uint16_t halves __attribute__((vector_size(32)));

struct causal_conv1d_update_args {
    const uint16_t *x;
    uint16_t *conv_state;
    const float *weight;
    const float *bias;
    const int32_t *cache_seqlens;
    const int32_t *indices;
    uint16_t *out;
    int64_t batch, tokens, dim, length, slots;
    int64_t x_stride_batch, x_stride_dim, x_stride_token;
    int64_t conv_state_stride_slot, conv_state_stride_dim, conv_state_stride_step;
    int64_t out_stride_batch, out_stride_dim, out_stride_token;
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

static inline floats silu(floats x)
{
    return x / (1 + exp2_lanes(-1.4426950408889634f * x));
}

// The steps of LANES channels of one sequence, or of fewer.
static void step(const struct causal_conv1d_update_args *args, int64_t b, int64_t d0, int64_t channels)
{
    uint16_t *out = args->out + b * args->out_stride_batch + d0 * args->out_stride_dim;
    const int64_t slot = args->indices[b];
    if (slot < 0 || slot >= args->slots) {
        for (int64_t c = 0; c < channels; c++)
            for (int64_t t = 0; t < args->tokens; t++)
                out[c * args->out_stride_dim + t * args->out_stride_token] = 0;
        return;
    }
    const uint16_t *x = args->x + b * args->x_stride_batch + d0 * args->x_stride_dim;
    uint16_t *state = args->conv_state + slot * args->conv_state_stride_slot + d0 * args->conv_state_stride_dim;
    // The place of the first token, and of those before it.
    const int64_t start = (args->cache_seqlens[b] % args->length + args->length) % args->length;
    for (int64_t t = 0; t < args->tokens; t++) {
        floats y = {0};
        for (int64_t c = 0; c < channels; c++) {
            float sum = args->bias[d0 + c];
            for (int tap = 0; tap < WIDTH; tap++) {
                const int64_t seen = t - (WIDTH - 1) + tap;
                const uint16_t *value = seen < 0 ? state + c * args->conv_state_stride_dim + (start + seen + args->length) % args->length * args->conv_state_stride_step
                                              : x + c * args->x_stride_dim + seen * args->x_stride_token;
                sum += args->weight[(d0 + c) * WIDTH + tap] * load_part(value, 1)[0];
            }
            y[c] = sum;
        }
        y = silu(y);
        for (int64_t c = 0; c < channels; c++)
            store_part(out + c * args->out_stride_dim + t * args->out_stride_token, (floats){0} + y[c], 1);
    }
    for (int64_t c = 0; c < channels; c++) {
        uint16_t *kept = state + c * args->conv_state_stride_dim;
        const uint16_t *x_c = x + c * args->x_stride_dim;
        for (int64_t t = args->tokens > args->length ? args->tokens - args->length : 0; t < args->tokens; t++)
            kept[(start + t) % args->length * args->conv_state_stride_step] = x_c[t * args->x_stride_token];
    }
}

void causal_conv1d_update(const struct causal_conv1d_update_args *args)
{
    const int64_t blocks = (args->dim + LANES - 1) / LANES;
    // Below some ten microseconds of work, waking threads costs more than they bring.
    const int threads = args->batch * args->dim * args->tokens < 32768 ? 1 : (int)args->threads;
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t task = 0; task < args->batch * blocks; task++) {
        const int64_t d0 = task % blocks * LANES;
        step(args, task / blocks, d0, args->dim - d0 < LANES ? args->dim - d0 : LANES);
    }
}
