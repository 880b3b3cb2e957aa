/* Answers of the process of a jailed VM that its guest took over: to each message, what it asks the
 * program for in the middle of a call, and numbers of messages that were not sent. A thread is that
 * process. */
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "jail/cell.h"
#include "jail/jail.h"
#include "udfvm_abi.h"

#include "guest.h"

#define CONTROL_BYTES (JAIL_DATA_OFFSET + MAX_JAIL_DATA)
#define TIMEOUT_NS    2000000u /* of a call; a process that does not answer has a second more */
#define SPIN_NS       20000u
#define WAIT_NS       1000000u
#define FILLED        65536u /* bytes that are written of a buffer, and its last */
#define MAX_ASKED     16u    /* things that it asks for in a call */

static udfvm_image *base;
static udfvm_vm *vm;

/* ---- The process ---- */

static struct {
    struct jail_control *control;
    int socket;
    pthread_t thread;
    atomic_bool ends;
    unsigned left;        /* that it may still ask for in this call */
    bool lies;            /* also where it answers that something is done */
    uint64_t host_length; /* of data that the program wrote */
} process;

static uint32_t any_kind(struct input *input)
{
    const uint8_t kind = input_byte(input);
    return kind < 200 ? JAIL_DONE + kind % (JAIL_FILE_READLINK - JAIL_DONE + 2) : kind;
}

static struct jail_answer any_answer(struct input *input)
{
    struct jail_answer answer = { .kind = any_kind(input) };
    const uint8_t how = input_byte(input);
    answer.code = how & 1 ? input_byte(input) % 32 : UDFVM_OK;
    answer.length = input_number(input);
    answer.values[0] = input_number(input);
    answer.values[1] = how & 2 ? input_number(input) : 0;
    answer.status = how & 4 ? (int32_t)input_number(input) : 0;
    answer.sealed = how >> 3 & 1;
    answer.unlogged_open = how >> 4 & 1;
    answer.stops = how >> 6 & 1;
    size_t length = sizeof answer.message;
    if (how & 32)
        memcpy(answer.message, input->at, length < input->left ? length : input->left);
    return answer;
}

static void answer_with(struct jail_control *control, const struct jail_answer *answer,
                        unsigned number)
{
    control->answer = *answer;
    udfvm_baton_give(&control->answered, number);
}

/* In a call: what the input says. */
static void answer_call(struct jail_control *control, unsigned number)
{
    struct input *input = &guest.input;
    if (process.left-- == 0 || input->left == 0) {
        answer_with(control, &(struct jail_answer){ .kind = JAIL_DONE, .length = 8 }, number);
        return;
    }
    size_t length = input_byte(input);
    const uint8_t *data = input_bytes(input, &length);
    memcpy((uint8_t *)control + JAIL_DATA_OFFSET, data, length);
    const struct jail_answer answer = any_answer(input);
    const uint8_t way = input_byte(input);
    answer_with(control, &answer, way == 255 ? number + 1 : number);
    for (uint64_t turn = 0; way == 254 && turn < 2000; turn++) { /* while the program reads it */
        control->answer.length = turn % 2 ? UINT64_MAX : answer.length;
        control->answer.kind = turn % 2 ? UINT32_MAX : answer.kind;
    }
}

static void *be_process(void *unused)
{
    struct jail_control *control = process.control;
    const struct jail_answer ready = { .kind = JAIL_READY },
                             done = { .kind = JAIL_DONE, .tsc_khz = 2000000 };
    unsigned number = 1;
    const struct jail_answer first = process.lies ? any_answer(&guest.input) : ready;
    answer_with(control, &first, number);
    while (!atomic_load(&process.ends)) {
        if (atomic_load(&control->asked.number) == number) {
            if (!udfvm_baton_spin(&control->asked, number + 1, SPIN_NS))
                udfvm_baton_sleep(&control->asked, number + 1, WAIT_NS);
            continue;
        }
        number = atomic_load(&control->asked.number);
        const uint32_t kind = control->message.kind;
        if (kind == JAIL_CALL)
            process.left = MAX_ASKED;
        if (kind == JAIL_CALL || kind == JAIL_GOT)
            answer_call(control, number);
        else {
            const bool lies = process.lies && guest.input.left;
            const struct jail_answer answer = lies ? any_answer(&guest.input) : done;
            answer_with(control, &answer, number);
        }
    }
    return unused;
}

