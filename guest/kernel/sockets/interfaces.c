/* Requests of ioctl(2) to sockets: about what waits in them, and the one network interface. */
#include "lib/string.h"
#include "mm/user.h"
#include "sockets/socket.h"

#include <linux/sockios.h>
#include <asm/ioctls.h>

enum { LOOPBACK_INDEX = 1, LOOPBACK_FLAGS = 0x49, LOOPBACK_MTU = 65536, HARDWARE_LOOPBACK = 772 };
static const char loopback_name[16] = "lo";

struct request { /* struct ifreq */
    char name[16];
    union {
        int32_t number;
        int16_t small;
        struct {
            uint16_t family, port;
            uint8_t host[4];
            uint8_t zero[16];
        } address;
    };
};

struct listing { /* struct ifconf */
    int32_t length;
    uint64_t requests;
};

static void set_address(struct request *request, uint8_t first, uint8_t last)
{
    memset(&request->address, 0, sizeof request->address);
    request->address.family = FAMILY_INTERNET;
    request->address.host[0] = first;
    request->address.host[3] = last;
}

static int64_t list(uint64_t address)
{
    struct listing *listing = (struct listing *)address;
    if (!user_range_ok(address, sizeof *listing))
        return -EFAULT;
    struct request request;
    memset(&request, 0, sizeof request);
    memcpy(request.name, loopback_name, sizeof loopback_name);
    set_address(&request, 127, 1);
    if (listing->requests && listing->length < (int32_t)sizeof request) {
        listing->length = 0;
        return 0;
    }
    if (listing->requests && !user_range_ok(listing->requests, sizeof request))
        return -EFAULT;
    if (listing->requests)
        memcpy((void *)listing->requests, &request, sizeof request);
    listing->length = sizeof request;
    return 0;
}

static int64_t tell(struct request *request, uint32_t what)
{
    switch (what) {
    case SIOCGIFINDEX:
        request->number = LOOPBACK_INDEX;
        return 0;
    case SIOCGIFFLAGS:
        request->small = LOOPBACK_FLAGS;
        return 0;
    case SIOCGIFMTU:
        request->number = LOOPBACK_MTU;
        return 0;
    case SIOCGIFADDR:
        set_address(request, 127, 1);
        return 0;
    case SIOCGIFNETMASK:
        set_address(request, 255, 0);
        return 0;
    case SIOCGIFHWADDR:
        set_address(request, 0, 0);
        request->address.family = HARDWARE_LOOPBACK;
        return 0;
    default:
        return -ENOTTY;
    }
}

static int64_t about_interface(uint64_t address, uint32_t what)
{
    struct request *request = (struct request *)address;
    if (!user_range_ok(address, sizeof *request))
        return -EFAULT;
    if (what == SIOCGIFNAME) {
        if (request->number != LOOPBACK_INDEX)
            return -ENODEV;
        memcpy(request->name, loopback_name, sizeof loopback_name);
        return 0;
    }
    return strncmp(request->name, loopback_name, sizeof loopback_name) == 0 ? tell(request, what)
                                                                            : -ENODEV;
}

/* What was sent and nobody has read yet. */
static int64_t tell_unread(const struct socket *socket, uint64_t address)
{
    if (!user_range_ok(address, sizeof(int)))
        return -EFAULT;
    *(int *)address = has_connections(socket) && socket->peer ? (int)socket->peer->in.bytes : 0;
    return 0;
}

static int64_t tell_mark(const struct socket *socket, uint64_t address)
{
    if (!has_connections(socket))
        return -ENOTTY;
    if (!user_range_ok(address, sizeof(int)))
        return -EFAULT;
    *(int *)address = socket->urgent != URGENT_NONE && socket->mark == socket->bytes_read;
    return 0;
}

int64_t socket_control(struct file *file, uint32_t request, uint64_t argument)
{
    switch (request) {
    case SIOCATMARK:
        return tell_mark(socket_of(file), argument);
    case TIOCOUTQ:
        return tell_unread(socket_of(file), argument);
    case SIOCGIFCONF:
        return list(argument);
    case SIOCGIFNAME:
    case SIOCGIFINDEX:
    case SIOCGIFFLAGS:
    case SIOCGIFMTU:
    case SIOCGIFADDR:
    case SIOCGIFNETMASK:
    case SIOCGIFHWADDR:
        return about_interface(argument, request);
    default:
        return -ENOTTY;
    }
}
