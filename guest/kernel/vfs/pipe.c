/* Pipes. */
#include "vfs/pipe.h"
#include "lib/string.h"
#include "mm/alloc.h"
#include "mm/user.h"
#include "sched/thread.h"
#include "signal/signal.h"

#define CAPACITY_FIRST PAGE_SIZE

static uint64_t last_inode;

struct channel *channel_create(void)
{
    struct channel *channel = kernel_alloc(sizeof *channel);
    if (channel)
        channel->limit = PIPE_CAPACITY;
    return channel;
}

void channel_release(struct channel *channel)
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
    while (capacity < channel->limit && capacity - waiting < length)
        capacity = minimum(capacity * 4, channel->limit);
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
    return end->out->readers == 0 || free_bytes(end->out) >= sending->space;
}

uint64_t channel_peek(struct channel *channel, void *buffer, uint64_t length)
{
    length = minimum(length, waiting_bytes(channel));
    if (length)
        circular_copy(channel, channel->read, buffer, NULL, length);
    return length;
}

void channel_drop(struct channel *channel, uint64_t length)
{
    channel->read += length;
    channel->departures += length > 0;
}

int64_t pipe_read(struct file *file, uint64_t offset, void *buffer, uint64_t length)
{
    struct pipe_end *end = file->object;
    if (length == 0)
        return 0;
    if (!can_read(end) && (file->flags & O_NONBLOCK))
        return -EAGAIN;
    if (!block_until(can_read, end, NO_DEADLINE))
        return -EINTR;
    const uint64_t count = channel_peek(end->in, buffer, length);
    channel_drop(end->in, count);
    return (int64_t)count;
}

/* Writes as much as fits. A short write is done as a whole or not at all. */
static int64_t write_some(struct pipe_end *end, const uint8_t *from, uint64_t length, bool wait)
{
    struct sending sending = { end, length <= PIPE_ATOMIC ? length : 1 };
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
    const uint64_t count = minimum(minimum(length, free_bytes(end->out)),
                                   end->out->capacity - waiting_bytes(end->out));
    circular_copy(end->out, end->out->written, NULL, from, count);
    end->out->written += count;
    end->out->arrivals++;
    return (int64_t)count;
}

int64_t pipe_write(struct file *file, uint64_t offset, const void *buffer, uint64_t length)
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

int pipe_events(struct file *file)
{
    const struct pipe_end *end = file->object;
    int events = 0;
    if (end->in) {
        const bool connected = !end->unconnected || end->in->writer_opens != end->writer_opens;
        events |= waiting_bytes(end->in) ? EVENT_IN : 0;
        events |= end->in->writers == 0 && connected ? EVENT_HANG_UP : 0;
    }
    if (end->out) {
        const bool broken = end->out->readers == 0;
        events |= free_bytes(end->out) >= PIPE_ATOMIC || broken ? EVENT_OUT : 0;
        events |= broken ? EVENT_ERROR : 0;
    }
    return events;
}

uint64_t pipe_activity(struct file *file)
{
    const struct pipe_end *end = file->object;
    return (end->in ? end->in->arrivals : 0) + (end->out ? end->out->departures : 0);
}

uint64_t pipe_available(struct file *file)
{
    const struct pipe_end *end = file->object;
    return waiting_bytes(end->in ? end->in : end->out);
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

void pipe_release(struct file *file)
{
    struct pipe_end *end = file->object;
    struct channel *channel = end->in ? end->in : end->out;
    if (end->in) {
        channel->readers--;
        channel->departures++;
    }
    if (end->out) {
        channel->writers--;
        channel->arrivals++;
    }
    channel_release(channel);
    kernel_free(end);
}

static const struct file_operations reading = {
    .read = pipe_read,
    .status = end_status,
    .events = pipe_events,
    .activity = pipe_activity,
    .available = pipe_available,
    .release = pipe_release,
};
static const struct file_operations writing = {
    .write = pipe_write,
    .status = end_status,
    .events = pipe_events,
    .activity = pipe_activity,
    .available = pipe_available,
    .release = pipe_release,
};

struct pipe_end *pipe_end(const struct file *file)
{
    return file->operations->events == pipe_events ? file->object : NULL;
}

int64_t pipe_size(const struct file *file, bool set, uint64_t wanted)
{
    const struct pipe_end *end = pipe_end(file);
    if (!end)
        return -EBADF;
    struct channel *channel = end->in ? end->in : end->out;
    if (!set)
        return (int64_t)channel->limit;
    uint64_t limit = PAGE_SIZE;
    while (limit < (uint32_t)wanted)
        limit *= 2;
    if (limit > PIPE_MAX_CAPACITY)
        return limit > 1u << 31 ? -EINVAL : -EPERM;
    if (limit < waiting_bytes(channel))
        return -EBUSY;
    channel->limit = limit;
    return (int64_t)limit;
}

/* ---- Making them ---- */

struct file *pipe_open(struct channel *channel, const struct file_operations *operations, int flags,
                       const char *path)
{
    const bool reads = (flags & O_ACCMODE) != O_WRONLY, writes = (flags & O_ACCMODE) != O_RDONLY;
    struct pipe_end *end = kernel_alloc(sizeof *end);
    struct file *file = end ? file_create(operations, end, flags, path) : NULL;
    if (!file) {
        kernel_free(end);
        return NULL;
    }
    *end = (struct pipe_end){ .in = reads ? channel : NULL,
                              .out = writes ? channel : NULL,
                              .inode = ++last_inode };
    channel->readers += reads;
    channel->writers += writes;
    return file;
}

static int64_t make_pipe(uint64_t descriptors, int flags)
{
    if (!user_range_ok(descriptors, 2 * sizeof(int)))
        return -EFAULT;
    const int kept = flags & O_NONBLOCK;
    struct channel *channel = channel_create();
    struct file *reader = channel ? pipe_open(channel, &reading, O_RDONLY | kept, NULL) : NULL,
                *writer = reader ? pipe_open(channel, &writing, O_WRONLY | kept, NULL) : NULL;
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
