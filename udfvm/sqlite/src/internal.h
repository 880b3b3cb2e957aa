/* The extension's parts. See extension.h for what it is.
 *
 * A process may hold several copies of SQLite (apsw's own, and the system's below Python's
 * sqlite3), each with its own table of routines and its own object layouts. So there is no global
 * `sqlite3_api`: each object carries the table of its library, and the macros of sqlite3ext.h find
 * it in a local variable of that name.
 *
 * Locking: what belongs to a connection (registry, functions, sessions) is touched only inside
 * SQLite's calls for that connection, which SQLite serialises. Only the table of registries is
 * shared, and has a mutex.
 */
#ifndef UDFVM_SQLITE_INTERNAL_H
#define UDFVM_SQLITE_INTERNAL_H

#include <sqlite3ext.h>
#include <stdbool.h>

#include "entry/extension.h"
#include "udfvm_abi.h"

typedef const sqlite3_api_routines sqlite_library;

struct session;
struct batch;

enum { LANGUAGES = 3 }; /* of enum udfvm_sqlite_language */

/* What loads stored functions of a language, and runs them. */
struct runtime {
    udfvm_pool *pool; /* references; NULL: none yet */
    udfvm_image *base;
    uint32_t pool_limit;
    struct lease *lease; /* a reference; NULL where the extension opened the image itself */
};

/* A base image that the extension opened itself. */
struct base {
    struct base *next;
    char *path;
    udfvm_image *image;
    udfvm_pool *pool;
};

/* The functions of one connection. Lives until vm_udf is dropped from it and no function refers to
 * it. */
struct registry {
    sqlite_library *library;
    sqlite3 *connection;
    unsigned references;
    struct function *functions; /* list; one reference each */
    struct function *stored;    /* list of functions loaded from the database; one reference each */
    struct session *sessions;   /* every session of the connection */
    uint32_t width;             /* of vm_map and vm_table, in columns for results */
    struct udfvm_sqlite_policy policy;
    struct runtime runtimes[LANGUAGES];
    struct base *bases;
    struct lease *embedder; /* a reference: the last offer's, to make exceptions of the program's;
                               NULL: there was none */
    bool embedded;          /* a program made an offer: it decides, not SQL */
    bool interrupted;       /* a stored function was being loaded then: see resolve_code() */
    uint64_t load_end_ns;   /* of the statement that loads one; UINT64_MAX: none */
    bool raised;            /* an exception of the program's may be pending: see raise.c */
    struct registry *next;  /* table of registries; guarded by its mutex */
};

/* What an offer lent: shared by its functions. */
struct lease {
    unsigned references;
    void (*release)(uint64_t owner);
    uint64_t owner;
    struct udfvm_sqlite_interrupt interrupt;
    int (*renew)(uint64_t owner, const char *name,
                 struct udfvm_sqlite_renewal *renewal); /* NULL: none changes */
    struct udfvm_sqlite_failures failures;
};

struct parameter {
    char *name;
    uint32_t type;
    bool nullable, single;
    sqlite3_value *fallback; /* its default; NULL: it has none, or one behind it has none */
};

/* A result column of a table function. */
struct result_column {
    char *name;
    uint32_t type;
};

struct function {
    unsigned references;
    struct registry *registry; /* a reference */
    struct lease *lease;       /* a reference; NULL where no offer lent it */
    struct function *next;
    char *definition; /* stored function: everything that it was made of; else NULL */
    size_t definition_length;
    char *name;
    size_t name_length;
    udfvm_pool *pool; /* references */
    udfvm_image *image;
    uint32_t result_type;
    uint32_t isolation;
    uint32_t flags;
    struct udfvm_limits limits;
    uint64_t wait_ns;
    uint32_t pool_limit;
    uint32_t role;         /* enum udfvm_sqlite_role */
    uint32_t language;     /* enum udfvm_sqlite_language */
    bool attached;         /* vm_attach gave it a function or table of its own */
    uint32_t column_count; /* table functions */
    struct result_column *columns;
    uint32_t parameter_count;
    struct parameter parameters[];
};

/* One function at work in one execution of a statement. */
struct session {
    struct function *function; /* a reference */
    udfvm_pool *pool; /* references to what ran the function when the statement came to it; NULL: it
                         did not yet */
    udfvm_image *image;
    udfvm_vm *vm; /* NULL until a row needs it: rows that NULL decides do not */
    int64_t row;  /* index of the row at hand among those of this session; -1: none, or not known */
    uint64_t end_ns; /* of the statement, by its timeout; UINT64_MAX: none */
    enum watch_result {
        WATCH_NOTHING,
        WATCH_INTERRUPT,
        WATCH_STATEMENT_TIMEOUT
    } watched;           /* why the watch ended the call at hand */
    sqlite3_stmt *pulse; /* see watch.c; finalised with each call */
    uint64_t groups;     /* aggregates: groups begun */
    struct batch *batch; /* aggregates: rows that wait; NULL until there are */
    int64_t *batch_rows; /* aggregates: which rows of the statement's those are; -1: a row that goes
                            out of a window */
    int64_t rows_seen;   /* aggregates: rows that came in, those left out for a NULL too */
    bool failed;         /* nothing more is asked of the guest */
    struct session *next; /* of this statement */
    struct session *next_of_registry, **link_of_registry;
};

