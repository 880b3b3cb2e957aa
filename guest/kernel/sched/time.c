/* The clocks of POSIX and sleeping. */
#include "sched/time.h"
#include "host/clock.h"
#include "mm/user.h"
#include "sched/thread.h"

#define CLOCK_PER_THREAD \
    4 /* a flag in clock ids of pthread_getcpuclockid(3), which are ~id << 3 | flags */

/* Translates a clock id of one thread or process: pthread_getcpuclockid(3). */
int clock_kind(int id)
{
    return id >= 0                 ? id
           : id & CLOCK_PER_THREAD ? CLOCK_THREAD_CPUTIME_ID
                                   : CLOCK_PROCESS_CPUTIME_ID;
}

static uint64_t thread_clock(int id)
{
    const struct thread *thread = id < 0 ? thread_find(~(id >> 3)) : NULL;
    return thread_processor_ns(thread ? thread : current);
}

static bool clock_read(int id, uint64_t *nanoseconds)
{
    switch (clock_kind(id)) {
    case CLOCK_REALTIME:
    case CLOCK_REALTIME_COARSE:
    case CLOCK_REALTIME_ALARM:
    case CLOCK_TAI:
        *nanoseconds = (uint64_t)realtime_ns();
        return true;
    case CLOCK_MONOTONIC:
    case CLOCK_MONOTONIC_RAW:
    case CLOCK_MONOTONIC_COARSE:
    case CLOCK_BOOTTIME:
    case CLOCK_BOOTTIME_ALARM:
        *nanoseconds = monotonic_ns();
        return true;
    case CLOCK_PROCESS_CPUTIME_ID:
        *nanoseconds = process_ns();
        return true;
    case CLOCK_THREAD_CPUTIME_ID:
        *nanoseconds = thread_clock(id);
        return true;
    default:
        return false;
    }
}

int64_t clock_gettime(int clock, struct timespec *time)
{
    uint64_t now;
    if (!clock_read(clock, &now))
        return -EINVAL;
    *time = (struct timespec){ .tv_sec = (long)(now / NANOSECONDS),
                               .tv_nsec = (long)(now % NANOSECONDS) };
    return 0;
}

SYSTEM_CALL(clock_gettime)
{
    return user_range_ok(b, sizeof(struct timespec)) ? clock_gettime((int)a, (struct timespec *)b)
                                                     : -EFAULT;
}

int64_t clock_getres(int clock, struct timespec *resolution)
{
    uint64_t now;
    if (!clock_read(clock, &now))
        return -EINVAL;
    if (resolution)
        *resolution = (struct timespec){ .tv_nsec = 1 };
    return 0;
}

SYSTEM_CALL(clock_getres)
{
    return !b || user_range_ok(b, sizeof(struct timespec))
               ? clock_getres((int)a, (struct timespec *)b)
               : -EFAULT;
}

/* Only the host sets clocks. */
SYSTEM_CALL(clock_settime)
{
    uint64_t now;
    const bool of_processor = (int)a < 0 && clock_read((int)a, &now);
    if ((int)a != CLOCK_REALTIME && !of_processor)
        return -EINVAL;
    if (!user_range_ok(b, sizeof(struct timespec)))
        return -EFAULT;
    const struct timespec *time = (const struct timespec *)b;
    return !of_processor && (time->tv_sec < 0 || (uint64_t)time->tv_nsec >= NANOSECONDS) ? -EINVAL
                                                                                         : -EPERM;
}

SYSTEM_CALL(settimeofday)
{
    if ((a && !user_range_ok(a, sizeof(struct timeval))) ||
        (b && !user_range_ok(b, sizeof(struct timezone))))
        return -EFAULT;
    const struct timeval *time = (const struct timeval *)a;
    return time && (time->tv_sec < 0 || (uint64_t)time->tv_usec >= 1000000) ? -EINVAL : -EPERM;
}

int64_t clock_gettimeofday(struct timeval *time, struct timezone *zone)
{
    const uint64_t now = (uint64_t)realtime_ns();
    if (time)
        *time = (struct timeval){ .tv_sec = (long)(now / NANOSECONDS),
                                  .tv_usec = (long)(now % NANOSECONDS / 1000) };
    if (zone)
        *zone = (struct timezone){ .tz_minuteswest = 0 };
    return 0;
}

