/* The contract between a micro-VM and its host. The headers beside it are code that both sides, or
 * the guest's kernel and runtimes, have alike: they define nothing of the contract.
 *
 * Every protocol number is defined here and nowhere else: UDFVM_REQUEST_x, UDFVM_STATUS_x and so
 * on, one macro to a line. `udfvm/protocol.py` is generated from these lines. Structures have a
 * fixed layout: little endian, naturally aligned, without pointers (a guest address is a uint64_t).
 * What the guest writes is hostile input to the host; what the host writes is trusted by the guest.
 *
 * Assembly sources include the macros, but not the structures.
 *
 * Long because it is the whole contract.
 */
#ifndef UDFVM_ABI_H
#define UDFVM_ABI_H

#ifdef __ASSEMBLER__
#define UDFVM_U64(number) number
#else
#include <stdint.h>
#define UDFVM_U64(number) number##ull
#endif

#define UDFVM_ABI_VERSION 1u

/* ---- Guest virtual memory: the same in every micro-VM (PML4 entry 0 only) ----
 *
 *   0x00_0000_0000  system area: page tables, descriptors and stubs. It is the host's; ring 3
 *                   reaches only two read-only pages of it.
 *   0x00_0010_0000  guest kernel, at most 1 MiB: vectors, trap page, stacks, text, data.
 *   0x00_0020_0000  program memory, up to the VM's memory size. (An ELF file of fixed addresses,
 *                   such as a distribution's CPython, lies at its usual 0x400000, or 0x200000 if
 *                   lld linked it.) Its end is the first thread's stack, below which a guard is
 *                   mapped nowhere.
 *   0x10_0000_0000  reserve: address space of which the guest maps pages to pages of program
 *                   memory, by UDFVM_HYPERCALL_MAP. So it may be larger than memory.
 *   0x40_0000_0000  input window, read-only in the guest: one page of `struct udfvm_call`, then the
 *                   payload.
 *   0x50_0000_0000  output window, written by the guest: the payload of the reply. The scratch area
 *                   follows it: memory that a call uses and that no image holds.
 *   0x60_0000_0000  data, read-only in the guest: struct udfvm_data_directory, then the files that
 *                   the function was given. Mapped where UDFVM_CALL_DATA is set.
 *
 * The first UDFVM_LOGGED_OUTPUT bytes of the output window are dirty-logged like program memory.
 * The rest of it and the scratch area are unlogged, and out of reach until the guest opens them. */

#define UDFVM_PAGE_SIZE     UDFVM_U64(0x1000)
#define UDFVM_KERNEL_BASE   UDFVM_U64(0x100000) /* the flat kernel image is loaded here */
#define UDFVM_PROGRAM_BASE  UDFVM_U64(0x200000) /* program memory ends at udfvm_boot.memory_end */
#define UDFVM_RESERVE_BASE  UDFVM_U64(0x1000000000)
#define UDFVM_RESERVE_END   UDFVM_U64(0x4000000000)
#define UDFVM_INPUT_BASE    UDFVM_U64(0x4000000000) /* struct udfvm_call */
#define UDFVM_INPUT_PAYLOAD UDFVM_U64(0x4000001000) /* one page behind it */
/* Right behind struct udfvm_call: short payloads of streaming calls. */
#define UDFVM_SHORT_PAYLOAD UDFVM_U64(0x40000000D8)
#define UDFVM_MAX_SHORT     232 /* bytes of a short payload, and of a short reply */
#define UDFVM_OUTPUT_BASE   UDFVM_U64(0x5000000000)
#define UDFVM_LOGGED_OUTPUT UDFVM_U64(0x200000)
/* 16 GiB: of the input window; of the output window and the scratch area together. */
#define UDFVM_MAX_WINDOW  UDFVM_U64(0x400000000)
#define UDFVM_STACK_GUARD UDFVM_U64(0x40000)
#define UDFVM_DATA_BASE   UDFVM_U64(0x6000000000) /* struct udfvm_data_directory */
#define UDFVM_DATA_END    UDFVM_U64(0x8000000000)

/* What has a fixed address in the guest kernel. The refused memory, the timer, the peak memory and
 * the stream reply lie in the trap page. */
