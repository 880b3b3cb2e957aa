/* A machine: guest memory as it is mapped, the system area, and a hypervisor's VM on both. */
#include "machine/machine.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "udfvm_abi.h"

#include "base/error.h"
#include "base/pages.h"
#include "machine/data.h"

#define RFLAGS_TF_DF_AC_IF 0x40700ull

/* 1: SLOT_LOGGED; 6: SLOT_DATA */
enum { SLOT_FIXED = 0, SLOT_INPUT = 2, SLOT_UNLOGGED = 3, SLOT_TABLES = 4, SLOT_RESERVE = 5 };

static int map_anonymous(const uint8_t **mapped, uint64_t bytes, struct udfvm_error *error)
{
    void *mapping = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mapping == MAP_FAILED)
        return udfvm_fail_errno(error, "mapping %s of guest memory", udfvm_format_size(bytes).text);
    *mapped = mapping;
    return UDFVM_OK;
}

void udfvm_machine_unmap(const uint8_t *mapping, uint64_t bytes)
{
    munmap((void *)(uintptr_t)mapping, bytes);
}

/* Aligned as guest physical memory from `physical` on is to 2 MiB, so that KVM can use huge pages.
 */
static int map_aligned(const uint8_t **mapped, uint64_t bytes, uint64_t physical,
                       struct udfvm_error *error)
{
    const uint8_t *mapping = NULL;
    UDFVM_TRY(map_anonymous(&mapping, bytes + HUGE_PAGE, error));
    uint64_t head = (HUGE_PAGE + physical % HUGE_PAGE - (uintptr_t)mapping % HUGE_PAGE) % HUGE_PAGE;
    if (head)
        udfvm_machine_unmap(mapping, head);
    udfvm_machine_unmap(mapping + head + bytes, HUGE_PAGE - head);
    *mapped = mapping + head;
    return UDFVM_OK;
}

/* Program memory, output window and scratch lie together, in the guest's physical memory as here.
 */
static uint64_t mapped_bytes(const struct machine *machine)
{
    return machine->memory_bytes + UDFVM_LOGGED_OUTPUT + machine->unlogged_bytes;
}

static int map_system(struct machine *machine, struct udfvm_error *error)
{
    const uint8_t *mapping = NULL;
    int code = map_anonymous(&mapping, SYSTEM_SIZE, error);
    machine->system = (uint8_t *)(uintptr_t)mapping;
    return code;
}

/* Part of a file takes the place of what is mapped there. */
static bool map_over(const uint8_t *memory, uint64_t bytes, int sharing, int file, uint64_t offset)
{
    return mmap((void *)(uintptr_t)memory, bytes, PROT_READ | PROT_WRITE, sharing | MAP_FIXED, file,
                (off_t)offset) != MAP_FAILED;
}

static int map_shared(const uint8_t *memory, uint64_t bytes, int file, uint64_t offset,
                      struct udfvm_error *error)
{
    return map_over(memory, bytes, MAP_SHARED, file, offset)
               ? UDFVM_OK
               : udfvm_fail_errno(error, "mapping windows that are shared");
}

static int map_windows(struct machine *machine, const struct shared_windows *shared,
                       struct udfvm_error *error)
{
    machine->shared = true;
    machine->output_file = shared->output;
    UDFVM_TRY(map_shared(machine->input, machine->input_bytes, shared->input, 0, error));
    return map_shared(machine->output, UDFVM_LOGGED_OUTPUT + machine->unlogged_bytes,
                      shared->output, 0, error);
}

int udfvm_machine_share_reply(const struct machine *machine, struct udfvm_error *error)
{
    return map_shared(machine->memory + STREAM_REPLY_OFFSET, PAGE, machine->output_file,
                      UDFVM_LOGGED_OUTPUT + machine->unlogged_bytes, error);
}

