// cauchy_mult backward, c64: chunked(chunk=1024,lanes=16,reciprocal=divide)
// out_l = sum_n v_n / (z_l - w_n)
// symmetric: + conj(v_n) / (z_l - conj(w_n)) for each pole
// Rendered by ssmgen from templates/c/cauchy_mult_backward.c.j2; source c2e4a1c0372a20aa.
#include <stdint.h>
#include <string.h>

enum { LANES = 16, POLES = 32, CHUNK = 1024, TILE = 256 };

typedef float floats __attribute__((vector_size(64)));
typedef int32_t ints __attribute__((vector_size(64)));

struct cauchy_mult_backward_args {
    const float *v;
    const float *z;
    const float *w;
    const float *dout;
    float *dv;
    float *dz;
    float *dw;
    float *sums;
    int64_t rows, nodes;
    int64_t v_stride_row;
    int64_t z_stride_row;
    int64_t w_stride_row;
    int64_t dout_stride_row;
    int64_t dv_stride_row;
    int64_t dz_stride_row;
    int64_t dw_stride_row;
    int64_t threads;
};

static inline floats load(const float *x)
{
    floats y;
    memcpy(&y, x, sizeof y);
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

static inline floats inverse(floats x)
{
    return 1 / x;
}

// With e = inverse(z - w): dv = sum_l g conj(e), dw = conj(v) sum_l g conj(e)^2 and dz_l = -g sum_n conj(v e^2), where g is the gradient of the product.
struct pole {
    float w_real, w_imag, v_real, v_imag, dv_real, dv_imag, q_real, q_imag; // dw = conj(v) q
};

// The tile's share of the sums over nodes, and of each node the sum over poles.
static void add_tile(struct pole poles[POLES], const float y[TILE], const float g[TILE], const float h[TILE],
                     float s[TILE], float t[TILE], int64_t count)
{
    for (int n = 0; n < POLES; n++) {
        struct pole *pole = poles + n;
        floats dv_real = {0}, dv_imag = {0}, q_real = {0}, q_imag = {0};
        const float a = -pole->w_real;
        for (int64_t i = 0; i < count; i += LANES) {
            const floats b = load(y + i) - pole->w_imag;
            const floats r = inverse(a * a + b * b);
            const floats e_real = a * r, e_imag = b * r; // of conj(e)
            const floats e2_real = e_real * e_real - e_imag * e_imag, e2_imag = 2 * e_real * e_imag;
            const floats g_i = load(g + i), h_i = load(h + i);
            dv_real += g_i * e_real - h_i * e_imag;
            dv_imag += g_i * e_imag + h_i * e_real;
            q_real += g_i * e2_real - h_i * e2_imag;
            q_imag += g_i * e2_imag + h_i * e2_real;
            const floats s_i = load(s + i) + pole->v_real * e2_real + pole->v_imag * e2_imag;
            const floats t_i = load(t + i) + pole->v_imag * e2_real - pole->v_real * e2_imag;
            memcpy(s + i, &s_i, sizeof s_i);
            memcpy(t + i, &t_i, sizeof t_i);
        }
        pole->dv_real += total(dv_real);
        pole->dv_imag += total(dv_imag);
        pole->q_real += total(q_real);
        pole->q_imag += total(q_imag);
    }
}

// The sums over a chunk of a row's nodes, and those nodes' gradients.
static void add_chunk(const struct cauchy_mult_backward_args *args, int64_t row, int64_t first, int64_t last, float *sums)
{
    const float *w = args->w + 2 * row * args->w_stride_row;
    const float *v = args->v + 2 * row * args->v_stride_row;
    const float *z = args->z + row * args->z_stride_row, *dout = args->dout + 2 * row * args->dout_stride_row;
    struct pole poles[POLES];
    for (int n = 0; n < POLES; n++)
        poles[n] = (struct pole){.w_real = w[2 * n], .w_imag = w[2 * n + 1], .v_real = v[2 * n], .v_imag = v[2 * n + 1]};
    for (; first < last; first += TILE) {
        const int64_t count = last - first < TILE ? last - first : TILE;
        float y[TILE], g[TILE], h[TILE], s[TILE] = {0}, t[TILE] = {0};
        for (int64_t i = 0; i < count; i++) {
            y[i] = z[first + i];
            g[i] = dout[2 * (first + i)];
            h[i] = dout[2 * (first + i) + 1];
        }
        // The last vector is filled up with a node that exists, to which nothing comes back.
        for (int64_t i = count; i % LANES; i++) {
            y[i] = y[count - 1];
            g[i] = h[i] = 0;
        }
        add_tile(poles, y, g, h, s, t, count);
        for (int64_t i = 0; i < count; i++)
            args->dz[row * args->dz_stride_row + first + i] = g[i] * t[i] - h[i] * s[i];
    }
    for (int n = 0; n < POLES; n++)
        memcpy(sums + 4 * n, &poles[n].dv_real, 4 * sizeof *sums);
}

void cauchy_mult_backward(const struct cauchy_mult_backward_args *args)
{
    const int64_t chunks = (args->nodes + CHUNK - 1) / CHUNK;
    // Below some ten microseconds of work, waking threads costs more than they bring.
    const int threads = args->rows * args->nodes * POLES < 32768 ? 1 : (int)args->threads;
#pragma omp parallel num_threads(threads)
    {
#pragma omp for schedule(dynamic)
        for (int64_t task = 0; task < args->rows * chunks; task++) {
            const int64_t first = task % chunks * CHUNK, last = first + CHUNK < args->nodes ? first + CHUNK : args->nodes;
            add_chunk(args, task / chunks, first, last, args->sums + task * 4 * POLES);
        }
#pragma omp for schedule(static)
        for (int64_t row = 0; row < args->rows; row++) {
            const float *v = args->v + 2 * row * args->v_stride_row;
            float *dv = args->dv + 2 * row * args->dv_stride_row, *dw = args->dw + 2 * row * args->dw_stride_row;
            for (int n = 0; n < POLES; n++) {
                float sum[4] = {0};
                for (int64_t c = 0; c < chunks; c++)
                    for (int i = 0; i < 4; i++)
                        sum[i] += args->sums[((row * chunks + c) * POLES + n) * 4 + i];
                dv[2 * n] = sum[0];
                dv[2 * n + 1] = sum[1];
                dw[2 * n] = v[2 * n] * sum[2] + v[2 * n + 1] * sum[3];
                dw[2 * n + 1] = v[2 * n] * sum[3] - v[2 * n + 1] * sum[2];
            }
        }
    }
}