#define UDFVM_TRAP_BASE      UDFVM_U64(0x101000) /* struct udfvm_trap; the stubs write it */
#define UDFVM_REFUSED_MEMORY UDFVM_U64(0x101400) /* struct udfvm_refused_memory */
#define UDFVM_TIMER          UDFVM_U64(0x101600) /* struct udfvm_timer */
#define UDFVM_PEAK_MEMORY    UDFVM_U64(0x101700) /* uint64_t: bytes in use at most in this call */
#define UDFVM_RANDOM         UDFVM_U64(0x101740) /* 16 bytes: what AT_RANDOM points to */
#define UDFVM_STREAM_REPLY   UDFVM_U64(0x101800) /* struct udfvm_stream_reply */
#define UDFVM_FAULT_STACK    UDFVM_U64(0x104000) /* grows down to 0x102000 */
#define UDFVM_BOOT_STACK     UDFVM_U64(0x108000) /* grows down to 0x104000 */
#define UDFVM_PENDING_LOG    UDFVM_U64(0x108000) /* struct udfvm_pending_log */

/* ---- Kernel vectors: a `jmp` each, every 16 bytes from the start of the kernel image ---- */

/* The first instruction. RSP is UDFVM_BOOT_STACK. */
#define UDFVM_VECTOR_BOOT UDFVM_U64(0x100000)
/* From the LSTAR stub, at ring 3. RSP is still the program's. */
#define UDFVM_VECTOR_SYSCALL UDFVM_U64(0x100010)
/* From the exception stubs, at ring 3. RSP is UDFVM_FAULT_STACK. */
#define UDFVM_VECTOR_FAULT UDFVM_U64(0x100020)

/* The host interrupted the program, at udfvm_call.interrupted_rip. All registers are still the
 * program's, but RIP and RFLAGS. */
#define UDFVM_VECTOR_INTERRUPT UDFVM_U64(0x100070)

/* Programs call the following ones (System V ABI; no trap, no system call instruction). */

/* void seal(void): see UDFVM_HYPERCALL_SEAL. */
#define UDFVM_VECTOR_SEAL UDFVM_U64(0x100030)
/* void complete(uint64_t status, uint64_t length): see UDFVM_HYPERCALL_COMPLETE. */
#define UDFVM_VECTOR_COMPLETE UDFVM_U64(0x100040)
/* long syscall(nr, a, b, c, d, e, f): a system call without a trap. */
#define UDFVM_VECTOR_SYSCALL_FUNCTION UDFVM_U64(0x100050)
/* void row(void): a row begins. In a deterministic call, clocks and randomness start anew, so that
 * they are the same for each row. */
#define UDFVM_VECTOR_ROW UDFVM_U64(0x100060)

/* prctl(2) with this option: the next fork() succeeds, and the program is the child. For runtimes,
 * before they seal. */
#define UDFVM_PR_BECOME_CHILD 0x75646676

/* ---- Ports: `out %al, $PORT` ---- */

#define UDFVM_PORT       0x55 /* a hypercall, from ring 3 */
#define UDFVM_PORT_PANIC 0x56 /* an exception at ring 0; from the ring-0 stubs only */

/* ---- Hypercalls. RAX: number; RDI RSI RDX R10 R8 R9: arguments; RAX: result ---- */

/* seal(info: address of struct udfvm_seal_info). Ends the build phase: the host records memory and
 * registers. Each later call continues at info.resume_rip with the sealed registers. So seal() in a
 * program returns once for the build and once for every call: like fork(), into a fresh copy of the
 * sealed state. */
#define UDFVM_HYPERCALL_SEAL 1
/* complete(status: UDFVM_STATUS_x, length): the reply of this call is in the first `length` bytes
 * of the output window. The host restores the sealed state; or, in a call of several exchanges, it
 * puts the next request into the input window and returns 0, and the program handles that. */
#define UDFVM_HYPERCALL_COMPLETE 2
/* exit(reason: UDFVM_EXIT_x, code, crash: address of struct udfvm_crash or 0). Never returns. */
#define UDFVM_HYPERCALL_EXIT 3
/* log(stream: 1 or 2, address, length): the program's standard output and error. Returns 0. */
#define UDFVM_HYPERCALL_LOG 4
/* open_unlogged(): makes the whole output window and the scratch area accessible. Returns 0, or -1
 * where the VM has no unlogged memory. */
