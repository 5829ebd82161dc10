// causal_conv1d backward, fp32: steps(lanes=16,tile=256)
// out_t = bias + sum_k weight_{W-1-k} x_{t-k}, k = 0 ... W - 1, through silu when asked
// Rendered by ssmgen from templates/c/causal_conv1d_steps_backward.c.j2; source f0a981c91f99af09.
#include <stdint.h>
#include <string.h>

enum { LANES = 16, WIDTH = 4, TILE = 256 };

typedef float floats __attribute__((vector_size(64)));
typedef int32_t ints __attribute__((vector_size(64)));

struct causal_conv1d_backward_args {
    const float *x;
    const float *weight;
    const float *dout;
    float *dx;
    float *dweight;
    int64_t batch, dim, seqlen;
    int64_t x_stride_batch, x_stride_dim;
    int64_t dout_stride_batch, dout_stride_dim;
    int64_t dx_stride_batch, dx_stride_dim;
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

// One channel of all sequences, steps in lanes. A step's gradient waits for those of the WIDTH - 1 steps that see it.
static void gradients(const struct causal_conv1d_backward_args *args, int64_t d)
{
    const float *weight = args->weight + d * WIDTH;
    floats dweight[WIDTH] = {0};
    for (int64_t b = 0; b < args->batch; b++) {
        const float *x = args->x + b * args->x_stride_batch + d * args->x_stride_dim;
        const float *dout = args->dout + b * args->dout_stride_batch + d * args->dout_stride_dim;
        float *dx = args->dx + b * args->dx_stride_batch + d * args->dx_stride_dim;
        float window[WIDTH - 1 + TILE] = {0}, g[WIDTH - 1 + TILE] = {0}, sums[TILE + LANES];
        for (int64_t t0 = 0; t0 < args->seqlen + WIDTH - 1; t0 += TILE) {
            const int64_t rest = args->seqlen + WIDTH - 1 - t0, steps = rest < TILE ? rest : TILE, given = args->seqlen - t0;
            for (int64_t t = 0; t < steps; t += LANES) {
                const floats now = load_some(x + t0 + t, given - t);
                memcpy(window + WIDTH - 1 + t, &now, sizeof now);
            }
            for (int64_t t = 0; t < steps; t += LANES) {
                const floats x0 = load_reals(window + t + 0, LANES);
                const floats x1 = load_reals(window + t + 1, LANES);
                const floats x2 = load_reals(window + t + 2, LANES);
                const floats x3 = load_reals(window + t + 3, LANES);
                floats slope = load_some(dout + t0 + t, given - t);
                for (int64_t i = given > t ? given - t : 0; i < LANES; i++)
                    slope[i] = 0;
                dweight[0] += slope * x0;
                dweight[1] += slope * x1;
                dweight[2] += slope * x2;
                dweight[3] += slope * x3;
                memcpy(g + WIDTH - 1 + t, &slope, sizeof slope);
            }
            for (int64_t t = 0; t < steps; t += LANES) {
                const floats sum = weight[3] * load_reals(g + t, LANES) + weight[2] * load_reals(g + t + 1, LANES) + weight[1] * load_reals(g + t + 2, LANES) + weight[0] * load_reals(g + t + 3, LANES);
                memcpy(sums + t, &sum, sizeof sum);
            }
            const int64_t first = t0 == 0 ? WIDTH - 1 : 0;
            for (int64_t t = first; t < steps; t += LANES)
                store_some(dx + t0 + t - (WIDTH - 1), load_reals(sums + t, LANES), steps - t);
            memmove(window, window + steps, (WIDTH - 1) * sizeof *window);
            memmove(g, g + steps, (WIDTH - 1) * sizeof *g);
        }
    }
    for (int tap = 0; tap < WIDTH; tap++)
        args->dweight[d * WIDTH + tap] = total(dweight[tap]);
}

void causal_conv1d_backward(const struct causal_conv1d_backward_args *args)
{
    // Below some ten microseconds of work, waking threads costs more than they bring.
    const int threads = args->batch * args->dim * args->seqlen < 32768 ? 1 : (int)args->threads;
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t d = 0; d < args->dim; d++)
        gradients(args, d);
}