/* In the place of what starts a process, and of what stops one. */
int __wrap_udfvm_warden_start(int socket, int control, const char *cgroup, pid_t *pid,
                              int *descriptor, struct udfvm_error *error);
int __wrap_udfvm_cell_freeze(struct cell *cell, struct udfvm_error *error);

int __wrap_udfvm_warden_start(int socket, int control, const char *cgroup, pid_t *pid,
                              int *descriptor, struct udfvm_error *error)
{
    (void)cgroup, (void)error;
    process.socket = dup(socket);
    process.control = mmap(NULL, CONTROL_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, control, 0);
    *pid = 0;
    *descriptor = eventfd(0, EFD_CLOEXEC); /* which no signal reaches, and which never ends */
    atomic_store(&process.ends, false);
    if (process.control == MAP_FAILED ||
        pthread_create(&process.thread, NULL, be_process, NULL) != 0)
        defect("no process");
    return UDFVM_OK;
}

int __wrap_udfvm_cell_freeze(struct cell *cell, struct udfvm_error *error)
{
    (void)error;
    cell->frozen = true;
    return UDFVM_OK;
}

/* ---- The program ---- */

static int64_t file_open(void *context, const char *path, struct udfvm_stat *stat)
{
    (void)context;
    read_all(path, strlen(path));
    stat->size = 1;
    return 3;
}

static int64_t file_stat(void *context, const char *path, int follow, struct udfvm_stat *stat)
{
    (void)follow;
    return file_open(context, path, stat);
}

/* Data of the control area have to be put back. */
static void note_written(const void *buffer, uint64_t length)
{
    const uint8_t *const data = (const uint8_t *)process.control + JAIL_DATA_OFFSET, *to = buffer;
    if (to < data || to >= data + MAX_JAIL_DATA)
        return;
    const uint64_t end = (uint64_t)(to - data) + length;
    process.host_length = end > process.host_length ? end : process.host_length;
}

static int64_t filled(void *buffer, uint64_t length)
{
    memset(buffer, 'r', length < FILLED ? length : FILLED);
    if (length)
        ((uint8_t *)buffer)[length - 1] = 'r';
    note_written(buffer, length);
    return (int64_t)length;
}

static void check_data_put_back(void)
{
    const uint8_t *data = (const uint8_t *)process.control + JAIL_DATA_OFFSET;
    const uint64_t length = process.host_length;
    process.host_length = 0;
    if (length && (data[0] || memcmp(data, data + 1, length - 1) != 0))
        defect("what the program passed to the process is still there");
}

static int64_t file_read(void *context, int64_t handle, uint64_t offset, void *buffer,
                         uint64_t length)
{
    (void)context, (void)offset;
    if (handle != 3)
        defect("a handle that was never given");
    return filled(buffer, length);
}

static int64_t file_close(void *context, int64_t handle)
{
    (void)context, (void)handle;
    return 0;
}

static int64_t file_list(void *context, const char *path, uint64_t first, void *buffer,
                         uint64_t length)
{
    (void)context, (void)first;
    read_all(path, strlen(path));
    return filled(buffer, length);
}

static int64_t file_readlink(void *context, const char *path, char *buffer, uint64_t length)
{
    (void)context;
    read_all(path, strlen(path));
    return filled(buffer, length);
}

