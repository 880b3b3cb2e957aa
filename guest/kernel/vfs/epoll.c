/* epoll: a set of descriptors to wait for. Level-triggered; EPOLLET reports like a level, EPOLLONESHOT disarms. */
#include "file.h"
#include "syscalls.h"

#include <linux/eventpoll.h>

#define DEVICE 0x6570u

struct watch { struct watch *next; int fd; struct file *file; struct epoll_event event; bool armed; };
struct watch_set { struct watch *watches; };
struct wait { struct watch_set *set; struct epoll_event *events; int64_t limit, ready; };

static bool collect(void *argument)
{
    struct wait *wait = argument;
    wait->ready = 0;
    for (struct watch *watch = wait->set->watches; watch && wait->ready < wait->limit; watch = watch->next) {
        const uint32_t wanted = (uint32_t)watch->event.events | EVENT_ERROR | EVENT_HANG_UP;
        const uint32_t events = watch->armed ? (uint32_t)file_events(watch->file) & wanted : 0;
        if (!events)
            continue;
        if (wait->events)
            wait->events[wait->ready] = (struct epoll_event){ .events = events, .data = watch->event.data };
        if (wait->events && ((uint32_t)watch->event.events & EPOLLONESHOT))
            watch->armed = false;
        wait->ready++;
    }
    return wait->ready > 0;
}

static int set_events(struct file *file)
{
    struct wait wait = { file->object, NULL, 1, 0 };
    return collect(&wait) ? EVENT_IN : 0;
}

static void set_status(struct file *file, struct udfvm_stat *stat)
{
    *stat = (struct udfvm_stat){ .device = DEVICE, .inode = 1, .mode = 0600, .links = 1 };
}

static void remove_watch(struct watch **link)
{
    struct watch *watch = *link;
    *link = watch->next;
    kernel_free(watch);
}

static void set_release(struct file *file)
{
    struct watch_set *set = file->object;
    while (set->watches)
        remove_watch(&set->watches);
    kernel_free(set);
}

static const struct file_operations set_operations = { .status = set_status, .events = set_events, .release = set_release };

static int64_t create(int flags)
{
    struct watch_set *set = kernel_alloc(sizeof *set);
    struct file *file = set ? file_create(&set_operations, set, O_RDWR, NULL) : NULL;
    if (!file) {
        kernel_free(set);
        return -ENOMEM;
    }
    return descriptor_install(file, 0, flags & O_CLOEXEC);
}

SYSCALL(sys_epoll_create) { return (int)a > 0 ? create(0) : -EINVAL; }
SYSCALL(sys_epoll_create1) { return create((int)a); }

/* Files that were closed since leave the set. */
static void drop_closed(struct watch_set *set)
{
    for (struct watch **link = &set->watches; *link;) {
        struct file *file = file_get((*link)->fd);
        const bool same = file == (*link)->file;
        file_put(file);
        if (same)
            link = &(*link)->next;
        else
            remove_watch(link);
    }
}

static int64_t add_watch(struct watch_set *set, int fd, struct file *file, const struct epoll_event *event)
{
    struct watch *watch = kernel_alloc(sizeof *watch);
    if (!watch)
        return -ENOMEM;
    *watch = (struct watch){ set->watches, fd, file, *event, true };
    set->watches = watch;
    return 0;
}

static int64_t control(struct watch_set *set, uint64_t operation, int fd, const struct epoll_event *event)
{
    struct file *file = file_get(fd);
    file_put(file);                              /* the table keeps it; a closed one is dropped before it is used */
    if (!file)
        return -EBADF;
    struct watch **link = &set->watches;
    while (*link && (*link)->fd != fd)
        link = &(*link)->next;
    switch (operation) {
    case EPOLL_CTL_ADD:
        return *link ? -EEXIST : file->operations->events ? add_watch(set, fd, file, event) : -EPERM;
    case EPOLL_CTL_MOD:
        if (!*link)
            return -ENOENT;
        (*link)->event = *event;
        (*link)->armed = true;
        return 0;
    case EPOLL_CTL_DEL:
        if (!*link)
            return -ENOENT;
        remove_watch(link);
        return 0;
    default:
        return -EINVAL;
    }
}

static struct file *get_set(int fd, int64_t *error)
{
    struct file *file = file_get(fd);
    *error = !file ? -EBADF : file->operations != &set_operations ? -EINVAL : 0;
    if (*error) {
        file_put(file);
        return NULL;
    }
    drop_closed(file->object);
    return file;
}

SYSCALL(sys_epoll_ctl)
{
    int64_t error;
    struct epoll_event event = { .events = 0 };
    if (b != EPOLL_CTL_DEL && !user_range_ok(d, sizeof event))
        return -EFAULT;
    if (b != EPOLL_CTL_DEL)
        memcpy(&event, (const void *)d, sizeof event);
    struct file *file = get_set((int)a, &error);
    if (!file)
        return error;
    error = a == c ? -EINVAL : control(file->object, b, (int)c, &event);
    file_put(file);
    return error;
}

static int64_t wait_for(int fd, uint64_t events, int limit, uint64_t deadline)
{
    int64_t error;
    if (limit <= 0 || limit > DESCRIPTORS)
        return -EINVAL;
    if (!user_range_ok(events, (uint64_t)limit * sizeof(struct epoll_event)))
        return -EFAULT;
    struct file *file = get_set(fd, &error);
    if (!file)
        return error;
    struct wait wait = { file->object, (struct epoll_event *)events, limit, 0 };
    block_until(collect, &wait, deadline);
    file_put(file);
    return wait.ready == 0 && interrupted() ? -EINTR : wait.ready;
}

static uint64_t deadline_after(uint64_t nanoseconds)
{
    return monotonic_ns() + nanoseconds;
}

SYSCALL(sys_epoll_wait)
{
    const int timeout = (int)d;
    return wait_for((int)a, b, (int)c, timeout < 0 ? NO_DEADLINE : deadline_after((uint64_t)timeout * 1000000));
}

SYSCALL(sys_epoll_pwait2)
{
    struct { int64_t seconds, nanoseconds; } time;
    if (!d)
        return wait_for((int)a, b, (int)c, NO_DEADLINE);
    if (!user_range_ok(d, sizeof time))
        return -EFAULT;
    memcpy(&time, (const void *)d, sizeof time);
    if (time.seconds < 0 || time.nanoseconds < 0 || time.nanoseconds >= (int64_t)NANOSECONDS)
        return -EINVAL;
    return wait_for((int)a, b, (int)c, deadline_after(minimum((uint64_t)time.seconds, 1ull << 32) * NANOSECONDS + (uint64_t)time.nanoseconds));
}
