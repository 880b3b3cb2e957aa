/* Guest memory that the host writes: see span.h. */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "internal.h"

#define MIN_DROP ((uint64_t)16 << 20)

/* The one place where guest memory becomes writable. */
static uint8_t *writable(const uint8_t *at)
{
    return (uint8_t *)(uintptr_t)at;
}

static uint8_t *payload_of(const struct udfvm_vm *vm)
{
    return writable(vm->machine.input) + PAGE;
}

/* ---- Requests ---- */

static int check_room(const struct udfvm_vm *vm, uint64_t length, struct udfvm_error *error)
{
    const uint64_t room = udfvm_vm_input_capacity(vm);
    if (length <= room)
        return UDFVM_OK;
    return udfvm_fail(error, UDFVM_E_INPUT,
                      "a request of %llu bytes does not fit the input window of %llu bytes",
                      (unsigned long long)length, (unsigned long long)room);
}

uint64_t udfvm_vm_input_capacity(const udfvm_vm *vm)
{
    return vm->machine.input_bytes - PAGE;
}

static void *mark_input(struct udfvm_vm *vm, uint64_t size)
{
    struct spans *spans = &vm->spans;
    spans->input = spans->input > size ? spans->input : size;
    spans->asked = spans->asked > size ? spans->asked : size;
    return payload_of(vm);
}

void *udfvm_vm_input(udfvm_vm *vm, uint64_t size, struct udfvm_error *error)
{
    udfvm_error_clear(error);
    if (udfvm_vm_check(vm, error) != UDFVM_OK)
        return NULL;
    return check_room(vm, size, error) == UDFVM_OK ? mark_input(vm, size) : NULL;
}

/* Zeroes the payload from `from` on. What was asked for and never sent may be without a page: that
 * is dropped rather than filled, as is what is so much that new pages cost less. */
static int zero_input(struct udfvm_vm *vm, uint64_t from, struct udfvm_error *error)
{
    const struct spans *spans = &vm->spans;
    uint8_t *payload = payload_of(vm);
    uint64_t end = spans->input;
    if (end <= from)
        return UDFVM_OK;
    const bool all = end - from >= MIN_DROP || spans->sent < from;
    const uint64_t first = ((all ? from : spans->sent) + PAGE - 1) / PAGE * PAGE;
    if (end > first && end - first >= HUGE_PAGE) {
        if (udfvm_machine_advise(payload + first, (end - first + PAGE - 1) / PAGE * PAGE,
                                 MADV_DONTNEED))
            return udfvm_fail_errno(error, "dropping what was written to the input window");
        end = first;
    }
    if (end > from)
        memset(payload + from, 0, end - from);
    return UDFVM_OK;
}

int udfvm_span_send(struct udfvm_vm *vm, const void *input, uint64_t length,
                    struct udfvm_error *error)
{
    struct spans *spans = &vm->spans;
    int code = check_room(vm, length, error);
    if (code != UDFVM_OK)
        return code;
    if (input && input != payload_of(vm))
        udfvm_copy(mark_input(vm, length), input, length);
    else if (length > spans->asked) /* past that lies what earlier requests left */
        return udfvm_fail(
            error, UDFVM_E_ARGUMENT,
            "a request of %llu bytes where %llu bytes of the input window were asked for",
            (unsigned long long)length, (unsigned long long)spans->asked);
    code = zero_input(vm, length, error);
    if (code != UDFVM_OK)
        return code;
    spans->input = spans->sent = length;
    spans->asked = 0;
    return UDFVM_OK;
}

struct udfvm_call *udfvm_span_call_page(const struct udfvm_vm *vm)
{
    return (struct udfvm_call *)writable(vm->machine.input);
}

/* ---- Replies ---- */

void *udfvm_vm_borrow(udfvm_vm *vm, uint64_t begin, uint64_t length, struct udfvm_error *error)
{
    struct spans *spans = &vm->spans;
    udfvm_error_clear(error);
    if (udfvm_vm_check(vm, error) != UDFVM_OK)
        return NULL;
    if (vm->state != VM_STOPPED || vm->stream || begin > vm->reply_length ||
        length > vm->reply_length - begin) {
        udfvm_fail(error, UDFVM_E_ARGUMENT, "the VM has no such reply to borrow");
        return NULL;
    }
    if (udfvm_machine_inherit_output(&vm->machine, true, error) != UDFVM_OK)
        return NULL;
    vm->reply_shared = true;
    const bool more = spans->borrowed_from < spans->borrowed_to;
    spans->borrowed_from = more && spans->borrowed_from < begin ? spans->borrowed_from : begin;
    spans->borrowed_to = more && spans->borrowed_to > begin + length ? spans->borrowed_to
                                                                     : begin + length;
    return writable(vm->machine.output) + begin;
}

/* The unlogged area is looked through as a whole; pages of the hot set are copied back. */
static void end_borrowing(struct udfvm_vm *vm)
{
    const struct spans *spans = &vm->spans;
    const uint64_t first = vm->machine.memory_bytes / PAGE,
                   to = spans->borrowed_to < UDFVM_LOGGED_OUTPUT ? spans->borrowed_to
                                                                 : UDFVM_LOGGED_OUTPUT;
    for (uint64_t at = spans->borrowed_from / PAGE * PAGE; at < to; at += PAGE) {
        const uint64_t number = first + at / PAGE;
        if (!(vm->hot.bits[number / 64] >> number % 64 & 1))
            udfvm_span_put_back(&vm->machine, number, NULL, 1);
    }
}

void udfvm_span_end_call(struct udfvm_vm *vm)
{
    if (vm->spans.borrowed_from < vm->spans.borrowed_to)
        end_borrowing(vm);
    vm->spans.borrowed_from = vm->spans.borrowed_to = vm->spans.asked = 0;
}

/* ---- Guest addresses ---- */

int udfvm_span_at(struct udfvm_vm *vm, uint64_t address, uint64_t length, void **at)
{
    const uint8_t *found = udfvm_machine_address(&vm->machine, address, length);
    if (!found)
        return -EFAULT;
    if (udfvm_hot_set_add(vm, (uint64_t)(found - vm->machine.memory), length) != UDFVM_OK)
        return -ENOMEM;
    *at = writable(found);
    return 0;
}

/* ---- Putting back ---- */

void udfvm_span_put_back(const struct machine *machine, uint64_t number, const uint8_t *pristine,
                         uint64_t pages)
{
    uint8_t *to = writable(machine->memory) + number * PAGE;
    if (pristine)
        memcpy(to, pristine, pages * PAGE);
    else
        memset(to, 0, pages * PAGE);
}

void udfvm_span_zero_page(const uint8_t *page)
{
    memset(writable(page), 0, PAGE);
}

int udfvm_span_drop_input(struct udfvm_vm *vm, struct udfvm_error *error)
{
    if (udfvm_machine_advise(payload_of(vm), udfvm_vm_input_capacity(vm), MADV_DONTNEED))
        return udfvm_fail_errno(error, "giving back the input window");
    vm->spans.input = vm->spans.sent = vm->spans.asked = 0;
    return UDFVM_OK;
}
