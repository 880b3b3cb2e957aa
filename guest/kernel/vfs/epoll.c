/* epoll: a set of descriptors to wait for.
 *
 * An edge-triggered watch reports a file again once its activity count has changed. Level-triggered
 * files are checked each time. A watch lies in two lists, of its set and of its file, so it is
 * removed with whichever is closed first.
 */
#include "lib/string.h"
#include "mm/alloc.h"
#include "mm/user.h"
#include "sched/thread.h"
#include "signal/signal.h"
#include "vfs/poll.h"

#include <linux/eventpoll.h>

#define MAX_NESTING 4u

struct watch {
    struct watch *next, *next_of_file;
    struct watch_set *set;
    struct file *file;
    int fd;
    bool armed;    /* with EPOLLONESHOT: not reported yet */
    bool reported; /* reported since the watch was added or changed; then `activity` is compared */
    uint64_t activity;
    struct epoll_event event;
};

struct watch_set {
    struct file *file; /* this set */
    struct watch *first;
    uint64_t inode;
};

static uint64_t last_inode = 1u << 21;
static const struct file_operations set_operations;

static uint32_t events_of(const struct watch *watch)
{
    if (!watch->armed)
        return 0;
    const uint32_t events = (uint32_t)file_events(watch->file) &
                            ((uint32_t)watch->event.events | EVENT_ERROR | EVENT_HANG_UP);
    const bool edge = ((uint32_t)watch->event.events & EPOLLET) &&
                      watch->file->operations->activity;
    return edge && watch->reported &&
                   watch->activity == watch->file->operations->activity(watch->file)
               ? 0
               : events;
}

static bool any_ready(void *argument)
{
    const struct watch_set *set = argument;
    for (const struct watch *watch = set->first; watch; watch = watch->next)
        if (events_of(watch))
            return true;
    return false;
}

static void mark_reported(struct watch *watch)
{
    watch->reported = true;
    if (watch->file->operations->activity)
        watch->activity = watch->file->operations->activity(watch->file);
    if ((uint32_t)watch->event.events & EPOLLONESHOT)
        watch->armed = false;
}

/* Takes up to `limit` events. Reported files move to the end of the set, so that each gets its
 * turn. */
static int64_t take_events(struct watch_set *set, struct epoll_event *to, int64_t limit)
{
    struct watch *done = NULL, **end = &done, **link = &set->first;
    int64_t count = 0;
    while (*link) {
        struct watch *watch = *link;
        const uint32_t events = count < limit ? events_of(watch) : 0;
        if (!events) {
            link = &watch->next;
            continue;
        }
        to[count++] = (struct epoll_event){ .events = events, .data = watch->event.data };
        mark_reported(watch);
        *link = watch->next;
        watch->next = NULL;
        *end = watch;
        end = &watch->next;
    }
    *link = done;
    return count;
}

/* ---- The set as a file ---- */

static void remove_watch(struct watch *watch)
{
    struct watch **link = &watch->set->first;
    while (*link != watch)
        link = &(*link)->next;
    *link = watch->next;
    link = &watch->file->watches;
    while (*link != watch)
        link = &(*link)->next_of_file;
    *link = watch->next_of_file;
    kernel_free(watch);
}

void watches_forget(struct file *file)
{
    while (file->watches)
        remove_watch(file->watches);
}

static int set_events(struct file *file)
{
    return any_ready(file->object) ? EVENT_IN : 0;
}

static void set_status(struct file *file, struct status *status)
{
    const struct watch_set *set = file->object;
    *status = (struct status){
        .device = DEVICE_STREAMS, .inode = set->inode, .mode = 0600, .links = 1
    };
}

static void set_release(struct file *file)
{
    struct watch_set *set = file->object;
    while (set->first)
        remove_watch(set->first);
    kernel_free(set);
}

static const struct file_operations set_operations = { .status = set_status,
                                                       .events = set_events,
                                                       .release = set_release };

static int64_t create(uint64_t flags)
{
    if (flags & ~(uint64_t)EPOLL_CLOEXEC)
        return -EINVAL;
    struct watch_set *set = kernel_alloc(sizeof *set);
    struct file *file = set ? file_create(&set_operations, set, O_RDWR, NULL) : NULL;
    if (!file) {
        kernel_free(set);
        return -ENOMEM;
    }
    set->file = file;
    set->inode = ++last_inode;
    return descriptor_install(file, 0, flags & EPOLL_CLOEXEC);
}

SYSTEM_CALL(epoll_create)
{
    return (int)a > 0 ? create(0) : -EINVAL;
}
SYSTEM_CALL(epoll_create1)
{
    return create(a);
}

/* ---- Control ---- */

