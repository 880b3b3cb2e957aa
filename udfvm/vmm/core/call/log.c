/* What the program writes to its standard output and error in a call: kept in order up to a
 * limit, and given to the embedder at the end of each exchange. In a streaming call it arrives
 * on the vCPU's thread and is given away on the caller's. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api.h"
#include "base/error.h"
#include "call/hypercall.h"
#include "call/stream.h"
#include "call/vm.h"

#define MAX_WRITE    65536u /* bytes of one hypercall */
#define NOTE_SIZE    128u
#define FAILURE_SIZE 256u

void udfvm_log_create(struct log *log)
{
    pthread_mutex_init(&log->lock, NULL);
}

void udfvm_log_destroy(struct log *log)
{
    free(log->text);
    free(log->parts);
    pthread_mutex_destroy(&log->lock);
}

void udfvm_log_clear(struct log *log)
{
    const size_t length = atomic_load_explicit(&log->length, memory_order_relaxed);
    if (length == 0)
        return;
    memset(log->text, 0, length);
    atomic_store_explicit(&log->length, 0, memory_order_relaxed);
    log->given = log->part_count = 0;
    log->cut = false;
}

char *udfvm_log_copy(const struct log *log)
{
    const size_t length = log->length;
    char *text = malloc(length + 1);
    if (text) {
        memcpy(text, length ? log->text : "", length);
        text[length] = 0;
    }
    return text;
}

static bool reserve_text(struct log *log, size_t needed)
{
    if (needed <= log->capacity)
        return true;
    char *grown = realloc(log->text, 2 * needed);
    if (!grown)
        return false;
    log->text = grown;
    log->capacity = 2 * needed;
    return true;
}

static bool reserve_part(struct log *log)
{
    if (log->part_count < log->part_capacity)
        return true;
    const size_t capacity = 2 * log->part_capacity + 8;
    struct udfvm_log_part *grown = realloc(log->parts, capacity * sizeof *grown);
    if (!grown)
        return false;
    log->parts = grown;
    log->part_capacity = capacity;
    return true;
}

/* Text of a stream goes on with the part before where that is of the same one and not given
 * away. */
static bool append(struct log *log, int stream, const char *text, size_t length)
{
    const size_t before = atomic_load_explicit(&log->length, memory_order_relaxed);
    struct udfvm_log_part *last = log->part_count ? &log->parts[log->part_count - 1] : NULL;
    const bool joins = last && last->stream == stream && before > log->given;
    if (length == 0)
        return true;
    if (!reserve_text(log, before + length) || (!joins && !reserve_part(log)))
        return false;
    memcpy(log->text + before, text, length);
    if (!joins)
        log->parts[log->part_count++].stream = stream;
    log->parts[log->part_count - 1].end = before + length;
    atomic_store_explicit(&log->length, before + length, memory_order_release);
    return true;
}

/* As many of the first `length` bytes as are whole characters of UTF-8; a byte follows them. */
static size_t whole_characters(const char *text, size_t length)
{
    size_t whole = length;
    while (whole > 0 && length - whole < 3 && ((uint8_t)text[whole] & 0xC0) == 0x80)
        whole--;
    return ((uint8_t)text[whole] & 0xC0) == 0x80 ? length : whole;
}

static bool append_cut(struct udfvm_vm *vm, int stream, const char *text, size_t length)
{
    struct log *log = &vm->log;
    const size_t before = atomic_load_explicit(&log->length, memory_order_relaxed);
    const uint64_t limit = vm->limits.max_log, left = before < limit ? limit - before : 0;
    char note[NOTE_SIZE];
    if (log->cut)
        return true;
    if (length <= left)
        return append(log, stream, text, length);
    log->cut = true;
    const size_t kept = whole_characters(text, (size_t)left);
    const int noted = snprintf(note, sizeof note, "\n[udfvm: output cut at %s; raise max_log=]\n",
                               udfvm_format_size(limit).text);
    return append(log, stream, text, kept) && append(log, stream, note, (size_t)noted);
}