static int64_t host_call(void *context, const char *name, const void *arguments, uint64_t length,
                         void *reply, uint64_t capacity, char *failure)
{
    (void)context, (void)failure;
    read_all(name, strlen(name));
    read_all(arguments, length);
    note_written((const uint8_t *)process.control + JAIL_DATA_OFFSET + JAIL_NAME_BYTES, capacity);
    return filled(reply, capacity);
}

static int take_log(void *context, const struct udfvm_log *log, int failed, char *failure)
{
    (void)context, (void)failed, (void)failure;
    read_all(log->text, log->length);
    return 0;
}

static const struct udfvm_files files = { NULL,       file_open, file_stat,    file_read,
                                          file_close, file_list, file_readlink };
static const struct udfvm_host_functions functions = { NULL, host_call, 4 };
static const struct udfvm_log_sink sink = { NULL, take_log };

static void end_process(void)
{
    process.lies = false;
    process.host_length = 0;
    atomic_store(&process.ends, true);
    pthread_join(process.thread, NULL);
    munmap(process.control, CONTROL_BYTES);
    close(process.socket);
}

/* With a process that lies from its first answer on there may be none. */
static void open_vm(bool lies)
{
    struct udfvm_error error = { .message = "" };
    process.lies = lies;
    vm = udfvm_jail_open(base, NULL, &files, NULL, NULL, &error);
    if (!vm && (!lies || !error.message[0]))
        defect(error.message);
    if (!vm) {
        end_process();
        open_vm(false);
    }
}

static void open_again(bool lies)
{
    end_process();
    udfvm_vm_close(vm);
    open_vm(lies);
}

int LLVMFuzzerInitialize(int *count, char ***arguments)
{
    (void)count, (void)arguments;
    const int fd = guest_seal_base();
    base = udfvm_image_open(fd, NULL, NULL);
    close(fd);
    open_vm(false);
    return 0;
}

/* A long reply is read where it lies, and may be written there. */
static void use_reply(const struct udfvm_reply *reply)
{
    uint8_t *borrowed = reply->length ? udfvm_vm_borrow(vm, 0, reply->length, NULL) : NULL;
    read_all(reply->data, reply->length);
    if (borrowed)
        borrowed[0] = borrowed[reply->length - 1] = 'b';
}

/* What is asked of the process between calls, and whether it can go on. */
static bool put_back(bool moves, struct udfvm_error *error)
{
    if (udfvm_vm_restore(vm, error) != UDFVM_OK || cell_of(vm)->broken)
        return false;
    check_data_put_back();
    /* The process answers in its own time, with what is left of the input. */
    return udfvm_cell_settle(cell_of(vm), error) == UDFVM_OK &&
           (!moves || udfvm_vm_shrink(vm, error) == UDFVM_OK) && !cell_of(vm)->broken;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct udfvm_reply reply;
    struct udfvm_error error = { .code = UDFVM_OK };
    guest = (struct guest){ .input = { data, size } };
    const uint8_t how = input_byte(&guest.input);
    const struct udfvm_limits limits = { .timeout_ns = TIMEOUT_NS,
                                         .max_output = how & 1 ? 4096 : 0,
                                         .max_log = 512,
                                         .files = !(how & 2),
                                         .host_functions = how & 4 ? NULL : &functions,
                                         .log_sink = how & 8 ? NULL : &sink };
    if (how & 128)
        open_again(true);
    process.lies = how & 32;
    process.host_length = 0;
    const uint32_t request = how & 16 ? UDFVM_REQUEST_LOAD : UDFVM_REQUEST_ROW;
    const int code = udfvm_vm_call(vm, request, "x", 1, &limits, &reply, &error);
    if (code != UDFVM_OK && (error.code != code || !error.message[0]))
        defect("a failure that does not say why");
    if (code == UDFVM_OK && !reply.sealed)
        use_reply(&reply);
    if (!put_back(how & 64, &error))
        open_again(false);
    return 0;
}
