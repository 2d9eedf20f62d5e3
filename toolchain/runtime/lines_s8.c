/* Lines of 16-bit values: see lines_s8.h. */
#include "lines_s8.h"

#include <stddef.h>
#include <string.h>

#include "dual_s8.h"

static void fill(int16_t *to, int32_t count, int32_t value)
{
    for (int32_t i = 0; i < count; ++i) {
        to[i] = (int16_t)value;
    }
}

void lines_s8_widen(const int8_t *from, int32_t count, int16_t *to)
{
    int32_t i = 0;
    for (; i + 4 <= count; i += 4) {
        dual_s8_widen(from + i, to + i);
    }
    for (; i < count; ++i) {
        to[i] = from[i];
    }
}

void lines_s8(const lines_s8_map *map, const int8_t *in, int32_t top, int32_t count, int32_t kept, int16_t *lines)
{
    if (kept > 0) {
        const ptrdiff_t moved = (ptrdiff_t)(count - kept) * map->length;
        memmove(lines, lines + moved, (size_t)kept * (size_t)map->length * sizeof *lines);
    }
    lines += (ptrdiff_t)kept * map->length;
    for (int32_t y = top + kept; y < top + count; ++y) {
        if (y >= 0 && y < map->height) {
            fill(lines, map->left, map->padding);
            lines_s8_widen(in + (y * map->row), map->row, lines + map->left);
            fill(lines + map->left + map->row, map->length - map->left - map->row, map->padding);
        } else {
            fill(lines, map->length, map->padding);
        }
        lines += map->length;
    }
}
