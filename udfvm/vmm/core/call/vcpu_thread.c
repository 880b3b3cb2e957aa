/* Threads that enter guests behind a filter of system calls.
 *
 * The filter cannot stand around the thread of a program that makes a call: it could never be taken
 * off again. So a hardened call is handed over to a thread that has it, which enters the guest and
 * serves its hypercalls. What is code of the embedder, or needs more than the filter lets through,
 * comes back as an errand to the thread that made the call, which waits for that or for the end.
 *
 * There are as many threads as calls run at once. One that has nothing to do for a while ends.
 */
#include "call/vcpu_thread.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/process.h"
#include "base/baton.h"
#include "call/exchange.h"
#include "call/hypercall.h"
#include "call/stream.h"
#include "call/watchdog.h"

#define IDLE_NS      1000000000u /* without a call for so long, a thread ends */
#define CALL_SPIN_NS 50000u      /* the thread's wait for its next call, before it sleeps */
#define SPIN_NS      200000u     /* the caller's wait */

struct vcpu_thread {
    struct vcpu_thread *following; /* of those without a call */
    pthread_t thread;
    pid_t number;
    cpu_set_t processors; /* that it may use, as it starts; none: those that it has */
    struct baton asked;
    uint8_t apart[64]; /* in another cache line: each is looked at while the other is given */
    struct baton answered;
    unsigned posted; /* turns: by the caller */
    unsigned seen;   /* by the thread */
    bool stopped;    /* the guest was told to leave, for a signal to the caller */
    /* The call, and how far it got; what is wrong with the filter, before the first. */
    struct udfvm_vm *vm;
    struct udfvm_error *error, failure;
    int kind;
    struct errand *errand; /* NULL: it got to its end */
};

static struct {
    pthread_mutex_t lock;
    struct vcpu_thread *idle; /* the one that was used last comes first */
} threads = { .lock = PTHREAD_MUTEX_INITIALIZER };

static atomic_bool hardened;
static atomic_uint busy; /* threads that have a call */
static _Thread_local bool is_filtered;
static _Thread_local struct vcpu_thread *own;

/* Not where those who look would take the processors of those they wait for. */
static bool spin(const struct baton *baton, unsigned number, uint64_t ns)
{
    return 2 * atomic_load(&busy) > udfvm_processors() ? udfvm_baton_has_come(baton, number)
                                                       : udfvm_baton_spin(baton, number, ns);
}

/* ---- The thread ---- */

int udfvm_vcpu_thread_begin(struct udfvm_error *error)
{
    if (is_filtered || !udfvm_is_hardened())
        return UDFVM_OK;
    UDFVM_TRY(udfvm_vcpu_filter_install(error));
    is_filtered = true;
    return UDFVM_OK;
}

bool udfvm_on_vcpu_thread(void)
{
    return is_filtered;
}

/* It had no call for long: false if it was given one in this moment. */
static bool leave(struct vcpu_thread *thread)
{
    pthread_mutex_lock(&threads.lock);
    struct vcpu_thread **link = &threads.idle;
    while (*link && *link != thread)
        link = &(*link)->following;
    const bool found = *link != NULL;
    if (found)
        *link = thread->following;
    pthread_mutex_unlock(&threads.lock);
    return found;
}

/* Waits for the caller's turn to end; false: there was none for long. */
static bool wait_for_turn(struct vcpu_thread *thread, uint64_t ns)
{
    const unsigned next = thread->seen + 1;
    if (!spin(&thread->asked, next, CALL_SPIN_NS)) {
        const uint64_t end_ns = udfvm_monotonic_ns() + ns;
        while (!udfvm_baton_has_come(&thread->asked, next)) {
            if (ns && udfvm_monotonic_ns() >= end_ns)
                return false;
            udfvm_baton_sleep(&thread->asked, next, ns);
        }
    }
    thread->seen = next;
    return true;
}

static void *serve(void *argument)
{
    struct vcpu_thread *thread = argument;
    own = thread;
    thread->number = (pid_t)syscall(SYS_gettid);
    if (CPU_COUNT(&thread->processors) > 0)
        sched_setaffinity(0, sizeof thread->processors, &thread->processors);
    thread->kind = udfvm_vcpu_filter_install(&thread->failure);
    is_filtered = thread->kind == UDFVM_OK;
    udfvm_baton_give(&thread->answered, thread->seen);
    if (!is_filtered)
        return NULL;
    for (;;) {
        while (!wait_for_turn(thread, IDLE_NS))
            if (leave(thread)) {
                pthread_detach(pthread_self());
                free(thread);
                return NULL;
            }
        atomic_store_explicit(&thread->vm->deadline.thread, thread->number, memory_order_relaxed);
        thread->kind = udfvm_vm_run_vcpu(thread->vm, thread->error);
        thread->errand = NULL;
        udfvm_baton_give(&thread->answered, thread->seen);
    }
}

/* ---- The caller ---- */

/* A signal came, and the guest leaves, as it does where it runs on the caller's thread: then the
 * interrupt hook is asked. */
static void stop_guest(struct vcpu_thread *thread)
{
    struct udfvm_vm *vm = thread->vm;
    udfvm_hypervisor_stop(vm->machine.hypervisor);
    thread->stopped = true;
    if (atomic_load(&vm->deadline.entered))
        udfvm_kick(thread->number);
}

