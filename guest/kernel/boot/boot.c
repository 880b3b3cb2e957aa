/* From the first instruction to the program's first instruction. */
#include "arch/entry.h"
#include "arch/processor.h"
#include "boot/stack.h"
#include "host/call.h"
#include "host/exit.h"
#include "lib/string.h"
#include "mm/alloc.h"
#include "mm/heap.h"
#include "mm/regions.h"
#include "sched/thread.h"
#include "syscall/dispatch.h"

#define MAX_STRINGS 4096u /* arguments and environment variables */

static struct program_start program;

noreturn void kernel_boot(void); /* entry.S */

static noreturn void cannot_run(const char *path, const char *error)
{
    char text[256];
    format(text, sizeof text, "%s %s", path, error);
    kernel_panic(text);
}

/* ---- The request ---- */

static void read_request(void)
{
    const struct udfvm_call *call = call_page();
    const struct udfvm_boot *boot = (const struct udfvm_boot *)UDFVM_INPUT_PAYLOAD;
    const uint64_t count = (uint64_t)boot->argc + boot->envc, length = call->length - sizeof *boot;
    if (call->abi_version != UDFVM_ABI_VERSION)
        kernel_panic("the host speaks another version of the ABI");
    if (call->request != UDFVM_REQUEST_BOOT || call->length < sizeof *boot || boot->argc == 0 ||
        count > MAX_STRINGS)
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
    program = (struct program_start){ .path = pointers[0],
                                      .argc = (int)boot->argc,
                                      .argv = pointers,
                                      .envc = (int)boot->envc,
                                      .envp = pointers + boot->argc + 1 };
}

static void load(const char *path, uint64_t lowest, struct loaded_elf *image)
{
    const char *error = elf_load(path, lowest, image);
    if (error)
        cannot_run(path, error);
}

static void start_program(uint64_t lowest)
{
    struct loaded_elf image, interpreter = { .bias = 0 };
    load(program.path, maximum(program_start, minimum(lowest, program_end)), &image);
    heap_set(image.end);
    if (image.interpreter[0])
        load(image.interpreter, ELF_ANYWHERE, &interpreter);
    const uint64_t stack = build_stack(program_end, &program, &image, &interpreter);
    if (!stack)
        cannot_run(program.path, "has too many arguments for its stack");
    current->user = (struct program_registers){
        .rip = image.interpreter[0] ? interpreter.entry : image.entry,
        .rsp = stack,
        .rflags = RFLAGS_AT_START,
    };
    current->restore_all = 1;
}

noreturn void kernel_boot(void)
{
    const struct udfvm_boot *boot = (const struct udfvm_boot *)UDFVM_INPUT_PAYLOAD;
    memory_init(boot->memory_end);
    threads_init();
    system_calls_init();
    read_request();
    vfs_init(&program);
    start_program(boot->program_address);
    set_fs_base(0);
    set_gs_base(0);
    enter_program();
}
