/* Rewriting of `syscall` instructions, which cost a trap: tens of microseconds on a KVM without
 * hardware virtualisation.
 *
 * The instruction itself, of two bytes, stays where it is. What is replaced is the one before it,
 * mostly `mov $number, %eax`: by a jump to a trampoline, which does what was replaced and enters
 * the kernel with the address behind the `syscall` as the one to return to:
 *
 *          mov $39, %eax                jmp trampoline            trampoline:   mov $39, %eax
 *          syscall              =>      syscall                                 lea back(%rip),
 * %rcx cmp $-4095, %rax      back:  cmp $-4095, %rax                        mov
 * $direct_syscall_entry, %r11d jmp *%r11
 *
 * So whatever jumps to the `syscall` or behind it finds what it did before, a call that is
 * restarted after a signal traps, and in signal frames and unwinders the program stands where it
 * always stood. RCX and R11 are free: a `syscall` overwrites them. The stack is not touched, for
 * the red zone.
 *
 * A jump has five bytes. Where the instruction before has fewer, it becomes a short jump to padding
 * that no path reaches, and the jump to the trampoline is put there.
 *
 * A site is rewritten if both instructions are reached by following the code from the start of a
 * function that .eh_frame_hdr names, and nothing jumps into the middle of either. Others trap as
 * before.
 */
#include "rewrite/rewrite.h"
#include "arch/entry.h"
#include "lib/string.h"
#include "mm/alloc.h"
#include "mm/regions.h"
#include "rewrite/code_map.h"
#include "rewrite/instruction.h"
#include "rewrite/object.h"

#define JUMP_LONG      5u
#define JUMP_SHORT     2u
#define SYSCALL_LENGTH 2u
#define REACH (1ull << 30) /* between text and its trampolines; a jump could go twice as far */
#define TRAMPOLINE_SIZE  32u
#define TRAMPOLINE_PAGES 4u
#define MEMORY_SHARE     128u /* trampolines take this part of all memory at most */
#define INT3             0xcc

/* Trampolines of earlier objects are kept: their text may be mapped still. */
static struct {
    uint64_t next, end, bytes;
} trampolines;

struct text { /* being rewritten */
    struct elf_object object;
    struct code_map map;
    const Elf64_Phdr *segment;
    uint64_t low, high; /* addresses in memory */
    uint64_t bias;      /* from addresses of the object to addresses in memory */
    struct function_range function;
    bool changed;
};

struct range {
    size_t start, end;
}; /* offsets in the function */

/* ---- Trampolines ---- */

static bool within_reach(uint64_t one, uint64_t other)
{
    return one - other + REACH < 2 * REACH;
}

static uint8_t *take_trampoline(uint64_t site)
{
    const uint64_t length = TRAMPOLINE_PAGES * PAGE_SIZE;
    if (trampolines.next == trampolines.end || !within_reach(trampolines.next, site)) {
        if (trampolines.bytes + length > (program_end - program_start) / MEMORY_SHARE ||
            !regions_have_capacity(3))
            return NULL;
        const uint64_t address = (uint64_t)page_alloc_near(TRAMPOLINE_PAGES, site, REACH);
        if (!address)
            return NULL;
        trampolines.next = address;
        trampolines.end = address + length;
        trampolines.bytes += length;
    }
    trampolines.next += TRAMPOLINE_SIZE;
    return (uint8_t *)trampolines.next - TRAMPOLINE_SIZE;
}

static uint8_t *put_u32(uint8_t *at, uint32_t value)
{
    memcpy(at, &value, sizeof value);
    return at + sizeof value;
}

static uint8_t *put_relative(uint8_t *at, const uint8_t *target)
{
    return put_u32(at, (uint32_t)((uint64_t)target - (uint64_t)(at + 4)));
}

static void write_trampoline(uint8_t *at, const uint8_t *before, size_t length, const uint8_t *back)
{
    _Static_assert(MAX_INSTRUCTION + 7 + 6 + 3 <= TRAMPOLINE_SIZE, "the code fits a trampoline");
    memset(at, INT3, TRAMPOLINE_SIZE);
    memcpy(at, before, length);
    at += length;
    memcpy(at, "\x48\x8d\x0d", 3); /* lea back(%rip), %rcx */
    at = put_relative(at + 3, back);
    memcpy(at, "\x41\xbb", 2); /* mov $direct_syscall_entry, %r11d */
    at = put_u32(at + 2, (uint32_t)(uint64_t)direct_syscall_entry);
    memcpy(at, "\x41\xff\xe3", 3); /* jmp *%r11 */
}

