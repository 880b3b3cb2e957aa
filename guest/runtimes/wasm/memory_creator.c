/* See memory_creator.h. A memory that grows in a call moves to scratch once, whose pages are huge
 * and cost no faults. From then on it grows in place, or moves to where it has space to grow. */
#include "wasm/memory_creator.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sysinfo.h>

#include "udfvm_abi.h"

#define PAGE  4096u
#define LARGE (512u << 10) /* bytes from which on the guest kernel puts blocks into scratch */

struct memory {
    uint8_t *at;
    size_t size, capacity;
};

static size_t page_up(size_t size)
{
    return (size + PAGE - 1) & ~(size_t)(PAGE - 1);
}

static uint8_t *map(size_t capacity)
{
    void *at = mmap(NULL, capacity, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return at == MAP_FAILED ? NULL : at;
}

static bool is_in_scratch(const uint8_t *at)
{
    return (uint64_t)at >= UDFVM_OUTPUT_BASE;
}

static bool grow_in_place(struct memory *memory, size_t size)
{
    const size_t capacity = page_up(size);
    if (mremap(memory->at, memory->capacity, capacity, 0) == MAP_FAILED)
        return false;
    memory->capacity = capacity;
    return true;
}

/* Half as much again, where there is memory enough: pages that are not used cost nothing. */
static size_t capacity_for(size_t size)
{
    struct sysinfo machine;
    const size_t more = page_up(size + size / 2);
    return size >= LARGE && sysinfo(&machine) == 0 && more <= machine.freeram / 2 ? more
                                                                                  : page_up(size);
}

static void move_to(struct memory *memory, uint8_t *at, size_t capacity)
{
    memcpy(at, memory->at, memory->size);
    munmap(memory->at, memory->capacity);
    memory->at = at;
    memory->capacity = capacity;
}

static bool provide(struct memory *memory, size_t size)
{
    const bool stays = size < LARGE || is_in_scratch(memory->at);
    if (stays && grow_in_place(memory, size))
        return true;
    const size_t capacity = capacity_for(size);
    uint8_t *at = map(capacity);
    if ((!at || !is_in_scratch(at)) && grow_in_place(memory, size)) {
        if (at)
            munmap(at, capacity);
        return true;
    }
    if (at)
        move_to(memory, at, capacity);
    return at != NULL;
}

/* ---- What wasmtime calls ---- */

static uint8_t *get(void *environment, size_t *size, size_t *capacity)
{
    const struct memory *memory = environment;
    *size = memory->size;
    *capacity = memory->capacity;
    return memory->at;
}

static wasmtime_error *grow(void *environment, size_t size)
{
    struct memory *memory = environment;
    if (size > memory->capacity && !provide(memory, size))
        return wasmtime.wasmtime_error_new("the micro-VM has no memory for that");
    memory->size = size;
    return NULL;
}

static void end(void *environment)
{
    struct memory *memory = environment;
    munmap(memory->at, memory->capacity);
    free(memory);
}

static wasmtime_error *create(void *environment, const wasm_memorytype *type, size_t minimum,
                              size_t maximum, size_t reserved, size_t guard,
                              wasmtime_linear_memory *made)
{
    (void)environment, (void)type, (void)maximum, (void)reserved, (void)guard;
    struct memory *memory = malloc(sizeof *memory);
    if (!memory)
        abort();
    /* An empty memory has an address, too. */
    *memory = (struct memory){ .size = minimum, .capacity = page_up(minimum ? minimum : 1) };
    memory->at = map(memory->capacity);
    if (!memory->at) {
        free(memory);
        return wasmtime.wasmtime_error_new("the micro-VM has no memory for the module's memory");
    }
    *made = (wasmtime_linear_memory){ memory, get, grow, end };
    return NULL;
}

void memory_creator_set(wasm_config *config)
{
    wasmtime_memory_creator creator = { .new_memory = create };
    wasmtime.wasmtime_config_host_memory_creator_set(config, &creator);
}