/* Everything at work in one execution of a statement; SQLite keeps it as the statement's auxiliary
 * data. */
struct statement {
    sqlite_library *library;
    struct session *sessions;
    uint64_t end_ns; /* 0: not set yet */
};

/* registry.c */
struct registry *registry_of(sqlite_library *library,
                             sqlite3 *connection); /* borrowed; NULL: none */
struct registry *registry_create(sqlite_library *library,
                                 sqlite3 *connection); /* one reference; NULL: out of memory */
void registry_forget(struct registry *registry);       /* the connection drops it: the end of its
                                                          functions and a reference */
void registry_release(struct registry *registry);
struct function *registry_find(const struct registry *registry, const char *name, size_t length);
void registry_put(struct registry *registry,
                  struct function *function); /* takes the reference; replaces a namesake */
void registry_remove(struct registry *registry, const char *name, size_t length);

/* NULL: out of memory. `lease` may be NULL. */
struct function *function_create(struct registry *registry, struct lease *lease,
                                 const struct udfvm_sqlite_function *offered);
bool same_name(const char *a, const char *b,
               size_t length); /* as SQL compares names of functions */
void function_release(struct function *function);
/* Asks whoever offered the function what runs it now. false: it cannot be built. */
bool function_renew(struct function *function, struct udfvm_error *error);
void runtime_clear(struct runtime *runtime); /* gives its references back */
void lease_release(struct lease *lease);

/* session.c */
struct statement *statement_of(sqlite_library *library, sqlite3_context *context,
                               struct statement *fallback);
void statement_clear(struct statement *statement);
struct session *statement_find(const struct statement *statement, const struct function *function);
struct session *statement_find_name(const struct statement *statement, const char *name,
                                    size_t length);
void statement_begin(
    struct statement *statement,
    const struct registry *registry); /* its time runs from here on, if it did not yet */
struct session *session_create(struct statement *statement,
                               struct function *function); /* NULL: out of memory */
/* Takes a VM, where the session has none, with windows for a request of so many bytes, as far as
 * the function's memory allows that; where the rows of its batches depend on each other, one with
 * larger windows takes the place of one that the session has. False: there is none, or it is of the
 * parent process; nothing may be written to its window. */
/* Waits for a VM of the session's pool, as long as its function does, and no longer than its
 * statement may. */
udfvm_vm *session_take_vm(struct session *session, uint64_t length, struct udfvm_error *error);
bool session_ready(struct session *session, uint64_t length, struct udfvm_error *error);
bool connection_interrupted(sqlite_library *library, sqlite3 *connection);

/* watch.c */
uint64_t monotonic_ns(void);
int watch(void *session);                /* of udfvm_vm_set_watch */
void watch_end(struct session *session); /* after each call */
void watch_before_fork(void);
void watch_in_parent(void);
void watch_in_child(void);

/* signature.c */
enum { PARAMETERS_MAX = 127, NAME_MAX_BYTES = 255 };
struct signature {
    uint32_t count, result_type;
    bool result_json;
    struct udfvm_sqlite_parameter parameters[PARAMETERS_MAX];
    bool json[PARAMETERS_MAX];
    char names[PARAMETERS_MAX][64];
};
/* Parses `(double, name text?) -> double`. Returns NULL, or what is wrong (valid until the next
 * call of this thread). */
const char *signature_parse(const char *text, size_t length, struct signature *signature);
const char *type_text(uint32_t type, bool json); /* as a signature has it */
bool name_valid(const char *name,
                size_t length); /* [A-Za-z_][A-Za-z0-9_]*, not vm_*, at most NAME_MAX_BYTES */

/* sealed.c: functions that a command of udfvm sealed into the image cache, and its prepared
 * runtimes */
/* What a note says of a function, in the form of an offer; without its images. `offered` points
 * into the rest. */
struct sealed {
    struct udfvm_sqlite_function offered;
    struct signature signature, column_names;
    struct udfvm_sqlite_column columns[PARAMETERS_MAX];
    uint8_t defaults[4096];
};
bool sealed_read(const char *note, const char *name,
                 struct sealed *sealed); /* false: it says none of this version */
