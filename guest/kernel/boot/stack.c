#include "boot/stack.h"
#include "arch/processor.h"
#include "host/exit.h"
#include "host/random.h"
#include "mm/alloc.h"
#include "sched/vdso.h"

#include <asm/auxvec.h>
#include <linux/auxvec.h>
#include <linux/elf.h>

#include "initial_stack.h"

#define HWCAP2_FSGSBASE    2u    /* linux/arch/x86/include/uapi/asm/hwcap2.h */
#define SIGNAL_FRAME_EXTRA 1024u /* of a signal frame, without the XSAVE image */
#define MAX_AUXILIARY      24u

static void push_strings(struct initial_stack *stack, char **strings, int count)
{
    for (int i = 0; i < count; i++)
        initial_stack_string(stack, strings[i]);
    initial_stack_word(stack, 0);
}

/* What is true of every program of this VM. */
static void push_machine(struct initial_stack *stack)
{
    const uint64_t platform = initial_stack_bytes(stack, "x86_64", sizeof "x86_64");
    const uint64_t entries[][2] = {
        { AT_PAGESZ, PAGE_SIZE },
        { AT_UID, 0 },
        { AT_EUID, 0 },
        { AT_GID, 0 },
        { AT_EGID, 0 },
        { AT_SECURE, 0 },
        { AT_RANDOM, (uint64_t)random_auxiliary() },
        { AT_PLATFORM, platform },
        { AT_HWCAP, processor_features() },
        { AT_HWCAP2, HWCAP2_FSGSBASE },
        { AT_CLKTCK, 100 },
        { AT_SYSINFO_EHDR, vdso_address() },
        { AT_MINSIGSTKSZ, xsave_size() + SIGNAL_FRAME_EXTRA },
    };
    for (size_t i = 0; i < sizeof entries / sizeof entries[0]; i++)
        initial_stack_auxiliary(stack, entries[i][0], entries[i][1]);
}

uint64_t build_stack(uint64_t top, const struct program_start *program,
                     const struct loaded_elf *image, const struct loaded_elf *interpreter)
{
    const size_t strings = (size_t)program->argc + (size_t)program->envc;
    struct initial_stack stack = {
        .top = top - 16,
        .bottom = top - memory_stack_size() / 2,
        .max = strings + 3 + 2 * MAX_AUXILIARY,
    };
    stack.words = kernel_alloc(stack.max * sizeof *stack.words);
    if (!stack.words)
        kernel_panic("no memory for the program's stack");
    initial_stack_word(&stack, (uint64_t)program->argc);
    push_strings(&stack, program->argv, program->argc);
    push_strings(&stack, program->envp, program->envc);
    initial_stack_program(&stack, &(struct initial_program){ .headers = image->headers,
                                                             .header_count = image->header_count,
                                                             .entry = image->entry,
                                                             .interpreter = interpreter->bias,
                                                             .path = stack.words[1] });
    random_begin_call();
    push_machine(&stack);
    const uint64_t start = initial_stack_end(&stack);
    kernel_free(stack.words);
    return start;
}
