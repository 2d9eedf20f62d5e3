/* A dense layer in blocks of outputs: see gemmwide_s8.h. */
#include "gemmwide_s8.h"

#include "requantize_block_s8.h"

static int32_t smaller(int32_t a, int32_t b)
{
    return (a < b) ? a : b;
}

/* Some rows against some outputs. */
static void part_of_rows(
    const gemmwide_s8_layer *l, const tile_s8_part *part, int32_t first, int32_t output, const int8_t *tile, int8_t *out)
{
    const int32_t count = smaller(TILE_S8_WINDOWS, l->rows - first);
    int32_t starts[TILE_S8_WINDOWS] = {0};
    int32_t sums[TILE_S8_WINDOWS][TILE_S8_CHANNELS];
    for (int32_t i = 0; i < count; ++i) {
        starts[i] = (first + i) * l->in_features;
    }
    tile_s8_sums(part, tile, starts, count, sums);
    for (int32_t i = 0; i < count; ++i) {
        int8_t *const row = out + ((ptrdiff_t)(first + i) * l->out_features) + output;
        for (int32_t c = 0; c < part->channels; c += TILE_S8_BLOCK) {
            const int32_t wanted = smaller(TILE_S8_BLOCK, part->channels - c);
            requantize_s8_block(&l->output, sums[i] + c, output + c, wanted, row + c);
        }
    }
}

void gemmwide_s8(const gemmwide_s8_layer *layer, const int8_t *in, int8_t *out, int8_t *scratch)
{
    const gemmwide_s8_layer *const l = layer;
    const int32_t values = l->rows * l->in_features;
    const tile_s8_window window = {1, (l->in_features + TILE_S8_TAPS - 1) / TILE_S8_TAPS, 0};
    tile_s8_load(&l->weights, scratch, 0, in, values);
    tile_s8_fill(&l->weights, scratch, values, 0, TILE_S8_TAPS); /* met by weights of zero that fill up a last quad */
    for (int32_t output = 0; output < l->out_features; output += TILE_S8_CHANNELS) {
        const tile_s8_part part = tile_s8_part_of(&window, &l->weights, output, l->out_features);
        for (int32_t first = 0; first < l->rows; first += TILE_S8_WINDOWS) {
            part_of_rows(l, &part, first, output, scratch, out);
        }
    }
}
