/* Streaming calls: many exchanges of one call without exits between them.
 *
 * The vCPU runs on a thread of its own and stays in the guest, which waits for the next request by
 * looking at a word of the input window (complete() in the guest kernel). The caller's thread posts
 * a request there and waits for the reply in the trap page of the kernel. A guest that has
 * waited for long exits, and its thread sleeps until the next request. Replies are copied while the
 * guest runs, so the header is copied first, checked, and what it says is copied once.
 *
 * What the caller does in between is not known: so the vCPU's thread looks from time to time
 * itself, whether an exchange is past its deadline, and takes a guest out that goes on where
 * nothing was asked of it. The next request lets it in again.
 */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

#include "image/image.h"

#define REPLY_SPIN_US    30u    /* the caller's wait for a reply, before it sleeps in between */
#define REPLY_SLEEP_NS   50000  /* the length of those sleeps */
#define MAX_SLEEP_S      1      /* how long a sleeping stream keeps its thread, and its place */
#define INTERRUPT_ASK_US 50000u /* how often the interrupt hook is asked */

struct stream {
    struct udfvm_vm *vm;
    pthread_t thread;
    atomic_int number; /* of the thread; 0: it has not begun, and sees the stop */
    pthread_mutex_t lock;
    pthread_cond_t wake;
    atomic_ulong posted, accepted; /* requests, replies: by the caller's thread */
    atomic_ulong posted_at;        /* time stamp of the last request */
    unsigned long
        idle_number; /* by the vCPU's thread: the last request, where a look found it answered, */
    uint64_t idle_since;             /* and the time stamp of that look */
    atomic_bool parked, stop, ended; /* ended: the thread is done, with `error` */
    bool dormant;   /* with the lock: the thread ends, and the next request starts another */
    bool started;   /* there is a thread to join */
    bool has_place; /* by the vCPU's thread, while it lives */
    struct udfvm_error error;
    const struct udfvm_stream_reply *reply;
    uint64_t asked;  /* time stamp of the last look at the interrupt hook */
    uint8_t *buffer; /* the last reply, for the caller */
    uint64_t capacity;
};

static uint64_t ticks(const struct udfvm_vm *vm, uint64_t microseconds)
{
    return microseconds * vm->tsc_khz / 1000;
}

/* 0: no limit. */
static uint64_t timeout_ticks(const struct udfvm_vm *vm)
{
    const uint64_t microseconds = vm->limits.timeout_ns / 1000;
    return vm->limits.timeout_ns == 0 || microseconds > UINT64_MAX / 1000000
               ? 0
               : ticks(vm, microseconds + 1);
}

/* ---- Places. Threads that spin against each other for a processor are slower than exits: so only
 * as many calls are streamed at a time as there are processors beside the caller's. ---- */

static atomic_int places_taken;

void udfvm_stream_forget_places(void)
{
    atomic_store(&places_taken, 0);
}

static bool take_place(void)
{
    cpu_set_t set;
    const int places = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) - 1 : 0;
    int taken = atomic_load(&places_taken);
    while (taken < places)
        if (atomic_compare_exchange_weak(&places_taken, &taken, taken + 1))
            return true;
    return false;
}

static void give_place(struct stream *stream)
{
    if (stream->has_place)
        atomic_fetch_sub(&places_taken, 1);
    stream->has_place = false;
}

/* ---- The vCPU's thread ---- */

static bool nothing_to_do(const struct stream *stream)
{
    return !atomic_load(&stream->stop) &&
           atomic_load(&stream->posted) == atomic_load(&stream->accepted);
}

/* Sleeps until there is a request to answer; false: the thread is to end. Where there is none for
 * long it ends as well: a thread that stayed would keep a process whose others have ended. */
static bool wait_for_request(struct stream *stream)
{
    pthread_mutex_lock(&stream->lock);
    atomic_store(&stream->parked, true);
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += MAX_SLEEP_S;
    while (nothing_to_do(stream) &&
           pthread_cond_timedwait(&stream->wake, &stream->lock, &until) == 0)
        ;
    stream->dormant = nothing_to_do(stream);
    if (stream->dormant)
        give_place(stream);
    else
        atomic_store(&stream->parked, false);
    const bool goes_on = !stream->dormant && !atomic_load(&stream->stop);
    pthread_mutex_unlock(&stream->lock);
    return goes_on;
}

/* The guest had nothing to do at an earlier look already, for longer than it may wait for a
 * request. */
