/* System calls that say what is wrong with their arguments, as Linux does. */
#define _GNU_SOURCE
#include <limits.h>
#include <linux/capability.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "check.h"

enum { PAGE = 4096, UNUSED = 4000000 };

/* A page without access, which is how programs make an address that nothing may take. */
static char *guard(void)
{
    char *page = mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(page != MAP_FAILED);
    return page;
}

static void guards(void)
{
    char *page = guard();
    int ends[2];
    CHECK(pipe(ends) == 0 && write(ends[1], "ab", 2) == 2);
    CHECK(fails_with(chdir(page), EFAULT) && fails_with(unlink(page), EFAULT));
    CHECK(fails_with(read(ends[0], page, 1), EFAULT));
    CHECK(fails_with(write(ends[1], page, 1), EFAULT));
    CHECK(fails_with(syscall(SYS_clock_gettime, CLOCK_MONOTONIC, page), EFAULT));
    /* the program changes its mind */
    CHECK(mprotect(page, PAGE, PROT_READ | PROT_WRITE) == 0 && page[0] == 0);
    CHECK(read(ends[0], page, 2) == 2 && page[0] == 'a' && page[1] == 'b');
    CHECK(mprotect(page, PAGE, PROT_NONE) == 0 && fails_with(chdir(page), EFAULT));
    CHECK(munmap(page, PAGE) == 0 && fails_with(chdir(page), EFAULT));
    char *low = mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
    CHECK(low != MAP_FAILED && (uintptr_t)low < INT32_MAX && munmap(low, PAGE) == 0);
    close(ends[0]);
    close(ends[1]);
}

static void clocks(void)
{
    struct timespec time = { 0, -1 };
    struct timeval day = { 0, 1000000 };
    CHECK(fails_with(clock_settime(CLOCK_REALTIME, &time), EINVAL));
    time = (struct timespec){ -1, 0 };
    CHECK(fails_with(clock_settime(CLOCK_REALTIME, &time), EINVAL));
    CHECK(fails_with(clock_settime(CLOCK_MONOTONIC, &time), EINVAL));
    CHECK(fails_with(clock_settime(CLOCK_PROCESS_CPUTIME_ID, &time), EINVAL));
    CHECK(fails_with(syscall(SYS_clock_settime, CLOCK_REALTIME, guard()), EFAULT));
    CHECK(fails_with(syscall(SYS_settimeofday, &day, NULL), EINVAL));
    time = (struct timespec){ 0, 1 };
    CHECK(fails_with(syscall(SYS_clock_nanosleep, CLOCK_THREAD_CPUTIME_ID, 0, &time, NULL),
                     EOPNOTSUPP));
    struct itimerspec setting;
    CHECK(fails_with(syscall(SYS_timerfd_gettime, 0, NULL), EINVAL));
    const int timer = timerfd_create(CLOCK_MONOTONIC, 0);
    CHECK(fails_with(syscall(SYS_timerfd_gettime, timer, NULL), EFAULT));
    CHECK(timerfd_gettime(timer, &setting) == 0 && close(timer) == 0);
}

static void options(void)
{
    int number = -1;
    const uint64_t one = 1, zero = 0;
    CHECK(prctl(PR_SET_PDEATHSIG, SIGUSR2) == 0 && prctl(PR_GET_PDEATHSIG, &number) == 0);
    CHECK(number == SIGUSR2 && prctl(PR_SET_PDEATHSIG, 0) == 0);
    CHECK(fails_with(prctl(PR_SET_PDEATHSIG, 100), EINVAL));
    CHECK(prctl(PR_GET_TIMERSLACK) == 50000 && prctl(PR_SET_TIMERSLACK, 70000) == 0);
    CHECK(prctl(PR_GET_TIMERSLACK) == 70000 && prctl(PR_SET_TIMERSLACK, 0) == 0);
    CHECK(prctl(PR_GET_TIMERSLACK) == 50000);
    CHECK(prctl(PR_GET_DUMPABLE) == 1 && prctl(PR_SET_DUMPABLE, 0) == 0);
    CHECK(prctl(PR_GET_DUMPABLE) == 0 && fails_with(prctl(PR_SET_DUMPABLE, 2), EINVAL));
    CHECK(prctl(PR_SET_CHILD_SUBREAPER, 1) == 0 && prctl(PR_GET_CHILD_SUBREAPER, &number) == 0);
    CHECK(number == 1);
    CHECK(fails_with(prctl(PR_SET_NO_NEW_PRIVS, zero, zero, zero, zero), EINVAL));
    CHECK(fails_with(prctl(PR_SET_NO_NEW_PRIVS, one, one, zero, zero), EINVAL));
    CHECK(prctl(PR_SET_NO_NEW_PRIVS, one, zero, zero, zero) == 0);
    CHECK(prctl(PR_GET_NO_NEW_PRIVS, zero, zero, zero, zero) == 1);
    CHECK(prctl(PR_SET_THP_DISABLE, one, zero, zero, zero) == 0);
    CHECK(prctl(PR_GET_THP_DISABLE, zero, zero, zero, zero) == 1);
    CHECK(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, zero, zero, zero) == 0);
    CHECK(fails_with(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, one, zero, zero), EINVAL));
    CHECK(fails_with(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, 100, zero, zero), EINVAL));
    CHECK(prctl(PR_SET_KEEPCAPS, 1) == 0 && prctl(PR_GET_KEEPCAPS) == 1);
    CHECK(fails_with(prctl(PR_SET_KEEPCAPS, 2), EINVAL) && fails_with(prctl(999), EINVAL));
    CHECK(personality(ADDR_NO_RANDOMIZE) >= 0 && personality(UINT_MAX) == ADDR_NO_RANDOMIZE);
    CHECK(personality(0) == ADDR_NO_RANDOMIZE && personality(UINT_MAX) == 0);
}

