// log_vandermonde backward, c64: product(block=64,blocks=256,columns=2,lanes=16,rows=12)
// out_l = 2 Re sum_n v_n exp(x_n l)
// Rendered by ssmgen from templates/c/log_vandermonde_backward.c.j2; source 9e23412c12bcaea7.
#include <math.h>
#include <stdint.h>
#include <string.h>

enum { LANES = 16, POLES = 32, STEPS = 64, BLOCKS = 256, TASK = STEPS * BLOCKS };
// A product of matrices goes by tiles of ROWS reals times COLUMNS vectors; rows of tables are padded for the last tile, and so
// that they do not fall into the same sets of a cache.
enum { ROWS = 12, COLUMNS = 2, TILE = COLUMNS * LANES, PADDING = 32, GROUP = 32, PARTS = 4 };

typedef float floats __attribute__((vector_size(64)));
typedef int32_t ints __attribute__((vector_size(64)));

struct log_vandermonde_backward_args {
    const float *v;
    const float *x;
    const float *dout;
    float *dv;
    float *dx;
    float *sums;
    int64_t rows, seqlen;
    int64_t v_stride_row;
    int64_t x_stride_row;
    int64_t dout_stride_row;
    int64_t dv_stride_row;
    int64_t dx_stride_row;
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

// s_0 = sum_l dout_l e^(x l) and s_1 = sum_l l dout_l e^(x l) for each pole, over `count` steps from `first` on.
// A block of steps is a row of a matrix; a product takes them to h_j = sum_b e^(x (first + STEPS b)) dout_(STEPS b + j),
// once more with first + STEPS b as a factor; then s_0 = sum_j e^(x j) h_j.
static void sum_steps(const float *x, int poles, const float *dout, int64_t first, int64_t count, float *sums)
{
    _Alignas(64) float starts[PARTS * GROUP + ROWS][BLOCKS + PADDING], steps[2 * GROUP][STEPS + PADDING];
    _Alignas(64) float tile[BLOCKS][TILE];
    floats s[GROUP][PARTS];
    const floats index = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    const int64_t blocks = (count + STEPS - 1) / STEPS;
    for (int n = 0; n < poles; n++) {
        const struct number x_n = number(x + 2 * n);
        const struct number ahead = powers(steps[2 * n], steps[2 * n + 1], (struct number){1, 0}, power(x_n, 1), STEPS);
        powers(starts[PARTS * n], starts[PARTS * n + 1], power(x_n, first), ahead, blocks);
        for (int64_t b = 0; b < blocks; b++) {
            starts[PARTS * n + 2][b] = (float)(first + b * STEPS) * starts[PARTS * n][b];
            starts[PARTS * n + 3][b] = (float)(first + b * STEPS) * starts[PARTS * n + 1][b];
        }
        // Beyond the end there is nothing, not even where e^(x j) is infinite.
        for (int64_t j = count; j < STEPS; j++)
            steps[2 * n][j] = steps[2 * n + 1][j] = 0;
    }
    memset(starts[PARTS * poles], 0, ROWS * sizeof *starts);
    memset(s, 0, sizeof s);
    for (int64_t j = 0; j < STEPS; j += TILE) {
        for (int64_t b = 0; b < blocks; b++)
            for (int c = 0; c < COLUMNS; c++) {
                const int64_t l = b * STEPS + j + c * LANES;
                store(&tile[b][c * LANES], load_some(dout + l, count - l));
            }
        for (int n = 0; n < poles; n += ROWS / PARTS) {
            floats h[ROWS][COLUMNS] = {0};
            multiply(h, starts[PARTS * n], 1, BLOCKS + PADDING, tile[0], TILE, blocks);
#pragma GCC unroll 12
            for (int r = 0; r < ROWS; r += PARTS) {
                const int m = n + r / PARTS;
                if (m == poles)
                    break;
#pragma GCC unroll 2
                for (int c = 0; c < COLUMNS; c++) {
                    const floats re = load(&steps[2 * m][j + c * LANES]), im = load(&steps[2 * m + 1][j + c * LANES]);
                    s[m][0] += re * h[r][c] - im * h[r + 1][c];
                    s[m][1] += re * h[r + 1][c] + im * h[r][c];
                    const floats at = index + (float)(j + c * LANES); // the step in its block
                    const floats p = h[r + 2][c] + at * h[r][c], q = h[r + 3][c] + at * h[r + 1][c];
                    s[m][2] += re * p - im * q;
                    s[m][3] += re * q + im * p;
                }
            }
        }
    }
    for (int n = 0; n < poles; n++)
        for (int part = 0; part < PARTS; part++) {
            float sum = 0;
            for (int i = 0; i < LANES; i++)
                sum += s[n][part][i];
            sums[PARTS * n + part] = sum;
        }
}

// The sum of all tasks of a row.
static struct number total(const float *sums, int64_t tasks)
{
    struct number sum = {0, 0};
    for (int64_t task = 0; task < tasks; task++, sums += POLES * PARTS) {
        sum.re += sums[0];
        sum.im += sums[1];
    }
    return sum;
}

static inline void set(float *x, struct number y)
{
    x[0] = (float)y.re;
    x[1] = (float)y.im;
}

void log_vandermonde_backward(const struct log_vandermonde_backward_args *args)
{
    const int64_t tasks = (args->seqlen + TASK - 1) / TASK; // of a row
    // Below some ten microseconds of work, waking threads costs more than they bring.
    const int threads = args->rows * args->seqlen * POLES < 262144 ? 1 : (int)args->threads;
#pragma omp parallel num_threads(threads)
    {
#pragma omp for schedule(dynamic)
        for (int64_t task = 0; task < args->rows * tasks; task++) {
            const int64_t row = task / tasks, first = task % tasks * TASK;
            const int64_t count = args->seqlen - first < TASK ? args->seqlen - first : TASK;
            const float *x = args->x + 2 * row * args->x_stride_row;
            const float *dout = args->dout + row * args->dout_stride_row + first;
            float *sums = args->sums + task * POLES * PARTS;
            sum_steps(x, POLES, dout, first, count, sums);
        }
#pragma omp for schedule(static)
        for (int64_t row = 0; row < args->rows; row++) {
            const float *v = args->v + 2 * row * args->v_stride_row;
            float *dv = args->dv + 2 * row * args->dv_stride_row;
            float *dx = args->dx + 2 * row * args->dx_stride_row;
            const float *sums = args->sums + row * tasks * POLES * PARTS;
            for (int n = 0; n < POLES; n++) {
                const struct number s_0 = total(sums + PARTS * n, tasks), s_1 = total(sums + PARTS * n + 2, tasks);
                const struct number v_s_1 = times(number(v + 2 * n), s_1);
                set(dv + 2 * n, (struct number){2 * s_0.re, -2 * s_0.im});
                set(dx + 2 * n, (struct number){2 * v_s_1.re, -2 * v_s_1.im});
            }
        }
    }
}
