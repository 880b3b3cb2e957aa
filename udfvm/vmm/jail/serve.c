/* What the program asks for is done with one VM, in this process. */
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/error.h"
#include "call/streaming.h"
#include "call/vm.h"
#include "call/watchdog.h"
#include "jail.h"
#include "jail/descriptors.h"

/* Receives the descriptors that a message speaks of. */
static int receive(uint32_t expected, int files[MAX_JAIL_FILES], struct udfvm_error *error)
{
    size_t count = MAX_JAIL_FILES;
    char byte;
    if (udfvm_receive_files(JAIL_SOCKET, &byte, 1, files, &count) != 1 || count != expected)
        return udfvm_fail(error, UDFVM_E_PROTOCOL, "descriptors did not come as they should");
    return UDFVM_OK;
}

static int keep_image(struct jail *jail, const struct jail_message *message, int file,
                      struct udfvm_error *error)
{
    struct udfvm_image **place = &jail->images[message->slot % JAIL_IMAGES];
    struct udfvm_image *image = udfvm_image_open_within(
        file, message->offset, message->bytes, place == jail->images ? NULL : jail->images[0],
        error);
    if (!image)
        return UDFVM_E_IMAGE;
    udfvm_image_close(*place);
    *place = image;
    return UDFVM_OK;
}

static int open_vm(struct jail *jail, const struct jail_message *message, int files[MAX_JAIL_FILES],
                   struct udfvm_error *error)
{
    const struct shared_windows windows = { files[1], files[2] };
    UDFVM_TRY(keep_image(jail, message, files[0], error));
    jail->vm = udfvm_vm_open_shared(jail->images[0], &message->config, &windows, &jail->files,
                                    error);
    files[2] = -1; /* what is in it is looked up as long as the VM lives */
    return jail->vm ? UDFVM_OK : UDFVM_E_SYSTEM;
}

static int bind(struct jail *jail, const struct jail_message *message, int file,
                struct udfvm_error *error)
{
    if (message->files)
        UDFVM_TRY(keep_image(jail, message, file, error));
    return udfvm_vm_bind(jail->vm, jail->images[message->slot % JAIL_IMAGES], error);
}

static int seal(const struct jail *jail, const struct jail_message *message, int file,
                struct udfvm_error *error)
{
    return udfvm_vm_seal_named(jail->vm, file, message->named ? jail->data : NULL,
                               jail->data + JAIL_NAME_BYTES, message->length, error);
}

static void describe_seal(const struct jail *jail, struct jail_answer *answer)
{
    answer->sealed = 1;
    memcpy(jail->data, udfvm_vm_seal_info(jail->vm), sizeof(struct udfvm_seal_info));
}

static void describe_reply(const struct jail *jail, const struct udfvm_reply *reply, bool may_stop,
                           struct jail_answer *answer)
{
    const struct udfvm_vm *vm = jail->vm;
    answer->status = reply->status;
    answer->length = reply->length;
    answer->stops = may_stop && !reply->sealed && reply->length >= MIN_FROZEN;
    if (reply->status == UDFVM_STATUS_OK && reply->length > vm->limits.max_output)
        answer->status = UDFVM_STATUS_IN_PLACE;
    if (reply->sealed)
        describe_seal(jail, answer);
}

static struct udfvm_limits limits_of(struct jail *jail, const struct jail_message *message)
{
    jail->host_functions.max_calls = message->max_host_calls;
    return (struct udfvm_limits){
        .timeout_ns = message->timeout_ns,
        .max_output = message->max_output,
        .reply_frame = message->reply_frame,
        .max_log = message->max_log,
        .files = message->reads_files != 0,
        .deterministic = message->deterministic != 0,
        .host_functions = message->host_functions ? &jail->host_functions : NULL,
        .log_sink = &jail->log_sink,
        .strict_log = message->strict_log != 0,
    };
}

static int call(struct jail *jail, const struct jail_message *message, struct jail_answer *answer,
                struct udfvm_error *error)
{
    const struct udfvm_limits limits = limits_of(jail, message);
    struct udfvm_reply reply;
    udfvm_span_written(&jail->vm->memory, message->length);
    const int code = udfvm_vm_call(jail->vm, message->request, NULL, message->length, &limits,
                                   &reply, error);
    if (code == UDFVM_OK)
        describe_reply(jail, &reply, message->may_stop != 0, answer);
    return code;
}

static int boot(struct jail *jail, const struct jail_message *message, int files[MAX_JAIL_FILES],
                struct jail_answer *answer, struct udfvm_error *error)
{
    const struct shared_windows windows = { files[1], files[2] };
    const struct udfvm_limits limits = limits_of(jail, message);
    void *kernel = mmap(NULL, message->bytes, PROT_READ, MAP_SHARED, files[0], 0);
    if (kernel == MAP_FAILED)
        return udfvm_fail_errno(error, "mapping the guest kernel");
    jail->vm = udfvm_boot_create(&message->config, kernel, message->bytes, &windows, &jail->files,
                                 error);
    munmap(kernel, message->bytes);
    files[2] = -1; /* as for open_vm */
    if (!jail->vm)
        return UDFVM_E_SYSTEM;
    udfvm_span_written(&jail->vm->memory, message->length);
    UDFVM_TRY(udfvm_boot_run(jail->vm, NULL, message->length, &limits, error));
    describe_seal(jail, answer);
    return UDFVM_OK;
}

