// dplr_kernel forward, c64: fused(group=4,lanes=16,reciprocal=divide,task=1024)
// out = (1 + i tan(phi)) (R_CB - R_CP (1 + R_QP)^-1 R_QB),  phi = pi k / seqlen,  z = 2 i tan(phi) / step
// R_XY = sum_n conj(X_n) Y_n / (z - Lambda_n), pairs: + X_n conj(Y_n) / (z - conj(Lambda_n))
// Rendered by ssmgen from templates/c/dplr_kernel_fused.c.j2; source 97443061a3d622b6.
#include <math.h>
#include <stdint.h>
#include <string.h>

enum { LANES = 16, TILE = 256, POLES = 32, CHANNELS = 1, RANK = 1 };
enum { LEFT = CHANNELS + RANK, RIGHT = 1 + RANK, PRODUCTS = LEFT * RIGHT }; // of C and Q with B and P

typedef float floats __attribute__((vector_size(64)));
typedef int32_t ints __attribute__((vector_size(64)));

struct pair {
    floats re, im;
};

struct dplr_kernel_args {
    const float *Lambda;
    const float *P;
    const float *Q;
    const float *B;
    const float *C;
    const float *step;
    float *out;
    double *tangents;
    int64_t dim, seqlen;
    int64_t threads;
};

static inline floats load(const float *x)
{
    floats y;
    memcpy(&y, x, sizeof y);
    return y;
}

static inline struct pair times(struct pair x, struct pair y)
{
    return (struct pair){x.re * y.re - x.im * y.im, x.re * y.im + x.im * y.re};
}

static inline floats inverse(floats x)
{
    return 1 / x;
}


static inline struct pair minus(struct pair x, struct pair y)
{
    return (struct pair){x.re - y.re, x.im - y.im};
}

static inline struct pair plus(struct pair x, struct pair y)
{
    return (struct pair){x.re + y.re, x.im + y.im};
}

static inline struct pair conjugate(struct pair x)
{
    return (struct pair){x.re, -x.im};
}

static inline struct pair pair_at(const float x[2][TILE], int64_t i)
{
    return (struct pair){load(x[0] + i), load(x[1] + i)};
}

static inline floats unless(ints mask, floats x)
{
    return (floats)(~mask & (ints)x);
}

// sin(pi f) for f in [0, 1/2].
static double sine_of_half_turns(double f)
{
    const double f2 = f * f;
    double s = 0x1.9c7633eef7739p-21 * f2 + -0x1.6f73e49b09827p-16;
    s = s * f2 + 0x1.e8f336f324bd0p-12;
    s = s * f2 + -0x1.e3074d46fb7b9p-8;
    s = s * f2 + 0x1.50783483d4aebp-4;
    s = s * f2 + -0x1.32d2cce624376p-1;
    s = s * f2 + 0x1.466bc6775a9ecp+1;
    s = s * f2 + -0x1.4abbce625be51p+2;
    s = s * f2 + 0x1.0c2ceb68cf55cp-53;
    return f * 0x1.921fb54442d18p+1 + f * s;
}

// tan(phi), phi = pi k / seqlen, of the nodes omega = exp(-2 i phi): from sines of angles that are exact, the cosine's too, which
// keep their digits up to the frequency of Nyquist, where it is infinite.
static void fill_tangents(double *tangents, int64_t first, int64_t last, int64_t seqlen)
{
    for (int64_t k = first; k < last; k++)
        tangents[k] = sine_of_half_turns((double)k / (double)seqlen) / sine_of_half_turns((double)(seqlen - 2 * k) / (double)(2 * seqlen));
}

// Poles and nodes of a row are scaled alike, by half of the step to the power of two below it: exactly, and so that products of
// four distances stay in range, whatever the unit of time.
static double scale_of(double step)
{
    int exponent;
    frexp(step, &exponent);
    return ldexp(1, exponent - 2);
}

// The nodes of a tile, z = i y with y = 2 tan(phi) / step as a sum of two parts, and 2 / (1 + omega) = 1 + i tan(phi), the factor of all. Beyond
// LIMIT, where poles are small beside it, a node is moved there, and so is its factor: the same to rounding, and finite.
static const double LIMIT = 0x1p30;

struct nodes {
    float y[TILE], y_low[TILE], factor_re[TILE], factor_im[TILE];
};

