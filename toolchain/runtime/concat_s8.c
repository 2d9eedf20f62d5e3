/* Two tensors side by side: see concat_s8.h. */
#include "concat_s8.h"

#include <string.h>

void concat_s8(const concat_s8_layer *layer, const int8_t *a, const int8_t *b, int8_t *out)
{
    const size_t size_a = (size_t)layer->columns_a * sizeof *a;
    const size_t size_b = (size_t)layer->columns_b * sizeof *b;
    for (int32_t row = 0; row < layer->rows; ++row) {
        memcpy(out, a, size_a);
        memcpy(out + layer->columns_a, b, size_b);
        a += layer->columns_a;
        b += layer->columns_b;
        out += layer->columns_a + layer->columns_b;
    }
}