#define UDFVM_HYPERCALL_OPEN_UNLOGGED 5
/* host_call(name, name_length, arguments, arguments_length, reply, capacity): calls one of the
 * host's functions that this function may call. Arguments: struct udfvm_row and its values. Reply:
 * struct udfvm_value and its bytes. Values of types that have no other UDFVM_TYPE_x, and lists and
 * structs, are ARROW: an Arrow IPC stream of one record batch of one row, of this value alone.
 * Returns the reply's length, or -ENOENT where this call has no
 * such function, -EMSGSIZE where the reply exceeds the capacity, -EFAULT, -E2BIG. A host function
 * that fails, or arguments of other types than its own, end the call: nothing returns. */
#define UDFVM_HYPERCALL_HOST_CALL 6
/* map(virtual address, frame: address in program memory, pages, access: UDFVM_MAP_x): maps pages of
 * the reserve to as many pages of program memory, one behind the other, in place of what they were
 * mapped to. With UDFVM_MAP_NOTHING the frame means nothing. What a call mapped lasts until its
 * end; what is mapped at the seal is part of the image. Returns 0, or -EINVAL for addresses that
 * cannot be, or -ENOMEM where the host has no further page tables for this VM. */
#define UDFVM_HYPERCALL_MAP 7

/* Read-only access to files. Every path is absolute and has no NUL; errors are negative errno. A
 * handle is valid until the end of the call (or build phase) that opened it: udfvm_call.sequence
 * tells the kernel when to open again. */

/* (path, path_length, stat: address of struct udfvm_stat) -> handle >= 0 */
#define UDFVM_HYPERCALL_FILE_OPEN 16
/* (path, path_length, stat, follow: 0 or 1) -> 0 */
#define UDFVM_HYPERCALL_FILE_STAT 17
/* (handle, offset, address, length) -> bytes read, 0 at the end */
#define UDFVM_HYPERCALL_FILE_READ 18
/* (handle) -> 0 */
#define UDFVM_HYPERCALL_FILE_CLOSE 19
/* (path, path_length, first index, address, length) -> bytes of struct udfvm_directory_entry
 * written, 0 at the end */
#define UDFVM_HYPERCALL_FILE_LIST 20
/* (path, path_length, address, length) -> bytes */
#define UDFVM_HYPERCALL_FILE_READLINK 21

#define UDFVM_MAX_HOST_NAME    255       /* bytes of the name of a host function */
#define UDFVM_MAX_HOST_MESSAGE 16777216u /* bytes of its arguments, and of its reply */
#define UDFVM_MAX_PATH         4096      /* bytes of a path in a hypercall */

/* Bytes that the host keeps of the texts of struct udfvm_guest_error. */
#define UDFVM_MAX_ERROR_TYPE      256u
#define UDFVM_MAX_ERROR_MESSAGE   20480u
#define UDFVM_MAX_ERROR_TRACEBACK 44032u
/* The row in a reply to LOAD if the function failed in the call with its sample. */
#define UDFVM_ROW_OF_SAMPLE (-2)

/* ---- Requests: what a call asks of the program ---- */

/* Build phase. Payload: struct udfvm_boot and its strings. */
#define UDFVM_REQUEST_BOOT 1
/* Build phase: loads a function; the program then seals again. Payload: the runtime's own. */
#define UDFVM_REQUEST_LOAD 2
/* Payload: struct udfvm_row. Reply: one struct udfvm_value and its bytes. */
#define UDFVM_REQUEST_ROW 3
/* Payload: an Arrow IPC stream of one record batch. Reply: the same, of one column. */
#define UDFVM_REQUEST_BATCH 4
/* Payload: struct udfvm_columns. Reply: the same, with one column and as many rows. */
#define UDFVM_REQUEST_COLUMNS 5
/* Begins a table function. Payload: struct udfvm_fetch, then struct udfvm_columns with any number
 * of rows of arguments, for each of which in turn the function runs. Reply: struct udfvm_columns
 * with at most udfvm_fetch.rows rows. Its first column is INT64, the index of the arguments' row,
 * which never falls; the function's columns follow. */
#define UDFVM_REQUEST_TABLE 6
/* Continues a table function. Payload: struct udfvm_fetch. Reply: as to TABLE. */
#define UDFVM_REQUEST_FETCH 7
/* An aggregate. Payload: struct udfvm_aggregate, then struct udfvm_columns with the columns group
 * (INT64), inverse (BOOL: 1 takes the row out of its group) and the arguments. Rows are taken in
 * order; a group begins with its first row. Reply: struct udfvm_columns, with one column and one
 * row where the request asks for an answer, else with none. */