static void fill_nodes(struct nodes *nodes, const double *tangents, double step, int64_t count)
{
    const double rate = scale_of(step) * 2 / step;
    for (int64_t i = 0; i < count; i++) {
        const double y = rate * tangents[i];
        nodes->y[i] = (float)y;
        nodes->y_low[i] = (float)(y - nodes->y[i]);
        nodes->factor_re[i] = 1;
        nodes->factor_im[i] = (float)tangents[i];
    }
    for (int64_t i = count - 1; i >= 0 && rate * tangents[i] > LIMIT; i--) {
        nodes->y[i] = (float)LIMIT;
        nodes->y_low[i] = 0;
        nodes->factor_re[i] = (float)(LIMIT / (rate * tangents[i]));
        nodes->factor_im[i] = (float)(LIMIT / rate);
    }
    for (int64_t i = count; i % LANES; i++) { // fills up the last vector
        nodes->y[i] = nodes->y[count - 1];
        nodes->y_low[i] = nodes->y_low[count - 1];
        nodes->factor_re[i] = nodes->factor_re[count - 1];
        nodes->factor_im[i] = nodes->factor_im[count - 1];
    }
}

// A pole, scaled as nodes are, and so are the products of C and Q with B and P, v = conj(X) Y.
// Lambda = -a + i b.
struct pole {
    float a, b, a2;
    struct { float re, im, a_re, a_im; } of[PRODUCTS]; // v, and a v
};

// The left factors of pole n of a row, rows of C and columns of Q, and the right ones, B and columns of P.
static inline void factors(const struct dplr_kernel_args *args, int64_t row, int n, float left[LEFT][2], float right[RIGHT][2])
{
    for (int x = 0; x < CHANNELS; x++)
        memcpy(left[x], args->C + 2 * ((x * args->dim + row) * POLES + n), sizeof left[x]);
    memcpy(right[0], args->B + 2 * (row * POLES + n), sizeof right[0]);
    for (int k = 0; k < RANK; k++) {
        memcpy(left[CHANNELS + k], args->Q + 2 * ((row * RANK + k) * POLES + n), sizeof left[0]);
        memcpy(right[1 + k], args->P + 2 * ((row * RANK + k) * POLES + n), sizeof right[0]);
    }
}

static void fill_poles(const struct dplr_kernel_args *args, int64_t row, struct pole poles[POLES], int order[POLES])
{
    const float scale = (float)scale_of(args->step[row]);
    for (int n = 0; n < POLES; n++) {
        struct pole *pole = poles + n;
        float left[LEFT][2], right[RIGHT][2];
        factors(args, row, n, left, right);
        pole->a = -scale * args->Lambda[2 * (row * POLES + n)];
        pole->b = scale * args->Lambda[2 * (row * POLES + n) + 1];
        pole->a2 = pole->a * pole->a;
        for (int x = 0; x < LEFT; x++)
            for (int y = 0; y < RIGHT; y++) {
                const float re = scale * (left[x][0] * right[y][0] + left[x][1] * right[y][1]);
                const float im = scale * (left[x][0] * right[y][1] - left[x][1] * right[y][0]);
                const int j = x * RIGHT + y;
                pole->of[j].re = re;
                pole->of[j].im = im;
                pole->of[j].a_re = pole->a * re;
                pole->of[j].a_im = pole->a * im;
            }
    }
    // Their order by b, in which most models give them, or in the reverse.
    const int falls = poles[POLES - 1].b < poles[0].b;
    for (int m = 0; m < POLES; m++) {
        const int n = falls ? POLES - 1 - m : m;
        int at = m;
        for (; at > 0 && poles[order[at - 1]].b > poles[n].b; at--)
            order[at] = order[at - 1];
        order[at] = n;
    }
}

// The pole next to each node of a tile that is resolved apart, by its number, and its factors: l of C and Q, conjugated, and r of
// B and P. Where none is, the number is -1 and the factors are 0.
struct nearest {
    int any; // whether the tile has such a node
    int32_t n[TILE];
    float a[TILE], b[TILE], l[LEFT][2][TILE], r[RIGHT][2][TILE];
};

static inline void fill(float *x, int64_t count, float y)
{
    for (int64_t i = 0; i < count; i++)
        x[i] = y;
}

// How far from b a node may be for |l_Q| |r_P| > 16 |z - Lambda|: nearer than that, what the pole adds to R_QP is so large that it
// would take the digits of all else. Farther away it must stay in the sums: without it 1 + R_QP may vanish.
static float reach(float a, float left[LEFT][2], float right[RIGHT][2], float scale)
{
    float l2 = 0, r2 = 0;
    for (int k = 0; k < RANK; k++) {
        l2 += left[CHANNELS + k][0] * left[CHANNELS + k][0] + left[CHANNELS + k][1] * left[CHANNELS + k][1];
        r2 += right[1 + k][0] * right[1 + k][0] + right[1 + k][1] * right[1 + k][1];
    }
    const float size = scale * sqrtf(l2) * sqrtf(r2) / 16;
    return size > a && size > -a ? sqrtf((size - a) * (size + a)) : -1;
}

