/* What a tenant's call does before it ends, with a mark: the guest's part is RAW_TAINT, the host's
 * are requests, files, host functions, replies that are borrowed, and streaming calls. */
#ifndef LEAK_STEPS_H
#define LEAK_STEPS_H

/* A call may write more than is copied back page by page. */
#define MEMORY (96ull << 20)
#include "snapshot.h"

#include "base/pages.h"

#define SCRATCH_BYTES WINDOW
#define FAR      (UDFVM_PROGRAM_BASE + (5ull << 20)) /* where hypercalls have their arguments */
#define RESERVED (UDFVM_RESERVE_BASE + (5ull << 30) - 4 * PAGE) /* and on: the end of a GiB */
#define STREAMED 12u /* exchanges, of which the last are streamed */
#define WORDS_OF(array) (sizeof(array) / sizeof *(array))

enum step {
    STEP_REQUEST,       /* sent, of any length */
    STEP_IN_PLACE,      /* asked for, written, and sent in part */
    STEP_FILE,          /* the host writes a file's status and content */
    STEP_HOST_FUNCTION, /* the host writes its reply */
    STEP_LOG,
    STEP_RESERVE, /* pages of it are mapped, written, taken away */
    STEP_REPLY,   /* borrowed, and written by the host */
    STEP_DISTURBANCE,
    STEPS
};
enum last {
    LAST_GUEST,     /* as the guest ends it */
    LAST_INTERRUPT, /* an endless one, by the interrupt hook */
    LAST_UNSENT,    /* a request that is written and not sent */
    LAST_TOO_LARGE, /* a request that does not fit */
    LAST_SEAL,      /* the guest asks to be sealed, which calls may not */
    LAST_BORROWED,  /* a reply that is held, then given back */
    LAST_STREAM,    /* streamed exchanges: after one, or in its midst */
    LASTS
};

static uint64_t state;    /* of the random numbers of this program */
static uint64_t mark;     /* of the call */
static uint64_t reserved; /* an address of the reserve that the call used; 0: none */

static inline uint64_t any(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    return state ^= state << 17;
}

static inline uint64_t below(uint64_t count)
{
    return any() % count;
}

static inline void put_marks(void *to, uint64_t length)
{
    for (uint64_t offset = 0; offset + sizeof mark <= length; offset += sizeof mark)
        memcpy((uint8_t *)to + offset, &mark, sizeof mark);
}

/* ---- The embedder ---- */

static inline int64_t open_marked(void *context, const char *path, struct udfvm_stat *stat)
{
    (void)context, (void)path;
    put_marks(stat, sizeof *stat);
    return 7;
}

static inline int64_t read_marked(void *context, int64_t handle, uint64_t offset, void *buffer,
                                  uint64_t length)
{
    (void)context, (void)handle, (void)offset;
    put_marks(buffer, length);
    return (int64_t)length;
}

static inline int64_t close_marked(void *context, int64_t handle)
{
    (void)context, (void)handle;
    return 0;
}

static inline int64_t answer_marked(void *context, const char *name, const void *arguments,
                                    uint64_t length, void *reply, uint64_t capacity, char *failure)
{
    (void)context, (void)name, (void)arguments, (void)length;
    strcpy(failure, "refused");
    put_marks(reply, capacity);
    return below(3) ? (int64_t)capacity : UDFVM_HOST_FUNCTION_FAILED;
}

static const struct udfvm_files marked_files = { .open = open_marked,
                                                 .read = read_marked,
                                                 .close = close_marked };
static const struct udfvm_host_functions marked_functions = { .call = answer_marked,
                                                              .max_calls = 3 };
static const struct udfvm_limits patient = { .timeout_ns = 60000000000,
                                             .files = 1,
                                             .host_functions = &marked_functions },
                                 streamed = { .timeout_ns = 60000000000 },
                                 hasty = { .timeout_ns = 20000000 };

static inline int exchange(udfvm_vm *vm, const struct udfvm_limits *limits, const uint64_t *words,
                           size_t count)
{
    struct udfvm_reply reply;
    struct udfvm_error error;
    return udfvm_vm_call(vm, UDFVM_REQUEST_ROW, words, count * 8, limits, &reply, &error);
}
#define EXCHANGE(vm, limits, ...)                           \
    exchange(vm, limits, (const uint64_t[]){ __VA_ARGS__ }, \
             sizeof((const uint64_t[]){ __VA_ARGS__ }) / 8)

/* ---- Steps: each is an exchange or more, and may be the call's last if it fails ---- */

static inline uint64_t any_length(uint64_t most)
{
    static const uint64_t lengths[] = { 16, 64, 240, 4096, 4104, 65536, 300000, 2100000 };
    const uint64_t length = lengths[below(WORDS_OF(lengths))];
    return length < most ? length : most;
}

static inline uint64_t *marked_request(udfvm_vm *vm, uint64_t length)
{
    uint64_t *window = udfvm_vm_input(vm, length, NULL);
    if (window) {
        put_marks(window, length);
        window[0] = RAW_COUNT;
    }
    return window;
}

static inline int step_in_place(udfvm_vm *vm, bool whole)
{
    struct udfvm_reply reply;
    const uint64_t length = any_length(udfvm_vm_input_capacity(vm));
    if (!marked_request(vm, length))
        return UDFVM_E_INPUT;
    return udfvm_vm_call(vm, UDFVM_REQUEST_ROW, NULL, whole ? length : 8, &patient, &reply, NULL);
}