#define UDFVM_REQUEST_AGGREGATE 8
/* Of compiled code, to its runtime. Payload: struct udfvm_load. Reply: struct udfvm_description. */
#define UDFVM_REQUEST_DESCRIBE 9
/* Payload: as of DESCRIBE. Reply: the code as compiled, which the runtime takes instead. It is
 * opaque to the host. */
#define UDFVM_REQUEST_COMPILE 10
/* Payload: as of DESCRIBE, without slots and a name. Reply: any number of struct udfvm_listed with
 * their texts: the functions in the code, and what it imports. */
#define UDFVM_REQUEST_LIST 11

/* ---- Statuses of a reply ---- */

#define UDFVM_STATUS_OK    0
#define UDFVM_STATUS_ERROR 1 /* the output window holds struct udfvm_guest_error */
/* Of a streaming call only: no further request came for as long as the guest spins; no reply. */
#define UDFVM_STATUS_IDLE 2
/* As OK, but the reply's data are in scratch, past a gap: its length counts from the start of the
 * output window. Only where UDFVM_CALL_IN_PLACE is set. */
#define UDFVM_STATUS_IN_PLACE 3

/* ---- Access to pages of the reserve; they can be executed, too ---- */

#define UDFVM_MAP_NOTHING 0
#define UDFVM_MAP_READ    1
#define UDFVM_MAP_WRITE   2 /* and read */

/* ---- Reasons of an exit ---- */

#define UDFVM_EXIT_STATUS   1 /* the program called exit_group(code); crash.text may say why */
#define UDFVM_EXIT_SIGNAL   2 /* the program died of signal `code`; crash holds where */
#define UDFVM_EXIT_DEADLOCK 3 /* every thread waits for ever */
#define UDFVM_EXIT_PANIC    4 /* the guest kernel gave up; crash.text says why */

/* ---- Flags of a call ---- */

/* Clock and randomness are fixed, and the same for each row: UDFVM_VECTOR_ROW. */
#define UDFVM_CALL_DETERMINISTIC 1u
/* The whole output window and the scratch area are accessible already. */
#define UDFVM_CALL_UNLOGGED_OPEN 2u
/* The call may end with UDFVM_STATUS_IN_PLACE. */
#define UDFVM_CALL_IN_PLACE 4u
/* The VM has data. */
#define UDFVM_CALL_DATA 8u

/* ---- Types of values in rows and columns ---- */

#define UDFVM_TYPE_NULL    0
#define UDFVM_TYPE_INT64   1
#define UDFVM_TYPE_FLOAT64 2
#define UDFVM_TYPE_TEXT    3 /* UTF-8, may contain NUL */
#define UDFVM_TYPE_BLOB    4
#define UDFVM_TYPE_BOOL    5 /* integer 0 or 1 */
#define UDFVM_TYPE_ARROW   6 /* of columns and host functions only: an Arrow IPC stream */

/* ---- Storages: how Arrow stores a type. Dates and times are stored as integers ---- */

#define UDFVM_STORAGE_BOOL    0
#define UDFVM_STORAGE_INT8    1
#define UDFVM_STORAGE_INT16   2
#define UDFVM_STORAGE_INT32   3
#define UDFVM_STORAGE_INT64   4
#define UDFVM_STORAGE_UINT8   5
#define UDFVM_STORAGE_UINT16  6
#define UDFVM_STORAGE_UINT32  7
#define UDFVM_STORAGE_UINT64  8
#define UDFVM_STORAGE_FLOAT32 9
#define UDFVM_STORAGE_FLOAT64 10
#define UDFVM_STORAGE_TEXT32  11 /* UTF-8, 32-bit offsets */
#define UDFVM_STORAGE_TEXT64  12 /* UTF-8, 64-bit offsets */
#define UDFVM_STORAGE_BYTES32 13
#define UDFVM_STORAGE_BYTES64 14
#define UDFVM_STORAGE_NULL    15 /* nothing is stored: every row is null */
#define UDFVM_STORAGE_STRUCT  16 /* children; in rows and in struct udfvm_columns JSON text */
#define UDFVM_STORAGE_LIST    17 /* a child; in rows and in struct udfvm_columns JSON text */
#define UDFVM_STORAGE_COUNT   18

/* ---- What an aggregate is asked for ---- */

