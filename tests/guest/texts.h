/* Short files, for programs about the file system. */
#ifndef TEXTS_H
#define TEXTS_H

#include <fcntl.h>
#include <unistd.h>

#include "check.h"

static inline void write_text(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    CHECK(fd >= 0);
    CHECK(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    CHECK(close(fd) == 0);
}

static inline bool has_text(const char *path, const char *text)
{
    char buffer[256];
    int fd = open(path, O_RDONLY);
    ssize_t length = fd < 0 ? -1 : read(fd, buffer, sizeof buffer);
    if (fd >= 0)
        close(fd);
    return length == (ssize_t)strlen(text) && memcmp(buffer, text, strlen(text)) == 0;
}

#endif
