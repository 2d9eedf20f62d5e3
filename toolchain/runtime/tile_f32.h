/* The inner loop of convolutions and matrix products: six windows of the input meet a few vectors of output channels,
 * and all their sums stay in registers.
 *
 * Each step loads the weights of one tap once, broadcasts the tap's value of each window, and multiplies and adds. Sums
 * are named, since an array of them would live in memory. */
#ifndef TILE_F32_H
#define TILE_F32_H

#include <stddef.h>

#include "vector_f32.h"

enum {
    TILE_F32_BLOCK = 16,  /* channels whose weights lie side by side */
    TILE_F32_WINDOWS = 6, /* computed together */
#if defined(__AVX512F__) && !defined(VECTOR_F32_PLAIN)
    TILE_F32_VECTORS = 4 /* of 32 registers: 24 sums, 4 weights; four blocks */
#elif defined(__aarch64__) && defined(__ARM_NEON) && !defined(VECTOR_F32_PLAIN)
    TILE_F32_VECTORS = 4 /* likewise; one block */
#else
    TILE_F32_VECTORS = 2 /* of 16 registers: 12 sums, 2 weights */
#endif
};
enum {
    TILE_F32_CHANNELS = TILE_F32_VECTORS * VF32_LANES,
    TILE_F32_WIDE = (int)VF32_LANES >= (int)TILE_F32_BLOCK /* a vector takes a whole block */
};

/* Where the taps of a window lie: slices of rows of runs of floats side by side. */
typedef struct {
    int32_t slices, rows, runs, run;
    ptrdiff_t slice_pitch, row_pitch, run_pitch; /* floats from one to the next */
} tile_f32_taps;

/* What meets the windows. */
typedef struct {
    const float *weights; /* [taps][TILE_F32_BLOCK], of the first vector */
    ptrdiff_t gap;        /* floats from the weights of one vector to those of the next */
    const float *start;   /* the sums' first term: [vectors][VF32_LANES] */
} tile_f32_weights;

#define TILE_F32_EACH(DO) DO(0) DO(1) DO(2) DO(3) DO(4) DO(5)
#define TILE_F32_FROM(p) const float *const x##p = x[p];

/* All taps: LOAD loads the weights of one, STEP(p) adds its product with value i of window p. */
#define TILE_F32_LOOP(LOAD, STEP) \
    TILE_F32_EACH(TILE_F32_FROM) \
    for (int32_t slice = 0; slice < taps->slices; ++slice) { \
        for (int32_t row = 0; row < taps->rows; ++row) { \
            for (int32_t run = 0; run < taps->runs; ++run) { \
                const ptrdiff_t first = \
                    (slice * taps->slice_pitch) + (row * taps->row_pitch) + (run * taps->run_pitch); \
                for (ptrdiff_t i = first; i < first + taps->run; ++i) { \
                    LOAD TILE_F32_EACH(STEP) weights += TILE_F32_BLOCK; \
                } \
            } \
        } \
    }

#define TILE_F32_START1(p) vf32 a##p = vf32_load(w->start);
#define TILE_F32_LOAD1 const vf32 wa = vf32_load(weights);
#define TILE_F32_STEP1(p) a##p = vf32_fma(vf32_splat(x##p[i]), wa, a##p);
#define TILE_F32_STORE1(p) vf32_store(sums + ((p) * pitch), a##p);

/* sums[p * pitch ...] = start + weights . window p, one vector of channels. */
static inline void tile_f32_one(
    const tile_f32_taps *taps, const tile_f32_weights *w, const float *const *x, float *sums, ptrdiff_t pitch)
{
    const float *weights = w->weights;
    TILE_F32_EACH(TILE_F32_START1)
    TILE_F32_LOOP(TILE_F32_LOAD1, TILE_F32_STEP1)
    TILE_F32_EACH(TILE_F32_STORE1)
}