#define UDFVM_ANSWER_NONE   0
#define UDFVM_ANSWER_VALUE  1 /* the group's value as it stands; the group goes on */
#define UDFVM_ANSWER_FINISH 2 /* the group's value; the group ends */
/* The group's state as a BLOB that MERGE takes, in any VM of the same function; the group ends. */
#define UDFVM_ANSWER_STATE 3
/* The rows have one argument, such a BLOB, which joins its group; no answer. */
#define UDFVM_ANSWER_MERGE 4

/* ---- Flags of requests, of columns and of descriptions ---- */

#define UDFVM_REPLY_ARROW 1u /* the reply may have columns of UDFVM_TYPE_ARROW */

#define UDFVM_COLUMNS_MORE 1u /* reply of a table function: FETCH brings more */
/* A table function: the result is its column, or a struct of its columns. */
#define UDFVM_DESCRIPTION_TABLE 1u
/* The function sees a batch as a whole: a row of the result may depend on other rows. */
#define UDFVM_DESCRIPTION_WHOLE 2u
/* An aggregate: the parameters are those of a row, the result is that of a group. INVERSE: it can
 * take rows out of their group again. MERGE: one group can join another. */
#define UDFVM_DESCRIPTION_AGGREGATE 4u
#define UDFVM_DESCRIPTION_INVERSE   8u
#define UDFVM_DESCRIPTION_MERGE     16u

/* ---- Sizes of fixed arrays in the structures ---- */

#define UDFVM_MAX_CRASH_TEXT       256
#define UDFVM_MAX_UNKNOWN_SYSCALLS 64
#define UDFVM_MAX_SLOT_NAME        116 /* the NUL included */
#define UDFVM_MAX_DATA_NAME        95
#define UDFVM_MAX_DATA_FILES       64

#ifndef __ASSEMBLER__

/* The stack is [memory_end - udfvm_stack_bytes(memory_end), memory_end). Whole MiB, and the end of
 * memory is a multiple of 2 MiB, so the guard below it never crosses a page of 2 MiB. */
static inline uint64_t udfvm_stack_bytes(uint64_t memory_end)
{
    const uint64_t mib = 1ull << 20, share = memory_end / 16 / mib * mib;
    return share < mib ? mib : share > 8 * mib ? 8 * mib : share;
}

/* ---- The guest kernel's pages ---- */

struct udfvm_trap {
    uint64_t syscall_rip; /* return address of the `syscall` (its RCX); RCX and R11 are clobbered */
    uint64_t scratch;
    /* An exception, as the processor pushed it. General registers are as they were in the program,
     * but RSP. */
    uint64_t vector, error_code, cr2;
    uint64_t rip, cs, rflags, rsp, ss;
};

/* The last request for memory that the kernel refused in this call. `length` 0: none. */
struct udfvm_refused_memory {
    uint64_t length, used, total;
    uint64_t largest_free; /* of the free regions */
};

/* What the program wrote to its standard output and error and the kernel has not sent. The host
 * takes it where a call ends in its midst. */
struct udfvm_pending_log {
    uint64_t length, stream;
    char text[UDFVM_PAGE_SIZE - 2 * sizeof(uint64_t)];
};

/* When the guest wants to be interrupted. The host looks at it from time to time, and interrupts
 * the program at that time, or up to some twenty milliseconds later: see UDFVM_VECTOR_INTERRUPT. A
 * program that is in the kernel then is not interrupted. In a deterministic call the host does not
 * look. */
struct udfvm_timer {
    uint64_t due_ns; /* of the clock of udfvm_call.monotonic_ns; 0: never */
};

struct udfvm_stream_reply {
    uint64_t number; /* of the request that it answers; the guest stores it last */
    uint64_t length;
    uint32_t status; /* UDFVM_STATUS_x */
    uint32_t reserved;
    /* A reply that fits in here: the host then reads it here, not in the output window. So a short
     * one crosses between two processors in one cache line. */
    uint8_t short_reply[UDFVM_MAX_SHORT];
};

/* ---- Arguments of hypercalls ---- */

struct udfvm_crash {
    uint64_t address; /* faulting address, 0 where there is none */
    uint64_t rip, rflags;
    uint64_t registers[16]; /* rax rcx rdx rbx rsp rbp rsi rdi r8 ... r15 */
    uint32_t signal_code;   /* si_code */
    uint32_t text_length;
    char text[UDFVM_MAX_CRASH_TEXT];
};

