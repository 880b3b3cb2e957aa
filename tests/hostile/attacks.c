/* A guest that owns its kernel attacks at random, several times in a call and call after call, on
 * one VM. Each call ends as an error that says why, or harmlessly; the next call is right, and the
 * processor is as it was, and so is a file that the VM reads. Usage: attacks raw_guest.bin COUNT
 * [SEED]. Prints what failed. */
#include "snapshot.h"

#define MAX_STEPS     4u  /* of one call */
#define SEEN_EVERY    16u /* calls between two looks at the whole processor */
#define REQUEST_WORDS 8u
#define DATA_BYTES    8192u

static uint64_t state;
static unsigned long calls, ended[32]; /* by code */

static uint64_t any(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    return state ^= state << 17;
}

static uint64_t below(uint64_t count)
{
    return any() % count;
}

/* ---- Numbers and places that boundaries care about ---- */

static uint64_t place(void)
{
    static const uint64_t places[] = {
        0,
        SYSTEM_GDT,
        SYSTEM_IDT,
        SYSTEM_TSS,
        SYSTEM_GATES,
        SYSTEM_STUBS,
        SYSTEM_STATE,
        SYSTEM_XSAVE,
        SYSTEM_STACK,
        SYSTEM_STACK_TOP,
        SYSTEM_PML4,
        SYSTEM_PT_LOW,
        SYSTEM_PT_GUARD,
        SYSTEM_PD,
        SYSTEM_PD_OUTPUT,
        SYSTEM_PD_DATA,
        UDFVM_TRAP_BASE,
        UDFVM_PROGRAM_BASE,
        MEMORY,
        MEMORY - UDFVM_STACK_GUARD,
        UDFVM_RESERVE_BASE,
        UDFVM_RESERVE_END,
        UDFVM_INPUT_BASE,
        UDFVM_INPUT_BASE + WINDOW,
        UDFVM_OUTPUT_BASE,
        UDFVM_OUTPUT_BASE + UDFVM_LOGGED_OUTPUT,
        UDFVM_OUTPUT_BASE + 2 * WINDOW,
        UDFVM_DATA_BASE,
        UDFVM_DATA_BASE + HUGE_PAGE,
        UDFVM_DATA_BASE + HUGE_PAGE + DATA_BYTES,
        UDFVM_STREAM_REPLY,
        0xfee00000, /* the local APIC, on a PC */
        0xfec00000, /* the I/O APIC */
        0xb8000,
        1ull << 47,
        -1ull << 47,
        UINT64_MAX - 4095,
        UINT64_MAX,
    };
    const uint64_t found = places[below(sizeof places / sizeof *places)];
    return below(8) ? found + (below(3) - 1) * 8 : any();
}

static uint64_t number(void)
{
    static const uint64_t numbers[] = { 0,     1,     2,       8,         255,        4096,
                                        65536, 65537, 1 << 30, INT32_MAX, UINT32_MAX, INT64_MAX };
    switch (below(3)) {
    case 0:
        return numbers[below(sizeof numbers / sizeof *numbers)];
    case 1:
        return place();
    default:
        return any();
    }
}

/* ---- Attacks: the words of a request ---- */

static void by_hypercall(uint64_t *words)
{
    words[0] = RAW_HYPERCALL;
    words[1] = below(4) ? below(24) : number();
    for (unsigned i = 2; i < REQUEST_WORDS; i++)
        words[i] = number();
}

#define NEAR 700u /* pages of the reserve, on both sides of the end of a page table */

static uint64_t reserved(void)
{
    return UDFVM_RESERVE_BASE + below(NEAR) * 4096;
}

/* Pages of the reserve, of which most are mapped; then one of them is used. */
static void by_mapping(uint64_t *words)
{
    words[0] = below(3) ? RAW_HYPERCALL : RAW_WRITE;
    words[1] = words[0] == RAW_HYPERCALL ? UDFVM_HYPERCALL_MAP : reserved();
    words[2] = words[0] == RAW_HYPERCALL ? reserved() : any();
    words[3] = UDFVM_PROGRAM_BASE + (1 << 20) + below((MEMORY >> 12) - 1500) * 4096;
    words[4] = below(NEAR);
    words[5] = below(3);
}

