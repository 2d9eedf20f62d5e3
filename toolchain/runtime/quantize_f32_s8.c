/* float to int8: see quantize_f32_s8.h.
 *
 * A quotient below 512, computed in float as a product with the reciprocal, is off by less than 2^-13: it decides
 * unless it lies nearer to a tie. Then the double nearest to the quotient decides: a quotient of two floats that is no
 * tie lies at least 2^-34 (relatively) beside one, so that the double lies on the same side, and one that is a tie is
 * a double. */
#include "quantize_f32_s8.h"

#include <stddef.h>
#include <string.h>

#include "quantize_f32_s8_vectors.h"

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

#if defined(QUANTIZE_F32_S8_VECTORS)
enum { BLOCK = 32 }; /* with 16, gcc takes the loops apart instead of using vectors */

/* A block by its quotients in double, each rounded to the nearest integer, a tie to the even one, when a number that
 * leaves no digits behind the point is added. Pictures of 8 bits often are ties from the first to the last. */
static void rounded_block(const float *in, double scale, int32_t *nearest)
{
    const double whole = 6755399441055744.0; /* 1.5 * 2^52 */
    const double most = (double)limit;
    for (int32_t k = 0; k < BLOCK; ++k) {
        const double quotient = (double)in[k] / scale;
        const double known = (quotient == quotient) ? quotient : 0.0;
        const double raised = (known < -most) ? -most : known;
        const double held = (raised > most) ? most : raised;
        nearest[k] = (int32_t)((held + whole) - whole);
    }
}

/* out[i * step] from in[i], in whole blocks; gives how many values these hold. `out` may be `in` where step is 1: a
 * block is written when all that it needs has been read. */
static int32_t quantized_blocks(
    const quantize_f32_s8_layer *l, const float *in, int32_t count, float reciprocal, int32_t step, int8_t *out)
{
    const int32_t zero = l->zero;
    const int32_t low = l->low;
    const int32_t high = l->high;
    int32_t i = 0;
    for (; i + BLOCK <= count; i += BLOCK) {
        int8_t block[BLOCK];
        int32_t nearest[BLOCK];
        int32_t doubts = 0;
        for (int32_t k = 0; k < BLOCK; k += 4) {
            doubts |= quantize_f32_s8_four(in + i + k, reciprocal, limit, 0.5f - near, nearest + k);
        }
        if (doubts != 0) {
            rounded_block(in + i, (double)l->scale, nearest);
        }
        for (int32_t k = 0; k < BLOCK; ++k) {
            const int32_t y = nearest[k] + zero;
            const int32_t raised = (y < low) ? low : y;
            block[k] = (int8_t)((raised > high) ? high : raised);
        }
        if (step == 1) {
            memcpy(out + i, block, sizeof block);
        } else {
            for (int32_t k = 0; k < BLOCK; ++k) {
                out[(ptrdiff_t)(i + k) * step] = block[k];
            }
        }
    }
    return i;
}
#else
static int32_t quantized_blocks(
    const quantize_f32_s8_layer *l, const float *in, int32_t count, float reciprocal, int32_t step, int8_t *out)
{
    (void)l;
    (void)in;
    (void)count;
    (void)reciprocal;
    (void)step;
    (void)out;
    return 0;
}
#endif

/* The same of all values. */
static void quantized_run(
    const quantize_f32_s8_layer *l, const float *in, int32_t count, float reciprocal, int32_t step, int8_t *out)
{
    for (int32_t i = quantized_blocks(l, in, count, reciprocal, step, out); i < count; ++i) {
        out[(ptrdiff_t)i * step] = quantized(l, in[i], reciprocal);
    }
}

void quantize_f32_s8(const quantize_f32_s8_layer *layer, const float *in, int8_t *out)
{
    const float reciprocal = 1.0f / layer->scale;
    if (layer->channels == 1 || layer->plane == 1) {
        quantized_run(layer, in, layer->channels * layer->plane, reciprocal, 1, out);
        return;
    }
    for (int32_t channel = 0; channel < layer->channels; ++channel) {
        const float *const plane = in + ((ptrdiff_t)channel * layer->plane);
        quantized_run(layer, plane, layer->plane, reciprocal, layer->channels, out + channel);
    }
}
