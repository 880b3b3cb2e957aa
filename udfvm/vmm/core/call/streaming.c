/* Streaming calls: many exchanges of one call without exits between them.
 *
 * The vCPU runs on a thread of its own and stays in the guest, which waits for the next request by
 * looking at a word of the call page (complete() in the guest kernel). The caller's thread posts a
 * request there and waits for the reply's header in the guest kernel's memory. A guest that has
 * waited for long exits, and its thread sleeps until the next request. Replies are copied while the
 * guest runs, so the header is copied first, then checked, and what it says is copied once.
 *
 * Here is the caller's part. What the caller does between two exchanges, or between a request and
 * its reply, is not known, so the vCPU's thread (stream_thread.c) keeps deadlines itself.
 */
#include "call/streaming.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <x86intrin.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/process.h"
#include "call/exchange.h"
#include "call/stream.h"

#define REPLY_SPIN_US    30u    /* the caller's wait for a reply, before it sleeps in between */
#define REPLY_SLEEP_NS   50000  /* the length of those sleeps */
#define INTERRUPT_ASK_US 50000u /* how often the interrupt hook is asked */
#define STREAM_AFTER     8u     /* exchanges of a call, before a thread is worth its start */

static void free_stream(struct stream *stream)
{
    pthread_cond_destroy(&stream->wake);
    pthread_mutex_destroy(&stream->lock);
    free(stream->buffer);
    free(stream);
}

void udfvm_stream_end(struct udfvm_vm *vm)
{
    struct stream *stream = vm->stream;
    if (!stream)
        return;
    if (udfvm_vm_forked(vm)) {
        /* There is no such thread, and no memory of the VM; the condition's waiter is gone for
         * good. */
        vm->stream = NULL;
        free(stream->buffer);
        free(stream);
        return;
    }
    if (vm->remote) {
        vm->remote->stream_end(vm, NULL);
    } else {
        udfvm_stream_stop_thread(stream);
        udfvm_hypervisor_allow(vm->machine.hypervisor);
    }
    vm->stream = NULL;
    udfvm_stream_let_processor_go(stream);
    vm->state = VM_BROKEN; /* it was stopped anywhere */
    udfvm_vm_place_short(vm, NULL, 0);
    udfvm_span_call_page(&vm->memory)->stream_reply = 0;
    free_stream(stream);
}

/* There is no reply yet. */
static int clear_reply(struct udfvm_vm *vm, struct udfvm_error *error)
{
    void *reply;
    if (udfvm_span_at(&vm->memory, UDFVM_STREAM_REPLY, sizeof(struct udfvm_stream_reply), &reply) !=
        0)
        return udfvm_fail_errno(error, "growing the hot set");
    memset(reply, 0, sizeof(struct udfvm_stream_reply));
    return UDFVM_OK;
}

/* The VM stands in complete(), which returns to find the first request. */
static void prepare_call_page(const struct udfvm_vm *vm)
{
    struct udfvm_call *call = udfvm_span_call_page(&vm->memory);
    call->stream_reply = UDFVM_STREAM_REPLY;
    call->stream_spin = stream_ticks(vm, vm->idle_spin_us);
    call->stream_request = 1;
    call->flags &= ~UDFVM_CALL_IN_PLACE;
    vm->machine.registers->rax = 0;
    udfvm_hypervisor_load_registers(vm->machine.hypervisor);
}

static int start_here(struct stream *stream, struct udfvm_error *error)
{
    prepare_call_page(stream->vm);
    UDFVM_TRY(clear_reply(stream->vm, error));
    return udfvm_stream_start_thread(stream, error);
}

static const struct udfvm_stream_reply *reply_of(const struct udfvm_vm *vm)
{
    return vm->remote ? vm->remote->stream_reply(vm)
                      : udfvm_machine_address(&vm->machine, UDFVM_STREAM_REPLY,
                                              sizeof(struct udfvm_stream_reply));
}

