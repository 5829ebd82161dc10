// cauchy_mult forward, c64: factored(lanes=16,reciprocal=divide,unroll=1,vectors=2)
// out_l = sum_n v_n / (z_l - w_n)
// symmetric: + conj(v_n) / (z_l - conj(w_n)) for each pole
// Rendered by ssmgen from templates/c/cauchy_mult_factored.c.j2; source 59dd8c17f38481c8.
#include <stdint.h>
#include <string.h>

enum { LANES = 16, POLES = 32, TASK = 1024 };
static const float LIMIT = 0x1p30f;

typedef float floats __attribute__((vector_size(64)));
typedef int32_t ints __attribute__((vector_size(64)));

struct cauchy_mult_args {
    const float *v;
    const float *z;
    const float *w;
    float *out;
    int64_t rows, nodes;
    int64_t v_stride_row;
    int64_t z_stride_row;
    int64_t w_stride_row;
    int64_t out_stride_row;
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

#if defined(__clang__)
#define SHUFFLE(x, y, ...) __builtin_shufflevector(x, y, __VA_ARGS__)
#else
#define SHUFFLE(x, y, ...) __builtin_shuffle(x, y, (ints){__VA_ARGS__})
#endif

static inline floats choose(ints mask, floats x, floats y)
{
    return (floats)((mask & (ints)x) | (~mask & (ints)y));
}

static inline floats inverse(floats x)
{
    return 1 / x;
}

static inline floats magnitude(floats x)
{
    return choose(x < 0, -x, x);
}

static inline int any(ints mask)
{
    mask |= SHUFFLE(mask, mask, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7);
    mask |= SHUFFLE(mask, mask, 4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14, 15, 8, 9, 10, 11);
    mask |= SHUFFLE(mask, mask, 2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13);
    mask |= SHUFFLE(mask, mask, 1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14);
    return mask[0] != 0;
}

// Products of four distances overflow beyond LIMIT, where Nyquist's node is in floating point. Such a node is moved to LIMIT
// along its ray and its sum scaled back: the same to rounding, as poles are small beside it.
static floats shrinkage(floats size)
{
    return LIMIT / choose(size > LIMIT, size, (floats){0} + LIMIT);
}

// A conjugate pair: v / (z - w) + conj(v) / (z - conj(w)) = 2 (s + i y Re v) / (p + i q), where a = x - Re w,
// s = a Re v - Im v Im w and p + i q = (z - w) (z - conj(w)) = a^2 - (y - Im w) (y + Im w) + 2 i a y: factored, since expanded
// to z^2 - 2 z Re w + |w|^2 it cancels. One reciprocal serves the pair, and y leaves the sums.
// On the imaginary axis a and s are the pole's own.
static void multiply(const float *v, const float *w, const float *z, float *out, int64_t count)
{
    float a2[POLES], a2_4[POLES], w_imag[POLES], s[POLES], v_real[POLES], as[POLES], av[POLES];
    for (int n = 0; n < POLES; n++) {
        const float a = -0x1p-10f * w[2 * n];
        w_imag[n] = 0x1p-10f * w[2 * n + 1];
        a2[n] = a * a;
        a2_4[n] = 4 * a * a;
        v_real[n] = 2 * 0x1p-10f * v[2 * n];
        s[n] = a * v_real[n] - 2 * 0x1p-10f * v[2 * n + 1] * w_imag[n];
        av[n] = 2 * a * v_real[n];
        as[n] = 2 * a * s[n];
    }
    for (; count > 0; count -= 2 * LANES, z += 2 * LANES, out += 4 * LANES) {
        floats y0 = 0x1p-10f * load_some(z, count);
        floats sp0 = {0}, va0 = {0}, imag0 = {0};
        floats y1 = 0x1p-10f * load_some(z + LANES, count - LANES);
        floats sp1 = {0}, va1 = {0}, imag1 = {0};
        const floats size0 = magnitude(y0), size1 = magnitude(y1);
        floats shrink0 = (floats){0} + 1, shrink1 = (floats){0} + 1;
        // Rare: a branch keeps it off the way from z to the sums.
        if (any((size0 > LIMIT) | (size1 > LIMIT))) {
            shrink0 = shrinkage(size0);
            y0 *= shrink0;
            shrink1 = shrinkage(size1);
            y1 *= shrink1;
        }
        const floats y20 = y0 * y0, y21 = y1 * y1;
        for (int n = 0; n < POLES; n++) {
            const floats p0 = a2[n] - (y0 - w_imag[n]) * (y0 + w_imag[n]);
            const floats r0 = inverse(p0 * p0 + a2_4[n] * y20), u0 = p0 * r0;
            sp0 += s[n] * u0;
            va0 += av[n] * r0;
            imag0 += v_real[n] * u0 - as[n] * r0;
            const floats p1 = a2[n] - (y1 - w_imag[n]) * (y1 + w_imag[n]);
            const floats r1 = inverse(p1 * p1 + a2_4[n] * y21), u1 = p1 * r1;
            sp1 += s[n] * u1;
            va1 += av[n] * r1;
            imag1 += v_real[n] * u1 - as[n] * r1;
        }
        floats real0 = sp0 + y20 * va0;
        imag0 *= y0;
        floats real1 = sp1 + y21 * va1;
        imag1 *= y1;
        real0 *= shrink0;
        imag0 *= shrink0;
        store_some(out, SHUFFLE(real0, imag0, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23),
                   2 * count);
        store_some(out + LANES, SHUFFLE(real0, imag0, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31),
                   2 * count - LANES);
        real1 *= shrink1;
        imag1 *= shrink1;
        store_some(out + 2 * LANES, SHUFFLE(real1, imag1, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23),
                   2 * count - 2 * LANES);
        store_some(out + 3 * LANES, SHUFFLE(real1, imag1, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31),
                   2 * count - 3 * LANES);
    }
}

void cauchy_mult(const struct cauchy_mult_args *args)
{
    // Tasks of equal size, in whole vectors.
    const int64_t blocks = args->nodes < 2 * TASK ? 1 : (args->nodes + TASK / 2) / TASK;
    const int64_t size = (args->nodes + 2 * LANES * blocks - 1) / (2 * LANES * blocks) * 2 * LANES;
    // Below some ten microseconds of work, waking threads costs more than they bring.
    const int threads = args->rows * args->nodes * POLES < 32768 ? 1 : (int)args->threads;
    // Rows by threads where there are many: threads side by side in one fetch lines that the other is about to write.
    const int64_t together = args->rows < 8 * threads ? 1 : blocks;
#pragma omp parallel for num_threads(threads) schedule(dynamic, together)
    for (int64_t task = 0; task < args->rows * blocks; task++) {
        const int64_t row = task / blocks, first = task % blocks * size;
        const int64_t count = args->nodes - first < size ? args->nodes - first : size;
        multiply(args->v + 2 * row * args->v_stride_row, args->w + 2 * row * args->w_stride_row,
                 args->z + row * args->z_stride_row + first,
                 args->out + 2 * (row * args->out_stride_row + first), count);
    }
}
