/* What programs ask about the machine and the process, and what the kernel refuses. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

static void random_numbers(void)
{
    uint8_t first[300] = { 0 }, second[300] = { 0 };
    unsigned bits = 0;
    CHECK(getrandom(first, sizeof first, 0) == sizeof first &&
          getrandom(second, sizeof second, GRND_NONBLOCK) == sizeof second);
    CHECK(memcmp(first, second, sizeof first) != 0 && memcmp(first, first + 64, 64) != 0);
    for (size_t i = 0; i < sizeof first; i++)
        bits += (unsigned)__builtin_popcount(first[i]);
    CHECK(bits > 1000 && bits < 1400);
    CHECK(getrandom(first, 1, 0x1000) == -1 && errno == EINVAL);
}

static void machine(void)
{
    struct utsname name;
    struct sysinfo info;
    CHECK(uname(&name) == 0 && strcmp(name.sysname, "Linux") == 0 &&
          strcmp(name.machine, "x86_64") == 0);
    CHECK(sysinfo(&info) == 0 && info.totalram > 0 && info.freeram <= info.totalram &&
          info.procs >= 1);
    CHECK(sysconf(_SC_NPROCESSORS_ONLN) >= 1 && sysconf(_SC_PAGESIZE) == 4096 &&
          sysconf(_SC_CLK_TCK) == 100);
}

static void limit_of_descriptors(void)
{
    struct rlimit limit;
    CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    CHECK(dup2(1, 30) == 30);
    CHECK(setrlimit(RLIMIT_NOFILE, &(struct rlimit){ 20, limit.rlim_max }) == 0);
    CHECK(fails_with(dup2(1, 25), EBADF) && fails_with(fcntl(1, F_DUPFD, 20), EINVAL));
    CHECK(fcntl(1, F_DUPFD, 19) == 19 && fails_with(fcntl(1, F_DUPFD, 19), EMFILE));
    CHECK(write(30, "", 0) == 0 && close(30) == 0 && close(19) == 0);
    CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0 && dup2(1, 30) == 30 && close(30) == 0);
}

static void process(void)
{
    struct rlimit limit;
    char thread_name[16] = { 0 };
    cpu_set_t processors;
    CHECK(getrlimit(RLIMIT_STACK, &limit) == 0 && limit.rlim_cur >= 1 << 20);
    CHECK(sched_getaffinity(0, sizeof processors, &processors) == 0 && CPU_COUNT(&processors) >= 1);
    CHECK(sched_getcpu() >= 0);
    CHECK(prctl(PR_SET_NAME, "worker") == 0 && prctl(PR_GET_NAME, thread_name) == 0 &&
          strcmp(thread_name, "worker") == 0);
    CHECK(getpid() == syscall(SYS_gettid) && getppid() > 0);
    CHECK(getpgid(0) == getpgrp() && getpgid(getpid()) == getpgrp() && getsid(0) > 0);
    CHECK(fails_with(getpgid(4000000), ESRCH) && fails_with(getsid(4000000), ESRCH));
    CHECK(fails_with(wait(NULL), ECHILD) && fails_with(waitpid(-1, NULL, WNOHANG), ECHILD));
}

static void users(void)
{
    uid_t real, effective, saved;
    CHECK(getresuid(&real, &effective, &saved) == 0 && setreuid(-1, effective) == 0 &&
          setresuid(real, effective, saved) == 0 && setresgid(-1, -1, -1) == 0 &&
          setregid(getgid(), -1) == 0);
    if (!getenv("ON_LINUX"))
        CHECK(fails_with(setresuid(1, 1, 1), EPERM) && setgroups(0, NULL) == 0);
}

static void auxiliary_vector(void)
{
    CHECK(getauxval(AT_PAGESZ) == 4096 && getauxval(AT_RANDOM) && getauxval(AT_PHDR) &&
          getauxval(AT_ENTRY));
    CHECK(getauxval(AT_MINSIGSTKSZ) >= 1024 && getauxval(AT_SECURE) == 0);
    CHECK(strcmp((const char *)getauxval(AT_PLATFORM), "x86_64") == 0);
    uint8_t *random = (uint8_t *)getauxval(AT_RANDOM);
    memset(random, 7, 16); /* as Go's runtime does */
    CHECK(random[15] == 7);
}

