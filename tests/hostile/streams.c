/* Replies to streaming calls that lie: in length and status, with numbers of other requests, given
 * twice or changed while the host reads them. Usage: streams raw_guest.bin. Prints what failed. */
#include "raw_image.h"

#define WORDS       8u
#define ROUNDS      40u
#define MILLISECOND 1000000ull

static const struct udfvm_limits limits = { .timeout_ns = 200 * MILLISECOND, .max_output = 4096 };

static const uint64_t *request(uint64_t how, uint64_t length, uint64_t status)
{
    static uint64_t words[WORDS];
    words[0] = RAW_STREAM;
    words[1] = 5;
    words[2] = how;
    words[3] = length;
    words[4] = status;
    return words;
}

/* Whatever the header said: a reply has no more bytes than the limit, and all of them are there. */
static void check_reply(const struct udfvm_reply *reply, uint64_t how)
{
    const uint8_t *data = reply->data;
    uint8_t sum = 0;
    check(reply->length <= limits.max_output && reply->status <= UDFVM_STATUS_ERROR,
          "lie %llu: a reply of %llu bytes, status %d", (unsigned long long)how,
          (unsigned long long)reply->length, reply->status);
    for (uint64_t i = 0; i < reply->length && i < limits.max_output; i++)
        sum ^= data[i];
    __asm__ volatile("" : : "r"(sum));
}

static int exchange_once(udfvm_vm *vm, uint64_t how, uint64_t length, uint64_t status)
{
    struct udfvm_reply reply;
    struct udfvm_error error;
    int code = udfvm_vm_stream_send(vm, UDFVM_REQUEST_ROW, request(how, length, status), WORDS * 8,
                                    &limits, &error);
    if (code == UDFVM_OK)
        code = udfvm_vm_stream_receive(vm, &reply, &error);
    if (code == UDFVM_OK)
        check_reply(&reply, how);
    else
        check(error.code == code && error.message[0], "lie %llu: %d without a reason",
              (unsigned long long)how, code);
    return code;
}

/* A call whose first exchange is honest, some that are not, and the next call. */
static int lie(udfvm_vm *vm, uint64_t how, uint64_t length, uint64_t status)
{
    struct udfvm_reply reply;
    struct udfvm_error error;
    int code = udfvm_vm_call(vm, UDFVM_REQUEST_ROW, request(RAW_ANSWER, 0, 0), WORDS * 8, &limits,
                             &reply, &error);
    check(code == UDFVM_OK, "the first exchange: %d", code);
    for (int i = 0; i < 3 && code == UDFVM_OK; i++)
        code = exchange_once(vm, how, length, status);
    check(udfvm_vm_restore(vm, &error) == UDFVM_OK, "restoring after lie %llu",
          (unsigned long long)how);
    check(exchange(vm) == 1, "the call after lie %llu", (unsigned long long)how);
    check(udfvm_vm_restore(vm, &error) == UDFVM_OK, "restoring");
    return code;
}

static bool can_stream(udfvm_vm *vm)
{
    return lie(vm, RAW_ANSWER, 0, 0) != UDFVM_E_BUSY; /* one processor streams nothing */
}

static void test_lengths_and_statuses(void)
{
    static const struct {
        uint64_t length, status;
        int code;
    } lies[] = {
        { 0, 0, UDFVM_OK },
        { 4096, 0, UDFVM_OK },
        { 40, 1, UDFVM_OK },
        { 4097, 0, UDFVM_E_OUTPUT },
        { UDFVM_LOGGED_OUTPUT, 0, UDFVM_E_OUTPUT },
        { UINT64_MAX, 0, UDFVM_E_OUTPUT },
        { 1ull << 63, 1, UDFVM_E_OUTPUT },
        { 40, 2, UDFVM_E_PROTOCOL },
        { 40, 3, UDFVM_E_PROTOCOL },
        { 40, UINT32_MAX, UDFVM_E_PROTOCOL },
        { UINT64_MAX, UINT32_MAX, UDFVM_E_PROTOCOL },
    };
    udfvm_vm *vm = open_vm(image);
    for (size_t i = 0; can_stream(vm) && i < sizeof lies / sizeof *lies; i++) {
        const int code = lie(vm, RAW_LIE, lies[i].length, lies[i].status);
        check(code == lies[i].code, "length %llu, status %llu: %d",
              (unsigned long long)lies[i].length, (unsigned long long)lies[i].status, code);
    }
    udfvm_vm_close(vm);
}

static void test_numbers_of_other_requests(void)
{
    udfvm_vm *vm = open_vm(image);
    if (can_stream(vm)) {
        check_number(lie(vm, RAW_STALE, 0, 0) == UDFVM_E_TIMEOUT, "an old number", 0);
        lie(vm, RAW_AHEAD, 0, 0);
        lie(vm, RAW_TWICE, 0, 0);
    }
    udfvm_vm_close(vm);
}

static void test_headers_that_change_while_they_are_read(void)
{
    udfvm_vm *vm = open_vm(image);
    unsigned long ended[2] = { 0, 0 };
    for (unsigned i = 0; can_stream(vm) && i < ROUNDS; i++)
        ended[lie(vm, RAW_CHANGE, 0, 0) != UDFVM_OK]++;
    check_number(ended[0] + ended[1] > 0 || !can_stream(vm), "no round", 0);
    udfvm_vm_close(vm);
}

int main(int count, char **arguments)
{
    static const struct test tests[] = {
        { "lengths and statuses", test_lengths_and_statuses },
        { "numbers", test_numbers_of_other_requests },
        { "headers that change", test_headers_that_change_while_they_are_read },
    };
    return run_on_raw_image(count, arguments, tests, sizeof tests / sizeof *tests);
}