static int map_guest(struct machine *machine, int image_fd, uint64_t image_offset,
                     const struct shared_windows *shared, struct udfvm_error *error)
{
    UDFVM_TRY(map_system(machine, error));
    UDFVM_TRY(map_aligned(&machine->memory, mapped_bytes(machine), SYSTEM_SIZE, error));
    UDFVM_TRY(map_aligned(&machine->input, machine->input_bytes, 0, error));
    machine->output = machine->memory + machine->memory_bytes;
    machine->unlogged = machine->output + UDFVM_LOGGED_OUTPUT;
    if (machine->unlogged_bytes)
        udfvm_machine_advise(machine->unlogged, machine->unlogged_bytes, MADV_HUGEPAGE);
    udfvm_machine_advise(machine->input, machine->input_bytes, MADV_HUGEPAGE);
    if (image_fd < 0)
        udfvm_machine_advise(machine->memory, machine->memory_bytes, MADV_HUGEPAGE);
    else if (!map_over(machine->memory, machine->memory_bytes, MAP_PRIVATE | MAP_NORESERVE,
                       image_fd, image_offset))
        return udfvm_fail_errno(error, "mapping the image");
    if (shared)
        UDFVM_TRY(map_windows(machine, shared, error));
    /* A forked child cannot use the VM; sharing its pages copy-on-write would only make the
     * parent's fault again. */
    udfvm_machine_advise(machine->system, SYSTEM_SIZE, MADV_DONTFORK);
    udfvm_machine_advise(machine->memory, mapped_bytes(machine), MADV_DONTFORK);
    udfvm_machine_advise(machine->input, machine->input_bytes, MADV_DONTFORK);
    return UDFVM_OK;
}

/* Where ring 3 enters ring 0 by `syscall`, and the tables of the system area. */
static struct processor_setup processor_setup(const struct machine *machine)
{
    return (struct processor_setup){
        .page_tables = SYSTEM_PML4,
        .gdt = { SYSTEM_GDT, 0x7f },
        .idt = { SYSTEM_IDT, 32 * 16 - 1 },
        .task = { SYSTEM_TSS, SYSTEM_TSS_END - SYSTEM_TSS - 1 },
        .code_selector = SELECTOR_RING3_CODE,
        .data_selector = SELECTOR_RING3_DATA,
        .task_selector = SELECTOR_TSS,
        .star = (uint64_t)SELECTOR_STAR_USER << 48 | (uint64_t)SELECTOR_RING0_CODE << 32,
        .system_call_entry = machine->behaviour.syscall_stays ? SYSTEM_STUBS : SYSTEM_GATES,
        .flags_mask = RFLAGS_TF_DF_AC_IF,
    };
}

int udfvm_machine_start(struct machine *machine, bool logged, struct udfvm_error *error)
{
    const uint64_t logged_bytes = machine->memory_bytes + UDFVM_LOGGED_OUTPUT;
    const struct processor_setup setup = processor_setup(machine);
    const struct memory_slot slots[] = {
        { .number = SLOT_FIXED,
          .read_only = true,
          .bytes = SYSTEM_FIXED_END,
          .host = machine->system },
        { .number = SLOT_TABLES,
          .physical = SYSTEM_FIXED_END,
          .bytes = SYSTEM_SIZE - SYSTEM_FIXED_END,
          .host = machine->system + SYSTEM_FIXED_END },
        { .number = SLOT_LOGGED,
          .logged = logged,
          .physical = SYSTEM_SIZE,
          .bytes = logged_bytes,
          .host = machine->memory },
        { .number = SLOT_INPUT,
          .physical = SYSTEM_SIZE + mapped_bytes(machine),
          .bytes = machine->input_bytes,
          .host = machine->input },
    };
    UDFVM_TRY(udfvm_hypervisor_create(&machine->hypervisor, slots, 4, &setup, error));
    machine->registers = udfvm_hypervisor_registers(machine->hypervisor);
    return UDFVM_OK;
}

static void behave(struct machine *machine, const struct behaviour *behaviour)
{
    machine->behaviour = *behaviour;
    machine->rflags = GUEST_RFLAGS | (behaviour->bitmap_ignored ? RFLAGS_IOPL_3 : 0);
}

int udfvm_machine_map(struct machine *machine, const struct udfvm_config *config, int image_fd,
                      uint64_t image_offset, const struct shared_windows *shared,
                      struct udfvm_error *error)
{
    struct behaviour behaviour;
    udfvm_behaviour(&behaviour);
    *machine = (struct machine){
        .memory_bytes = config->memory - SYSTEM_SIZE,
        .input_bytes = config->input_window,
        .output_bytes = config->output_window,
        .unlogged_bytes = config->output_window - UDFVM_LOGGED_OUTPUT + config->scratch,
        .output_file = -1,
    };
    behave(machine, &behaviour);
    UDFVM_TRY(map_guest(machine, image_fd, image_offset, shared, error));
    udfvm_system_area_fill(machine);
    udfvm_page_tables_keep(machine);
    return UDFVM_OK;
}

