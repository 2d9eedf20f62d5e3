/* Convolution of int8 maps in blocks of channels: see convwide_s8.h. */
#include "convwide_s8.h"

#include "convwide_rows_s8.h"
#include "requantize_block_s8.h"

/* A layer, and what follows from it for every tile. */
typedef struct {
    const convwide_s8_layer *layer;
    int32_t depth;  /* input channels of a group */
    int32_t pitch;  /* values of a tile's row */
    int32_t plane;  /* values of a group in a tile */
    int32_t area;   /* convolution outputs of a pixel */
    int32_t corner[CONVWIDE_S8_POOL_AREA]; /* where their windows begin, from the first */
    tile_s8_window window;
} convwide_s8_plan;

/* Where in the output a tile lies. */
typedef struct {
    int32_t first, rows;
} convwide_s8_strip;

/* Where a part begins. */
typedef struct {
    int32_t channel; /* counted with those that fill up blocks */
    int32_t output;  /* counted without */
    int32_t plane;   /* of its group in the tile */
} convwide_s8_place;

static int32_t smaller(int32_t a, int32_t b)
{
    return (a < b) ? a : b;
}

static int32_t larger(int32_t a, int32_t b)
{
    return (a > b) ? a : b;
}

static int32_t input_rows(const convwide_s8_layer *l, int32_t rows)
{
    return (((rows * l->pool_height) - 1) * l->stride_y) + ((l->kernel_height - 1) * l->dilation_y) + 1;
}

static convwide_s8_plan plan_of(const convwide_s8_layer *l)
{
    convwide_s8_plan p;
    p.layer = l;
    p.depth = l->in_channels / l->groups;
    p.pitch = l->tile_width * p.depth;
    p.plane = input_rows(l, l->tile_rows) * p.pitch;
    p.area = l->pool_height * l->pool_width;
    for (int32_t i = 0; i < p.area; ++i) {
        const int32_t y = (i / l->pool_width) * l->stride_y;
        p.corner[i] = (y * p.pitch) + ((i % l->pool_width) * l->stride_x * p.depth);
    }
    p.window.rows = l->kernel_height;
    p.window.quads = ((l->kernel_width * p.depth) + TILE_S8_TAPS - 1) / TILE_S8_TAPS;
    p.window.pitch = l->dilation_y * p.pitch;
    return p;
}

/* One row of the map, of one group, between its padding. */
static void spread_row(const convwide_s8_plan *p, const int8_t *row, int32_t group, int8_t *tile, int32_t at)
{
    const convwide_s8_layer *const l = p->layer;
    const int8_t padding = (int8_t)l->padding;
    const int32_t left = smaller(l->pad_left, l->tile_width);
    const int32_t width = smaller(l->in_width, l->tile_width - left);
    const int32_t right = l->tile_width - left - width;
    tile_s8_fill(&l->weights, tile, at, padding, left * p->depth);
    at += left * p->depth;
    if (l->groups == 1) {
        tile_s8_load(&l->weights, tile, at, row, width * p->depth);
    } else {
        for (int32_t x = 0; x < width; ++x) {
            const int8_t *const from = row + (x * l->in_channels) + (group * p->depth);
            tile_s8_load(&l->weights, tile, at + (x * p->depth), from, p->depth);
        }
    }
    tile_s8_fill(&l->weights, tile, at + (width * p->depth), padding, right * p->depth);
}

/* All that a strip of output rows reads. It is read before any of them is written. */
static void spread(const convwide_s8_plan *p, convwide_s8_strip strip, const int8_t *in, int8_t *tile)
{
    const convwide_s8_layer *const l = p->layer;
    const int32_t top = (strip.first * l->pool_height * l->stride_y) - l->pad_top;
    const int32_t rows = input_rows(l, strip.rows);
    for (int32_t group = 0; group < l->groups; ++group) {
        for (int32_t row = 0; row < rows; ++row) {
            const int32_t y = top + row;
            const int32_t at = (group * p->plane) + (row * p->pitch);
            if (y >= 0 && y < l->in_height) {
                spread_row(p, in + ((ptrdiff_t)y * l->in_width * l->in_channels), group, tile, at);
            } else {
                tile_s8_fill(&l->weights, tile, at, (int8_t)l->padding, p->pitch);
            }
        }
    }
    /* Met by weights of zero that fill up a last quad. */
    tile_s8_fill(&l->weights, tile, l->groups * p->plane, 0, TILE_S8_TAPS);
}

/* The largest sum of each channel of a block; `total` may be the first of the sums. */
static void largest(int32_t (*sums)[TILE_S8_CHANNELS], int32_t block, int32_t area, int32_t *total)
{
    for (int32_t c = 0; c < TILE_S8_BLOCK; ++c) {
        total[c] = sums[0][block + c];
    }
    for (int32_t i = 1; i < area; ++i) {
        for (int32_t c = 0; c < TILE_S8_BLOCK; ++c) {
            total[c] = larger(total[c], sums[i][block + c]);
        }
    }
}

