/* Guest memory that the host writes: see span.h. */
#include <errno.h>
#include <string.h>

#include "udfvm_abi.h"

#include "base/error.h"
#include "base/pages.h"
#include "memory/memory.h"

#define MIN_DROP ((uint64_t)16 << 20)

/* The one place where guest memory becomes writable. */
static uint8_t *writable(const uint8_t *memory)
{
    return (uint8_t *)(uintptr_t)memory;
}

static uint8_t *payload_of(const struct guest_memory *memory)
{
    return writable(memory->machine->input) + PAGE;
}

/* ---- Requests ---- */

uint64_t udfvm_span_input_capacity(const struct guest_memory *memory)
{
    return memory->machine->input_bytes - PAGE;
}

static int check_length(const struct guest_memory *memory, uint64_t length,
                        struct udfvm_error *error)
{
    const uint64_t capacity = udfvm_span_input_capacity(memory);
    if (length <= capacity)
        return UDFVM_OK;
    return udfvm_fail(error, UDFVM_E_INPUT,
                      "a request of %s does not fit into the input window of %s",
                      udfvm_format_size(length).text, udfvm_format_size(capacity).text);
}

static void *mark_input(struct guest_memory *memory, uint64_t size)
{
    struct spans *spans = &memory->spans;
    spans->input = spans->input > size ? spans->input : size;
    spans->asked = spans->asked > size ? spans->asked : size;
    return payload_of(memory);
}

void *udfvm_span_input(struct guest_memory *memory, uint64_t size, struct udfvm_error *error)
{
    return check_length(memory, size, error) == UDFVM_OK ? mark_input(memory, size) : NULL;
}

void udfvm_span_written(struct guest_memory *memory, uint64_t length)
{
    memory->spans.input = memory->spans.sent = memory->spans.asked = length;
}

/* Zeroes the payload from `from` on. What was asked for and never sent may be without a page: that
 * is dropped rather than filled, as is what is so much that new pages cost less. */
static int zero_input(struct guest_memory *memory, uint64_t from, struct udfvm_error *error)
{
    const struct spans *spans = &memory->spans;
    uint8_t *payload = payload_of(memory);
    uint64_t end = spans->input;
    if (end <= from)
        return UDFVM_OK;
    const bool all = end - from >= MIN_DROP || spans->sent < from;
    const uint64_t first = ((all ? from : spans->sent) + PAGE - 1) / PAGE * PAGE;
    if (end > first && end - first >= HUGE_PAGE) {
        if (udfvm_machine_drop(memory->machine, payload + first,
                               (end - first + PAGE - 1) / PAGE * PAGE))
            return udfvm_fail_errno(error, "dropping what was written to the input window");
        end = first;
    }
    if (end > from)
        memset(payload + from, 0, end - from);
    return UDFVM_OK;
}

int udfvm_span_send(struct guest_memory *memory, const void *input, uint64_t length,
                    struct udfvm_error *error)
{
    struct spans *spans = &memory->spans;
    UDFVM_TRY(check_length(memory, length, error));
    if (input && input != payload_of(memory))
        udfvm_copy(mark_input(memory, length), input, length);
    else if (length > spans->asked) /* behind that lies what earlier requests left */
        return udfvm_fail(error, UDFVM_E_ARGUMENT,
                          "a request of %s where %s of the input window were asked for",
                          udfvm_format_size(length).text, udfvm_format_size(spans->asked).text);
    UDFVM_TRY(zero_input(memory, length, error));
    spans->input = spans->sent = length;
    spans->asked = 0;
    return UDFVM_OK;
}

struct udfvm_call *udfvm_span_call_page(const struct guest_memory *memory)
{
    return (struct udfvm_call *)writable(memory->machine->input);
}

void udfvm_span_touch_call_page(const struct guest_memory *memory)
{
    *(volatile uint8_t *)writable(memory->machine->input) = 0;
}

/* ---- Replies ---- */

uint8_t *udfvm_span_output(const struct guest_memory *memory, uint64_t begin)
{
    return writable(memory->machine->output) + begin;
}

void *udfvm_span_borrow(struct guest_memory *memory, uint64_t begin, uint64_t length,
                        struct udfvm_error *error)
{
    struct spans *spans = &memory->spans;
    if (udfvm_machine_inherit_output(memory->machine, true, error) != UDFVM_OK)
        return NULL;
    spans->inherited = true;
    const bool more = spans->borrowed_from < spans->borrowed_to;
    spans->borrowed_from = more && spans->borrowed_from < begin ? spans->borrowed_from : begin;
    spans->borrowed_to = more && spans->borrowed_to > begin + length ? spans->borrowed_to
                                                                     : begin + length;
    return udfvm_span_output(memory, begin);
}

int udfvm_span_end_inheritance(struct guest_memory *memory, struct udfvm_error *error)
{
    if (!memory->spans.inherited)
        return UDFVM_OK;
    memory->spans.inherited = false;
    return udfvm_machine_inherit_output(memory->machine, false, error);
}

/* Unlogged memory is looked through as a whole; pages of the hot set are copied back. */
static void end_borrowing(struct guest_memory *memory)
{
    const struct spans *spans = &memory->spans;
    const uint64_t first = memory->machine->memory_bytes / PAGE,
                   to = spans->borrowed_to < UDFVM_LOGGED_OUTPUT ? spans->borrowed_to
                                                                 : UDFVM_LOGGED_OUTPUT;
    for (uint64_t page = spans->borrowed_from / PAGE; page * PAGE < to; page++) {
        const uint64_t number = first + page;
        if (!udfvm_hot_set_has(&memory->hot, number))
            udfvm_span_put_back(memory->machine, number, NULL, 1);
    }
}

void udfvm_span_end_call(struct guest_memory *memory)
{
    if (memory->spans.borrowed_from < memory->spans.borrowed_to)
        end_borrowing(memory);
    memory->spans.borrowed_from = memory->spans.borrowed_to = memory->spans.asked = 0;
}

/* ---- Guest addresses ---- */

int udfvm_span_piece(struct guest_memory *memory, uint64_t address, uint64_t *length, void **to)
{
    const uint8_t *found = udfvm_machine_piece(memory->machine, address, length);
    if (!found)
        return -EFAULT;
    if (udfvm_hot_set_add(memory, (uint64_t)(found - memory->machine->memory), *length) != UDFVM_OK)
        return -ENOMEM;
    *to = writable(found);
    return 0;
}

int udfvm_span_at(struct guest_memory *memory, uint64_t address, uint64_t length, void **to)
{
    return udfvm_machine_address(memory->machine, address, length)
               ? udfvm_span_piece(memory, address, &length, to)
               : -EFAULT;
}

int udfvm_span_write(struct guest_memory *memory, uint64_t address, const void *from,
                     uint64_t length)
{
    for (uint64_t done = 0, piece; done < length; done += piece) {
        void *to;
        piece = length - done;
        const int code = udfvm_span_piece(memory, address + done, &piece, &to);
        if (code != 0 || piece == 0)
            return code != 0 ? code : -EFAULT;
        memcpy(to, (const uint8_t *)from + done, piece);
    }
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

int udfvm_span_drop_input(struct guest_memory *memory, struct udfvm_error *error)
{
    if (udfvm_machine_drop(memory->machine, payload_of(memory), udfvm_span_input_capacity(memory)))
        return udfvm_fail_errno(error, "giving back the input window");
    memory->spans.input = memory->spans.sent = memory->spans.asked = 0;
    return UDFVM_OK;
}
