/* Streaming calls: replies of all sizes, the two halves of an exchange, and ends in its midst.
 * Usage: test_streaming raw_guest.bin. Prints what holds and what failed. */
#include "raw_image.h"

#define WORDS       1000u
#define ROUNDS      2000u
#define MILLISECOND 1000000ull

static const struct udfvm_limits usual = { .timeout_ns = 60000 * MILLISECOND },
                                 hasty = { .timeout_ns = 1500 * MILLISECOND };

static uint64_t made[WORDS];

static const uint64_t *request(uint64_t words, uint64_t replied, uint64_t how, uint64_t seed)
{
    for (uint64_t i = 3; i < words; i++)
        made[i] = seed * 1000 + i;
    made[0] = RAW_STREAM;
    made[1] = replied;
    made[2] = how;
    return made;
}

/* The first word says what was found behind the request: nothing. */
static void check_reply(const struct udfvm_reply *reply, uint64_t words, uint64_t seed,
                        const char *what)
{
    const uint64_t *found = reply->data;
    bool equal = reply->length == words * 8 && found[0] == 0;
    for (uint64_t i = 3; equal && i < words; i++)
        equal = found[i] == seed * 1000 + i;
    check(equal, "%s: a reply of %llu bytes to %llu", what, (unsigned long long)reply->length,
          (unsigned long long)seed);
}

static void test_replies_of_all_sizes(void)
{
    static const uint64_t sizes[] = { 3, 5, UDFVM_MAX_SHORT / 8, UDFVM_MAX_SHORT / 8 + 1, 900, 4 };
    const size_t count = sizeof sizes / sizeof *sizes;
    udfvm_vm *vm = open_vm(image);
    struct udfvm_reply reply;
    struct udfvm_error error;
    for (uint64_t round = 0; round < ROUNDS; round++) {
        const uint64_t words = sizes[round % count], other = sizes[round / count % count],
                       replied = other < words ? other : words;
        const uint64_t *input = request(words, replied, RAW_ANSWER, round);
        void *window = round % 5 == 0 ? udfvm_vm_input(vm, words * 8, &error) : NULL;
        if (window)
            memcpy(window, input, words * 8);
        const int code = udfvm_vm_stream_call(vm, UDFVM_REQUEST_ROW, window ? NULL : input,
                                              words * 8, &usual, &reply, &error);
        check(code == UDFVM_OK, "round %llu: %s", (unsigned long long)round, error.message);
        if (code == UDFVM_OK)
            check_reply(&reply, replied, round, "a call");
    }
    check_number(udfvm_vm_restore(vm, NULL) == UDFVM_OK, "restoring", 0);
    udfvm_vm_close(vm);
}

static udfvm_vm *begun(const struct udfvm_limits *limits)
{
    udfvm_vm *vm = open_vm(image);
    struct udfvm_reply reply;
    struct udfvm_error error;
    const uint64_t *input = request(8, 8, RAW_ANSWER, 1);
    check_number(udfvm_vm_stream_send(vm, UDFVM_REQUEST_ROW, input, 64, limits, &error) ==
                     UDFVM_E_BUSY,
                 "sent before the first reply", 0);
    const int code = udfvm_vm_call(vm, UDFVM_REQUEST_ROW, input, 64, limits, &reply, &error);
    check(code == UDFVM_OK, "the first exchange: %s", error.message);
    return vm;
}

/* One processor streams nothing. */
static bool send(udfvm_vm *vm, const struct udfvm_limits *limits, uint64_t words, uint64_t how,
                 uint64_t seed)
{
    struct udfvm_error error;
    const int code = udfvm_vm_stream_send(vm, UDFVM_REQUEST_ROW, request(words, words, how, seed),
                                          words * 8, limits, &error);
    check(code == UDFVM_OK || code == UDFVM_E_BUSY, "sending: %s", error.message);
    return code == UDFVM_OK;
}

