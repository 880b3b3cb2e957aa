/* Pipes, and pairs of connected sockets, which consist of two pipes. */
#include "vfs/pipe.h"
#include "lib/string.h"
#include "mm/alloc.h"
#include "mm/user.h"
#include "sched/thread.h"

#define CAPACITY_FIRST PAGE_SIZE
#define CAPACITY       65536u /* bytes that one direction buffers, as in Linux */
#define ATOMIC_WRITE   4096u  /* PIPE_BUF: a write of up to so many bytes is not split */

/* One direction of a stream. */
struct channel {
    /* a circular buffer of `capacity` bytes; it grows, because most pipes carry little */
    uint8_t *bytes;
    uint64_t capacity, read, written;
    uint64_t arrivals, departures;    /* counts of changes, which readers and writers wait for */
    unsigned readers, writers, users; /* users: ends that refer to it, even after a shutdown */
};

/* One end. An end of a pipe has one of the channels, a socket has both. */
struct stream_end {
    struct channel *in, *out;
    bool in_closed, out_closed;
    uint64_t inode;
};

static uint64_t last_inode;

static uint64_t waiting_bytes(const struct channel *channel)
{
    return channel->written - channel->read;
}

static void channel_release(struct channel *channel)
{
    if (!channel || channel->users)
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
    const struct stream_end *end = argument;
    return end->in_closed || waiting_bytes(end->in) || end->in->writers == 0;
}

struct sending {
    const struct stream_end *end;
    uint64_t space;
};

static bool can_write(void *argument)
{
    const struct sending *sending = argument;
    const struct stream_end *end = sending->end;
    return end->out_closed || end->out->readers == 0 ||
           CAPACITY - waiting_bytes(end->out) >= sending->space;
}

int64_t stream_receive(struct file *file, void *buffer, uint64_t length, unsigned how)
{
    struct stream_end *end = file->object;
    if (length == 0)
        return 0;
    if (!can_read(end) && !(how & STREAM_WAIT))
        return -EAGAIN;
    if (!block_until(can_read, end, NO_DEADLINE))
        return -EINTR;
    const uint64_t count = minimum(length, waiting_bytes(end->in));
    if (count)
        circular_copy(end->in, end->in->read, buffer, NULL, count);
    if (count && !(how & STREAM_PEEK)) {
        end->in->read += count;
        end->in->departures++;
    }
    return (int64_t)count;
}

/* Writes as much as fits. A short write is done as a whole or not at all. */
static int64_t send_some(struct stream_end *end, const uint8_t *from, uint64_t length, unsigned how)
{
    struct sending sending = { end, length <= ATOMIC_WRITE ? length : 1 };
    if (!can_write(&sending) && !(how & STREAM_WAIT))
        return -EAGAIN;
    if (!block_until(can_write, &sending, NO_DEADLINE))
        return -EINTR;
    if (end->out_closed || end->out->readers == 0)
        return -EPIPE;
    int64_t error = provide_capacity(end->out, length);
    if (error)
        return error;
    const uint64_t count = minimum(length, end->out->capacity - waiting_bytes(end->out));
    circular_copy(end->out, end->out->written, NULL, from, count);
    end->out->written += count;
    end->out->arrivals++;
    return (int64_t)count;
}

int64_t stream_send(struct file *file, const void *buffer, uint64_t length, unsigned how)
{
    uint64_t done = 0;
    while (done < length) {
        int64_t sent = send_some(file->object, (const uint8_t *)buffer + done, length - done, how);
        if (sent < 0)
            return done ? (int64_t)done : sent;
        done += (uint64_t)sent;
    }
    return (int64_t)done;
}

static unsigned how_of(const struct file *file)
{
    return file->flags & O_NONBLOCK ? 0 : STREAM_WAIT;
}

static int64_t end_read(struct file *file, uint64_t offset, void *buffer, uint64_t length)
{
    return stream_receive(file, buffer, length, how_of(file));
}

static int64_t end_write(struct file *file, uint64_t offset, const void *buffer, uint64_t length)
{
    return stream_send(file, buffer, length, how_of(file));
}

/* ---- What else there is to an end ---- */

static int pipe_events(struct file *file)
{
    const struct stream_end *end = file->object;
    if (end->in)
        return (waiting_bytes(end->in) ? EVENT_IN : 0) |
               (end->in->writers == 0 ? EVENT_HANG_UP : 0);
    return (CAPACITY - waiting_bytes(end->out) >= ATOMIC_WRITE || end->out->readers == 0 ? EVENT_OUT
                                                                                         : 0) |
           (end->out->readers == 0 ? EVENT_ERROR : 0);
}