/* A machine of its own for that would take longer than all else that the first one needs. */
int udfvm_machine_try(struct machine *machine, struct udfvm_error *error)
{
    struct behaviour found;
    if (machine->behaviour.known)
        return UDFVM_OK;
    UDFVM_TRY(udfvm_behaviour_try(machine, &found, error));
    behave(machine, &found);
    udfvm_system_area_fill_stubs(machine);
    udfvm_system_area_scrub_stack(machine->system);
    udfvm_hypervisor_lead_calls(machine->hypervisor, processor_setup(machine).system_call_entry);
    return udfvm_hypervisor_reset(machine->hypervisor, error);
}

int udfvm_machine_create(struct machine *machine, const struct udfvm_config *config,
                         const struct shared_windows *shared, struct udfvm_error *error)
{
    int code;
    UDFVM_TRY_GOTO(code, failed, udfvm_machine_map(machine, config, -1, 0, shared, error));
    UDFVM_TRY_GOTO(code, failed, udfvm_machine_start(machine, false, error));
    UDFVM_TRY_GOTO(code, failed, udfvm_machine_try(machine, error));
    return UDFVM_OK;
failed:
    udfvm_machine_destroy(machine);
    return code;
}

/* Its slot is added only now: most VMs never need it, and KVM notes something for each page of a
 * slot, which takes time and memory. */
int udfvm_machine_open_unlogged(struct machine *machine, struct udfvm_error *error)
{
    const struct memory_slot slot = { .number = SLOT_UNLOGGED,
                                      .physical = SYSTEM_SIZE + machine->memory_bytes +
                                                  UDFVM_LOGGED_OUTPUT,
                                      .bytes = machine->unlogged_bytes,
                                      .host = machine->unlogged };
    UDFVM_TRY(udfvm_hypervisor_add_slot(machine->hypervisor, &slot, error));
    udfvm_system_area_open(machine);
    udfvm_page_tables_keep(machine);
    machine->unlogged_open = true;
    return UDFVM_OK;
}

int udfvm_machine_add_tables(struct machine *machine, const void *tables, uint64_t bytes,
                             uint64_t *physical, struct udfvm_error *error)
{
    *physical = SYSTEM_SIZE + mapped_bytes(machine) + machine->input_bytes;
    const struct memory_slot slot = {
        .number = SLOT_RESERVE, .physical = *physical, .bytes = bytes, .host = tables
    };
    return udfvm_hypervisor_add_slot(machine->hypervisor, &slot, error);
}

/* Where the memory does not become as it was, the host itself cannot write to it. */
int udfvm_machine_refresh(struct machine *machine, uint64_t physical, uint64_t bytes,
                          struct udfvm_error *error)
{
    void *memory = (void *)(uintptr_t)(machine->memory + (physical - SYSTEM_SIZE));
    const int read_only = mprotect(memory, bytes, PROT_READ), reason = errno;
    if (mprotect(memory, bytes, PROT_READ | PROT_WRITE) &&
        mprotect(memory, bytes, PROT_READ | PROT_WRITE)) {
        machine->reserve.read_only = true;
        return udfvm_fail_errno(error, "making guest memory writable again");
    }
    errno = reason;
    return read_only ? udfvm_fail_errno(error, "taking pages out of the guest's address space")
                     : UDFVM_OK;
}

void udfvm_machine_forget_memory(struct machine *machine)
{
    machine->system = NULL;
    machine->memory = machine->input = NULL;
    machine->reserve.tables = NULL;
    machine->registers = NULL;
    if (machine->hypervisor)
        udfvm_hypervisor_forget_memory(machine->hypervisor);
}

void udfvm_machine_destroy(struct machine *machine)
{
    udfvm_hypervisor_destroy(machine->hypervisor);
    udfvm_page_tables_forget(machine);
    udfvm_reserve_destroy(machine);
    udfvm_data_close(machine->data);
    if (machine->system)
        udfvm_machine_unmap(machine->system, SYSTEM_SIZE);
    if (machine->memory)
        udfvm_machine_unmap(machine->memory, mapped_bytes(machine));
    if (machine->input)
        udfvm_machine_unmap(machine->input, machine->input_bytes);
    *machine = (struct machine){ .hypervisor = NULL };
}

int udfvm_machine_renew(struct machine *machine, struct udfvm_error *error)
{
    /* Page tables and ring-0 stack are written anew; what the VM could not write stays, the sealed
     * state among it. */
    if (udfvm_machine_advise(machine->system + SYSTEM_FIXED_END, SYSTEM_SIZE - SYSTEM_FIXED_END,
                             MADV_DONTNEED))
        return udfvm_fail_errno(error, "dropping the page tables");
    udfvm_system_area_fill(machine);
    if (machine->unlogged_open)
        udfvm_system_area_open(machine);
    UDFVM_TRY(udfvm_reserve_renew(machine, error));
    udfvm_page_tables_keep(machine);
    const int code = udfvm_hypervisor_renew(machine->hypervisor, error);
    machine->registers = udfvm_hypervisor_registers(machine->hypervisor);
    return code;
}

