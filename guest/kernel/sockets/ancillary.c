/* Control messages: files that a message passes, and who sent it. */
#include "host/call.h"
#include "lib/string.h"
#include "mm/user.h"
#include "sockets/socket.h"

enum { LEVEL_SOCKET = 1, CONTROL_FILES = 1, CONTROL_CREDENTIALS = 2 };

struct control_header { /* struct cmsghdr */
    uint64_t length;
    int32_t level, type;
};

struct credentials { /* struct ucred */
    int32_t process;
    uint32_t user, group;
};

static uint64_t aligned(uint64_t length)
{
    return (length + 7) & ~7ull;
}

/* ---- Reading ---- */

static int64_t read_files(uint64_t data, uint64_t length, struct passed_files **files)
{
    int64_t error;
    const unsigned count = (unsigned)(length / sizeof(int32_t)),
                   before = *files ? (*files)->count : 0;
    if (length % sizeof(int32_t) || count + before > MAX_PASSED_FILES)
        return -EINVAL;
    if (count == 0)
        return 0;
    struct passed_files *all = passed_files_create(before + count, &error);
    if (!all)
        return error;
    for (unsigned i = 0; i < before; i++) {
        all->files[i] = (*files)->files[i];
        all->files[i]->references++;
    }
    passed_files_free(*files);
    *files = all;
    for (unsigned i = 0; i < count; i++) {
        all->files[before + i] = file_get(((const int32_t *)data)[i]);
        if (!all->files[before + i])
            return -EBADF;
    }
    return 0;
}

/* There is one process and one user, so that nobody sends for another. */
static int64_t check_credentials(uint64_t data, uint64_t length)
{
    const struct credentials *credentials = (const struct credentials *)data;
    if (length != sizeof *credentials)
        return -EINVAL;
    return credentials->process == process_id() && credentials->user == 0 && credentials->group == 0
               ? 0
               : -EPERM;
}

static int64_t read_one(const struct socket *socket, const struct control_header *header,
                        uint64_t data, struct passed_files **files)
{
    const uint64_t length = header->length - sizeof *header;
    if (header->level != LEVEL_SOCKET)
        return is_local(socket) ? 0 : -EINVAL;
    if (header->type != CONTROL_FILES && header->type != CONTROL_CREDENTIALS)
        return -EINVAL;
    if (!is_local(socket))
        return 0;
    return header->type == CONTROL_FILES ? read_files(data, length, files)
                                         : check_credentials(data, length);
}

int64_t ancillary_read(const struct socket *socket, uint64_t control, uint64_t length,
                       struct passed_files **files)
{
    if (!user_range_ok(control, length))
        return -EFAULT;
    int64_t error = 0;
    for (uint64_t at = 0; error == 0 && length - at >= sizeof(struct control_header);) {
        const struct control_header header = *(const struct control_header *)(control + at);
        if (header.length < sizeof header || header.length > length - at)
            return -EINVAL;
        error = read_one(socket, &header, control + at + sizeof header, files);
        at = minimum(at + aligned(header.length), length);
    }
    return error;
}

/* ---- Writing ---- */

static uint64_t write_credentials(struct message *message, uint64_t control, uint64_t capacity)
{
    const struct credentials credentials = { process_id(), 0, 0 };
    struct control_header header = { sizeof header + sizeof credentials, LEVEL_SOCKET,
                                     CONTROL_CREDENTIALS };
    if (capacity < header.length)
        message->had_flags |= MESSAGE_CONTROL_CUT;
    if (capacity < sizeof header)
        return 0;
    header.length = minimum(header.length, capacity);
    memcpy((void *)control, &header, sizeof header);
    memcpy((void *)(control + sizeof header), &credentials, header.length - sizeof header);
    return minimum(aligned(header.length), capacity);
}

/* Gives the files descriptors. Those that do not fit are closed. */
static uint64_t write_files(struct message *message, uint64_t control, uint64_t capacity)
{
    const struct passed_files *files = message->files;
    struct control_header header = { sizeof header, LEVEL_SOCKET, CONTROL_FILES };
    const uint64_t room = capacity < sizeof header ? 0
                                                   : (capacity - sizeof header) / sizeof(int32_t);
    unsigned done = 0;
    for (; done < files->count && done < room; done++) {
        files->files[done]->references++;
        const int64_t fd = descriptor_install(files->files[done], 0,
                                              message->flags & MESSAGE_CLOSE_ON_EXEC);
        if (fd < 0)
            break;
        ((int32_t *)(control + sizeof header))[done] = (int32_t)fd;
    }
    if (done < files->count)
        message->had_flags |= MESSAGE_CONTROL_CUT;
    if (done == 0)
        return 0;
    header.length += done * sizeof(int32_t);
    memcpy((void *)control, &header, sizeof header);
    return minimum(aligned(header.length), capacity);
}

uint64_t ancillary_write(const struct socket *socket, struct message *message, uint64_t control,
                         uint64_t capacity)
{
    uint64_t used = 0;
    capacity = minimum(capacity, INT32_MAX);
    if (capacity && !user_range_ok(control, capacity))
        capacity = 0;
    if (is_local(socket) && socket->options[KEPT_PASS_CREDENTIALS])
        used = write_credentials(message, control, capacity);
    if (message->files)
        used += write_files(message, control + used, capacity - used);
    passed_files_free(message->files);
    message->files = NULL;
    return used;
}
