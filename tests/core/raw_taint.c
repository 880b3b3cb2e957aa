/* The raw guest's marks: a call leaves a mark wherever ring 3 can write, and another searches all
 * that it can read for that. */
#include "raw_parts.h"

#define SEARCHED   2u         /* marks at a time */
#define SEED       0u         /* in place of a mark: the first word of the call's own seed */
#define FREE_START 0x280000ul /* of the kernel's memory: the raw guest ends before it */
#define RED_ZONE   512ul      /* bytes below the stack that stay as they are */
#define MXCSR      0x9fc0u    /* nothing unmasked */
#define USED       0xe7u      /* x87, SSE, AVX, opmasks, both halves of AVX-512 */
#define IN_USE     64u        /* the word of an XSAVE area that says which components it has */
#define CANONICAL  0x7ffffffffffful

static uint8_t area[12288] __attribute__((aligned(64)));
static uint64_t marked_data[16];
extern uint64_t marked_text[16];
__asm__(".pushsection .text\n\t.balign 8\nmarked_text: .skip 128\n\t.popsection");

static const volatile struct udfvm_call *const call = (const volatile struct udfvm_call *)
    UDFVM_INPUT_BASE;

static uint64_t any(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    return *state ^= *state << 17;
}

/* ---- Memory ---- */

static void fill_words(uint64_t from, uint64_t to, uint64_t mark)
{
    for (volatile uint64_t *word = (volatile uint64_t *)from; word < (volatile uint64_t *)to;
         word++)
        *word = mark;
}

/* So many pages of [from, to): some whole, some a word of. */
static void mark_pages(uint64_t from, uint64_t to, uint64_t count, uint64_t mark, uint64_t *state)
{
    const uint64_t pages = (to - from) / UDFVM_PAGE_SIZE;
    for (uint64_t i = 0; i < count && pages; i++) {
        const uint64_t page = from + any(state) % pages * UDFVM_PAGE_SIZE;
        if (any(state) % 2)
            fill_words(page, page + UDFVM_PAGE_SIZE, mark);
        else
            *(volatile uint64_t *)(page + any(state) % 512 * 8) = mark;
    }
}

/* Few pages mostly; at times more than the host copies back without a look at each, or so many that
 * it drops them. */
static uint64_t some(uint64_t *state)
{
    static const uint64_t counts[] = { 1, 1, 2, 5, 20, 60, 200, 1500, 60000 };
    const uint64_t which = any(state) % 64;
    return counts[which < LENGTH(counts) ? which : which % 5];
}

static void mark_kernel(uint64_t mark, uint64_t *state)
{
    marked_data[any(state) % LENGTH(marked_data)] = mark;
    marked_text[any(state) % LENGTH(marked_text)] = mark;
    mark_pages(FREE_START, UDFVM_PROGRAM_BASE, 1 + any(state) % 8, mark, state);
}

static void mark_stacks(uint64_t mark)
{
    const uint64_t used = (uint64_t)__builtin_frame_address(0);
    fill_words(UDFVM_TRAP_BASE + UDFVM_PAGE_SIZE, UDFVM_FAULT_STACK, mark);
    fill_words(UDFVM_FAULT_STACK, (used - RED_ZONE) & ~7ul, mark);
}

static void mark_unlogged(uint64_t places, uint64_t mark, uint64_t *state)
{
    const uint64_t window = UDFVM_OUTPUT_BASE + call->output_size;
    if (hypercall(UDFVM_HYPERCALL_OPEN_UNLOGGED, 0, 0, 0, 0, 0, 0))
        return;
    if (places & RAW_IN(RAW_PLACE_WINDOW))
        mark_pages(UDFVM_OUTPUT_BASE + UDFVM_LOGGED_OUTPUT, window, some(state), mark, state);
    if (places & RAW_IN(RAW_PLACE_SCRATCH))
        mark_pages(call->scratch_start, call->scratch_end, some(state), mark, state);
}

