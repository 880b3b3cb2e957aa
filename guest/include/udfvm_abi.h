/* The contract between a micro-VM and its host: the only header that both sides include.
 *
 * Everything here is fixed layout, little endian, naturally aligned, without pointers: a guest
 * address is a uint64_t. What the guest writes is hostile input to the host; what the host writes
 * is trusted by the guest.
 *
 * Guest virtual memory, the same in every micro-VM (PML4 entry 0 only):
 *
 *   0x00_0000_0000  system page tables, descriptors, stubs: the host's; ring 3 reaches only two
 * read-only pages of it 0x00_0020_0000  guest kernel (vectors, trap page, text, data), at most 2
 * MiB 0x00_0040_0000  program memory, up to the VM's memory size     (a fixed-address ELF, such as
 * a distribution's CPython, lies at its usual 0x400000); its end is the first thread's stack, with
 * a guard below that nothing is mapped at 0x40_0000_0000  input window    (read-only in the guest)
 * one page of `struct udfvm_call`, then the payload 0x50_0000_0000  output window   (written by the
 * guest)         the payload of the reply; then the scratch area, for memory that a call uses and
 * no image holds
 *
 * Of the output window and the scratch area only the first UDFVM_WINDOW_NARROW bytes can be reached
 * until the guest asks for the rest.
 */
#ifndef UDFVM_ABI_H
#define UDFVM_ABI_H

#include <stdint.h>

#define UDFVM_ABI_VERSION 1u

#define UDFVM_PAGE_SIZE   0x1000ull
#define UDFVM_KERNEL_BASE 0x200000ull /* flat kernel image is loaded here */
#define UDFVM_PROGRAM_BASE \
    0x400000ull /* first byte that programs may use; ends at udfvm_boot.memory_end */
#define UDFVM_INPUT_BASE    0x4000000000ull
#define UDFVM_INPUT_PAYLOAD (UDFVM_INPUT_BASE + UDFVM_PAGE_SIZE)
#define UDFVM_OUTPUT_BASE   0x5000000000ull
#define UDFVM_WINDOW_NARROW 0x200000ull
#define UDFVM_WINDOW_MAX \
    0x400000000ull /* 16 GiB: the input window; the output window with the scratch area */

/* The stack is [memory_end - udfvm_stack_bytes(memory_end), memory_end). Whole MiB, and the end of
 * memory is a multiple of 2 MiB, so the guard below it never crosses a page of 2 MiB. */
#define UDFVM_STACK_GUARD 0x40000ull
static inline uint64_t udfvm_stack_bytes(uint64_t memory_end)
{
    const uint64_t mib = 1ull << 20, share = memory_end / 16 / mib * mib;
    return share < mib ? mib : share > 8 * mib ? 8 * mib : share;
}

/* ---- Kernel vectors: fixed entry points at the start of the kernel image, 16 bytes each, each a
 * `jmp`. ---- */

#define UDFVM_VECTOR_BOOT 0x200000ull /* first instruction; RSP = UDFVM_BOOT_STACK */
#define UDFVM_VECTOR_SYSCALL \
    0x200010ull /* from the LSTAR stub, at ring 3, RSP still the program's */
#define UDFVM_VECTOR_FAULT \
    0x200020ull /* from the exception stubs, at ring 3, RSP = UDFVM_FAULT_STACK */
/* Callable by programs (System V ABI; no trap, no system call instruction): */
#define UDFVM_VECTOR_SEAL     0x200030ull /* void seal(void): see UDFVM_HC_SEAL */
#define UDFVM_VECTOR_COMPLETE 0x200040ull /* void complete(uint64_t status, uint64_t length) */
#define UDFVM_VECTOR_SYSCALL_FUNCTION \
    0x200050ull /* long syscall(nr, a, b, c, d, e, f): a system call without a trap */
/* void row(void): a row begins. In a deterministic call clocks and randomness start anew, so that
 * they are the same for each row. */
#define UDFVM_VECTOR_ROW 0x200060ull

/* prctl(2) with this: the next fork() succeeds, and the program is the child. For runtimes, before
 * they seal. */
#define UDFVM_PR_BECOME_CHILD 0x75646676

