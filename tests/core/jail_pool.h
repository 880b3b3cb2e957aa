/* Pools of jailed VMs of the raw guest, for the programs that hostile_jail.c attacks. */
#ifndef JAIL_POOL_H
#define JAIL_POOL_H

#include "jail_tricks.h"
#include "raw_image.h"

#define SECOND 1000000000ull

static udfvm_pool *make_pool(const struct udfvm_files *files)
{
    udfvm_pool *pool = udfvm_pool_create(image, 1, files, NULL);
    check_number(pool && udfvm_pool_jail(pool, 1, NULL, NULL) == UDFVM_OK, "a jailed pool", 0);
    return pool;
}

static struct outcome call(udfvm_pool *pool, udfvm_image *of, const struct udfvm_limits *limits,
                           const uint64_t *request, size_t words)
{
    static const struct udfvm_limits usual = { .timeout_ns = 20 * SECOND };
    struct outcome got = { .code = 0 };
    struct udfvm_pool_reply reply = { .output = got.words, .capacity = sizeof got.words };
    got.code = udfvm_pool_call(pool, of, 0, UDFVM_REQUEST_ROW, request, words * 8,
                               limits ? limits : &usual, &reply, &got.error);
    got.length = reply.length;
    if (reply.kept)
        udfvm_pool_give(pool, reply.kept);
    return got;
}
#define POOL_CALL(pool, of, limits, ...)                      \
    call(pool, of, limits, (const uint64_t[]){ __VA_ARGS__ }, \
         sizeof((const uint64_t[]){ __VA_ARGS__ }) / 8)

#endif