/* ---- Padding for jumps ---- */

/* What is left of a run of padding behind the jumps that it holds already has space for one more.
 */
static bool has_space(const struct code_map *map, struct range *padding)
{
    while (padding->start + JUMP_LONG <= padding->end && map->code[padding->start] == 0xe9)
        padding->start += JUMP_LONG;
    const size_t length = padding->end - padding->start;
    return length >= JUMP_LONG && instruction_padding(map->code + padding->start, length) == length;
}

/* End of the padding behind an instruction at `start` that does not go on there; `start` where it
 * is none that is safe to use. */
static size_t padding_end(const struct text *text, size_t start)
{
    const struct code_map *map = &text->map;
    size_t end = start;
    if (start == map->length) /* between functions: all that lies there */
        return text->function.next && text->function.next + text->bias <= text->high
                   ? text->function.next - text->function.start
                   : start;
    if (map->has_indirect_jump)
        return start;
    while (end < map->length && !code_map_is_start(map, end))
        end++;
    return end < map->length ? end : start;
}

/* Finds padding with space for a jump that a short jump, which ends at `from`, reaches. */
static bool find_padding(const struct text *text, size_t from, struct range *padding)
{
    const struct code_map *map = &text->map;
    const size_t first = from > 128 ? from - 128 : 0;
    for (size_t offset = first > MAX_INSTRUCTION ? first - MAX_INSTRUCTION : 0;
         offset < map->length && offset < from + 127; offset++) {
        struct instruction instruction;
        if (!code_map_is_start(map, offset) ||
            !instruction_decode(map->code + offset, map->length - offset, &instruction) ||
            instruction.flow == FLOW_NEXT || instruction.flow == FLOW_BRANCH)
            continue;
        padding->start = offset + instruction.length;
        padding->end = padding_end(text, padding->start);
        if (has_space(map, padding) && padding->start >= first && padding->start <= from + 127)
            return true;
    }
    return false;
}

/* ---- Sites ---- */

/* Puts a jump over the instruction before a site. */
static bool redirect(struct text *text, size_t offset, size_t length, size_t site)
{
    uint8_t *code = (uint8_t *)text->map.code;
    struct range jump = { offset, site }; /* where the jump to the trampoline goes */
    if (length < JUMP_LONG &&
        (length < JUMP_SHORT || !find_padding(text, offset + JUMP_SHORT, &jump)))
        return false;
    uint8_t *trampoline = take_trampoline((uint64_t)code);
    if (!trampoline)
        return false;
    write_trampoline(trampoline, code + offset, length, code + site + SYSCALL_LENGTH);
    memset(code + offset, INT3, length);
    memset(code + jump.start, INT3, jump.end - jump.start);
    if (jump.start != offset) {
        code[offset] = 0xeb;
        code[offset + 1] = (uint8_t)(jump.start - offset - JUMP_SHORT);
    }
    code[jump.start] = 0xe9;
    put_relative(code + jump.start + 1, trampoline);
    return true;
}

static void rewrite_site(struct text *text, size_t site)
{
    const struct code_map *map = &text->map;
    struct instruction before;
    size_t offset = site;
    if (!code_map_is_start(map, site) || code_map_is_start(map, site + 1))
        return;
    do
        if (offset == 0 || site - offset == MAX_INSTRUCTION)
            return;
    while (!code_map_is_start(map, --offset));
    if (!instruction_decode(map->code + offset, map->length - offset, &before) ||
        offset + before.length != site || before.flow != FLOW_NEXT || before.is_call ||
        before.is_syscall || before.rip_relative)
        return;
    text->changed |= redirect(text, offset, before.length, site);
}

/* ---- Searching ---- */

static uint64_t read_u64(uint64_t address)
{
    uint64_t value;
    __builtin_memcpy(&value, (const void *)address, sizeof value);
    return value;
}

static bool is_syscall_at(uint64_t address)
{
    return ((const uint8_t *)address)[0] == 0x0f && ((const uint8_t *)address)[1] == 0x05;
}

