/* The guest of fuzzers: see guest.h. */
#include "guest.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/pages.h"
#include "udfvm_abi.h"

#define LOGGED    1u /* the number of the slot, as in machine.h */
#define INPUT     2u
#define UNLOGGED  3u
#define MAX_STEPS 64u
#define MAX_PAGES 4096u /* of unlogged memory */
#define WRITTEN   17u   /* pages from an address on that a hypercall may have the host write to */

struct hypervisor {
    struct registers registers;
    struct memory_slot slots[MAX_MEMORY_SLOTS];
    uint64_t *dirty, *touched; /* bitmaps of the logged slot: see udfvm_hypervisor_dirty_pages; of
                                  what was written since the last check */
    uint64_t words;
    uint64_t unlogged[MAX_PAGES / 64]; /* a bitmap of it, as "touched" is of the logged slot */
    unsigned mapped;                   /* of the reserve, before a seal */
    uint64_t answered;                 /* the last request of a streaming call */
    bool unlogged_open;
    atomic_bool stopped;
};

struct guest guest;

/* ---- What the guest writes ---- */

static const struct memory_slot *slot_of(const struct hypervisor *hypervisor, uint32_t number)
{
    for (size_t i = 0; i < MAX_MEMORY_SLOTS; i++)
        if (hypervisor->slots[i].bytes && hypervisor->slots[i].number == number)
            return &hypervisor->slots[i];
    return NULL;
}

static uint8_t *place_of(const struct memory_slot *slot, uint64_t offset)
{
    return (uint8_t *)(uintptr_t)(slot->host + offset);
}

static void mark(uint64_t *bitmap, uint64_t bytes, uint64_t offset, uint64_t length)
{
    for (uint64_t page = offset / PAGE; page * PAGE < offset + length && page * PAGE < bytes;
         page++)
        bitmap[page / 64] |= 1ull << page % 64;
}

static bool inside(uint64_t address, uint64_t length, uint64_t start, uint64_t bytes)
{
    return address >= start && address - start <= bytes && length <= bytes - (address - start);
}

/* Where ring 3 can write. */
struct place {
    const struct memory_slot *slot; /* NULL: nowhere */
    uint64_t offset;
};

static struct place find_place(const struct hypervisor *hypervisor, uint64_t address,
                               uint64_t length)
{
    const struct memory_slot *logged = slot_of(hypervisor, LOGGED),
                             *unlogged = slot_of(hypervisor, UNLOGGED);
    const uint64_t memory = logged->bytes - UDFVM_LOGGED_OUTPUT,
                   past = UDFVM_OUTPUT_BASE + UDFVM_LOGGED_OUTPUT;
    if (inside(address, length, SYSTEM_SIZE, memory))
        return (struct place){ logged, address - SYSTEM_SIZE };
    if (inside(address, length, UDFVM_OUTPUT_BASE, UDFVM_LOGGED_OUTPUT))
        return (struct place){ logged, memory + (address - UDFVM_OUTPUT_BASE) };
    if (unlogged && hypervisor->unlogged_open && inside(address, length, past, unlogged->bytes))
        return (struct place){ unlogged, address - past };
    return (struct place){ NULL, 0 };
}

static void mark_touched(struct hypervisor *hypervisor, struct place place, uint64_t length)
{
    if (place.slot)
        mark(place.slot->number == LOGGED ? hypervisor->touched : hypervisor->unlogged,
             place.slot->bytes, place.offset, length);
}

static void guest_write(struct hypervisor *hypervisor, uint64_t address, const void *data,
                        uint64_t length)
{
    const struct place place = find_place(hypervisor, address, length);
    if (length == 0 || !place.slot)
        return;
    memcpy(place_of(place.slot, place.offset), data, length);
    mark_touched(hypervisor, place, length);
    if (place.slot->number == LOGGED)
        mark(hypervisor->dirty, place.slot->bytes, place.offset, length);
}

/* What the host writes for a hypercall is not in the log of what the guest wrote. */
static void mark_written_by_host(struct hypervisor *hypervisor, uint64_t address)
{
    mark_touched(hypervisor, find_place(hypervisor, address, 1), WRITTEN * PAGE);
}