/* The trap page, at UDFVM_TRAP_BASE: written by the ring-0 stubs before they bounce to a vector. */
#define UDFVM_TRAP_BASE   0x201000ull
#define UDFVM_RING_REPLY  0x201800ull /* struct udfvm_ring_reply, in the trap page */
#define UDFVM_FAULT_STACK 0x204000ull /* grows down to 0x202000 */
#define UDFVM_BOOT_STACK  0x208000ull /* grows down to 0x204000 */
#define UDFVM_LOG_PENDING 0x208000ull /* struct udfvm_log_pending */

struct udfvm_trap {
    uint64_t syscall_rip; /* return address of the `syscall` (its RCX); RCX and R11 are clobbered */
    uint64_t scratch;
    /* An exception, as the processor pushed it. General registers are as they were in the program,
     * but RSP. */
    uint64_t vector, error_code, cr2;
    uint64_t rip, cs, rflags, rsp, ss;
};

/* In the trap page: the last request for memory that the kernel refused in this call. `length` 0:
 * none. */
#define UDFVM_REFUSED 0x201400ull
struct udfvm_refused {
    uint64_t length, used, total;
};

/* ---- Hypercalls: `out %al, $UDFVM_PORT` at ring 3. RAX: number; RDI RSI RDX R10 R8 R9: arguments;
 * RAX: result. ---- */

#define UDFVM_PORT       0x55
#define UDFVM_PORT_PANIC 0x56 /* from the ring-0 stubs only: an exception at ring 0 */

enum udfvm_hypercall {
    /* seal(info: address of struct udfvm_seal_info). Ends the build phase: the host records memory
     * and registers. Each later call starts by continuing at info.resume_rip with the sealed
     * registers, so seal() in a program returns once for the build and once for every call: like
     * fork(), into a fresh copy of the sealed state. */
    UDFVM_HC_SEAL = 1,
    /* complete(status: enum udfvm_status, length): the reply of this call is in the first `length`
     * bytes of the output window. The host either restores the sealed state, or, in a call that
     * spans several exchanges, puts the next request into the input window and returns 0: then the
     * program handles that. */
    UDFVM_HC_COMPLETE = 2,
    /* exit(reason: enum udfvm_exit, code, crash: address of struct udfvm_crash or 0). Never
       returns. */
    UDFVM_HC_EXIT = 3,
    /* log(stream: 1 or 2, address, length): the program's standard output and error. Returns 0. */
    UDFVM_HC_LOG = 4,
    /* open(): makes the whole output window and the scratch area accessible. Returns 0, or -1 where
       there is no more of them. */
    UDFVM_HC_OPEN = 5,
    /* host_call(name, name_length, arguments, arguments_length, reply, capacity): calls one of the
     * functions of the host that its user lets this function call. Arguments: struct udfvm_row and
     * its values. Reply: a struct udfvm_value and its bytes. Returns the reply's length, or -ENOENT
     * where there is no such function for this call, -EMSGSIZE where the reply has no room,
     * -EFAULT, -E2BIG. A function that fails, or arguments that are not of its types, end the call:
     * nothing returns. */
    UDFVM_HC_HOST_CALL = 6,

    /* Read-only file access; every path absolute and without NUL, results negative errno. A handle
     * is valid until the call (or build phase) in which it was opened ends; udfvm_call.sequence
     * tells the kernel when to open again. */
    UDFVM_HC_FILE_OPEN =
        16, /* (path, path_length, stat: address of struct udfvm_stat) -> handle >= 0 */
    UDFVM_HC_FILE_STAT = 17,  /* (path, path_length, stat, follow: 0|1) -> 0 */
    UDFVM_HC_FILE_READ = 18,  /* (handle, offset, address, length) -> bytes read, 0 at the end */
    UDFVM_HC_FILE_CLOSE = 19, /* (handle) -> 0 */
    UDFVM_HC_FILE_LIST = 20, /* (path, path_length, first index, address, length) -> bytes of struct
                                udfvm_directory_entry written, 0 at the end */
    UDFVM_HC_FILE_READLINK = 21, /* (path, path_length, address, length) -> bytes */
};

