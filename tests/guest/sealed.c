/* A program that seals itself and answers calls: every call must find the state of the seal. The
 * reply is one uint64_t: how much of the state of an earlier call was still there (0: none). */
#define _GNU_SOURCE
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "../../guest/include/udfvm_abi.h"
#include "check.h"

static const struct udfvm_call *const call = (const struct udfvm_call *)UDFVM_INPUT_BASE;
static uint64_t *const reply = (uint64_t *)UDFVM_OUTPUT_BASE;
static _Thread_local uint64_t local = 1;
static uint64_t global = 2;

static void seal(void)
{
    ((void (*)(void))UDFVM_VECTOR_SEAL)();
}

static void complete(uint64_t status, uint64_t length)
{
    ((void (*)(uint64_t, uint64_t))UDFVM_VECTOR_COMPLETE)(status, length);
}

static long call_kernel(long number, long a, long b, long c, long d, long e, long f)
{
    return ((long (*)(long, long, long, long, long, long, long))UDFVM_VECTOR_SYSCALL_FUNCTION)(
        number, a, b, c, d, e, f);
}

static void *in_thread(void *argument)
{
    return (char *)argument + 1;
}

/* ---- Timers that were armed before the seal: no call has those that send signals, as no child
 * has; that of a descriptor goes on in each. ---- */

static int descriptor;
static timer_t timer;

static void arm(long seconds)
{
    const struct itimerval interval = { { 0, 0 }, { seconds, 0 } };
    const struct itimerspec once = { { 0, 0 }, { seconds, 0 } };
    CHECK(setitimer(ITIMER_REAL, &interval, NULL) == 0);
    CHECK(timerfd_settime(descriptor, 0, &once, NULL) == 0);
    if (timer_create(CLOCK_MONOTONIC, NULL, &timer) == 0)
        CHECK(timer_settime(timer, 0, &once, NULL) == 0);
}

static uint64_t armed_wrongly(void)
{
    struct itimerval interval;
    struct itimerspec left;
    CHECK(getitimer(ITIMER_REAL, &interval) == 0 && timerfd_gettime(descriptor, &left) == 0);
    const bool none = fails_with(timer_gettime(timer, &(struct itimerspec){ .it_value = { 0 } }),
                                 EINVAL);
    return (interval.it_value.tv_sec != 0) + !none +
           (left.it_value.tv_sec > 1000 || left.it_value.tv_sec < 900);
}

/* ---- Address space beyond memory: its first page is sealed, the second can only be read ---- */

#define PAGE     4096ul
#define RESERVED (2ul << 30)

static uint8_t *reserved;
static sigjmp_buf again;

static void on_fault(int number)
{
    siglongjmp(again, number);
}

static bool faults(volatile uint8_t *at)
{
    if (sigsetjmp(again, 1) != 0)
        return true;
    *at = 1;
    return false;
}

static void reserve_and_commit(void)
{
    CHECK(signal(SIGSEGV, on_fault) != SIG_ERR);
    reserved = mmap(NULL, RESERVED, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    CHECK(reserved != MAP_FAILED && mprotect(reserved, 2 * PAGE, PROT_READ | PROT_WRITE) == 0);
    reserved[5] = 8;
    reserved[PAGE] = 9;
    CHECK(mprotect(reserved + PAGE, PAGE, PROT_READ) == 0);
}

static uint64_t reserved_traces(void)
{
    return (uint64_t)(reserved[5] != 8) + (reserved[6] != 0) + (reserved[PAGE] != 9) +
           !faults(reserved + PAGE) + !faults(reserved + 2 * PAGE) + !faults(reserved + (1 << 30));
}

static void leave_reserved_traces(void)
{
    reserved[5]++;
    reserved[6] = 1;
    CHECK(mprotect(reserved + PAGE, 3 * PAGE, PROT_READ | PROT_WRITE) == 0);
    CHECK(reserved[PAGE] == 9 && reserved[3 * PAGE] == 0 && !faults(reserved + PAGE) &&
          !faults(reserved + 3 * PAGE));
    CHECK(mprotect(reserved + (1 << 30), 2 << 20, PROT_READ | PROT_WRITE) == 0);
    CHECK(reserved[(1 << 30) + 12345] == 0);
    memset(reserved + (1 << 30), 7, 2 << 20);
}

/* What an earlier call would have left behind. */
static uint64_t traces(volatile uint64_t *block, double in_register)
{
    uint64_t found = 0;
    found += local != 1;
    found += global != 2;
    found += *block != 3;
    found += in_register != 4.5;
    found += reserved_traces();
    found += reply[100] != 0;
    found += ((const uint64_t *)UDFVM_INPUT_PAYLOAD)[1000] != 0;
    found += armed_wrongly();
    return found;
}

static void leave_traces(volatile uint64_t *block)
{
    local++;
    global++;
    (*block)++;
    leave_reserved_traces();
    reply[100] = 9;
    uint64_t *mapped = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
                            0);
    CHECK(mapped != MAP_FAILED && mapped[77] == 0);
    mapped[77] = 1;
    pthread_t thread;
    void *result = NULL;
    CHECK(pthread_create(&thread, NULL, in_thread, NULL) == 0 &&
          pthread_join(thread, &result) == 0 && result == (void *)1);
    arm(5000);
    struct timespec time;
    CHECK(clock_gettime(CLOCK_REALTIME, &time) == 0 && time.tv_sec > 900000000);
    CHECK(call_kernel(SYS_getpid, 0, 0, 0, 0, 0, 0) == getpid());
    uint64_t random = 0;
    CHECK(call_kernel(SYS_getrandom, (long)&random, 8, 0, 0, 0, 0) == 8);
    reply[1] = random;
}

int main(void)
{
    volatile uint64_t *block = malloc(64);
    register double in_register = 4.5;
    *block = 3;
    reserve_and_commit();
    uint64_t random;
    CHECK(getrandom(&random, 8, 0) == 8);
    descriptor = timerfd_create(CLOCK_MONOTONIC, 0);
    CHECK(descriptor >= 0);
    arm(1000);
    seal();
    for (;;) {
        __asm__ volatile("" : "+x"(in_register));
        const uint64_t found = traces(block, in_register);
        leave_traces(block);
        in_register++;
        reply[0] = found + (uint64_t)failures;
        (void)call->request;
        complete(UDFVM_STATUS_OK, 16);
    }
}