static void capabilities(void)
{
    const uint32_t versions[] = { _LINUX_CAPABILITY_VERSION_1, _LINUX_CAPABILITY_VERSION_2,
                                  _LINUX_CAPABILITY_VERSION_3 };
    struct __user_cap_data_struct sets[2];
    struct __user_cap_header_struct header = { 1, 0 };
    CHECK(syscall(SYS_capget, &header, NULL) == 0);
    CHECK(header.version == _LINUX_CAPABILITY_VERSION_3);
    header.version = 1;
    CHECK(fails_with(syscall(SYS_capget, &header, sets), EINVAL));
    for (size_t i = 0; i < sizeof versions / sizeof *versions; i++) {
        header = (struct __user_cap_header_struct){ versions[i], 0 };
        CHECK(syscall(SYS_capget, &header, sets) == 0);
        CHECK(syscall(SYS_capset, &header, sets) == 0);
        CHECK(fails_with(syscall(SYS_capget, &header, guard()), EFAULT));
        header.pid = -1;
        CHECK(fails_with(syscall(SYS_capget, &header, sets), EINVAL));
        header.pid = UNUSED;
        CHECK(fails_with(syscall(SYS_capget, &header, sets), ESRCH));
        CHECK(fails_with(syscall(SYS_capset, &header, sets), EPERM));
    }
}

static volatile int seen;

static void count(int number)
{
    seen += number == SIGUSR1;
}

/* kill(2) and sigqueue(3) find a process by any of its threads. */
static void *of_thread(void *unused)
{
    CHECK(kill(gettid(), SIGUSR1) == 0 && kill(gettid(), 0) == 0);
    return unused;
}

static void numbers(void)
{
    pthread_t thread;
    uint32_t word = 0, other = 0;
    struct rusage usage;
    signal(SIGUSR1, count);
    CHECK(fails_with(syscall(SYS_tkill, -1, SIGUSR1), EINVAL));
    CHECK(fails_with(syscall(SYS_tgkill, getpid(), -1, SIGUSR1), EINVAL));
    CHECK(fails_with(syscall(SYS_tgkill, 0, gettid(), SIGUSR1), EINVAL));
    CHECK(pthread_create(&thread, NULL, of_thread, NULL) == 0 && pthread_join(thread, NULL) == 0);
    CHECK(seen == 1 && fails_with(kill(UNUSED, 0), ESRCH));
    CHECK(fails_with(setpgid(0, -1), EINVAL) && fails_with(setpgid(UNUSED, 0), ESRCH));
    CHECK(fails_with(getrusage((enum __rusage_who) - 2, &usage), EINVAL));
    CHECK(fails_with(syscall(SYS_futex, &word, FUTEX_CMP_REQUEUE, -1, 1, &other, 0), EINVAL));
    CHECK(fails_with(syscall(SYS_futex, &word, FUTEX_CMP_REQUEUE, 1, -1, &other, 0), EINVAL));
    CHECK(fails_with(syscall(SYS_futex, &word, FUTEX_CMP_REQUEUE, 1, 1, &other, 1), EAGAIN));
    uint32_t *closed = (uint32_t *)guard();
    CHECK(fails_with(syscall(SYS_futex, closed, FUTEX_WAKE, 1), EFAULT));
    CHECK(munmap(closed, PAGE) == 0 &&
          fails_with(syscall(SYS_futex, closed, FUTEX_WAKE, 1), EFAULT));
}

int main(void)
{
    guards();
    clocks();
    options();
    capabilities();
    numbers();
    return DONE();
}