/* Sets may watch sets, but not in a circle, and not in many levels: recursion ends. */
static bool reaches(const struct file *file, const struct watch_set *set)
{
    if (file->operations != &set_operations)
        return false;
    if (file->object == set)
        return true;
    for (const struct watch *watch = ((const struct watch_set *)file->object)->first; watch;
         watch = watch->next)
        if (reaches(watch->file, set))
            return true;
    return false;
}

/* Levels of sets from this file downwards, or above it. */
static unsigned levels_below(const struct file *file)
{
    unsigned most = 0;
    if (file->operations != &set_operations)
        return 0;
    for (const struct watch *watch = ((const struct watch_set *)file->object)->first; watch;
         watch = watch->next)
        most = (unsigned)maximum(most, levels_below(watch->file));
    return most + 1;
}

static unsigned levels_above(const struct file *file)
{
    unsigned most = 0;
    for (const struct watch *watch = file->watches; watch; watch = watch->next_of_file)
        most = (unsigned)maximum(most, levels_above(watch->set->file) + 1);
    return most;
}

static int64_t add_watch(struct watch_set *set, int fd, struct file *file,
                         const struct epoll_event *event)
{
    if (file->operations == &set_operations &&
        (reaches(file, set) || levels_below(file) + levels_above(set->file) > MAX_NESTING))
        return -ELOOP;
    struct watch *watch = kernel_alloc(sizeof *watch);
    if (!watch)
        return -ENOMEM;
    *watch = (struct watch){ .next = set->first,
                             .next_of_file = file->watches,
                             .set = set,
                             .file = file,
                             .fd = fd,
                             .armed = true,
                             .event = *event };
    set->first = watch;
    file->watches = watch;
    return 0;
}

static int64_t control(struct watch_set *set, uint64_t operation, int fd, struct file *file,
                       const struct epoll_event *event)
{
    struct watch *watch = file->watches;
    if (!file->operations->events)
        return -EPERM; /* such a file is always ready */
    while (watch && !(watch->set == set && watch->fd == fd))
        watch = watch->next_of_file;
    switch (operation) {
    case EPOLL_CTL_ADD:
        return watch ? -EEXIST : add_watch(set, fd, file, event);
    case EPOLL_CTL_MOD:
        if (!watch)
            return -ENOENT;
        watch->event = *event;
        watch->armed = true;
        watch->reported = false;
        return 0;
    case EPOLL_CTL_DEL:
        if (!watch)
            return -ENOENT;
        remove_watch(watch);
        return 0;
    default:
        return -EINVAL;
    }
}

static struct file *get_set(int fd, int64_t *error)
{
    struct file *file = file_get(fd);
    *error = !file ? -EBADF : file->operations != &set_operations ? -EINVAL : 0;
    if (!*error)
        return file;
    file_put(file);
    return NULL;
}

SYSTEM_CALL(epoll_ctl)
{
    int64_t error;
    struct epoll_event event = { .events = 0 };
    if (b != EPOLL_CTL_DEL && !user_range_ok(d, sizeof event))
        return -EFAULT;
    if (b != EPOLL_CTL_DEL)
        memcpy(&event, (const void *)d, sizeof event);
    struct file *set = get_set((int)a, &error);
    if (!set)
        return error;
    struct file *file = file_get((int)c);
    error = !file ? -EBADF : file == set ? -EINVAL : control(set->object, b, (int)c, file, &event);
    file_put(file);
    file_put(set);
    return error;
}

/* ---- Waiting ---- */

static int64_t wait_for(int fd, uint64_t events, uint64_t limit, uint64_t deadline)
{
    int64_t error;
    if ((int)limit <= 0 || (int)limit > (int)(INT32_MAX / sizeof(struct epoll_event)))
        return -EINVAL;
    limit = minimum((uint32_t)limit, DESCRIPTORS);
    if (!user_range_ok(events, limit * sizeof(struct epoll_event)))
        return -EFAULT;
    struct file *file = get_set(fd, &error);
    if (!file)
        return error;
    const bool ready = block_until(any_ready, file->object, deadline);
    error = ready ? take_events(file->object, (struct epoll_event *)events, (int64_t)limit)
            : interrupted() ? -EINTR
                            : 0;
    file_put(file);
    return error;
}

SYSTEM_CALL(epoll_wait)
{
    return wait_for((int)a, b, c, deadline_after_milliseconds(d));
}

SYSTEM_CALL(epoll_pwait)
{
    const int64_t error = e ? signal_mask_for_call(e, f) : 0;
    return error ? error : wait_for((int)a, b, c, deadline_after_milliseconds(d));
}

SYSTEM_CALL(epoll_pwait2)
{
    uint64_t deadline;
    int64_t error = deadline_from_program(d, 1, &deadline);
    if (error == 0 && e)
        error = signal_mask_for_call(e, f);
    return error ? error : wait_for((int)a, b, c, deadline);
}