struct udfvm_seal_info {
    uint64_t resume_rip; /* where a call continues, after the host's resume stub */
    uint64_t fs_base, gs_base;
    uint64_t xsave_area; /* address of the XSAVE image: RFBM is all ones, standard format */
    uint64_t xsave_length;
    uint64_t memory_used;   /* bytes of program memory in use, for the build report */
    uint64_t syscalls;      /* served since boot */
    uint64_t trapped;       /* of these, by a trap: at `syscall` instructions left as they were */
    uint32_t unknown_count; /* entries used below: system calls answered with ENOSYS */
    uint32_t reserved;
    struct {
        uint32_t number, count;
    } unknown[UDFVM_MAX_UNKNOWN_SYSCALLS];
};

struct udfvm_stat {
    uint64_t device, inode, size;
    uint32_t mode, links; /* mode as in stat(2), type bits included */
    uint32_t uid, gid;
    int64_t mtime_seconds;
    uint64_t mtime_nanoseconds;
};

/* ---- Data: read-only for the guest, and the same in each call of a function ---- */

struct udfvm_data_file {
    uint64_t address, size; /* a multiple of 2 MiB; bytes */
    int64_t mtime_seconds;
    uint64_t mtime_nanoseconds;
    char name[UDFVM_MAX_DATA_NAME + 1]; /* NUL-terminated */
};

struct udfvm_data_directory {
    uint64_t count, reserved;
    struct udfvm_data_file files[UDFVM_MAX_DATA_FILES];
};

struct udfvm_directory_entry { /* packed one after the other, each padded to 8 bytes */
    uint64_t inode;
    uint16_t record_length;
    uint8_t type; /* DT_REG, DT_DIR, DT_LNK, ... */
    uint8_t name_length;
    char name[]; /* not NUL-terminated */
};

/* ---- A call: the first page of the input window ---- */

struct udfvm_call {
    uint32_t abi_version;
    uint32_t flags;       /* UDFVM_CALL_x */
    uint64_t sequence;    /* changes with every call: handles of an earlier one are void */
    uint64_t output_size; /* bytes of the output window that the reply may use */
    uint64_t tsc_start;   /* counter value at which the two times below hold */
    int64_t realtime_ns;  /* nanoseconds since 1970 */
    int64_t monotonic_ns;
    uint64_t scratch_start, scratch_end; /* zeros at the beginning of the call; equal: none */
    uint8_t seed[32];                    /* key of this call's random numbers */
    uint8_t random[16];                  /* what the program finds at AT_RANDOM */
    /* A streaming call has many exchanges without exits. complete() stores the reply's status and
     * length, then the number of the request, at stream_reply, and waits for stream_request to
     * change. After stream_spin ticks of the time stamp counter it exits with UDFVM_STATUS_IDLE and
     * is entered again for the next request. */
    uint64_t stream_reply; /* UDFVM_STREAM_REPLY; 0: not a streaming call */
    uint64_t stream_spin;
    uint32_t tsc_khz;    /* rate of the time stamp counter */
    uint32_t process_id; /* of the program: another in every call, as after a fork */
    uint64_t interrupted_rip, interrupted_rflags; /* of the last UDFVM_VECTOR_INTERRUPT */
    uint64_t reserved[5];
    /* What changes from one request of a streaming call to the next: in one cache line, with the
     * beginning of a short payload. */
    uint64_t stream_request; /* number of the current request; the host stores it last */
    uint64_t length;         /* bytes of payload */
    uint32_t request;        /* UDFVM_REQUEST_x */
    /* Where the payload is, from the start of the window: at UDFVM_INPUT_PAYLOAD; or, for requests
     * of a streaming call that are no UDFVM_REQUEST_BATCH, at UDFVM_SHORT_PAYLOAD. */
    uint32_t payload;
};

/* Payload of UDFVM_REQUEST_BOOT: followed by argc + envc NUL-terminated strings; argv[0] is the
 * path of the program. */
struct udfvm_boot {
    uint64_t memory_end; /* program memory is [UDFVM_PROGRAM_BASE, memory_end) */
    /* A position-independent program is loaded here or above, and its mappings behind it. 0: as low
     * as can be. */
    uint64_t program_address;
    uint32_t argc, envc;
};

/* ---- Rows: typed values, for calls of one row ---- */

