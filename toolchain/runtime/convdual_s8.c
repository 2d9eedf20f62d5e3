/* Convolution with two channels to a weight: see convdual_s8.h.
 *
 * The rows that a row of outputs takes are widened once; from these lines, four windows are copied side by side, so
 * that the inner loop reads them with one pointer. */
#include "convdual_s8.h"

static int32_t smaller(int32_t a, int32_t b)
{
    return (a < b) ? a : b;
}

/* Where four windows begin, from convolution output `x` on; the last `4 - count` are the one before again. */
static void find_windows(
    const convdual_s8_layer *l, const int16_t *lines, int32_t x, int32_t count, const int16_t **starts)
{
    const ptrdiff_t right = (ptrdiff_t)l->stride_x * l->in_channels;
    const ptrdiff_t down = (ptrdiff_t)l->stride_y * l->map.length;
    const int32_t wide = (l->finish.pool == DUAL_POOL_S8_NONE) ? DUAL_S8_WINDOWS : l->finish.width;
    for (int32_t i = 0; i < DUAL_S8_WINDOWS; ++i) {
        const int32_t window = smaller(i, count - 1);
        starts[i] = lines + ((window / wide) * down) + ((x + (window % wide)) * right);
    }
}

/* Four windows side by side, word by word. */
static void copy_windows(const convdual_s8_layer *l, const int16_t *const *starts, int32_t *patch)
{
    const int32_t words = l->run_words;
    ptrdiff_t row = 0;
    for (int32_t ky = 0; ky < l->kernel_height; ++ky) {
        ptrdiff_t run = row;
        for (int32_t kx = 0; kx < l->kernel_columns; ++kx) {
            const int16_t *from0 = starts[0] + run;
            const int16_t *from1 = starts[1] + run;
            const int16_t *from2 = starts[2] + run;
            const int16_t *from3 = starts[3] + run;
            for (const int32_t *const end = patch + ((ptrdiff_t)DUAL_S8_WINDOWS * words); patch != end;) {
                const int32_t word0 = dual_s8_word(from0);
                const int32_t word1 = dual_s8_word(from1);
                const int32_t word2 = dual_s8_word(from2);
                const int32_t word3 = dual_s8_word(from3);
                patch[0] = word0;
                patch[1] = word1;
                patch[2] = word2;
                patch[3] = word3;
                patch += DUAL_S8_WINDOWS;
                from0 += 2;
                from1 += 2;
                from2 += 2;
                from3 += 2;
            }
            run += l->column_step;
        }
        row += (ptrdiff_t)l->dilation_y * l->map.length;
    }
}

static void one_row(const convdual_s8_layer *l, const int16_t *lines, int32_t *patch, int8_t *pixel)
{
    const int32_t channels = l->out_channels / l->groups;
    const int32_t depth = l->in_channels / l->groups;
    const int32_t wide = (l->finish.pool == DUAL_POOL_S8_NONE) ? DUAL_S8_WINDOWS : 1;
    const int usual = dual_pool_s8_usual(&l->finish);
    for (int32_t ox = 0; ox < l->out_width; ox += wide) {
        const int32_t count = (wide == 1) ? DUAL_S8_WINDOWS : smaller(DUAL_S8_WINDOWS, l->out_width - ox);
        const int32_t *weights = l->weights;
        for (int32_t group = 0; group < l->groups; ++group) {
            const int16_t *starts[DUAL_S8_WINDOWS];
            find_windows(l, lines + (group * depth), ox * l->finish.width, count, starts);
            copy_windows(l, starts, patch);
            for (int32_t first = 0; first < channels; first += 2 * DUAL_POOL_S8_PAIRS) {
                dual_s8_sums sums[DUAL_POOL_S8_PAIRS];
                const int32_t held = smaller(2 * DUAL_POOL_S8_PAIRS, channels - first);
                weights = dual_s8_four(patch, weights, l->words, (held + 1) / 2, sums);
                if (usual) {
                    dual_pool_s8_maxima(&l->finish, sums, 1, (group * channels) + first, held, pixel);
                } else {
                    const int32_t channel = (group * channels) + first;
                    dual_pool_s8_finish(&l->finish, sums, count, channel, held, l->out_channels, pixel);
                }
            }
        }
        pixel += l->out_channels * wide;
    }
}

void convdual_s8(const convdual_s8_layer *layer, const int8_t *in, int8_t *out, int8_t *scratch)
{
    const convdual_s8_layer *const l = layer;
    int32_t *const patch = (int32_t *)(void *)scratch;
    const int32_t down = l->finish.height * l->stride_y;
    int16_t *const lines = (int16_t *)(void *)(patch + ((ptrdiff_t)4 * l->words));
    for (int32_t oy = 0; oy < l->out_height; ++oy) {
        const int32_t kept = (oy == 0 || l->lines < down) ? 0 : l->lines - down;
        lines_s8(&l->map, in, (oy * down) - l->pad_top, l->lines, kept, lines);
        one_row(l, lines, patch, out + ((ptrdiff_t)oy * l->out_width * l->out_channels));
    }
}
