/* What the program that embeds SQLite tells the extension: which UDFs a connection gets.
 *
 * The embedder offers a list of UDFs on a thread, and loads the extension into a connection on the
 * same thread: the extension's entry point takes the offer and defines the functions. So no SQL
 * text, whoever wrote it, can name, guess or change what is offered.
 */
#ifndef UDFVM_SQLITE_EXTENSION_H
#define UDFVM_SQLITE_EXTENSION_H

#include <stddef.h>
#include <stdint.h>

#include "api.h"

#define UDFVM_SQLITE_EXPORT __attribute__((visibility("default")))

enum udfvm_sqlite_isolation {
    UDFVM_SQLITE_STATEMENT =
        1, /* one call for each execution of a statement: its rows share guest state */
    UDFVM_SQLITE_ROW = 2, /* one call for each row */
};

enum udfvm_sqlite_form {
    UDFVM_SQLITE_SCALAR = 0,     /* answers ROW and COLUMNS */
    UDFVM_SQLITE_VECTORIZED = 1, /* answers COLUMNS */
    UDFVM_SQLITE_TABLE = 2,      /* answers TABLE and FETCH */
    UDFVM_SQLITE_AGGREGATE = 3,  /* answers AGGREGATE */
};

enum udfvm_sqlite_flag {
    UDFVM_SQLITE_DETERMINISTIC = 1, /* SQLITE_DETERMINISTIC: same arguments, same result, always */
    UDFVM_SQLITE_IN_SCHEMA =
        2, /* usable in views, triggers, indexes: without it, SQLITE_DIRECTONLY */
    UDFVM_SQLITE_JSON_RESULT =
        4,                    /* the TEXT of the result is JSON: it gets SQLite's JSON subtype */
    UDFVM_SQLITE_INVERSE = 8, /* an aggregate that takes rows out again: for moving windows */
    UDFVM_SQLITE_WHOLE =
        16, /* its rows depend on each other: all rows of a query of vm_map are one batch */
};

/* What functions are written in. Bits of udfvm_sqlite_policy.languages. */
enum udfvm_sqlite_language {
    UDFVM_SQLITE_PYTHON = 1,
    UDFVM_SQLITE_WASM = 2,
    UDFVM_SQLITE_NATIVE = 4,
};

struct udfvm_sqlite_parameter {
    const char *name;  /* UTF-8 */
    uint32_t type;     /* UDFVM_TYPE_x, not UDFVM_TYPE_NULL */
    uint32_t nullable; /* 0: an SQL NULL makes the result NULL without a call */
    const void
        *fallback; /* its default: struct udfvm_value, and its bytes behind it; NULL: it has none */
    uint64_t fallback_length;
    uint64_t
        single; /* a FLOAT64 that is to be a float of 32 bits: an INTEGER has to be one exactly */
};

struct udfvm_sqlite_column {
    const char *name; /* UTF-8 */
    uint32_t type;    /* UDFVM_TYPE_x, not UDFVM_TYPE_NULL; any value may be NULL */
};

struct udfvm_sqlite_function {
    const char *name; /* UTF-8, at most 255 bytes, not beginning with "vm_" */
    udfvm_pool
        *pool; /* VMs of the base of `image`; the extension keeps references of its own to both */
    udfvm_image *image;
    const struct udfvm_sqlite_parameter *parameters;
    uint32_t parameter_count;
    uint32_t result_type;       /* UDFVM_TYPE_x, not UDFVM_TYPE_NULL; any result may be NULL */
    uint32_t isolation;         /* enum udfvm_sqlite_isolation */
    uint32_t flags;             /* enum udfvm_sqlite_flag */
    struct udfvm_limits limits; /* of one row */
    uint64_t wait_ns;           /* to wait for a VM of the pool, at most */
    uint32_t pool_limit;        /* VMs that the pool can have at once; 0: not known */
    uint32_t form;              /* enum udfvm_sqlite_form */
    const struct udfvm_sqlite_column *columns; /* of a table function */
    uint32_t column_count;                     /* at most 100 */
    uint32_t language;                         /* enum udfvm_sqlite_language */
};

/* What loads stored functions of one language: a base image and its pool. The extension keeps
 * references of its own to both. */
struct udfvm_sqlite_runtime {
    uint32_t language;   /* enum udfvm_sqlite_language */
    uint32_t pool_limit; /* VMs that the pool can have at once; 0: not known */
    udfvm_pool *pool;
    udfvm_image *base;
};

/* What SQL may do on a connection. */
struct udfvm_sqlite_policy {
    uint32_t languages;    /* of stored functions that may run */
    uint32_t allow_create; /* 1: vm_create and vm_drop work */
    uint64_t max_source;   /* bytes of a stored function */
    struct udfvm_limits
        limits; /* of one row of a stored function, at most; limits.files: when it is loaded too */
    uint64_t load_timeout_ns;      /* to compile and load a stored function */
    uint64_t statement_timeout_ns; /* of a statement, from its first row in a VM; 0: none. Holds for
                                      every function. */
    uint32_t idle_spin_us;         /* see udfvm_vm_set_idle_spin. Holds for every function. */
};

