/* The interface between the extension and the program that embeds SQLite (the embedder): which UDFs
 * a connection gets.
 *
 * The embedder offers a list of UDFs on a thread, and loads the extension into a connection on the
 * same thread. The extension's entry point takes the offer and defines the functions. So no SQL
 * text, whoever wrote it, can name, guess or change what is offered.
 */
#ifndef UDFVM_SQLITE_EXTENSION_H
#define UDFVM_SQLITE_EXTENSION_H

#include <stddef.h>
#include <stdint.h>

#include "api.h"

#define UDFVM_SQLITE_EXPORT __attribute__((visibility("default")))

/* What one call of a function is. */
enum udfvm_sqlite_isolation {
    /* An execution of a statement, whose rows share guest state. */
    UDFVM_SQLITE_STATEMENT = 1,
    /* A row. */
    UDFVM_SQLITE_ROW = 2,
};

/* The requests that a function answers. */
enum udfvm_sqlite_form {
    UDFVM_SQLITE_SCALAR = 0,     /* answers ROW and COLUMNS */
    UDFVM_SQLITE_VECTORIZED = 1, /* answers COLUMNS */
    UDFVM_SQLITE_TABLE = 2,      /* answers TABLE and FETCH */
    UDFVM_SQLITE_AGGREGATE = 3,  /* answers AGGREGATE */
};

/* Properties of a function. */
enum udfvm_sqlite_flag {
    /* Same arguments, same result: the function is SQLITE_DETERMINISTIC. */
    UDFVM_SQLITE_DETERMINISTIC = 1,
    /* Views, triggers and indexes can use it. Without this flag it is SQLITE_DIRECTONLY. */
    UDFVM_SQLITE_IN_SCHEMA = 2,
    /* The TEXT of the result is JSON: it gets SQLite's JSON subtype. */
    UDFVM_SQLITE_JSON_RESULT = 4,
    /* An aggregate that can take rows out again, as moving windows need it. */
    UDFVM_SQLITE_INVERSE = 8,
    /* The rows depend on each other: all rows of a query of vm_map are one batch. */
    UDFVM_SQLITE_WHOLE = 16,
    /* A scalar or vectorised function whose last parameter takes any number of arguments. Its
     * `image` takes one of them. `renew` has those for other numbers. */
    UDFVM_SQLITE_VARIADIC = 32,
};

/* The languages of functions. They are bits of udfvm_sqlite_policy.languages. */
enum udfvm_sqlite_language {
    UDFVM_SQLITE_PYTHON = 1,
    UDFVM_SQLITE_WASM = 2,
    UDFVM_SQLITE_NATIVE = 4,
};

/* How dates and times are in SQL, where that is not how functions have them. */
enum udfvm_sqlite_times_form {
    UDFVM_SQLITE_AS_DECLARED, /* also of all other types */
    UDFVM_SQLITE_DATE_TEXT,   /* TEXT YYYY-MM-DD for an INT64 since 1970 */
    UDFVM_SQLITE_MOMENT_TEXT, /* TEXT YYYY-MM-DD HH:MM:SS.F for an INT64 since 1970 */
    UDFVM_SQLITE_TIME_COUNT   /* INTEGER since midnight for a TEXT HH:MM:SS.F */
};
struct udfvm_sqlite_times {
    uint32_t form;  /* enum udfvm_sqlite_times_form */
    uint32_t zoned; /* 1: moments have a time zone, and their texts an offset from UTC */
    uint64_t units; /* a day (DATE_TEXT) or a second has so many: 1, or a power of ten more */
};

/* What the values of a parameter stand for, which texts for users say. */
enum udfvm_sqlite_kind {
    UDFVM_SQLITE_OF_TYPE, /* what the type says */
    UDFVM_SQLITE_DATE,    /* an INT64: days since 1970 */
    UDFVM_SQLITE_MOMENT,  /* an INT64: a count of the type's unit since 1970 */
    UDFVM_SQLITE_DECIMAL, /* a TEXT with a decimal number */
    UDFVM_SQLITE_JSON,    /* a TEXT with JSON */
    UDFVM_SQLITE_TIME,    /* a TEXT with a time of day */
    UDFVM_SQLITE_DURATION /* an INT64: a count of the type's unit */
};

