/* An embedder's files and host functions that write marks, and succeed or fail after that. */
#ifndef MARKS_H
#define MARKS_H

#include <errno.h>
#include <string.h>

#include "api.h"

#define MARK 0x68656c6c6f2d2d21ull

static int64_t file_result;

static void put_marks(void *to, uint64_t length)
{
    const uint64_t mark = MARK;
    for (uint64_t offset = 0; offset + sizeof mark <= length; offset += sizeof mark)
        memcpy((uint8_t *)to + offset, &mark, sizeof mark);
}

static int64_t open_file(void *context, const char *path, struct udfvm_stat *stat)
{
    (void)context, (void)path;
    put_marks(stat, sizeof *stat);
    return 7;
}
static int64_t stat_file(void *context, const char *path, int follow, struct udfvm_stat *stat)
{
    (void)follow;
    return open_file(context, path, stat) == 7 ? file_result : -EIO;
}
static int64_t read_file(void *context, int64_t handle, uint64_t offset, void *buffer,
                         uint64_t length)
{
    (void)context, (void)handle, (void)offset;
    put_marks(buffer, length);
    return file_result < 0 ? file_result : (int64_t)length + file_result;
}
static int64_t list_files(void *context, const char *path, uint64_t first, void *buffer,
                          uint64_t length)
{
    (void)path;
    return read_file(context, 7, first, buffer, length);
}
static int64_t read_link(void *context, const char *path, char *buffer, uint64_t length)
{
    (void)path;
    return read_file(context, 7, 0, buffer, length);
}
static int64_t close_file(void *context, int64_t handle)
{
    (void)context, (void)handle;
    return 0;
}

static int64_t answer(void *context, const char *name, const void *arguments, uint64_t length,
                      void *reply, uint64_t capacity, char *failure)
{
    (void)context, (void)name, (void)arguments, (void)length;
    strcpy(failure, "refused");
    put_marks(reply, capacity);
    return file_result < 0 ? UDFVM_HOST_FUNCTION_FAILED : (int64_t)capacity + file_result;
}

static const struct udfvm_files files = { .open = open_file,
                                          .stat = stat_file,
                                          .read = read_file,
                                          .close = close_file,
                                          .list = list_files,
                                          .readlink = read_link };
static const struct udfvm_host_functions functions = { .call = answer, .max_calls = 100 };

#endif
