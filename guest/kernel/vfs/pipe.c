/* Pipes. */
#include "vfs/file.h"
#include "lib/string.h"
#include "mm/alloc.h"
#include "mm/user.h"
#include "sched/thread.h"
#include "signal/signal.h"

#define CAPACITY_FIRST PAGE_SIZE
#define CAPACITY       65536u /* bytes that one direction buffers, as in Linux */
#define ATOMIC_WRITE   4096u  /* PIPE_BUF: a write of up to so many bytes is not split */

/* What the ends of a pipe share. */
struct channel {
    /* a circular buffer of `capacity` bytes; it grows, because most pipes carry little */
    uint8_t *bytes;
    uint64_t capacity, read, written;
    uint64_t arrivals, departures; /* counts of changes, which readers and writers wait for */
    unsigned readers, writers;
};

/* One end, which reads or writes: the other pointer is NULL. */
struct pipe_end {
    struct channel *in, *out;
    uint64_t inode;
};

static uint64_t last_inode;

static uint64_t waiting_bytes(const struct channel *channel)
{
    return channel->written - channel->read;
}

static void channel_release(struct channel *channel)
{
    if (channel->readers || channel->writers)
        return;
    if (channel->bytes)
        page_free(channel->bytes, channel->capacity / PAGE_SIZE);
    kernel_free(channel);
}

/* Copies from or to the circular buffer. */
static void circular_copy(struct channel *channel, uint64_t position, void *to, const void *from,
                          uint64_t count)
{
    for (uint64_t done = 0; done < count;) {
        const uint64_t offset = (position + done) % channel->capacity,
                       part = minimum(count - done, channel->capacity - offset);
        if (from)
            memcpy(channel->bytes + offset, (const uint8_t *)from + done, part);
        else
            memcpy((uint8_t *)to + done, channel->bytes + offset, part);
        done += part;
    }
}

/* Grows the buffer for `length` more bytes, or to its largest size. */
static int64_t provide_capacity(struct channel *channel, uint64_t length)
{
    const uint64_t waiting = waiting_bytes(channel);
    uint64_t capacity = channel->capacity ? channel->capacity : CAPACITY_FIRST;
    while (capacity < CAPACITY && capacity - waiting < length)
        capacity *= 4;
    if (capacity == channel->capacity)
        return 0;
    uint8_t *bytes = page_alloc(capacity / PAGE_SIZE);
    if (!bytes)
        return channel->capacity > waiting ? 0 : -ENOMEM;
    if (channel->bytes) {
        circular_copy(channel, channel->read, bytes, NULL, waiting);
        page_free(channel->bytes, channel->capacity / PAGE_SIZE);
    }
    channel->bytes = bytes;
    channel->capacity = capacity;
    channel->read = 0;
    channel->written = waiting;
    return 0;
}

/* ---- Waiting ---- */

static bool can_read(void *argument)
{
    const struct pipe_end *end = argument;
    return waiting_bytes(end->in) || end->in->writers == 0;
}

struct sending {
    const struct pipe_end *end;
    uint64_t space;
};

static bool can_write(void *argument)
{
    const struct sending *sending = argument;
    const struct pipe_end *end = sending->end;
    return end->out->readers == 0 || CAPACITY - waiting_bytes(end->out) >= sending->space;
}

static int64_t end_read(struct file *file, uint64_t offset, void *buffer, uint64_t length)
{
    struct pipe_end *end = file->object;
    if (length == 0)
        return 0;
    if (!can_read(end) && (file->flags & O_NONBLOCK))
        return -EAGAIN;
    if (!block_until(can_read, end, NO_DEADLINE))
        return -EINTR;
    const uint64_t count = minimum(length, waiting_bytes(end->in));
    if (count) {
        circular_copy(end->in, end->in->read, buffer, NULL, count);
        end->in->read += count;
        end->in->departures++;
    }
    return (int64_t)count;
}

