/* What differs between processors, KVMs and emulators and no feature bit tells: the first VM of a
 * process tries it, before it runs any guest's code. */
#include <stdatomic.h>
#include <string.h>

#include "udfvm_abi.h"

#include "base/error.h"
#include "base/pages.h"
#include "machine/machine.h"

enum { UNKNOWN = 0, KNOWN = 1, SYSCALL_STAYS = 2, BITMAP_IGNORED = 4, HAS_KEYS = 8 };

/* Each of the three ways into the guest's kernel makes a hypercall, so the instruction pointer at
 * the exit tells which was taken. */
static const uint8_t vectors[4][16] = {
    { 0xe6, UDFVM_PORT, 0x0f, 0x05 }, /* out; syscall */
    { 0xe6, UDFVM_PORT },
    { 0xe6, UDFVM_PORT },
    { 0x0f, 0x01, 0xee, 0xe6, UDFVM_PORT }, /* rdpkru; out */
};
#define TRY_KEYS (UDFVM_VECTOR_BOOT + 3 * 16)

/* Runs to the next hypercall; the vector (a multiple of 16) whose code makes it, or 0. */
static uint64_t run_to_hypercall(const struct machine *machine, struct udfvm_error *error)
{
    enum hypervisor_exit last;
    do {
        last = udfvm_hypervisor_run(machine->hypervisor);
    } while (last == EXIT_INTERRUPTED);
    if (last == EXIT_HYPERCALL)
        return machine->registers->rip & ~15ull;
    udfvm_hypervisor_fail_exit(machine->hypervisor, last, error);
    return 0;
}

static void enter_at(const struct machine *machine, uint64_t address, uint64_t rflags)
{
    *machine->registers = (struct registers){ .rip = address,
                                              .rsp = UDFVM_BOOT_STACK,
                                              .rflags = rflags };
    udfvm_hypervisor_load_registers(machine->hypervisor);
}

static int try_out(const struct machine *machine, int *found, struct udfvm_error *error)
{
    enter_at(machine, UDFVM_VECTOR_BOOT, GUEST_RFLAGS);
    const uint64_t port = run_to_hypercall(machine, error);
    if (!port)
        return UDFVM_E_PROTOCOL;
    enter_at(machine, UDFVM_VECTOR_BOOT + 2, machine->rflags);
    const uint64_t call = run_to_hypercall(machine, error);
    if (!call)
        return UDFVM_E_PROTOCOL;
    enter_at(machine, TRY_KEYS, machine->rflags);
    const uint64_t keys = run_to_hypercall(machine, error);
    if (!keys)
        return UDFVM_E_PROTOCOL;
    *found = KNOWN | (port == UDFVM_VECTOR_BOOT ? 0 : BITMAP_IGNORED) |
             (call == UDFVM_VECTOR_SYSCALL ? 0 : SYSCALL_STAYS) | (keys == TRY_KEYS ? HAS_KEYS : 0);
    return UDFVM_OK;
}

/* What a process found; two threads that begin at once find the same. */
static atomic_int known;

static struct behaviour behaviour_of(int found)
{
    return (struct behaviour){ .known = true,
                               .syscall_stays = found & SYSCALL_STAYS,
                               .bitmap_ignored = found & BITMAP_IGNORED,
                               .has_keys = found & HAS_KEYS };
}

void udfvm_behaviour(struct behaviour *behaviour)
{
    const int found = atomic_load(&known);
    *behaviour = found == UNKNOWN ? (struct behaviour){ .bitmap_ignored = true }
                                  : behaviour_of(found);
}

_Static_assert(UDFVM_VECTOR_BOOT == UDFVM_KERNEL_BASE &&
                   UDFVM_TRAP_BASE == UDFVM_KERNEL_BASE + (TRIED_PAGES - 1) * PAGE,
               "what is tried, and what the gates write, is in the first pages of memory");

int udfvm_behaviour_try(const struct machine *machine, struct behaviour *behaviour,
                        struct udfvm_error *error)
{
    uint8_t memory[TRIED_PAGES * PAGE];
    int found = UNKNOWN;
    memcpy(memory, machine->memory, sizeof memory);
    udfvm_machine_load(machine, vectors, sizeof vectors);
    UDFVM_TRY(try_out(machine, &found, error));
    udfvm_machine_load(machine, memory, sizeof memory);
    atomic_store(&known, found);
    *behaviour = behaviour_of(found);
    return UDFVM_OK;
}