/* With a processor, which it keeps or gives back. */
static int start_stream(struct udfvm_vm *vm, struct stream_words *words, struct udfvm_error *error)
{
    struct stream *stream = calloc(1, sizeof *stream);
    if (!stream) {
        udfvm_stream_give_processor();
        return udfvm_fail_errno(error, "allocating a stream");
    }
    pthread_mutex_init(&stream->lock, NULL);
    udfvm_condition_init(&stream->wake);
    stream->vm = vm;
    stream->reply = reply_of(vm);
    stream->words = words ? words : &stream->own;
    *stream->words = (struct stream_words){ .posted = 1, .posted_at = __rdtsc() };
    stream->posted = 1;
    stream->posted_at = stream->asked = __rdtsc();
    stream->has_processor = true;
    vm->stream = stream;
    const int code = vm->remote ? vm->remote->stream_begin(vm, error) : start_here(stream, error);
    if (code == UDFVM_OK)
        return UDFVM_OK;
    vm->stream = NULL;
    udfvm_stream_let_processor_go(stream);
    udfvm_span_call_page(&vm->memory)->stream_reply = 0;
    free_stream(stream);
    return code;
}

/* The stream has a request, and its thread ended for want of one. */
static int start_again(struct stream *stream, struct udfvm_error *error)
{
    pthread_join(stream->thread, NULL);
    stream->started = stream->dormant = false;
    atomic_store(&stream->words->parked, false);
    atomic_store(&stream->number, 0);
    udfvm_error_clear(&stream->error);
    udfvm_stream_force_processor();
    stream->has_processor = true;
    return udfvm_stream_start_thread(stream, error);
}

int udfvm_stream_wake(struct udfvm_vm *vm, struct udfvm_error *error)
{
    struct stream *stream = vm->stream;
    if (vm->remote)
        return vm->remote->stream_wake(vm, error);
    pthread_mutex_lock(&stream->lock);
    const bool dormant = stream->dormant;
    pthread_cond_signal(&stream->wake);
    pthread_mutex_unlock(&stream->lock);
    return dormant ? start_again(stream, error) : UDFVM_OK;
}

static int post(struct stream *stream, struct udfvm_error *error)
{
    const uint64_t number = ++stream->posted;
    struct stream_words *words = stream->words;
    stream->posted_at = __rdtsc();
    atomic_store_explicit(&words->posted_at, stream->posted_at,
                          memory_order_relaxed); /* before the request is seen */
    __atomic_store_n(&udfvm_span_call_page(&stream->vm->memory)->stream_request, number,
                     __ATOMIC_RELEASE);
    atomic_store(&words->posted, number);
    return atomic_load(&words->parked) ? udfvm_stream_wake(stream->vm, error) : UDFVM_OK;
}

/* Whether something outside the call ends it: UDFVM_OK to go on. */
static int ask_outside(struct udfvm_vm *vm, struct udfvm_error *error)
{
    if (udfvm_monotonic_ns() >= udfvm_deadline_of_thread())
        return udfvm_fail(error, UDFVM_E_TIMEOUT,
                          "the call did not end by the deadline of the call that it is part of");
    if (vm->remote && !udfvm_vm_usable(vm))
        return udfvm_fail(error, UDFVM_E_CRASH, "the process that the micro-VM ran in has ended");
    udfvm_vm_out(vm);
    const bool stopped = udfvm_interrupted() || udfvm_vm_watched_out(vm);
    udfvm_vm_in(vm);
    if (udfvm_vm_forked(vm)) /* by a signal handler, or by the watch */
        return udfvm_vm_fail_forked(error);
    return stopped ? udfvm_fail(error, UDFVM_E_INTERRUPTED, "the call was interrupted") : UDFVM_OK;
}

/* As the vCPU's thread says. */
static int fail_ended(struct stream *stream, struct udfvm_error *error)
{
    struct udfvm_error failure = stream->error;
    if (stream->vm->remote)
        stream->vm->remote->stream_end(stream->vm, &failure);
    if (error)
        *error = failure;
    return failure.code;
}

/* Why the reply is not waited for any longer: UDFVM_OK to go on. */
static int look_up(struct stream *stream, uint64_t now, uint64_t until, struct udfvm_error *error)
{
    if (atomic_load(&stream->words->ended))
        return fail_ended(stream, error);
    if (now >= until)
        return udfvm_vm_fail_own_timeout(stream->vm, error);
    if (udfvm_ticks_between(stream->asked, now) > stream_ticks(stream->vm, INTERRUPT_ASK_US)) {
        stream->asked = now; /* whatever is asked for, and however often */
        UDFVM_TRY(ask_outside(stream->vm, error));
    }
    if (!atomic_load(&stream->words->asks))
        return UDFVM_OK;
    return stream->vm->remote ? stream->vm->remote->stream_serve(stream->vm, error)
                              : udfvm_stream_serve(stream, error);
}