SYSTEM_CALL(gettimeofday)
{
    if ((a && !user_range_ok(a, sizeof(struct timeval))) ||
        (b && !user_range_ok(b, sizeof(struct timezone))))
        return -EFAULT;
    return clock_gettimeofday((struct timeval *)a, (struct timezone *)b);
}

int64_t clock_seconds(int64_t *seconds)
{
    const int64_t now = realtime_ns() / (int64_t)NANOSECONDS;
    if (seconds)
        *seconds = now;
    return now;
}

SYSTEM_CALL(time)
{
    return !a || user_range_ok(a, sizeof(int64_t)) ? clock_seconds((int64_t *)a) : -EFAULT;
}

static int64_t to_nanoseconds(struct timespec time, uint64_t *nanoseconds)
{
    if (time.tv_sec < 0 || time.tv_nsec < 0 || time.tv_nsec >= (long)NANOSECONDS)
        return -EINVAL;
    const uint64_t seconds = minimum((uint64_t)time.tv_sec, INT64_MAX / NANOSECONDS - 1);
    *nanoseconds = seconds * NANOSECONDS + (uint64_t)time.tv_nsec;
    return 0;
}

static int64_t read_timespec(uint64_t address, uint64_t *nanoseconds)
{
    return user_range_ok(address, sizeof(struct timespec))
               ? to_nanoseconds(*(const struct timespec *)address, nanoseconds)
               : -EFAULT;
}

int64_t timer_setting_read(uint64_t address, int clock, bool absolute,
                           struct timer_setting *setting)
{
    const struct itimerspec *wanted = (const struct itimerspec *)address;
    uint64_t now = 0;
    int64_t error = to_nanoseconds(wanted->it_value, &setting->left_ns);
    if (!error)
        error = to_nanoseconds(wanted->it_interval, &setting->interval_ns);
    if (!error && absolute && !clock_read(clock, &now))
        error = -EINVAL;
    if (!error && setting->left_ns) /* a time that has passed is now */
        setting->left_ns = setting->left_ns > now ? setting->left_ns - now : 1;
    return error;
}

static struct timespec to_timespec(uint64_t nanoseconds)
{
    return (struct timespec){ .tv_sec = (long)(nanoseconds / NANOSECONDS),
                              .tv_nsec = (long)(nanoseconds % NANOSECONDS) };
}

void timer_setting_write(uint64_t address, const struct timer_setting *setting)
{
    *(struct itimerspec *)address = (struct itimerspec){
        .it_interval = to_timespec(setting->interval_ns), .it_value = to_timespec(setting->left_ns)
    };
}

int64_t clock_deadline(int clock, bool absolute, uint64_t timespec, uint64_t *deadline)
{
    uint64_t time, now;
    int64_t error = read_timespec(timespec, &time);
    if (error)
        return error;
    if (!clock_read(clock, &now))
        return -EINVAL;
    if (absolute)
        time = time > now ? time - now : 0;
    *deadline = monotonic_ns() + time;
    return 0;
}

static int64_t sleep(int clock, bool absolute, uint64_t request, uint64_t remaining)
{
    uint64_t deadline;
    int64_t error = clock_deadline(clock, absolute, request, &deadline);
    if (error)
        return error;
    if (remaining && !absolute && !user_range_ok(remaining, sizeof(struct timespec)))
        return -EFAULT;
    thread_sleep(deadline);
    const uint64_t now = monotonic_ns();
    if (now >= deadline || !interrupted())
        return 0;
    if (remaining && !absolute)
        *(struct timespec *)remaining = (struct timespec){
            .tv_sec = (long)((deadline - now) / NANOSECONDS),
            .tv_nsec = (long)((deadline - now) % NANOSECONDS)
        };
    return -EINTR;
}

SYSTEM_CALL(nanosleep)
{
    return sleep(CLOCK_MONOTONIC, false, a, b);
}

SYSTEM_CALL(clock_nanosleep)
{
    if ((int)a == CLOCK_THREAD_CPUTIME_ID)
        return -EOPNOTSUPP;
    return sleep((int)a, (int)b & TIMER_ABSTIME, c, d);
}