/* How an interrupted call (UDFVM_E_INTERRUPTED) becomes the embedder's own exception, besides
 * SQLITE_INTERRUPT: on the calling thread state = enter(); raise(exception); leave(state). For
 * CPython: PyGILState_Ensure, PyErr_SetNone, PyGILState_Release and the class KeyboardInterrupt; a
 * pending exception takes precedence over an SQLite error there. All NULL where there is nothing to
 * do. */
struct udfvm_sqlite_interrupt {
    int (*enter)(void);
    void (*raise)(void *exception);
    void (*leave)(int state);
    void *exception;
};

/* What runs a function from now on. */
struct udfvm_sqlite_renewal {
    udfvm_pool *pool; /* the extension takes references of its own to both */
    udfvm_image *image;
    uint32_t pool_limit;
    char message[480]; /* why there is none */
};

/* What a failure is, where neither the guest nor the core reports it. */
enum udfvm_sqlite_cause {
    UDFVM_SQLITE_REPORTED = 0, /* as `report` or `error` say */
    UDFVM_SQLITE_TIMEOUT = 1,  /* the statement's, which no call has passed */
    UDFVM_SQLITE_TYPE = 2, /* an argument is not of the declared type, or their number is another */
    UDFVM_SQLITE_PROTOCOL = 3,  /* a reply that an honest guest cannot make */
    UDFVM_SQLITE_INPUT = 4,     /* the arguments do not fit the input window */
    UDFVM_SQLITE_BUILD = 5,     /* a stored function cannot be loaded */
    UDFVM_SQLITE_SIGNATURE = 6, /* a function is not declared in a way that it can be used in */
    UDFVM_SQLITE_UNKNOWN = 7,   /* there is no function of that name */
    UDFVM_SQLITE_OTHER = 8,
};

/* A call that failed, or a function that there is none of. */
struct udfvm_sqlite_failure {
    const char *function; /* its name */
    const char *text;     /* of the SQL error; NULL: the program itself interrupted the call */
    const char *detail;   /* the end of `text`, behind function and row */
    int64_t row;          /* -1: not known */
    const void *report;   /* struct udfvm_guest_error, as the guest wrote it, else NULL */
    uint64_t report_length;
    const struct udfvm_error *error; /* the core's report, else NULL */
    uint32_t cause;                  /* enum udfvm_sqlite_cause */
    uint32_t position; /* UDFVM_SQLITE_TYPE: of the argument, from 1 on; 0: it is not about one */
    const char *argument; /* its name; NULL where `position` is 0 */
};

struct udfvm_sqlite_exception {
    void *type, *value; /* a reference each, for `restore` */
};

/* How other failures become the embedder's own exceptions. `failed` fills in one, or returns 0
 * where an SQL error is all; between enter() and leave() of the interrupt, restore(type, value,
 * NULL) makes it pending. Nothing is made while pending() is not NULL. For CPython: PyErr_Occurred
 * and PyErr_Restore. `failed` NULL: there is nothing to do. */
struct udfvm_sqlite_failures {
    int (*failed)(const struct udfvm_sqlite_failure *failure,
                  struct udfvm_sqlite_exception *exception);
    void *(*pending)(void);
    void (*restore)(void *type, void *value, void *traceback);
};

/* Why the extension refused an offer, beside the text of the error. */
enum udfvm_sqlite_refusal_reason {
    UDFVM_SQLITE_NOT_REFUSED = 0,
    UDFVM_SQLITE_NAME_TAKEN = 1,   /* of a function, without `replace` */
    UDFVM_SQLITE_NAME_UNKNOWN = 2, /* to be removed */
};

struct udfvm_sqlite_refusal {
    uint32_t reason; /* enum udfvm_sqlite_refusal_reason */
    size_t index;    /* of the function, or of the removed name */
};

struct udfvm_sqlite_offer {
    size_t size; /* sizeof (struct udfvm_sqlite_offer) and of one function: guards against a header
                    mismatch */
    size_t function_size;
    const struct udfvm_sqlite_function *functions;
    size_t count;
    uint32_t replace;           /* 0: names of `functions` that SQL has already are refused */
    const char *const *removed; /* names of functions that the connection is to forget */
    size_t removed_count;
    struct udfvm_sqlite_refusal *refusal; /* filled in where the offer is refused */
    /* Called once, with `owner`, when no function of the offer is defined or running any more, on
     * the thread that dropped the last one. */
    void (*release)(uint64_t owner);
    uint64_t owner;
    struct udfvm_sqlite_interrupt interrupt;
    struct udfvm_sqlite_failures failures;
    const struct udfvm_sqlite_policy *
        policy; /* NULL: leaves that of the connection, which at first allows no stored functions */
    const struct udfvm_sqlite_runtime *runtimes;
    size_t runtime_count;
    /* Asked, with `owner`, before the first row of each of its functions in a statement. 0: it runs
     * as before; 1: as `renewal` says; -1: it cannot be built. NULL: functions never change. */
    int (*renew)(uint64_t owner, const char *name, struct udfvm_sqlite_renewal *renewal);
};

/* Makes `offer` this thread's offer; it must stay valid until it was taken or withdrawn. NULL
 * withdraws. Returns 1 where an earlier offer had not been taken, else 0. */
UDFVM_SQLITE_EXPORT int udfvm_sqlite_set_offer(const struct udfvm_sqlite_offer *offer);

#endif
