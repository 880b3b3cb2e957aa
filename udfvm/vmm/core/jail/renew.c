/* A jailed VM whose process ended, or broke the rules, before the call that comes next began. The
 * process puts the VM back while the next request is written, so that call may be the first to find
 * out. What went wrong is not its own: another process takes the place of the old one. It has
 * windows of its own, as the old one may write to the others until it is gone. They are mapped
 * where those were: the caller knows addresses in them. */
#include <string.h>
#include <sys/mman.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/pages.h"
#include "jail/cell.h"
#include "jail/jail.h"
#include "jail/open.h"

/* Maps what lies at `from` at `to`, in place of what is there. */
static int move(const uint8_t **from, const uint8_t *to, uint64_t bytes, struct udfvm_error *error)
{
    const uint64_t whole = (bytes + PAGE - 1) / PAGE * PAGE;
    if (mremap((void *)(uintptr_t)*from, whole, whole, MREMAP_MAYMOVE | MREMAP_FIXED,
               (void *)(uintptr_t)to) == MAP_FAILED)
        return udfvm_fail_errno(error, "mapping a window");
    *from = NULL;
    return UDFVM_OK;
}

/* With the request. All else is zero there. */
static int move_windows(struct cell *cell, struct cell *other, struct udfvm_error *error)
{
    const struct machine *machine = &cell->vm.machine;
    struct machine *from = &other->vm.machine;
    UDFVM_TRY(udfvm_span_send(&other->vm.memory, machine->input + PAGE, cell->vm.memory.spans.sent,
                              error));
    UDFVM_TRY(move(&from->input, machine->input, machine->input_bytes, error));
    return move(&from->output, machine->output, udfvm_cell_output_bytes(&cell->vm.config), error);
}

/* All but the VM is of the process, and the buffer. Others may look at the VM meanwhile. */
static void swap_processes(struct cell *cell, struct cell *other)
{
    enum { BEGIN = sizeof cell->vm, BYTES = sizeof *cell - BEGIN };
    uint8_t old[BYTES], new[BYTES];
    uint8_t *const buffer = cell->buffer;
    const uint64_t capacity = cell->capacity;
    memcpy(old, (uint8_t *)cell + BEGIN, BYTES);
    memcpy(new, (uint8_t *)other + BEGIN, BYTES);
    memcpy((uint8_t *)cell + BEGIN, new, BYTES);
    memcpy((uint8_t *)other + BEGIN, old, BYTES);
    cell->buffer = buffer;
    cell->capacity = capacity;
    other->buffer = NULL;
}

int udfvm_cell_renew(struct cell *cell, struct udfvm_error *error)
{
    struct udfvm_vm *vm = &cell->vm;
    const uint64_t begin = udfvm_monotonic_ns();
    const struct udfvm_windows windows = { vm->config.input_window, vm->config.output_window,
                                           vm->config.scratch };
    udfvm_vm *opened = udfvm_jail_open(vm->memory.image, &windows, vm->files, vm->machine.data,
                                       cell->cgroup, error);
    if (!opened)
        return error->code;
    struct cell *other = cell_of(opened);
    const int code = move_windows(cell, other, error);
    if (code == UDFVM_OK) {
        swap_processes(cell, other);
        vm->machine.unlogged_open = vm->memory.large = false;
        udfvm_costs_forget_restore(vm);
        vm->renewed_ns = udfvm_monotonic_ns() - begin;
    }
    udfvm_cell_close(opened);
    return code;
}
