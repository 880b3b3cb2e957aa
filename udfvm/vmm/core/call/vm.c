/* A VM's life: it is opened, on an image or to be booted, and closed. Its settings. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/error.h"
#include "base/process.h"
#include "call/exchange.h"
#include "call/hypercall.h"
#include "call/streaming.h"
#include "call/vm.h"
#include "call/watchdog.h"
#include "image/image.h"
#include "machine/data.h"

static int start_machine(struct machine *machine, struct udfvm_error *error)
{
    UDFVM_TRY(udfvm_machine_start(machine, true, error));
    return udfvm_machine_try(machine, error);
}

/* Memory on the image's base, with the image's pages, which are copied while the VM is created and
 * tried. */
static int open_machine(struct udfvm_vm *vm, struct udfvm_image *image,
                        const struct shared_windows *shared, struct udfvm_error *error)
{
    struct udfvm_image *base = image->base ? image->base : image;
    struct machine *machine = &vm->machine;
    struct filling filling;
    UDFVM_TRY(udfvm_machine_map(machine, &vm->config, base->fd,
                                base->offset + base->header->pages_offset, shared, error));
    UDFVM_TRY(udfvm_memory_create(&vm->memory, machine, base, error));
    udfvm_memory_begin_filling(&filling, &vm->memory, image);
    const int code = start_machine(machine, error);
    udfvm_memory_end_filling(&filling);
    udfvm_system_area_state(machine->system, &image->header->state);
    return code == UDFVM_OK ? udfvm_image_map_reserve(image, machine, error) : code;
}

static int fill_vm(struct udfvm_vm *vm, struct udfvm_image *image,
                   const struct shared_windows *shared, struct udfvm_error *error)
{
    /* Never that of an earlier VM on the same image, whose sealed memory may remember it. */
    if (getrandom(&vm->sequence, sizeof vm->sequence, 0) != (ssize_t)sizeof vm->sequence)
        return udfvm_fail_errno(error, "getrandom");
    if (image) {
        UDFVM_TRY(open_machine(vm, image, shared, error));
    } else {
        UDFVM_TRY(udfvm_machine_create(&vm->machine, &vm->config, shared, error));
        UDFVM_TRY(udfvm_memory_create(&vm->memory, &vm->machine, NULL, error));
    }
    vm->tsc_khz = udfvm_hypervisor_tsc_khz(vm->machine.hypervisor, error);
    return vm->tsc_khz ? UDFVM_OK : UDFVM_E_SYSTEM;
}

void udfvm_vm_begin(struct udfvm_vm *vm, const struct udfvm_config *config,
                    const struct udfvm_files *files)
{
    vm->config = *config;
    vm->begun_ns = udfvm_monotonic_ns();
    vm->begun_ticks = udfvm_ticks();
    udfvm_log_create(&vm->log);
    vm->files = files;
    vm->generation = udfvm_fork_generation();
    udfvm_deadline_register(&vm->deadline);
    vm->idle_spin_us = IDLE_SPIN_US;
    memset(vm->handles, 0xff, sizeof vm->handles);
}

/* `image`: NULL for a VM that is booted. */
static udfvm_vm *create(const struct udfvm_config *config, struct udfvm_image *image,
                        const struct shared_windows *shared, const struct udfvm_files *files,
                        struct udfvm_error *error)
{
    if (image && image->program) {
        udfvm_fail(error, UDFVM_E_ARGUMENT, "pools alone run what has an image in this process");
        return NULL;
    }
    struct udfvm_vm *vm = calloc(1, sizeof *vm);
    if (!vm) {
        udfvm_fail_errno(error, "allocating a VM");
        return NULL;
    }
    udfvm_vm_begin(vm, config, files);
    vm->state = image ? VM_SEALED : VM_UNSEALED;
    if (fill_vm(vm, image, shared, error) == UDFVM_OK)
        return vm;
    udfvm_vm_close(vm);
    return NULL;
}

bool udfvm_vm_forked(const struct udfvm_vm *vm)
{
    return vm->generation != udfvm_fork_generation();
}

int udfvm_vm_fail_forked(struct udfvm_error *error)
{
    udfvm_fail(error, UDFVM_E_FORKED,
               "the process was forked in the middle of this call, which goes on in the parent "
               "process alone");
    if (error)
        error->signal = 1;
    return UDFVM_E_FORKED;
}

int udfvm_vm_check(const udfvm_vm *vm, struct udfvm_error *error)
{
    return udfvm_vm_forked(vm)
               ? udfvm_fail(error, UDFVM_E_FORKED, "this VM belongs to the parent process")
               : UDFVM_OK;
}

