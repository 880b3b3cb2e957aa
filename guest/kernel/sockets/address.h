/* Addresses of sockets: struct sockaddr of a program, and what this kernel keeps of it. */
#ifndef UDFVM_ADDRESS_H
#define UDFVM_ADDRESS_H

#include "kernel.h"

enum families {
    FAMILY_NONE = 0,
    FAMILY_LOCAL = 1,
    FAMILY_INTERNET = 2,
    FAMILY_INTERNET6 = 10,
    FAMILY_NETLINK = 16,
};

#define LOCAL_NAME_BYTES 108u /* of a name of a local socket */
#define ADDRESS_BYTES    128u /* struct sockaddr_storage */

struct address {
    uint16_t family; /* FAMILY_NONE: no address */
    uint16_t length; /* of `name`; a path has no NUL, an abstract name begins with one */
    uint16_t port;
    uint32_t scope; /* of netlink: the socket's number; 0: the kernel */
    union {
        uint8_t host[16]; /* of IPv6; IPv4 addresses are mapped: ::ffff:a.b.c.d */
        char name[LOCAL_NAME_BYTES];
    };
};

/* Reads the address that a socket of this family was given. Returns 0 or a negative errno. */
int64_t address_read(uint64_t from, uint64_t length, int family, struct address *address);
/* Writes an address as a socket of this family shows it. FAMILY_NONE is an unnamed one. The program
 * gives the capacity at `length`, and finds the address's own length there. */
int64_t address_write(const struct address *address, int family, uint64_t to, uint64_t length);

bool address_is_any(const struct address *address);
bool address_is_version_4(const struct address *address);
bool address_is_here(const struct address *address); /* an address of the loopback interface */
bool addresses_equal(const struct address *one, const struct address *other);
/* Makes the address of any host the one of this host. Returns -ENETUNREACH for all that the
 * loopback interface does not reach: there is no other. */
int64_t address_route(struct address *to);
/* The address from which packets go to another one. */
struct address address_source(const struct address *to);

#endif
