/* timerfd: a descriptor that counts expirations of a timer. */
#include "lib/string.h"
#include "mm/alloc.h"
#include "mm/user.h"
#include "sched/time.h"
#include "sched/timer.h"
#include "vfs/file.h"

#include <linux/timerfd.h>

struct timer_file {
    struct timer timer; /* first */
    int clock;
    uint64_t count, activity;
    uint64_t inode;
};

static uint64_t last_inode = 3u << 20;

static void expired(struct timer *timer, uint64_t times)
{
    struct timer_file *file = (struct timer_file *)timer;
    file->activity += file->count == 0; /* what is not read is one event */
    file->count += times;
}

static bool has_expired(void *argument)
{
    return ((const struct timer_file *)argument)->count > 0;
}

static int64_t timer_read(struct file *file, uint64_t offset, void *buffer, uint64_t length)
{
    struct timer_file *own = file->object;
    if (length < sizeof own->count)
        return -EINVAL;
    timers_run();
    if (own->count == 0 && (file->flags & O_NONBLOCK))
        return -EAGAIN;
    if (!block_until(has_expired, own, NO_DEADLINE))
        return -EINTR;
    memcpy(buffer, &own->count, sizeof own->count);
    own->count = 0;
    return sizeof own->count;
}

static int timer_events(struct file *file)
{
    return has_expired(file->object) ? EVENT_IN : 0;
}

static uint64_t timer_activity(struct file *file)
{
    return ((const struct timer_file *)file->object)->activity;
}

static void timer_status(struct file *file, struct status *status)
{
    const struct timer_file *own = file->object;
    *status = (struct status){
        .device = DEVICE_STREAMS, .inode = own->inode, .mode = 0600, .links = 1
    };
}

static void timer_release(struct file *file)
{
    struct timer_file *own = file->object;
    if (own->timer.expiry_ns)
        timer_disarm(&own->timer);
    kernel_free(own);
}

static const struct file_operations timer_operations = {
    .read = timer_read,
    .status = timer_status,
    .events = timer_events,
    .activity = timer_activity,
    .release = timer_release,
};

SYSTEM_CALL(timerfd_create)
{
    if ((b & ~(uint64_t)(TFD_NONBLOCK | TFD_CLOEXEC)) ||
        (a != CLOCK_REALTIME && a != CLOCK_MONOTONIC && a != CLOCK_BOOTTIME))
        return -EINVAL;
    struct timer_file *own = kernel_alloc(sizeof *own);
    struct file *file = own ? file_create(&timer_operations, own, O_RDWR | ((int)b & O_NONBLOCK),
                                          NULL)
                            : NULL;
    if (!file) {
        kernel_free(own);
        return -ENOMEM;
    }
    *own = (struct timer_file){ .timer = { .expired = expired, .clock = TIMER_WALL },
                                .clock = (int)a,
                                .inode = ++last_inode };
    return descriptor_install(file, 0, b & TFD_CLOEXEC);
}

static struct file *get_timer(uint64_t fd, int64_t *error)
{
    struct file *file = file_get((int)fd);
    *error = !file ? -EBADF : file->operations != &timer_operations ? -EINVAL : 0;
    if (!*error)
        return file;
    file_put(file);
    return NULL;
}

static struct timer_setting setting_of(const struct timer_file *own)
{
    return (struct timer_setting){ timer_left(&own->timer), own->timer.interval_ns };
}

static int64_t set_time(struct timer_file *own, uint64_t flags, uint64_t value, uint64_t old)
{
    struct timer_setting wanted;
    if (flags & ~(uint64_t)(TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET))
        return -EINVAL; /* the clock is never set */
    const int64_t error = timer_setting_read(value, own->clock, flags & TFD_TIMER_ABSTIME, &wanted);
    if (error)
        return error;
    timers_run();
    const struct timer_setting before = setting_of(own);
    own->count = 0;
    own->timer.interval_ns = wanted.interval_ns;
    timer_arm(&own->timer, wanted.left_ns);
    if (old)
        timer_setting_write(old, &before);
    return 0;
}

SYSTEM_CALL(timerfd_settime)
{
    int64_t error;
    if (!user_range_ok(c, sizeof(struct itimerspec)) ||
        (d && !user_range_ok(d, sizeof(struct itimerspec))))
        return -EFAULT;
    struct file *file = get_timer(a, &error);
    if (!file)
        return error;
    error = set_time(file->object, b, c, d);
    file_put(file);
    return error;
}

SYSTEM_CALL(timerfd_gettime)
{
    int64_t error;
    struct file *file = get_timer(a, &error);
    if (!file)
        return error;
    timers_run();
    const struct timer_setting setting = setting_of(file->object);
    file_put(file);
    if (!user_range_ok(b, sizeof(struct itimerspec)))
        return -EFAULT;
    timer_setting_write(b, &setting);
    return 0;
}
