/* Calls an exported kernel of the CPU and compares it with the recurrence in double: no ssmgen, no Python.
 *
 *   ssmgen export selective_scan --target cpu --dtype fp32 --batch 2 --dim 40 --seqlen 300 --d-state 16 \
 *       --option D --option z --out kernel
 *   gcc call.c -lm -ldl -o call && ./call kernel/selective_scan_forward_channels.so
 *
 * The struct is copied from the exported source; kernel/manifest.json lists its members with their shapes and values.
 */
#include <dlfcn.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

enum { BATCH = 2, DIM = 40, SEQLEN = 300, STATES = 16, GROUPS = 1 };
enum { STEPS = BATCH * DIM * SEQLEN, ROWS = BATCH * GROUPS * SEQLEN * STATES };

struct selective_scan_args {
    const float *u;
    const float *delta;
    const float *A;
    const float *B;
    const float *C;
    const float *D;
    const float *z;
    float *out;
    int64_t batch, dim, seqlen, groups;
    int64_t u_stride_batch, u_stride_dim;
    int64_t delta_stride_batch, delta_stride_dim;
    int64_t z_stride_batch, z_stride_dim;
    int64_t out_stride_batch, out_stride_dim;
    int64_t threads;
};

/* Random numbers of that many elements, between two bounds. */
static float *sample(int count, float least, float most)
{
    float *x = malloc((size_t)count * sizeof *x);
    if (!x)
        exit(1);
    for (int i = 0; i < count; i++)
        x[i] = least + (most - least) * (float)rand() / (float)RAND_MAX;
    return x;
}

int main(int argc, char **argv)
{
    void *library = argc == 2 ? dlopen(argv[1], RTLD_NOW) : NULL;
    if (!library) {
        fprintf(stderr, "%s\n", argc == 2 ? dlerror() : "usage: call kernel/selective_scan_forward_channels.so");
        return 2;
    }
    void (*selective_scan)(const struct selective_scan_args *);
    *(void **)&selective_scan = dlsym(library, "selective_scan");
    if (!selective_scan) {
        fprintf(stderr, "%s\n", dlerror());
        return 2;
    }

    float *u = sample(STEPS, -1, 1), *delta = sample(STEPS, 0, 0.2f), *z = sample(STEPS, -2, 2);
    float *A = sample(DIM * STATES, -8, -0.1f), *D = sample(DIM, -1, 1);
    float *B = sample(ROWS, -1, 1), *C = sample(ROWS, -1, 1);
    float *out = sample(STEPS, NAN, NAN); /* what is not written shows */

    const int64_t batch = DIM * SEQLEN, dim = SEQLEN; /* strides of (batch, dim, seqlen) */
    const struct selective_scan_args args = {
        u,     delta, A, B, C, D, z, out,
        BATCH, DIM,   SEQLEN, GROUPS,
        batch, dim,                          /* of u, */
        batch, dim,                          /* delta, */
        batch, dim,                          /* z */
        batch, dim,                          /* and out */
        2,                                   /* threads; the bits are the same for any number */
    };
    selective_scan(&args);

    /* h_t = exp(delta_t A) h_{t-1} + delta_t B_t u_t,  out_t = (C_t . h_t + D u_t) silu(z_t) */
    double error = 0, largest = 0;
    for (int row = 0; row < BATCH * DIM; row++) {
        const int b = row / DIM, d = row % DIM;
        double h[STATES] = {0};
        for (int t = 0; t < SEQLEN; t++) {
            const int i = row * SEQLEN + t;
            double y = (double)D[d] * u[i];
            for (int n = 0; n < STATES; n++) {
                const int k = (b * SEQLEN + t) * STATES + n;
                h[n] = exp((double)delta[i] * A[d * STATES + n]) * h[n] + (double)delta[i] * B[k] * u[i];
                y += C[k] * h[n];
            }
            y *= z[i] / (1 + exp(-(double)z[i]));
            const double difference = fabs(out[i] - y);
            error = difference <= error ? error : difference; /* NaN counts as an error */
            largest = fmax(largest, fabs(y));
        }
    }
    printf("relative error: %.1e\n", error / largest);
    return error / largest <= 2e-6 ? 0 : 1;
}