#define TILE_F32_START2(p) TILE_F32_START1(p) vf32 b##p = vf32_load(w->start + VF32_LANES);
#define TILE_F32_LOAD2 TILE_F32_LOAD1 const vf32 wb = vf32_load(weights + gap);
#define TILE_F32_STEP2(p) \
    { \
        const vf32 v = vf32_splat(x##p[i]); \
        a##p = vf32_fma(v, wa, a##p); \
        b##p = vf32_fma(v, wb, b##p); \
    }
#define TILE_F32_STORE2(p) TILE_F32_STORE1(p) vf32_store(sums + ((p) * pitch) + VF32_LANES, b##p);

/* The same for two vectors. */
static inline void tile_f32_two(
    const tile_f32_taps *taps, const tile_f32_weights *w, const float *const *x, float *sums, ptrdiff_t pitch)
{
    const float *weights = w->weights;
    const ptrdiff_t gap = TILE_F32_WIDE ? w->gap : (ptrdiff_t)VF32_LANES;
    TILE_F32_EACH(TILE_F32_START2)
    TILE_F32_LOOP(TILE_F32_LOAD2, TILE_F32_STEP2)
    TILE_F32_EACH(TILE_F32_STORE2)
}

#define TILE_F32_START4(p) \
    TILE_F32_START2(p) \
    vf32 c##p = vf32_load(w->start + (2 * VF32_LANES)); \
    vf32 d##p = vf32_load(w->start + (3 * VF32_LANES));
#define TILE_F32_LOAD4 \
    TILE_F32_LOAD2 \
    const vf32 wc = vf32_load(weights + (2 * gap)); \
    const vf32 wd = vf32_load(weights + (3 * gap));
#define TILE_F32_STEP4(p) \
    { \
        const vf32 v = vf32_splat(x##p[i]); \
        a##p = vf32_fma(v, wa, a##p); \
        b##p = vf32_fma(v, wb, b##p); \
        c##p = vf32_fma(v, wc, c##p); \
        d##p = vf32_fma(v, wd, d##p); \
    }
#define TILE_F32_STORE4(p) \
    TILE_F32_STORE2(p) \
    vf32_store(sums + ((p) * pitch) + (2 * VF32_LANES), c##p); \
    vf32_store(sums + ((p) * pitch) + (3 * VF32_LANES), d##p);

/* The same for four vectors. */
static inline void tile_f32_four(
    const tile_f32_taps *taps, const tile_f32_weights *w, const float *const *x, float *sums, ptrdiff_t pitch)
{
    const float *weights = w->weights;
    const ptrdiff_t gap = TILE_F32_WIDE ? w->gap : (ptrdiff_t)VF32_LANES;
    TILE_F32_EACH(TILE_F32_START4)
    TILE_F32_LOOP(TILE_F32_LOAD4, TILE_F32_STEP4)
    TILE_F32_EACH(TILE_F32_STORE4)
}

/* Vectors that are computed together when `channels` are left: 4, 2 or 1. The weights of a block are padded, so that
 * three vectors may be taken for four within it. */
static inline int32_t tile_f32_vectors(int32_t channels)
{
    const int32_t wanted = (channels + VF32_LANES - 1) / VF32_LANES;
    if (TILE_F32_VECTORS == 4 && wanted >= (TILE_F32_WIDE ? 4 : 3)) {
        return 4;
    }
    return (wanted >= 2) ? 2 : 1;
}

static inline void tile_f32(
    int32_t vectors,
    const tile_f32_taps *taps,
    const tile_f32_weights *w,
    const float *const *x,
    float *sums,
    ptrdiff_t pitch)
{
    if (TILE_F32_VECTORS == 4 && vectors == 4) {
        tile_f32_four(taps, w, x, sums, pitch);
    } else if (vectors == 2) {
        tile_f32_two(taps, w, x, sums, pitch);
    } else {
        tile_f32_one(taps, w, x, sums, pitch);
    }
}

#endif