static void check_unlogged(const udfvm_vm *vm, struct hypervisor *hypervisor)
{
    if (udfvm_unlogged_settle((struct guest_memory *)(uintptr_t)&vm->memory, NULL) != UDFVM_OK)
        defect("unlogged memory is not zeroed");
    for (uint64_t page = 0; page < MAX_PAGES; page++)
        if (!hypervisor->unlogged[page / 64])
            page |= 63;
        else if (hypervisor->unlogged[page / 64] >> page % 64 & 1 &&
                 !udfvm_page_is_zero(vm->machine.unlogged + page * PAGE))
            defect("unlogged memory that a call wrote was not zeroed");
    memset(hypervisor->unlogged, 0, sizeof hypervisor->unlogged);
}

void guest_check_restored(const udfvm_vm *vm)
{
    struct hypervisor *hypervisor = vm->machine.hypervisor;
    const uint64_t pages = vm->machine.memory_bytes / PAGE;
    for (uint64_t word = 0; word < hypervisor->words; word++)
        for (unsigned bit = 0; hypervisor->touched[word] && bit < 64; bit++) {
            const uint64_t page = word * 64 + bit;
            if (!(hypervisor->touched[word] >> bit & 1))
                continue;
            const uint8_t *now = vm->machine.memory + page * PAGE;
            const uint8_t *sealed = page < pages
                                        ? udfvm_image_page(vm->memory.image, (uint32_t)page)
                                        : NULL;
            if (sealed ? memcmp(now, sealed, PAGE) != 0 : !udfvm_page_is_zero(now))
                defect("a page that a call wrote was not restored");
        }
    memset(hypervisor->touched, 0, hypervisor->words * sizeof *hypervisor->touched);
    check_unlogged(vm, hypervisor);
    if (!udfvm_reserve_is_expected(&vm->machine))
        defect("what a call mapped of the reserve is still mapped");
    if (vm->handles_open)
        defect("a file that a call opened is still open");
}

/* ---- How the guest ends an entry ---- */

static enum hypervisor_exit complete(struct hypervisor *hypervisor, uint64_t status,
                                     uint64_t length)
{
    hypervisor->registers.rax = UDFVM_HYPERCALL_COMPLETE;
    hypervisor->registers.rdi = status;
    hypervisor->registers.rsi = length;
    return EXIT_HYPERCALL;
}

/* What an image maps of the reserve, before it is sealed. */
static bool map_once(struct hypervisor *hypervisor)
{
    static const uint64_t maps[][4] = {
        { UDFVM_RESERVE_BASE, GUEST_PLACE + PAGE, 2, UDFVM_MAP_WRITE },
        { UDFVM_RESERVE_BASE + (1ull << 30) - PAGE, GUEST_PLACE + PAGE, 3, UDFVM_MAP_READ },
    };
    if (hypervisor->mapped == sizeof maps / sizeof *maps)
        return false;
    const uint64_t *map = maps[hypervisor->mapped++];
    hypervisor->registers.rax = UDFVM_HYPERCALL_MAP;
    hypervisor->registers.rdi = map[0];
    hypervisor->registers.rsi = map[1];
    hypervisor->registers.rdx = map[2];
    hypervisor->registers.r10 = map[3];
    return true;
}

static enum hypervisor_exit seal(struct hypervisor *hypervisor)
{
    if (guest.maps && map_once(hypervisor))
        return EXIT_HYPERCALL;
    const struct udfvm_seal_info info = { .resume_rip = GUEST_PLACE,
                                          .xsave_area = GUEST_PLACE + 8192,
                                          .xsave_length = 576 };
    guest_write(hypervisor, GUEST_PLACE, &info, sizeof info);
    hypervisor->registers.rax = UDFVM_HYPERCALL_SEAL;
    hypervisor->registers.rdi = GUEST_PLACE;
    return EXIT_HYPERCALL;
}

static enum hypervisor_exit make_hypercall(struct hypervisor *hypervisor, struct input *input)
{
    struct registers *registers = &hypervisor->registers;
    uint64_t *const arguments[] = { &registers->rdi, &registers->rsi, &registers->rdx,
                                    &registers->r10, &registers->r8,  &registers->r9 };
    const uint8_t number = input_byte(input);
    registers->rax = number < 240 ? number % (UDFVM_HYPERCALL_FILE_READLINK + 3u)
                                  : input_number(input);
    for (size_t i = 0; i < sizeof arguments / sizeof *arguments; i++)
        *arguments[i] = input_number(input);
    for (size_t i = 0; i < sizeof arguments / sizeof *arguments; i++)
        mark_written_by_host(hypervisor, *arguments[i]);
    hypervisor->unlogged_open |= registers->rax == UDFVM_HYPERCALL_OPEN_UNLOGGED;
    return EXIT_HYPERCALL;
}

