// causal_conv1d forward, fp32: steps(lanes=16,tile=256)
// out_t = bias + sum_k weight_{W-1-k} x_{t-k}, k = 0 ... W - 1, through silu when asked
// Rendered by ssmgen from templates/c/causal_conv1d_steps.c.j2; source eb17568f6d8ec910.
#include <stdint.h>
#include <string.h>

enum { LANES = 16, WIDTH = 4, TILE = 256 };

typedef float floats __attribute__((vector_size(64)));
typedef int32_t ints __attribute__((vector_size(64)));

struct causal_conv1d_args {
    const float *x;
    const float *weight;
    float *out;
    int64_t batch, dim, seqlen;
    int64_t x_stride_batch, x_stride_dim;
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

// One channel of one sequence, steps in lanes. The last steps of a tile stand before those of the next.
static void convolve(const struct causal_conv1d_args *args, int64_t b, int64_t d)
{
    const float *x = args->x + b * args->x_stride_batch + d * args->x_stride_dim;
    float *out = args->out + b * args->out_stride_batch + d * args->out_stride_dim;
    const float *weight = args->weight + d * WIDTH;
    float window[WIDTH - 1 + TILE] = {0};
    for (int64_t t0 = 0; t0 < args->seqlen; t0 += TILE) {
        const int64_t steps = args->seqlen - t0 < TILE ? args->seqlen - t0 : TILE;
        for (int64_t t = 0; t < steps; t += LANES) {
            const floats now = load_some(x + t0 + t, steps - t);
            memcpy(window + WIDTH - 1 + t, &now, sizeof now);
        }
        for (int64_t t = 0; t < steps; t += LANES) {
            floats y = weight[0] * load_reals(window + t, LANES);
            y += weight[1] * load_reals(window + t + 1, LANES);
            y += weight[2] * load_reals(window + t + 2, LANES);
            y += weight[3] * load_reals(window + t + 3, LANES);
            store_some(out + t0 + t, y, steps - t);
        }
        memmove(window, window + steps, (WIDTH - 1) * sizeof *window);
    }
}

void causal_conv1d(const struct causal_conv1d_args *args)
{
    // Below some ten microseconds of work, waking threads costs more than they bring.
    const int threads = args->batch * args->dim * args->seqlen < 32768 ? 1 : (int)args->threads;
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t task = 0; task < args->batch * args->dim; task++)
        convolve(args, task / args->dim, task % args->dim);
}