/* Bytes of instructions that matter more often than of others. */
static void by_instruction(uint64_t *words)
{
    static const uint8_t starts[][3] = {
        { 0x0f, 0x01 }, { 0x0f, 0x00 }, { 0x0f, 0x20 }, { 0x0f, 0x22 },       { 0x0f, 0xae },
        { 0x0f, 0xc7 }, { 0x0f, 0x05 }, { 0x0f, 0x34 }, { 0x48, 0x0f, 0x07 }, { 0xf3, 0x0f, 0x01 },
        { 0xcd },       { 0xcf },       { 0x8e },       { 0xe6, UDFVM_PORT }, { 0x62, 0xf1, 0x7c },
        { 0xc4, 0xe2 }, { 0x9d },       { 0xca },       { 0x66, 0x0f, 0x38 }, { 0xf2, 0x0f, 0x38 },
    };
    uint64_t code[2] = { any(), any() };
    const uint64_t which = below(2 * sizeof starts / sizeof *starts);
    if (which < sizeof starts / sizeof *starts)
        memcpy(code, starts[which], starts[which][1] ? 2 + (starts[which][2] != 0) : 1);
    words[0] = RAW_BYTES;
    memcpy(words + 1, code, sizeof code);
}

static void by_disturbance(uint64_t *words)
{
    words[0] = RAW_DISTURB;
    words[1] = below(RAW_DISTURBANCES);
    words[2] = below(RAW_ENDS);
    words[3] = any();
}

static void by_memory(uint64_t *words)
{
    words[0] = below(2) ? RAW_READ : RAW_WRITE;
    words[1] = place();
    words[2] = any();
}

static void by_selector(uint64_t *words)
{
    words[0] = RAW_SELECTOR;
    words[1] = below(RAW_USES);
    words[2] = below(4) ? below(128) : any() & 0xffff;
}

static void by_port(uint64_t *words)
{
    words[0] = RAW_PORT;
    words[1] = below(2) ? any() & 0xffff : UDFVM_PORT + below(3) - 1;
}

static void by_privilege(uint64_t *words)
{
    words[0] = RAW_PRIVILEGED;
    words[1] = below(RAW_PRIVILEGED_INSTRUCTIONS);
}

static void by_system_call(uint64_t *words)
{
    words[0] = RAW_SYSCALL;
    words[1] = number();
}

static void by_stack(uint64_t *words)
{
    words[0] = RAW_STACK;
    words[1] = below(RAW_ENTRIES);
    words[2] = place();
}

static void by_flags(uint64_t *words)
{
    static const uint64_t flags[] = { 0x100, 0x4000, 0x40000, 0x400, 0x3000, 0x10000, 0x200000 };
    words[0] = RAW_SET_FLAGS;
    words[1] = below(4) ? 2 | flags[below(7)] | flags[below(7)] : any();
    words[2] = below(3);
}

static void by_vectors(uint64_t *words)
{
    words[0] = RAW_CRAFTED;
    words[1] = below(RAW_STATE_LOADS);
    words[2] = any();
    words[3] = below(8);
}

static void (*const attacks[])(uint64_t *words) = {
    by_hypercall, by_hypercall,   by_instruction, by_instruction, by_disturbance,
    by_mapping,   by_mapping,     by_memory,      by_selector,    by_port,
    by_privilege, by_system_call, by_stack,       by_flags,       by_vectors,
};

/* ---- A file that the VM reads ---- */

static uint8_t content[DATA_BYTES];
static int data_file;

static void give_data(udfvm_vm *vm)
{
    struct udfvm_error error = { .message = "" };
    data_file = fileno(tmpfile());
    for (size_t i = 0; i < sizeof content; i++)
        content[i] = (uint8_t)(i * 7 + i / 256);
    check(pwrite(data_file, content, sizeof content, 0) == (ssize_t)sizeof content, "a file");
    udfvm_data *data = udfvm_data_open(&(struct udfvm_data_source){ "file", data_file }, 1, &error);
    check(data && udfvm_vm_give_data(vm, data, &error) == UDFVM_OK, "data: %s", error.message);
    udfvm_data_close(data);
}

