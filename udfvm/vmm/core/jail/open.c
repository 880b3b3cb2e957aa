/* A jailed VM's beginning and end: files of memory, a socket, a process. */
#include "jail/open.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/error.h"
#include "call/hypercall.h"
#include "call/watchdog.h"
#include "jail/jail.h"
#include "jail/memory.h"
#include "machine/data.h"

#define CONTROL_BYTES (JAIL_DATA_OFFSET + MAX_JAIL_DATA)
#define MORE_MEMORY   (4ull << 30)  /* that the process may map besides the VM's: images, threads */
#define MORE_FILE     (64ull << 20) /* an image's header, metadata and page numbers */

static uint64_t output_bytes(const struct udfvm_config *config)
{
    return config->output_window + config->scratch;
}

/* Behind the output window lies the page that streaming calls reply in. */
uint64_t udfvm_cell_output_bytes(const struct udfvm_config *config)
{
    return output_bytes(config) + UDFVM_PAGE_SIZE;
}

static int map_windows(struct cell *cell, struct shared_windows *files, struct udfvm_error *error)
{
    const struct udfvm_config *config = &cell->vm.config;
    struct machine *machine = &cell->vm.machine;
    void *input, *output;
    UDFVM_TRY(udfvm_jail_file("udfvm-input", config->input_window, &files->input, error));
    UDFVM_TRY(udfvm_jail_map(files->input, config->input_window, &input, error));
    machine->input = input;
    UDFVM_TRY(
        udfvm_jail_file("udfvm-output", udfvm_cell_output_bytes(config), &files->output, error));
    UDFVM_TRY(udfvm_jail_map(files->output, udfvm_cell_output_bytes(config), &output, error));
    machine->output = output;
    machine->unlogged = machine->output + UDFVM_LOGGED_OUTPUT;
    return UDFVM_OK;
}

static int map_control(struct cell *cell, int *file, struct udfvm_error *error)
{
    void *mapped;
    UDFVM_TRY(udfvm_jail_file("udfvm-control", CONTROL_BYTES, file, error));
    UDFVM_TRY(udfvm_jail_map(*file, CONTROL_BYTES, &mapped, error));
    cell->control = mapped;
    cell->data = (uint8_t *)mapped + JAIL_DATA_OFFSET;
    const struct udfvm_config *config = &cell->vm.config;
    const struct udfvm_image *image = cell->vm.memory.image;
    *cell->control = (struct jail_control){
        .version = JAIL_VERSION,
        .address_space = 2 * config->memory + config->input_window + output_bytes(config) +
                         (image ? 2 * image->mapped : 0) + cell->data_bytes + MORE_MEMORY,
        .file_size = config->memory + MORE_FILE,
        .asked.number = 1, /* by nobody: the process answers first */
    };
    return UDFVM_OK;
}

static int fail_start(const struct jail_answer *answer, struct udfvm_error *error)
{
    const bool of_kvm = answer->code == UDFVM_E_NO_KVM || answer->code == UDFVM_E_PERMISSION;
    udfvm_fail(error, of_kvm ? answer->code : UDFVM_E_JAIL, "%s", answer->message);
    if (error)
        error->os_errno = answer->os_errno;
    return UDFVM_E_JAIL;
}

static int start(struct cell *cell, const char *cgroup, struct udfvm_error *error)
{
    int ends[2], control = -1;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
        return udfvm_fail_errno(error, "making a socket");
    cell->socket = ends[0];
    int code = map_control(cell, &control, error);
    if (code == UDFVM_OK)
        code = udfvm_warden_start(ends[1], control, cgroup, &cell->pid, &cell->process, error);
    close(ends[1]);
    if (control >= 0)
        close(control);
    UDFVM_TRY(code);
    if (udfvm_cell_greet(cell, error) != UDFVM_OK)
        return udfvm_fail(error, UDFVM_E_JAIL, "the process of a micro-VM did not begin");
    if (cell->answer.code != UDFVM_OK)
        return fail_start(&cell->answer, error);
    cell->walls = cell->answer.walls;
    udfvm_cell_watch_threads(cell);
    return UDFVM_OK;
}

int udfvm_cell_start(struct cell *cell, struct shared_windows *windows, const char *cgroup,
                     struct udfvm_error *error)
{
    cell->cgroup = cgroup ? strdup(cgroup) : NULL;
    if (cgroup && !cell->cgroup)
        return udfvm_fail_errno(error, "keeping the name of a cgroup");
    UDFVM_TRY(map_windows(cell, windows, error));
    return start(cell, cgroup, error);
}

