/* Two operands of which one, or each along other axes, is repeated to the shape of the result. */
#ifndef BROADCAST_H
#define BROADCAST_H

#include <stdint.h>

typedef struct {
    int32_t size_0, size_1, size_2, size_3; /* axes of the result, as they lie in memory */
    int32_t a_0, a_1, a_2, a_3; /* elements of the first operand from one index to the next; 0 where it is repeated */
    int32_t b_0, b_1, b_2, b_3; /* of the second one */
} broadcast_shape;

#endif
