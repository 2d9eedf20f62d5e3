/* What scalar_f32.h says, in C99: included from there. Sums are named, not in arrays, so that they are registers at any
 * level of optimisation. */
#ifndef SCALAR_F32_PORTABLE_H
#define SCALAR_F32_PORTABLE_H

typedef struct {
    float a, b, c, d;
} scalar_f32_quad;

static inline scalar_f32_quad scalar_f32_all(float value)
{
    const scalar_f32_quad quad = {value, value, value, value};
    return quad;
}

static inline scalar_f32_quad scalar_f32_load(const float *values)
{
    const scalar_f32_quad quad = {values[0], values[1], values[2], values[3]};
    return quad;
}

static inline void scalar_f32_store(scalar_f32_quad quad, float *values)
{
    values[0] = quad.a;
    values[1] = quad.b;
    values[2] = quad.c;
    values[3] = quad.d;
}

/* One instruction where there is one; in strict C99 a compiler may not make it of two operations itself. */
static inline float scalar_f32_fused(float value, float factor, float sum)
{
#if defined(__ARM_FEATURE_FMA)
    return fmaf(value, factor, sum);
#else
    return sum + (value * factor);
#endif
}

static inline scalar_f32_quad scalar_f32_add(scalar_f32_quad sum, scalar_f32_quad values, float factor)
{
    sum.a = scalar_f32_fused(values.a, factor, sum.a);
    sum.b = scalar_f32_fused(values.b, factor, sum.b);
    sum.c = scalar_f32_fused(values.c, factor, sum.c);
    sum.d = scalar_f32_fused(values.d, factor, sum.d);
    return sum;
}

static inline const float *scalar_f32_six(const scalar_f32_windows *w, const float *weights, float *sums)
{
    const float *x0 = w->start[0];
    const float *x1 = w->start[1];
    const float *x2 = w->start[2];
    const float *x3 = w->start[3];
    scalar_f32_quad s0 = scalar_f32_all(weights[0]);
    scalar_f32_quad s1 = scalar_f32_all(weights[1]);
    scalar_f32_quad s2 = scalar_f32_all(weights[2]);
    scalar_f32_quad s3 = scalar_f32_all(weights[3]);
    scalar_f32_quad s4 = scalar_f32_all(weights[4]);
    scalar_f32_quad s5 = scalar_f32_all(weights[5]);
    weights += SCALAR_F32_SIX;
    for (int32_t r = 0; r < w->runs; ++r) {
        for (int32_t i = 0; i < w->run; ++i) {
            const scalar_f32_quad x = {x0[i], x1[i], x2[i], x3[i]};
            s0 = scalar_f32_add(s0, x, weights[0]);
            s1 = scalar_f32_add(s1, x, weights[1]);
            s2 = scalar_f32_add(s2, x, weights[2]);
            s3 = scalar_f32_add(s3, x, weights[3]);
            s4 = scalar_f32_add(s4, x, weights[4]);
            s5 = scalar_f32_add(s5, x, weights[5]);
            weights += SCALAR_F32_SIX;
        }
        const int32_t jump = w->run + w->jumps[r];
        x0 += jump;
        x1 += jump;
        x2 += jump;
        x3 += jump;
    }
    scalar_f32_store(s0, sums);
    scalar_f32_store(s1, sums + 4);
    scalar_f32_store(s2, sums + 8);
    scalar_f32_store(s3, sums + 12);
    scalar_f32_store(s4, sums + 16);
    scalar_f32_store(s5, sums + 20);
    return weights;
}

static inline const float *scalar_f32_four(const scalar_f32_windows *w, const float *weights, float *sums)
{
    const float *x0 = w->start[0];
    const float *x1 = w->start[1];
    const float *x2 = w->start[2];
    const float *x3 = w->start[3];
    scalar_f32_quad s0 = scalar_f32_all(weights[0]);
    scalar_f32_quad s1 = scalar_f32_all(weights[1]);
    scalar_f32_quad s2 = scalar_f32_all(weights[2]);
    scalar_f32_quad s3 = scalar_f32_all(weights[3]);
    weights += SCALAR_F32_FOUR;
    for (int32_t r = 0; r < w->runs; ++r) {
        for (int32_t i = 0; i < w->run; ++i) {
            const scalar_f32_quad x = {x0[i], x1[i], x2[i], x3[i]};
            s0 = scalar_f32_add(s0, x, weights[0]);
            s1 = scalar_f32_add(s1, x, weights[1]);
            s2 = scalar_f32_add(s2, x, weights[2]);
            s3 = scalar_f32_add(s3, x, weights[3]);
            weights += SCALAR_F32_FOUR;
        }
        const int32_t jump = w->run + w->jumps[r];
        x0 += jump;
        x1 += jump;
        x2 += jump;
        x3 += jump;
    }
    scalar_f32_store(s0, sums);
    scalar_f32_store(s1, sums + 4);
    scalar_f32_store(s2, sums + 8);
    scalar_f32_store(s3, sums + 12);
    return weights;
}

static inline const float *scalar_f32_one(const scalar_f32_windows *w, const float *weights, float *sums)
{
    const float *x0 = w->start[0];
    const float *x1 = w->start[1];
    const float *x2 = w->start[2];
    const float *x3 = w->start[3];
    scalar_f32_quad s0 = scalar_f32_all(*weights++);
    for (int32_t r = 0; r < w->runs; ++r) {
        for (int32_t i = 0; i < w->run; ++i) {
            const scalar_f32_quad x = {x0[i], x1[i], x2[i], x3[i]};
            s0 = scalar_f32_add(s0, x, *weights++);
        }
        const int32_t jump = w->run + w->jumps[r];
        x0 += jump;
        x1 += jump;
        x2 += jump;
        x3 += jump;
    }
    scalar_f32_store(s0, sums);
    return weights;
}

static inline const float *scalar_f32_dozen(const float *x, int32_t taps, const float *weights, float *sums)
{
    scalar_f32_quad s0 = scalar_f32_load(weights);
    scalar_f32_quad s1 = scalar_f32_load(weights + 4);
    scalar_f32_quad s2 = scalar_f32_load(weights + 8);
    for (int32_t i = 0; i < taps; ++i) {
        weights += SCALAR_F32_DOZEN;
        s0 = scalar_f32_add(s0, scalar_f32_load(weights), x[i]);
        s1 = scalar_f32_add(s1, scalar_f32_load(weights + 4), x[i]);
        s2 = scalar_f32_add(s2, scalar_f32_load(weights + 8), x[i]);
    }
    scalar_f32_store(s0, sums);
    scalar_f32_store(s1, sums + 4);
    scalar_f32_store(s2, sums + 8);
    return weights + SCALAR_F32_DOZEN;
}

static inline const float *scalar_f32_quartet(const float *x, int32_t taps, const float *weights, float *sums)
{
    scalar_f32_quad s0 = scalar_f32_load(weights);
    for (int32_t i = 0; i < taps; ++i) {
        weights += SCALAR_F32_FOUR;
        s0 = scalar_f32_add(s0, scalar_f32_load(weights), x[i]);
    }
    scalar_f32_store(s0, sums);
    return weights + SCALAR_F32_FOUR;
}

#endif