#define UDFVM_HOST_NAME_MAX    255         /* bytes of the name of a host function */
#define UDFVM_HOST_MESSAGE_MAX (16u << 20) /* bytes of its arguments, and of its reply */
#define UDFVM_PATH_MAX         4096        /* bytes of a path in a hypercall, at most */

enum udfvm_status {
    UDFVM_STATUS_OK = 0,
    UDFVM_STATUS_ERROR = 1, /* the output window holds struct udfvm_guest_error */
    UDFVM_STATUS_IN_PLACE =
        3, /* as OK; the reply's data are in scratch, past a gap: its length counts from the start
              of the output window. Only where UDFVM_CALL_IN_PLACE is set */
    UDFVM_STATUS_IDLE =
        2, /* ring only: no further request came for as long as the guest spins; no reply */
};

enum udfvm_exit {
    UDFVM_EXIT_STATUS = 1,   /* the program called exit_group(code); crash.text may say why */
    UDFVM_EXIT_SIGNAL = 2,   /* the program died of signal `code`; crash holds where */
    UDFVM_EXIT_DEADLOCK = 3, /* every thread waits for ever */
    UDFVM_EXIT_PANIC = 4,    /* the guest kernel gave up; crash.text says why */
};

struct udfvm_crash {
    uint64_t address; /* faulting address, 0 where there is none */
    uint64_t rip, rflags;
    uint64_t registers[16]; /* rax rcx rdx rbx rsp rbp rsi rdi r8 ... r15 */
    uint32_t signal_code;   /* si_code */
    uint32_t text_length;
    char text[256];
};

#define UDFVM_UNKNOWN_SYSCALLS 64
struct udfvm_seal_info {
    uint64_t resume_rip; /* where a call continues, after the host's resume stub */
    uint64_t fs_base, gs_base;
    uint64_t
        xsave_area; /* address of the XSAVE image taken with RFBM = all ones, standard format */
    uint64_t xsave_length;
    uint64_t memory_used; /* bytes of program memory in use, for the build report */
    uint64_t syscalls;    /* served since boot */
    uint64_t
        trapped; /* of these, by a trap: at `syscall` instructions that could not be rewritten */
    uint32_t unknown_count; /* entries used below: system calls answered with ENOSYS */
    uint32_t reserved;
    struct {
        uint32_t number, count;
    } unknown[UDFVM_UNKNOWN_SYSCALLS];
};

struct udfvm_stat {
    uint64_t device, inode, size;
    uint32_t mode, links; /* mode as in stat(2), type bits included */
    uint32_t uid, gid;
    int64_t mtime_seconds;
    uint64_t mtime_nanoseconds;
};

struct udfvm_directory_entry { /* packed one after the other, each padded to 8 bytes */
    uint64_t inode;
    uint16_t record_length;
    uint8_t type; /* DT_REG, DT_DIR, DT_LNK, ... */
    uint8_t name_length;
    char name[]; /* not NUL-terminated */
};

/* ---- A call: the first page of the input window. ---- */

enum udfvm_request {
    UDFVM_REQUEST_BOOT = 1, /* build phase; payload: struct udfvm_boot and its strings */
    UDFVM_REQUEST_LOAD =
        2, /* build phase: load a function; payload is the runtime's own; then seal again */
    UDFVM_REQUEST_ROW =
        3, /* payload: struct udfvm_row; reply: one struct udfvm_value and its bytes */
    UDFVM_REQUEST_BATCH = 4, /* payload: Arrow IPC stream, one batch; reply: the same, one column */
    UDFVM_REQUEST_COLUMNS =
        5, /* payload: struct udfvm_columns; reply: the same, with one column, as many rows */
    /* A table function. TABLE begins: payload struct udfvm_fetch, then struct udfvm_columns with
     * any number of rows of arguments, for each of which in turn the function runs. FETCH goes on:
     * payload struct udfvm_fetch. Reply to both: struct udfvm_columns with at most udfvm_fetch.rows
     * rows; the first column is INT64, the index of the arguments' row, which never falls; then
     * those of the function. */
    UDFVM_REQUEST_TABLE = 6,
    UDFVM_REQUEST_FETCH = 7,
    /* An aggregate. Payload: struct udfvm_aggregate, then struct udfvm_columns with the columns
     * group (INT64), inverse (BOOL: 1 takes the row out of its group) and the arguments. Rows are
     * taken in order; a group begins with its first row. Reply: struct udfvm_columns, with one
     * column and one row where the request asks for an answer, else with none. */
    UDFVM_REQUEST_AGGREGATE = 8,
    UDFVM_REQUEST_DESCRIBE = 9, /* of compiled code, to its runtime; payload: struct udfvm_load;
                                   reply: struct udfvm_description */
    UDFVM_REQUEST_COMPILE = 10, /* the same; reply: the code as compiled, for the runtime to take
                                   instead. Opaque to the host */
};

