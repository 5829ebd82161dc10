// selective_state_update forward, fp32: states(ahead=16,lanes=16,task=128)
// h = exp(dt A) h + dt B x,  y = C . h + D x,  out = y * silu(z), token by token
// dt = softplus(dt + dt_bias) when asked
// Rendered by ssmgen from templates/c/selective_state_update_states.c.j2; source 809c61be339c3832.
#include <stdint.h>
#include <string.h>
#if defined(__AVX512DQ__)
#include <immintrin.h>
#endif

enum { LANES = 16, STATES = 16, VECTORS = 1, TASK = 128, AHEAD = 16 };

typedef float floats __attribute__((vector_size(64)));
typedef int32_t ints __attribute__((vector_size(64)));

struct selective_state_update_args {
    float *state;
    const float *x;
    const float *dt;
    const float *A;
    const float *B;
    const float *C;
    float *out;
    int64_t batch, heads, dim, groups;
    int64_t state_stride_slot, state_stride_head, state_stride_dim;
    int64_t x_stride_batch, x_stride_token, x_stride_head;
    int64_t dt_stride_batch, dt_stride_token, dt_stride_head;
    int64_t A_stride_head, A_stride_dim;
    int64_t B_stride_batch, B_stride_token, B_stride_group;
    int64_t C_stride_batch, C_stride_token, C_stride_group;
    int64_t out_stride_batch, out_stride_token, out_stride_head;
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

static inline floats load_some(const float *x, int64_t count)
{
    return count >= LANES ? load(x) : load_part(x, count > 0 ? count : 0);
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

static inline void store_some(float *x, floats y, int64_t count)
{
    if (count >= LANES)
        store(x, y);
    else if (count > 0)
        store_part(x, y, count);
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

static inline floats load_reals(const float *x, size_t count)
{
    floats y = {0};
    memcpy(&y, x, count * sizeof *x);
    return y;
}

// NaN where A is, whose payload exp2_lanes might take for an exponent; a step that is NaN reaches the state by its input.
static inline floats decay_of(floats exponent, floats A)
{
    return (floats)((ints)exp2_lanes(exponent * A) | (A != A));
}

// The channels of one head from `first` to `last`, of one sequence. A channel's products h C are a row; transposing LANES rows turns
// the sums over the lanes into a sum of rows.
static void update(const struct selective_state_update_args *args, int64_t b, int64_t head, int64_t first, int64_t last)
{
    float *out = args->out + b * args->out_stride_batch + head * args->out_stride_head;
    float *state = args->state + b * args->state_stride_slot + head * args->state_stride_head;
    const int64_t group = head / (args->heads / args->groups);
    const float *x = args->x + b * args->x_stride_batch + head * args->x_stride_head;
    const float *dt = args->dt + b * args->dt_stride_batch + head * args->dt_stride_head;
    const float *B_0 = args->B + b * args->B_stride_batch + group * args->B_stride_group;
    const float *C_0 = args->C + b * args->C_stride_batch + group * args->C_stride_group;
    const float *A = args->A + head * args->A_stride_head;
    floats B[VECTORS], C[VECTORS];
    for (int k = 0; k < VECTORS; k++) {
        B[k] = load(B_0 + k * LANES);
        C[k] = load(C_0 + k * LANES);
    }
    const int64_t channels = last - first;
    float exponents[TASK], inputs[TASK];
    for (int64_t c = 0; c < channels; c += LANES) {
        const floats delta = load_some(dt + first + c, channels - c), exponent = 1.4426950408889634f * delta;
        memcpy(exponents + c, &exponent, sizeof exponent);
        const floats input = delta * load_some(x + first + c, channels - c);
        memcpy(inputs + c, &input, sizeof input);
    }
    floats rows[TASK];
    for (int64_t c = 0; c < channels; c++) {
        float *h_c = state + (first + c) * args->state_stride_dim;
        const float *A_c = A + (first + c) * args->A_stride_dim;
        floats row = {0};
        {
            __builtin_prefetch(h_c + AHEAD * args->state_stride_dim, 1);
            floats h = load(h_c);
            const floats A_k = load_reals(A_c, LANES);
            h = decay_of((floats){0} + exponents[c], A_k) * h + inputs[c] * B[0];
            row += h * C[0];
            store(h_c, h);
        }
        rows[c] = row;
    }
    for (int64_t c = 0; c < channels; c += LANES) {
        transpose(rows + c);
        floats y = {0};
        for (int n = 0; n < LANES; n++)
            y += rows[c + n];
        store_some(out + first + c, y, channels - c);
    }
}

void selective_state_update(const struct selective_state_update_args *args)
{
    // Below some ten microseconds of work, waking threads costs more than they bring.
    const int64_t work = args->batch * args->heads * args->dim * STATES;
    const int threads = work < 32768 ? 1 : (int)args->threads;
    const int64_t blocks = (args->dim + TASK - 1) / TASK;
    // One sequence after another, while A of their channels is in L1.
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t task = 0; task < args->heads * blocks * args->batch; task++) {
        const int64_t block = task / args->batch, b = task % args->batch;
        const int64_t first = block % blocks * TASK, last = first + TASK < args->dim ? first + TASK : args->dim;
        update(args, b, block / blocks, first, last);
    }
}
