/* Local response normalisation of int8 maps: see lrn_s8.h. */
#include "lrn_s8.h"

static int32_t sum_of_squares(const lrn_s8_layer *l, const int8_t *pixel, int32_t channel)
{
    const int32_t first = (channel > l->before) ? channel - l->before : 0;
    const int32_t end = (l->channels - channel > l->after) ? channel + l->after + 1 : l->channels;
    int32_t sum = 0;
    for (int32_t i = first; i < end; ++i) {
        const int32_t value = pixel[i] - l->zero_in;
        sum += value * value;
    }
    return sum;
}

static int8_t normalized(const lrn_s8_layer *l, const int8_t *pixel, int32_t channel)
{
    const int32_t value = pixel[channel] - l->zero_in;
    const int32_t magnitude = (value < 0) ? -value : value;
    const int32_t squares = sum_of_squares(l, pixel, channel);
    int32_t low = l->starts[magnitude];
    int32_t high = l->starts[magnitude + 1];
    while (low < high) { /* the thresholds rise: how many lie below the sum? */
        const int32_t middle = (low + high) / 2;
        if (l->thresholds[middle] < squares) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    const int32_t level = l->levels[magnitude] - (low - l->starts[magnitude]);
    int32_t y = l->zero + ((value < 0) ? -level : level);
    y = (y < l->low) ? l->low : y;
    y = (y > l->high) ? l->high : y;
    return (int8_t)y;
}

void lrn_s8(const lrn_s8_layer *layer, const int8_t *in, int8_t *out)
{
    for (int32_t position = 0; position < layer->positions; ++position) {
        for (int32_t channel = 0; channel < layer->channels; ++channel) {
            out[channel] = normalized(layer, in, channel);
        }
        in += layer->channels;
        out += layer->channels;
    }
}