static enum hypervisor_exit obey(struct hypervisor *hypervisor, struct input *input)
{
    enum { PUT, WRITE, SET, HYPERCALL, STOP, OPERATIONS };
    static const enum hypervisor_exit ends[] = { EXIT_UNEXPECTED, EXIT_INTERRUPTED, EXIT_FAILED };
    for (unsigned step = 0; step < MAX_STEPS && input->left; step++) {
        size_t length;
        uint64_t address = GUEST_PLACE;
        switch (input_byte(input) % OPERATIONS) {
        case WRITE:
            address = input_number(input);
            __attribute__((fallthrough));
        case PUT:
            length = input_byte(input);
            const uint8_t *bytes = input_bytes(input, &length);
            guest_write(hypervisor, address, bytes, length);
            break;
        case SET:
            (&hypervisor->registers.rax)[input_byte(input) % 18] = input_number(input);
            break;
        case HYPERCALL:
            return make_hypercall(hypervisor, input);
        default:
            return ends[input_byte(input) % 3];
        }
    }
    return complete(hypervisor, UDFVM_STATUS_OK, 8);
}

/* ---- Streaming calls ---- */

/* The header of a reply, and whether there is one at all. */
static bool put_reply(struct hypervisor *hypervisor, struct input *input, uint64_t number)
{
    enum { NONE = 1, WRONG_NUMBER = 2, BIG_LENGTH = 4, ODD_STATUS = 8, LONG = 16 };
    const uint8_t how = input_byte(input);
    size_t length = input_byte(input);
    const uint8_t *bytes = input_bytes(input, &length);
    struct udfvm_stream_reply reply = { .number = number, .length = length };
    if (how & WRONG_NUMBER)
        reply.number = number + input_number(input);
    if (how & BIG_LENGTH)
        reply.length = input_number(input);
    if (how & ODD_STATUS)
        reply.status = (uint32_t)input_number(input);
    if (length && length <= sizeof reply.short_reply)
        memcpy(reply.short_reply, bytes, length);
    guest_write(hypervisor, UDFVM_OUTPUT_BASE, bytes, length);
    if (how & NONE)
        return false;
    guest_write(hypervisor, UDFVM_STREAM_REPLY + 8, &reply.length, sizeof reply - 8);
    __atomic_thread_fence(__ATOMIC_RELEASE);
    guest_write(hypervisor, UDFVM_STREAM_REPLY, &reply.number, 8);
    return true;
}

/* Writes length and status again while the host may read them. */
static void change_reply(struct hypervisor *hypervisor, uint64_t turn)
{
    const uint64_t length = turn % 2 ? UINT64_MAX : 4;
    const uint32_t status = turn % 2 ? UINT32_MAX : 0;
    guest_write(hypervisor, UDFVM_STREAM_REPLY + 8, &length, sizeof length);
    guest_write(hypervisor, UDFVM_STREAM_REPLY + 16, &status, sizeof status);
}

static enum hypervisor_exit answer_requests(struct hypervisor *hypervisor, struct input *input)
{
    enum { REPLIES, CHANGES, EXITS, WAYS };
    const struct udfvm_call *call = (const void *)slot_of(hypervisor, INPUT)->host;
    bool changes = false;
    for (uint64_t turn = 0; !atomic_load(&hypervisor->stopped); turn++) {
        const uint64_t number = __atomic_load_n(&call->stream_request, __ATOMIC_ACQUIRE);
        if (number == hypervisor->answered) {
            if (changes)
                change_reply(hypervisor, turn);
            else
                sched_yield();
            continue;
        }
        const uint8_t way = input_byte(input) % WAYS;
        if (way == EXITS) {
            hypervisor->answered += input_byte(input) & 1; /* 0: once more when it is entered */
            return obey(hypervisor, input);
        }
        hypervisor->answered = number;
        changes = put_reply(hypervisor, input, number) && way == CHANGES;
    }
    return EXIT_INTERRUPTED;
}

