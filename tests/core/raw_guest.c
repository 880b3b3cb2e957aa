/* The raw guest: executes one command a request, so that tests can be as hostile as ring 3 can be.
 */
#include "raw_parts.h"

uint64_t counter;
uint8_t xsave_area[12288] __attribute__((aligned(64)));
static struct udfvm_seal_info seal_info;

struct udfvm_seal_info *prepare_seal(void)
{
    seal_info.resume_rip = (uint64_t)resume;
    seal_info.fs_base = 0x1234000;
    seal_info.gs_base = 0x5678000;
    seal_info.xsave_area = (uint64_t)xsave_area;
    seal_info.xsave_length = 11008;
    return &seal_info;
}

void report_fault(void)
{
    end_after_fault();
    const struct udfvm_trap *trap = (const struct udfvm_trap *)UDFVM_TRAP_BASE;
    OUTPUT[0] = RAW_FAULTED;
    OUTPUT[1] = trap->vector;
    OUTPUT[2] = trap->error_code;
    OUTPUT[3] = trap->cr2;
    complete(4);
}

static void read_word(const volatile uint64_t *arguments)
{
    OUTPUT[1] = *(volatile uint64_t *)arguments[0];
    OUTPUT[0] = RAW_EXECUTED;
    complete(2);
}

static void write_word(const volatile uint64_t *arguments)
{
    *(volatile uint64_t *)arguments[0] = arguments[1];
    executed();
}

static void loop(const volatile uint64_t *arguments)
{
    (void)arguments;
    end(RAW_END_LOOP);
}

static void loop_in_system_calls(const volatile uint64_t *arguments)
{
    (void)arguments;
    end(RAW_END_CALLS);
}

static void make_hypercall(const volatile uint64_t *a)
{
    OUTPUT[0] = hypercall(a[0], a[1], a[2], a[3], a[4], a[5], a[6]);
    complete(2);
}

static void count(const volatile uint64_t *arguments)
{
    (void)arguments;
    OUTPUT[0] = ++counter;
    complete(1);
}

static void fill(const volatile uint64_t *arguments)
{
    volatile uint64_t *const end = (volatile uint64_t *)arguments[1];
    const uint64_t value = arguments[2];
    for (volatile uint64_t *word = (volatile uint64_t *)arguments[0]; word < end; word++)
        *word = value;
    complete(0);
}

static void find(const volatile uint64_t *arguments)
{
    const volatile uint64_t *const end = (const volatile uint64_t *)arguments[1];
    const uint64_t value = arguments[2];
    uint64_t found = 0;
    for (const volatile uint64_t *word = (const volatile uint64_t *)arguments[0]; word < end;
         word++)
        found += *word == value;
    OUTPUT[0] = found;
    complete(1);
}

/* The command itself is the first of the words. */
static void echo(const volatile uint64_t *arguments)
{
    for (uint64_t i = 0; i < arguments[0]; i++)
        OUTPUT[i] = ARGUMENTS[i];
    complete(arguments[0]);
}

static void seal(const volatile uint64_t *arguments)
{
    counter = arguments[0];
    seal_info.fs_base += arguments[1];
    seal_info.gs_base += arguments[1];
    hypercall(UDFVM_HYPERCALL_SEAL, (uint64_t)&seal_info, 0, 0, 0, 0, 0);
}

static void tell_poison(const volatile uint64_t *arguments)
{
    (void)arguments;
    OUTPUT[0] = (uint64_t)poison;
    complete(1);
}

static raw_command *const commands[RAW_COMMANDS] = {
    [RAW_STATE] = report_state,
    [RAW_DIRTY] = dirty_state,
    [RAW_READ] = read_word,
    [RAW_WRITE] = write_word,
    [RAW_LOOP] = loop,
    [RAW_PORT] = port,
    [RAW_HYPERCALL] = make_hypercall,
    [RAW_PRIVILEGED] = privileged,
    [RAW_SYSCALL] = system_call,
    [RAW_COUNT] = count,
    [RAW_FILL] = fill,
    [RAW_FIND] = find,
    [RAW_ECHO] = echo,
    [RAW_SYSCALL_LOOP] = loop_in_system_calls,
    [RAW_SEAL] = seal,
    [RAW_DESCRIPTORS] = count_descriptors,
    [RAW_SELECTOR] = use_selector,
    [RAW_OBSERVE] = observe,
    [RAW_DISTURB] = disturb,
    [RAW_BYTES] = run_bytes,
    [RAW_POISON] = tell_poison,
    [RAW_STREAM] = stream,
    [RAW_STACK] = craft_stack,
    [RAW_SET_FLAGS] = craft_flags,
    [RAW_CRAFTED] = craft_vectors,
    [RAW_TAINT] = taint,
    [RAW_SEARCH] = search,
    [RAW_TICKS] = ticks,
};

void obey(void)
{
    const uint64_t command = ARGUMENTS[0];
    if (command < RAW_COMMANDS && commands[command])
        commands[command](ARGUMENTS + 1);
    else
        complete(0);
}
