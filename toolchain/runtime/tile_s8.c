/* Sums of products of channels and windows: see tile_s8.h. Each instruction set brings three functions: values into a
 * tile, some windows at a time, one window. */
#include "tile_s8.h"

#include <stddef.h>
#include <string.h>

#if defined(__AVX512F__) && defined(__AVX512VNNI__)
#include "tile_s8_avx512.h"
#elif defined(__AVX2__) && defined(__AVXVNNI__)
#include "tile_s8_avxvnni.h"
#include "tile_s8_vectors.h"
#elif defined(__AVX2__)
#include "tile_s8_avx2.h"
#include "tile_s8_narrow_avx2.h"
#include "tile_s8_vectors.h"
#elif defined(__SSE2__)
#include "tile_s8_sse2.h"
#include "tile_s8_vectors.h"
#elif defined(__ARM_NEON)
#include "tile_s8_neon.h"
#include "tile_s8_vectors.h"
#if defined(__ARM_FEATURE_MATMUL_INT8) && defined(__ARM_FEATURE_DOTPROD)
#include "tile_s8_mmla_neon.h"
#endif
#elif defined(__wasm_simd128__)
#include "tile_s8_wasm.h"
#include "tile_s8_vectors.h"
#else
#include "tile_s8_portable.h"
#endif
#if defined(TILE_S8_ROWS) && defined(TILE_S8_BIAS)
#include "tile_s8_row.h"
#endif

void tile_s8_load(const tile_s8_weights *weights, int8_t *tile, int32_t at, const int8_t *values, int32_t count)
{
#if defined(TILE_S8_NARROW)
    if (weights->narrow != NULL) {
        tile_s8_narrow_store(tile + at, values, count);
        return;
    }
#endif
    (void)weights;
    tile_s8_store(tile + ((ptrdiff_t)at * TILE_S8_VALUE), values, count);
}

void tile_s8_fill(const tile_s8_weights *weights, int8_t *tile, int32_t at, int8_t value, int32_t count)
{
    enum { SAME = 16 };
    int8_t same[SAME];
    memset(same, value, sizeof same);
    for (int32_t i = 0; i < count; i += SAME) {
        tile_s8_load(weights, tile, at + i, same, (count - i < SAME) ? count - i : SAME);
    }
}

tile_s8_part tile_s8_part_of(
    const tile_s8_window *window, const tile_s8_weights *weights, int32_t channel, int32_t channels)
{
    tile_s8_part part;
    part.window = *window;
    part.weights = weights->weights + ((ptrdiff_t)channel * window->rows * window->quads * TILE_S8_TAPS);
    part.bias = weights->bias + channel;
    part.bias_shifted = weights->bias_shifted + channel;
    part.narrow = weights->narrow;
    if (part.narrow != NULL) {
        const int32_t spans = (window->quads + TILE_S8_SPAN - 1) / TILE_S8_SPAN;
        part.narrow += (ptrdiff_t)(channel / TILE_S8_BLOCK) * window->rows * spans;
    }
    part.channels = (channels - channel < TILE_S8_CHANNELS) ? channels - channel : TILE_S8_CHANNELS;
    return part;
}

void tile_s8_sums(
    const tile_s8_part *part, const int8_t *tile, const int32_t *starts, int32_t count,
    int32_t (*sums)[TILE_S8_CHANNELS])
{
    int32_t i = 0;
#if defined(TILE_S8_NARROW)
    if (part->narrow != NULL) {
        for (; i + TILE_S8_GROUP <= count; i += TILE_S8_GROUP) {
            tile_s8_narrow_group(part, tile, starts + i, sums + i);
        }
        for (; i < count; ++i) {
            tile_s8_narrow_one(part, tile, starts + i, sums + i);
        }
        return;
    }
#endif
    for (; i + TILE_S8_GROUP <= count; i += TILE_S8_GROUP) {
#if defined(TILE_S8_MMLA)
        tile_s8_mmla_group(part, tile, starts + i, sums + i);
#else
        tile_s8_group(part, tile, starts + i, sums + i);
#endif
    }
    for (; i < count; ++i) {
        tile_s8_one(part, tile + ((ptrdiff_t)starts[i] * TILE_S8_VALUE), sums[i]);
    }
}

int tile_s8_row(
    const tile_s8_rows *rows, int32_t channel, const int8_t *tile, int32_t start, int32_t outputs,
    tile_s8_half sums[2])
{
#if defined(TILE_S8_ROWS)
    tile_s8_row_of(rows, channel, tile + ((ptrdiff_t)start * TILE_S8_VALUE), outputs, sums);
    return 1;
#else
    (void)rows;
    (void)channel;
    (void)tile;
    (void)start;
    (void)outputs;
    (void)sums;
    return 0;
#endif
}
