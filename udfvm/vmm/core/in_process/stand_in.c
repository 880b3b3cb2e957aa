/* A VM that is none: its windows are memory of this process, and the embedder answers its
 * exchanges. It has no vCPU, so only the embedder can stop what it runs: deadlines are looked at
 * when that ends. */
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "base/clock.h"
#include "base/error.h"
#include "call/exchange.h"
#include "call/hypercall.h"
#include "call/vm.h"
#include "call/watchdog.h"
#include "image/image.h"
#include "in_process/in_process.h"

struct stand_in {
    struct udfvm_vm vm;         /* first: a VM like any other */
    struct udfvm_error failure; /* of the embedder's own functions: it ends the call */
};

static struct stand_in *stand_in_of(struct udfvm_vm *vm)
{
    return (struct stand_in *)vm;
}

static const struct udfvm_in_process *program_of(const struct udfvm_vm *vm)
{
    return vm->memory.image->program;
}

static uint64_t output_bytes(const struct udfvm_config *config)
{
    return config->output_window + config->scratch;
}

/* ---- Calls ---- */

/* A guest leaves a large result in scratch, which lies behind the window: here it goes on into it.
 */
static uint64_t output_capacity(const struct udfvm_vm *vm)
{
    const uint64_t mapped = output_bytes(&vm->config);
    return vm->max_reply < mapped ? vm->max_reply : mapped;
}

static uint64_t status_of(const struct udfvm_vm *vm, const struct udfvm_in_process_call *call)
{
    const bool goes_on = vm->max_reply > vm->limits.max_output && call->status == UDFVM_STATUS_OK &&
                         call->length > vm->limits.max_output;
    return goes_on ? UDFVM_STATUS_IN_PLACE : (uint64_t)call->status;
}

static void fill_call_page(struct udfvm_vm *vm, uint32_t request, uint64_t length)
{
    *udfvm_span_call_page(&vm->memory) = (struct udfvm_call){
        .abi_version = UDFVM_ABI_VERSION,
        .sequence = ++vm->sequence,
        .length = length,
        .request = request,
        .payload = UDFVM_INPUT_PAYLOAD - UDFVM_INPUT_BASE,
        .output_size = output_capacity(vm),
        .flags = vm->limits.deterministic ? UDFVM_CALL_DETERMINISTIC : 0,
    };
}

/* A first call may load much, but not for longer than the call that it is part of. */
static uint64_t load_end(const struct udfvm_vm *vm)
{
    const uint64_t end_ns = vm->deadline.end_ns;
    return vm->deadline.of_outer || end_ns > vm->first_end_ns ? end_ns : vm->first_end_ns;
}

/* The embedder makes the exchange. Other calls that it makes meanwhile are within this one. */
static int let_answer(struct udfvm_vm *vm, struct udfvm_in_process_call *call, bool *late)
{
    const struct udfvm_in_process *program = program_of(vm);
    udfvm_deadline_enter(&vm->deadline, udfvm_vm_time_left(vm));
    call->end_ns = vm->deadline.end_ns;
    call->load_end_ns = load_end(vm);
    udfvm_vm_out(vm);
    const int code = program->answer(program->context, call);
    udfvm_vm_in(vm);
    *late = udfvm_deadline_passed(&vm->deadline) && udfvm_monotonic_ns() >= call->end_ns;
    udfvm_deadline_leave(&vm->deadline);
    return code;
}

static int answer(struct udfvm_vm *vm, uint32_t request, uint64_t length, struct udfvm_reply *reply,
                  struct udfvm_error *error)
{
    struct stand_in *stand_in = stand_in_of(vm);
    struct udfvm_in_process_call call = {
        .vm = vm,
        .image = vm->memory.image->header->digest,
        .request = request,
        .input = udfvm_span_call_page(&vm->memory),
        .output = udfvm_span_output(&vm->memory, 0),
    };
    bool late;
    stand_in->failure = (struct udfvm_error){ .code = UDFVM_OK };
    fill_call_page(vm, request, length);
    const int code = let_answer(vm, &call, &late);
    if (udfvm_vm_forked(vm))
        return udfvm_vm_fail_forked(error);
    if (stand_in->failure.code != UDFVM_OK) {
        *error = stand_in->failure;
        return error->code;
    }
    if (code != UDFVM_OK)
        return udfvm_fail(error, UDFVM_E_INTERRUPTED, "the call was interrupted");
    if (late)
        return udfvm_vm_fail_timeout(vm, error);
    reply->sealed = call.sealed;
    return call.sealed ? UDFVM_OK
                       : udfvm_vm_completed(vm, status_of(vm, &call), call.length, reply, error);
}

int64_t udfvm_in_process_host_call(udfvm_vm *vm, const char *name, const void *arguments,
                                   uint64_t length, void *reply, uint64_t capacity)
{
    struct udfvm_error *failure = &stand_in_of(vm)->failure;
    if (!vm->limits.host_functions)
        return UDFVM_NO_HOST_FUNCTION;
    udfvm_vm_in(vm); /* the function itself is outside */
    int64_t result = 0;
    udfvm_costs_phase(&vm->costs, PHASE_HOST);
    if (udfvm_count_host_call(vm, failure))
        result = udfvm_host_function(vm, name, arguments, length, reply, capacity, failure);
    udfvm_costs_phase(&vm->costs, PHASE_GUEST);
    udfvm_vm_out(vm);
    if (failure->code != UDFVM_OK)
        return UDFVM_HOST_FUNCTION_FAILED;
    return result == -ENOENT ? UDFVM_NO_HOST_FUNCTION : result;
}