static void wait_for_answer(struct vcpu_thread *thread)
{
    if (spin(&thread->answered, thread->posted, SPIN_NS))
        return;
    while (!udfvm_baton_has_come(&thread->answered, thread->posted))
        if (udfvm_baton_sleep(&thread->answered, thread->posted, IDLE_NS) && thread->vm &&
            !udfvm_baton_has_come(&thread->answered, thread->posted))
            stop_guest(thread);
}

/* On another processor than the caller's, where there is one: a new thread often begins on that of
 * its maker, and the two would wait for each other. Later it may move. */
static void begin_elsewhere(pthread_attr_t *attributes, cpu_set_t *all)
{
    if (sched_getaffinity(0, sizeof *all, all) < 0 || CPU_COUNT(all) == 1) {
        CPU_ZERO(all);
        return;
    }
    cpu_set_t others = *all;
    CPU_CLR((size_t)sched_getcpu(), &others);
    pthread_attr_setaffinity_np(attributes, sizeof others, &others);
}

/* Signals are for the program's own threads. */
static int create(struct vcpu_thread *thread)
{
    sigset_t all, before;
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    begin_elsewhere(&attributes, &thread->processors);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    const int failed = pthread_create(&thread->thread, &attributes, serve, thread);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return failed;
}

static struct vcpu_thread *start(struct udfvm_error *error)
{
    struct vcpu_thread *thread = calloc(1, sizeof *thread);
    if (!thread) {
        udfvm_fail_errno(error, "allocating a vCPU's thread");
        return NULL;
    }
    thread->posted = thread->seen = 1;
    atomic_store(&thread->asked.number, 1);
    errno = create(thread);
    if (errno != 0) {
        udfvm_fail_errno(error, "starting a vCPU's thread");
        free(thread);
        return NULL;
    }
    wait_for_answer(thread);
    if (thread->kind == UDFVM_OK)
        return thread;
    pthread_join(thread->thread, NULL);
    if (error)
        *error = thread->failure;
    free(thread);
    return NULL;
}

static struct vcpu_thread *take(struct udfvm_error *error)
{
    pthread_mutex_lock(&threads.lock);
    struct vcpu_thread *thread = threads.idle;
    if (thread)
        threads.idle = thread->following;
    pthread_mutex_unlock(&threads.lock);
    return thread ? thread : start(error);
}

static void put(struct vcpu_thread *thread)
{
    thread->vm = NULL;
    pthread_mutex_lock(&threads.lock);
    thread->following = threads.idle;
    threads.idle = thread;
    pthread_mutex_unlock(&threads.lock);
}

void udfvm_errand_run(struct udfvm_vm *vm, const struct errand *errand)
{
    udfvm_vm_out(vm);
    errand->run(errand->context);
    udfvm_vm_in(vm);
}

/* Until the thread has run the vCPU; false: in a forked child, which has no such thread. */
static bool hand_over(struct vcpu_thread *thread, struct udfvm_vm *vm)
{
    for (;;) {
        udfvm_baton_give(&thread->asked, ++thread->posted);
        wait_for_answer(thread);
        if (!thread->errand)
            return true;
        udfvm_errand_run(vm, thread->errand);
        if (udfvm_vm_forked(vm))
            return false;
    }
}

int udfvm_vcpu_thread_run(struct udfvm_vm *vm, struct udfvm_error *error)
{
    struct vcpu_thread *thread = take(error);
    if (!thread)
        return HYPERCALL_FAILED;
    thread->vm = vm;
    thread->error = error;
    thread->stopped = false;
    atomic_fetch_add(&busy, 1);
    if (!hand_over(thread, vm)) {
        udfvm_vm_fail_forked(error);
        return HYPERCALL_FAILED;
    }
    atomic_fetch_sub(&busy, 1);
    const int kind = thread->kind;
    if (thread->stopped) /* a deadline that passed meanwhile is seen in what follows */
        udfvm_hypervisor_allow(vm->machine.hypervisor);
    put(thread);
    return kind;
}

/* ---- Errands ---- */

bool udfvm_outside(struct udfvm_vm *vm, void (*run)(void *context), void *context)
{
    struct errand errand = { .run = run, .context = context };
    if (!is_filtered) {
        run(context);
        return true;
    }
    if (!own)
        return udfvm_stream_outside(vm->stream, &errand);
    own->errand = &errand;
    udfvm_baton_give(&own->answered, own->seen);
    wait_for_turn(own, 0);
    return true;
}

/* ---- The process ---- */

bool udfvm_is_hardened(void)
{
    return atomic_load_explicit(&hardened, memory_order_relaxed);
}

int udfvm_harden(struct udfvm_error *error)
{
    struct udfvm_error why = { .code = UDFVM_OK };
    udfvm_error_clear(error);
    struct vcpu_thread *thread = take(&why);
    if (!thread)
        return udfvm_fail(error, UDFVM_E_HARDEN, "calls cannot be hardened: %s", why.message);
    put(thread);
    atomic_store(&hardened, true);
    return UDFVM_OK;
}

__attribute__((constructor)) static void read_environment(void)
{
    const char *value = secure_getenv("UDFVM_HARDEN");
    atomic_store(&hardened, value && strcmp(value, "1") == 0);
}

void udfvm_vcpu_threads_before_fork(void)
{
    pthread_mutex_lock(&threads.lock);
}

void udfvm_vcpu_threads_in_parent(void)
{
    pthread_mutex_unlock(&threads.lock);
}

void udfvm_vcpu_threads_forget(void)
{
    threads.lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
    threads.idle = NULL;
    atomic_store(&busy, 0);
}
