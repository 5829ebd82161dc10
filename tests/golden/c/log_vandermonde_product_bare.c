// log_vandermonde forward, c64: product(block=64,blocks=256,columns=2,lanes=16,rows=12)
// out_l = 2 Re sum_n v_n exp(x_n l)
// Rendered by ssmgen from templates/c/log_vandermonde.c.j2; source d43660352e12387f.
#include <math.h>
#include <stdint.h>
#include <string.h>

enum { LANES = 16, POLES = 32, STEPS = 64, BLOCKS = 256, TASK = STEPS * BLOCKS };
// A product of matrices goes by tiles of ROWS reals times COLUMNS vectors; rows of tables are padded for the last tile, and so
// that they do not fall into the same sets of a cache.
enum { ROWS = 12, COLUMNS = 2, TILE = COLUMNS * LANES, PADDING = 32, GROUP = 32 };

typedef float floats __attribute__((vector_size(64)));
typedef int32_t ints __attribute__((vector_size(64)));

struct log_vandermonde_args {
    const float *v;
    const float *x;
    float *out;
    int64_t rows, seqlen;
    int64_t v_stride_row;
    int64_t x_stride_row;
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

struct number {
    double re, im;
};

static inline struct number times(struct number x, struct number y)
{
    return (struct number){x.re * y.re - x.im * y.im, x.re * y.im + x.im * y.re};
}

static inline struct number conjugate(struct number x)
{
    return (struct number){x.re, -x.im};
}

static inline struct number number(const float *x)
{
    return (struct number){x[0], x[1]};
}

// e^(x l): in double the product of a float and an integer is exact, and so is the phase, however many turns it is.
static struct number power(struct number x, int64_t l)
{
    const double decay = x.re * (double)l, phase = x.im * (double)l;
    if (decay < -800) // 0 in double, too
        return (struct number){0, 0};
    const double size = exp(decay);
    return (struct number){size * cos(phase), size * sin(phase)};
}

typedef double doubles __attribute__((vector_size(64)));

static inline void narrow(float *x, doubles y)
{
    typedef float halves __attribute__((vector_size(32)));
    const halves z = __builtin_convertvector(y, halves);
    memcpy(x, &z, sizeof z);
}

// first ratio^i for i < count or, rounded up, a multiple of SPAN, parts apart; what comes next is returned. SPAN neighbours,
// in four vectors that do not wait for one another, advance together.
static struct number powers(float *re, float *im, struct number first, struct number ratio, int64_t count)
{
    enum { WIDE = 8, SPAN = 4 * WIDE };
    doubles now[2][4] = { { {first.re} }, { {first.im} } };
    struct number ahead = ratio;
#pragma GCC unroll 4
    for (int span = 1; span < WIDE; span *= 2) {
#pragma GCC unroll 4
        for (int i = 0; i < span; i++) {
            now[0][0][span + i] = now[0][0][i] * ahead.re - now[1][0][i] * ahead.im;
            now[1][0][span + i] = now[0][0][i] * ahead.im + now[1][0][i] * ahead.re;
        }
        ahead = times(ahead, ahead);
    }
#pragma GCC unroll 2
    for (int span = 1; span < 4; span *= 2) {
#pragma GCC unroll 2
        for (int k = 0; k < span; k++) {
            now[0][span + k] = now[0][k] * ahead.re - now[1][k] * ahead.im;
            now[1][span + k] = now[0][k] * ahead.im + now[1][k] * ahead.re;
        }
        ahead = times(ahead, ahead);
    }
    for (int64_t i = 0; i < count; i += SPAN)
#pragma GCC unroll 4
        for (int k = 0; k < 4; k++) {
            const doubles x_k = now[0][k], y_k = now[1][k];
            narrow(re + i + k * WIDE, x_k);
            narrow(im + i + k * WIDE, y_k);
            now[0][k] = x_k * ahead.re - y_k * ahead.im;
            now[1][k] = x_k * ahead.im + y_k * ahead.re;
        }
    return (struct number){now[0][0][0], now[1][0][0]};
}

// sum[r][c] += the sum over k of a[k a_step + r a_row] b[k b_step + c LANES], which stays in registers.
static inline __attribute__((always_inline)) void multiply(floats sum[ROWS][COLUMNS], const float *a, int64_t a_step,
                                                           int64_t a_row, const float *b, int64_t b_step, int64_t count)
{
    for (int64_t k = 0; k < count; k++, a += a_step, b += b_step) {
        floats column[COLUMNS];
#pragma GCC unroll 2
        for (int c = 0; c < COLUMNS; c++)
            column[c] = load(b + c * LANES);
#pragma GCC unroll 12
        for (int r = 0; r < ROWS; r++)
#pragma GCC unroll 2
            for (int c = 0; c < COLUMNS; c++)
                sum[r][c] += a[r * a_row] * column[c];
    }
}

// out_l = Re sum_n r_n e^(x_n l), r = 2 v, for `count` steps from `first` on. A block of steps is a row of a product of
// matrices: Re r e^(x (first + STEPS b + j)) = Re y Re e^(x j) + Im y Im e^(x j) with y = conj(r e^(x first) e^(x STEPS b)).
static void sum_poles(const float *v, const float *x, int poles, float *out,
                      int64_t first, int64_t count)
{
    _Alignas(64) float starts[2 * GROUP][BLOCKS + PADDING], steps[2 * GROUP][STEPS + PADDING];
    const int64_t blocks = (count + STEPS - 1) / STEPS;
    for (int n = 0; n < poles; n++) {
        const struct number r_n = {2 * v[2 * n], 2 * v[2 * n + 1]}, x_n = number(x + 2 * n);
        const struct number start = conjugate(times(r_n, power(x_n, first)));
        const struct number ahead = powers(steps[2 * n], steps[2 * n + 1], (struct number){1, 0}, power(x_n, 1), STEPS);
        powers(starts[2 * n], starts[2 * n + 1], start, conjugate(ahead), blocks + ROWS - 1);
    }
    for (int64_t b = 0; b < blocks; b += ROWS)
        for (int64_t j = 0; j < STEPS; j += TILE) {
            floats sum[ROWS][COLUMNS] = {0};
            multiply(sum, &starts[0][b], BLOCKS + PADDING, 1, &steps[0][j], STEPS + PADDING, 2 * poles);
#pragma GCC unroll 12
            for (int r = 0; r < ROWS; r++)
#pragma GCC unroll 2
                for (int c = 0; c < COLUMNS; c++) {
                    const int64_t l = (b + r) * STEPS + j + c * LANES;
                    store_some(out + l, sum[r][c], count - l);
                }
        }
}

void log_vandermonde(const struct log_vandermonde_args *args)
{
    const int64_t tasks = (args->seqlen + TASK - 1) / TASK; // of a row
    // Below some ten microseconds of work, waking threads costs more than they bring.
    const int threads = args->rows * args->seqlen * POLES < 262144 ? 1 : (int)args->threads;
#pragma omp parallel for num_threads(threads) schedule(dynamic)
    for (int64_t task = 0; task < args->rows * tasks; task++) {
        const int64_t row = task / tasks, first = task % tasks * TASK;
        const int64_t count = args->seqlen - first < TASK ? args->seqlen - first : TASK;
        const float *v = args->v + 2 * row * args->v_stride_row;
        const float *x = args->x + 2 * row * args->x_stride_row;
        float *out = args->out + row * args->out_stride_row + first;
        sum_poles(v, x, POLES, out, first, count);
    }
}