static bool idle_for_long(struct stream *stream, uint64_t now)
{
    const unsigned long posted = atomic_load(&stream->posted);
    if (!nothing_to_do(stream))
        return false;
    if (stream->idle_number == posted)
        return udfvm_ticks_between(stream->idle_since, now) >
               ticks(stream->vm, stream->vm->idle_spin_us);
    stream->idle_number = posted;
    stream->idle_since = now;
    return false;
}

static int fail_timeout(const struct udfvm_vm *vm, struct udfvm_error *error)
{
    return udfvm_fail(error, UDFVM_E_TIMEOUT, "the call did not end within %.3g s",
                      (double)vm->limits.timeout_ns / 1e9);
}

static int check_deadlines(const struct stream *stream, uint64_t now, struct udfvm_error *error)
{
    const struct udfvm_vm *vm = stream->vm;
    const uint64_t allowed = timeout_ticks(vm);
    if (nothing_to_do(stream))
        return UDFVM_OK;
    if (allowed && udfvm_ticks_between(atomic_load(&stream->posted_at), now) > allowed)
        return fail_timeout(vm, error);
    return vm->end_ns && udfvm_monotonic_ns() >= vm->end_ns
               ? udfvm_fail(error, UDFVM_E_TIMEOUT,
                            "the call did not end in the time of its statement")
               : UDFVM_OK;
}

int udfvm_stream_look(struct udfvm_vm *vm, struct udfvm_error *error)
{
    struct stream *stream = vm->stream;
    if (atomic_load(&vm->deadline.due)) {
        const uint64_t now = __rdtsc();
        int code = check_deadlines(stream, now, error);
        if (code != UDFVM_OK)
            return code;
        if (idle_for_long(stream, now) && !wait_for_request(stream))
            return udfvm_fail(error, UDFVM_E_TIMEOUT,
                              "the stream was ended, or waits without a thread");
        udfvm_deadline_looked(&vm->deadline);
    }
    /* After the look, which lets the vCPU run on: whoever ends the stream says so first, and then
     * stops it. */
    return atomic_load(&stream->stop) || atomic_load(&vm->deadline.expired)
               ? udfvm_fail(error, UDFVM_E_TIMEOUT, "the stream was ended")
               : UDFVM_OK;
}

/* Runs the guest until the thread is to end; how the last exit was. */
static int run_guest(struct stream *stream)
{
    struct udfvm_vm *vm = stream->vm;
    struct registers *registers = vm->machine.registers;
    for (;;) {
        const int kind = udfvm_vm_run_vcpu(vm, &stream->error);
        if (kind != HYPERCALL_COMPLETE || registers->rdi != UDFVM_STATUS_IDLE)
            return kind;
        registers->rax = 0;
        udfvm_hypervisor_load_registers(vm->machine.hypervisor);
        if (!wait_for_request(stream))
            return kind;
    }
}

static void *run_stream(void *argument)
{
    struct stream *stream = argument;
    struct udfvm_vm *vm = stream->vm;
    int kind = HYPERCALL_FAILED;
    atomic_store(&stream->number, (int)syscall(SYS_gettid));
    vm->deadline.looks = true;
    if (udfvm_deadline_start(&vm->deadline, vm->machine.hypervisor, 0, &stream->error) ==
            UDFVM_OK &&
        !atomic_load(&stream->stop))
        kind = run_guest(stream);
    udfvm_deadline_stop(&vm->deadline);
    if (stream->dormant)
        return NULL;
    if (kind != HYPERCALL_FAILED && !atomic_load(&stream->stop))
        udfvm_fail(&stream->error, UDFVM_E_PROTOCOL, "the guest left its streaming call");
    atomic_store(&stream->ended, true);
    return NULL;
}

/* Makes the vCPU's thread leave the guest, or its sleep. */
static void kick(struct stream *stream)
{
    udfvm_hypervisor_stop(stream->vm->machine.hypervisor);
    pthread_mutex_lock(&stream->lock);
    const bool runs = !stream->dormant;
    pthread_cond_signal(&stream->wake);
    pthread_mutex_unlock(&stream->lock);
    if (runs) /* or the number may be another thread's by now */
        udfvm_kick(atomic_load(&stream->number));
}