static int socket_events(struct file *file)
{
    const struct stream_end *end = file->object;
    const bool read_end = end->in_closed || end->in->writers == 0,
               write_end = end->out_closed || end->out->readers == 0;
    return (waiting_bytes(end->in) || read_end ? EVENT_IN : 0) | (read_end ? EVENT_READ_END : 0) |
           (write_end || CAPACITY - waiting_bytes(end->out) >= ATOMIC_WRITE ? EVENT_OUT : 0) |
           (read_end && write_end ? EVENT_HANG_UP : 0);
}

static uint64_t end_activity(struct file *file)
{
    const struct stream_end *end = file->object;
    return (end->in ? end->in->arrivals : 0) + (end->out ? end->out->departures : 0);
}

static uint64_t end_available(struct file *file)
{
    const struct stream_end *end = file->object;
    return end->in ? waiting_bytes(end->in) : 0;
}

static void end_status(struct file *file, struct status *status)
{
    const struct stream_end *end = file->object;
    *status = (struct status){
        .device = DEVICE_STREAMS,
        .inode = end->inode,
        .mode = (file->operations->socket ? S_IFSOCK | 0777 : S_IFIFO | 0600),
        .links = 1,
    };
}

void stream_shutdown(struct file *file, bool reading, bool writing)
{
    struct stream_end *end = file->object;
    if (reading && end->in && !end->in_closed) {
        end->in_closed = true;
        end->in->readers--;
        end->in->departures++;
        end->in->arrivals++;
    }
    if (writing && end->out && !end->out_closed) {
        end->out_closed = true;
        end->out->writers--;
        end->out->arrivals++;
        end->out->departures++;
    }
}

static void end_release(struct file *file)
{
    struct stream_end *end = file->object;
    stream_shutdown(file, true, true);
    if (end->in)
        end->in->users--;
    if (end->out)
        end->out->users--;
    channel_release(end->in);
    channel_release(end->out);
    kernel_free(end);
}

static const struct file_operations reading = {
    .read = end_read,
    .status = end_status,
    .events = pipe_events,
    .activity = end_activity,
    .available = end_available,
    .release = end_release,
};
static const struct file_operations writing = {
    .write = end_write,
    .status = end_status,
    .events = pipe_events,
    .activity = end_activity,
    .release = end_release,
};
static const struct file_operations both = {
    .read = end_read,
    .write = end_write,
    .status = end_status,
    .events = socket_events,
    .activity = end_activity,
    .available = end_available,
    .release = end_release,
    .socket = true,
};

/* ---- Making them ---- */

static struct file *open_end(struct channel *in, struct channel *out, int flags)
{
    struct stream_end *end = kernel_alloc(sizeof *end);
    const struct file_operations *operations = in && out ? &both : in ? &reading : &writing;
    const int access = in && out ? O_RDWR : in ? O_RDONLY : O_WRONLY;
    struct file *file = end ? file_create(operations, end, access | (flags & O_NONBLOCK), NULL)
                            : NULL;
    if (!file) {
        kernel_free(end);
        return NULL;
    }
    *end = (struct stream_end){ .in = in, .out = out, .inode = ++last_inode };
    if (in) {
        in->readers++;
        in->users++;
    }
    if (out) {
        out->writers++;
        out->users++;
    }
    return file;
}

/* Gives a pair of files two descriptors. It takes over the references. */
static int64_t install_pair(struct file *first, struct file *second, uint64_t descriptors,
                            bool close_on_exec)
{
    const int64_t one = descriptor_install(first, 0, close_on_exec);
    if (one < 0) {
        file_put(second);
        return one;
    }
    const int64_t other = descriptor_install(second, 0, close_on_exec);
    if (other < 0) {
        descriptor_close((int)one);
        return other;
    }
    ((int *)descriptors)[0] = (int)one;
    ((int *)descriptors)[1] = (int)other;
    return 0;
}

int64_t stream_pair(bool sockets, uint64_t descriptors, int flags)
{
    if (!user_range_ok(descriptors, 2 * sizeof(int)))
        return -EFAULT;
    struct channel *there = kernel_alloc(sizeof *there),
                   *back = sockets ? kernel_alloc(sizeof *back) : NULL;
    const bool enough = there && (back || !sockets);
    struct file *first = enough ? open_end(there, back, flags) : NULL,
                *second = first ? open_end(back, there, flags) : NULL;
    if (second)
        return install_pair(first, second, descriptors, flags & O_CLOEXEC);
    file_put(first); /* frees the channels, if the file owns them */
    if (!first) {
        kernel_free(there);
        kernel_free(back);
    }
    return -ENOMEM;
}

SYSTEM_CALL(pipe)
{
    return stream_pair(false, a, 0);
}
SYSTEM_CALL(pipe2)
{
    return b & ~(uint64_t)(O_NONBLOCK | O_CLOEXEC | O_DIRECT) ? -EINVAL
                                                              : stream_pair(false, a, (int)b);
}
