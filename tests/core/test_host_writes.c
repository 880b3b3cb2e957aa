/* What the host writes into a VM leaves with the call: files, requests that it makes in place, and
 * replies that it borrowed. */
#include <errno.h>
#include "raw_image.h"

#define PAYLOAD (WINDOW - UDFVM_PAGE_SIZE)
#define MARK    0x686f73742d2d3e21ull

static const struct udfvm_limits usual = { .timeout_ns = 20000000000 };

static int64_t open_anything(void *context, const char *path, struct udfvm_stat *stat)
{
    (void)context, (void)path;
    *stat = (struct udfvm_stat){ .size = 8 };
    return 7;
}

static int64_t read_mark(void *context, int64_t handle, uint64_t offset, void *buffer,
                         uint64_t length)
{
    (void)context, (void)offset;
    memset(buffer, 0xee, length);
    return handle == 7 ? (int64_t)length : -EBADF;
}

static int closed;

static int64_t count_closes(void *context, int64_t handle)
{
    (void)context;
    closed += handle == 7;
    return 0;
}

/* KVM's log does not see what the host writes into the guest, and the restore must undo it all the
 * same. */
static void test_files(void)
{
    const struct udfvm_files files = { .open = open_anything,
                                       .read = read_mark,
                                       .close = count_closes };
    const struct udfvm_limits limits = { .files = 1, .timeout_ns = 20000000000 };
    const uint64_t far = UDFVM_PROGRAM_BASE + (8 << 20);
    struct udfvm_error error;
    udfvm_vm *vm = udfvm_vm_open(image, &files, &error);
    struct udfvm_reply reply;
    for (int i = 0; i < 3; i++) {
        check(
            CALL(vm, &limits, RAW_HYPERCALL, UDFVM_HYPERCALL_FILE_READ, 0, 0, far, 4096).words[0] ==
                (uint64_t)-EBADF,
            "a handle of an earlier call");
        const uint64_t path = 0x2f2f2f2f;
        const uint64_t prepare[] = { RAW_WRITE, far + 65536, path }, open_it[] = {
            RAW_HYPERCALL, UDFVM_HYPERCALL_FILE_OPEN, far + 65536, 4, far + 8192, 0, 0
        };
        const uint64_t read_it[] = { RAW_HYPERCALL, UDFVM_HYPERCALL_FILE_READ, 0, 0, far, 4096, 0 };
        check(udfvm_vm_call(vm, UDFVM_REQUEST_ROW, prepare, sizeof prepare, &limits, &reply,
                            &error) == 0,
              "prepare: %s", error.message);
        check(udfvm_vm_call(vm, UDFVM_REQUEST_ROW, open_it, sizeof open_it, &limits, &reply,
                            &error) == 0 &&
                  *(const uint64_t *)reply.data == 0,
              "open: %s", error.message);
        check(udfvm_vm_call(vm, UDFVM_REQUEST_ROW, read_it, sizeof read_it, &limits, &reply,
                            &error) == 0 &&
                  *(const uint64_t *)reply.data == 4096,
              "read: %s", error.message);
        check(udfvm_vm_restore(vm, &error) == 0 && closed == i + 1,
              "handles are closed with the call");
        check(CALL(vm, &limits, RAW_FIND, far, far + 16384, 0xeeeeeeeeeeeeeeee).words[0] == 0,
              "what the host read into the guest stayed");
        check(CALL(vm, &limits, RAW_FIND, far + 8192, far + 8192 + 64, 8).words[0] == 0,
              "a status that the host wrote stayed");
    }
    udfvm_vm_close(vm);
}

static uint64_t marks_in_windows(udfvm_vm *vm, uint64_t mark)
{
    return CALL(vm, NULL, RAW_FIND, UDFVM_INPUT_BASE + 4096 + 32, UDFVM_INPUT_BASE + WINDOW, mark)
               .words[0] +
           CALL(vm, NULL, RAW_FIND, UDFVM_OUTPUT_BASE, UDFVM_OUTPUT_BASE + UDFVM_LOGGED_OUTPUT,
                mark)
               .words[0];
}

static uint64_t *fill_request(udfvm_vm *vm, size_t bytes, uint64_t first)
{
    struct udfvm_error error;
    uint64_t *window = udfvm_vm_input(vm, bytes, &error);
    check(window != NULL, "no window of %zu bytes: %s", bytes, error.message);
    for (size_t word = 0; window && word < bytes / 8; word++)
        window[word] = word ? MARK : first;
    return window;
}

