/* What the harness needs of a device: two files and an end. */
#ifndef PORT_H
#define PORT_H

#include <stdint.h>

/* Reads `bytes` of the input file; 1 if all of them came, 0 at its end. */
int port_read(void *into, int32_t bytes);

/* Appends to the output file. */
void port_write(const void *from, int32_t bytes);

/* Ends the program. */
void port_exit(int status);

#endif
