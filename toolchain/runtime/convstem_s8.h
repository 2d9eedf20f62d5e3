/* The first convolution of a network and the 2x2 pool behind it: few input channels, so that a window is short, and
 * lies at an odd value of its line as often as not. The two windows of a row of the pool share all words that either
 * touches, each with weights of its own that are shifted to its place. */
#ifndef CONVSTEM_S8_H
#define CONVSTEM_S8_H

#include "dual_pool_s8.h"
#include "lines_s8.h"

typedef struct {
    lines_s8_map map;
    int32_t out_height, out_width, out_channels; /* behind the pool */
    int32_t lines;                               /* of the map that one row of outputs takes */
    int32_t kernel_height;
    int32_t columns;        /* words of two values of a line that all windows touch */
    int32_t step;           /* words from one pool's windows to the next one's */
    int32_t stride_y;
    int32_t dilation_y;
    int32_t pad_top;
    int32_t words;          /* that the windows of a pool touch: columns of a window * kernel_height */
    const int32_t *weights; /* [channel pairs][2 + words * 4]: bias of both channels, less zero point times sum of
                             * weights; [columns][kernel_height][2 windows][2 channels], two taps of 16 bits each */
    dual_pool_s8 finish;
} convstem_s8_layer;

/* in:      [in_height][in_width][in_channels]
 * out:     [out_height][out_width][out_channels]; may lie before `in` and reach into what has been read
 * scratch: `columns` * kernel_height * 8 bytes and `lines` * `map.length` * 2, of alignment 4 */
void convstem_s8(const convstem_s8_layer *layer, const int8_t *in, int8_t *out, int8_t *scratch);

#endif
