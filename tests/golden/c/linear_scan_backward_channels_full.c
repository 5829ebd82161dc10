// linear_scan backward, bf16: channels(lanes=16,tile=16)
// h_t = a_t h_{t-1} + b_t
// Rendered by ssmgen from templates/c/linear_scan_channels.c.j2; source 8183885ae9ac41f8.
#include <stdint.h>
#include <string.h>

enum { LANES = 16, TILE = 16 };

typedef float floats __attribute__((vector_size(64)));
typedef int32_t ints __attribute__((vector_size(64)));
typedef uint32_t words __attribute__((vector_size(64)));
typedef uint16_t halves __attribute__((vector_size(32)));

struct linear_scan_backward_args {
    const uint16_t *a;
    const uint16_t *h;
    const float *initial_state;
    const uint16_t *dout;
    uint16_t *da;
    uint16_t *db;
    float *dinitial_state;
    int64_t batch, dim, seqlen;
    int64_t a_stride_batch, a_stride_seqlen;
    int64_t h_stride_batch, h_stride_seqlen;
    int64_t dout_stride_batch, dout_stride_seqlen;
    int64_t da_stride_batch, da_stride_seqlen;
    int64_t db_stride_batch, db_stride_seqlen;
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

// One vector of channels per step; lanes beyond the last channel are zero.
static void load_tile(floats *tile, const uint16_t *x, int64_t stride, int64_t channels, int64_t steps)
{
    for (int64_t t = 0; t < steps; t++)
        tile[t] = channels == LANES ? load(x + t * stride) : load_part(x + t * stride, channels);
}

static void store_tile(uint16_t *x, int64_t stride, const floats *tile, int64_t channels, int64_t steps)
{
    for (int64_t t = 0; t < steps; t++)
        if (channels == LANES)
            store(x + t * stride, tile[t]);
        else
            store_part(x + t * stride, tile[t], channels);
}

// `channels` channels from d0 on of one batch, all of time.
static void scan_block(const struct linear_scan_backward_args *args, int64_t b, int64_t d0, int64_t channels)
{
    const int64_t first = 0, last = args->seqlen;
    const uint16_t *a_0 = args->a + b * args->a_stride_batch + d0;
    const uint16_t *dout_0 = args->dout + b * args->dout_stride_batch + d0;
    const uint16_t *h_0 = args->h + b * args->h_stride_batch + d0;
    uint16_t *da_0 = args->da + b * args->da_stride_batch + d0;
    uint16_t *db_0 = args->db + b * args->db_stride_batch + d0;
    floats g = {0}, initial = {0};
    memcpy(&initial, args->initial_state + b * args->dim + d0, (size_t)channels * sizeof(float));
    for (int64_t t0 = first; t0 < last; t0 += TILE) {
        const int64_t steps = last - t0 < TILE ? last - t0 : TILE;
        floats a_t[TILE], db_t[TILE], before[TILE + 1];
        load_tile(a_t, a_0 + t0 * args->a_stride_seqlen, args->a_stride_seqlen, channels, steps);
        load_tile(db_t, dout_0 + t0 * args->dout_stride_seqlen, args->dout_stride_seqlen, channels, steps);
        if (t0 + steps < args->seqlen) {
            load_tile(before, h_0 + (t0 + 1) * args->h_stride_seqlen, args->h_stride_seqlen, channels, steps);
        } else {
            if (steps > 1)
                load_tile(before, h_0 + (t0 + 1) * args->h_stride_seqlen, args->h_stride_seqlen, channels, steps - 1);
            before[steps - 1] = initial;
        }
        for (int64_t t = 0; t < steps; t++) {
            db_t[t] = db_t[t] + g;
            before[t] = before[t] * db_t[t];
            g = a_t[t] * db_t[t];
        }
        store_tile(db_0 + t0 * args->db_stride_seqlen, args->db_stride_seqlen, db_t, channels, steps);
        store_tile(da_0 + t0 * args->da_stride_seqlen, args->da_stride_seqlen, before, channels, steps);
    }
    memcpy(args->dinitial_state + b * args->dim + d0, &g, (size_t)channels * sizeof(float));
}

void linear_scan_backward(const struct linear_scan_backward_args *args)
{
    const int64_t blocks = (args->dim + LANES - 1) / LANES;
    // Below some ten microseconds of work, waking threads costs more than they bring.
    const int threads = args->batch * args->dim * args->seqlen < 32768 ? 1 : (int)args->threads;
#pragma omp parallel for num_threads(threads) schedule(dynamic)
    for (int64_t task = 0; task < args->batch * blocks; task++) {
        const int64_t d0 = task % blocks * LANES;
        scan_block(args, task / blocks, d0, args->dim - d0 < LANES ? args->dim - d0 : LANES);
    }
}