bool udfvm_log_add(struct log *log, int stream, const char *text, size_t length)
{
    pthread_mutex_lock(&log->lock);
    const bool added = append(log, stream, text, length);
    pthread_mutex_unlock(&log->lock);
    return added;
}

int udfvm_log_print(struct udfvm_vm *vm, int stream, const char *text, size_t length,
                    struct udfvm_error *error)
{
    struct log *log = &vm->log;
    const bool strict = vm->limits.strict_log;
    pthread_mutex_lock(&log->lock);
    const bool kept = append_cut(vm, stream == 2 ? 2 : 1, text, length);
    const bool cut = log->cut;
    if (vm->stream)
        atomic_store(&vm->stream->words->logged, log->length);
    pthread_mutex_unlock(&log->lock);
    if (!kept) {
        errno = ENOMEM;
        return udfvm_fail_errno(error, "keeping the guest's log");
    }
    if (cut && strict)
        return udfvm_fail(error, UDFVM_E_LOG,
                          "the function wrote more than %s to its standard output and error",
                          udfvm_format_size(vm->limits.max_log).text);
    return UDFVM_OK;
}

int udfvm_log_hypercall(struct udfvm_vm *vm, struct registers *regs, struct udfvm_error *error)
{
    const uint64_t length = regs->rdx;
    const void *text = NULL;
    if (length <= MAX_WRITE)
        text = udfvm_machine_address(&vm->machine, regs->rsi, length);
    regs->rax = text ? 0 : (uint64_t)-EFAULT;
    if (text && udfvm_log_print(vm, (int)regs->rdi, text, length, error) != UDFVM_OK)
        return HYPERCALL_FAILED;
    return HYPERCALL_CONTINUE;
}

/* What the guest kernel had not sent yet when the call ended in the middle of it. */
static void take_pending(struct udfvm_vm *vm)
{
    struct udfvm_pending_log pending;
    const void *from = udfvm_machine_address(&vm->machine, UDFVM_PENDING_LOG, sizeof pending);
    if (!from || udfvm_vm_forked(vm)) /* a child has not that memory */
        return;
    memcpy(&pending, from, sizeof pending);
    if (pending.length <= sizeof pending.text)
        udfvm_log_print(vm, (int)pending.stream, pending.text, pending.length, NULL);
}

/* A call that failed fails as it did. */
static int not_passed_on(int code, const char *why, struct udfvm_error *error)
{
    const char *const what = "what the function printed could not be passed on";
    const char *const colon = *why ? ": " : "";
    if (code == UDFVM_OK)
        return udfvm_fail(error, UDFVM_E_HOST_FUNCTION, "%s%s%s", what, colon, why);
    if (error) {
        const size_t length = strlen(error->message);
        snprintf(error->message + length, sizeof error->message - length, "; %s%s%s", what, colon,
                 why);
    }
    return code;
}

int udfvm_log_give(struct udfvm_vm *vm, int code, bool failed, struct udfvm_error *error)
{
    const struct udfvm_log_sink *sink = vm->limits.log_sink;
    struct log *log = &vm->log;
    if (udfvm_vm_forked(vm)) /* neither what the guest wrote last nor who takes it is here */
        return code;
    if (code != UDFVM_OK)
        take_pending(vm);
    if (!sink)
        return code;
    failed |= code != UDFVM_OK;
    if (!failed && atomic_load_explicit(&log->length, memory_order_acquire) == log->given)
        return code;
    pthread_mutex_lock(&log->lock);
    const struct udfvm_log given = {
        .text = log->text,
        .length = log->length,
        .given = log->given,
        .parts = log->parts,
        .part_count = log->part_count,
    };
    log->given = given.length;
    char failure[FAILURE_SIZE] = "";
    udfvm_vm_out(vm);
    const int taken = sink->take(sink->context, &given, failed, failure);
    udfvm_vm_in(vm);
    pthread_mutex_unlock(&log->lock);
    if (udfvm_vm_forked(vm)) /* by the sink: neither a reply nor a reason is here */
        return udfvm_vm_fail_forked(error);
    return taken == 0 ? code : not_passed_on(code, failure, error);
}