int udfvm_in_process_print(udfvm_vm *vm, int stream, const char *text, size_t length)
{
    return udfvm_log_print(vm, stream, text, length, &stand_in_of(vm)->failure);
}

/* ---- Between calls ---- */

static int restore(struct udfvm_vm *vm, struct udfvm_error *error)
{
    (void)error;
    const struct udfvm_in_process *program = program_of(vm);
    vm->memory.spans.asked = 0;
    if (vm->state != VM_SEALED) {
        program->forget(program->context, vm);
        udfvm_log_clear(&vm->log);
    }
    vm->state = VM_SEALED;
    return UDFVM_OK;
}

static int bind_image(struct udfvm_vm *vm, struct udfvm_image *image, struct udfvm_error *error)
{
    (void)error;
    struct udfvm_image *before = vm->memory.image;
    vm->memory.image = udfvm_image_retain(image);
    udfvm_image_close(before);
    return UDFVM_OK;
}

static int shrink(struct udfvm_vm *vm, bool all, struct udfvm_error *error)
{
    (void)all;
    vm->memory.large = false;
    return udfvm_span_drop_input(&vm->memory, error);
}

static int refuse_seal(struct udfvm_vm *vm, int fd, const uint8_t *name, const void *metadata,
                       size_t metadata_length, struct udfvm_error *error)
{
    (void)vm, (void)fd, (void)name, (void)metadata, (void)metadata_length;
    return udfvm_fail(error, UDFVM_E_ARGUMENT, "what runs in this process cannot be sealed");
}

static void *lend(struct udfvm_vm *vm, uint64_t begin, uint64_t length, struct udfvm_error *error)
{
    (void)length, (void)error;
    return udfvm_span_output(&vm->memory, begin);
}

static void statistics_of(const struct udfvm_vm *vm, struct udfvm_vm_statistics *statistics)
{
    *statistics = (struct udfvm_vm_statistics){ .calls = vm->calls };
}

static bool is_usable(struct udfvm_vm *vm)
{
    (void)vm;
    return true;
}

/* ---- Its life ---- */

static void close_stand_in(struct udfvm_vm *vm)
{
    const struct udfvm_in_process *program = program_of(vm);
    if (vm->machine.input && vm->machine.output)
        program->forget(program->context, vm);
    udfvm_deadline_unregister(&vm->deadline);
    if (vm->machine.input)
        udfvm_machine_unmap(vm->machine.input, vm->config.input_window);
    if (vm->machine.output)
        udfvm_machine_unmap(vm->machine.output, output_bytes(&vm->config));
    udfvm_image_close(vm->memory.image);
    udfvm_log_destroy(&vm->log);
    free(vm);
}

/* Nothing can be streamed: there is no vCPU to run beside the caller. */
static const struct remote_operations operations = {
    .call = answer,
    .restore = restore,
    .bind = bind_image,
    .shrink = shrink,
    .seal = refuse_seal,
    .borrow = lend,
    .statistics = statistics_of,
    .usable = is_usable,
    .close = close_stand_in,
};

static const uint8_t *map_window(uint64_t bytes, struct udfvm_error *error)
{
    const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    void *mapped = mmap(NULL, bytes, PROT_READ | PROT_WRITE, flags, -1, 0);
    if (mapped != MAP_FAILED)
        return mapped;
    udfvm_fail_errno(error, "mapping the windows of a call");
    return NULL;
}

static bool map_windows(struct udfvm_vm *vm, struct udfvm_error *error)
{
    vm->machine.input = map_window(vm->config.input_window, error);
    if (vm->machine.input)
        vm->machine.output = map_window(output_bytes(&vm->config), error);
    return vm->machine.input && vm->machine.output;
}

udfvm_vm *udfvm_in_process_open(udfvm_image *image, const struct udfvm_windows *windows,
                                const struct udfvm_files *files, struct udfvm_error *error)
{
    struct udfvm_config config = image->header->config;
    udfvm_error_clear(error);
    if (windows) {
        config.input_window = windows->input;
        config.output_window = windows->output;
        config.scratch = windows->scratch;
    }
    if (udfvm_config_check(&config, error) != UDFVM_OK)
        return NULL;
    struct stand_in *stand_in = calloc(1, sizeof *stand_in);
    if (!stand_in) {
        udfvm_fail_errno(error, "allocating a VM");
        return NULL;
    }
    struct udfvm_vm *vm = &stand_in->vm;
    udfvm_vm_begin(vm, &config, files);
    vm->remote = &operations;
    vm->state = VM_SEALED;
    vm->once = windows != NULL;
    vm->machine = (struct machine){
        .output_file = -1,
        .input_bytes = config.input_window,
        .output_bytes = config.output_window,
        .unlogged_bytes = output_bytes(&config) - UDFVM_LOGGED_OUTPUT,
        .unlogged_open = true,
    };
    vm->memory = (struct guest_memory){ .machine = &vm->machine,
                                        .image = udfvm_image_retain(image),
                                        .pagemap = -1 };
    if (map_windows(vm, error))
        return vm;
    close_stand_in(vm);
    return NULL;
}
