/* What a descriptor is ready for. */
#ifndef EVENTS_H
#define EVENTS_H

#include <poll.h>

#include "check.h"

static inline int events_of(int fd)
{
    struct pollfd entry = { fd, POLLIN | POLLOUT | POLLRDHUP, 0 };
    CHECK(poll(&entry, 1, 0) >= 0);
    return entry.revents;
}

#endif
