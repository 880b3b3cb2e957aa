/* The end of every exchange of a call: UDFVM_VECTOR_COMPLETE. */
#include "arch/processor.h"
#include "host/call.h"
#include "host/hypercall.h"
#include "host/interrupt.h"
#include "host/log.h"

#define LOOKS 16 /* for a request, before one at the clock */

void complete(uint64_t status, uint64_t length); /* entry.S */

/* The reply from the output window, in whole words. */
static void copy_short(uint8_t *to, uint64_t length)
{
    const uint64_t *from = (const uint64_t *)UDFVM_OUTPUT_BASE;
    for (uint64_t word = 0; word * sizeof *from < length; word++)
        __builtin_memcpy(to + word * sizeof *from, &from[word], sizeof *from);
}

/* For streaming calls: writes the reply to memory and waits for the next request there. Exits if
 * none comes. */
static void exchange(const struct udfvm_call *call, uint64_t status, uint64_t length)
{
    struct udfvm_stream_reply *reply = (struct udfvm_stream_reply *)call->stream_reply;
    const uint64_t number = __atomic_load_n(&call->stream_request, __ATOMIC_RELAXED);
    if (length <= sizeof reply->short_reply)
        copy_short(reply->short_reply, length);
    reply->status = (uint32_t)status;
    reply->length = length;
    __atomic_store_n(&reply->number, number, __ATOMIC_RELEASE);
    uint64_t start = time_stamp();
    for (unsigned turn = 1; __atomic_load_n(&call->stream_request, __ATOMIC_ACQUIRE) == number;
         turn++) {
        if (turn % LOOKS == 0 && time_stamp() - start > call->stream_spin) {
            hypercall(UDFVM_HYPERCALL_COMPLETE, UDFVM_STATUS_IDLE, 0, 0, 0, 0);
            start = time_stamp();
        }
        __builtin_ia32_pause();
    }
}

void complete(uint64_t status, uint64_t length)
{
    const struct udfvm_call *call = call_page();
    const uint64_t due = interrupt_hold(); /* nobody waits for a turn while the program does */
    log_flush();
    if (call->stream_reply)
        exchange(call, status, length);
    else
        hypercall(UDFVM_HYPERCALL_COMPLETE, status, length, 0, 0, 0);
    if (due != NEVER_INTERRUPT)
        interrupt_at(due);
}
