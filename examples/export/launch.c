/* Launches an exported kernel through the CUDA driver: no ssmgen, no Python, no CUDA runtime.
 *
 *   ssmgen export linear_scan --target sm_90 --dtype fp32 --batch 2 --dim 64 --seqlen 1024 \
 *       --config 'sequential(block_d=32,num_warps=1,stages=1,unroll=4)' --out kernel
 *   gcc launch.c -I/usr/local/cuda/include -lcuda -o launch && ./launch kernel/linear_scan.cubin
 *
 * What stands in capitals, and the order of the parameters, is copied from kernel/manifest.json.
 */
#include <cuda.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define SYMBOL "linear_scan"
enum { BATCH = 2, DIM = 64, SEQLEN = 1024 };
enum { GRID_X = 2, GRID_Y = 2, GRID_Z = 1, THREADS = 32, SHARED_BYTES = 0 };
enum { BYTES = 524288 }; /* of each of a, b and out: (batch, dim, seqlen) in fp32 */
enum { COUNT = BATCH * DIM * SEQLEN };

#define CHECK(call) check(call, #call)

static void check(CUresult result, const char *call)
{
    if (result != CUDA_SUCCESS) {
        const char *text = "unknown error";
        cuGetErrorString(result, &text);
        fprintf(stderr, "%s: %s\n", call, text);
        exit(1);
    }
}

static CUdeviceptr allocate(void)
{
    CUdeviceptr address;
    CHECK(cuMemAlloc(&address, BYTES)); /* aligned to 256 bytes; the manifest asks for multiples of 16 */
    return address;
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: launch kernel/linear_scan.cubin\n");
        return 2;
    }
    float *a = malloc(BYTES), *b = malloc(BYTES), *out = malloc(BYTES);
    if (!a || !b || !out)
        return 1;
    for (int i = 0; i < COUNT; i++) {
        a[i] = (float)rand() / (float)RAND_MAX;
        b[i] = (float)rand() / (float)RAND_MAX - 0.5f;
        out[i] = NAN;
    }

    CUdevice device;
    CUcontext context;
    CUmodule module;
    CUfunction function;
    CHECK(cuInit(0));
    CHECK(cuDeviceGet(&device, 0));
    CHECK(cuDevicePrimaryCtxRetain(&context, device));
    CHECK(cuCtxSetCurrent(context));
    CHECK(cuModuleLoad(&module, argv[1]));
    CHECK(cuModuleGetFunction(&function, module, SYMBOL));
    if (SHARED_BYTES > 48 * 1024) /* more than that must be asked for */
        CHECK(cuFuncSetAttribute(function, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, SHARED_BYTES));

    CUdeviceptr d_a = allocate(), d_b = allocate(), d_out = allocate();
    CHECK(cuMemcpyHtoD(d_a, a, BYTES));
    CHECK(cuMemcpyHtoD(d_b, b, BYTES));
    CHECK(cuMemcpyHtoD(d_out, out, BYTES));

    int64_t stride_batch = DIM * SEQLEN, stride_dim = SEQLEN;
    int32_t seqlen = SEQLEN;
    CUdeviceptr no_scratch = 0; /* of 0 bytes */
    void *parameters[] = {
        &d_a,          &d_b,         &d_out,                    /* a, b, out */
        &stride_batch, &stride_dim,                             /* a_stride_batch, a_stride_dim */
        &stride_batch, &stride_dim,                             /* b_stride_batch, b_stride_dim */
        &stride_batch, &stride_dim,                             /* out_stride_batch, out_stride_dim */
        &seqlen,       &no_scratch,  &no_scratch,               /* seqlen, global_scratch, profile_scratch */
    };
    CHECK(cuLaunchKernel(function, GRID_X, GRID_Y, GRID_Z, THREADS, 1, 1, SHARED_BYTES, NULL, parameters, NULL));
    CHECK(cuCtxSynchronize());
    CHECK(cuMemcpyDtoH(out, d_out, BYTES));

    /* h_t = a_t h_{t-1} + b_t in double. */
    double error = 0, largest = 0;
    for (int row = 0; row < BATCH * DIM; row++) {
        double h = 0;
        for (int t = 0; t < SEQLEN; t++) {
            int i = row * SEQLEN + t;
            h = (double)a[i] * h + (double)b[i];
            double difference = fabs((double)out[i] - h);
            error = difference <= error ? error : difference; /* NaN counts as an error */
            largest = fmax(largest, fabs(h));
        }
    }
    printf("relative error: %.1e\n", error / largest);

    CHECK(cuMemFree(d_a));
    CHECK(cuMemFree(d_b));
    CHECK(cuMemFree(d_out));
    CHECK(cuModuleUnload(module));
    CHECK(cuDevicePrimaryCtxRelease(device));
    free(a);
    free(b);
    free(out);
    return error / largest <= 2e-6 ? 0 : 1;
}
