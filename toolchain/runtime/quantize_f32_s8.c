/* float to int8: see quantize_f32_s8.h.
 *
 * A quotient below 512, computed in float as a product with the reciprocal, is off by less than 2^-13: it decides
 * unless it lies nearer to a tie. Then the double nearest to the quotient decides: a quotient of two floats that is no
 * tie lies at least 2^-34 (relatively) beside one, so that the double lies on the same side, and one that is a tie is
 * a double. */
#include "quantize_f32_s8.h"

static const float limit = 512.0f; /* beyond every result, whatever the zero point */
static const float near = 0x1p-12f;

static int32_t rounded_exactly(float value, float scale)
{
    const double quotient = (double)value / (double)scale;
    int32_t below = (int32_t)quotient;
    if ((double)below > quotient) {
        below -= 1;
    }
    const double rest = quotient - (double)below;
    return (rest > 0.5 || (rest == 0.5 && below % 2 != 0)) ? below + 1 : below;
}

static int8_t quantized(const quantize_f32_s8_layer *l, float value, float reciprocal)
{
    const float quotient = value * reciprocal;
    int32_t rounded = 0; /* of a NaN */
    if (quotient >= limit) {
        rounded = (int32_t)limit;
    } else if (quotient <= -limit) {
        rounded = -(int32_t)limit;
    } else if (quotient == quotient) {
        int32_t below = (int32_t)quotient;
        if ((float)below > quotient) {
            below -= 1;
        }
        const float rest = quotient - (float)below;
        if (rest > 0.5f + near) {
            rounded = below + 1;
        } else if (rest < 0.5f - near) {
            rounded = below;
        } else {
            rounded = rounded_exactly(value, l->scale);
        }
    }
    rounded += l->zero;
    if (rounded < l->low) {
        rounded = l->low;
    }
    if (rounded > l->high) {
        rounded = l->high;
    }
    return (int8_t)rounded;
}

void quantize_f32_s8(const quantize_f32_s8_layer *layer, const float *in, int8_t *out)
{
    const float reciprocal = 1.0f / layer->scale;
    for (int32_t i = 0; i < layer->plane; ++i) {
        for (int32_t channel = 0; channel < layer->channels; ++channel) {
            *out++ = quantized(layer, in[(channel * layer->plane) + i], reciprocal);
        }
    }
}