static bool data_are_whole(void)
{
    uint8_t found[DATA_BYTES];
    return pread(data_file, found, sizeof found, 0) == (ssize_t)sizeof found &&
           memcmp(found, content, sizeof found) == 0;
}

/* ---- Calls ---- */

static bool says_why(int code, const struct udfvm_error *error)
{
    static const int codes[] = { UDFVM_E_TIMEOUT,  UDFVM_E_CRASH,  UDFVM_E_EXIT, UDFVM_E_DEADLOCK,
                                 UDFVM_E_PROTOCOL, UDFVM_E_OUTPUT, UDFVM_E_LOG };
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
        if (code == codes[i])
            return error->code == code && error->message[0];
    return false;
}

static void attack(udfvm_vm *vm, unsigned long round)
{
    struct udfvm_reply reply;
    struct udfvm_error error;
    uint64_t words[REQUEST_WORDS] = { 0 };
    int code = UDFVM_OK;
    const uint64_t steps = 1 + below(MAX_STEPS);
    for (uint64_t step = 0; step < steps && code == UDFVM_OK; step++) {
        attacks[below(sizeof attacks / sizeof *attacks)](words);
        code = udfvm_vm_call(vm, UDFVM_REQUEST_ROW, words, sizeof words, &soon, &reply, &error);
        check(code == UDFVM_OK || says_why(code, &error), "round %lu, attack %llu: code %d: %s",
              round, (unsigned long long)words[0], code, error.message);
        ended[code % 32]++;
    }
    calls++;
    check(udfvm_vm_restore(vm, &error) == UDFVM_OK, "round %lu: restore: %s", round, error.message);
    check(call(vm, &usual, &reply, RAW_COUNT, 0, 0, 0) == UDFVM_OK && reply.length == 8 &&
              *(const uint64_t *)reply.data == 1,
          "round %lu, after attack %llu: the next call is wrong", round,
          (unsigned long long)words[0]);
    check(udfvm_vm_restore(vm, &error) == UDFVM_OK, "round %lu: restore", round);
    check(call(vm, &usual, &reply, RAW_READ, reserved(), 0, 0) == UDFVM_OK &&
              *(const uint64_t *)reply.data == RAW_FAULTED,
          "round %lu: what an attack mapped is there", round);
    check(udfvm_vm_restore(vm, &error) == UDFVM_OK, "round %lu: restore", round);
}

int main(int count, char **arguments)
{
    if (count < 3)
        return 2;
    const unsigned long rounds = strtoul(arguments[2], NULL, 10);
    build(arguments[1]);
    state = count > 3 ? strtoull(arguments[3], NULL, 0) : 0x9e3779b97f4a7c15ull;
    udfvm_vm *vm = open_vm();
    give_data(vm);
    observe(vm, &pristine);
    forget_selectors(&pristine);
    for (unsigned long round = 0; round < rounds && failures == 0; round++) {
        const uint64_t seed = state;
        attack(vm, round);
        if (round % SEEN_EVERY == 0) {
            observe(vm, &present);
            forget_selectors(&present);
            compare(&pristine, &present, "attack", (int)round, 0);
            check(data_are_whole(), "round %lu: an attack wrote to a file", round);
        }
        if (failures)
            printf("to repeat the last attack: %s %s 1 %#llx\n", arguments[0], arguments[1],
                   (unsigned long long)seed);
    }
    udfvm_vm_close(vm);
    printf("%lu calls; ended well %lu, by a timeout %lu, a crash %lu, a protocol error %lu\n",
           calls, ended[UDFVM_OK], ended[UDFVM_E_TIMEOUT], ended[UDFVM_E_CRASH],
           ended[UDFVM_E_PROTOCOL]);
    printf("attacks: %s\n", failures ? "FAILED" : "holds");
    return failures != 0;
}