#define UDFVM_CALL_DETERMINISTIC \
    1u /* clock and randomness are fixed, and the same for each row: UDFVM_VECTOR_ROW */
#define UDFVM_CALL_OPEN                                                       \
    2u /* the whole output window and the scratch area are accessible already \
        */
#define UDFVM_CALL_IN_PLACE 4u /* the call may end with UDFVM_STATUS_IN_PLACE */

struct udfvm_call {
    uint32_t abi_version;
    uint32_t request;     /* enum udfvm_request */
    uint64_t sequence;    /* changes with every call: handles of an earlier one are void */
    uint64_t length;      /* bytes of payload, at UDFVM_INPUT_PAYLOAD */
    uint64_t output_size; /* bytes of the output window that the reply may use */
    uint32_t flags;
    uint32_t tsc_khz;    /* rate of the time stamp counter */
    uint64_t tsc_start;  /* counter value at which the two times below hold */
    int64_t realtime_ns; /* nanoseconds since 1970 */
    int64_t monotonic_ns;
    uint8_t seed[32];                    /* key of this call's random numbers */
    uint64_t scratch_start, scratch_end; /* zeros at the beginning of the call; equal: none */
    /* The ring, for a call of many exchanges without exits: complete() stores the reply's status
     * and length, then the number of the request, at ring_reply, and waits for ring_request to
     * change; after ring_spin ticks of the time stamp counter it exits with UDFVM_STATUS_IDLE and
     * is entered again for the next request. */
    uint64_t ring_reply; /* UDFVM_RING_REPLY; 0: no ring */
    uint64_t ring_spin;
    uint64_t ring_request; /* number of the request at hand; the host stores it last */
    uint8_t random[16];    /* what AT_RANDOM points to */
    uint32_t process_id;   /* of the program: another in every call, as after a fork */
    uint32_t reserved;
};

/* What the program wrote to its standard output and error and the kernel has not sent. The host
 * takes it where a call ends in its midst. */
struct udfvm_log_pending {
    uint64_t length, stream;
    char text[UDFVM_PAGE_SIZE - 2 * sizeof(uint64_t)];
};

struct udfvm_ring_reply {
    uint64_t number; /* of the request that it answers; the guest stores it last */
    uint64_t length;
    uint32_t status; /* enum udfvm_status */
    uint32_t reserved;
};

/* Payload of UDFVM_REQUEST_BOOT: followed by argc + envc NUL-terminated strings; argv[0] is the
 * path of the program. */
struct udfvm_boot {
    uint64_t memory_end;    /* program memory is [UDFVM_PROGRAM_BASE, memory_end) */
    uint64_t program_place; /* a position-independent program goes there or above, and its mappings
                               behind it; 0: as low as can be */
    uint32_t argc, envc;
};

/* ---- Rows: typed values, for calls of one row. ---- */

enum udfvm_type {
    UDFVM_NULL = 0,
    UDFVM_INT64 = 1,
    UDFVM_FLOAT64 = 2,
    UDFVM_TEXT = 3, /* UTF-8, may contain NUL */
    UDFVM_BLOB = 4,
    UDFVM_BOOL = 5, /* integer 0 or 1 */
};

struct udfvm_value {
    uint32_t type;   /* enum udfvm_type */
    uint32_t length; /* TEXT, BLOB: bytes */
    union {
        int64_t integer;
        double real;
        uint64_t offset; /* TEXT, BLOB: from the start of the payload */
    };
};

