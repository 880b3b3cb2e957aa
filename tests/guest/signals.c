/* Signals: dispositions, masks, faults that are handled, alternate stacks, restarted calls, vector
 * state across a handler. */
#define _GNU_SOURCE
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/syscall.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include "check.h"

static volatile int seen, code, on_stack;
static void *volatile address;
static sigjmp_buf back;
static uint8_t alternate[64 * 1024];

static void record(int number, siginfo_t *info, void *context)
{
    uint8_t here;
    (void)context;
    seen = number;
    code = info->si_code;
    address = info->si_addr;
    on_stack = &here >= alternate && &here < alternate + sizeof alternate;
}

static void record_and_jump(int number, siginfo_t *info, void *context)
{
    record(number, info, context);
    siglongjmp(back, 1);
}

static void install(int number, void (*handler)(int, siginfo_t *, void *), int flags)
{
    struct sigaction action = { .sa_sigaction = handler, .sa_flags = SA_SIGINFO | flags };
    CHECK(sigaction(number, &action, NULL) == 0);
}

static void sent(void)
{
    install(SIGUSR1, record, 0);
    seen = 0;
    CHECK(raise(SIGUSR1) == 0 && seen == SIGUSR1 && code == SI_TKILL);
    seen = 0;
    CHECK(kill(getpid(), SIGUSR1) == 0 && seen == SIGUSR1 && code == SI_USER);
    CHECK(kill(getpid(), 0) == 0);
    CHECK(kill(4000000, 0) == -1 && errno == ESRCH);
    install(SIGUSR2, record, SA_RESETHAND);
    seen = 0;
    CHECK(raise(SIGUSR2) == 0 && seen == SIGUSR2);
    struct sigaction action;
    CHECK(sigaction(SIGUSR2, NULL, &action) == 0 && action.sa_handler == SIG_DFL);
    CHECK(sigaction(SIGKILL, &action, NULL) == -1 && errno == EINVAL);
    signal(SIGUSR2, SIG_IGN);
    CHECK(raise(SIGUSR2) == 0 && raise(SIGCHLD) == 0 && raise(SIGWINCH) == 0);
}

static void masked(void)
{
    sigset_t set, old, pending;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    CHECK(sigprocmask(SIG_BLOCK, &set, &old) == 0);
    seen = 0;
    raise(SIGUSR1);
    CHECK(seen == 0 && sigpending(&pending) == 0 && sigismember(&pending, SIGUSR1));
    CHECK(sigprocmask(SIG_SETMASK, &old, NULL) == 0 && seen == SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, NULL);
    raise(SIGUSR1);
    siginfo_t info;
    const struct timespec moment = { .tv_nsec = 1000000 };
    CHECK(sigtimedwait(&set, &info, &moment) == SIGUSR1 && info.si_signo == SIGUSR1);
    CHECK(sigtimedwait(&set, &info, &moment) == -1 && errno == EAGAIN);
    seen = 0;
    raise(SIGUSR1);
    CHECK(sigsuspend(&old) == -1 && errno == EINTR && seen == SIGUSR1);
    sigprocmask(SIG_BLOCK, NULL, &pending);
    CHECK(sigismember(&pending, SIGUSR1));
    sigprocmask(SIG_SETMASK, &old, NULL);
}

#define FAULT(number, statement)   \
    do {                           \
        seen = 0;                  \
        if (!sigsetjmp(back, 1)) { \
            statement;             \
        }                          \
        CHECK(seen == (number));   \
    } while (0)

static void faults(void)
{
    volatile int zero = 0;
    void *volatile nowhere = (void *)0x123;
    install(SIGSEGV, record_and_jump, 0);
    install(SIGFPE, record_and_jump, 0);
    install(SIGILL, record_and_jump, 0);
    install(SIGTRAP, record_and_jump, 0);
    for (int i = 0; i < 3; i++) {
        FAULT(SIGSEGV, *(volatile int *)nowhere = 1);
        CHECK(code == SEGV_MAPERR && address == nowhere);
        FAULT(SIGSEGV, ((void (*)(void))nowhere)());
        FAULT(SIGSEGV, *(volatile int *)0x8000000000000000ul = 1);
        CHECK(code == SI_KERNEL);
        FAULT(SIGFPE, zero = 1000 / zero);
        CHECK(code == FPE_INTDIV);
        FAULT(SIGILL, __asm__ volatile("ud2"));
        FAULT(SIGTRAP, __asm__ volatile("int3"));
    }
    signal(SIGFPE, SIG_DFL);
    signal(SIGILL, SIG_DFL);
    signal(SIGTRAP, SIG_DFL);
}

static void step_over(int number, siginfo_t *info, void *context)
{
    ucontext_t *where = context;
    record(number, info, context);
    where->uc_mcontext.gregs[REG_RIP] += 2; /* ud2 */
    where->uc_mcontext.gregs[REG_R12] = 77;
    double spoil = 9;
    __asm__ volatile("movapd %0, %%xmm3\n\tmovapd %0, %%xmm4" : : "x"(spoil) : "xmm3", "xmm4");
}

