/* Names of local sockets: paths, and abstract names, which begin with a NUL. */
#include "lib/string.h"
#include "sockets/socket.h"

#define GIVEN_NAMES (1u << 20) /* names of five digits that sockets get without asking for one */

static uint32_t last_given;

static struct socket *find_abstract(const struct address *address)
{
    for (struct socket *socket = all_sockets; socket; socket = socket->next)
        if (socket->owns_name && !socket->bound_inode && socket->name.length == address->length &&
            memcmp(socket->name.name, address->name, address->length) == 0)
            return socket;
    return NULL;
}

static int64_t bind_abstract(struct socket *socket, const struct address *address)
{
    if (find_abstract(address))
        return -EADDRINUSE;
    socket->name = *address;
    socket->owns_name = true;
    return 0;
}

static int64_t give_name(struct socket *socket)
{
    for (uint32_t i = 0; i < GIVEN_NAMES; i++) {
        struct address address = { .family = FAMILY_LOCAL, .length = 6 };
        last_given = (last_given + 1) % GIVEN_NAMES;
        format(address.name + 1, 6, "%05x", last_given);
        if (bind_abstract(socket, &address) == 0)
            return 0;
    }
    return -ENOSPC;
}

/* Resolves the path of an address, which need not end in a NUL. Returns as path_resolve(). */
static int64_t resolve(const struct address *address, unsigned how, char path[MAX_PATH])
{
    char text[LOCAL_NAME_BYTES + 1];
    memcpy(text, address->name, address->length);
    text[address->length] = 0;
    return path_resolve(path_working_directory(), text, how, path);
}

static int64_t bind_path(struct socket *socket, const struct address *address)
{
    char path[MAX_PATH];
    struct status status;
    int64_t result = resolve(address, PATH_NAME, path);
    if (result < 0)
        return result;
    if (result & (PATH_SLASH | PATH_DOTS) || path_status(path, false, &status) == 0)
        return -EADDRINUSE;
    result = socket->owns_name ? -EINVAL
                               : overlay_make(path, S_IFSOCK | permitted_mode(0777), NULL);
    if (result == 0)
        result = path_status(path, false, &status);
    if (result)
        return result;
    socket->name = *address;
    socket->owns_name = true;
    socket->bound_inode = status.inode;
    return 0;
}

int64_t local_bind(struct socket *socket, const struct address *address)
{
    if (address->length && address->name[0])
        return bind_path(socket, address);
    if (socket->owns_name)
        return address->length ? -EINVAL : 0;
    return address->length ? bind_abstract(socket, address) : give_name(socket);
}

static struct socket *find_path(const struct address *address, int64_t *error)
{
    char path[MAX_PATH];
    struct status status;
    *error = resolve(address, PATH_FOLLOW, path);
    if (*error == 0)
        *error = path_status(path, true, &status);
    if (*error)
        return NULL;
    if (status_is(&status, S_IFSOCK) && status.device == DEVICE_MEMORY)
        for (struct socket *socket = all_sockets; socket; socket = socket->next)
            if (socket->bound_inode == status.inode)
                return socket;
    *error = -ECONNREFUSED;
    return NULL;
}

struct socket *local_find(const struct address *address, int type, int64_t *error)
{
    *error = address->length ? -ECONNREFUSED : -EINVAL;
    if (!address->length)
        return NULL;
    struct socket *socket = address->name[0] ? find_path(address, error) : find_abstract(address);
    if (!socket)
        return NULL;
    *error = socket->type == type ? 0 : -EPROTOTYPE;
    return *error ? NULL : socket;
}
