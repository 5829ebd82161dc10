// dplr_kernel backward, c64: chunked(chunk=1024,group=4,lanes=16,reciprocal=divide)
// out = (1 + i tan(phi)) (R_CB - R_CP (1 + R_QP)^-1 R_QB),  phi = pi k / seqlen,  z = 2 i tan(phi) / step
// R_XY = sum_n conj(X_n) Y_n / (z - Lambda_n), pairs: + X_n conj(Y_n) / (z - conj(Lambda_n))
// Rendered by ssmgen from templates/c/dplr_kernel_backward.c.j2; source 682c1e181656ab61.
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

struct dplr_kernel_backward_args {
    const float *Lambda;
    const float *P;
    const float *Q;
    const float *B;
    const float *C;
    const float *step;
    const float *dout;
    float *dLambda;
    float *dP;
    float *dQ;
    float *dB;
    float *dC;
    float *dstep;
    double *tangents;
    float *sums;
    double *factors;
    double *ydy;
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
// One of a conjugate pair, Lambda = -a + i b with b >= 0: either of the two may stand for both.
struct pole {
    float a, b, a2, a2_4, sign; // a^2, 4 a^2; -1 where the other one of the pair was given
    struct { float v, u, av, au; } of[PRODUCTS]; // 2 Re v, 2 (a Re v - b Im v), and both times 2 a
};

// The left factors of pole n of a row, rows of C and columns of Q, and the right ones, B and columns of P.
static inline void factors(const struct dplr_kernel_backward_args *args, int64_t row, int n, float left[LEFT][2], float right[RIGHT][2])
{
    for (int x = 0; x < CHANNELS; x++)
        memcpy(left[x], args->C + 2 * ((x * args->dim + row) * POLES + n), sizeof left[x]);
    memcpy(right[0], args->B + 2 * (row * POLES + n), sizeof right[0]);
    for (int k = 0; k < RANK; k++) {
        memcpy(left[CHANNELS + k], args->Q + 2 * ((row * RANK + k) * POLES + n), sizeof left[0]);
        memcpy(right[1 + k], args->P + 2 * ((row * RANK + k) * POLES + n), sizeof right[0]);
    }
}

static void fill_poles(const struct dplr_kernel_backward_args *args, int64_t row, struct pole poles[POLES], int order[POLES])
{
    const float scale = (float)scale_of(args->step[row]);
    for (int n = 0; n < POLES; n++) {
        struct pole *pole = poles + n;
        float left[LEFT][2], right[RIGHT][2];
        factors(args, row, n, left, right);
        pole->a = -scale * args->Lambda[2 * (row * POLES + n)];
        pole->b = scale * args->Lambda[2 * (row * POLES + n) + 1];
        pole->a2 = pole->a * pole->a;
        pole->a2_4 = 4 * pole->a2;
        pole->sign = pole->b < 0 ? -1 : 1;
        pole->b *= pole->sign;
        for (int x = 0; x < LEFT; x++)
            for (int y = 0; y < RIGHT; y++) {
                const float re = scale * (left[x][0] * right[y][0] + left[x][1] * right[y][1]);
                const float im = scale * (left[x][0] * right[y][1] - left[x][1] * right[y][0]);
                const int j = x * RIGHT + y;
                pole->of[j].v = 2 * re;
                pole->of[j].u = 2 * (pole->a * re - pole->b * pole->sign * im);
                pole->of[j].av = 2 * pole->a * pole->of[j].v;
                pole->of[j].au = 2 * pole->a * pole->of[j].u;
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
static int fill_nearest(struct nearest *nearest, const struct dplr_kernel_backward_args *args, int64_t row, const struct pole poles[POLES],
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
            fill(nearest->l[x][1] + first, i - first, poles[n].sign * -scale * left[x][1]);
        }
        for (int y = 0; y < RIGHT; y++) {
            fill(nearest->r[y][0] + first, i - first, right[y][0]);
            fill(nearest->r[y][1] + first, i - first, poles[n].sign * right[y][1]);
        }
        while (i < filled && (is_last || nodes->y[i] <= middle))
            i++;
    }
    return place;
}

// R = sum_n v / (z - Lambda) + conj(v) / (z - conj(Lambda)) = 2 sum_n (a Re v - b Im v + i y Re v) / (p + i q), where with the two
// factors of the denominator, a + i (y - b) and a + i (y + b), p = a^2 - (y - b) (y + b) and q = 2 a y. One reciprocal serves
// all products, and y leaves their sums. With `apart` the poles that are resolved apart are left out, but for their conjugates' terms.
// Near a resonance y and b cancel, and the lower part of y is what is left of its digits.
static inline __attribute__((always_inline)) void add_poles(const struct pole poles[POLES], const struct nodes *nodes, const struct nearest *nearest,
                                                            int64_t i, const int apart, struct pair R[PRODUCTS])
{
    ints skipped;
    memcpy(&skipped, nearest->n + i, sizeof skipped);
    const floats y = load(nodes->y + i), y_low = load(nodes->y_low + i), y2 = y * y;
    floats u[PRODUCTS] = {0}, v[PRODUCTS] = {0}, im[PRODUCTS] = {0};
    for (int n = 0; n < POLES; n++) {
        const struct pole *pole = poles + n;
        const floats below = (y - pole->b) + y_low;
        const floats p = pole->a2 - below * (y + pole->b), whole = inverse(p * p + pole->a2_4 * y2);
        const floats r = apart ? unless(skipped == n, whole) : whole, pr = p * r;
#pragma GCC unroll 4
        for (int j = 0; j < PRODUCTS; j++) {
            u[j] += pole->of[j].u * pr;
            v[j] += pole->of[j].av * r;
            im[j] += pole->of[j].v * pr;
            im[j] -= pole->of[j].au * r;
        }
    }
#pragma GCC unroll 4
    for (int j = 0; j < PRODUCTS; j++)
        R[j] = (struct pair){u[j] + y2 * v[j], y * im[j]};
    if (!apart)
        return;
    const floats a = load(nearest->a + i), above = y + load(nearest->b + i), s = inverse(a * a + above * above);
    for (int k = 0; k < RIGHT; k++) {
        const struct pair mirrored = times(conjugate(pair_at(nearest->r[k], i)), (struct pair){a * s, -above * s});
        for (int x = 0; x < LEFT; x++)
            R[x * RIGHT + k] = plus(R[x * RIGHT + k], times(conjugate(pair_at(nearest->l[x], i)), mirrored));
    }
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

enum { CHUNK = 1024, SUMS = 6 }; // of each pole and product: dv, q with dLambda = sum conj(v) q, and t with sum y dy = sum Im(conj(v) t)
enum { FACTORS = LEFT + RIGHT + 1 }; // what a pole gets as the nearest of nodes: the gradients of l, of r and of d = z - Lambda

// The gradients of a tile's sums, g + i h, and of what its nearest poles have, from those of the spectrum.
struct gradients {
    float g[PRODUCTS][TILE], h[PRODUCTS][TILE], nearest[FACTORS][2][TILE];
};

static inline void put(float x[2][TILE], int64_t i, struct pair y)
{
    memcpy(x[0] + i, &y.re, sizeof y.re);
    memcpy(x[1] + i, &y.im, sizeof y.im);
}

// K = factor (R_CB - R_CP x + alpha beta / e), and the rest as it stands above; M* tx = dx gives dR_QB = tx and dR_QP = -tx x*, and w likewise.
static void differentiate(const struct pole poles[POLES], const struct nodes *nodes, const struct nearest *nearest,
                          float dK[CHANNELS][2][TILE], int64_t count, struct gradients *found)
{
    const struct pair zero = {(floats){0}, (floats){0}};
    for (int64_t i = 0; i < count; i += LANES) {
        struct pair R[PRODUCTS], dR[PRODUCTS], adjoint[RANK][RANK], dx[RANK], dw[RANK], dp[RANK], dbeta = zero, de = zero;
        struct woodbury of;
        add_poles(poles, nodes, nearest, i, 1, R);
        resolve(nodes, nearest, i, 1, R, &of);
        const struct pair factor = {load(nodes->factor_re + i), -load(nodes->factor_im + i)}; // its conjugate
        const struct pair gamma = conjugate(times(of.beta, of.e_inverse));
        for (int k = 0; k < RANK; k++)
            dx[k] = dw[k] = zero;
        for (int channel = 0; channel < CHANNELS; channel++) {
            const struct pair *R_CP = R + channel * RIGHT + 1;
            const struct pair d = times(factor, (struct pair){load(dK[channel][0] + i), load(dK[channel][1] + i)});
            struct pair alpha = pair_at(nearest->l[channel], i);
            for (int k = 0; k < RANK; k++)
                alpha = minus(alpha, times(R_CP[k], of.w[k]));
            const struct pair dalpha = times(gamma, d);
            dbeta = plus(dbeta, times(conjugate(times(alpha, of.e_inverse)), d));
            dR[channel * RIGHT] = d;
            for (int k = 0; k < RANK; k++) {
                dR[channel * RIGHT + 1 + k] = minus(zero, plus(times(conjugate(of.x[k]), d), times(conjugate(of.w[k]), dalpha)));
                dx[k] = minus(dx[k], times(conjugate(R_CP[k]), d));
                dw[k] = minus(dw[k], times(conjugate(R_CP[k]), dalpha));
            }
            put(found->nearest[channel], i, dalpha);
        }
        de = minus(zero, times(gamma, dbeta));
        for (int k = 0; k < RANK; k++) {
            const struct pair p = conjugate(pair_at(nearest->r[1 + k], i));
            dp[k] = minus(times(conjugate(of.w[k]), de), times(conjugate(of.x[k]), dbeta));
            dx[k] = minus(dx[k], times(p, dbeta));
            dw[k] = plus(dw[k], times(p, de));
        }
        for (int part = 0; part < 2; part++) {
            for (int k = 0; k < RANK; k++)
                for (int j = 0; j < RANK; j++)
                    adjoint[k][j] = conjugate(of.M[j][k]);
            solve(adjoint, part ? dw : dx);
        }
        for (int k = 0; k < RANK; k++) {
            dR[(CHANNELS + k) * RIGHT] = dx[k];
            for (int j = 0; j < RANK; j++)
                dR[(CHANNELS + k) * RIGHT + 1 + j] = minus(zero, plus(times(conjugate(of.x[j]), dx[k]), times(conjugate(of.w[j]), dw[k])));
            put(found->nearest[CHANNELS + k], i, dw[k]);
            put(found->nearest[LEFT + 1 + k], i, dp[k]);
        }
        put(found->nearest[LEFT], i, dbeta);
        put(found->nearest[LEFT + RIGHT], i, de);
        for (int j = 0; j < PRODUCTS; j++) {
            memcpy(found->g[j] + i, &dR[j].re, sizeof dR[j].re);
            memcpy(found->h[j] + i, &dR[j].im, sizeof dR[j].im);
        }
    }
}

// With e + i f = 1 / conj(z - Lambda), and below it the conjugate pole's, both of which the products v share: dv = sum_l g (e + i f)
// + conj(...), q the same of their squares, and t that of y times these. What multiplies g and h are sums and differences of the two.
static void add_tile(const struct pole poles[POLES], const struct nodes *nodes, const struct nearest *nearest, const struct gradients *found,
                     int64_t count, float sums[POLES][PRODUCTS][SUMS])
{
    for (int n = 0; n < POLES; n++) {
        const float a = poles[n].a, b = poles[n].b;
        floats e_plus[TILE / LANES], e_minus[TILE / LANES], f_plus[TILE / LANES], f_minus[TILE / LANES], e2_plus[TILE / LANES], e2_minus[TILE / LANES], f2_plus[TILE / LANES], f2_minus[TILE / LANES];
        for (int64_t i = 0; i < count; i += LANES) {
            const floats y = load(nodes->y + i), below = (y - b) + load(nodes->y_low + i), above = y + b;
            ints skipped;
            memcpy(&skipped, nearest->n + i, sizeof skipped);
            const floats r = unless(skipped == n, inverse(poles[n].a2 + below * below)), e = a * r, f = below * r, e2 = e * e - f * f, f2 = 2 * e * f;
            const floats s = inverse(poles[n].a2 + above * above), k = a * s, m = above * s, k2 = k * k - m * m, m2 = 2 * k * m;
            const int64_t at = i / LANES;
            e_plus[at] = e + k;
            e_minus[at] = e - k;
            f_plus[at] = f + m;
            f_minus[at] = f - m;
            e2_plus[at] = e2 + k2;
            e2_minus[at] = e2 - k2;
            f2_plus[at] = f2 + m2;
            f2_minus[at] = f2 - m2;
        }
        for (int j = 0; j < PRODUCTS; j++) {
            floats dv_re = {0}, dv_im = {0}, q_re = {0}, q_im = {0}, t_re = {0}, t_im = {0};
            for (int64_t i = 0; i < count; i += LANES) {
                const floats y = load(nodes->y + i), g_i = load(found->g[j] + i), h_i = load(found->h[j] + i), yg = y * g_i, yh = y * h_i;
                const int64_t at = i / LANES;
                dv_re += g_i * e_plus[at];
                dv_re -= h_i * f_plus[at];
                dv_im += g_i * f_minus[at];
                dv_im += h_i * e_minus[at];
                q_re += g_i * e2_plus[at];
                q_re -= h_i * f2_plus[at];
                q_im += g_i * f2_minus[at];
                q_im += h_i * e2_minus[at];
                t_re += yh * f2_minus[at];
                t_re -= yg * e2_minus[at];
                t_im -= yg * f2_plus[at];
                t_im -= yh * e2_plus[at];
            }
            sums[n][j][0] += total(dv_re);
            sums[n][j][1] += total(dv_im);
            sums[n][j][2] += total(q_re);
            sums[n][j][3] += total(q_im);
            sums[n][j][4] += total(t_re);
            sums[n][j][5] += total(t_im);
        }
    }
}

// What the nearest poles of a tile's nodes get, and y times the gradient of y.
static void add_nearest(const struct nodes *nodes, const struct nearest *nearest, const struct gradients *found, int64_t count,
                        double factors[POLES][FACTORS][2], double *ydy)
{
    for (int64_t i = 0; i < count; i++) {
        if (nearest->n[i] < 0)
            continue;
        for (int k = 0; k < FACTORS; k++) {
            factors[nearest->n[i]][k][0] += found->nearest[k][0][i];
            factors[nearest->n[i]][k][1] += found->nearest[k][1][i];
        }
        *ydy += (double)nodes->y[i] * found->nearest[LEFT + RIGHT][1][i];
    }
}

// The sums over a chunk of a row's nodes.
static void add_chunk(const struct dplr_kernel_backward_args *args, int64_t row, int64_t first, int64_t last, float sums[POLES][PRODUCTS][SUMS],
                      double factors[POLES][FACTORS][2], double *ydy)
{
    const int64_t all = args->seqlen / 2 + 1;
    struct pole poles[POLES];
    int order[POLES], place = 0;
    fill_poles(args, row, poles, order);
    memset(sums, 0, sizeof(*sums) * POLES);
    memset(factors, 0, sizeof(*factors) * POLES);
    *ydy = 0;
    for (; first < last; first += TILE) {
        const int64_t count = last - first < TILE ? last - first : TILE;
        float dK[CHANNELS][2][TILE];
        struct nodes nodes;
        struct nearest nearest;
        struct gradients found;
        fill_nodes(&nodes, args->tangents + first, args->step[row], count);
        place = fill_nearest(&nearest, args, row, poles, order, place, &nodes, count);
        for (int channel = 0; channel < CHANNELS; channel++) {
            const float *dout = args->dout + 2 * ((channel * args->dim + row) * all + first);
            for (int64_t i = 0; i < count; i++) {
                dK[channel][0][i] = dout[2 * i];
                dK[channel][1][i] = dout[2 * i + 1];
            }
            for (int64_t i = count; i % LANES; i++) // nothing comes back to what fills up the last vector
                dK[channel][0][i] = dK[channel][1][i] = 0;
        }
        differentiate(poles, &nodes, &nearest, dK, count, &found);
        add_tile(poles, &nodes, &nearest, &found, count, sums);
        add_nearest(&nodes, &nearest, &found, count, factors, ydy);
    }
}

// The gradients of a row's parameters from the sums over its chunks, in order; y is proportional to 1 / step.
static void finish(const struct dplr_kernel_backward_args *args, int64_t row, int64_t chunks)
{
    const double scale = scale_of(args->step[row]);
    double ydy = 0;
    for (int64_t c = 0; c < chunks; c++)
        ydy += args->ydy[row * chunks + c];
    for (int n = 0; n < POLES; n++) {
        float left[LEFT][2], right[RIGHT][2];
        double dleft[LEFT][2] = {0}, dright[RIGHT][2] = {0}, dLambda[2] = {0};
        factors(args, row, n, left, right);
        const float *Lambda = args->Lambda + 2 * (row * POLES + n);
        const double sign = Lambda[1] < 0 ? -1 : 1;
        for (int x = 0; x < LEFT; x++)
            for (int y = 0; y < RIGHT; y++) {
                double sum[SUMS] = {0};
                for (int64_t c = 0; c < chunks; c++)
                    for (int i = 0; i < SUMS; i++)
                        sum[i] += args->sums[(((row * chunks + c) * POLES + n) * PRODUCTS + x * RIGHT + y) * SUMS + i];
                const double v_re = (double)left[x][0] * right[y][0] + (double)left[x][1] * right[y][1];
                const double v_im = (double)left[x][0] * right[y][1] - (double)left[x][1] * right[y][0];
                const double dv_re = scale * sum[0], dv_im = sign * scale * sum[1];
                const double q_re = scale * scale * sum[2], q_im = sign * scale * scale * sum[3];
                dLambda[0] += v_re * q_re + v_im * q_im;
                dLambda[1] += v_re * q_im - v_im * q_re;
                dright[y][0] += left[x][0] * dv_re - left[x][1] * dv_im;
                dright[y][1] += left[x][0] * dv_im + left[x][1] * dv_re;
                dleft[x][0] += right[y][0] * dv_re + right[y][1] * dv_im;
                dleft[x][1] += right[y][1] * dv_re - right[y][0] * dv_im;
                ydy += scale * (v_re * sum[5] - sign * v_im * sum[4]);
            }
        for (int i = 0; i < 2; i++) {
            // Those of l = conj(X), of r = Y and of d = z - Lambda, of the pole with b >= 0.
            const double direct = i ? sign : 1, mirrored = i ? -sign : 1;
            for (int64_t c = 0; c < chunks; c++) {
                const double *factor = args->factors + (((row * chunks + c) * POLES + n) * FACTORS) * 2 + i;
                for (int x = 0; x < LEFT; x++)
                    dleft[x][i] += mirrored * scale * factor[2 * x];
                for (int y = 0; y < RIGHT; y++)
                    dright[y][i] += direct * factor[2 * (LEFT + y)];
                dLambda[i] -= direct * scale * factor[2 * (LEFT + RIGHT)];
            }
            args->dLambda[2 * (row * POLES + n) + i] = (float)dLambda[i];
            args->dB[2 * (row * POLES + n) + i] = (float)dright[0][i];
            for (int channel = 0; channel < CHANNELS; channel++)
                args->dC[2 * ((channel * args->dim + row) * POLES + n) + i] = (float)dleft[channel][i];
            for (int k = 0; k < RANK; k++) {
                args->dP[2 * ((row * RANK + k) * POLES + n) + i] = (float)dright[1 + k][i];
                args->dQ[2 * ((row * RANK + k) * POLES + n) + i] = (float)dleft[CHANNELS + k][i];
            }
        }
    }
    args->dstep[row] = (float)(-ydy / args->step[row]);
}

void dplr_kernel_backward(const struct dplr_kernel_backward_args *args)
{
    const int64_t all = args->seqlen / 2 + 1, chunks = (all + CHUNK - 1) / CHUNK;
    // Below some ten microseconds of work, waking threads costs more than they bring.
    const int threads = args->dim * all * POLES < 32768 ? 1 : (int)args->threads;
#pragma omp parallel num_threads(threads)
    {
#pragma omp for schedule(static)
        for (int64_t first = 0; first < all; first += TILE)
            fill_tangents(args->tangents, first, first + TILE < all ? first + TILE : all, args->seqlen);
#pragma omp for schedule(dynamic)
        for (int64_t task = 0; task < args->dim * chunks; task++) {
            const int64_t first = task % chunks * CHUNK, last = first + CHUNK < all ? first + CHUNK : all;
            add_chunk(args, task / chunks, first, last, (float(*)[PRODUCTS][SUMS])args->sums + task * POLES,
                      (double(*)[FACTORS][2])args->factors + task * POLES, args->ydy + task);
        }
#pragma omp for schedule(static)
        for (int64_t row = 0; row < args->dim; row++)
            finish(args, row, chunks);
    }
}