/* ---- The hypervisor ---- */

enum hypervisor_exit udfvm_hypervisor_run(struct hypervisor *hypervisor)
{
    const struct memory_slot *input = slot_of(hypervisor, INPUT);
    const struct udfvm_call *call = (const void *)input->host;
    if (atomic_load(&hypervisor->stopped))
        return EXIT_INTERRUPTED;
    if (call->abi_version == 0) /* the VM of probe.c */
        return EXIT_HYPERCALL;
    if (call->stream_reply)
        return answer_requests(hypervisor, &guest.input);
    hypervisor->answered = 0;
    if (guest.kind != GUEST_OBEYS &&
        (call->request == UDFVM_REQUEST_BOOT || call->request == UDFVM_REQUEST_LOAD))
        return seal(hypervisor);
    if (guest.kind == GUEST_OBEYS)
        return obey(hypervisor, &guest.input);
    if (guest.kind == GUEST_STREAMS)
        return complete(hypervisor, UDFVM_STATUS_OK, 0);
    if (guest.replies == 0)
        return complete(hypervisor, UDFVM_STATUS_OK, 0);
    guest.replies--;
    guest_write(hypervisor, UDFVM_OUTPUT_BASE, guest.input.at, guest.input.left);
    return complete(hypervisor, guest.status, guest.input.left);
}

int udfvm_hypervisor_create(struct hypervisor **created, const struct memory_slot *slots,
                            size_t count, const struct processor_setup *setup,
                            struct udfvm_error *error)
{
    (void)setup, (void)error;
    struct hypervisor *hypervisor = calloc(1, sizeof *hypervisor);
    memcpy(hypervisor->slots, slots, count * sizeof *slots);
    hypervisor->words = slot_of(hypervisor, LOGGED)->bytes / PAGE / 64 + 1;
    hypervisor->dirty = calloc(hypervisor->words, sizeof *hypervisor->dirty);
    hypervisor->touched = calloc(hypervisor->words, sizeof *hypervisor->touched);
    *created = hypervisor;
    return UDFVM_OK;
}

int udfvm_hypervisor_renew(struct hypervisor *hypervisor, struct udfvm_error *error)
{
    (void)error;
    memset(hypervisor->dirty, 0, hypervisor->words * sizeof *hypervisor->dirty);
    return UDFVM_OK;
}

void udfvm_hypervisor_destroy(struct hypervisor *hypervisor)
{
    if (!hypervisor)
        return;
    free(hypervisor->dirty);
    free(hypervisor->touched);
    free(hypervisor);
}

int udfvm_hypervisor_add_slot(struct hypervisor *hypervisor, const struct memory_slot *slot,
                              struct udfvm_error *error)
{
    (void)error;
    for (size_t i = 0; i < MAX_MEMORY_SLOTS; i++)
        if (hypervisor->slots[i].bytes == 0) {
            hypervisor->slots[i] = *slot;
            return UDFVM_OK;
        }
    defect("more slots than there can be");
}

struct registers *udfvm_hypervisor_registers(const struct hypervisor *hypervisor)
{
    return (struct registers *)(uintptr_t)&hypervisor->registers;
}

void udfvm_hypervisor_stop(struct hypervisor *hypervisor)
{
    atomic_store(&hypervisor->stopped, true);
}

void udfvm_hypervisor_allow(struct hypervisor *hypervisor)
{
    atomic_store(&hypervisor->stopped, false);
}

int udfvm_hypervisor_dirty_pages(const struct hypervisor *hypervisor, uint32_t slot,
                                 uint64_t *bitmap, struct udfvm_error *error)
{
    (void)error;
    const uint64_t bytes = (slot_of(hypervisor, slot)->bytes / PAGE + 63) / 64 * 8;
    memcpy(bitmap, hypervisor->dirty, bytes);
    return UDFVM_OK;
}

int udfvm_hypervisor_clear_dirty(const struct hypervisor *hypervisor, uint32_t slot, uint64_t pages,
                                 uint64_t *bitmap, struct udfvm_error *error)
{
    (void)slot, (void)error;
    for (uint64_t page = 0; page < pages; page++)
        if (bitmap[page / 64] >> page % 64 & 1)
            hypervisor->dirty[page / 64] &= ~(1ull << page % 64);
    return UDFVM_OK;
}