udfvm_vm *udfvm_vm_open_shared(udfvm_image *image, const struct udfvm_config *config,
                               const struct shared_windows *shared, const struct udfvm_files *files,
                               struct udfvm_error *error)
{
    return create(config, image, shared, files, error);
}

udfvm_vm *udfvm_vm_open(udfvm_image *image, const struct udfvm_files *files,
                        struct udfvm_error *error)
{
    udfvm_error_clear(error);
    return create(&image->header->config, image, NULL, files, error);
}

udfvm_vm *udfvm_vm_open_windows(udfvm_image *image, const struct udfvm_windows *windows,
                                const struct udfvm_files *files, struct udfvm_error *error)
{
    udfvm_error_clear(error);
    struct udfvm_config config = image->header->config;
    config.input_window = windows->input;
    config.output_window = windows->output;
    config.scratch = windows->scratch;
    udfvm_vm *vm = udfvm_config_check(&config, error) == UDFVM_OK
                       ? create(&config, image, NULL, files, error)
                       : NULL;
    if (vm)
        vm->once = true;
    return vm;
}

int udfvm_vm_give_data(udfvm_vm *vm, udfvm_data *data, struct udfvm_error *error)
{
    udfvm_error_clear(error);
    UDFVM_TRY(udfvm_vm_check(vm, error));
    if (vm->remote || vm->machine.data || vm->state != VM_SEALED || vm->calls)
        return udfvm_fail(error, UDFVM_E_ARGUMENT, "data are for a VM that is new, and has none");
    return udfvm_machine_give_data(&vm->machine, data, error);
}

int udfvm_vm_check_data(const struct udfvm_vm *vm, struct udfvm_error *error)
{
    return vm->machine.data ? udfvm_data_check(vm->machine.data, error) : UDFVM_OK;
}

/* KVM does not say what it could not reach. */
int udfvm_vm_blame_data(const struct udfvm_vm *vm, int code, struct udfvm_error *error)
{
    struct udfvm_error changed;
    if (code != UDFVM_E_SYSTEM || !vm->machine.data || !error || error->os_errno != EFAULT ||
        udfvm_data_check(vm->machine.data, &changed) != UDFVM_E_DATA)
        return code;
    *error = changed;
    return UDFVM_E_DATA;
}

void udfvm_vm_close(udfvm_vm *vm)
{
    if (!vm)
        return;
    udfvm_stream_end(vm);
    udfvm_costs_end(vm);
    udfvm_costs_forget_restore(vm);
    if (vm->remote) {
        vm->remote->close(vm);
        return;
    }
    udfvm_deadline_unregister(&vm->deadline);
    udfvm_files_close_all(vm);
    udfvm_memory_destroy(&vm->memory, udfvm_vm_forked(vm));
    if (udfvm_vm_forked(vm))
        udfvm_machine_forget_memory(&vm->machine);
    udfvm_machine_destroy(&vm->machine);
    free(vm->seal_info);
    free(vm->seal_state);
    udfvm_log_destroy(&vm->log);
    free(vm);
}

void udfvm_vm_set_watch(udfvm_vm *vm, int (*watch)(void *context), void *context)
{
    vm->watch = watch;
    vm->watch_context = context;
}

void udfvm_vm_set_end(udfvm_vm *vm, uint64_t monotonic_ns)
{
    vm->end_ns = monotonic_ns;
}

void udfvm_vm_set_idle_spin(udfvm_vm *vm, uint32_t microseconds)
{
    vm->idle_spin_us = microseconds < MAX_IDLE_SPIN_US ? microseconds : MAX_IDLE_SPIN_US;
}

void udfvm_vm_add_wait(udfvm_vm *vm, uint64_t waited_ns)
{
    vm->waited_ns += waited_ns;
}

bool udfvm_vm_usable(struct udfvm_vm *vm)
{
    return !vm->remote || vm->remote->usable(vm);
}

void udfvm_vm_statistics(const udfvm_vm *vm, struct udfvm_vm_statistics *statistics)
{
    if (vm->remote) {
        vm->remote->statistics(vm, statistics);
        return;
    }
    *statistics = (struct udfvm_vm_statistics){
        .calls = vm->calls,
        .restores = vm->memory.hot.restores,
        .hot_pages = vm->memory.hot.count,
        .pages_copied = vm->memory.hot.pages_copied,
        .memory = vm->config.memory,
        .exits = vm->exits,
    };
}
