/* Convolution of int8 maps for cores that multiply two values at once: two output channels share each weight that is
 * loaded, and four windows share it: the four of a pool, or four neighbours in a row. */
#ifndef CONVDUAL_S8_H
#define CONVDUAL_S8_H

#include "dual_pool_s8.h"
#include "lines_s8.h"

typedef struct {
    lines_s8_map map;
    int32_t in_channels;
    int32_t out_height, out_width, out_channels; /* behind the pool */
    int32_t lines;                               /* of the map that one row of outputs takes */
    int32_t kernel_height, kernel_columns;       /* runs of taps: down, and in one line */
    int32_t run_words;                           /* of two values, that a run of taps takes */
    int32_t column_step;                         /* values from one run of a line to the next */
    int32_t stride_y, stride_x;
    int32_t dilation_y;
    int32_t pad_top;
    int32_t groups;
    int32_t words;          /* of a window: kernel_height * kernel_columns * run_words */
    const int32_t *weights; /* [groups][channel pairs][2 + words]: bias less zero point times sum of weights, the same
                             * plus 256 times that of the second channel; two taps of 16 bits, first + 256 second */
    dual_pool_s8 finish;
} convdual_s8_layer;

/* in:      [in_height][in_width][in_channels]
 * out:     [out_height][out_width][out_channels]; may lie before `in` and reach into what has been read
 * scratch: `words` * 16 bytes and `lines` * `map.length` * 2, of alignment 4 */
void convdual_s8(const convdual_s8_layer *layer, const int8_t *in, int8_t *out, int8_t *scratch);

#endif