static void mark_memory(uint64_t places, uint64_t memory_end, uint64_t mark, uint64_t *state)
{
    const uint64_t stack = memory_end - udfvm_stack_bytes(memory_end);
    if (places & RAW_IN(RAW_PLACE_PROGRAM))
        mark_pages(UDFVM_PROGRAM_BASE, stack - UDFVM_STACK_GUARD, some(state), mark, state);
    if (places & RAW_IN(RAW_PLACE_STACK))
        mark_pages(stack, memory_end, 1 + any(state) % 8, mark, state);
    if (places & RAW_IN(RAW_PLACE_KERNEL))
        mark_kernel(mark, state);
    if (places & RAW_IN(RAW_PLACE_KERNEL_STACKS))
        mark_stacks(mark);
    if (places & RAW_IN(RAW_PLACE_TRAP_PAGE))
        fill_words(UDFVM_TRAP_BASE + sizeof(struct udfvm_trap), UDFVM_TRAP_BASE + UDFVM_PAGE_SIZE,
                   mark);
    if (places & RAW_IN(RAW_PLACE_OUTPUT))
        mark_pages(UDFVM_OUTPUT_BASE, UDFVM_OUTPUT_BASE + UDFVM_LOGGED_OUTPUT, some(state), mark,
                   state);
    if (places & (RAW_IN(RAW_PLACE_WINDOW) | RAW_IN(RAW_PLACE_SCRATCH)))
        mark_unlogged(places, mark, state);
}

/* ---- The processor ---- */

static void mark_vectors(uint64_t mark)
{
    uint32_t low, high;
    fill_words((uint64_t)area, (uint64_t)area + sizeof area, mark);
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    uint64_t *words = (uint64_t *)area;
    words[0] = 0x037f;                      /* FCW: nothing unmasked; no exception pending */
    words[1] = words[2] = mark & CANONICAL; /* FIP, FDP */
    words[3] = MXCSR;
    words[IN_USE] = low & USED;
    for (uint64_t i = IN_USE + 1; i < IN_USE + 8; i++)
        words[i] = 0;
    __asm__ volatile("xrstor64 (%0)" : : "r"(area), "a"(USED), "d"(0) : "memory");
}

static void mark_processor(uint64_t places, uint64_t mark)
{
    if (places & RAW_IN(RAW_PLACE_VECTORS))
        mark_vectors(mark);
    if (places & RAW_IN(RAW_PLACE_SELECTORS))
        __asm__ volatile("movl %k0, %%ds\n\tmovl %k0, %%es\n\tmovl %k0, %%fs\n\tmovl %k0, %%gs"
                         :
                         : "r"(SELECTOR_RING3_DATA));
    if (places & RAW_IN(RAW_PLACE_BASES))
        __asm__ volatile("wrfsbase %0\n\twrgsbase %0" : : "r"(mark & CANONICAL));
    if (places & RAW_IN(RAW_PLACE_FLAGS)) /* AC, ID, NT, and those of arithmetic */
        __asm__ volatile("pushq $0x244cd7\n\tpopfq");
}

void taint(const volatile uint64_t *arguments)
{
    const uint64_t places = arguments[0], how = arguments[3];
    const uint64_t mark = arguments[1] == SEED ? ((const volatile uint64_t *)call->seed)[0]
                                               : arguments[1];
    uint64_t state = arguments[2] | 1;
    end_after_the_next_fault(how);
    mark_memory(places, arguments[4], mark, &state);
    mark_processor(places, mark);
    if (places & RAW_IN(RAW_PLACE_REGISTERS))
        end_with_registers(how, mark);
    else
        end(how);
}

/* ---- Searching ---- */

/* The marks are told by their complements, and none is stored: it would find itself. */
static uint64_t hits(uint64_t from, uint64_t to, const volatile uint64_t *hidden, uint64_t *first)
{
    const uint64_t one = hidden[0], other = hidden[1];
    uint64_t found = 0;
    for (const volatile uint64_t *word = (const volatile uint64_t *)from;
         word < (const volatile uint64_t *)to; word++) {
        const uint64_t here = *word;
        if ((here ^ one) + 1 == 0 || (here ^ other) + 1 == 0) {
            *first = *first ? *first : (uint64_t)word;
            found++;
        }
    }
    return found;
}

void search(const volatile uint64_t *arguments)
{
    const uint64_t ranges = arguments[SEARCHED];
    uint64_t found = 0, first = 0;
    if (arguments[SEARCHED + 1])
        hypercall(UDFVM_HYPERCALL_OPEN_UNLOGGED, 0, 0, 0, 0, 0, 0);
    for (uint64_t i = 0; i < ranges; i++)
        found += hits(arguments[SEARCHED + 2 + 2 * i], arguments[SEARCHED + 3 + 2 * i], arguments,
                      &first);
    OUTPUT[0] = found;
    OUTPUT[1] = first;
    complete(2);
}