/* The value of a key of a note, in `value`; false: it is not there, or too long. */
bool note_value(const char *note, const char *key, char *value, size_t size);
/* Base images that the connection has open, by keys. base_add takes the image over; NULL with
 * *message. */
struct base *base_find(const struct registry *registry, const char *key);
struct base *base_add(struct registry *registry, const char *key, udfvm_image *image,
                      char **message);
/* A directory of the image cache, as udfvm/images/cache_files.py has it; release with sqlite3_free.
 * NULL where there is no home, or no memory. */
char *cache_path(sqlite_library *library, const char *folder);
/* The sealed function of that name, put into the registry; NULL with *message NULL: there is none.
 * *message is sqlite3_malloc'd. */
struct function *sealed_find(struct registry *registry, const char *name, size_t length,
                             char **message);
/* The same, a reference, which the registry does not know. */
struct function *sealed_load(struct registry *registry, const char *name, size_t length,
                             char **message);
/* sealed_file.c: the same of a function that is a file of its own; NULL with *message, or out of
 * memory. */
struct function *sealed_open(struct registry *registry, const char *path, char **message);
/* What loads functions of a language (its index): from an offer, or prepared in the image cache.
 * NULL with *message. */
struct runtime *runtime_of(struct registry *registry, unsigned language, char **message);
void bases_free(struct registry *registry);

/* load.c */
struct definition {
    const char *caller; /* the SQL function that it is made by, for errors; NULL: a call wants it */
    const char *name, *language, *signature, *options;
    const void *source;
    size_t name_length, source_length;
    bool source_is_text;
};
struct options {
    bool deterministic;
    uint32_t isolation;
    uint64_t row_timeout_ns; /* 0: not given */
    char entry[64];          /* empty: the function's name */
};
const char *language_name(unsigned language); /* by index; NULL past the last */
unsigned language_of(const char *name);       /* its index; LANGUAGES where there is none */
/* Compiles and loads a function in a micro-VM. NULL with *message. */
struct function *load_function(struct registry *registry, const struct definition *definition,
                               char **message);

/* load_request.c: payloads of LOAD requests, sqlite3_malloc'd. NULL: out of memory, or *message. */
enum { COMPILED_PARAMETERS = 32 };
typedef uint8_t *load_request(sqlite_library *, const struct definition *, const struct signature *,
                              const struct options *, size_t *length, char **message);
load_request python_request, compiled_request;

/* stored.c */
struct function *stored_find(struct registry *registry, const char *name, size_t length,
                             char **message);
bool stored_table(struct registry *registry,
                  int *code); /* the database has the table of functions */
char *definition_hash(sqlite_library *library, const char *language, const char *signature,
                      const char *options, const void *source,
                      size_t length); /* sqlite3_malloc'd hexadecimal; NULL: out of memory */
void sql_create(sqlite_library *library, sqlite3_context *context, int count,
                sqlite3_value **arguments);
void sql_release(sqlite_library *library, sqlite3_context *context, int count,
                 sqlite3_value **arguments);
void sql_drop(sqlite_library *library, sqlite3_context *context, int count,
              sqlite3_value **arguments);

/* log.c */
extern const struct udfvm_log_sink log_standard_error; /* where no program says otherwise */

/* policy.c */
void policy_default(struct udfvm_sqlite_policy *policy);
void sql_policy(sqlite_library *library, sqlite3_context *context, int count,
                sqlite3_value **arguments);

/* functions_table.c */
extern const sqlite3_module functions_module; /* vm_functions; its client data is the registry */

/* row.c */
#define JSON_SUBTYPE \
    74u /* of text that SQLite's JSON functions made: they take it as JSON, not as a string */
enum row_check { ROW_CALL, ROW_NULL, ROW_BAD };
enum row_check row_check(const struct session *session, sqlite3_value **arguments,
                         char **wrong); /* ROW_BAD: *wrong says why */
bool row_encode(const struct session *session, sqlite3_context *context, sqlite3_value **arguments,
                uint64_t *length);
void row_decode(const struct session *session, sqlite3_context *context,
                const struct udfvm_reply *reply);
bool utf8_valid(const uint8_t *text, size_t length);
/* Whether a double is exactly the integer. */
bool exact_real(const struct parameter *parameter, int64_t integer);
size_t utf8_sequence(
    const uint8_t *text,
    size_t length); /* bytes of the well-formed character at `text`, 0 where there is none */

/* defaults.c */
/* A default of that encoding (struct udfvm_value and its bytes), to be freed with
 * sqlite3_value_free; NULL: out of memory, or no such encoding. */
sqlite3_value *default_create(sqlite_library *library, sqlite3 *connection, const void *encoded,
                              size_t length);
uint32_t required_count(const struct function *function); /* arguments that a call has at least */
bool takes_count(const struct function *function, int count);
/* All arguments of a call with so many, which the function takes. */
sqlite3_value **with_defaults(const struct function *function, int count, sqlite3_value **given,
                              sqlite3_value *room[PARAMETERS_MAX]);

