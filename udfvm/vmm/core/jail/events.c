/* What the process of a jailed VM asks the program for in the middle of a call: host functions,
 * files, and to take what the guest wrote. It may have been taken over: whatever it asks for is
 * copied first and checked, and what no guest may ask for in this call breaks it. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/process.h"
#include "call/exchange.h"
#include "call/hypercall.h"
#include "jail/cell.h"

#define LOG_SLACK 256u /* bytes of the note that stands for what was cut off */

static int fail_nonsense(struct cell *cell, struct udfvm_error *error)
{
    return udfvm_cell_break(cell, "asked for what its guest must not have", error);
}

static int serve_host_call(struct cell *cell, struct jail_message *message,
                           struct udfvm_error *error)
{
    struct udfvm_vm *vm = &cell->vm;
    const uint64_t length = cell->answer.length, capacity = cell->answer.values[0];
    char name[JAIL_NAME_BYTES];
    if (!vm->limits.host_functions || length > UDFVM_MAX_HOST_MESSAGE ||
        capacity > UDFVM_MAX_HOST_MESSAGE)
        return fail_nonsense(cell, error);
    memcpy(name, cell->data, sizeof name);
    if (!memchr(name, 0, sizeof name))
        return fail_nonsense(cell, error);
    if (!udfvm_count_host_call(vm, error))
        return error->code;
    uint8_t *buffer = malloc(length + capacity + 1);
    if (!buffer) {
        message->result = -ENOMEM;
        return UDFVM_OK;
    }
    memcpy(buffer, cell->data + JAIL_NAME_BYTES, length);
    message->result = udfvm_host_function(vm, name, buffer, length, buffer + length, capacity,
                                          error);
    if (error->code == UDFVM_OK && message->result > 0) {
        message->length = (uint64_t)message->result;
        memcpy(cell->data + JAIL_NAME_BYTES, buffer + length, message->length);
    }
    free(buffer);
    return error->code;
}

static int serve_log(struct cell *cell, struct udfvm_error *error)
{
    struct udfvm_vm *vm = &cell->vm;
    const uint64_t length = cell->answer.length, most = vm->limits.max_log;
    const size_t before = atomic_load(&vm->log.length);
    if (length == 0 || length > MAX_JAIL_DATA || before > most + LOG_SLACK ||
        length > most + LOG_SLACK - before)
        return fail_nonsense(cell, error);
    const int stream = cell->answer.values[0] == 2 ? 2 : 1;
    if (udfvm_log_add(&vm->log, stream, (const char *)cell->data, length))
        return UDFVM_OK;
    errno = ENOMEM;
    return udfvm_fail_errno(error, "keeping the guest's log");
}

/* What takes a path. */
static int64_t serve_path(struct cell *cell, const char *path, struct jail_message *message)
{
    struct udfvm_vm *vm = &cell->vm;
    const struct udfvm_files *files = vm->files;
    const struct jail_answer *answer = &cell->answer;
    struct udfvm_stat stat = { .mode = 0 };
    int64_t result;
    switch (answer->kind) {
    case JAIL_FILE_OPEN:
    case JAIL_FILE_STAT:
        result = answer->kind == JAIL_FILE_OPEN
                     ? udfvm_file_open(vm, path, &stat)
                     : files->stat(files->context, path, answer->values[0] != 0, &stat);
        if (udfvm_vm_forked(vm))
            return result;
        memcpy(cell->data, &stat, sizeof stat);
        message->length = sizeof stat;
        return result;
    case JAIL_FILE_LIST:
        return files->list(files->context, path, answer->values[0], cell->data, answer->length);
    default:
        return files->readlink(files->context, path, (char *)cell->data, answer->length);
    }
}

static int64_t serve_handle(struct cell *cell)
{
    const struct udfvm_files *files = cell->vm.files;
    const struct jail_answer *answer = &cell->answer;
    const int64_t *handle = udfvm_file_handle(&cell->vm, answer->values[0]);
    if (!handle)
        return -EBADF;
    if (answer->kind == JAIL_FILE_CLOSE)
        return udfvm_file_close(&cell->vm, answer->values[0]);
    return files->read(files->context, *handle, answer->values[1], cell->data, answer->length);
}

/* Files are for this call, and the numbers are such as a guest's may be. */
static bool may_ask(const struct cell *cell)
{
    return cell->vm.files && cell->vm.limits.files && cell->answer.length <= MAX_JAIL_DATA &&
           cell->answer.values[1] <= INT64_MAX - MAX_JAIL_DATA;
}

static int serve_file(struct cell *cell, struct jail_message *message, struct udfvm_error *error)
{
    struct udfvm_vm *vm = &cell->vm;
    const bool by_handle = cell->answer.kind == JAIL_FILE_READ ||
                           cell->answer.kind == JAIL_FILE_CLOSE;
    char path[UDFVM_MAX_PATH + 1];
    memcpy(path, cell->data, sizeof path);
    if (!may_ask(cell) || (!by_handle && (path[0] != '/' || !memchr(path, 0, sizeof path))))
        return fail_nonsense(cell, error);
    udfvm_vm_out(vm);
    const int64_t result = by_handle ? serve_handle(cell) : serve_path(cell, path, message);
    const bool interrupted = result == -EINTR && udfvm_interrupted();
    udfvm_vm_in(vm);
    if (udfvm_vm_forked(vm))
        return udfvm_vm_fail_forked(error);
    if (interrupted)
        return udfvm_fail(error, UDFVM_E_INTERRUPTED, "the call was interrupted");
    message->result = result;
    return UDFVM_OK;
}

int udfvm_cell_serve(struct cell *cell, struct jail_message *message, struct udfvm_error *error)
{
    *message = (struct jail_message){ .kind = JAIL_GOT };
    switch (cell->answer.kind) {
    case JAIL_HOST_CALL:
        return serve_host_call(cell, message, error);
    case JAIL_LOG:
        return serve_log(cell, error);
    case JAIL_FILE_OPEN ... JAIL_FILE_READLINK:
        return serve_file(cell, message, error);
    default:
        return fail_nonsense(cell, error);
    }
}
