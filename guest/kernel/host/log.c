#include "host/log.h"
#include "host/hypercall.h"
#include "lib/string.h"

#define MAX_LOG_CHUNK 65536u /* bytes that one hypercall logs */

/* A buffer for output until a flush. Both streams share it, which keeps their order. It is one
 * page, so a call that prints a little dirties no more. The host knows its address. */
static struct udfvm_pending_log pending
    __attribute__((section(".log_pending"), aligned(PAGE_SIZE)));

void log_flush(void)
{
    if (!pending.length)
        return;
    hypercall(UDFVM_HYPERCALL_LOG, pending.stream, (uint64_t)pending.text, pending.length, 0, 0);
    pending.length = 0;
}

/* What follows a page of the reserve lies elsewhere for the host. */
static uint64_t longest_chunk(uint64_t address)
{
    return address >= UDFVM_RESERVE_BASE && address < UDFVM_RESERVE_END
               ? PAGE_SIZE - (address & PAGE_MASK)
               : MAX_LOG_CHUNK;
}

int64_t log_write(enum log_stream stream, const char *text, uint64_t length)
{
    if (pending.length &&
        (pending.stream != stream || length > sizeof pending.text - pending.length))
        log_flush();
    if (length <= sizeof pending.text) {
        memcpy(pending.text + pending.length, text, length);
        pending.stream = stream;
        pending.length += length;
        return (int64_t)length;
    }
    for (uint64_t done = 0, chunk; done < length; done += chunk) {
        chunk = minimum(length - done, longest_chunk((uint64_t)text + done));
        const int64_t error = hypercall(UDFVM_HYPERCALL_LOG, stream, (uint64_t)text + done, chunk,
                                        0, 0);
        if (error < 0)
            return done ? (int64_t)done : error;
    }
    return (int64_t)length;
}
