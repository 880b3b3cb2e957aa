#include "call/tick.h"

#include "base/clock.h"

#define RFLAGS_TRAP 0x100ull

/* When the guest wants to be interrupted, as it may write at any time; 0: never. */
static uint64_t due_ns(const struct udfvm_timer *timer)
{
    return __atomic_load_n(&timer->due_ns, __ATOMIC_RELAXED);
}

void udfvm_ticker_start(struct ticker *ticker, const struct udfvm_timer *timer, uint64_t now)
{
    *ticker = (struct ticker){ timer, timer ? now + TICK_NS : UDFVM_NEVER, TICK_NS };
}

bool udfvm_ticker_look(struct ticker *ticker, uint64_t now)
{
    const uint64_t due = due_ns(ticker->timer);
    const bool is_due = due && due <= now;
    uint64_t wait = ticker->interval_ns;
    ticker->interval_ns = wait < MAX_TICK_NS ? wait * 2 : wait;
    if (is_due) {
        ticker->interval_ns = TICK_NS;
        wait = TICK_RETRY_NS;
    } else if (due && due - now < wait) {
        wait = due - now > TICK_RETRY_NS ? due - now : TICK_RETRY_NS;
    }
    ticker->next_ns = now + wait;
    return is_due;
}

const struct udfvm_timer *udfvm_machine_timer(const struct machine *machine)
{
    return udfvm_machine_address(machine, UDFVM_TIMER, sizeof(struct udfvm_timer));
}

/* The exception of an `int3` may be on its way, with the program at the instruction or behind it.
 * The hypervisor does not tell of those events, and forgets them where registers are set. */
static bool is_at_breakpoint(const struct machine *machine, uint64_t rip)
{
    uint8_t code[4] = { 0 };                   /* two bytes before RIP, two from there */
    for (unsigned i = 0; i < sizeof code; i++) /* those that are mapped */
        udfvm_machine_read(machine, rip - 2 + i, &code[i], 1);
    return code[1] == 0xcc || (code[0] == 0xcd && code[1] == 3) || code[2] == 0xcc ||
           (code[2] == 0xcd && code[3] == 3);
}

/* Below the program lie the stubs, which have half a state each, and the guest kernel, which gives
 * way by itself. With the trap flag, or an event that is not delivered yet, what comes next must
 * find the program where it is. */
static bool can_interrupt(const struct machine *machine)
{
    const struct registers *registers = machine->registers;
    return registers->rip >= UDFVM_PROGRAM_BASE && !(registers->rflags & RFLAGS_TRAP) &&
           !udfvm_hypervisor_events_left(machine->hypervisor) &&
           !is_at_breakpoint(machine, registers->rip);
}

void udfvm_tick(const struct machine *machine, const struct guest_memory *memory)
{
    struct registers *registers = machine->registers;
    const uint64_t due = due_ns(udfvm_machine_timer(machine));
    if (!due || due > udfvm_monotonic_ns() || !can_interrupt(machine))
        return;
    struct udfvm_call *call = udfvm_span_call_page(memory);
    call->interrupted_rip = registers->rip;
    call->interrupted_rflags = registers->rflags;
    registers->rip = UDFVM_VECTOR_INTERRUPT;
    registers->rflags = machine->rflags;
    udfvm_hypervisor_load_registers(machine->hypervisor);
}
