/* The file hypercalls: arguments are checked and copied here, the embedder's struct udfvm_files
 * does the work. */
#include <errno.h>
#include <string.h>
#include <sys/resource.h>

#include "base/clock.h"
#include "call/hypercall.h"
#include "call/vcpu_thread.h"
#include "call/vm.h"

#define MAX_READ     (1ull << 30)
#define FILES_ALWAYS 8u /* open files of one VM for which the last part of the budget is kept */

/* Open files of all guests of the process: a budget, so that guests leave the program the
 * descriptors that it needs. */
static atomic_uint open_files;

/* Half of what the process may open; the last quarter of that is for VMs that have few open. */
static bool take_from_budget(const struct udfvm_vm *vm)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return false;
    const uint64_t whole = limit.rlim_cur == RLIM_INFINITY ? UINT32_MAX : limit.rlim_cur / 2;
    const uint64_t allowed = vm->handles_open < FILES_ALWAYS ? whole : whole - whole / 4;
    if (atomic_fetch_add(&open_files, 1) < allowed)
        return true;
    atomic_fetch_sub(&open_files, 1);
    return false;
}

/* ---- The embedder's ---- */

struct file_request {
    uint64_t kind; /* UDFVM_HYPERCALL_FILE_... */
    const char *path;
    struct udfvm_stat *stat;
    void *buffer;
    uint64_t length, offset; /* offset: of a list, the first entry */
    int64_t handle;
    bool follow;
    struct udfvm_vm *vm;
    int64_t result;
};

/* What a guest opens while it runs it imports, or a program reads: see first_call_ns of
 * udfvm_limits. */
static void note_opened(struct udfvm_vm *vm)
{
    vm->opened_files = true;
    if (vm->first_end_ns == 0 || udfvm_vm_forked(vm))
        return;
    const uint64_t now = udfvm_monotonic_ns(), end_ns = vm->first_end_ns,
                   left = end_ns > now ? end_ns - now : 0;
    udfvm_deadline_extend(&vm->deadline,
                          vm->limits.timeout_ns < left ? now + vm->limits.timeout_ns : end_ns);
}

static void ask_embedder(void *context)
{
    struct file_request *request = context;
    const struct udfvm_files *files = request->vm->files;
    const char *path = request->path;
    switch (request->kind) {
    case UDFVM_HYPERCALL_FILE_OPEN:
        request->result = files->open(files->context, path, request->stat);
        if (request->result >= 0)
            note_opened(request->vm);
        break;
    case UDFVM_HYPERCALL_FILE_STAT:
        request->result = files->stat(files->context, path, request->follow, request->stat);
        break;
    case UDFVM_HYPERCALL_FILE_READ:
        request->result = files->read(files->context, request->handle, request->offset,
                                      request->buffer, request->length);
        break;
    case UDFVM_HYPERCALL_FILE_CLOSE:
        request->result = files->close(files->context, request->handle);
        break;
    case UDFVM_HYPERCALL_FILE_LIST:
        request->result = files->list(files->context, path, request->offset, request->buffer,
                                      request->length);
        break;
    default:
        request->result = files->readlink(files->context, path, request->buffer, request->length);
    }
}

static int64_t ask(struct udfvm_vm *vm, struct file_request request)
{
    request.vm = vm;
    return udfvm_outside(vm, ask_embedder, &request) ? request.result : -EINTR;
}

/* ---- What the guest asks for ---- */

static int copy_path(const struct udfvm_vm *vm, uint64_t address, uint64_t length,
                     char path[UDFVM_MAX_PATH + 1])
{
    if (length > UDFVM_MAX_PATH)
        return -ENAMETOOLONG;
    if (!udfvm_machine_read(&vm->machine, address, path, length))
        return -EFAULT;
    path[length] = 0;
    return memchr(path, 0, length) || path[0] != '/' ? -EINVAL : 0;
}

const int64_t *udfvm_file_handle(const struct udfvm_vm *vm, uint64_t handle)
{
    return handle < MAX_FILES && vm->handles[handle] >= 0 ? &vm->handles[handle] : NULL;
}

