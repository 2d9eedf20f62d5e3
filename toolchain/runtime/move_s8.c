/* Elements in another order: see move_s8.h. */
#include "move_s8.h"

#include <stddef.h>
#include <string.h>

static int32_t further(int32_t place, int32_t offset)
{
    return (place == MOVE_OUTSIDE || offset == MOVE_OUTSIDE) ? MOVE_OUTSIDE : place + offset;
}

/* One run of elements from a place, or of the fill value. */
static int8_t *moved(const move_s8_layer *l, const int8_t *in, int32_t place, int8_t *out)
{
    if (place == MOVE_OUTSIDE) {
        for (int32_t i = 0; i < l->run; ++i) {
            out[i] = l->fill;
        }
    } else if (l->run == 1) {
        out[0] = in[place];
    } else {
        memcpy(out, in + place, (size_t)l->run * sizeof *out);
    }
    return out + l->run;
}

static int8_t *inner_axes(const move_s8_layer *l, const int8_t *in, int32_t start, int8_t *out)
{
    for (int32_t i = 0; i < l->size_3; ++i) {
        const int32_t place = further(start, l->offsets_3[i]);
        for (int32_t j = 0; j < l->size_4; ++j) {
            out = moved(l, in, further(place, l->offsets_4[j]), out);
        }
    }
    return out;
}

void move_s8(const move_s8_layer *layer, const int8_t *in, int8_t *out)
{
    for (int32_t i = 0; i < layer->size_0; ++i) {
        for (int32_t j = 0; j < layer->size_1; ++j) {
            const int32_t place = further(layer->offsets_0[i], layer->offsets_1[j]);
            for (int32_t k = 0; k < layer->size_2; ++k) {
                out = inner_axes(layer, in, further(place, layer->offsets_2[k]), out);
            }
        }
    }
}