/* report.c: texts are sqlite3_malloc'd; NULL is out of memory. */
void fail_with(sqlite_library *library, sqlite3_context *context, char *text); /* frees the text */
char *shown(sqlite_library *library, char *text); /* what there is to see of it, which may have come
                                                     from a stranger's file; frees the text */
/* Of a failure of that cause (enum udfvm_sqlite_cause). */
char *describe(const struct session *session, uint32_t cause, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
char *describe_bad_reply(const struct session *session, const char *why);
/* The same about an argument, by its index. */
char *describe_argument(const struct session *session, uint32_t index, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* session->row is the row. */
char *describe_guest_error(const struct session *session, const struct udfvm_reply *reply);
/* Why the core's failure ends the call: SQLITE_INTERRUPT, for which SQLite has the text and *text
 * is NULL, or another code, with *text. */
int explain_core_error(const struct session *session, const struct udfvm_error *error, char **text);
/* That there is no such function, and why: `message`, which it frees, and which becomes the end of
 * the text. */
char *describe_definition(struct registry *registry, const struct definition *definition,
                          char *message, struct udfvm_sqlite_failure failure);
/* Notes the failure to find a function that runs, whose text it is; returns the text. */
char *failing_function(struct registry *registry, const char *name, uint32_t cause, char *text);
char *describe_count(const struct function *function, int found);
char *describe_role(const struct function *function, const char *caller);
void report_guest_error(const struct session *session, sqlite3_context *context,
                        const struct udfvm_reply *reply);
/* What the guest reported, as text, sqlite3_malloc'd. NULL: out of memory. */
char *guest_error_text(sqlite_library *library, const struct udfvm_reply *reply);
char *describe_statement_timeout(const struct session *session);
char *timeout_text(const struct registry *registry); /* the same without function and row */
void report_core_error(const struct session *session, sqlite3_context *context,
                       const struct udfvm_error *error);

/* unknown.c: names that nothing has */
enum { KNOWN_REGISTERED = 1, KNOWN_STORED = 2, KNOWN_SEALED = 4 };
/* Says what there is in those places, and which of it was likely meant. Registered functions are of
 * those roles. */
void append_known(sqlite3_str *text, struct registry *registry, const char *wanted, unsigned places,
                  unsigned roles);
char *describe_unknown(struct registry *registry, const char *caller, const char *name,
                       unsigned roles);

/* raise.c: exceptions of the program that embeds SQLite, where it said how to make them */
void raise_interrupt(const struct session *session, const struct udfvm_error *error);
/* A failure has become an SQL error of that text. A first one keeps what it made. */
void raise_failure(struct registry *registry, const struct udfvm_sqlite_failure *failure);
bool exception_pending(const struct session *session); /* nothing of the program may run before it
                                                          has seen its exception */

/* A set of roles. */
#define ROLE(role) (1u << (role))

/* extension.c: the function's own SQL function or table, by the index of its library. Returns an
 * SQLite code. */
int define_own(struct function *function, int index);

/* attach.c */
/* Whether SQL has a function or a table-valued one of that name. Returns an SQLite code. */
int name_is_taken(struct registry *registry, const char *name, bool *taken);
void sql_attach(sqlite_library *library, sqlite3_context *context, int count,
                sqlite3_value **arguments);

/* call.c */
/* The function that SQL means by a name: the connection's own, one sealed by a command, one stored
 * in the database; of one of the roles. NULL with *wrong. */
struct function *resolve(struct registry *registry, struct statement *statement, const char *caller,
                         const char *name, size_t length, unsigned roles, char **wrong);
/* Why it found none: SQLITE_ERROR, or SQLITE_INTERRUPT, for which SQLite has the text, and frees
 * that of ours. */
int resolve_code(struct registry *registry, char **wrong);
void fail_to_resolve(struct registry *registry, sqlite3_context *context, char *wrong);
void call_by_name(sqlite_library *library, sqlite3_context *context, int count,
                  sqlite3_value **arguments); /* vm_udf */
void call_own(sqlite_library *library, sqlite3_context *context, int count,
              sqlite3_value **arguments);

/* aggregate.c */
void aggregate_step(sqlite_library *library, sqlite3_context *context, int count,
                    sqlite3_value **arguments, bool by_name, bool inverse);
void aggregate_value(sqlite_library *library, sqlite3_context *context, bool by_name, bool final);
void session_drop_rows(struct session *session);

/* map.c, table.c: modules of virtual tables */
int map_define(struct registry *registry);
int table_define(struct registry *registry);
int table_define_own(struct function *function);
uint32_t widest_table(const struct registry *registry);

#endif