/* ---- The caller's thread ---- */

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
    if (udfvm_vm_forked(vm)) { /* there is no such thread, and no memory of the VM; the condition's
                                  waiter is gone for good */
        vm->stream = NULL;
        free(stream->buffer);
        free(stream);
        return;
    }
    atomic_store(&stream->stop, true);
    if (stream->started) {
        kick(stream);
        pthread_join(stream->thread, NULL);
    }
    vm->stream = NULL;
    give_place(stream);
    udfvm_hypervisor_allow(vm->machine.hypervisor);
    vm->state = VM_BROKEN; /* it was stopped anywhere */
    udfvm_span_call_page(vm)->stream_reply = 0;
    free_stream(stream);
}

/* The thread takes no signals: they are for the program's own threads. */
static int start_thread(struct stream *stream, struct udfvm_error *error)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    errno = pthread_create(&stream->thread, NULL, run_stream, stream);
    int failed = errno;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    stream->started = failed == 0;
    errno = failed;
    return failed ? udfvm_fail_errno(error, "starting the vCPU's thread") : UDFVM_OK;
}

/* There is no reply yet. */
static int clear_reply(struct udfvm_vm *vm, struct udfvm_error *error)
{
    void *reply;
    if (udfvm_span_at(vm, UDFVM_STREAM_REPLY, sizeof(struct udfvm_stream_reply), &reply) != 0)
        return udfvm_fail_errno(error, "growing the hot set");
    memset(reply, 0, sizeof(struct udfvm_stream_reply));
    return UDFVM_OK;
}

static int start_stream(struct udfvm_vm *vm, struct udfvm_error *error)
{
    struct stream *stream = calloc(1, sizeof *stream);
    if (!stream) {
        atomic_fetch_sub(&places_taken, 1);
        return udfvm_fail_errno(error, "allocating a stream");
    }
    pthread_mutex_init(&stream->lock, NULL);
    udfvm_condition_init(&stream->wake);
    stream->vm = vm;
    stream->reply = udfvm_machine_address(&vm->machine, UDFVM_STREAM_REPLY, sizeof *stream->reply);
    stream->posted = 1;
    stream->posted_at = __rdtsc();
    stream->asked = __rdtsc();
    struct udfvm_call *call = udfvm_span_call_page(vm);
    call->stream_reply = UDFVM_STREAM_REPLY;
    call->stream_spin = ticks(vm, vm->idle_spin_us);
    call->stream_request = 1;
    call->flags &= ~UDFVM_CALL_IN_PLACE;
    vm->machine.registers->rax = 0; /* the VM stands in complete(), which returns */
    udfvm_hypervisor_load_registers(vm->machine.hypervisor);
    stream->has_place = true;
    int code = clear_reply(vm, error);
    vm->stream = stream;
    if (code == UDFVM_OK)
        code = start_thread(stream, error);
    if (code != UDFVM_OK) {
        vm->stream = NULL;
        give_place(stream);
        call->stream_reply = 0;
        free_stream(stream);
    }
    return code;
}

/* The stream has a request, and its thread ended for want of one. */
static int start_again(struct stream *stream, struct udfvm_error *error)
{
    pthread_join(stream->thread, NULL);
    stream->started = stream->dormant = false;
    atomic_store(&stream->parked, false);
    atomic_store(&stream->number, 0);
    udfvm_error_clear(&stream->error);
    atomic_fetch_add(&places_taken, 1); /* it goes on even where there is none */
    stream->has_place = true;
    return start_thread(stream, error);
}

static int post(struct stream *stream, struct udfvm_error *error)
{
    const uint64_t number = atomic_load(&stream->posted) + 1;
    atomic_store_explicit(&stream->posted_at, __rdtsc(),
                          memory_order_relaxed); /* before the request is seen */
    __atomic_store_n(&udfvm_span_call_page(stream->vm)->stream_request, number, __ATOMIC_RELEASE);
    atomic_store(&stream->posted, number);
    if (!atomic_load(&stream->parked))
        return UDFVM_OK;
    pthread_mutex_lock(&stream->lock);
    const bool dormant = stream->dormant;
    pthread_cond_signal(&stream->wake);
    pthread_mutex_unlock(&stream->lock);
    return dormant ? start_again(stream, error) : UDFVM_OK;
}

