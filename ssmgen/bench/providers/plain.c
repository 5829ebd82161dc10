// The ops in plain C, with libm's functions: the figure "plain C" of `ssmgen bench`.
#include <complex.h>
#include <math.h>
#include <stdint.h>

// u, delta, out: (batch, dim, seqlen); A: (dim, d_state); B, C: (batch, seqlen, d_state).
void selective_scan(const float *u, const float *delta, const float *A, const float *B, const float *C, float *out,
                    int64_t batch, int64_t dim, int64_t seqlen, int64_t d_state, int64_t groups, int64_t threads)
{
#pragma omp parallel for num_threads(threads)
    for (int64_t row = 0; row < batch * dim; row++) {
        const int64_t b = row / dim, d = row % dim;
        float h[256] = {0};
        for (int64_t t = 0; t < seqlen; t++) {
            const float step = delta[row * seqlen + t], x = step * u[row * seqlen + t];
            const float *B_t = B + (b * seqlen + t) * d_state, *C_t = C + (b * seqlen + t) * d_state;
            float y = 0;
            for (int64_t n = 0; n < d_state; n++) {
                h[n] = expf(step * A[d * d_state + n]) * h[n] + x * B_t[n];
                y += h[n] * C_t[n];
            }
            out[row * seqlen + t] = y;
        }
    }
}

// a, b, out: (batch, dim, seqlen).
void linear_scan(const float *a, const float *b, float *out, int64_t batch, int64_t dim, int64_t seqlen,
                 int64_t threads)
{
#pragma omp parallel for num_threads(threads)
    for (int64_t row = 0; row < batch * dim; row++) {
        float h = 0;
        for (int64_t t = row * seqlen; t < (row + 1) * seqlen; t++) {
            h = a[t] * h + b[t];
            out[t] = h;
        }
    }
}

// v, w: (rows, poles); z, out: (rows, nodes); one of each conjugate pair.
void cauchy_mult(const float complex *v, const float complex *z, const float complex *w, float complex *out,
                 int64_t rows, int64_t poles, int64_t nodes, int64_t threads)
{
#pragma omp parallel for num_threads(threads)
    for (int64_t row = 0; row < rows; row++)
        for (int64_t k = 0; k < nodes; k++) {
            const float complex z_k = z[row * nodes + k];
            float complex sum = 0;
            for (int64_t n = row * poles; n < (row + 1) * poles; n++)
                sum += v[n] / (z_k - w[n]) + conjf(v[n]) / (z_k - conjf(w[n]));
            out[row * nodes + k] = sum;
        }
}