static int wait_for_reply(struct stream *stream, struct udfvm_error *error)
{
    const struct timespec sleep = { .tv_nsec = REPLY_SLEEP_NS };
    const struct udfvm_vm *vm = stream->vm;
    const uint64_t number = stream->posted, start = stream->posted_at;
    const uint64_t allowed = udfvm_stream_timeout_ticks(vm),
                   until = allowed ? start + allowed : UINT64_MAX;
    for (unsigned turn = 0; __atomic_load_n(&stream->reply->number, __ATOMIC_ACQUIRE) != number;
         turn++) {
        if (turn % 64 == 63) {
            const uint64_t now = __rdtsc();
            UDFVM_TRY(look_up(stream, now, until, error));
            if (udfvm_ticks_between(start, now) > stream_ticks(vm, REPLY_SPIN_US))
                nanosleep(&sleep, NULL);
        }
        _mm_pause();
    }
    return look_up(stream, start, UINT64_MAX, error);
}

/* The reply as the guest left it, which may change while it is read. */
static int accept_reply(struct stream *stream, struct udfvm_reply *reply, struct udfvm_error *error)
{
    const struct udfvm_vm *vm = stream->vm;
    struct udfvm_stream_reply header; /* of it only what precedes the short reply */
    memcpy(&header, stream->reply, offsetof(struct udfvm_stream_reply, short_reply));
    if (header.status > UDFVM_STATUS_ERROR)
        return udfvm_fail(
            error, UDFVM_E_PROTOCOL,
            "the guest ended the call with a status that does not exist: the function's own "
            "code may have written into the memory of what runs it");
    if (header.length > vm->limits.max_output)
        return udfvm_vm_fail_output(vm, header.length, error);
    if (header.length > stream->capacity) {
        uint8_t *grown = realloc(stream->buffer, header.length * 2);
        if (!grown)
            return udfvm_fail_errno(error, "keeping a reply");
        stream->buffer = grown;
        stream->capacity = header.length * 2;
    }
    if (header.length)
        memcpy(stream->buffer,
               header.length <= sizeof stream->reply->short_reply ? stream->reply->short_reply
                                                                  : vm->machine.output,
               header.length);
    *reply = (struct udfvm_reply){ .status = (int)header.status,
                                   .data = stream->buffer,
                                   .length = header.length };
    atomic_store_explicit(&stream->words->accepted, ++stream->accepted, memory_order_release);
    return UDFVM_OK;
}

/* What the guest wrote meanwhile is in the other process. */
static int take_log(struct stream *stream, struct udfvm_error *error)
{
    const unsigned long logged = atomic_load(&stream->words->logged);
    if (logged == stream->logged)
        return UDFVM_OK;
    stream->logged = logged;
    return stream->vm->remote->stream_log(stream->vm, error);
}

/* Waits for the reply to the request that was posted last. */
static int receive(struct udfvm_vm *vm, struct udfvm_reply *reply, struct udfvm_error *error)
{
    struct stream *stream = vm->stream;
    *reply = (struct udfvm_reply){ .sealed = 0 };
    int code = wait_for_reply(stream, error);
    udfvm_costs_streamed(&vm->costs, stream->posted_at);
    if (code == UDFVM_OK)
        code = accept_reply(stream, reply, error);
    if (code == UDFVM_OK && vm->remote)
        code = take_log(stream, error);
    if (code != UDFVM_OK) {
        code = udfvm_vm_blame_data(vm, code, error);
        udfvm_stream_end(vm);
    }
    code = udfvm_log_give(vm, code, reply->status == UDFVM_STATUS_ERROR, error);
    return udfvm_costs_replied(&vm->costs, code, reply);
}

/* Whether the next exchange of a call by exits can begin a stream. */
static bool may_stream(const struct udfvm_vm *vm, const struct udfvm_limits *limits)
{
    const bool by_exits = limits &&
                          limits->host_functions; /* their calls are made on this thread */
    const bool cannot = vm->remote && !vm->remote->stream_begin;
    return !by_exits && !cannot && vm->state == VM_STOPPED && vm->idle_spin_us != 0;
}