struct udfvm_row { /* followed by `count` values, then their bytes */
    uint32_t count;
    uint32_t reserved;
};

/* ---- Columns: batches of typed values, in a fixed layout that needs no parser. ----
 *
 * struct udfvm_columns, then `count` of struct udfvm_column, then their buffers, 8-byte aligned.
 * Places are bytes from the start of struct udfvm_columns. The buffers are those of the Arrow
 * columnar format (arrow.apache.org/docs/format/Columnar.html) for int64, double, bool,
 * large_string and large_binary, so either side can use them as such without a copy: validity   a
 * bit a row, least significant first; 0 is null. Not there where `validity` is 0: no nulls. offsets
 * TEXT, BLOB: rows + 1 of int64, never falling, into the data data       INT64, FLOAT64: 8 bytes a
 * row; BOOL: a bit a row; TEXT, BLOB: bytes. What a null row has is of no meaning. A column of type
 * UDFVM_NULL has no buffers: every row is null. */

struct udfvm_columns {
    uint64_t rows;
    uint32_t count;
    uint32_t flags; /* UDFVM_COLUMNS_MORE */
};

#define UDFVM_COLUMNS_MORE 1u /* reply of a table function: FETCH brings more */

struct udfvm_column {
    uint32_t type; /* enum udfvm_type */
    uint32_t reserved;
    uint64_t validity, offsets, data; /* places */
    uint64_t data_length;             /* bytes */
};

struct udfvm_fetch {
    uint64_t rows; /* at most so many in the reply; at least 1 */
    uint64_t reserved;
};

enum udfvm_answer {
    UDFVM_ANSWER_NONE = 0,
    UDFVM_ANSWER_VALUE = 1,  /* the group's value as it stands; the group goes on */
    UDFVM_ANSWER_FINISH = 2, /* the group's value; the group ends */
    UDFVM_ANSWER_STATE = 3,  /* the group's state as a BLOB that MERGE takes, in any VM of the same
                                function; the group ends */
    UDFVM_ANSWER_MERGE =
        4, /* the rows have one argument, such a BLOB, which joins its group; no answer */
};

struct udfvm_aggregate {
    uint64_t group;  /* the group that is asked for an answer */
    uint32_t answer; /* enum udfvm_answer */
    uint32_t reserved;
};

/* ---- Compiled code ---- */

#define UDFVM_SLOT_NAME 116

struct udfvm_slot {       /* a parameter, or the result */
    uint32_t storage;     /* enum storage of guest/runtimes/arrow/storage.h */
    uint32_t nullable;    /* 0 or 1 */
    uint32_t type_length; /* bytes of the type's name, where the storage does not tell it; else 0 */
    char name[UDFVM_SLOT_NAME]; /* NUL-terminated */
};

/* Payload of LOAD for compiled code. Followed by `slots` slots (the result and then the parameters;
 * for DESCRIBE none, or those of a function that shares its name), then, without gaps, the names of
 * those types that are structs and lists, as pyarrow prints them, the function's name, three Arrow
 * IPC messages (schema of the arguments, schema of the result, record batch of a result of one
 * row), settings of the runtime's own, and the code. A LOAD without the three messages, as SQL
 * sends it, is of a function that answers ROW and COLUMNS only: its slots need only have the types
 * that rows have, and code says what it has. */
struct udfvm_load {
    uint64_t code_length;
    uint32_t slots, name_length, request_schema_length, result_schema_length, template_length,
        settings_length;
};

struct udfvm_description { /* followed by the result's slot, `count` of parameters, and the names of
                              types, dates and times too where the code tells them from integers */
    uint32_t count, flags; /* UDFVM_DESCRIPTION_TABLE */
};

#define UDFVM_DESCRIPTION_TABLE \
    1u /* a table function: the result is its column, or a struct of its columns */

/* Reply with UDFVM_STATUS_ERROR: followed by type, message, traceback, UTF-8, in that order. Where
 * `signal` is not 0, the program died of it, and the address that it touched and that of the
 * instruction, two uint64_t, follow. */
struct udfvm_guest_error {
    uint32_t type_length, message_length, traceback_length;
    uint32_t signal;
    int64_t row; /* index in the batch, -1 where not known */
};

#endif