/* Why the reply is not waited for any longer: UDFVM_OK to go on. */
static int look_up(struct stream *stream, uint64_t now, uint64_t until, struct udfvm_error *error)
{
    if (atomic_load(&stream->ended)) {
        if (error)
            *error = stream->error;
        return stream->error.code;
    }
    if (now >= until)
        return fail_timeout(stream->vm, error);
    if (udfvm_ticks_between(stream->asked, now) > ticks(stream->vm, INTERRUPT_ASK_US)) {
        stream->asked = now;
        if (udfvm_monotonic_ns() >= udfvm_deadline_of_thread())
            return udfvm_fail(
                error, UDFVM_E_TIMEOUT,
                "the call did not end by the deadline of the call that it is part of");
        udfvm_vm_out(stream->vm);
        const bool stopped = udfvm_interrupted() || udfvm_vm_watched_out(stream->vm);
        udfvm_vm_in(stream->vm);
        if (udfvm_vm_forked(stream->vm)) /* by a signal handler, or by the watch */
            return udfvm_vm_fail_forked(error);
        if (stopped)
            return udfvm_fail(error, UDFVM_E_INTERRUPTED, "the call was interrupted");
    }
    return UDFVM_OK;
}

static int wait_for_reply(struct stream *stream, struct udfvm_error *error)
{
    const struct timespec sleep = { .tv_nsec = REPLY_SLEEP_NS };
    const struct udfvm_vm *vm = stream->vm;
    const uint64_t number = atomic_load(&stream->posted),
                   start = atomic_load_explicit(&stream->posted_at, memory_order_relaxed);
    const uint64_t allowed = timeout_ticks(vm), until = allowed ? start + allowed : UINT64_MAX;
    for (unsigned turn = 0; __atomic_load_n(&stream->reply->number, __ATOMIC_ACQUIRE) != number;
         turn++) {
        if (turn % 64 == 63) {
            const uint64_t now = __rdtsc();
            int code = look_up(stream, now, until, error);
            if (code != UDFVM_OK)
                return code;
            if (udfvm_ticks_between(start, now) > ticks(vm, REPLY_SPIN_US))
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
    struct udfvm_stream_reply header;
    memcpy(&header, stream->reply, sizeof header);
    if (header.status > UDFVM_STATUS_ERROR)
        return udfvm_fail(error, UDFVM_E_PROTOCOL,
                          "the guest completed with a status that makes no sense");
    if (header.length > vm->limits.max_output)
        return udfvm_fail(error, UDFVM_E_OUTPUT,
                          "the result of %llu bytes is larger than the limit of %llu bytes",
                          (unsigned long long)header.length,
                          (unsigned long long)vm->limits.max_output);
    if (header.length > stream->capacity) {
        uint8_t *grown = realloc(stream->buffer, header.length * 2);
        if (!grown)
            return udfvm_fail_errno(error, "keeping a reply");
        stream->buffer = grown;
        stream->capacity = header.length * 2;
    }
    if (header.length)
        memcpy(stream->buffer, vm->machine.output, header.length);
    *reply = (struct udfvm_reply){ .status = (int)header.status,
                                   .data = stream->buffer,
                                   .length = header.length };
    atomic_fetch_add(&stream->accepted, 1);
    return UDFVM_OK;
}

int udfvm_vm_stream_call(udfvm_vm *vm, uint32_t request, const void *input, uint64_t length,
                         const struct udfvm_limits *limits, struct udfvm_reply *reply,
                         struct udfvm_error *error)
{
    udfvm_error_clear(error);
    if (udfvm_vm_check(vm, error) != UDFVM_OK)
        return UDFVM_E_FORKED;
    const bool exits = limits && limits->host_functions; /* their calls are made on this thread */
    if (!vm->stream && (exits || vm->state != VM_STOPPED || vm->idle_spin_us == 0 ||
                        ++vm->exchanges < STREAM_AFTER || !take_place()))
        return udfvm_vm_call(vm, request, input, length, limits, reply, error);
    int code = UDFVM_OK;
    if (vm->stream) {
        code = udfvm_vm_place_request(vm, request, input, length, error);
        if (code == UDFVM_OK && (code = post(vm->stream, error)) != UDFVM_OK)
            udfvm_stream_end(vm);
    } else {
        code = udfvm_vm_request(vm, request, input, length, limits, error);
        udfvm_deadline_stop(&vm->deadline); /* the caller's thread keeps it itself */
        if (code == UDFVM_OK)
            code = start_stream(vm, error);
        else
            atomic_fetch_sub(&places_taken, 1);
    }
    if (code != UDFVM_OK)
        return code;
    *reply = (struct udfvm_reply){ .sealed = 0 };
    code = wait_for_reply(vm->stream, error);
    if (code == UDFVM_OK)
        code = accept_reply(vm->stream, reply, error);
    if (code != UDFVM_OK)
        udfvm_stream_end(vm);
    return udfvm_log_give(vm, code, reply->status == UDFVM_STATUS_ERROR, error);
}