// Nodes rise, and so does `place`, the place of the nearest pole in the order of poles: each is the nearest of a run of nodes.
static int fill_nearest(struct nearest *nearest, const struct dplr_kernel_args *args, int64_t row, const struct pole poles[POLES],
                        const int order[POLES], int place, const struct nodes *nodes, int64_t count)
{
    const float scale = (float)scale_of(args->step[row]);
    const int64_t filled = (count + LANES - 1) / LANES * LANES;
    nearest->any = 0;
    for (int64_t i = 0; i < filled; i++)
        nearest->n[i] = -1;
    fill(nearest->a, filled, 1);
    fill(nearest->b, filled, 0);
    memset(nearest->l, 0, sizeof nearest->l);
    memset(nearest->r, 0, sizeof nearest->r);
    for (int64_t i = 0; i < filled; place += i < filled) {
        const int n = order[place], is_last = place + 1 == POLES;
        const float b = poles[n].b, middle = is_last ? 0 : (b + poles[order[place + 1]].b) / 2;
        if (!is_last && !(nodes->y[i] <= middle))
            continue;
        float left[LEFT][2], right[RIGHT][2];
        factors(args, row, n, left, right);
        const float far = reach(poles[n].a, left, right, scale);
        while (i < filled && (is_last || nodes->y[i] <= middle) && !(nodes->y[i] >= b - far))
            i++;
        const int64_t first = i;
        while (i < filled && (is_last || nodes->y[i] <= middle) && nodes->y[i] <= b + far)
            nearest->n[i++] = n;
        nearest->any |= i > first;
        fill(nearest->a + first, i - first, poles[n].a);
        fill(nearest->b + first, i - first, b);
        for (int x = 0; x < LEFT; x++) {
            fill(nearest->l[x][0] + first, i - first, scale * left[x][0]);
            fill(nearest->l[x][1] + first, i - first, -scale * left[x][1]);
        }
        for (int y = 0; y < RIGHT; y++) {
            fill(nearest->r[y][0] + first, i - first, right[y][0]);
            fill(nearest->r[y][1] + first, i - first, right[y][1]);
        }
        while (i < filled && (is_last || nodes->y[i] <= middle))
            i++;
    }
    return place;
}

// R = sum_n v / (z - Lambda), whose denominator is a + i (y - b). One reciprocal serves all products. With `apart` the poles that are
// resolved apart are left out.
// Near a resonance y and b cancel, and the lower part of y is what is left of its digits.
static inline __attribute__((always_inline)) void add_poles(const struct pole poles[POLES], const struct nodes *nodes, const struct nearest *nearest,
                                                            int64_t i, const int apart, struct pair R[PRODUCTS])
{
    ints skipped;
    memcpy(&skipped, nearest->n + i, sizeof skipped);
    const floats y = load(nodes->y + i), y_low = load(nodes->y_low + i);
    floats re[PRODUCTS] = {0}, im[PRODUCTS] = {0};
    for (int n = 0; n < POLES; n++) {
        const struct pole *pole = poles + n;
        const floats below = (y - pole->b) + y_low;
        const floats whole = inverse(pole->a2 + below * below);
        const floats r = apart ? unless(skipped == n, whole) : whole, br = below * r;
#pragma GCC unroll 4
        for (int j = 0; j < PRODUCTS; j++) {
            re[j] += pole->of[j].a_re * r;
            re[j] += pole->of[j].im * br;
            im[j] += pole->of[j].a_im * r;
            im[j] -= pole->of[j].re * br;
        }
    }
#pragma GCC unroll 4
    for (int j = 0; j < PRODUCTS; j++)
        R[j] = (struct pair){re[j], im[j]};
}

static inline struct pair reciprocal(struct pair x)
{
    const floats r = inverse(x.re * x.re + x.im * x.im);
    return (struct pair){x.re * r, -x.im * r};
}

// M x = y for x, in the place of y.
static inline void solve(struct pair M[RANK][RANK], struct pair y[RANK])
{
    y[0] = times(y[0], reciprocal(M[0][0]));
}

// Woodbury's identity, for all poles but the one that is resolved apart, and then for that one, d = z - Lambda away. With M = 1 + R_QP, M x = R_QB and M w = l_Q
// K = R_CB - R_CP x + (l_C - R_CP w) beta / e, beta = r_B - r_P x, e = d + r_P w. Where Lambda is all but on the axis, as LegT's are,
// 1 / d in the sums would cancel between them, and take their digits with it.
struct woodbury {
    struct pair M[RANK][RANK], x[RANK], w[RANK], beta, e_inverse;
};

