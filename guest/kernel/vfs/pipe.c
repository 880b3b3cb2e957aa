/* Pipes, and pairs of connected sockets made of two of them. */
#include "file.h"
#include "syscalls.h"

#define CAPACITY 65536u
#define DEVICE 0x7069u
#define AF_UNIX 1

struct pipe { uint8_t *bytes; uint64_t read, written; unsigned readers, writers; };

/* An end, or for a socket both: it reads from `in` and writes to `out`. */
struct end { struct pipe *in, *out; };

static struct pipe *pipe_create(void)
{
    struct pipe *pipe = kernel_alloc(sizeof *pipe);
    if (!pipe)
        return NULL;
    pipe->bytes = page_alloc(CAPACITY / PAGE_SIZE);
    if (pipe->bytes)
        return pipe;
    kernel_free(pipe);
    return NULL;
}

static void pipe_release(struct pipe *pipe)
{
    if (!pipe || pipe->readers || pipe->writers)
        return;
    page_free(pipe->bytes, CAPACITY / PAGE_SIZE);
    kernel_free(pipe);
}

static bool can_read(void *argument)
{
    const struct pipe *pipe = argument;
    return pipe->written != pipe->read || pipe->writers == 0;
}

static bool can_write(void *argument)
{
    const struct pipe *pipe = argument;
    return pipe->written - pipe->read < CAPACITY || pipe->readers == 0;
}

static int64_t end_read(struct file *file, uint64_t offset, void *buffer, uint64_t length)
{
    struct pipe *pipe = ((struct end *)file->object)->in;
    if (length == 0)
        return 0;
    if (!can_read(pipe) && (file->flags & O_NONBLOCK))
        return -EAGAIN;
    if (!block_until(can_read, pipe, NO_DEADLINE))
        return -EINTR;
    const uint64_t count = minimum(length, pipe->written - pipe->read);
    for (uint64_t done = 0; done < count;) {
        const uint64_t at = (pipe->read + done) % CAPACITY, part = minimum(count - done, CAPACITY - at);
        memcpy((uint8_t *)buffer + done, pipe->bytes + at, part);
        done += part;
    }
    pipe->read += count;
    return (int64_t)count;
}

static void put(struct pipe *pipe, const uint8_t *from, uint64_t count)
{
    for (uint64_t done = 0; done < count;) {
        const uint64_t at = (pipe->written + done) % CAPACITY, part = minimum(count - done, CAPACITY - at);
        memcpy(pipe->bytes + at, from + done, part);
        done += part;
    }
    pipe->written += count;
}

static int64_t end_write(struct file *file, uint64_t offset, const void *buffer, uint64_t length)
{
    struct pipe *pipe = ((struct end *)file->object)->out;
    uint64_t done = 0;
    while (done < length) {
        if (pipe->readers == 0)
            return done ? (int64_t)done : -EPIPE;
        if (!can_write(pipe) && (file->flags & O_NONBLOCK))
            return done ? (int64_t)done : -EAGAIN;
        if (!block_until(can_write, pipe, NO_DEADLINE))
            return done ? (int64_t)done : -EINTR;
        const uint64_t count = minimum(length - done, CAPACITY - (pipe->written - pipe->read));
        put(pipe, (const uint8_t *)buffer + done, count);
        done += count;
    }
    return (int64_t)done;
}

static int end_events(struct file *file)
{
    const struct end *end = file->object;
    int events = 0;
    if (end->in)
        events |= (end->in->written != end->in->read ? EVENT_IN : 0) | (end->in->writers == 0 ? EVENT_HANG_UP : 0);
    if (end->in && end->out && end->in->writers == 0)
        events |= EVENT_IN;                      /* a socket at its end is readable: it reads nothing */
    if (end->out)
        events |= end->out->readers == 0 ? EVENT_ERROR : end->out->written - end->out->read < CAPACITY ? EVENT_OUT : 0;
    return events;
}

static void end_status(struct file *file, struct udfvm_stat *stat)
{
    const struct end *end = file->object;
    const bool is_socket = end->in && end->out;
    *stat = (struct udfvm_stat){ .device = DEVICE, .inode = (uint64_t)end, .mode = (is_socket ? S_IFSOCK : S_IFIFO) | 0600, .links = 1 };
}

static void close_reading(struct end *end)
{
    if (end->in && end->in->readers)
        end->in->readers--;
    pipe_release(end->in);
    end->in = NULL;
}