/* A parameter of a function. */
struct udfvm_sqlite_parameter {
    const char *name;     /* UTF-8 */
    uint32_t type;        /* UDFVM_TYPE_x, not UDFVM_TYPE_NULL */
    uint32_t nullable;    /* 0: an SQL NULL makes the result NULL without a call */
    const void *fallback; /* the default: struct udfvm_value and its bytes; NULL: none */
    uint64_t fallback_length;
    /* 1: a FLOAT64 that is declared as a float of 32 bits. It takes only those INTEGERs that such a
     * float represents exactly. */
    uint32_t single;
    uint32_t kind; /* enum udfvm_sqlite_kind */
    struct udfvm_sqlite_times times;
};

/* A column of a table function. */
struct udfvm_sqlite_column {
    const char *name; /* UTF-8 */
    uint32_t type;    /* UDFVM_TYPE_x, not UDFVM_TYPE_NULL; any value may be NULL */
    struct udfvm_sqlite_times times;
};

/* A function on offer. The extension keeps references of its own to `pool` and `image`. */
struct udfvm_sqlite_function {
    const char *name; /* UTF-8, at most 255 bytes, not beginning with "vm_" */
    udfvm_pool *pool; /* VMs of the base of `image` */
    udfvm_image *image;
    const struct udfvm_sqlite_parameter *parameters;
    uint32_t parameter_count;
    uint32_t result_type;       /* UDFVM_TYPE_x, not UDFVM_TYPE_NULL; any result may be NULL */
    uint32_t isolation;         /* enum udfvm_sqlite_isolation */
    uint32_t flags;             /* enum udfvm_sqlite_flag */
    struct udfvm_limits limits; /* of one row */
    uint64_t wait_ns;           /* the longest wait for a VM of the pool */
    uint32_t pool_limit;        /* VMs that the pool can have at once; 0: not known */
    uint32_t form;              /* enum udfvm_sqlite_form */
    const struct udfvm_sqlite_column *columns; /* of a table function */
    uint32_t column_count;                     /* at most 100 */
    uint32_t language;                         /* enum udfvm_sqlite_language */
    struct udfvm_sqlite_times result_times;
    uint64_t tenant; /* whom its pool serves, by any number; 0: nobody in particular */
};

/* A base image and its pool, for loading stored functions of one language. The extension keeps
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
    /* The highest limits of one row of a stored function; limits.files applies when it is loaded,
     * too. */
    struct udfvm_limits limits;
    uint64_t load_timeout_ns; /* to compile and load a stored function */
    /* These two apply to every function. */
    uint64_t statement_timeout_ns; /* of a statement, from its first row in a VM; 0: none */
    uint32_t idle_spin_us;         /* see udfvm_vm_set_idle_spin */
    uint64_t tenant;               /* functions of other tenants are refused; 0: none is */
};

/* How an interrupted call (UDFVM_E_INTERRUPTED) becomes the embedder's own exception, besides
 * SQLITE_INTERRUPT. The extension calls on the calling thread: state = enter(); raise(exception);
 * leave(state). For CPython these are PyGILState_Ensure, PyErr_SetNone, PyGILState_Release and the
 * class KeyboardInterrupt; a pending exception takes precedence over an SQLite error there. All are
 * NULL if there is nothing to do. */
struct udfvm_sqlite_interrupt {
    int (*enter)(void);
    void (*raise)(void *exception);
    void (*leave)(int state);
    void *exception;
};

/* The pool and image that run a function from now on. The extension takes references of its own to
 * both. */
struct udfvm_sqlite_renewal {
    udfvm_pool *pool; /* this and `image` are at first those that ran it so far; NULL: none */
    udfvm_image *image;
    uint32_t arguments; /* of a call, defaults included; only UDFVM_SQLITE_VARIADIC varies them */
    uint32_t pool_limit;
    char message[480]; /* if there is none: why */
};