/* A handler sees the registers, may change them, and the rest comes back as it was: vector
 * registers, the red zone. */
static void context(void)
{
    install(SIGILL, step_over, 0);
    register uint64_t r12 __asm__("r12") = 1;
    double kept = 4.25, after;
    uint64_t red_zone = 0;
    seen = 0;
    __asm__ volatile("movapd %4, %%xmm3\n\t"
                     "movq $1234567, -16(%%rsp)\n\t"
                     "ud2\n\t"
                     "movq -16(%%rsp), %2\n\t"
                     "movapd %%xmm3, %1"
                     : "+r"(r12), "=x"(after), "=r"(red_zone), "+m"(seen)
                     : "x"(kept)
                     : "xmm3", "memory");
    CHECK(seen == SIGILL && r12 == 77 && after == kept && red_zone == 1234567);
    signal(SIGILL, SIG_DFL);
}

static void alternate_stack(void)
{
    const stack_t stack = { .ss_sp = alternate, .ss_size = sizeof alternate },
                  off = { .ss_flags = SS_DISABLE };
    stack_t old;
    CHECK(sigaltstack(&stack, NULL) == 0 && sigaltstack(NULL, &old) == 0 &&
          old.ss_sp == alternate && old.ss_flags == 0);
    install(SIGUSR1, record, SA_ONSTACK);
    on_stack = 0;
    raise(SIGUSR1);
    CHECK(on_stack == 1);
    install(SIGSEGV, record_and_jump, SA_ONSTACK);
    void *volatile nowhere = (void *)0x10;
    FAULT(SIGSEGV, *(volatile int *)nowhere = 1);
    CHECK(on_stack == 1);
    /* a broken stack pointer */
    on_stack = 0;
    FAULT(SIGSEGV, __asm__ volatile("xorl %%esp, %%esp\n\tpushq %%rax" : : : "memory"));
    CHECK(on_stack == 1);
    CHECK(sigaltstack(&off, NULL) == 0);
    signal(SIGSEGV, SIG_DFL);
}

static void bad_pointers(void)
{
    void *volatile low = (void *)0x10, *volatile high = (void *)0xffff800000000000ul;
    CHECK(write(1, low, 5) == -1 && errno == EFAULT);
    CHECK(write(1, high, 5) == -1 && errno == EFAULT);
    CHECK(syscall(SYS_clock_gettime, 0, 0x20) == -1 && errno == EFAULT);
    CHECK(syscall(SYS_rt_sigaction, SIGUSR1, 1ul << 60, NULL, 8) == -1 && errno == EFAULT);
}

static pthread_t main_thread;

static void *interrupt_main(void *argument)
{
    const struct timespec moment = { .tv_nsec = 3000000 };
    nanosleep(&moment, NULL);
    pthread_kill(main_thread, SIGUSR1);
    return argument;
}

static void interrupted_sleep(void)
{
    pthread_t thread;
    struct timespec long_time = { .tv_sec = 20 }, left = { 0 };
    install(SIGUSR1, record, SA_RESTART);
    main_thread = pthread_self();
    seen = 0;
    CHECK(pthread_create(&thread, NULL, interrupt_main, NULL) == 0);
    CHECK(nanosleep(&long_time, &left) == -1 && errno == EINTR && left.tv_sec >= 15 &&
          seen == SIGUSR1);
    pthread_join(thread, NULL);
}

static int pipe_ends[2];

static void *interrupt_then_write(void *argument)
{
    interrupt_main(NULL);
    const struct timespec moment = { .tv_nsec = 3000000 };
    nanosleep(&moment, NULL);
    CHECK(write(pipe_ends[1], "x", 1) == 1);
    return argument;
}

static void restarted_read(void)
{
    pthread_t thread;
    char byte = 0;
    if (pipe(pipe_ends) < 0)
        return;
    seen = 0;
    CHECK(pthread_create(&thread, NULL, interrupt_then_write, NULL) == 0);
    CHECK(read(pipe_ends[0], &byte, 1) == 1 && byte == 'x' && seen == SIGUSR1);
    pthread_join(thread, NULL);
}

#define NO_ADDRESS 0x8000000000000000ul /* that no processor goes on at */