static void policies(void)
{
    struct sched_param parameter = { 0 };
    struct timespec slice;
    CHECK(sched_getscheduler(0) == SCHED_OTHER && sched_getparam(0, &parameter) == 0 &&
          parameter.sched_priority == 0);
    CHECK(sched_get_priority_min(SCHED_FIFO) == 1 && sched_get_priority_max(SCHED_RR) == 99 &&
          sched_get_priority_min(SCHED_OTHER) == 0 && sched_get_priority_max(SCHED_BATCH) == 0);
    CHECK(fails_with(sched_get_priority_max(77), EINVAL));
    CHECK(sched_setscheduler(0, SCHED_BATCH, &parameter) == 0 &&
          sched_getscheduler(getpid()) == SCHED_BATCH);
    parameter.sched_priority = 1;
    CHECK(fails_with(sched_setscheduler(0, SCHED_OTHER, &parameter), EINVAL) &&
          fails_with(sched_setparam(0, &parameter), EINVAL));
    parameter.sched_priority = 100;
    CHECK(fails_with(sched_setscheduler(0, SCHED_FIFO, &parameter), EINVAL));
    parameter.sched_priority = 0;
    CHECK(sched_setscheduler(0, SCHED_OTHER, &parameter) == 0 &&
          fails_with(sched_getscheduler(99999), ESRCH) &&
          fails_with(sched_getscheduler(-1), EINVAL));
    CHECK(sched_rr_get_interval(0, &slice) == 0 && slice.tv_sec == 0);
}

static void processors(void)
{
    cpu_set_t set, none;
    CPU_ZERO(&none);
    CHECK(sched_getaffinity(getpid(), sizeof set, &set) == 0 && CPU_COUNT(&set) >= 1 &&
          sched_setaffinity(0, sizeof set, &set) == 0);
    CHECK(fails_with(sched_setaffinity(0, sizeof none, &none), EINVAL) &&
          fails_with(sched_getaffinity(99999, sizeof set, &set), ESRCH));
}

static void niceness(void)
{
    setpriority(PRIO_PROCESS, 0, 0); /* on Linux, the tests may be at another */
    errno = 0;
    CHECK(getpriority(PRIO_PROCESS, 0) == 0 && errno == 0);
    CHECK(setpriority(PRIO_PROCESS, getpid(), 3) == 0 && getpriority(PRIO_PROCESS, 0) == 3);
    CHECK(nice(2) == 5 && getpriority(PRIO_PROCESS, 0) == 5);
    CHECK(setpriority(PRIO_PROCESS, 0, 50) == 0 && getpriority(PRIO_PROCESS, 0) == 19);
    CHECK(fails_with(getpriority(PRIO_PROCESS, 99999), ESRCH) &&
          fails_with(setpriority(9, 0, 0), EINVAL));
}

static volatile sig_atomic_t signals;

static void count(int number)
{
    signals += number == SIGUSR1;
}

static void own_descriptor(void)
{
    int fd = (int)syscall(SYS_pidfd_open, getpid(), 0);
    struct pollfd entry = { fd, POLLIN, 0 };
    CHECK(fd >= 0 && fcntl(fd, F_GETFD) == FD_CLOEXEC && poll(&entry, 1, 0) == 0);
    signal(SIGUSR1, count);
    CHECK(syscall(SYS_pidfd_send_signal, fd, SIGUSR1, NULL, 0) == 0 && signals == 1);
    CHECK(syscall(SYS_pidfd_send_signal, fd, 0, NULL, 0) == 0);
    CHECK(fails_with(syscall(SYS_pidfd_send_signal, 0, SIGUSR1, NULL, 0), EBADF));
    const int folder = open("/proc/self", O_RDONLY | O_DIRECTORY);
    CHECK(syscall(SYS_pidfd_send_signal, folder, 0, NULL, 0) == 0 && close(folder) == 0);
    CHECK(close(fd) == 0 && fails_with(syscall(SYS_pidfd_open, 99999, 0), ESRCH) &&
          fails_with(syscall(SYS_pidfd_open, -1, 0), EINVAL) &&
          fails_with(syscall(SYS_pidfd_open, getpid(), 1), EINVAL));
}

static void refused_calls(void)
{
    CHECK(syscall(5000) == -1 && errno == ENOSYS);
    if (getenv("ON_LINUX"))
        return;
    CHECK(fork() == -1 && errno == ENOSYS);
    CHECK(execl("/bin/true", "true", NULL) == -1 && errno == ENOSYS);
}

int main(int argc, char **argv)
{
    CHECK(argc >= 1 && argv[argc] == NULL && argv[0] != NULL);
    CHECK(((uintptr_t)__builtin_frame_address(0) & 15) == 0);
    machine();
    process();
    limit_of_descriptors();
    users();
    auxiliary_vector();
    policies();
    processors();
    niceness();
    own_descriptor();
    refused_calls();
    random_numbers();
    return DONE();
}
