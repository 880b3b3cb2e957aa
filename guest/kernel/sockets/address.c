#include "sockets/address.h"
#include "lib/string.h"
#include "mm/user.h"

#include <linux/in.h>
#include <linux/in6.h>
#include <linux/netlink.h>
#include <linux/un.h>

#define SHORTEST_INTERNET6 24u /* bytes of an address of RFC 2133, without a scope */

static const uint8_t mapped_prefix[12] = { [10] = 0xff, [11] = 0xff };
static const uint8_t loopback6[16] = { [15] = 1 };

static uint16_t swap(uint16_t value)
{
    return (uint16_t)(value << 8 | value >> 8);
}

bool address_is_version_4(const struct address *address)
{
    return memcmp(address->host, mapped_prefix, sizeof mapped_prefix) == 0;
}

bool address_is_any(const struct address *address)
{
    static const uint8_t zero[16];
    return address_is_version_4(address) ? memcmp(address->host + 12, zero, 4) == 0
                                         : memcmp(address->host, zero, 16) == 0;
}

bool address_is_here(const struct address *address)
{
    return address_is_version_4(address) ? address->host[12] == 127
                                         : memcmp(address->host, loopback6, 16) == 0;
}

bool addresses_equal(const struct address *one, const struct address *other)
{
    return one->port == other->port && memcmp(one->host, other->host, sizeof one->host) == 0;
}

int64_t address_route(struct address *to)
{
    if (address_is_any(to)) {
        if (address_is_version_4(to))
            to->host[12] = 127;
        to->host[15] = 1;
    }
    return address_is_here(to) ? 0 : -ENETUNREACH;
}

struct address address_source(const struct address *to)
{
    struct address source = *to;
    if (address_is_version_4(to)) {
        source.host[13] = source.host[14] = 0;
        source.host[15] = 1;
    }
    return source;
}

/* ---- Reading ---- */

static int64_t read_local(const struct sockaddr_un *from, uint64_t length, struct address *address)
{
    if (from->sun_family != FAMILY_LOCAL || length > sizeof *from)
        return -EINVAL;
    uint16_t size = (uint16_t)(length - sizeof from->sun_family);
    if (size && from->sun_path[0]) {
        uint16_t end = 0;
        while (end < size && from->sun_path[end])
            end++;
        size = end;
    }
    *address = (struct address){ .family = FAMILY_LOCAL, .length = size };
    memcpy(address->name, from->sun_path, size);
    return 0;
}

static int64_t read_internet(const struct sockaddr_in *from, uint64_t length,
                             struct address *address)
{
    if (length < sizeof *from)
        return -EINVAL;
    if (from->sin_family != FAMILY_INTERNET &&
        (from->sin_family != FAMILY_NONE || from->sin_addr.s_addr))
        return -EAFNOSUPPORT;
    *address = (struct address){ .family = FAMILY_INTERNET, .port = swap(from->sin_port) };
    memcpy(address->host, mapped_prefix, sizeof mapped_prefix);
    memcpy(address->host + 12, &from->sin_addr, 4);
    return 0;
}

static int64_t read_internet6(const struct sockaddr_in6 *from, uint64_t length,
                              struct address *address)
{
    if (length < SHORTEST_INTERNET6)
        return -EINVAL;
    if (from->sin6_family != FAMILY_INTERNET6)
        return -EAFNOSUPPORT;
    *address = (struct address){ .family = FAMILY_INTERNET6, .port = swap(from->sin6_port) };
    memcpy(address->host, &from->sin6_addr, sizeof address->host);
    if (length >= sizeof *from)
        address->scope = from->sin6_scope_id;
    return 0;
}

static int64_t read_netlink(const struct sockaddr_nl *from, uint64_t length,
                            struct address *address)
{
    if (length < sizeof *from || from->nl_family != FAMILY_NETLINK)
        return -EINVAL;
    *address = (struct address){ .family = FAMILY_NETLINK, .scope = from->nl_pid };
    return 0;
}

int64_t address_read(uint64_t from, uint64_t length, int family, struct address *address)
{
    union {
        struct sockaddr_un local;
        struct sockaddr_in internet;
        struct sockaddr_in6 internet6;
        struct sockaddr_nl netlink;
        uint8_t bytes[ADDRESS_BYTES];
    } copy;
    if (length < sizeof(uint16_t) || length > ADDRESS_BYTES)
        return -EINVAL;
    if (!user_range_ok(from, length))
        return -EFAULT;
    memset(&copy, 0, sizeof copy);
    memcpy(&copy, (const void *)from, length);
    return family == FAMILY_LOCAL      ? read_local(&copy.local, length, address)
           : family == FAMILY_NETLINK  ? read_netlink(&copy.netlink, length, address)
           : family == FAMILY_INTERNET ? read_internet(&copy.internet, length, address)
                                       : read_internet6(&copy.internet6, length, address);
}

/* ---- Writing ---- */

/* Returns the length, up to that of struct sockaddr_un and a NUL. */
static uint32_t encode(const struct address *address, int family, uint8_t to[ADDRESS_BYTES])
{
    if (family == FAMILY_LOCAL) {
        struct sockaddr_un *local = (struct sockaddr_un *)to;
        local->sun_family = FAMILY_LOCAL;
        memcpy(local->sun_path, address->name, address->length);
        const bool path = address->length && address->name[0];
        return (uint32_t)(sizeof local->sun_family + address->length + path);
    }
    if (family == FAMILY_INTERNET) {
        struct sockaddr_in *internet = (struct sockaddr_in *)to;
        internet->sin_family = FAMILY_INTERNET;
        internet->sin_port = swap(address->port);
        memcpy(&internet->sin_addr, address->host + 12, 4);
        return sizeof *internet;
    }
    if (family == FAMILY_NETLINK) {
        struct sockaddr_nl *netlink = (struct sockaddr_nl *)to;
        netlink->nl_family = FAMILY_NETLINK;
        netlink->nl_pid = address->scope;
        return sizeof *netlink;
    }
    struct sockaddr_in6 *internet6 = (struct sockaddr_in6 *)to;
    internet6->sin6_family = FAMILY_INTERNET6;
    internet6->sin6_port = swap(address->port);
    internet6->sin6_scope_id = address->scope;
    memcpy(&internet6->sin6_addr, address->host, sizeof address->host);
    return sizeof *internet6;
}

int64_t address_write(const struct address *address, int family, uint64_t to, uint64_t length)
{
    uint8_t bytes[ADDRESS_BYTES] = { 0 };
    if (!user_range_ok(length, sizeof(int32_t)))
        return -EFAULT;
    const int32_t capacity = *(const int32_t *)length;
    if (capacity < 0)
        return -EINVAL;
    const uint32_t full = encode(address, family, bytes);
    const uint64_t part = minimum(full, (uint32_t)capacity);
    if (part && !user_range_ok(to, part))
        return -EFAULT;
    memcpy((void *)to, bytes, part);
    *(uint32_t *)length = full;
    return 0;
}