struct udfvm_value {
    uint32_t type;   /* UDFVM_TYPE_x */
    uint32_t length; /* TEXT, BLOB, ARROW: bytes */
    union {
        int64_t integer;
        double real;
        uint64_t offset; /* TEXT, BLOB, ARROW: from the start of the payload */
    };
};

struct udfvm_row { /* followed by `count` values, then their bytes */
    uint32_t count;
    uint32_t reserved;
};

/* ---- Column batches: typed values in a fixed layout that needs no parser ----
 *
 * struct udfvm_columns, then `count` of struct udfvm_column, then their buffers, aligned to 8
 * bytes. Offsets count from the start of struct udfvm_columns. The buffers are those of the Arrow
 * columnar format (arrow.apache.org/docs/format/Columnar.html) for int64, double, bool,
 * large_string and large_binary, so either side uses them without a copy:
 *
 *   validity  a bit a row, least significant first; 0 is null. Where the offset is 0: no nulls.
 *   offsets   TEXT, BLOB: rows + 1 of int64, never falling, into the data.
 *   data      INT64, FLOAT64: 8 bytes a row; BOOL: a bit a row; TEXT, BLOB: bytes.
 *
 *   data      ARROW: an Arrow IPC stream of one record batch, of this column alone, whatever its
 *             type; without validity and offsets.
 *
 * What a null row has is of no meaning. A column of UDFVM_TYPE_NULL has no buffers: every row is
 * null. ARROW is for types that have no other UDFVM_TYPE_x, and for lists and structs, which are
 * TEXT otherwise: JSON. A reply has ARROW columns only if its request sets UDFVM_REPLY_ARROW. */

struct udfvm_columns {
    uint64_t rows;
    uint32_t count;
    uint32_t flags; /* UDFVM_COLUMNS_x */
};

struct udfvm_column {
    uint32_t type; /* UDFVM_TYPE_x */
    uint32_t reserved;
    uint64_t validity, offsets, data; /* offsets of the buffers */
    uint64_t data_length;             /* bytes */
};

struct udfvm_fetch {
    uint64_t rows;  /* the reply has at most so many; at least 1 */
    uint64_t flags; /* UDFVM_REPLY_x */
};

struct udfvm_aggregate {
    uint64_t group;  /* the group that is asked for an answer */
    uint32_t answer; /* UDFVM_ANSWER_x */
    uint32_t flags;  /* UDFVM_REPLY_x */
};

/* ---- Compiled code ---- */

struct udfvm_slot {       /* a parameter, or the result */
    uint32_t storage;     /* UDFVM_STORAGE_x */
    uint32_t nullable;    /* 0 or 1 */
    uint32_t type_length; /* bytes of the type's name, where the storage does not tell it; else 0 */
    char name[UDFVM_MAX_SLOT_NAME]; /* NUL-terminated */
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

/* Followed by the result's slot, `count` of parameters, and the names of types, dates and times too
 * where the code tells them from integers. */
struct udfvm_description {
    uint32_t count;
    uint32_t flags; /* UDFVM_DESCRIPTION_x */
};

/* Followed by three texts, UTF-8, without gaps: a name; a signature, as parse_signature() of the
 * host takes it, or an import's type; a note. */
struct udfvm_listed {
    uint32_t kind; /* UDFVM_LISTED_x */
    uint32_t name_length, type_length, note_length;
};

#define UDFVM_LISTED_FUNCTION 1 /* the note is its kind */
#define UDFVM_LISTED_UNTYPED  2 /* the same: the code does not say its types */
#define UDFVM_LISTED_UNUSABLE 3 /* the note says why */
#define UDFVM_LISTED_IMPORT   4 /* the note says who provides it; empty: nobody */

/* Reply with UDFVM_STATUS_ERROR: followed by type, message, traceback, UTF-8, in that order. Where
 * `signal` is not 0, the program died of it, and the address that it touched and that of the
 * instruction, two uint64_t, follow. Where `argument` is not 0, the function was not called,
 * because that argument, counted from 1, cannot be what its parameter is declared; the message
 * continues a sentence whose subject is the argument. */
struct udfvm_guest_error {
    uint32_t type_length, message_length, traceback_length;
    uint16_t signal, argument;
    int64_t row; /* index in the batch, -1 where not known, or UDFVM_ROW_OF_SAMPLE */
};

#endif /* __ASSEMBLER__ */

#endif
