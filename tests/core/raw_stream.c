/* A streamed exchange as a guest kernel makes it: see complete() there. */
#include <stdbool.h>

#include "raw_parts.h"

#define LOOKED_AT 8192u  /* bytes of the window that are looked at */
#define SPINS     20000u /* looks for the next request, before an exit */

static const volatile struct udfvm_call *const call = (const volatile struct udfvm_call *)
    UDFVM_INPUT_BASE;

static const volatile uint64_t *request(void)
{
    return (const volatile uint64_t *)(UDFVM_INPUT_BASE + call->payload);
}

static uint64_t sum(uint64_t from, uint64_t to)
{
    uint64_t found = 0;
    for (const volatile uint8_t *byte = (const volatile uint8_t *)from;
         byte < (const volatile uint8_t *)to; byte++)
        found += *byte;
    return found;
}

/* What lies behind the payload, in both places for payloads. */
static uint64_t rest(void)
{
    const bool beside = call->payload == UDFVM_SHORT_PAYLOAD - UDFVM_INPUT_BASE;
    const uint64_t length = call->length;
    return sum(UDFVM_SHORT_PAYLOAD + (beside ? length : 0), UDFVM_SHORT_PAYLOAD + UDFVM_MAX_SHORT) +
           sum(UDFVM_INPUT_PAYLOAD + (beside ? 0 : length), UDFVM_INPUT_PAYLOAD + LOOKED_AT);
}

static void loop_for_ever(void)
{
    for (;;)
        __builtin_ia32_pause();
}

static void wait_for_request(uint64_t number)
{
    for (unsigned turn = 1; __atomic_load_n(&call->stream_request, __ATOMIC_ACQUIRE) == number;
         turn++) {
        if (turn % SPINS == 0)
            hypercall(UDFVM_HYPERCALL_COMPLETE, UDFVM_STATUS_IDLE, 0, 0, 0, 0, 0);
        __builtin_ia32_pause();
    }
}

/* What the host reads next may be any of this. */
static void lie_on(volatile struct udfvm_stream_reply *reply, uint64_t number, uint64_t how)
{
    for (uint64_t turn = 0;; turn++) {
        if (how == RAW_AHEAD)
            __atomic_store_n(&reply->number, number + turn % 4, __ATOMIC_RELEASE);
        else if (how == RAW_CHANGE || call->stream_request != number) {
            reply->length = turn % 2 ? ~0ull : 24;
            reply->status = turn % 2 ? ~0u : 0;
        }
        if (how == RAW_TWICE && call->stream_request != number) {
            __atomic_store_n(&reply->number, call->stream_request, __ATOMIC_RELEASE);
            number = call->stream_request;
        }
    }
}

static void exchange(uint64_t words, uint64_t how)
{
    volatile struct udfvm_stream_reply *reply = (volatile struct udfvm_stream_reply *)
                                                    call->stream_reply;
    volatile uint64_t *beside = (volatile uint64_t *)reply->short_reply;
    const uint64_t number = call->stream_request;
    for (uint64_t i = 0; words * 8 <= UDFVM_MAX_SHORT && i < words; i++)
        beside[i] = OUTPUT[i];
    reply->status = how == RAW_LIE ? (uint32_t)request()[4] : UDFVM_STATUS_OK;
    reply->length = how == RAW_LIE ? request()[3] : words * 8;
    __atomic_store_n(&reply->number, how == RAW_STALE ? number - 1 : number, __ATOMIC_RELEASE);
    if (how == RAW_RUN_ON)
        loop_for_ever();
    if (how >= RAW_AHEAD)
        lie_on(reply, number, how);
    wait_for_request(number);
}

void stream(const volatile uint64_t *arguments)
{
    (void)arguments;
    while (request()[0] == RAW_STREAM) {
        const uint64_t words = request()[1], how = request()[2];
        if (how == RAW_NO_ANSWER)
            loop_for_ever();
        OUTPUT[0] = rest();
        for (uint64_t i = 1; i < words; i++)
            OUTPUT[i] = request()[i];
        if (call->stream_reply)
            exchange(words, how);
        else
            complete(words);
    }
}
