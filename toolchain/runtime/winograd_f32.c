/* Winograd's convolution: see winograd_f32.h.
 *
 * A batch of tiles is transformed; then, for each of the (tile + 2)^2 places of a transformed tile, one matrix product
 * over the input channels; then these are transformed back. Vectors run over channels throughout. */
#include "winograd_f32.h"

#include <stddef.h>
#include <string.h>

#include "activationwide_f32.h"
#include "tile_f32.h"
#include "winograd_transform_f32.h"

enum {
    SKEW = 16,   /* floats between planes, so that they do not meet in the same lines of a cache */
    PLACES = 36, /* of the largest transformed tile */
    OUTPUTS = 16 /* of the largest tile */
};

/* The memory that a batch works in. */
typedef struct {
    const float *zeros; /* a pixel outside the map */
    float *inputs;      /* transformed: [places][batch][in_channels], planes SKEW further apart */
    float *products;    /* [places][batch][channels] */
    ptrdiff_t input_plane, product_plane;
    int32_t channels; /* of all groups, in whole blocks */
    int32_t first, count; /* tiles of the batch */
    int32_t across;   /* tiles in a row of the map */
} batch_f32;

static int32_t blocks_of(const winograd_f32_layer *l)
{
    return ((l->out_channels / l->groups) + TILE_F32_BLOCK - 1) / TILE_F32_BLOCK;
}

/* Rows or columns of tiles over `outputs` pooled outputs. */
static int32_t tiles_over(const winograd_f32_layer *l, int32_t outputs)
{
    const int32_t pool = (l->pool == WINOGRAD_F32_NO_POOL) ? 1 : 2;
    return ((outputs * pool) + l->tile - 1) / l->tile;
}

static void transform_inputs(const winograd_f32_layer *l, const float *in, const batch_f32 *b)
{
    const int32_t size = l->tile + 2;
    for (int32_t t = 0; t < b->count; ++t) {
        const int32_t top = (((b->first + t) / b->across) * l->tile) - l->pad_top;
        const int32_t left = (((b->first + t) % b->across) * l->tile) - l->pad_left;
        const float *pixels[PLACES];
        for (int32_t i = 0; i < size * size; ++i) {
            const int32_t y = top + (i / size);
            const int32_t x = left + (i % size);
            const int held = y >= 0 && y < l->in_height && x >= 0 && x < l->in_width;
            pixels[i] = held ? in + ((((ptrdiff_t)y * l->in_width) + x) * l->in_channels) : b->zeros;
        }
        for (int32_t c = 0; c < l->in_channels; c += VF32_LANES) {
            float *to = b->inputs + ((ptrdiff_t)t * l->in_channels) + c;
            vf32 tile[PLACES];
            for (int32_t i = 0; i < size * size; ++i) {
                tile[i] = vf32_load(pixels[i] + c);
            }
            if (l->tile == 2) { /* two copies with constant sizes */
                winograd_f32_input(2, tile);
            } else {
                winograd_f32_input(4, tile);
            }
            for (int32_t i = 0; i < size * size; ++i) {
                vf32_store(to, tile[i]);
                to += b->input_plane;
            }
        }
    }
}

/* The product of one group at one place. */
static void multiply(const winograd_f32_layer *l, const batch_f32 *b, int32_t place, int32_t group)
{
    static const float zeros[TILE_F32_CHANNELS] = {0.0f};
    const int32_t depth = l->in_channels / l->groups;
    const int32_t padded = blocks_of(l) * TILE_F32_BLOCK;
    const tile_f32_taps taps = {.slices = 1, .rows = 1, .runs = 1, .run = depth};
    const float *const inputs = b->inputs + (place * b->input_plane) + ((ptrdiff_t)group * depth);
    float *const products = b->products + (place * b->product_plane) + ((ptrdiff_t)group * padded);
    const ptrdiff_t matrix = ((ptrdiff_t)group * (l->tile + 2) * (l->tile + 2)) + place;
    const float *const weights = l->weights + (matrix * padded * depth);
    int32_t vectors = 1;
    for (int32_t c = 0; c < padded; c += vectors * VF32_LANES) {
        const ptrdiff_t gap = (ptrdiff_t)depth * TILE_F32_BLOCK;
        const tile_f32_weights w = {
            .weights = weights + ((c / TILE_F32_BLOCK) * gap) + (c % TILE_F32_BLOCK), .gap = gap, .start = zeros};
        vectors = tile_f32_vectors(padded - c);
        for (int32_t t = 0; t < b->count; t += TILE_F32_WINDOWS) {
            const float *x[TILE_F32_WINDOWS];
            for (int32_t i = 0; i < TILE_F32_WINDOWS; ++i) {
                x[i] = inputs + ((ptrdiff_t)((t + i < b->count) ? t + i : b->count - 1) * l->in_channels);
            }
            tile_f32(vectors, &taps, &w, x, products + ((ptrdiff_t)t * b->channels) + c, b->channels);
        }
    }
}

