// causal_conv1d_update forward, fp32: channels(lanes=16)
// out_t = bias + sum_k weight_{W-1-k} x_{t-k}, k = 0 ... W - 1, through silu when asked
// Rendered by ssmgen from templates/c/causal_conv1d_update.c.j2; source c6d125ba64a5c26d.
#include <stdint.h>
#include <string.h>

enum { LANES = 16, WIDTH = 4 };

typedef float floats __attribute__((vector_size(64)));
typedef int32_t ints __attribute__((vector_size(64)));

struct causal_conv1d_update_args {
    const float *x;
    float *conv_state;
    const float *weight;
    float *out;
    int64_t batch, tokens, dim, length;
    int64_t x_stride_batch, x_stride_dim, x_stride_token;
    int64_t conv_state_stride_slot, conv_state_stride_dim, conv_state_stride_step;
    int64_t out_stride_batch, out_stride_dim, out_stride_token;
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

// The steps of LANES channels of one sequence, or of fewer.
static void step(const struct causal_conv1d_update_args *args, int64_t b, int64_t d0, int64_t channels)
{
    float *out = args->out + b * args->out_stride_batch + d0 * args->out_stride_dim;
    const float *x = args->x + b * args->x_stride_batch + d0 * args->x_stride_dim;
    float *state = args->conv_state + b * args->conv_state_stride_slot + d0 * args->conv_state_stride_dim;
    for (int64_t t = 0; t < args->tokens; t++) {
        floats y = {0};
        for (int64_t c = 0; c < channels; c++) {
            float sum = 0;
            for (int tap = 0; tap < WIDTH; tap++) {
                const int64_t seen = t - (WIDTH - 1) + tap;
                const float *value = seen < 0 ? state + c * args->conv_state_stride_dim + (args->length + seen) * args->conv_state_stride_step
                                              : x + c * args->x_stride_dim + seen * args->x_stride_token;
                sum += args->weight[(d0 + c) * WIDTH + tap] * *value;
            }
            y[c] = sum;
        }
        for (int64_t c = 0; c < channels; c++)
            *(out + c * args->out_stride_dim + t * args->out_stride_token) = y[c];
    }
    for (int64_t c = 0; c < channels; c++) {
        float *kept = state + c * args->conv_state_stride_dim;
        const float *x_c = x + c * args->x_stride_dim;
        for (int64_t i = 0; i < args->length; i++) {
            const int64_t from = args->tokens + i;
            kept[i * args->conv_state_stride_step] =
                from < args->length ? kept[from * args->conv_state_stride_step] : x_c[(from - args->length) * args->x_stride_token];
        }
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