/* The kind of a failure, if neither the guest nor the core reports it. */
enum udfvm_sqlite_cause {
    UDFVM_SQLITE_REPORTED = 0,  /* `report` or `error` has the kind */
    UDFVM_SQLITE_TIMEOUT = 1,   /* the statement's, between two calls */
    UDFVM_SQLITE_TYPE = 2,      /* an argument's type is wrong, or the number of arguments */
    UDFVM_SQLITE_PROTOCOL = 3,  /* a reply that an honest guest cannot make */
    UDFVM_SQLITE_INPUT = 4,     /* the arguments do not fit the input window */
    UDFVM_SQLITE_BUILD = 5,     /* a stored function cannot be loaded */
    UDFVM_SQLITE_SIGNATURE = 6, /* a function's declaration does not allow this use */
    UDFVM_SQLITE_UNKNOWN = 7,   /* there is no function of that name */
    UDFVM_SQLITE_OTHER = 8,
    UDFVM_SQLITE_OPTION = 9,  /* an option or setting does not exist, or has a wrong value */
    UDFVM_SQLITE_POLICY = 10, /* the connection's policy does not allow it */
};

/* A call that failed, or a function that does not exist. */
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

/* An exception of the embedder. */
struct udfvm_sqlite_exception {
    void *type, *value; /* a reference each, for `restore` */
};

/* How other failures become the embedder's own exceptions. `failed` fills in an exception, or
 * returns 0 if the SQL error is enough. restore(type, value, NULL) makes it pending, between
 * enter() and leave() of the interrupt. None is made while pending() is not NULL. For CPython:
 * PyErr_Occurred and PyErr_Restore. If `failed` is NULL, there is nothing to do. */
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
    UDFVM_SQLITE_OTHER_TENANT = 3, /* a function's pool serves another than the policy is for */
    UDFVM_SQLITE_NOT_FOR_SQL = 4,  /* a function that SQL cannot have, or not under that name */
};

/* The part of an offer that was refused. */
struct udfvm_sqlite_refusal {
    uint32_t reason; /* enum udfvm_sqlite_refusal_reason */
    size_t index;    /* of the function, or of the removed name */
};

/* What a connection gets: functions, and the policy for stored ones. */
struct udfvm_sqlite_offer {
    /* sizeof (struct udfvm_sqlite_offer) and sizeof (struct udfvm_sqlite_function): an embedder
     * built with another version of this header is refused. */
    size_t size, function_size;
    const struct udfvm_sqlite_function *functions;
    size_t count;
    uint32_t replace;           /* 0: names of `functions` that SQL has already are refused */
    const char *const *removed; /* names of functions to remove from the connection */
    size_t removed_count;
    struct udfvm_sqlite_refusal *refusal; /* filled in where the offer is refused */
    /* Called once, with `owner`, when no function of the offer is defined or running any more, on
     * the thread that dropped the last one. */
    void (*release)(uint64_t owner);
    uint64_t owner;
    struct udfvm_sqlite_interrupt interrupt;
    struct udfvm_sqlite_failures failures;
    /* NULL: the connection keeps its policy, which at first allows no stored functions. */
    const struct udfvm_sqlite_policy *policy;
    const struct udfvm_sqlite_runtime *runtimes;
    size_t runtime_count;
    /* Called, with `owner`, before the first row of each of its functions in a statement. Returns
     * 0: the function runs as before; 1: as `renewal` says; -1: its image cannot be built. NULL:
     * functions never change. */
    int (*renew)(uint64_t owner, const char *name, struct udfvm_sqlite_renewal *renewal);
};

/* Makes `offer` this thread's offer. It must stay valid until it was taken or withdrawn. NULL
 * withdraws. Returns 1 if an earlier offer had not been taken, else 0. */
UDFVM_SQLITE_EXPORT int udfvm_sqlite_set_offer(const struct udfvm_sqlite_offer *offer);

#endif
