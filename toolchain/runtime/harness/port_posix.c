/* Files of an operating system: input.bin and output.bin in the working directory. */
#include "port.h"

#include <stdio.h>
#include <stdlib.h>

static FILE *opened(FILE *file, const char *name, const char *mode)
{
    FILE *const result = (file != NULL) ? file : fopen(name, mode);
    if (result == NULL) {
        exit(3);
    }
    return result;
}

int port_read(void *into, int32_t bytes)
{
    static FILE *file;
    file = opened(file, "input.bin", "rb");
    return fread(into, 1, (size_t)bytes, file) == (size_t)bytes;
}

void port_write(const void *from, int32_t bytes)
{
    static FILE *file;
    file = opened(file, "output.bin", "wb");
    if (fwrite(from, 1, (size_t)bytes, file) != (size_t)bytes) {
        exit(4);
    }
}

void port_exit(int status)
{
    exit(status);
}
