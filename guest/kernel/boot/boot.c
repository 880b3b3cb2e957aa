/* From the first instruction to the program's first instruction. */
#include "arch/clock.h"
#include "boot/elf.h"
#include "arch/hypercall.h"
#include "mm/memory.h"
#include "sched/thread.h"
#include "arch/vdso.h"
#include "vfs/vfs.h"

#include <asm/auxvec.h>
#include <linux/auxvec.h>

#define STRINGS_MOST       4096u /* arguments and environment variables */
#define HWCAP2_FSGSBASE    2u    /* linux/arch/x86/include/uapi/asm/hwcap2.h */
#define SIGNAL_FRAME_EXTRA 1024u /* of a signal frame, without the XSAVE image */
#define AUXILIARY_MOST     24u

struct boot_info boot_info;

noreturn void kernel_boot(void);

noreturn void kernel_panic(const char *text)
{
    struct udfvm_crash crash = { .rip = (uint64_t)__builtin_return_address(0) };
    const size_t length = minimum(strlen(text), sizeof crash.text);
    memcpy(crash.text, text, length);
    crash.text_length = (uint32_t)length;
    hypercall(UDFVM_HYPERCALL_EXIT, UDFVM_EXIT_PANIC, 0, (uint64_t)&crash, 0, 0);
    __builtin_unreachable();
}

static noreturn void cannot_run(const char *path, const char *problem)
{
    char text[256];
    format(text, sizeof text, "%s %s", path, problem);
    kernel_panic(text);
}

/* ---- The request ---- */

static void read_request(void)
{
    const struct udfvm_call *call = (const struct udfvm_call *)UDFVM_INPUT_BASE;
    const struct udfvm_boot *boot = (const struct udfvm_boot *)UDFVM_INPUT_PAYLOAD;
    const uint64_t count = (uint64_t)boot->argc + boot->envc, length = call->length - sizeof *boot;
    if (call->abi_version != UDFVM_ABI_VERSION)
        kernel_panic("the host speaks another version of the ABI");
    if (call->request != UDFVM_REQUEST_BOOT || call->length < sizeof *boot || boot->argc == 0 ||
        count > STRINGS_MOST)
        kernel_panic("bad boot request");
    char *strings = kernel_alloc(length + 1);
    char **pointers = kernel_alloc((count + 2) * sizeof *pointers);
    if (!strings || !pointers)
        kernel_panic("no memory for the boot request");
    memcpy(strings, boot + 1, length);
    char *at = strings;
    for (uint64_t i = 0; i < count; i++) {
        if (at >= strings + length)
            kernel_panic("bad boot request: too few strings");
        pointers[i + (i >= boot->argc)] = at; /* a NULL ends the arguments */
        at += strlen(at) + 1;
    }
    boot_info = (struct boot_info){ .program = pointers[0],
                                    .place = boot->program_address,
                                    .argc = (int)boot->argc,
                                    .argv = pointers,
                                    .envc = (int)boot->envc,
                                    .envp = pointers + boot->argc + 1 };
}

/* ---- The initial stack: System V ABI, 3.4.1 ---- */

struct stack_builder {
    uint64_t at, least;
};

static uint64_t push(struct stack_builder *stack, const void *data, size_t length)
{
    if (stack->at - stack->least < length)
        cannot_run(boot_info.program, "has too many arguments for its stack");
    stack->at -= length;
    memcpy((void *)stack->at, data, length);
    return stack->at;
}

static void push_strings(struct stack_builder *stack, char **strings, int count,
                         uint64_t *addresses)
{
    for (int i = 0; i < count; i++)
        addresses[i] = push(stack, strings[i], strlen(strings[i]) + 1);
}

static size_t auxiliary_vector(uint64_t *words, const struct elf_image *program,
                               const struct elf_image *interpreter, uint64_t platform,
                               uint64_t path)
{
    const uint64_t entries[][2] = {
        { AT_PHDR, program->headers },
        { AT_PHENT, 56 },
        { AT_PHNUM, program->header_count },
        { AT_PAGESZ, PAGE_SIZE },
        { AT_BASE, interpreter->bias },
        { AT_FLAGS, 0 },
        { AT_ENTRY, program->entry },
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
    _Static_assert(sizeof entries / sizeof entries[0] <= AUXILIARY_MOST,
                   "room for the auxiliary vector");
    memcpy(words, entries, sizeof entries);
    return sizeof entries / sizeof *words;
}

static uint64_t build_stack(uint64_t top, const struct elf_image *program,
                            const struct elf_image *interpreter)
{
    const size_t strings = (size_t)boot_info.argc + (size_t)boot_info.envc;
    struct stack_builder stack = { top - 16, top - memory_stack_size() / 2 };
    uint64_t *words = kernel_alloc((strings + 3 + 2 * AUXILIARY_MOST) * sizeof *words);
    if (!words)
        kernel_panic("no memory for the program's stack");
    words[0] = (uint64_t)boot_info.argc;
    push_strings(&stack, boot_info.argv, boot_info.argc, words + 1);
    push_strings(&stack, boot_info.envp, boot_info.envc, words + 2 + boot_info.argc);
    const uint64_t platform = push(&stack, "x86_64", 7);
    size_t count = strings + 3;
    count += auxiliary_vector(words + count, program, interpreter, platform, words[1]);
    stack.at = ((stack.at - count * sizeof *words) & ~15ull) + count * sizeof *words;
    const uint64_t start = push(&stack, words, count * sizeof *words);
    kernel_free(words);
    return start;
}

static void start_program(void)
{
    struct elf_image program, interpreter = { .bias = 0 };
    const char *problem = elf_load(boot_info.program, false, &program);
    if (problem)
        cannot_run(boot_info.program, problem);
    heap_set(page_up(program.end));
    if (program.interpreter[0]) {
        problem = elf_load(program.interpreter, true, &interpreter);
        if (problem)
            cannot_run(program.interpreter, problem);
    }
    current->user = (struct registers){
        .rip = program.interpreter[0] ? interpreter.entry : program.entry,
        .rsp = build_stack(program_end, &program, &interpreter),
        .rflags = 0x202,
    };
    current->restore_all = 1;
}

noreturn void kernel_boot(void)
{
    const struct udfvm_boot *boot = (const struct udfvm_boot *)UDFVM_INPUT_PAYLOAD;
    memory_init(boot->memory_end);
    threads_init();
    read_request();
    vfs_init();
    start_program();
    set_fs_base(0);
    set_gs_base(0);
    enter_program();
}