static int begin_stream(struct jail *jail, const struct jail_message *message,
                        struct udfvm_error *error)
{
    const struct udfvm_limits limits = limits_of(jail, message);
    udfvm_vm_set_end(jail->vm, message->end_ns);
    udfvm_vm_set_idle_spin(jail->vm, message->idle_spin_us);
    udfvm_span_written(&jail->vm->memory, message->length);
    return udfvm_stream_begin(jail->vm, message->request, message->length, &limits,
                              &jail->control->stream, error);
}

/* What the guest wrote last is asked for before its memory is put back. */
static int end_stream(struct jail *jail, struct udfvm_error *error)
{
    struct udfvm_error unasked;
    if (!jail->vm->stream)
        return UDFVM_OK;
    const int code = udfvm_stream_ended(jail->vm, error);
    refuse_turns(jail, true);
    udfvm_stream_end(jail->vm);
    refuse_turns(jail, false);
    udfvm_watchdog_rest(); /* calls need none: see struct jail_answer, stops */
    udfvm_log_give(jail->vm, UDFVM_E_TIMEOUT, true, &unasked);
    return code;
}

/* The program closes what a call left open itself. It goes on meanwhile, so memory is zeroed at
 * once rather than before the next call. */
static int restore(struct jail *jail, struct udfvm_error *error)
{
    jail->silent = true;
    const int code = udfvm_vm_restore(jail->vm, error);
    jail->silent = false;
    return code == UDFVM_OK ? udfvm_unlogged_settle(&jail->vm->memory, error) : code;
}

static int stream(struct jail *jail, const struct jail_message *message, struct udfvm_error *error)
{
    switch (message->kind) {
    case JAIL_STREAM:
        return begin_stream(jail, message, error);
    case JAIL_WAKE:
        return jail->vm->stream ? udfvm_stream_wake(jail->vm, error) : UDFVM_OK;
    case JAIL_STREAM_SERVE:
        give_turn(jail);
        return UDFVM_OK;
    case JAIL_STREAM_LOG:
        return udfvm_log_give(jail->vm, UDFVM_OK, false, error);
    default:
        return end_stream(jail, error);
    }
}

static int dispatch(struct jail *jail, const struct jail_message *message,
                    int files[MAX_JAIL_FILES], struct jail_answer *answer,
                    struct udfvm_error *error)
{
    switch (message->kind) {
    case JAIL_OPEN:
        return open_vm(jail, message, files, error);
    case JAIL_BOOT:
        return boot(jail, message, files, answer, error);
    case JAIL_DATA:
        return take_data(jail, message, files[0], error);
    case JAIL_BIND:
        return bind(jail, message, files[0], error);
    case JAIL_CALL:
        return call(jail, message, answer, error);
    case JAIL_STREAM ... JAIL_STREAM_END:
        return stream(jail, message, error);
    case JAIL_RESTORE:
        return restore(jail, error);
    case JAIL_DROP:
        return udfvm_vm_drop_buffers(jail->vm, error);
    case JAIL_SHRINK:
        return udfvm_vm_shrink(jail->vm, error);
    case JAIL_SEAL:
        return seal(jail, message, files[0], error);
    default:
        return udfvm_fail(error, UDFVM_E_PROTOCOL, "there is no message %u", message->kind);
    }
}

static void add_counters(const struct jail *jail, struct jail_answer *answer)
{
    struct udfvm_vm_statistics statistics;
    if (!jail->vm)
        return;
    udfvm_vm_statistics(jail->vm, &statistics);
    answer->exits = statistics.exits;
    answer->restores = statistics.restores;
    answer->hot_pages = statistics.hot_pages;
    answer->pages_copied = statistics.pages_copied;
    answer->put_back = jail->vm->memory.hot.put_back;
    answer->written = udfvm_memory_written(&jail->vm->memory);
    answer->unlogged_open = jail->vm->machine.unlogged_open;
    answer->large = jail->vm->memory.large;
    answer->tsc_khz = jail->vm->tsc_khz;
}

static void describe_failure(struct jail_answer *answer, const struct udfvm_error *error)
{
    answer->os_errno = error->os_errno;
    answer->signal = error->signal;
    answer->address = error->address;
    answer->rip = error->rip;
    memcpy(answer->message, error->message, sizeof answer->message);
}

void serve(struct jail *jail)
{
    for (;;) {
        const struct jail_message message = *next_message(jail);
        struct jail_answer answer;
        struct udfvm_error error = { .code = UDFVM_OK };
        int files[MAX_JAIL_FILES] = { -1, -1, -1, -1 };
        memset(&answer, 0, offsetof(struct jail_answer, message));
        answer.kind = JAIL_DONE;
        answer.code = message.files ? receive(message.files, files, &error) : UDFVM_OK;
        if (answer.code == UDFVM_OK)
            answer.code = dispatch(jail, &message, files, &answer, &error);
        if (answer.code != UDFVM_OK)
            describe_failure(&answer, &error);
        for (size_t i = 0; i < MAX_JAIL_FILES; i++)
            if (files[i] >= 0)
                close(files[i]);
        add_counters(jail, &answer);
        give_answer(jail, &answer);
        if (answer.stops)
            syscall(SYS_tgkill, getpid(), (pid_t)syscall(SYS_gettid), SIGSTOP);
    }
}