void udfvm_cell_keep_windows(struct cell *cell, const struct shared_windows *windows)
{
    if (windows->input >= 0)
        close(windows->input);
    cell->output_file = windows->output;
}

static int open_cell(struct cell *cell, const char *cgroup, struct udfvm_error *error)
{
    struct shared_windows windows = { -1, -1 };
    int code = udfvm_cell_start(cell, &windows, cgroup, error);
    if (code == UDFVM_OK)
        code = udfvm_cell_open(cell, &windows, error);
    udfvm_cell_keep_windows(cell, &windows);
    return code;
}

/* As the machine of a VM whose windows are here and whose memory is not. */
struct cell *udfvm_cell_begin(const struct udfvm_config *config, struct udfvm_image *base,
                              const struct udfvm_files *files, struct udfvm_error *error)
{
    struct cell *cell = calloc(1, sizeof *cell);
    if (!cell) {
        udfvm_fail_errno(error, "allocating a VM");
        return NULL;
    }
    struct udfvm_vm *vm = &cell->vm;
    udfvm_vm_begin(vm, config, files);
    vm->remote = &udfvm_cell_operations;
    vm->state = base ? VM_SEALED : VM_UNSEALED;
    vm->machine = (struct machine){
        .shared = true,
        .output_file = -1,
        .input_bytes = config->input_window,
        .output_bytes = config->output_window,
        .unlogged_bytes = output_bytes(config) - UDFVM_LOGGED_OUTPUT,
    };
    vm->memory = (struct guest_memory){ .machine = &vm->machine,
                                        .image = base ? udfvm_image_retain(base) : NULL,
                                        .pagemap = -1 };
    cell->socket = cell->process = cell->output_file = -1;
    return cell;
}

udfvm_vm *udfvm_jail_open(udfvm_image *image, const struct udfvm_windows *windows,
                          const struct udfvm_files *files, struct udfvm_data *data,
                          const char *cgroup, struct udfvm_error *error)
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
    struct cell *cell = udfvm_cell_begin(&config, image->base ? image->base : image, files, error);
    if (!cell)
        return NULL;
    cell->vm.once = windows != NULL;
    cell->data_bytes = data ? data->bytes : 0;
    if (open_cell(cell, cgroup, error) == UDFVM_OK &&
        (!data || udfvm_cell_give_data(cell, data, error) == UDFVM_OK) &&
        udfvm_vm_bind(&cell->vm, image, error) == UDFVM_OK)
        return &cell->vm;
    udfvm_cell_close(&cell->vm);
    return NULL;
}

int udfvm_jail_probe(const char *cgroup, unsigned *walls, struct udfvm_error *error)
{
    udfvm_error_clear(error);
    struct cell *cell = udfvm_cell_begin(&(struct udfvm_config){ .memory = 0 }, NULL, NULL, error);
    if (!cell)
        return UDFVM_E_SYSTEM;
    const int code = start(cell, cgroup, error);
    *walls = cell->walls;
    udfvm_cell_close(&cell->vm);
    return code;
}

void udfvm_cell_close(struct udfvm_vm *vm)
{
    struct cell *cell = cell_of(vm);
    const bool own = !udfvm_vm_forked(vm);
    udfvm_deadline_unregister(&vm->deadline);
    if (own)
        udfvm_cell_end_borrowing(cell, NULL);
    udfvm_files_close_all(vm);
    if (own) { /* a forked child has neither its mappings nor a right to end it */
        if (cell->process >= 0)
            udfvm_cell_signal(cell, SIGKILL);
        if (vm->machine.input)
            udfvm_machine_unmap(vm->machine.input, vm->config.input_window);
        if (vm->machine.output)
            udfvm_machine_unmap(vm->machine.output, udfvm_cell_output_bytes(&vm->config));
        if (cell->control)
            munmap(cell->control, CONTROL_BYTES);
    }
    if (cell->process >= 0)
        close(cell->process);
    if (cell->socket >= 0)
        close(cell->socket);
    udfvm_cell_forget_threads(cell);
    if (cell->output_file >= 0)
        close(cell->output_file);
    udfvm_image_close(vm->memory.image);
    udfvm_data_close(vm->machine.data);
    udfvm_log_destroy(&vm->log);
    free(vm->seal_info);
    free(cell->buffer);
    free(cell->cgroup);
    free(cell);
}
