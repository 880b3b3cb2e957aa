/* Clocks go forward, agree with each other, and sleeping takes its time. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/times.h>
#include <time.h>
#include <unistd.h>

#include "check.h"

static int64_t read_clock(clockid_t clock)
{
    struct timespec time = { -1, -1 };
    CHECK(clock_gettime(clock, &time) == 0);
    CHECK(time.tv_nsec >= 0 && time.tv_nsec < 1000000000);
    return time.tv_sec * 1000000000 + time.tv_nsec;
}

int main(void)
{
    static const clockid_t all[] = { CLOCK_REALTIME,           CLOCK_MONOTONIC,
                                     CLOCK_PROCESS_CPUTIME_ID, CLOCK_THREAD_CPUTIME_ID,
                                     CLOCK_MONOTONIC_RAW,      CLOCK_REALTIME_COARSE,
                                     CLOCK_MONOTONIC_COARSE,   CLOCK_BOOTTIME };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        struct timespec resolution;
        int64_t before = read_clock(all[i]);
        for (int k = 0; k < 100; k++) {
            int64_t now = read_clock(all[i]);
            CHECK(now >= before);
            before = now;
        }
        CHECK(clock_getres(all[i], &resolution) == 0 && resolution.tv_sec == 0);
    }
    CHECK(syscall(SYS_clock_gettime, 1000, &all) == -1 && errno == EINVAL);

    const int64_t real = read_clock(CLOCK_REALTIME);
    struct timeval time;
    CHECK(gettimeofday(&time, NULL) == 0);
    CHECK(llabs(time.tv_sec * 1000000000ll + time.tv_usec * 1000ll - real) < 5000000000ll);
    CHECK(llabs((long long)syscall(SYS_time, NULL) - real / 1000000000) <= 5);
    CHECK(real > 900000000ll * 1000000000ll);

    const struct timespec moment = { .tv_nsec = 20000000 };
    int64_t before = read_clock(CLOCK_MONOTONIC);
    CHECK(nanosleep(&moment, NULL) == 0);
    CHECK(read_clock(CLOCK_MONOTONIC) - before >= 20000000);
    before = read_clock(CLOCK_MONOTONIC);
    const int64_t until = before + 10000000;
    const struct timespec deadline = { .tv_sec = until / 1000000000,
                                       .tv_nsec = until % 1000000000 };
    CHECK(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &deadline, NULL) == 0);
    CHECK(read_clock(CLOCK_MONOTONIC) >= until);
    const struct timespec bad = { .tv_nsec = -1 };
    CHECK(nanosleep(&bad, NULL) == -1 && errno == EINVAL);

    struct rusage usage;
    struct tms ticks;
    clockid_t mine;
    CHECK(getrusage(RUSAGE_SELF, &usage) == 0 && times(&ticks) != (clock_t)-1);
    CHECK(pthread_getcpuclockid(pthread_self(), &mine) == 0 && read_clock(mine) >= 0);
    return DONE();
}