void udfvm_machine_load(const struct machine *machine, const void *data, uint64_t length)
{
    memcpy((void *)(uintptr_t)machine->memory, data, length);
}

/* What a file of memory holds stays there until a hole is punched: madvise(2), MADV_REMOVE. */
int udfvm_machine_drop(const struct machine *machine, const uint8_t *memory, uint64_t length)
{
    const uint64_t output = UDFVM_LOGGED_OUTPUT + machine->unlogged_bytes;
    const bool of_file = machine->shared &&
                         ((memory >= machine->input &&
                           memory < machine->input + machine->input_bytes) ||
                          (memory >= machine->output && memory < machine->output + output));
    return udfvm_machine_advise(memory, length, of_file ? MADV_REMOVE : MADV_DONTNEED);
}

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25 /* Linux 6.1: madvise(2) */
#endif

void udfvm_machine_join(const uint8_t *memory, uint64_t length)
{
    (void)udfvm_machine_advise(memory, length, MADV_COLLAPSE);
}

int udfvm_machine_advise(const uint8_t *memory, uint64_t length, int advice)
{
    return madvise((void *)(uintptr_t)memory, length, advice);
}

int udfvm_machine_inherit_output(const struct machine *machine, bool inherit,
                                 struct udfvm_error *error)
{
    if (udfvm_machine_advise(machine->output, UDFVM_LOGGED_OUTPUT + machine->unlogged_bytes,
                             inherit ? MADV_DOFORK : MADV_DONTFORK))
        return udfvm_fail_errno(error, "madvise of the output window");
    return UDFVM_OK;
}

/* As much of a range as lies in [start, start + bytes), from its address on. */
static bool lies_in(uint64_t address, uint64_t *length, uint64_t start, uint64_t bytes)
{
    if (address < start || address - start > bytes)
        return false;
    const uint64_t left = bytes - (address - start);
    *length = *length < left ? *length : left;
    return true;
}

const void *udfvm_machine_piece(const struct machine *machine, uint64_t address, uint64_t *length)
{
    if (lies_in(address, length, SYSTEM_SIZE, machine->memory_bytes))
        return machine->memory + (address - SYSTEM_SIZE);
    if (lies_in(address, length, UDFVM_OUTPUT_BASE,
                UDFVM_LOGGED_OUTPUT + (machine->unlogged_open ? machine->unlogged_bytes : 0)))
        return machine->output + (address - UDFVM_OUTPUT_BASE);
    return udfvm_reserve_address(machine, address, length);
}

const void *udfvm_machine_address(const struct machine *machine, uint64_t address, uint64_t length)
{
    uint64_t piece = length;
    const void *found = udfvm_machine_piece(machine, address, &piece);
    return piece == length ? found : NULL;
}

bool udfvm_machine_read(const struct machine *machine, uint64_t address, void *to, uint64_t length)
{
    for (uint64_t done = 0, piece; done < length; done += piece) {
        piece = length - done;
        const void *from = udfvm_machine_piece(machine, address + done, &piece);
        if (!from || piece == 0)
            return false;
        memcpy((uint8_t *)to + done, from, piece);
    }
    return true;
}

int udfvm_config_check(const struct udfvm_config *config, struct udfvm_error *error)
{
    const uint64_t windows[] = { config->input_window, config->output_window };
    if (config->memory % HUGE_PAGE || config->memory < 8 * HUGE_PAGE || config->memory > MAX_MEMORY)
        return udfvm_fail(error, UDFVM_E_ARGUMENT,
                          "memory must be a multiple of 2 MiB from 16 MiB to 64 GiB");
    for (int i = 0; i < 2; i++)
        if (windows[i] % HUGE_PAGE || windows[i] == 0 || windows[i] > UDFVM_MAX_WINDOW)
            return udfvm_fail(error, UDFVM_E_ARGUMENT,
                              "windows must be multiples of 2 MiB, 16 GiB at most");
    if (config->scratch % HUGE_PAGE || config->scratch > UDFVM_MAX_WINDOW ||
        config->output_window + config->scratch > UDFVM_MAX_WINDOW)
        return udfvm_fail(
            error, UDFVM_E_ARGUMENT,
            "scratch must be a multiple of 2 MiB, with the output window 16 GiB at most");
    return UDFVM_OK;
}
