#include "boot/stack.h"
#include "arch/processor.h"
#include "host/exit.h"
#include "lib/string.h"
#include "mm/alloc.h"
#include "sched/vdso.h"

#include <asm/auxvec.h>
#include <linux/auxvec.h>
#include <linux/elf.h>

#define HWCAP2_FSGSBASE    2u    /* linux/arch/x86/include/uapi/asm/hwcap2.h */
#define SIGNAL_FRAME_EXTRA 1024u /* of a signal frame, without the XSAVE image */
#define MAX_AUXILIARY      24u

struct stack_builder {
    uint64_t top, bottom;
    bool full;
};

static uint64_t push(struct stack_builder *stack, const void *data, size_t length)
{
    if (stack->top - stack->bottom < length) {
        stack->full = true;
        return 0;
    }
    stack->top -= length;
    memcpy((void *)stack->top, data, length);
    return stack->top;
}

static void push_strings(struct stack_builder *stack, char **strings, int count,
                         uint64_t *addresses)
{
    for (int i = 0; i < count; i++)
        addresses[i] = push(stack, strings[i], strlen(strings[i]) + 1);
}

static size_t auxiliary_vector(uint64_t *words, const struct elf_image *image,
                               const struct elf_image *interpreter, uint64_t platform,
                               uint64_t path)
{
    const uint64_t entries[][2] = {
        { AT_PHDR, image->headers },
        { AT_PHENT, sizeof(Elf64_Phdr) },
        { AT_PHNUM, image->header_count },
        { AT_PAGESZ, PAGE_SIZE },
        { AT_BASE, interpreter->bias },
        { AT_FLAGS, 0 },
        { AT_ENTRY, image->entry },
        { AT_UID, 0 },
        { AT_EUID, 0 },
        { AT_GID, 0 },
        { AT_EGID, 0 },
        { AT_SECURE, 0 },
        { AT_RANDOM, UDFVM_INPUT_BASE + offsetof(struct udfvm_call, random) },
        { AT_EXECFN, path },
        { AT_PLATFORM, platform },
        { AT_HWCAP, processor_features() },
        { AT_HWCAP2, HWCAP2_FSGSBASE },
        { AT_CLKTCK, 100 },
        { AT_SYSINFO_EHDR, vdso_address() },
        { AT_MINSIGSTKSZ, xsave_size() + SIGNAL_FRAME_EXTRA },
        { AT_NULL, 0 },
    };
    _Static_assert(sizeof entries / sizeof entries[0] <= MAX_AUXILIARY,
                   "the auxiliary vector fits");
    memcpy(words, entries, sizeof entries);
    return sizeof entries / sizeof *words;
}

uint64_t build_stack(uint64_t top, const struct program *program, const struct elf_image *image,
                     const struct elf_image *interpreter)
{
    const size_t strings = (size_t)program->argc + (size_t)program->envc;
    struct stack_builder stack = { .top = top - 16, .bottom = top - memory_stack_size() / 2 };
    uint64_t *words = kernel_alloc((strings + 3 + 2 * MAX_AUXILIARY) * sizeof *words);
    if (!words)
        kernel_panic("no memory for the program's stack");
    words[0] = (uint64_t)program->argc;
    push_strings(&stack, program->argv, program->argc, words + 1);
    push_strings(&stack, program->envp, program->envc, words + 2 + program->argc);
    const uint64_t platform = push(&stack, "x86_64", 7);
    size_t count = strings + 3;
    count += auxiliary_vector(words + count, image, interpreter, platform, words[1]);
    stack.top = ((stack.top - count * sizeof *words) & ~15ull) + count * sizeof *words;
    const uint64_t start = push(&stack, words, count * sizeof *words);
    kernel_free(words);
    return stack.full ? 0 : start;
}