static vf32 pooled(winograd_f32_pool pool, const float *y, int32_t tile)
{
    const vf32 a = vf32_load(y);
    const vf32 b = vf32_load(y + VF32_LANES);
    const vf32 c = vf32_load(y + (tile * VF32_LANES));
    const vf32 d = vf32_load(y + ((tile + 1) * VF32_LANES));
    if (pool == WINOGRAD_F32_MAX_POOL) {
        return vf32_max(vf32_max(a, b), vf32_max(c, d));
    }
    return vf32_mul(vf32_splat(0.25f), vf32_add(vf32_add(a, b), vf32_add(c, d)));
}

/* Writes `count` channels of a tile whose outputs are y: [tile][tile][VF32_LANES]. */
static void
store(const winograd_f32_layer *l, const float *y, int32_t tile_row, int32_t tile_column, float *out, int32_t count)
{
    const int32_t pool = (l->pool == WINOGRAD_F32_NO_POOL) ? 1 : 2;
    const int32_t size = l->tile / pool;
    for (int32_t i = 0; i < size * size; ++i) {
        const int32_t row = (tile_row * size) + (i / size);
        const int32_t column = (tile_column * size) + (i % size);
        if (row < l->out_height && column < l->out_width) {
            const float *const from = y + (((((i / size) * l->tile) + (i % size)) * pool) * VF32_LANES);
            const vf32 value = (pool == 1) ? vf32_load(from) : pooled(l->pool, from, l->tile);
            vf32_store_part(out + ((((ptrdiff_t)row * l->out_width) + column) * l->out_channels), value, count);
        }
    }
}

static void transform_outputs(const winograd_f32_layer *l, const batch_f32 *b, float *out)
{
    const int32_t size = l->tile + 2;
    const int32_t own = l->out_channels / l->groups;
    const int32_t padded = blocks_of(l) * TILE_F32_BLOCK;
    for (int32_t t = 0; t < b->count; ++t) {
        for (int32_t c = 0; c < b->channels; c += VF32_LANES) {
            const int32_t lane = c % padded; /* within the group */
            const float *from = b->products + ((ptrdiff_t)t * b->channels) + c;
            vf32 tile[PLACES];
            float y[OUTPUTS * VF32_LANES];
            if (lane >= own) {
                continue;
            }
            for (int32_t i = 0; i < size * size; ++i) {
                tile[i] = vf32_load(from);
                from += b->product_plane;
            }
            if (l->tile == 2) {
                winograd_f32_output(2, tile);
            } else {
                winograd_f32_output(4, tile);
            }
            for (int32_t i = 0; i < l->tile * l->tile; ++i) {
                const vf32 sum = tile[((i / l->tile) * size) + (i % l->tile)];
                vf32_store(y + (i * VF32_LANES), vf32_add(sum, vf32_load(l->bias + c)));
            }
            activationwide_f32(&l->activation, y, (ptrdiff_t)l->tile * l->tile * VF32_LANES);
            store(
                l,
                y,
                (b->first + t) / b->across,
                (b->first + t) % b->across,
                out + ((c / padded) * own) + lane,
                own - lane);
        }
    }
}

void winograd_f32(const winograd_f32_layer *layer, const float *in, float *out, float *scratch)
{
    const winograd_f32_layer *const l = layer;
    const int32_t places = (l->tile + 2) * (l->tile + 2);
    const int32_t across = tiles_over(l, l->out_width);
    const int32_t tiles = across * tiles_over(l, l->out_height);
    batch_f32 b;
    b.channels = l->groups * blocks_of(l) * TILE_F32_BLOCK;
    b.across = across;
    b.input_plane = ((ptrdiff_t)l->batch * l->in_channels) + SKEW;
    b.product_plane = ((ptrdiff_t)l->batch * b.channels) + SKEW;
    b.zeros = scratch;
    b.inputs = scratch + l->in_channels;
    b.products = b.inputs + (places * b.input_plane);
    memset(scratch, 0, (size_t)l->in_channels * sizeof *scratch);
    for (b.first = 0; b.first < tiles; b.first += l->batch) {
        b.count = (tiles - b.first < l->batch) ? tiles - b.first : l->batch;
        transform_inputs(l, in, &b);
        for (int32_t place = 0; place < places; ++place) {
            for (int32_t group = 0; group < l->groups; ++group) {
                multiply(l, &b, place, group);
            }
        }
        transform_outputs(l, &b, out);
    }
}
