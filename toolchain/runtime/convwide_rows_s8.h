/* A part of convwide_s8 for the first layer of many networks: one input channel. */
#ifndef CONVWIDE_ROWS_S8_H
#define CONVWIDE_ROWS_S8_H

#include "convwide_s8.h"

/* Rows of the output, from `first` on, from a tile that holds what they read, in rows of tile_width values.
 *
 * Returns 0, and computes nothing, where windows are faster with this instruction set. */
int convwide_s8_rows(const convwide_s8_layer *layer, int32_t first, int32_t rows, const int8_t *tile, int8_t *out);

#endif