/* Writes as much as fits. A short write is done as a whole or not at all. */
static int64_t write_some(struct pipe_end *end, const uint8_t *from, uint64_t length, bool wait)
{
    struct sending sending = { end, length <= ATOMIC_WRITE ? length : 1 };
    if (!can_write(&sending) && !wait)
        return -EAGAIN;
    if (!block_until(can_write, &sending, NO_DEADLINE))
        return -EINTR;
    if (end->out->readers == 0) {
        signal_raise(SIGPIPE);
        return -EPIPE;
    }
    int64_t error = provide_capacity(end->out, length);
    if (error)
        return error;
    const uint64_t count = minimum(length, end->out->capacity - waiting_bytes(end->out));
    circular_copy(end->out, end->out->written, NULL, from, count);
    end->out->written += count;
    end->out->arrivals++;
    return (int64_t)count;
}

static int64_t end_write(struct file *file, uint64_t offset, const void *buffer, uint64_t length)
{
    uint64_t done = 0;
    while (done < length) {
        int64_t sent = write_some(file->object, (const uint8_t *)buffer + done, length - done,
                                  !(file->flags & O_NONBLOCK));
        if (sent < 0)
            return done ? (int64_t)done : sent;
        done += (uint64_t)sent;
    }
    return (int64_t)done;
}

/* ---- What else there is to an end ---- */

static int end_events(struct file *file)
{
    const struct pipe_end *end = file->object;
    if (end->in)
        return (waiting_bytes(end->in) ? EVENT_IN : 0) |
               (end->in->writers == 0 ? EVENT_HANG_UP : 0);
    return (CAPACITY - waiting_bytes(end->out) >= ATOMIC_WRITE || end->out->readers == 0 ? EVENT_OUT
                                                                                         : 0) |
           (end->out->readers == 0 ? EVENT_ERROR : 0);
}

static uint64_t end_activity(struct file *file)
{
    const struct pipe_end *end = file->object;
    return end->in ? end->in->arrivals : end->out->departures;
}

static uint64_t end_available(struct file *file)
{
    const struct pipe_end *end = file->object;
    return end->in ? waiting_bytes(end->in) : 0;
}

static void end_status(struct file *file, struct status *status)
{
    const struct pipe_end *end = file->object;
    *status = (struct status){
        .device = DEVICE_STREAMS,
        .inode = end->inode,
        .mode = S_IFIFO | 0600,
        .links = 1,
    };
}

static void end_release(struct file *file)
{
    struct pipe_end *end = file->object;
    struct channel *channel = end->in ? end->in : end->out;
    if (end->in) {
        channel->readers--;
        channel->departures++;
    } else {
        channel->writers--;
        channel->arrivals++;
    }
    channel_release(channel);
    kernel_free(end);
}

static const struct file_operations reading = {
    .read = end_read,
    .status = end_status,
    .events = end_events,
    .activity = end_activity,
    .available = end_available,
    .release = end_release,
};
static const struct file_operations writing = {
    .write = end_write,
    .status = end_status,
    .events = end_events,
    .activity = end_activity,
    .release = end_release,
};
/* ---- Making them ---- */

static struct file *open_end(struct channel *in, struct channel *out, int flags)
{
    struct pipe_end *end = kernel_alloc(sizeof *end);
    struct file *file = end ? file_create(in ? &reading : &writing, end,
                                          (in ? O_RDONLY : O_WRONLY) | (flags & O_NONBLOCK), NULL)
                            : NULL;
    if (!file) {
        kernel_free(end);
        return NULL;
    }
    *end = (struct pipe_end){ .in = in, .out = out, .inode = ++last_inode };
    if (in)
        in->readers++;
    else
        out->writers++;
    return file;
}

static int64_t make_pipe(uint64_t descriptors, int flags)
{
    if (!user_range_ok(descriptors, 2 * sizeof(int)))
        return -EFAULT;
    struct channel *channel = kernel_alloc(sizeof *channel);
    struct file *reader = channel ? open_end(channel, NULL, flags) : NULL,
                *writer = reader ? open_end(NULL, channel, flags) : NULL;
    if (writer)
        return descriptors_install_pair(reader, writer, descriptors, flags & O_CLOEXEC);
    if (reader)
        file_put(reader); /* frees the channel */
    else
        kernel_free(channel);
    return -ENOMEM;
}

SYSTEM_CALL(pipe)
{
    return make_pipe(a, 0);
}
SYSTEM_CALL(pipe2)
{
    return b & ~(uint64_t)(O_NONBLOCK | O_CLOEXEC | O_DIRECT) ? -EINVAL : make_pipe(a, (int)b);
}
