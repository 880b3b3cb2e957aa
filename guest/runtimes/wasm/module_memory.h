/* Text and bytes in the memory of a module, for the arguments and results of its exports. The
 * module's own functions allocate it. */
#ifndef UDFVM_WASM_MODULE_MEMORY_H
#define UDFVM_WASM_MODULE_MEMORY_H

#include "wasm/module.h"
#include "wasm/text_format.h"

enum memory_form {
    MEMORY_BYTES,   /* address and length; the caller frees arguments: malloc() and free() */
    MEMORY_BINDGEN, /* the same of wasm-bindgen: the function frees arguments, the caller results */
    MEMORY_SCRIPT,  /* objects of AssemblyScript */
};

struct memory_function {
    bool found;
    wasmtime_func function;
    size_t parameters; /* each i32 */
};

struct module_memory {
    enum memory_form form;
    wasmtime_context *context;
    wasmtime_memory memory;
    bool has_memory;
    struct memory_function allocate, release, pin;
};

/* Finds the export "memory", and the functions that allocate and free. */
void module_memory_find(struct module_memory *memory, const struct wasm_module *module);
struct linear module_memory_linear(const struct module_memory *memory);
/* Returns true if memory can be allocated. Returns false with a failure. */
bool module_memory_can_allocate(const struct module_memory *memory);
/* Allocates memory for bytes. Returns false with a failure. */
bool module_memory_allocate(const struct module_memory *memory, size_t length, uint32_t *address);
/* Keeps an object of AssemblyScript until it is released. Returns false with a failure. */
bool module_memory_keep(const struct module_memory *memory, uint32_t address);
/* Copies text or bytes into the module. *length becomes their length there. Returns false with a
 * failure. */
bool module_memory_put(const struct module_memory *memory, const char *bytes, bool text,
                       size_t *length, uint32_t *address);
/* Frees what was allocated. Returns false with a failure. */
bool module_memory_release(const struct module_memory *memory, uint32_t address, size_t length);

#endif