static inline __attribute__((always_inline)) void resolve(const struct nodes *nodes, const struct nearest *nearest, int64_t i,
                                                          const int apart, const struct pair R[PRODUCTS], struct woodbury *found)
{
    struct pair work[RANK][RANK];
    for (int k = 0; k < RANK; k++) {
        found->x[k] = R[(CHANNELS + k) * RIGHT];
        found->w[k] = pair_at(nearest->l[CHANNELS + k], i); // 0 where no pole is apart
        for (int j = 0; j < RANK; j++) {
            found->M[k][j] = R[(CHANNELS + k) * RIGHT + 1 + j];
            if (k == j)
                found->M[k][j].re += 1;
        }
    }
    memcpy(work, found->M, sizeof work);
    solve(work, found->x);
    found->beta = pair_at(nearest->r[0], i);
    found->e_inverse = found->beta;
    if (!apart)
        return;
    memcpy(work, found->M, sizeof work);
    solve(work, found->w);
    struct pair e = {load(nearest->a + i), (load(nodes->y + i) - load(nearest->b + i)) + load(nodes->y_low + i)};
    for (int j = 0; j < RANK; j++) {
        const struct pair p = pair_at(nearest->r[1 + j], i);
        found->beta = minus(found->beta, times(p, found->x[j]));
        e = plus(e, times(p, found->w[j]));
    }
    found->e_inverse = reciprocal(e);
}

enum { TASK = 1024 };

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

#if defined(__clang__)
#define SHUFFLE(x, y, ...) __builtin_shufflevector(x, y, __VA_ARGS__)
#else
#define SHUFFLE(x, y, ...) __builtin_shuffle(x, y, (ints){__VA_ARGS__})
#endif

// Complex numbers as memory holds them.
static inline void store_pairs(float *x, struct pair y, int64_t count)
{
    store_some(x, SHUFFLE(y.re, y.im, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23), 2 * count);
    store_some(x + LANES, SHUFFLE(y.re, y.im, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31), 2 * count - LANES);
}

// The spectrum at the nodes of a tile.
static inline __attribute__((always_inline)) void generate(const struct dplr_kernel_args *args, const struct pole poles[POLES], const struct nodes *nodes,
                                                           const struct nearest *nearest, const int apart, int64_t row, int64_t first, int64_t count)
{
    const int64_t all = args->seqlen / 2 + 1;
    for (int64_t i = 0; i < count; i += LANES) {
        struct pair R[PRODUCTS];
        struct woodbury found;
        add_poles(poles, nodes, nearest, i, apart, R);
        resolve(nodes, nearest, i, apart, R, &found);
        const struct pair factor = {load(nodes->factor_re + i), load(nodes->factor_im + i)};
        const struct pair gamma = times(found.beta, found.e_inverse);
        for (int channel = 0; channel < CHANNELS; channel++) {
            struct pair K = R[channel * RIGHT], alpha = pair_at(nearest->l[channel], i);
            for (int k = 0; k < RANK; k++) {
                K = minus(K, times(R[channel * RIGHT + 1 + k], found.x[k]));
                alpha = minus(alpha, times(R[channel * RIGHT + 1 + k], found.w[k]));
            }
            if (apart)
                K = plus(K, times(alpha, gamma));
            store_pairs(args->out + 2 * ((channel * args->dim + row) * all + first + i), times(factor, K), count - i);
        }
    }
}

void dplr_kernel(const struct dplr_kernel_args *args)
{
    const int64_t all = args->seqlen / 2 + 1, tasks = (all + TASK - 1) / TASK;
    // Below some ten microseconds of work, waking threads costs more than they bring.
    const int threads = args->dim * all * POLES < 32768 ? 1 : (int)args->threads;
#pragma omp parallel num_threads(threads)
    {
#pragma omp for schedule(static)
        for (int64_t first = 0; first < all; first += TILE)
            fill_tangents(args->tangents, first, first + TILE < all ? first + TILE : all, args->seqlen);
#pragma omp for schedule(dynamic)
        for (int64_t task = 0; task < args->dim * tasks; task++) {
            const int64_t row = task / tasks, start = task % tasks * TASK, end = start + TASK < all ? start + TASK : all;
            struct pole poles[POLES];
            int order[POLES], place = 0;
            fill_poles(args, row, poles, order);
            for (int64_t first = start; first < end; first += TILE) {
                const int64_t count = end - first < TILE ? end - first : TILE;
                struct nodes nodes;
                struct nearest nearest;
                fill_nodes(&nodes, args->tangents + first, args->step[row], count);
                place = fill_nearest(&nearest, args, row, poles, order, place, &nodes, count);
                if (nearest.any)
                    generate(args, poles, &nodes, &nearest, 1, row, first, count);
                else
                    generate(args, poles, &nodes, &nearest, 0, row, first, count);
            }
        }
    }
}
