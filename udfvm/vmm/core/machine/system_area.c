/* Contents of the system area: page tables, descriptor tables, stubs, and the state that the resume
 * stub loads. */
#include <string.h>

#include "udfvm_abi.h"

#include "base/error.h"
#include "base/pages.h"
#include "machine/data.h"
#include "machine/machine.h"

/* Every entry has its accessed and dirty bits set, so that no page-table walk ever writes to a
 * table. */
#define ENTRY_PRESENT 0x21ull
#define ENTRY_WRITE   0x42ull
#define ENTRY_USER    0x04ull
#define ENTRY_HUGE    0x80ull
#define ENTRY_NO_EXEC (1ull << 63)
#define TABLE         (ENTRY_PRESENT | ENTRY_WRITE | ENTRY_USER)

extern const uint8_t udfvm_gates[], udfvm_gate_exceptions[], udfvm_gate_flags_call[],
    udfvm_gate_flags_fault[], udfvm_gates_end[];
extern const uint8_t udfvm_stubs[], udfvm_stub_resume_keys[], udfvm_stub_resume[],
    udfvm_stubs_end[];

static uint64_t *table(uint8_t *system, uint64_t address)
{
    return (uint64_t *)(system + address);
}

/* Maps [virtual, virtual + bytes) to guest physical memory through page directories that lie one
 * after the other: the first, at `directories`, is that of the GiB in which `virtual` is. */
static void map_huge(uint8_t *system, uint64_t directories, uint64_t virtual, uint64_t physical,
                     uint64_t bytes, uint64_t flags)
{
    const uint64_t first = virtual >> 30;
    for (uint64_t done = 0; done < bytes; done += HUGE_PAGE) {
        const uint64_t address = virtual + done;
        const uint64_t directory = directories + ((address >> 30) - first) * PAGE;
        table(system, SYSTEM_PDPT)[address >> 30 & 511] = directory | TABLE;
        table(system, directory)[address >> 21 & 511] = (physical + done) | flags | ENTRY_HUGE;
    }
}

static void map_first_pages(uint8_t *system)
{
    uint64_t *low = table(system, SYSTEM_PT_LOW);
    table(system, SYSTEM_PD)[0] = SYSTEM_PT_LOW | TABLE;
    for (uint64_t page = SYSTEM_GDT; page < SYSTEM_TSS_END; page += PAGE)
        low[page / PAGE] = page | ENTRY_PRESENT | ENTRY_NO_EXEC;
    low[SYSTEM_STACK / PAGE] = SYSTEM_STACK | ENTRY_PRESENT | ENTRY_WRITE | ENTRY_NO_EXEC;
    low[SYSTEM_GATES / PAGE] = SYSTEM_GATES | ENTRY_PRESENT;
    low[SYSTEM_STUBS / PAGE] = SYSTEM_STUBS | ENTRY_PRESENT | ENTRY_USER;
    for (uint64_t page = SYSTEM_STATE; page < SYSTEM_XSAVE_END; page += PAGE)
        low[page / PAGE] = page | ENTRY_PRESENT | ENTRY_USER | ENTRY_NO_EXEC;
    for (uint64_t page = UDFVM_KERNEL_BASE; page < UDFVM_PROGRAM_BASE; page += PAGE)
        low[page / PAGE] = page | ENTRY_PRESENT | ENTRY_USER | ENTRY_WRITE;
}

/* Takes the guard below the stack out of what is mapped. */
static void unmap_guard(uint8_t *system, uint64_t memory_end)
{
    const uint64_t end = memory_end - udfvm_stack_bytes(memory_end),
                   start = end - UDFVM_STACK_GUARD;
    uint64_t *huge = &table(system, SYSTEM_PD + (start >> 30) * PAGE)[start >> 21 & 511];
    const uint64_t first = *huge & ~ENTRY_HUGE;
    for (uint64_t page = 0; page < HUGE_PAGE; page += PAGE)
        if ((start & -HUGE_PAGE) + page < start || (start & -HUGE_PAGE) + page >= end)
            table(system, SYSTEM_PT_GUARD)[page / PAGE] = first + page;
    *huge = SYSTEM_PT_GUARD | TABLE;
}

/* Physical layout: system area, guest kernel, program memory, output window, scratch, input window.
 */
static void map_memory(const struct machine *machine)
{
    uint8_t *system = machine->system;
    const uint64_t user = ENTRY_PRESENT | ENTRY_USER;
    const uint64_t end = SYSTEM_SIZE + machine->memory_bytes,
                   input = end + UDFVM_LOGGED_OUTPUT + machine->unlogged_bytes;
    map_huge(system, SYSTEM_PD, UDFVM_PROGRAM_BASE, UDFVM_PROGRAM_BASE, end - UDFVM_PROGRAM_BASE,
             user | ENTRY_WRITE);
    unmap_guard(system, end);
    map_huge(system, SYSTEM_PD_OUTPUT, UDFVM_OUTPUT_BASE, end, UDFVM_LOGGED_OUTPUT,
             user | ENTRY_WRITE | ENTRY_NO_EXEC);
    map_huge(system, SYSTEM_PD_INPUT, UDFVM_INPUT_BASE, input, machine->input_bytes,
             user | ENTRY_NO_EXEC);
}

/* Entries that were not present become so, which a processor and KVM's shadow of the tables both
 * see without being told. */
