/* The stack that a program starts with (System V ABI for x86-64, 3.4.1): strings at the top, and
 * below them, in words, the arguments, the environment and the auxiliary vector. The guest kernel
 * writes one for the program of a VM, the native runtime one for an executable that it starts.
 * Include <elf.h> or <linux/elf.h>, and a header with AT_x, before.
 */
#ifndef UDFVM_INITIAL_STACK_H
#define UDFVM_INITIAL_STACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct initial_stack {
    uint64_t top;      /* strings begin here */
    uint64_t bottom;   /* nothing may lie below */
    uint64_t *words;   /* gathered here, before they go below the strings */
    size_t count, max; /* words that are there; that fit */
    bool full;
};

/* What the auxiliary vector says of a mapped program. */
struct initial_program {
    uint64_t headers; /* the address of its program headers */
    uint64_t header_count;
    uint64_t entry;
    uint64_t interpreter; /* where that is mapped; 0: none */
    uint64_t path;        /* the address of its name */
};

static inline uint64_t initial_stack_bytes(struct initial_stack *stack, const void *bytes,
                                           size_t length)
{
    if (stack->top - stack->bottom < length) {
        stack->full = true;
        return 0;
    }
    stack->top -= length;
    __builtin_memcpy((void *)stack->top, bytes, length);
    return stack->top;
}

static inline void initial_stack_word(struct initial_stack *stack, uint64_t word)
{
    if (stack->count < stack->max)
        stack->words[stack->count++] = word;
    else
        stack->full = true;
}

/* An argument or environment variable: its bytes, and the word that points to them. */
static inline uint64_t initial_stack_string(struct initial_stack *stack, const char *text)
{
    const uint64_t address = initial_stack_bytes(stack, text, __builtin_strlen(text) + 1);
    initial_stack_word(stack, address);
    return address;
}

static inline void initial_stack_auxiliary(struct initial_stack *stack, uint64_t type,
                                           uint64_t value)
{
    initial_stack_word(stack, type);
    initial_stack_word(stack, value);
}

static inline void initial_stack_program(struct initial_stack *stack,
                                         const struct initial_program *program)
{
    initial_stack_auxiliary(stack, AT_PHDR, program->headers);
    initial_stack_auxiliary(stack, AT_PHENT, sizeof(Elf64_Phdr));
    initial_stack_auxiliary(stack, AT_PHNUM, program->header_count);
    initial_stack_auxiliary(stack, AT_BASE, program->interpreter);
    initial_stack_auxiliary(stack, AT_FLAGS, 0);
    initial_stack_auxiliary(stack, AT_ENTRY, program->entry);
    initial_stack_auxiliary(stack, AT_EXECFN, program->path);
}

/* Ends the auxiliary vector and writes the words below the strings. The stack pointer; 0 where not
 * all of it fits. */
static inline uint64_t initial_stack_end(struct initial_stack *stack)
{
    initial_stack_auxiliary(stack, AT_NULL, 0);
    const uint64_t size = stack->count * sizeof *stack->words;
    stack->top = ((stack->top - size) & ~15ull) + size;
    const uint64_t start = initial_stack_bytes(stack, stack->words, size);
    return stack->full ? 0 : start;
}

#endif