static bool begins_stream(struct udfvm_vm *vm, const struct udfvm_limits *limits)
{
    return may_stream(vm, limits) && ++vm->exchanges >= STREAM_AFTER &&
           udfvm_stream_take_processor();
}

static int begin_stream(struct udfvm_vm *vm, uint32_t request, const void *input, uint64_t length,
                        const struct udfvm_limits *limits, struct udfvm_error *error)
{
    int code;
    if (vm->remote) {
        code = udfvm_vm_place(vm, request, input, length, limits, error);
        vm->remote_request = request;
        vm->remote_length = length;
    } else {
        code = udfvm_vm_request(vm, request, input, length, limits, error);
        udfvm_deadline_stop(&vm->deadline); /* the caller's thread keeps it itself */
    }
    if (code != UDFVM_OK) {
        udfvm_stream_give_processor();
        return code;
    }
    return start_stream(vm, vm->remote ? vm->remote->stream_words(vm) : NULL, error);
}

int udfvm_stream_begin(struct udfvm_vm *vm, uint32_t request, uint64_t length,
                       const struct udfvm_limits *limits, struct stream_words *words,
                       struct udfvm_error *error)
{
    UDFVM_TRY(udfvm_vm_request(vm, request, NULL, length, limits, error));
    udfvm_deadline_stop(&vm->deadline);
    udfvm_stream_force_processor(); /* the other process took one */
    return start_stream(vm, words, error);
}

int udfvm_stream_ended(const struct udfvm_vm *vm, struct udfvm_error *error)
{
    if (!vm->stream || !atomic_load(&vm->stream->words->ended))
        return UDFVM_OK;
    *error = vm->stream->error;
    return error->code;
}

static int go_on(struct udfvm_vm *vm, uint32_t request, const void *input, uint64_t length,
                 struct udfvm_error *error)
{
    if (stream_owes_reply(vm->stream))
        return udfvm_fail(error, UDFVM_E_ARGUMENT,
                          "the reply to the request before must be received first");
    UDFVM_TRY(udfvm_vm_place_request(vm, request, input, length, error));
    const int code = post(vm->stream, error);
    if (code != UDFVM_OK)
        udfvm_stream_end(vm);
    return code;
}

/* In a stream, or as the first of one, for which a processor was taken. */
static int send(struct udfvm_vm *vm, uint32_t request, const void *input, uint64_t length,
                const struct udfvm_limits *limits, struct udfvm_error *error)
{
    udfvm_costs_exchange(vm, request, length, limits);
    const int code = vm->stream ? go_on(vm, request, input, length, error)
                                : begin_stream(vm, request, input, length, limits, error);
    return code == UDFVM_OK ? code : udfvm_costs_replied(&vm->costs, code, NULL);
}

int udfvm_vm_stream_call(udfvm_vm *vm, uint32_t request, const void *input, uint64_t length,
                         const struct udfvm_limits *limits, struct udfvm_reply *reply,
                         struct udfvm_error *error)
{
    udfvm_error_clear(error);
    UDFVM_TRY(udfvm_vm_check(vm, error));
    if (!vm->stream && !begins_stream(vm, limits))
        return udfvm_vm_call(vm, request, input, length, limits, reply, error);
    UDFVM_TRY(send(vm, request, input, length, limits, error));
    return receive(vm, reply, error);
}

int udfvm_vm_stream_send(udfvm_vm *vm, uint32_t request, const void *input, uint64_t length,
                         const struct udfvm_limits *limits, struct udfvm_error *error)
{
    udfvm_error_clear(error);
    UDFVM_TRY(udfvm_vm_check(vm, error));
    if (!vm->stream && (!may_stream(vm, limits) || !udfvm_stream_take_processor()))
        return udfvm_fail(error, UDFVM_E_BUSY, "this call goes on by exits");
    return send(vm, request, input, length, limits, error);
}

int udfvm_vm_stream_receive(udfvm_vm *vm, struct udfvm_reply *reply, struct udfvm_error *error)
{
    udfvm_error_clear(error);
    UDFVM_TRY(udfvm_vm_check(vm, error));
    if (!vm->stream || !stream_owes_reply(vm->stream))
        return udfvm_fail(error, UDFVM_E_ARGUMENT, "no request was sent");
    return receive(vm, reply, error);
}
