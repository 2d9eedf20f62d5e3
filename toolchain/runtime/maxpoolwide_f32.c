/* Largest value of each window of float maps, for machines with vectors: see maxpoolwide_f32.h. */
#include "maxpoolwide_f32.h"

#include <stddef.h>

#include "activationwide_f32.h"

/* The taps of an axis that lie in the map: from *first up to the result. */
static int32_t held(int32_t start, int32_t size, int32_t kernel, int32_t dilation, int32_t *first)
{
    int32_t end = kernel;
    *first = 0;
    while (*first < kernel && start + (*first * dilation) < 0) {
        ++*first;
    }
    while (end > *first && start + ((end - 1) * dilation) >= size) {
        --end;
    }
    return end;
}

/* One pixel; every vector is whole, the last one begins earlier. */
static void one_pixel(const maxpoolwide_f32_layer *l, const float *in, int32_t top, int32_t left, float *out)
{
    int32_t first_row;
    int32_t first_column;
    const int32_t end_row = held(top, l->in_height, l->kernel_height, l->dilation_y, &first_row);
    const int32_t end_column = held(left, l->in_width, l->kernel_width, l->dilation_x, &first_column);
    for (int32_t next = 0; next < l->channels; next += VF32_LANES) {
        const int32_t c = (next + VF32_LANES <= l->channels) ? next : l->channels - VF32_LANES;
        float value[VF32_LANES];
        vf32 best = vf32_splat(-INFINITY);
        for (int32_t ky = first_row; ky < end_row; ++ky) {
            for (int32_t kx = first_column; kx < end_column; ++kx) {
                const ptrdiff_t y = top + (ky * l->dilation_y);
                const ptrdiff_t x = left + (kx * l->dilation_x);
                best = vf32_max(best, vf32_load(in + (((y * l->in_width) + x) * l->channels) + c));
            }
        }
        vf32_store(value, best);
        activationwide_f32(&l->activation, value, VF32_LANES);
        vf32_store(out + c, vf32_load(value));
    }
}

void maxpoolwide_f32(const maxpoolwide_f32_layer *layer, const float *in, float *out)
{
    for (int32_t oy = 0; oy < layer->out_height; ++oy) {
        for (int32_t ox = 0; ox < layer->out_width; ++ox) {
            const int32_t top = (oy * layer->stride_y) - layer->pad_top;
            const int32_t left = (ox * layer->stride_x) - layer->pad_left;
            one_pixel(layer, in, top, left, out);
            out += layer->channels;
        }
    }
}
