/* See services.h. */
#include "native/services.h"

#include <stdlib.h>
#include <string.h>

#include "native/context_switch.h"
#include "native/host_calls.h"
#include "native/nested_value.h"

/* Keeps the compiler from using the thread pointer before it is the runtime's. */
#define NOT_INLINE __attribute__((noinline))

/* ---- Memory for results, until the caller has taken them ---- */

struct allocation {
    struct allocation *next;
    char bytes[];
};

static struct allocation *allocations;

NOT_INLINE void *services_allocate(size_t size)
{
    struct allocation *made = size < SIZE_MAX / 2 ? malloc(sizeof *made + size) : NULL;
    if (!made)
        abort();
    made->next = allocations;
    allocations = made;
    return made->bytes;
}

NOT_INLINE void services_free_all(void)
{
    while (allocations) {
        struct allocation *next = allocations->next;
        free(allocations);
        allocations = next;
    }
}

/* ---- Host functions ---- */

NOT_INLINE static const char *call_host(const char *name, const struct udfvm_any *arguments,
                                        size_t count, struct udfvm_any *result)
{
    return host_calls_call(name, arguments, count, result);
}

/* ---- Lists and structs ---- */

NOT_INLINE static void read_nested(const struct udfvm_input *column, int64_t row, void *to)
{
    const struct nested_input *input = column->nested;
    const struct allocation *before = allocations;
    nested_read(input->type, input->column, row, to, services_allocate);
    if (allocations != before)
        input->state->marks |= UDFVM_ALLOCATED;
}

/* ---- The same for programs, which call it with a thread pointer of their own ---- */

static void *allocate_for_program(size_t size)
{
    const uint64_t thread = context_enter();
    void *made = services_allocate(size);
    context_leave(thread);
    return made;
}

static void free_all_for_program(void)
{
    const uint64_t thread = context_enter();
    services_free_all();
    context_leave(thread);
}

static const char *call_host_for_program(const char *name, const struct udfvm_any *arguments,
                                         size_t count, struct udfvm_any *result)
{
    const uint64_t thread = context_enter();
    const char *error = call_host(name, arguments, count, result);
    context_leave(thread);
    return error;
}

static void read_for_program(const struct udfvm_input *column, int64_t row, void *to)
{
    const uint64_t thread = context_enter();
    read_nested(column, row, to);
    context_leave(thread);
}

void services_offer(struct udfvm_state *state)
{
    const bool program = context_has_program();
    state->allocate = program ? allocate_for_program : services_allocate;
    state->free_all = program ? free_all_for_program : services_free_all;
    state->call_host = program ? call_host_for_program : call_host;
    state->read = program ? read_for_program : read_nested;
}