int64_t udfvm_file_open(struct udfvm_vm *vm, const char *path, void *stat_out)
{
    struct udfvm_stat stat = { .mode = 0 };
    int64_t number = 0;
    while (number < MAX_FILES && vm->handles[number] >= 0)
        number++;
    if (number == MAX_FILES)
        return -EMFILE;
    if (!take_from_budget(vm))
        return -ENFILE;
    const int64_t handle = ask(
        vm, (struct file_request){ UDFVM_HYPERCALL_FILE_OPEN, path, .stat = &stat });
    if (handle < 0) {
        atomic_fetch_sub(&open_files, 1);
        return handle;
    }
    vm->handles[number] = handle;
    vm->handles_open++;
    if (!udfvm_vm_forked(vm))
        memcpy(stat_out, &stat, sizeof stat);
    return number;
}

int64_t udfvm_file_close(struct udfvm_vm *vm, uint64_t handle)
{
    const int64_t *slot = udfvm_file_handle(vm, handle);
    if (!slot)
        return -EBADF;
    const int64_t result = ask(
        vm, (struct file_request){ UDFVM_HYPERCALL_FILE_CLOSE, .handle = *slot });
    vm->handles[handle] = -1;
    vm->handles_open--;
    atomic_fetch_sub(&open_files, 1);
    return result == -EINTR ? result : 0; /* closed it is in any case */
}

static int64_t file_read(struct udfvm_vm *vm, uint64_t handle, uint64_t offset, uint64_t address,
                         uint64_t length)
{
    const int64_t *slot = udfvm_file_handle(vm, handle);
    void *buffer;
    if (!slot || length > MAX_READ || offset > INT64_MAX - MAX_READ)
        return !slot                                                 ? -EBADF
               : udfvm_machine_piece(&vm->machine, address, &length) ? -EINVAL
                                                                     : -EFAULT;
    const int code = udfvm_span_piece(&vm->memory, address, &length, &buffer);
    if (code != 0)
        return code;
    const int64_t got = ask(vm, (struct file_request){ UDFVM_HYPERCALL_FILE_READ, .handle = *slot,
                                                       .offset = offset, .buffer = buffer,
                                                       .length = length });
    return got > (int64_t)length ? -EIO : got;
}

/* The hypercalls that take a path and fill a buffer of the guest. */
static int64_t path_hypercall(struct udfvm_vm *vm, const struct registers *regs, const char *path)
{
    struct udfvm_stat stat = { .mode = 0 };
    uint64_t address = regs->rdx, length = regs->r10, first = 0;
    int64_t result;
    switch (regs->rax) {
    case UDFVM_HYPERCALL_FILE_LIST:
        first = regs->rdx;
        address = regs->r10;
        length = regs->r8;
        break;
    case UDFVM_HYPERCALL_FILE_OPEN:
    case UDFVM_HYPERCALL_FILE_STAT:
        length = sizeof stat;
        break;
    }
    void *buffer;
    const int code = length > MAX_READ ? -EFAULT
                                       : udfvm_span_at(&vm->memory, address, length, &buffer);
    if (code != 0)
        return code;
    switch (regs->rax) {
    case UDFVM_HYPERCALL_FILE_OPEN:
        return udfvm_file_open(vm, path, buffer);
    case UDFVM_HYPERCALL_FILE_STAT:
        result = ask(
            vm, (struct file_request){ regs->rax, path, .stat = &stat, .follow = regs->r10 != 0 });
        if (!udfvm_vm_forked(vm))
            memcpy(buffer, &stat, sizeof stat);
        return result;
    default:
        result = ask(vm, (struct file_request){ regs->rax, path, .offset = first, .buffer = buffer,
                                                .length = length });
    }
    return result > (int64_t)length ? -EIO : result;
}

int64_t udfvm_file_hypercall(struct udfvm_vm *vm, const struct registers *regs)
{
    char path[UDFVM_MAX_PATH + 1];
    int code;
    if (!vm->files || !vm->limits.files)
        return -EACCES;
    switch (regs->rax) {
    case UDFVM_HYPERCALL_FILE_READ:
        return file_read(vm, regs->rdi, regs->rsi, regs->rdx, regs->r10);
    case UDFVM_HYPERCALL_FILE_CLOSE:
        return udfvm_file_close(vm, regs->rdi);
    default:
        code = copy_path(vm, regs->rdi, regs->rsi, path);
        return code ? code : path_hypercall(vm, regs, path);
    }
}

void udfvm_files_close_all(struct udfvm_vm *vm)
{
    for (uint64_t handle = 0; vm->handles_open && handle < MAX_FILES; handle++)
        udfvm_file_close(vm, handle);
}
