// ssd backward, bf16: chunked(block=64,chunk=64,lanes=16,rows=8,vectors=2)
// h_t = exp(dt_t A) h_{t-1} + dt_t x_t B_t^T,  y_t = h_t C_t + D x_t,  out = y * silu(z)
// dt = softplus(dt + dt_bias) when asked, within limits
// Rendered by ssmgen from templates/c/ssd_backward.c.j2; source 3c28c80dc8d14dd4.
#include <stdint.h>
#include <string.h>
#if defined(__AVX512DQ__)
#include <immintrin.h>
#endif

enum { LANES = 16, STATES = 128, CHUNK = 64, CHANNELS = 64, WIDE = 2 * LANES, PADDED = (STATES + WIDE - 1) / WIDE * WIDE };

typedef float floats __attribute__((vector_size(64)));
typedef int32_t ints __attribute__((vector_size(64)));
typedef uint32_t words __attribute__((vector_size(64)));
typedef uint16_t halves __attribute__((vector_size(32)));

struct ssd_backward_args {
    const uint16_t *x;
    const uint16_t *dt;
    const float *A;
    const uint16_t *B;
    const uint16_t *C;
    const float *D;
    const uint16_t *z;
    const float *dt_bias;
    const float *limit;
    const float *initial_state;
    const int32_t *cu_seqlens;
    const uint16_t *dout;
    const float *dlast_state;
    uint16_t *dx;
    uint16_t *ddt;
    float *dA;
    uint16_t *dB;
    uint16_t *dC;
    float *dD;
    uint16_t *dz;
    float *ddt_bias;
    float *dinitial_state;
    float *states;
    float *steps;
    float *rows;
    float *sums;
    int64_t batch, seqlen, heads, dim, groups;
    int64_t x_stride_batch, x_stride_step, x_stride_head;
    int64_t dt_stride_batch, dt_stride_step, dt_stride_head;
    int64_t B_stride_batch, B_stride_step, B_stride_group;
    int64_t C_stride_batch, C_stride_step, C_stride_group;
    int64_t D_stride_head, D_stride_dim;
    int64_t z_stride_batch, z_stride_step, z_stride_head;
    int64_t dout_stride_batch, dout_stride_step, dout_stride_head;
    int64_t dx_stride_batch, dx_stride_step, dx_stride_head;
    int64_t ddt_stride_batch, ddt_stride_step, ddt_stride_head;
    int64_t dB_stride_batch, dB_stride_step, dB_stride_group;
    int64_t dC_stride_batch, dC_stride_step, dC_stride_group;
    int64_t dD_stride_head, dD_stride_dim;
    int64_t dz_stride_batch, dz_stride_step, dz_stride_head;
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

// 1 / (1 + exp(-x)).
static inline floats sigmoid(floats x)
{
    return 1 / (1 + exp2_lanes(-1.4426950408889634f * x));
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

// out += a b, of which 8 rows of 2 vectors at a time are held in registers; `rows` and `columns` are multiples of 8 and WIDE.
static inline void multiply(float *out, int64_t out_row, int64_t rows, int64_t columns, int64_t inner, const float *a, int64_t a_row, int64_t a_column,
                            const float *b, int64_t b_row)
{
    for (int64_t j = 0; j < columns; j += WIDE)
        for (int64_t i = 0; i < rows; i += 8) {
            float *out0 = out + i * out_row + j;
            float *out1 = out + (i + 1) * out_row + j;
            float *out2 = out + (i + 2) * out_row + j;
            float *out3 = out + (i + 3) * out_row + j;
            float *out4 = out + (i + 4) * out_row + j;
            float *out5 = out + (i + 5) * out_row + j;
            float *out6 = out + (i + 6) * out_row + j;
            float *out7 = out + (i + 7) * out_row + j;
            floats sum0_0 = load_reals(out0, LANES), sum0_1 = load_reals(out0 + LANES, LANES);
            floats sum1_0 = load_reals(out1, LANES), sum1_1 = load_reals(out1 + LANES, LANES);
            floats sum2_0 = load_reals(out2, LANES), sum2_1 = load_reals(out2 + LANES, LANES);
            floats sum3_0 = load_reals(out3, LANES), sum3_1 = load_reals(out3 + LANES, LANES);
            floats sum4_0 = load_reals(out4, LANES), sum4_1 = load_reals(out4 + LANES, LANES);
            floats sum5_0 = load_reals(out5, LANES), sum5_1 = load_reals(out5 + LANES, LANES);
            floats sum6_0 = load_reals(out6, LANES), sum6_1 = load_reals(out6 + LANES, LANES);
            floats sum7_0 = load_reals(out7, LANES), sum7_1 = load_reals(out7 + LANES, LANES);
            for (int64_t k = 0; k < inner; k++) {
                const float *a_k = a + i * a_row + k * a_column, *b_k = b + k * b_row + j;
                const floats b0 = load_reals(b_k, LANES), b1 = load_reals(b_k + LANES, LANES);
                sum0_0 += *a_k * b0;
                sum0_1 += *a_k * b1;
                sum1_0 += a_k[a_row] * b0;
                sum1_1 += a_k[a_row] * b1;
                sum2_0 += a_k[2 * a_row] * b0;
                sum2_1 += a_k[2 * a_row] * b1;
                sum3_0 += a_k[3 * a_row] * b0;
                sum3_1 += a_k[3 * a_row] * b1;
                sum4_0 += a_k[4 * a_row] * b0;
                sum4_1 += a_k[4 * a_row] * b1;
                sum5_0 += a_k[5 * a_row] * b0;
                sum5_1 += a_k[5 * a_row] * b1;
                sum6_0 += a_k[6 * a_row] * b0;
                sum6_1 += a_k[6 * a_row] * b1;
                sum7_0 += a_k[7 * a_row] * b0;
                sum7_1 += a_k[7 * a_row] * b1;
            }
            memcpy(out0, &sum0_0, sizeof sum0_0);
            memcpy(out0 + LANES, &sum0_1, sizeof sum0_1);
            memcpy(out1, &sum1_0, sizeof sum1_0);
            memcpy(out1 + LANES, &sum1_1, sizeof sum1_1);
            memcpy(out2, &sum2_0, sizeof sum2_0);
            memcpy(out2 + LANES, &sum2_1, sizeof sum2_1);
            memcpy(out3, &sum3_0, sizeof sum3_0);
            memcpy(out3 + LANES, &sum3_1, sizeof sum3_1);
            memcpy(out4, &sum4_0, sizeof sum4_0);
            memcpy(out4 + LANES, &sum4_1, sizeof sum4_1);
            memcpy(out5, &sum5_0, sizeof sum5_0);
            memcpy(out5 + LANES, &sum5_1, sizeof sum5_1);
            memcpy(out6, &sum6_0, sizeof sum6_0);
            memcpy(out6 + LANES, &sum6_1, sizeof sum6_1);
            memcpy(out7, &sum7_0, sizeof sum7_0);
            memcpy(out7 + LANES, &sum7_1, sizeof sum7_1);
        }
}

// Rows of `to` are columns of `from`.
static void transpose(const float *from, int64_t from_row, int64_t rows, int64_t columns, float *to, int64_t to_row)
{
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < columns; j++)
            to[j * to_row + i] = from[i * from_row + j];
}

// Each row times its scale; the sum of its products with the row of `other`, then, into `sums`.
static void weigh(float *x, int64_t x_row, int64_t rows, int64_t columns, const float *scale, const float *other, float *sums)
{
    for (int64_t t = 0; t < rows; t++) {
        floats sum = {0};
        for (int64_t j = 0; j < columns; j += LANES) {
            const floats weighed = scale[t] * load_reals(x + t * x_row + j, LANES);
            sum += weighed * load_reals(other + t * x_row + j, LANES);
            memcpy(x + t * x_row + j, &weighed, sizeof weighed);
        }
        sums[t] = total(sum);
    }
}

// Rows as memory holds them, widened; zero beyond their ends.
static void load_rows(float *to, int64_t to_row, int64_t rows, int64_t columns, const uint16_t *from, int64_t from_row, int64_t steps, int64_t count)
{
    for (int64_t t = 0; t < rows; t++)
        for (int64_t j = 0; j < columns; j += LANES) {
            const floats x = t < steps ? load_some(from + t * from_row + j, count - j) : (floats){0};
            memcpy(to + t * to_row + j, &x, sizeof x);
        }
}

// The decays of the steps of a chunk.
struct decays {
    int64_t span;                                   // the steps, and what fills the last vector
    float dt[CHUNK];
    float slope[CHUNK];                             // of dt by what was given
    float high[CHUNK], low[CHUNK];                  // log2 of what is left of the state before the chunk, in two parts
    float from_start[CHUNK], to_end[CHUNK], whole;  // what is left of that state, and of the step by the chunk's end
};

static void load_decays(struct decays *decays, const struct ssd_backward_args *args, int64_t row, int64_t head, int64_t first, int64_t t0, int64_t steps)
{
    const uint16_t *dt_0 = args->dt + row * args->dt_stride_batch + head * args->dt_stride_head;
    const floats A = exponent((floats){0} + args->A[head]);
    float given[CHUNK];
    double since = 0, ends[CHUNK];
    decays->span = (steps + WIDE - 1) / WIDE * WIDE;
    for (int64_t t = 0; t < CHUNK; t++)
        given[t] = t < steps ? load_part(dt_0 + (t0 + t) * args->dt_stride_step, 1)[0] + args->dt_bias[head] : 0;
    for (int64_t t = 0; t < CHUNK; t += LANES) {
        const floats before = load_reals(given + t, LANES);
        floats dt = softplus(before), slope = sigmoid(before);
        slope = choose((dt >= args->limit[0]) & (dt <= args->limit[1]), slope, (floats){0});
        dt = choose(dt < args->limit[0], (floats){0} + args->limit[0], dt);
        dt = choose(dt > args->limit[1], (floats){0} + args->limit[1], dt);
        memcpy(decays->dt + t, &dt, sizeof dt);
        memcpy(decays->slope + t, &slope, sizeof slope);
    }
    for (int64_t t = 0; t < CHUNK; t++) {
        if (t >= steps)
            decays->dt[t] = 0;
        ends[t] = since += (double)(decays->dt[t] * A[0]);
        decays->high[t] = (float)since;
        decays->low[t] = (float)(since - decays->high[t]);
    }
    (void)t0, (void)first;
    for (int64_t t = 0; t < CHUNK; t++)
        decays->to_end[t] = (float)(since - ends[t]);
    for (int64_t t = 0; t < CHUNK; t += LANES) {
        const floats from_start = exp2_lanes(load_reals(decays->high + t, LANES)), to_end = exp2_lanes(load_reals(decays->to_end + t, LANES));
        memcpy(decays->from_start + t, &from_start, sizeof from_start);
        memcpy(decays->to_end + t, &to_end, sizeof to_end);
    }
    decays->whole = decays->from_start[CHUNK - 1];
}

// L of step s, for LANES steps from t on.
static inline floats left(const struct decays *decays, int64_t s, int64_t t)
{
    const ints later = (ints){0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15} + (int32_t)t >= (int32_t)s;
    const floats gap = load_reals(decays->high + t, LANES) - decays->high[s] + (load_reals(decays->low + t, LANES) - decays->low[s]);
    return choose(later, exp2_lanes(gap), (floats){0});
}

// The gradients of `channels` channels of a head from p0 on; those of what its channels share are added up where p0 > 0.
static void scan_back(const struct ssd_backward_args *args, int64_t b, int64_t row, int64_t first, int64_t last, int64_t head, int64_t p0, int64_t channels)
{
    const int64_t group = head / (args->heads / args->groups), width = (channels + WIDE - 1) / WIDE * WIDE;
    const uint16_t *x_0 = args->x + row * args->x_stride_batch + head * args->x_stride_head + p0;
    const uint16_t *dout_0 = args->dout + row * args->dout_stride_batch + head * args->dout_stride_head + p0;
    const uint16_t *z_0 = args->z + row * args->z_stride_batch + head * args->z_stride_head + p0;
    uint16_t *dx_0 = args->dx + row * args->dx_stride_batch + head * args->dx_stride_head + p0;
    uint16_t *dz_0 = args->dz + row * args->dz_stride_batch + head * args->dz_stride_head + p0;
    const uint16_t *B_0 = args->B + row * args->B_stride_batch + group * args->B_stride_group;
    const uint16_t *C_0 = args->C + row * args->C_stride_batch + group * args->C_stride_group;
    uint16_t *ddt_0 = args->ddt + row * args->ddt_stride_batch + head * args->ddt_stride_head;
    // The states before each chunk.
    const int64_t slot = first / CHUNK + b;
    float *states = args->states + (slot * args->heads + head) * PADDED * CHANNELS;
    struct decays decays;
    float h[PADDED * CHANNELS], g[PADDED * CHANNELS], turned[CHANNELS * PADDED];
    float B[CHUNK * PADDED], C[CHUNK * PADDED], dB[CHUNK * PADDED], dC[CHUNK * PADDED];
    float x[CHUNK * CHANNELS], dx[CHUNK * CHANNELS], dy[CHUNK * CHANNELS], passed[CHUNK * CHANNELS];
    float E[CHUNK * CHUNK], F[CHUNK * CHUNK], turned_steps[(PADDED > CHANNELS ? PADDED : CHANNELS) * CHUNK];
    float sum_A = 0, sum_dt = 0;
    float skip[CHANNELS] = {0}, sum_D[CHANNELS] = {0};
    for (int64_t p = 0; p < channels; p++)
        skip[p] = args->D[head * args->D_stride_head + (p0 + p) * args->D_stride_dim];
    memset(h, 0, sizeof h);
    memset(g, 0, sizeof g);
    for (int64_t p = 0; p < channels; p++)
        for (int64_t n = 0; n < STATES; n++) {
            const int64_t at = ((b * args->heads + head) * args->dim + p0 + p) * STATES + n;
            h[n * CHANNELS + p] = args->initial_state[at];
            g[n * CHANNELS + p] = args->dlast_state[at];
        }
    const int64_t chunks = (last - first + CHUNK - 1) / CHUNK;
    for (int64_t c = 0; c < chunks; c++) {
        const int64_t t0 = first + c * CHUNK, steps = last - t0 < CHUNK ? last - t0 : CHUNK;
        memcpy(states + c * args->heads * PADDED * CHANNELS, h, sizeof h);
        if (c + 1 == chunks)
            break;
        load_decays(&decays, args, row, head, first, t0, steps);
        load_rows(B, PADDED, decays.span, PADDED, B_0 + t0 * args->B_stride_step, args->B_stride_step, steps, STATES);
        load_rows(x, CHANNELS, decays.span, width, x_0 + t0 * args->x_stride_step, args->x_stride_step, steps, channels);
        for (int64_t t = 0; t < decays.span; t++)
            for (int64_t p = 0; p < width; p++)
                x[t * CHANNELS + p] *= decays.dt[t] * decays.to_end[t];
        for (int64_t i = 0; i < PADDED * CHANNELS; i++)
            h[i] *= decays.whole;
        multiply(h, CHANNELS, PADDED, width, decays.span, B, 1, PADDED, x, CHANNELS);
    }
    for (int64_t c = chunks - 1; c >= 0; c--) {
        const int64_t t0 = first + c * CHUNK, steps = last - t0 < CHUNK ? last - t0 : CHUNK;
        load_decays(&decays, args, row, head, first, t0, steps);
        const int64_t span = decays.span;
        memcpy(h, states + c * args->heads * PADDED * CHANNELS, sizeof h);
        load_rows(B, PADDED, span, PADDED, B_0 + t0 * args->B_stride_step, args->B_stride_step, steps, STATES);
        load_rows(C, PADDED, span, PADDED, C_0 + t0 * args->C_stride_step, args->C_stride_step, steps, STATES);
        load_rows(x, CHANNELS, span, width, x_0 + t0 * args->x_stride_step, args->x_stride_step, steps, channels);
        load_rows(dy, CHANNELS, span, width, dout_0 + t0 * args->dout_stride_step, args->dout_stride_step, steps, channels);
        for (int64_t t = 0; t < span; t++)
            for (int64_t p = 0; p < width; p += LANES) {
                const floats input = decays.dt[t] * load_reals(x + t * CHANNELS + p, LANES);
                memcpy(dx + t * CHANNELS + p, &input, sizeof input);
                const floats gate = t < steps ? load_some(z_0 + (t0 + t) * args->z_stride_step + p, channels - p) : (floats){0};
                const floats gated = gate * sigmoid(gate) * load_reals(dy + t * CHANNELS + p, LANES);
                memcpy(dy + t * CHANNELS + p, &gated, sizeof gated);
            }

        // What steps of the chunk owe to one another.
        memset(E, 0, sizeof E);
        memset(F, 0, sizeof F);
        transpose(C, PADDED, span, PADDED, turned_steps, CHUNK);
        for (int64_t s = 0; s < span; s += WIDE)
            multiply(E + s * CHUNK + s, CHUNK, WIDE, span - s, PADDED, B + s * PADDED, PADDED, 1, turned_steps + s, CHUNK);
        transpose(dy, CHANNELS, span, width, turned_steps, CHUNK);
        for (int64_t s = 0; s < span; s += WIDE)
            multiply(F + s * CHUNK + s, CHUNK, WIDE, span - s, width, dx + s * CHANNELS, CHANNELS, 1, turned_steps + s, CHUNK);
        float across[CHUNK] = {0}, owed[CHUNK]; // by the exponent of each step
        owed[0] = 0;
        for (int64_t s = 0; s < span; s++) {
            floats sum = {0};
            for (int64_t t = s / WIDE * WIDE; t < span; t += LANES) {
                const floats L = left(&decays, s, t), product = load_reals(E + s * CHUNK + t, LANES);
                const floats scores = L * product, inputs = L * load_reals(F + s * CHUNK + t, LANES);
                memcpy(E + s * CHUNK + t, &scores, sizeof scores);
                memcpy(F + s * CHUNK + t, &inputs, sizeof inputs);
                floats added = load_reals(across + t, LANES) + inputs * product;
                memcpy(across + t, &added, sizeof added);
                if (t == s / LANES * LANES)
                    added[s - t] = across[s] = 0; // reached: later steps no longer pass over it
                sum += added;
            }
            if (s + 1 < span)
                owed[s + 1] = total(sum);
        }

        // What passes through the states between chunks, then inside the chunk.
        float by_start[CHUNK], by_end[CHUNK];
        memset(dC, 0, sizeof dC);
        transpose(h, CHANNELS, PADDED, width, turned, PADDED);
        multiply(dC, PADDED, span, PADDED, width, dy, CHANNELS, 1, turned, PADDED);
        weigh(dC, PADDED, span, PADDED, decays.from_start, C, by_start);
        memset(dB, 0, sizeof dB);
        transpose(g, CHANNELS, PADDED, width, turned, PADDED);
        multiply(dB, PADDED, span, PADDED, width, dx, CHANNELS, 1, turned, PADDED);
        weigh(dB, PADDED, span, PADDED, decays.to_end, B, by_end);
        for (int64_t t = 0; t < span; t += WIDE) {
            multiply(dC + t * PADDED, PADDED, WIDE, PADDED, t + WIDE, F + t, 1, CHUNK, B, PADDED);
            multiply(dB + t * PADDED, PADDED, WIDE, PADDED, span - t, F + t * CHUNK + t, CHUNK, 1, C + t * PADDED, PADDED);
        }
        memset(passed, 0, sizeof passed);
        multiply(passed, CHANNELS, span, width, PADDED, C, PADDED, 1, h, CHANNELS);
        for (int64_t t = 0; t < span; t++)
            for (int64_t p = 0; p < width; p++)
                passed[t * CHANNELS + p] *= decays.from_start[t];
        for (int64_t t = 0; t < span; t += WIDE)
            multiply(passed + t * CHANNELS, CHANNELS, WIDE, width, t + WIDE, E + t, 1, CHUNK, dx, CHANNELS);
        for (int64_t t = 0; t < steps; t++)
            for (int64_t p = 0; p < channels; p += LANES) {
                const floats gate = load_some(z_0 + (t0 + t) * args->z_stride_step + p, channels - p), opened = sigmoid(gate);
                const floats given = load_some(dout_0 + (t0 + t) * args->dout_stride_step + p, channels - p);
                const floats y = load_reals(passed + t * CHANNELS + p, LANES) + load_reals(skip + p, LANES) * load_reals(x + t * CHANNELS + p, LANES);
                store_some(dz_0 + (t0 + t) * args->dz_stride_step + p, given * y * opened * (1 + gate * (1 - opened)), channels - p);
            }
        memset(passed, 0, sizeof passed);
        multiply(passed, CHANNELS, span, width, PADDED, B, PADDED, 1, g, CHANNELS);
        for (int64_t t = 0; t < span; t++)
            for (int64_t p = 0; p < width; p++)
                passed[t * CHANNELS + p] *= decays.to_end[t];
        for (int64_t s = 0; s < span; s += WIDE)
            multiply(passed + s * CHANNELS, CHANNELS, WIDE, width, span - s, E + s * CHUNK + s, CHUNK, 1, dy + s * CHANNELS, CHANNELS);

        // What the exponents owe to the states: to the one that passes over the chunk, and to those of steps before or after.
        floats over = {0};
        for (int64_t i = 0; i < PADDED * CHANNELS; i += LANES)
            over += load_reals(h + i, LANES) * load_reals(g + i, LANES);
        float before = decays.whole * total(over), after = 0;
        for (int64_t t = 0; t < steps; t++) {
            owed[t] += before;
            before += by_end[t];
        }
        for (int64_t t = steps - 1; t >= 0; t--) {
            after += by_start[t];
            owed[t] += after;
        }
        for (int64_t t = 0; t < steps; t++) {
            floats sum = {0};
            for (int64_t p = 0; p < channels; p += LANES) {
                const floats x_t = load_reals(x + t * CHANNELS + p, LANES), input = load_reals(passed + t * CHANNELS + p, LANES);
                sum += x_t * input;
                const floats dy_t = load_reals(dy + t * CHANNELS + p, LANES), summed = load_reals(sum_D + p, LANES) + dy_t * x_t;
                memcpy(sum_D + p, &summed, sizeof summed);
                store_some(dx_0 + (t0 + t) * args->dx_stride_step + p, decays.dt[t] * input + load_reals(skip + p, LANES) * dy_t, channels - p);
            }
            sum_A += decays.dt[t] * owed[t];
            float *ddt = args->steps + (row * args->seqlen + t0 + t) * args->heads + head;
            *ddt = (p0 ? *ddt : 0) + total(sum) + args->A[head] * owed[t];
            if (p0 + channels == args->dim) {
                const float given = decays.slope[t] * *ddt;
                sum_dt += given;
                store_part(ddt_0 + (t0 + t) * args->ddt_stride_step, (floats){0} + given, 1);
            }
            float *shared = args->rows + ((row * args->seqlen + t0 + t) * args->heads + head) * 2 * PADDED;
            for (int64_t n = 0; n < PADDED; n++) {
                shared[n] = (p0 ? shared[n] : 0) + dB[t * PADDED + n];
                shared[PADDED + n] = (p0 ? shared[PADDED + n] : 0) + dC[t * PADDED + n];
            }
        }

        // The gradient of the state before the chunk.
        for (int64_t t = 0; t < span; t++)
            for (int64_t p = 0; p < width; p++)
                passed[t * CHANNELS + p] = decays.from_start[t] * dy[t * CHANNELS + p];
        for (int64_t i = 0; i < PADDED * CHANNELS; i++)
            g[i] *= decays.whole;
        multiply(g, CHANNELS, PADDED, width, span, C, 1, PADDED, passed, CHANNELS);
    }
    for (int64_t p = 0; p < channels; p++)
        for (int64_t n = 0; n < STATES; n++)
            args->dinitial_state[((b * args->heads + head) * args->dim + p0 + p) * STATES + n] = g[n * CHANNELS + p];
    float *sums = args->sums + (b * args->heads + head) * (2 + args->dim);
    sums[0] = (p0 ? sums[0] : 0) + sum_A;
    if (p0 + channels == args->dim)
        sums[1] = sum_dt;
    memcpy(sums + 2 + p0, sum_D, (size_t)channels * sizeof *sum_D);
}

// The sum over sequences of one of the sums of a head.
static float over_sequences(const struct ssd_backward_args *args, int64_t head, int64_t at)
{
    float sum = 0;
    for (int64_t b = 0; b < args->batch; b++)
        sum += args->sums[(b * args->heads + head) * (2 + args->dim) + at];
    return sum;
}

void ssd_backward(const struct ssd_backward_args *args)
{
    // Below some ten microseconds of work, waking threads costs more than they bring.
    const int threads = args->seqlen * args->heads * args->dim * STATES < 65536 ? 1 : (int)args->threads;
#pragma omp parallel for num_threads(threads) schedule(dynamic)
    for (int64_t task = 0; task < args->batch * args->heads; task++) {
        const int64_t b = task / args->heads, head = task % args->heads;
        for (int64_t p0 = 0; p0 < args->dim; p0 += CHANNELS)
            scan_back(args, b, 0, args->cu_seqlens[b], args->cu_seqlens[b + 1], head, p0, args->dim - p0 < CHANNELS ? args->dim - p0 : CHANNELS);
    }
    const int64_t shared = args->heads / args->groups;
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t task = 0; task < args->seqlen * args->groups; task++) {
        const int64_t step = task / args->groups, group = task % args->groups, row = step / args->seqlen, t = step % args->seqlen;
        const float *rows = args->rows + (step * args->heads + group * shared) * 2 * PADDED;
        for (int64_t n = 0; n < STATES; n += LANES) {
            floats dB = {0}, dC = {0};
            for (int64_t head = 0; head < shared; head++) {
                dB += load_reals(rows + head * 2 * PADDED + n, LANES);
                dC += load_reals(rows + (head * 2 + 1) * PADDED + n, LANES);
            }
            store_some(args->dB + row * args->dB_stride_batch + t * args->dB_stride_step + group * args->dB_stride_group + n, dB, STATES - n);
            store_some(args->dC + row * args->dC_stride_batch + t * args->dC_stride_step + group * args->dC_stride_group + n, dC, STATES - n);
        }
    }
    for (int64_t head = 0; head < args->heads; head++) {
        args->dA[head] = over_sequences(args, head, 0);
        args->ddt_bias[head] = over_sequences(args, head, 1);
        for (int64_t p = 0; p < args->dim; p++)
            args->dD[head * args->dD_stride_head + p * args->dD_stride_dim] = over_sequences(args, head, 2 + p);
    }
}
