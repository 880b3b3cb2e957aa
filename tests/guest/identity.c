/* What programs ask about the machine and the process, and what the kernel refuses. */
#define _GNU_SOURCE
#include <sched.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
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
}

static void auxiliary_vector(void)
{
    CHECK(getauxval(AT_PAGESZ) == 4096 && getauxval(AT_RANDOM) && getauxval(AT_PHDR) &&
          getauxval(AT_ENTRY));
    CHECK(getauxval(AT_MINSIGSTKSZ) >= 1024 && getauxval(AT_SECURE) == 0);
    CHECK(strcmp((const char *)getauxval(AT_PLATFORM), "x86_64") == 0);
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
    auxiliary_vector();
    refused_calls();
    random_numbers();
    return DONE();
}
