/* The first convolution: see convstem_s8.h. */
#include "convstem_s8.h"

/* The lines of the upper windows and of the lower ones, word by word down the kernel: the words that a pool's windows
 * touch lie side by side wherever it is. */
static void turn(const convstem_s8_layer *l, const int16_t *lines, int32_t *columns)
{
    const int32_t height = l->kernel_height;
    const ptrdiff_t below = (ptrdiff_t)l->stride_y * l->map.length;
    const ptrdiff_t down = (ptrdiff_t)l->dilation_y * l->map.length;
    for (int32_t ky = 0; ky < height; ++ky) {
        const int16_t *upper = lines + (ky * down);
        const int16_t *lower = upper + below;
        int32_t *to = columns + ((ptrdiff_t)2 * ky);
        for (int32_t i = l->columns; i > 0; --i) {
            const int32_t word = dual_s8_word(upper);
            to[1] = dual_s8_word(lower);
            to[0] = word;
            to += (ptrdiff_t)2 * height;
            upper += 2;
            lower += 2;
        }
    }
}

static void one_row(const convstem_s8_layer *l, const int32_t *columns, int8_t *pixel)
{
    const int usual = dual_pool_s8_usual(&l->finish);
    for (int32_t ox = 0; ox < l->out_width; ++ox) {
        const int32_t *weights = l->weights;
        for (int32_t first = 0; first < l->out_channels; first += 2 * DUAL_POOL_S8_PAIRS) {
            dual_s8_sums sums[DUAL_POOL_S8_PAIRS];
            const int32_t left = l->out_channels - first;
            const int32_t held = (left < 2 * DUAL_POOL_S8_PAIRS) ? left : 2 * DUAL_POOL_S8_PAIRS;
            weights = dual_s8_square(columns, weights, l->words, (held + 1) / 2, sums);
            if (usual) {
                dual_pool_s8_maxima(&l->finish, sums, 0, first, held, pixel);
            } else {
                dual_pool_s8_finish(&l->finish, sums, DUAL_S8_WINDOWS, first, held, 0, pixel);
            }
        }
        columns += (ptrdiff_t)2 * l->step * l->kernel_height;
        pixel += l->out_channels;
    }
}

void convstem_s8(const convstem_s8_layer *layer, const int8_t *in, int8_t *out, int8_t *scratch)
{
    const convstem_s8_layer *const l = layer;
    const int32_t down = 2 * l->stride_y;
    int32_t *const columns = (int32_t *)(void *)scratch;
    int16_t *const lines = (int16_t *)(void *)(columns + ((ptrdiff_t)2 * l->columns * l->kernel_height));
    for (int32_t oy = 0; oy < l->out_height; ++oy) {
        const int32_t kept = (oy == 0 || l->lines < down) ? 0 : l->lines - down;
        lines_s8(&l->map, in, (oy * down) - l->pad_top, l->lines, kept, lines);
        turn(l, lines, columns);
        one_row(l, columns, out + ((ptrdiff_t)oy * l->out_width * l->out_channels));
    }
}