static void check_request_that_is_not_sent(udfvm_vm *vm, size_t bytes)
{
    check(fill_request(vm, bytes, MARK) && marks_in_windows(vm, MARK) == 0,
          "a request that was not sent stays");
}

static void check_request_sent_in_part(udfvm_vm *vm, size_t bytes)
{
    struct udfvm_reply reply;
    struct udfvm_error error;
    fill_request(vm, bytes, RAW_COUNT);
    check(udfvm_vm_call(vm, UDFVM_REQUEST_ROW, NULL, 8, &usual, &reply, &error) == 0 &&
              *(const uint64_t *)reply.data == 1,
          "in place: %s", error.message);
    check(udfvm_vm_restore(vm, &error) == 0 && marks_in_windows(vm, MARK) == 0,
          "a request of which a part was sent stays");
}

static void check_no_more_is_sent_than_was_asked_for(udfvm_vm *vm)
{
    struct udfvm_reply reply;
    struct udfvm_error error;
    check(udfvm_vm_input(vm, 16, &error) && udfvm_vm_call(vm, UDFVM_REQUEST_ROW, NULL, 24, &usual,
                                                          &reply, &error) == UDFVM_E_ARGUMENT,
          "more was sent than was asked for");
    check(udfvm_vm_input(vm, 16, &error) && udfvm_vm_restore(vm, &error) == 0 &&
              udfvm_vm_call(vm, UDFVM_REQUEST_ROW, NULL, 16, &usual, &reply, &error) ==
                  UDFVM_E_ARGUMENT,
          "what an earlier request asked for was sent");
}

static void test_requests_in_place_leave_with_the_call(void)
{
    static const size_t sizes[] = { 64, 4096, 100000, PAYLOAD };
    struct udfvm_error error;
    udfvm_vm *vm = open_vm(image);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        check_request_that_is_not_sent(vm, sizes[i]);
        check_request_sent_in_part(vm, sizes[i]);
        check_no_more_is_sent_than_was_asked_for(vm);
    }
    check(!udfvm_vm_input(vm, WINDOW, &error) && error.code == UDFVM_E_INPUT &&
              udfvm_vm_input_capacity(vm) == PAYLOAD,
          "no end of the window");
    udfvm_vm_close(vm);
}

/* The reply's length. An exchange that comes within the same call answers what the guest had left.
 */
static uint64_t make_reply(udfvm_vm *vm, uint64_t length)
{
    const uint64_t request[] = {
        RAW_HYPERCALL, UDFVM_HYPERCALL_COMPLETE, UDFVM_STATUS_OK, length, 0, 0, 0, 0
    };
    struct udfvm_reply reply;
    struct udfvm_error error;
    const int code = udfvm_vm_call(vm, UDFVM_REQUEST_ROW, request, sizeof request, &usual, &reply,
                                   &error);
    check(code == UDFVM_OK, "a reply of %llu bytes: %s", (unsigned long long)length, error.message);
    return code == UDFVM_OK ? reply.length : 0;
}

static void check_borrowed_reply(udfvm_vm *vm, uint64_t length)
{
    struct udfvm_error error;
    check(!udfvm_vm_borrow(vm, 0, 8, &error) && error.code == UDFVM_E_ARGUMENT,
          "borrowed what no call left");
    check(make_reply(vm, length) == length, "the length of a reply");
    check(!udfvm_vm_borrow(vm, 8, length, &error) && !udfvm_vm_borrow(vm, length + 1, 0, &error),
          "borrowed past the reply");
    uint64_t *borrowed = udfvm_vm_borrow(vm, 0, length, &error);
    for (size_t word = 0; borrowed && word < length / 8; word++)
        borrowed[word] = MARK;
    if (length % 16 == 0) /* another exchange of the same call comes between */
        make_reply(vm, length);
    check(borrowed && udfvm_vm_restore(vm, &error) == 0 && marks_in_windows(vm, MARK) == 0,
          "what was written to a borrowed reply stays");
}

static void test_writes_to_borrowed_replies_leave_with_the_call(void)
{
    udfvm_vm *vm = open_vm(image);
    for (uint64_t length = 8; length <= UDFVM_LOGGED_OUTPUT; length = length * 3 + 8)
        check_borrowed_reply(vm, length);
    udfvm_vm_close(vm);
}

int main(int count, char **arguments)
{
    static const struct test tests[] = {
        { "files", test_files },
        { "requests", test_requests_in_place_leave_with_the_call },
        { "borrowed replies", test_writes_to_borrowed_replies_leave_with_the_call },
    };
    return run_on_raw_image(count, arguments, tests, sizeof tests / sizeof *tests);
}