static inline int step_file(udfvm_vm *vm)
{
    const uint64_t path = 0x2f2f2f2f;
    EXCHANGE(vm, &patient, RAW_WRITE, FAR, path);
    EXCHANGE(vm, &patient, RAW_HYPERCALL, UDFVM_HYPERCALL_FILE_OPEN, FAR, 4, FAR + 8192, 0, 0);
    const uint64_t to = below(2) ? FAR + below(1 << 20) / 8 * 8 : UDFVM_OUTPUT_BASE + 65536;
    return EXCHANGE(vm, &patient, RAW_HYPERCALL, UDFVM_HYPERCALL_FILE_READ, 0, 0, to,
                    any_length(65536), 0);
}

static inline int step_host_function(udfvm_vm *vm)
{
    return EXCHANGE(vm, &patient, RAW_HYPERCALL, UDFVM_HYPERCALL_HOST_CALL, FAR, 4, FAR, 64,
                    FAR + below(1 << 20) / 8 * 8, any_length(65536));
}

static inline int step_log(udfvm_vm *vm)
{
    EXCHANGE(vm, &patient, RAW_FILL, FAR, FAR + 4096, mark);
    return EXCHANGE(vm, &patient, RAW_HYPERCALL, UDFVM_HYPERCALL_LOG, 1 + below(2), FAR, 4096, 0);
}

static inline int step_reserve(udfvm_vm *vm)
{
    const uint64_t at = RESERVED + below(8) * PAGE, pages = 1 + below(4), access = below(3);
    const int code = EXCHANGE(vm, &patient, RAW_HYPERCALL, UDFVM_HYPERCALL_MAP, at,
                              FAR + below(256) * PAGE, pages, access, 0, 0);
    reserved = at + below(pages) * PAGE;
    return code == UDFVM_OK && access == UDFVM_MAP_WRITE
               ? EXCHANGE(vm, &patient, RAW_FILL, at, at + pages * PAGE, mark)
               : code;
}

static inline int step_reply(udfvm_vm *vm)
{
    struct udfvm_reply reply;
    const uint64_t length = any_length(UDFVM_LOGGED_OUTPUT);
    const uint64_t request[] = { RAW_HYPERCALL, UDFVM_HYPERCALL_COMPLETE, 0, length, 0, 0, 0, 0 };
    const int code = udfvm_vm_call(vm, UDFVM_REQUEST_ROW, request, sizeof request, &patient, &reply,
                                   NULL);
    void *borrowed = code == UDFVM_OK ? udfvm_vm_borrow(vm, 0, reply.length, NULL) : NULL;
    if (borrowed)
        put_marks(borrowed, reply.length);
    return code;
}

static inline int take_step(udfvm_vm *vm, enum step step)
{
    switch (step) {
    case STEP_REQUEST:
    case STEP_IN_PLACE:
        return step_in_place(vm, step == STEP_REQUEST);
    case STEP_FILE:
        return step_file(vm);
    case STEP_HOST_FUNCTION:
        return step_host_function(vm);
    case STEP_LOG:
        return step_log(vm);
    case STEP_RESERVE:
        return step_reserve(vm);
    case STEP_REPLY:
        return step_reply(vm);
    default:
        return EXCHANGE(vm, &hasty, RAW_DISTURB, below(RAW_DISTURBANCES), RAW_END_COMPLETE, mark);
    }
}

/* ---- Last exchanges ---- */

static inline size_t stream_request(uint64_t *words, uint64_t how)
{
    const size_t count = below(2) ? 16 : 200; /* in the call page, or in the window */
    for (size_t i = 0; i < count; i++)
        words[i] = mark;
    words[0] = RAW_STREAM;
    words[1] = count;
    words[2] = how;
    return count * 8;
}

static inline int end_stream(udfvm_vm *vm)
{
    uint64_t words[200];
    struct udfvm_reply reply;
    int code = UDFVM_OK;
    for (unsigned i = 0; i < STREAMED && code == UDFVM_OK; i++)
        code = udfvm_vm_stream_call(vm, UDFVM_REQUEST_ROW, words, stream_request(words, RAW_ANSWER),
                                    &streamed, &reply, NULL);
    if (code == UDFVM_OK && below(2)) /* one processor streams nothing */
        udfvm_vm_stream_send(vm, UDFVM_REQUEST_ROW, words,
                             stream_request(words, below(RAW_STREAMS)), &streamed, NULL);
    return code;
}

static inline int end_call(udfvm_vm *vm, enum last last)
{
    switch (last) {
    case LAST_INTERRUPT:
        return EXCHANGE(vm, &hasty, RAW_LOOP);
    case LAST_UNSENT:
        marked_request(vm, any_length(udfvm_vm_input_capacity(vm)));
        return UDFVM_OK;
    case LAST_TOO_LARGE:
        return exchange(vm, &patient, &mark, WINDOW);
    case LAST_SEAL:
        return EXCHANGE(vm, &patient, RAW_SEAL, mark);
    case LAST_BORROWED:
        return step_reply(vm);
    case LAST_STREAM:
        return end_stream(vm);
    default:
        return UDFVM_OK;
    }
}

#endif