static void close_writing(struct end *end)
{
    if (end->out && end->out->writers)
        end->out->writers--;
    pipe_release(end->out);
    end->out = NULL;
}

static void end_release(struct file *file)
{
    struct end *end = file->object;
    close_reading(end);
    close_writing(end);
    kernel_free(end);
}

static const struct file_operations reading = { .read = end_read, .status = end_status, .events = end_events, .release = end_release };
static const struct file_operations writing = { .write = end_write, .status = end_status, .events = end_events, .release = end_release };
static const struct file_operations both = {
    .read = end_read, .write = end_write, .status = end_status, .events = end_events, .release = end_release,
};

static struct file *open_end(struct pipe *in, struct pipe *out, int flags)
{
    struct end *end = kernel_alloc(sizeof *end);
    const struct file_operations *operations = in && out ? &both : in ? &reading : &writing;
    const int access = in && out ? O_RDWR : in ? O_RDONLY : O_WRONLY;
    struct file *file = end ? file_create(operations, end, access | (flags & O_NONBLOCK), NULL) : NULL;
    if (!file) {
        kernel_free(end);
        return NULL;
    }
    *end = (struct end){ in, out };
    if (in)
        in->readers++;
    if (out)
        out->writers++;
    return file;
}

/* Gives a pair of files two descriptors. Takes the references. */
static int64_t install_pair(struct file *files[2], uint64_t descriptors, bool close_on_exec)
{
    int64_t first = descriptor_install(files[0], 0, close_on_exec);
    if (first < 0) {
        file_put(files[1]);
        return first;
    }
    int64_t second = descriptor_install(files[1], 0, close_on_exec);
    if (second < 0) {
        sys_close((uint64_t)first, 0, 0, 0, 0, 0);
        return second;
    }
    ((int *)descriptors)[0] = (int)first;
    ((int *)descriptors)[1] = (int)second;
    return 0;
}

static int64_t make_pair(bool socket, uint64_t descriptors, int flags)
{
    if (!user_range_ok(descriptors, 2 * sizeof(int)))
        return -EFAULT;
    struct pipe *one = pipe_create(), *other = socket ? pipe_create() : NULL;
    struct file *files[2] = { NULL, NULL };
    if (one && (other || !socket)) {
        files[0] = open_end(one, other, flags);
        files[1] = files[0] ? open_end(other, one, flags) : NULL;
    }
    if (files[0] && files[1])
        return install_pair(files, descriptors, flags & O_CLOEXEC);
    if (files[0]) {
        file_put(files[0]);                      /* frees the pipes, whose only user it was */
    } else {
        pipe_release(one);
        pipe_release(other);
    }
    return -ENOMEM;
}

SYSCALL(sys_pipe) { return make_pair(false, a, 0); }
SYSCALL(sys_pipe2) { return make_pair(false, a, (int)b); }
SYSCALL(sys_socketpair) { return a == AF_UNIX ? make_pair(true, d, (int)b) : -EAFNOSUPPORT; }     /* SOCK_NONBLOCK is O_NONBLOCK */

SYSCALL(sys_shutdown)
{
    struct file *file = file_get((int)a);
    int64_t result = !file ? -EBADF : file->operations != &both ? -ENOTSOCK : b > 2 ? -EINVAL : 0;
    if (result == 0 && b != 1)
        ((struct end *)file->object)->in->readers = 0;
    if (result == 0 && b != 0)
        ((struct end *)file->object)->out->writers = 0;
    file_put(file);
    return result;
}

static bool is_socket(uint64_t fd)
{
    struct file *file = file_get((int)fd);
    const bool result = file && file->operations == &both;
    file_put(file);
    return result;
}

SYSCALL(sys_sendto) { return is_socket(a) ? sys_write(a, b, c, 0, 0, 0) : -ENOTSOCK; }
SYSCALL(sys_recvfrom) { return is_socket(a) ? sys_read(a, b, c, 0, 0, 0) : -ENOTSOCK; }

SYSCALL(sys_getsockopt)
{
    if (!is_socket(a))
        return -ENOTSOCK;
    if (!user_range_ok(d, sizeof(int)) || !user_range_ok(e, sizeof(int)))
        return -EFAULT;
    *(int *)d = c == 3 ? 1 : 0;                  /* SO_TYPE: SOCK_STREAM */
    *(int *)e = sizeof(int);
    return 0;
}

SYSCALL(sys_setsockopt) { return is_socket(a) ? 0 : -ENOTSOCK; }
