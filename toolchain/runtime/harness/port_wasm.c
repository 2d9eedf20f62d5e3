/* Files through the JavaScript beside this one, which brings the imported functions: port_wasm.mjs. */
#include "port.h"

#define IMPORTED(function) __attribute__((import_module("port"), import_name(function)))

IMPORTED("read") int port_wasm_read(void *into, int32_t bytes);
IMPORTED("write") void port_wasm_write(const void *from, int32_t bytes);
IMPORTED("exit") void port_wasm_exit(int status);

int main(void);
__attribute__((export_name("start"))) void port_wasm_start(void);

void port_wasm_start(void)
{
    port_exit(main());
}

int port_read(void *into, int32_t bytes)
{
    return port_wasm_read(into, bytes);
}

void port_write(const void *from, int32_t bytes)
{
    port_wasm_write(from, bytes);
}

void port_exit(int status)
{
    port_wasm_exit(status);
}
