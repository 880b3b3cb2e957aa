/* See executable.h. This is what Linux does in execve(2), but as part of a process that goes on. */
#include "native/executable.h"

#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "initial_stack.h"
#include "native/context_switch.h"
#include "shared/compiled/failure.h"
#include "udfvm_abi.h"

#ifndef AT_MINSIGSTKSZ
#define AT_MINSIGSTKSZ \
    51 /* linux/arch/x86/include/uapi/asm/auxvec.h; older C libraries do not have it */
#endif
#define MAX_VARIABLES   64 /* environment variables that are passed on */
#define MAX_STACK_WORDS (MAX_VARIABLES + 64)

extern char __executable_start[]; /* of this runtime, from the linker */

static struct {
    uint32_t version;
    const struct udfvm_export *const *begin, *const *end;
} served;

/* ---- Memory ---- */

/* Reserves addresses for a position-independent image: the wanted ones if they are free (0: any).
 * PROT_NONE keeps them out of scratch, which no image holds. */
static bool place(const struct elf_image *image, uint64_t wanted, uint64_t *bias)
{
    const uint64_t span = image->file.high - image->file.low,
                   start = (wanted + image->file.align - 1) & ~(image->file.align - 1);
    void *at = mmap((void *)start, span, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    *bias = (uint64_t)at - image->file.low;
    if (at == MAP_FAILED)
        failure_set("MemoryError", "the program does not fit the micro-VM's memory: raise memory=");
    return at != MAP_FAILED;
}

static bool place_fixed(const struct elf_image *image, uint64_t *bias)
{
    *bias = 0;
    if (mmap((void *)image->file.low, image->file.high - image->file.low, PROT_NONE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE | MAP_STACK, -1, 0) != MAP_FAILED)
        return true;
    return failure_set("ImportError",
                       "the program is linked to addresses 0x%" PRIx64 " to 0x%" PRIx64
                       ", and this micro-VM has 0x%" PRIx64 " to 0x%" PRIx64
                       " for that: link it with -pie or -static-pie, or %s",
                       image->file.low, image->file.high, (uint64_t)UDFVM_PROGRAM_BASE,
                       (uint64_t)__executable_start,
                       image->file.low < UDFVM_PROGRAM_BASE ? "leave out its base address"
                                                            : "raise memory=");
}

static bool load_program(struct elf_image *image)
{
    uint64_t bias;
    const bool placed = image->file.header.e_type == ET_EXEC
                            ? place_fixed(image, &bias)
                            : place(image, UDFVM_PROGRAM_BASE, &bias);
    return placed && elf_image_map(image, bias);
}

/* Loads the interpreter, but not right behind the program: its heap grows there. */
static bool load_interpreter(const char *path, struct elf_image *interpreter)
{
    char what[sizeof interpreter->file.interpreter + 100];
    uint64_t bias;
    snprintf(what, sizeof what,
             "the program's dynamic linker %s is needed (or -static, when it is linked), and",
             path);
    if (!elf_image_open(interpreter, path, what))
        return false;
    const bool loaded = place(interpreter, 0, &bias) && elf_image_map(interpreter, bias);
    elf_image_close(interpreter);
    return loaded;
}

/* ---- The initial stack: System V ABI for x86-64, 3.4.1 ---- */

static int runtime_serve(uint32_t version, const struct udfvm_export *const *begin,
                         const struct udfvm_export *const *end);

/* What is preloaded is for the C library of the runtime, which musl is not. */
static bool is_for_runtime(const char *variable, const char *linker)
{
    return strstr(linker, "/ld-musl-") != NULL &&
           strncmp(variable, "LD_PRELOAD=", strlen("LD_PRELOAD=")) == 0;
}

static void push_environment(struct initial_stack *stack, const char *linker)
{
    char runtime[64];
    snprintf(runtime, sizeof runtime, "UDFVM_RUNTIME=%" PRIx64, (uint64_t)runtime_serve);
    initial_stack_string(stack, runtime);
    for (size_t i = 0; environ[i] && i + 1 < MAX_VARIABLES; i++)
        if (!is_for_runtime(environ[i], linker))
            initial_stack_string(stack, environ[i]);
    initial_stack_word(stack, 0);
}

/* The entries of the process that hold for the program, too, are copied. */
static void push_inherited(struct initial_stack *stack)
{
    static const unsigned long inherited[] = { AT_PAGESZ,     AT_UID,    AT_EUID,   AT_GID,
                                               AT_EGID,       AT_SECURE, AT_RANDOM, AT_PLATFORM,
                                               AT_HWCAP,      AT_HWCAP2, AT_CLKTCK, AT_SYSINFO_EHDR,
                                               AT_MINSIGSTKSZ };
    for (size_t i = 0; i < sizeof inherited / sizeof *inherited; i++)
        initial_stack_auxiliary(stack, inherited[i], getauxval(inherited[i]));
}

/* It fits: the guest kernel had capacity for the same strings in half of this stack. */
static uint64_t build_stack(uint64_t top, const struct elf_image *image, uint64_t interpreter,
                            const char *path)
{
    uint64_t words[MAX_STACK_WORDS];
    struct initial_stack stack = { .top = top & ~15ull, .words = words, .max = MAX_STACK_WORDS };
    initial_stack_word(&stack, 1); /* argc */
    const uint64_t name = initial_stack_string(&stack, path);
    initial_stack_word(&stack, 0);
    push_environment(&stack, image->file.interpreter);
    initial_stack_program(&stack, &(struct initial_program){
                                      .headers = elf_headers_address(&image->file, image->bias),
                                      .header_count = image->file.header.e_phnum,
                                      .entry = image->file.header.e_entry + image->bias,
                                      .interpreter = interpreter,
                                      .path = name });
    push_inherited(&stack);
    return initial_stack_end(&stack);
}

/* ---- To the program and back ---- */

/* udfvm_serve() of udfvm.h calls this on the program's stack, with the program's thread pointer. A
 * second call has no way back. */
static int runtime_serve(uint32_t version, const struct udfvm_export *const *begin,
                         const struct udfvm_export *const *end)
{
    if (context_has_program())
        return EXIT_FAILURE;
    served.version = version;
    served.begin = begin;
    served.end = end;
    context_serve();
    return EXIT_FAILURE;
}

/* Begins the program's heap: behind the program if that lies below ours, else as low as possible.
 * This closes our heap: see guest/kernel/mm/heap.c. */
static void begin_heap(uint64_t end)
{
    const uint64_t start = end <= (uint64_t)__executable_start ? end : UDFVM_PROGRAM_BASE;
    malloc_trim(0);
    prctl(PR_SET_MM, PR_SET_MM_START_BRK, start, 0, 0);
}

bool executable_start(struct elf_image *image, const char *path)
{
    struct elf_image interpreter = { .bias = 0 };
    uint64_t entry = image->file.header.e_entry;
    if (!load_program(image))
        return false;
    if (image->file.interpreter[0] && !load_interpreter(image->file.interpreter, &interpreter))
        return false;
    entry = image->file.interpreter[0] ? interpreter.file.header.e_entry + interpreter.bias
                                       : entry + image->bias;
    begin_heap(image->file.high + image->bias);
    const uint64_t top = (uint64_t)__builtin_frame_address(0) - CONTEXT_RUNTIME_STACK;
    context_start(entry, build_stack(top, image, interpreter.bias, path));
    if (served.version == UDFVM_NATIVE_VERSION)
        return true;
    return failure_set("ImportError",
                       "the program was built with another version of udfvm.h: build it again");
}

const struct udfvm_export *executable_export(const char *name)
{
    for (const struct udfvm_export *const *each = served.begin; each < served.end; each++)
        if (strcmp((*each)->name, name) == 0)
            return *each;
    return NULL;
}

const struct udfvm_export *executable_nth(size_t number)
{
    return number < (size_t)(served.end - served.begin) ? served.begin[number] : NULL;
}

void executable_names(char *text, size_t size)
{
    size_t used = 0;
    text[0] = 0;
    for (const struct udfvm_export *const *each = served.begin; each < served.end && used < size;
         each++)
        used += (size_t)snprintf(text + used, size - used, "%s%s", used ? ", " : "", (*each)->name);
}