static void receive(udfvm_vm *vm, int expected, uint64_t words, uint64_t seed, const char *what)
{
    struct udfvm_reply reply;
    struct udfvm_error error;
    const int code = udfvm_vm_stream_receive(vm, &reply, &error);
    check(code == expected, "%s: %d: %s", what, code, error.message);
    if (code == UDFVM_OK)
        check_reply(&reply, words, seed, what);
}

static void test_halves(void)
{
    udfvm_vm *vm = begun(&usual);
    struct udfvm_reply reply = { .data = NULL }, second;
    struct udfvm_error error;
    check_number(udfvm_vm_stream_receive(vm, &reply, &error) == UDFVM_E_ARGUMENT,
                 "nothing was sent", 0);
    uint64_t words = 0;
    for (uint64_t round = 1; round < ROUNDS / 4 && send(vm, &usual, 3 + round % 40, 0, round);
         round++) {
        if (round > 1) /* while the guest writes the next one */
            check_reply(&reply, words, round - 1, "the reply of before");
        words = 3 + round % 40;
        check_number(udfvm_vm_stream_send(vm, UDFVM_REQUEST_ROW, made, 64, &usual, &error) ==
                             UDFVM_E_ARGUMENT &&
                         udfvm_vm_stream_call(vm, UDFVM_REQUEST_ROW, made, 64, &usual, &second,
                                              &error) == UDFVM_E_ARGUMENT &&
                         udfvm_vm_call(vm, UDFVM_REQUEST_ROW, made, 64, &usual, &second, &error) ==
                             UDFVM_E_ARGUMENT,
                     "a second request", (long)round);
        check_number(udfvm_vm_stream_receive(vm, &reply, &error) == UDFVM_OK, "received",
                     (long)round);
        check_number(udfvm_vm_stream_receive(vm, &second, &error) == UDFVM_E_ARGUMENT,
                     "received twice", (long)round);
    }
    udfvm_vm_close(vm);
}

static void test_ends_in_the_midst(void)
{
    for (uint64_t how = RAW_ANSWER; how <= RAW_RUN_ON; how++)
        for (int restored = 0; restored < 2; restored++) {
            udfvm_vm *vm = begun(&usual);
            send(vm, &usual, 20, how, 2);
            if (restored) {
                check_number(udfvm_vm_restore(vm, NULL) == UDFVM_OK, "restoring", (long)how);
                check_number(exchange(vm) == 1, "the next call", (long)how);
            }
            udfvm_vm_close(vm);
        }
}

/* Longer than the timeout, and than the stream's thread stays without a request. */
static void do_something_else(void)
{
    usleep(2000000);
}

static void test_replies_that_are_read_late(void)
{
    udfvm_vm *vm = begun(&hasty);
    for (uint64_t round = 1; round < 3 && send(vm, &hasty, 20, RAW_ANSWER, round); round++) {
        do_something_else();
        receive(vm, UDFVM_OK, 20, round, "read late");
    }
    if (send(vm, &hasty, 20, RAW_RUN_ON, 5)) {
        do_something_else();
        receive(vm, UDFVM_OK, 20, 5, "runs on");
        send(vm, &hasty, 20, RAW_ANSWER, 6);
        receive(vm, UDFVM_E_TIMEOUT, 0, 0, "still runs on");
    }
    check_number(udfvm_vm_restore(vm, NULL) == UDFVM_OK && exchange(vm) == 1, "restoring", 0);
    udfvm_vm_close(vm);
    vm = begun(&hasty);
    if (send(vm, &hasty, 20, RAW_NO_ANSWER, 7)) {
        do_something_else();
        receive(vm, UDFVM_E_TIMEOUT, 0, 0, "does not answer");
    }
    udfvm_vm_close(vm);
}

int main(int count, char **arguments)
{
    static const struct test tests[] = {
        { "replies of all sizes", test_replies_of_all_sizes },
        { "the two halves of an exchange", test_halves },
        { "ends in the midst of an exchange", test_ends_in_the_midst },
        { "replies that are read late", test_replies_that_are_read_late },
    };
    return run_on_raw_image(count, arguments, tests, sizeof tests / sizeof *tests);
}
