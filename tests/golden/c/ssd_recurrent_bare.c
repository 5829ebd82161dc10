// ssd forward, fp32: recurrent(lanes=16,states=4,tile=32,vectors=4)
// h_t = exp(dt_t A) h_{t-1} + dt_t x_t B_t^T,  y_t = h_t C_t + D x_t,  out = y * silu(z)
// dt = softplus(dt + dt_bias) when asked, within limits
// Rendered by ssmgen from templates/c/ssd_recurrent.c.j2; source 3c54011b2e798731.
#include <stdint.h>
#include <string.h>
#if defined(__AVX512DQ__)
#include <immintrin.h>
#endif

enum { LANES = 16, STATES = 128, TILE = 32, CHANNELS = 4 * LANES };

typedef float floats __attribute__((vector_size(64)));
typedef int32_t ints __attribute__((vector_size(64)));

struct ssd_args {
    const float *x;
    const float *dt;
    const float *A;
    const float *B;
    const float *C;
    float *out;
    int64_t batch, seqlen, heads, dim, groups;
    int64_t x_stride_batch, x_stride_step, x_stride_head;
    int64_t dt_stride_batch, dt_stride_step, dt_stride_head;
    int64_t B_stride_batch, B_stride_step, B_stride_group;
    int64_t C_stride_batch, C_stride_step, C_stride_group;
    int64_t out_stride_batch, out_stride_step, out_stride_head;
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

// log2(e) A, so that exp(delta A) is a power of 2; a NaN loses its payload, which exp2_lanes might take for an exponent. Those in
// delta reach the state by delta u.
static inline floats exponent(floats A)
{
    return choose(A == A, 1.4426950408889634f * A, (floats){0} + __builtin_nanf(""));
}

// The steps first to last of `channels` channels of a head from p0 on: channels in lanes, a few states at a time in registers,
// which walk through a tile of steps before the next ones do.
static void scan(const struct ssd_args *args, int64_t b, int64_t row, int64_t first, int64_t last, int64_t head, int64_t p0, int64_t channels)
{
    const int64_t group = head / (args->heads / args->groups);
    const float *x_0 = args->x + row * args->x_stride_batch + head * args->x_stride_head + p0;
    const float *dt_0 = args->dt + row * args->dt_stride_batch + head * args->dt_stride_head;
    float *out_0 = args->out + row * args->out_stride_batch + head * args->out_stride_head + p0;
    const float *B_0 = args->B + row * args->B_stride_batch + group * args->B_stride_group;
    const float *C_0 = args->C + row * args->C_stride_batch + group * args->C_stride_group;
    const floats A = exponent((floats){0} + args->A[head]);
    float h[STATES][CHANNELS], y[TILE][CHANNELS], dx[TILE][CHANNELS], delta[TILE], decay[TILE];
    float B[TILE * STATES], C[TILE * STATES];
    memset(h, 0, sizeof h);
    for (int64_t t0 = first; t0 < last; t0 += TILE) {
        const int64_t steps = last - t0 < TILE ? last - t0 : TILE;
        for (int64_t t = 0; t < TILE; t++)
            delta[t] = t < steps ? *(dt_0 + (t0 + t) * args->dt_stride_step) : 0;
for (int64_t t = 0; t < TILE; t += LANES) {
            floats step = load_reals(delta + t, LANES);
const floats power = exp2_lanes(step * A);
            memcpy(delta + t, &step, sizeof step);
            memcpy(decay + t, &power, sizeof power);
        }
        for (int64_t t = 0; t < steps; t++) {
            for (int64_t p = 0; p < CHANNELS; p += LANES) {
                const floats x = load_some(x_0 + (t0 + t) * args->x_stride_step + p, channels - p), input = delta[t] * x;
                memcpy(dx[t] + p, &input, sizeof input);
                memset(y[t] + p, 0, sizeof x);
            }
            for (int64_t n = 0; n < STATES / LANES * LANES; n += LANES) {
                const floats B_t = load(B_0 + (t0 + t) * args->B_stride_step + n), C_t = load(C_0 + (t0 + t) * args->C_stride_step + n);
                memcpy(B + t * STATES + n, &B_t, sizeof B_t);
                memcpy(C + t * STATES + n, &C_t, sizeof C_t);
            }
        }
        for (int64_t n = 0; n < 128; n += 4) {
            floats h0_0 = load_reals(h[n], LANES);
            floats h0_1 = load_reals(h[n] + LANES, LANES);
            floats h0_2 = load_reals(h[n] + 2 * LANES, LANES);
            floats h0_3 = load_reals(h[n] + 3 * LANES, LANES);
            floats h1_0 = load_reals(h[n + 1], LANES);
            floats h1_1 = load_reals(h[n + 1] + LANES, LANES);
            floats h1_2 = load_reals(h[n + 1] + 2 * LANES, LANES);
            floats h1_3 = load_reals(h[n + 1] + 3 * LANES, LANES);
            floats h2_0 = load_reals(h[n + 2], LANES);
            floats h2_1 = load_reals(h[n + 2] + LANES, LANES);
            floats h2_2 = load_reals(h[n + 2] + 2 * LANES, LANES);
            floats h2_3 = load_reals(h[n + 2] + 3 * LANES, LANES);
            floats h3_0 = load_reals(h[n + 3], LANES);
            floats h3_1 = load_reals(h[n + 3] + LANES, LANES);
            floats h3_2 = load_reals(h[n + 3] + 2 * LANES, LANES);
            floats h3_3 = load_reals(h[n + 3] + 3 * LANES, LANES);
            for (int64_t t = 0; t < steps; t++) {
                const float a = decay[t], *B_t = B + t * STATES + n, *C_t = C + t * STATES + n;
                const floats dx0 = load_reals(dx[t], LANES);
                floats y0 = load_reals(y[t], LANES);
                const floats dx1 = load_reals(dx[t] + LANES, LANES);
                floats y1 = load_reals(y[t] + LANES, LANES);
                const floats dx2 = load_reals(dx[t] + 2 * LANES, LANES);
                floats y2 = load_reals(y[t] + 2 * LANES, LANES);
                const floats dx3 = load_reals(dx[t] + 3 * LANES, LANES);
                floats y3 = load_reals(y[t] + 3 * LANES, LANES);
                h0_0 = a * h0_0 + B_t[0] * dx0;
                y0 += C_t[0] * h0_0;
                h0_1 = a * h0_1 + B_t[0] * dx1;
                y1 += C_t[0] * h0_1;
                h0_2 = a * h0_2 + B_t[0] * dx2;
                y2 += C_t[0] * h0_2;
                h0_3 = a * h0_3 + B_t[0] * dx3;
                y3 += C_t[0] * h0_3;
                h1_0 = a * h1_0 + B_t[1] * dx0;
                y0 += C_t[1] * h1_0;
                h1_1 = a * h1_1 + B_t[1] * dx1;
                y1 += C_t[1] * h1_1;
                h1_2 = a * h1_2 + B_t[1] * dx2;
                y2 += C_t[1] * h1_2;
                h1_3 = a * h1_3 + B_t[1] * dx3;
                y3 += C_t[1] * h1_3;
                h2_0 = a * h2_0 + B_t[2] * dx0;
                y0 += C_t[2] * h2_0;
                h2_1 = a * h2_1 + B_t[2] * dx1;
                y1 += C_t[2] * h2_1;
                h2_2 = a * h2_2 + B_t[2] * dx2;
                y2 += C_t[2] * h2_2;
                h2_3 = a * h2_3 + B_t[2] * dx3;
                y3 += C_t[2] * h2_3;
                h3_0 = a * h3_0 + B_t[3] * dx0;
                y0 += C_t[3] * h3_0;
                h3_1 = a * h3_1 + B_t[3] * dx1;
                y1 += C_t[3] * h3_1;
                h3_2 = a * h3_2 + B_t[3] * dx2;
                y2 += C_t[3] * h3_2;
                h3_3 = a * h3_3 + B_t[3] * dx3;
                y3 += C_t[3] * h3_3;
                memcpy(y[t], &y0, sizeof y0);
                memcpy(y[t] + LANES, &y1, sizeof y1);
                memcpy(y[t] + 2 * LANES, &y2, sizeof y2);
                memcpy(y[t] + 3 * LANES, &y3, sizeof y3);
            }
            memcpy(h[n], &h0_0, sizeof h0_0);
            memcpy(h[n] + LANES, &h0_1, sizeof h0_1);
            memcpy(h[n] + 2 * LANES, &h0_2, sizeof h0_2);
            memcpy(h[n] + 3 * LANES, &h0_3, sizeof h0_3);
            memcpy(h[n + 1], &h1_0, sizeof h1_0);
            memcpy(h[n + 1] + LANES, &h1_1, sizeof h1_1);
            memcpy(h[n + 1] + 2 * LANES, &h1_2, sizeof h1_2);
            memcpy(h[n + 1] + 3 * LANES, &h1_3, sizeof h1_3);
            memcpy(h[n + 2], &h2_0, sizeof h2_0);
            memcpy(h[n + 2] + LANES, &h2_1, sizeof h2_1);
            memcpy(h[n + 2] + 2 * LANES, &h2_2, sizeof h2_2);
            memcpy(h[n + 2] + 3 * LANES, &h2_3, sizeof h2_3);
            memcpy(h[n + 3], &h3_0, sizeof h3_0);
            memcpy(h[n + 3] + LANES, &h3_1, sizeof h3_1);
            memcpy(h[n + 3] + 2 * LANES, &h3_2, sizeof h3_2);
            memcpy(h[n + 3] + 3 * LANES, &h3_3, sizeof h3_3);
        }
        for (int64_t t = 0; t < steps; t++)
            for (int64_t p = 0; p < channels; p += LANES) {
                store_some(out_0 + (t0 + t) * args->out_stride_step + p, load_reals(y[t] + p, LANES), channels - p);
            }
    }
}

void ssd(const struct ssd_args *args)
{
    const int64_t blocks = (args->dim + CHANNELS - 1) / CHANNELS;
    // Below some ten microseconds of work, waking threads costs more than they bring.
    const int threads = args->batch * args->seqlen * args->heads * args->dim * STATES < 262144 ? 1 : (int)args->threads;
#pragma omp parallel for num_threads(threads) schedule(dynamic)
    for (int64_t task = 0; task < args->batch * args->heads * blocks; task++) {
        const int64_t b = task / (args->heads * blocks), head = task / blocks % args->heads, p0 = task % blocks * CHANNELS;
        const int64_t channels = args->dim - p0 < CHANNELS ? args->dim - p0 : CHANNELS;
        scan(args, b, b, 0, args->seqlen, head, p0, channels);
    }
}