static void lead_astray(int number, siginfo_t *info, void *context)
{
    (void)number, (void)info;
    ((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP] = (greg_t)NO_ADDRESS;
}

static void led_astray(void)
{
    install(SIGSEGV, record_and_jump, 0);
    install(SIGUSR1, lead_astray, 0);
    FAULT(SIGSEGV, raise(SIGUSR1));
    CHECK(code == SI_KERNEL);
    install(SIGUSR1, (void (*)(int, siginfo_t *, void *))NO_ADDRESS, 0);
    FAULT(SIGSEGV, raise(SIGUSR1));
    CHECK(code == SI_KERNEL);
}

static int values[8], queued;

static void note_value(int number, siginfo_t *info, void *context)
{
    (void)number, (void)context;
    values[queued++ % 8] = info->si_value.sival_int;
}

static void send_value(int number, int value)
{
    CHECK(sigqueue(getpid(), number, (union sigval){ .sival_int = value }) == 0);
}

/* A real-time signal comes as often as it was sent, in that order. Another comes once, as it was
 * sent first. */
static void queues(void)
{
    const struct rlimit few = { 500, 500 };
    sigset_t set, none;
    siginfo_t info;
    int sent = 0;
    sigemptyset(&none);
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGRTMIN + 1);
    install(SIGUSR1, note_value, 0);
    install(SIGRTMIN + 1, note_value, 0);
    sigprocmask(SIG_BLOCK, &set, NULL);
    for (int i = 1; i <= 3; i++) {
        send_value(SIGUSR1, 10 * i);
        send_value(SIGRTMIN + 1, i);
        CHECK(pthread_sigqueue(pthread_self(), SIGRTMIN + 1,
                               (union sigval){ .sival_int = 100 * i }) == 0);
    }
    for (int i = 1; i <= 3; i++) /* those of the thread are first */
        CHECK(sigwaitinfo(&set, &info) == SIGRTMIN + 1 && info.si_value.sival_int == 100 * i);
    CHECK(sigwaitinfo(&set, &info) == SIGUSR1 && info.si_value.sival_int == 10);
    CHECK(sigwaitinfo(&set, &info) == SIGRTMIN + 1 && info.si_value.sival_int == 1);
    sigprocmask(SIG_SETMASK, &none, NULL);
    CHECK(queued == 2 && values[0] + values[1] == 5);
    sigprocmask(SIG_BLOCK, &set, NULL);
    CHECK(setrlimit(RLIMIT_SIGPENDING, &few) == 0);
    while (sent < 5000 && sigqueue(getpid(), SIGRTMIN + 1, (union sigval){ .sival_int = 1 }) == 0)
        sent++;
    CHECK(sent >= 400 && sent < 5000 && errno == EAGAIN);
    CHECK(kill(getpid(), SIGRTMIN + 1) == 0);
    signal(SIGRTMIN + 1, SIG_IGN); /* forgets all */
    install(SIGRTMIN + 1, note_value, 0);
    queued = 0;
    sigprocmask(SIG_SETMASK, &none, NULL);
    CHECK(queued == 0);
}

/* ---- Waits with a mask of their own ---- */

enum { BY_PPOLL, BY_PSELECT, BY_EPOLL, BY_EPOLL_2, WAYS };

static int wait_with(int way, int fd, const sigset_t *mask)
{
    struct pollfd entry = { fd, POLLIN, 0 };
    struct epoll_event event = { .events = EPOLLIN };
    fd_set set;
    FD_ZERO(&set);
    FD_SET(fd, &set);
    if (way == BY_PPOLL)
        return ppoll(&entry, 1, NULL, mask);
    if (way == BY_PSELECT)
        return pselect(fd + 1, &set, NULL, NULL, NULL, mask);
    const int watched = epoll_create1(0);
    CHECK(epoll_ctl(watched, EPOLL_CTL_ADD, fd, &event) == 0);
    const int result = way == BY_EPOLL ? epoll_pwait(watched, &event, 1, -1, mask)
                                       : (int)syscall(SYS_epoll_pwait2, watched, &event, 1, NULL,
                                                      mask, sizeof(uint64_t));
    const int error = errno;
    close(watched);
    errno = error;
    return result;
}

static void masked_waits(void)
{
    int ends[2];
    sigset_t none, blocked, now;
    struct pollfd entry = { 0, 0, 0 };
    sigemptyset(&none);
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGUSR1);
    install(SIGUSR1, record, SA_RESTART);
    CHECK(pipe(ends) == 0 && sigprocmask(SIG_BLOCK, &blocked, NULL) == 0);
    for (int way = 0; way < WAYS; way++) {
        seen = 0;
        CHECK(raise(SIGUSR1) == 0 && seen == 0);
        CHECK(write(ends[1], "x", 1) == 1 && wait_with(way, ends[0], &none) == 1 && seen == 0);
        CHECK(read(ends[0], &(char){ 0 }, 1) == 1);
        CHECK(fails_with(wait_with(way, ends[0], &none), EINTR) && seen == SIGUSR1);
        CHECK(sigprocmask(SIG_BLOCK, NULL, &now) == 0 && sigismember(&now, SIGUSR1) == 1);
    }
    CHECK(fails_with(syscall(SYS_ppoll, &entry, 1, NULL, &none, 4), EINVAL));
    CHECK(fails_with(syscall(SYS_ppoll, &entry, 1, NULL, 1, 8), EFAULT));
    CHECK(sigprocmask(SIG_UNBLOCK, &blocked, NULL) == 0);
    close(ends[0]);
    close(ends[1]);
}

int main(void)
{
    sent();
    masked();
    faults();
    led_astray();
    context();
    alternate_stack();
    bad_pointers();
    interrupted_sleep();
    restarted_read();
    queues();
    masked_waits();
    return DONE();
}
