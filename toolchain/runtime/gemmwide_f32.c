/* A dense layer for machines with vectors: see gemmwide_f32.h.
 *
 * One row is bound by the memory that the weights come from: they are read from first to last, into four sums for each
 * output, which hide the time of an addition and shorten the chains of roundings. Several rows share the weights, as
 * windows of a convolution do. */
#include "gemmwide_f32.h"

#include <stddef.h>

#include "activationwide_f32.h"
#include "tile_f32.h"

enum { PARTS = TILE_F32_BLOCK / VF32_LANES }; /* vectors of a block */

static void store(const gemmwide_f32_layer *l, float *sums, float *out, int32_t count)
{
    activationwide_f32(&l->activation, sums, TILE_F32_BLOCK);
    for (int32_t c = 0; c < TILE_F32_BLOCK && c < count; c += VF32_LANES) {
        vf32_store_part(out + c, vf32_load(sums + c), count - c);
    }
}

/* sums = bias + weights . in, for one block of outputs. */
static void one_block(const gemmwide_f32_layer *l, const float *in, ptrdiff_t index, float *sums)
{
    const float *const weights = l->weights + (index * l->in_features * TILE_F32_BLOCK);
    for (int32_t part = 0; part < PARTS; part += 2) {
        const int32_t next = (PARTS > 1) ? VF32_LANES : 0;
        const float *w = weights + (part * VF32_LANES);
        const float *const bias = l->bias + (index * TILE_F32_BLOCK) + (part * VF32_LANES);
        vf32 a0 = vf32_load(bias);
        vf32 b0 = vf32_load(bias + next);
        vf32 a1 = vf32_splat(0.0f);
        vf32 b1 = a1;
        vf32 a2 = a1;
        vf32 b2 = a1;
        vf32 a3 = a1;
        vf32 b3 = a1;
        int32_t i = 0;
        for (; i + 4 <= l->in_features; i += 4) {
            a0 = vf32_fma(vf32_splat(in[i]), vf32_load(w), a0);
            a1 = vf32_fma(vf32_splat(in[i + 1]), vf32_load(w + TILE_F32_BLOCK), a1);
            a2 = vf32_fma(vf32_splat(in[i + 2]), vf32_load(w + (2 * TILE_F32_BLOCK)), a2);
            a3 = vf32_fma(vf32_splat(in[i + 3]), vf32_load(w + (3 * TILE_F32_BLOCK)), a3);
            if (PARTS > 1) {
                b0 = vf32_fma(vf32_splat(in[i]), vf32_load(w + VF32_LANES), b0);
                b1 = vf32_fma(vf32_splat(in[i + 1]), vf32_load(w + TILE_F32_BLOCK + VF32_LANES), b1);
                b2 = vf32_fma(vf32_splat(in[i + 2]), vf32_load(w + (2 * TILE_F32_BLOCK) + VF32_LANES), b2);
                b3 = vf32_fma(vf32_splat(in[i + 3]), vf32_load(w + (3 * TILE_F32_BLOCK) + VF32_LANES), b3);
            }
            w += 4 * TILE_F32_BLOCK;
        }
        for (; i < l->in_features; ++i) {
            a0 = vf32_fma(vf32_splat(in[i]), vf32_load(w), a0);
            b0 = vf32_fma(vf32_splat(in[i]), vf32_load(w + next), b0);
            w += TILE_F32_BLOCK;
        }
        vf32_store(sums + (part * VF32_LANES), vf32_add(vf32_add(a0, a1), vf32_add(a2, a3)));
        if (PARTS > 1) {
            vf32_store(sums + ((part + 1) * VF32_LANES), vf32_add(vf32_add(b0, b1), vf32_add(b2, b3)));
        }
    }
}

static void one_row(const gemmwide_f32_layer *l, const float *in, float *out)
{
    for (int32_t first = 0; first < l->out_features; first += TILE_F32_BLOCK) {
        float sums[TILE_F32_BLOCK];
        one_block(l, in, first / TILE_F32_BLOCK, sums);
        store(l, sums, out + first, l->out_features - first);
    }
}

/* Up to TILE_F32_WINDOWS rows. */
static void several_rows(const gemmwide_f32_layer *l, const float *in, float *out, int32_t rows)
{
    const tile_f32_taps taps = {.slices = 1, .rows = 1, .runs = 1, .run = l->in_features};
    const float *x[TILE_F32_WINDOWS];
    int32_t vectors = 1;
    for (int32_t r = 0; r < TILE_F32_WINDOWS; ++r) {
        x[r] = in + ((ptrdiff_t)((r < rows) ? r : rows - 1) * l->in_features);
    }
    for (int32_t first = 0; first < l->out_features; first += vectors * VF32_LANES) {
        const ptrdiff_t gap = (ptrdiff_t)l->in_features * TILE_F32_BLOCK;
        const int32_t lane = first % TILE_F32_BLOCK;
        const tile_f32_weights w = {
            .weights = l->weights + ((first / TILE_F32_BLOCK) * gap) + lane, .gap = gap, .start = l->bias + first};
        float sums[TILE_F32_WINDOWS * TILE_F32_CHANNELS];
        vectors = tile_f32_vectors(l->out_features - first);
        tile_f32(vectors, &taps, &w, x, sums, (ptrdiff_t)vectors * VF32_LANES);
        activationwide_f32(&l->activation, sums, (ptrdiff_t)TILE_F32_WINDOWS * vectors * VF32_LANES);
        for (int32_t i = 0; i < rows * vectors; ++i) {
            const int32_t c = first + ((i % vectors) * VF32_LANES);
            float *const to = out + ((ptrdiff_t)(i / vectors) * l->out_features) + c;
            vf32_store_part(to, vf32_load(sums + ((ptrdiff_t)i * VF32_LANES)), l->out_features - c);
        }
    }
}

void gemmwide_f32(const gemmwide_f32_layer *layer, const float *in, float *out)
{
    int32_t made = 1;
    for (int32_t row = 0; row < layer->rows; row += made) {
        const int32_t left = layer->rows - row;
        made = (left < TILE_F32_WINDOWS) ? left : TILE_F32_WINDOWS;
        if (made == 1) {
            one_row(layer, in, out);
        } else {
            several_rows(layer, in, out, made);
        }
        in += (ptrdiff_t)made * layer->in_features;
        out += (ptrdiff_t)made * layer->out_features;
    }
}