void udfvm_system_area_open(const struct machine *machine)
{
    map_huge(machine->system, SYSTEM_PD_OUTPUT, UDFVM_OUTPUT_BASE + UDFVM_LOGGED_OUTPUT,
             SYSTEM_SIZE + machine->memory_bytes + UDFVM_LOGGED_OUTPUT, machine->unlogged_bytes,
             ENTRY_PRESENT | ENTRY_USER |
                 ENTRY_WRITE); /* a program may compile code into its memory */
}

/* At the same addresses in the guest's physical memory. */
void udfvm_system_area_map_data(const struct machine *machine)
{
    map_huge(machine->system, SYSTEM_PD_DATA, UDFVM_DATA_BASE, UDFVM_DATA_BASE,
             machine->data->bytes, ENTRY_PRESENT | ENTRY_USER | ENTRY_NO_EXEC);
}

void udfvm_system_area_lead(struct machine *machine, uint64_t virtual, uint64_t entry)
{
    table(machine->system, SYSTEM_PDPT)[virtual >> 30 & 511] = entry;
    udfvm_page_tables_keep(machine);
}

static void fill_descriptors(uint8_t *system)
{
    uint64_t *gdt = table(system,
                          SYSTEM_GDT); /* accessed bits set: the processor need not write them */
    gdt[SELECTOR_RING0_CODE / 8] = 0x00af9b000000ffff;
    gdt[SELECTOR_RING0_CODE / 8 + 1] = 0x00cf93000000ffff;
    gdt[SELECTOR_RING3_DATA / 8] = 0x00cff3000000ffff;
    gdt[SELECTOR_RING3_CODE / 8] = 0x00affb000000ffff;

    uint64_t *idt = table(system, SYSTEM_IDT);
    for (uint64_t vector = 0; vector < 32; vector++) {
        uint64_t handler = SYSTEM_GATES + (uint64_t)(udfvm_gate_exceptions - udfvm_gates) +
                           vector * 16;
        uint64_t gate = vector == 3 ? 0xeeull : 0x8eull; /* int3 is for ring 3 too */
        idt[2 * vector] = (handler & 0xffff) | (uint64_t)SELECTOR_RING0_CODE << 16 | gate << 40 |
                          (handler >> 16 & 0xffff) << 48;
        idt[2 * vector + 1] = handler >> 32;
    }

    uint64_t stack = SYSTEM_STACK_TOP;
    memcpy(system + SYSTEM_TSS + 4, &stack, sizeof stack); /* RSP0 */
    uint16_t bitmap = 104;
    memcpy(system + SYSTEM_TSS + 102, &bitmap, sizeof bitmap);
    memset(system + SYSTEM_TSS + bitmap, 0xff, SYSTEM_TSS_END - SYSTEM_TSS - bitmap);
    system[SYSTEM_TSS + bitmap + UDFVM_PORT / 8] &= (uint8_t)~(1u << UDFVM_PORT % 8);
}

void udfvm_system_area_fill_stubs(const struct machine *machine)
{
    uint8_t *system = machine->system, *gates = system + SYSTEM_GATES;
    const uint32_t rflags = (uint32_t)machine->rflags;
    memcpy(gates, udfvm_gates, (size_t)(udfvm_gates_end - udfvm_gates));
    memcpy(gates + (udfvm_gate_flags_call - udfvm_gates) - sizeof rflags, &rflags, sizeof rflags);
    memcpy(gates + (udfvm_gate_flags_fault - udfvm_gates) - sizeof rflags, &rflags, sizeof rflags);
    memcpy(system + SYSTEM_STUBS, udfvm_stubs, (size_t)(udfvm_stubs_end - udfvm_stubs));
}

void udfvm_system_area_fill(const struct machine *machine)
{
    uint8_t *system = machine->system;
    table(system, SYSTEM_PML4)[0] = SYSTEM_PDPT | TABLE;
    table(system, SYSTEM_PDPT)[0] = SYSTEM_PD | TABLE;
    map_first_pages(system);
    map_memory(machine);
    if (machine->data)
        udfvm_system_area_map_data(machine);
    fill_descriptors(system);
    udfvm_system_area_fill_stubs(machine);
}

/* An exception leaves its frame there, which the processor itself pushes; the selector of the stack
 * segment is its first word. */
bool udfvm_system_area_stack_used(const uint8_t *system)
{
    const uint64_t *frame = (const uint64_t *)(system + SYSTEM_STACK_TOP);
    return (frame[-1] | frame[-2] | frame[-3] | frame[-4] | frame[-5]) != 0;
}

void udfvm_system_area_scrub_stack(uint8_t *system)
{
    memset(system + SYSTEM_STACK, 0, SYSTEM_STACK_TOP - SYSTEM_STACK);
}

uint64_t udfvm_system_area_resume_stub(const struct machine *machine)
{
    const uint8_t *stub = machine->behaviour.has_keys ? udfvm_stub_resume_keys : udfvm_stub_resume;
    return SYSTEM_STUBS + (uint64_t)(stub - udfvm_stubs);
}

void udfvm_system_area_state(uint8_t *system, const struct sealed_state *state)
{
    memcpy(system + STATE_RESUME_RIP, &state->resume_rip, sizeof state->resume_rip);
    memcpy(system + STATE_FS_BASE, &state->fs_base, sizeof state->fs_base);
    memcpy(system + STATE_GS_BASE, &state->gs_base, sizeof state->gs_base);
    memcpy(system + SYSTEM_XSAVE, state->xsave, MAX_XSAVE);
}
