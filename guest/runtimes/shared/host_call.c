/* See host_call.h. The hypercall is made here, at ring 3: the guest kernel has no part in it. */
#include "shared/host_call.h"

#include <errno.h>

#include "udfvm_abi.h"

/* Pages of a thread's stack may be without memory until they are used: the host does not see them
 * then. */
static void touch(volatile const char *at, uint64_t length)
{
    for (uint64_t offset = 0; offset < length; offset += UDFVM_PAGE_SIZE)
        (void)at[offset];
    if (length)
        (void)at[length - 1];
}

int64_t host_call_into(const char *name, uint64_t name_length, const void *arguments,
                       uint64_t length, void *reply, uint64_t capacity)
{
    int64_t result = UDFVM_HYPERCALL_HOST_CALL;
    if ((uint64_t)reply >= UDFVM_RESERVE_BASE && (uint64_t)reply < UDFVM_RESERVE_END)
        touch(reply, capacity);
    register uint64_t r10 __asm__("r10") = length;
    register void *r8 __asm__("r8") = reply;
    register uint64_t r9 __asm__("r9") = capacity;
    __asm__ volatile("outb %%al, %[port]"
                     : "+a"(result)
                     : [port] "N"(UDFVM_PORT), "D"(name), "S"(name_length), "d"(arguments),
                       "r"(r10), "r"(r8), "r"(r9)
                     : "memory");
    return result;
}

int64_t host_call(const char *name, uint64_t name_length, const void *arguments, uint64_t length,
                  void *reply)
{
    return host_call_into(name, name_length, arguments, length, reply, MAX_HOST_REPLY);
}

const char *host_call_error(int64_t result)
{
    switch (result) {
    case -ENOENT:
        return "there is no such host function: pass it in host_functions=; none can be called "
               "while the image is built, which is when sample= runs";
    case -EMSGSIZE:
        return "the host function's result is larger than 256 KiB";
    case -E2BIG:
        return "the arguments of the host function are larger than 16 MiB";
    default:
        return "the host function cannot be called";
    }
}