/* One block of channels of an average pool, from the sums of its windows. */
static void averaged(
    const convwide_s8_plan *p, int32_t (*sums)[TILE_S8_CHANNELS], int32_t block, int32_t channel, int32_t count,
    int8_t *out)
{
    const convwide_s8_layer *const l = p->layer;
    int32_t total[TILE_S8_BLOCK];
    int8_t levels[CONVWIDE_S8_POOL_AREA][TILE_S8_BLOCK] = {{0}};
    for (int32_t c = 0; c < TILE_S8_BLOCK; ++c) {
        total[c] = l->mean_bias;
    }
    for (int32_t i = 0; i < p->area; ++i) {
        requantize_s8_levels(&l->output, sums[i] + block, channel, count, levels[i]);
    }
    requantize_s8_add(&l->output, levels, p->area, count, total);
    requantize_s8_same(&l->mean, total, larger(l->mean_bias, -l->mean_bias) + (p->area * 128), count, out);
}

/* One block of channels of some pixels, from the sums of their windows. */
static void finish(
    const convwide_s8_plan *p, int32_t (*sums)[TILE_S8_CHANNELS], int32_t block, int32_t channel, int32_t count,
    int32_t pixels, int8_t *out)
{
    const convwide_s8_layer *const l = p->layer;
    if (l->pool == CONVWIDE_S8_AVERAGE_POOL) {
        for (int32_t i = 0; i < pixels; ++i) {
            averaged(p, sums + (i * p->area), block, channel, count, out + ((ptrdiff_t)i * l->out_channels));
        }
        return;
    }
    for (int32_t i = 0; l->pool == CONVWIDE_S8_MAX_POOL && i < pixels; ++i) {
        largest(sums + (i * p->area), block, p->area, sums[i] + block); /* the output rises with the sum */
    }
    requantize_s8_pixels(&l->output, pixels, sums[0] + block, TILE_S8_CHANNELS, channel, count, out, l->out_channels);
}

/* Where the windows of some pixels begin, pool by pool, from pixel *x of a row on; `from` is the row's first. */
static int32_t find_starts(const convwide_s8_plan *p, int32_t from, int32_t *x, int32_t pixels, int32_t *starts)
{
    const convwide_s8_layer *const l = p->layer;
    const int32_t step = l->pool_width * l->stride_x * p->depth;
    const int32_t line = l->pool_height * l->stride_y * p->pitch;
    for (int32_t i = 0; i < pixels; ++i) {
        const int32_t corner = from + (*x * step);
        *starts++ = corner;
        for (int32_t k = 1; k < p->area; ++k) {
            *starts++ = corner + p->corner[k];
        }
        *x += 1;
        if (*x == l->out_width) {
            *x = 0;
            from += line;
        }
    }
    return from;
}

/* The output channels of a part, of all pixels of a strip. */
static void channels_of_strip(
    const convwide_s8_plan *p, convwide_s8_strip strip, const tile_s8_part *part, convwide_s8_place place,
    const int8_t *tile, int8_t *out)
{
    const convwide_s8_layer *const l = p->layer;
    const int32_t pixels = strip.rows * l->out_width;
    const int32_t most = TILE_S8_WINDOWS / p->area;
    int8_t *pixel = out + ((ptrdiff_t)strip.first * l->out_width * l->out_channels) + place.output;
    int32_t sums[TILE_S8_WINDOWS][TILE_S8_CHANNELS];
    int32_t starts[TILE_S8_WINDOWS] = {0};
    int32_t from = place.plane;
    int32_t x = 0;
    for (int32_t done = 0; done < pixels; done += most) {
        const int32_t count = smaller(most, pixels - done);
        from = find_starts(p, from, &x, count, starts);
        tile_s8_sums(part, tile, starts, count * p->area, sums);
        for (int32_t c = 0; c < part->channels; c += TILE_S8_BLOCK) {
            finish(p, sums, c, place.channel + c, smaller(TILE_S8_BLOCK, part->channels - c), count, pixel + c);
        }
        pixel += (ptrdiff_t)count * l->out_channels;
    }
}

void convwide_s8(const convwide_s8_layer *layer, const int8_t *in, int8_t *out, int8_t *scratch)
{
    const convwide_s8_layer *const l = layer;
    const convwide_s8_plan p = plan_of(l);
    const int32_t channels = l->out_channels / l->groups;
    const int32_t filled = ((channels + TILE_S8_BLOCK - 1) / TILE_S8_BLOCK) * TILE_S8_BLOCK;
    for (int32_t first = 0; first < l->out_height; first += l->tile_rows) {
        const convwide_s8_strip strip = {first, smaller(l->tile_rows, l->out_height - first)};
        spread(&p, strip, in, scratch);
        if (l->rows.weights != NULL && convwide_s8_rows(l, strip.first, strip.rows, scratch, out) != 0) {
            continue;
        }
        for (int32_t group = 0; group < l->groups; ++group) {
            for (int32_t c = 0; c < channels; c += TILE_S8_CHANNELS) {
                const int32_t channel = (group * filled) + c;
                const tile_s8_part part = tile_s8_part_of(&p.window, &l->weights, channel, channel + channels - c);
                const convwide_s8_place place = {channel, (group * channels) + c, group * p.plane};
                channels_of_strip(&p, strip, &part, place, scratch, out);
            }
        }
    }
}