/* The first 0F 05 in [at, end), or `end`. Eight bytes at a time: a byte that is zero is found by
 * borrowing through it (H. S. Warren, Hacker's Delight, 6-1). */
static uint64_t find_syscall(uint64_t address, uint64_t end)
{
    const uint64_t ones = 0x0101010101010101u, highs = ones << 7;
    for (; end - address > sizeof address; address += sizeof address) {
        const uint64_t differences = (read_u64(address) ^ ones * 0x0f) |
                                     (read_u64(address + 1) ^ ones * 0x05);
        const uint64_t found = (differences - ones) & ~differences & highs;
        if (found) /* the lowest bit is right */
            return address + (unsigned)__builtin_ctzll(found) / 8;
    }
    while (end - address >= SYSCALL_LENGTH && !is_syscall_at(address))
        address++;
    return end - address >= SYSCALL_LENGTH ? address : end;
}

/* Nearly every `syscall` follows an instruction that loads a register from an immediate, or sets
 * EAX otherwise: mov from a register, xor with itself. Few pairs of bytes that are no `syscall` do,
 * so few functions are decoded in vain. */
static bool is_plausible(const struct text *text, uint64_t site)
{
    const uint8_t *at = (const uint8_t *)site;
    if (site - text->low < MAX_INSTRUCTION)
        return false;
    return (at[-5] & 0xf8) == 0xb8 || (at[-6] == 0xc7 && at[-5] == 0xc0) ||
           (at[-1] == 0xc0 && (at[-2] == 0x31 || at[-2] == 0x33)) ||
           (at[-2] == 0x89 && (at[-1] & 0xc7) == 0xc0) ||
           (at[-2] == 0x8b && (at[-1] & 0xf8) == 0xc0);
}

/* Rewrites the sites of the function that holds one. Returns where to go on. */
static uint64_t rewrite_function(struct text *text, uint64_t site)
{
    struct function_range *function = &text->function;
    if (!object_function(&text->object, site - text->bias, function))
        return site + SYSCALL_LENGTH;
    const uint64_t start = function->start + text->bias, end = function->end + text->bias;
    if (start < text->low || end > text->high ||
        !code_map_build(&text->map, (const uint8_t *)start, end - start))
        return site + SYSCALL_LENGTH;
    while ((site = find_syscall(site, end)) != end) {
        rewrite_site(text, site - start);
        site += SYSCALL_LENGTH;
    }
    return end;
}

/* The part of [start, start + length), of the file from `offset` on, that an executable segment of
 * the object covers. */
static bool choose_segment(struct text *text, const Elf64_Phdr *segment, uint64_t start,
                           uint64_t length, uint64_t offset)
{
    const uint64_t low = maximum(segment->p_offset, offset),
                   high = minimum(segment->p_offset + segment->p_filesz, offset + length);
    if (!(segment->p_flags & PF_X) || low >= high)
        return false;
    text->low = start + (low - offset);
    text->high = start + (high - offset);
    text->bias = start + segment->p_offset - offset - segment->p_vaddr;
    return true;
}

static void rewrite_segment(struct text *text)
{
    text->changed = false;
    for (uint64_t site = text->low; (site = find_syscall(site, text->high)) != text->high;)
        site = is_plausible(text, site) ? rewrite_function(text, site) : site + SYSCALL_LENGTH;
    if (text->changed)
        regions_spoil(page_down(text->low), page_up(text->high));
}

void rewrite_syscalls(uint64_t start, uint64_t length)
{
    const size_t index = region_find(start), pages = page_up(sizeof(struct text)) / PAGE_SIZE;
    const struct region *region = index < region_count() ? region_at(index) : NULL;
    if (!region || region->start > start || !region->name || !region->pristine || region->shared)
        return;
    const uint64_t offset = region->offset + (start - region->start);
    struct text *text = page_alloc(pages);
    if (!text)
        return;
    if (object_open(&text->object, region_at(region_find(start))->name))
        for (size_t i = 0; i < text->object.segment_count; i++)
            if (regions_have_capacity(2) &&
                choose_segment(text, &text->object.segments[i], start, length, offset))
                rewrite_segment(text);
    page_free(text, pages);
}
