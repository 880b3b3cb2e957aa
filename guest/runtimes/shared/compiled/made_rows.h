/* Rows that table functions make, one row of arguments after the other: copies of the arguments,
 * the rows that wait to be taken, and how far the function has run. */
#ifndef UDFVM_COMPILED_MADE_ROWS_H
#define UDFVM_COMPILED_MADE_ROWS_H

#include "shared/compiled/builder.h"
#include "shared/compiled/program.h"

struct made_argument { /* of all rows: functions outlive the requests that they are called in */
    struct builder builder;
    struct column column;
    bool nullable; /* the function is called for a null */
};

struct made_rows {
    /* Calls the function for a row of the arguments. Returns false with a failure. */
    bool (*call)(void *context, const struct column *columns, int64_t row);
    void *context;
    size_t count; /* of the parameters */
    struct made_argument arguments[MAX_PARAMETERS];
    int64_t sources, source; /* rows of arguments; the one that the function runs for */
    struct builder made;     /* the rows, and in `index` the source of each */
    struct builder index;    /* a row that failed has none */
    struct column value;     /* those of `made` */
    bool is_variable;        /* rows have no fixed size */
    int64_t taken, limit;    /* rows that the host has; rows that it asked for */
    bool yielded;            /* the function has answered a request */
    bool continues;          /* more rows may join those that wait */
    bool left;               /* another request came: the function is to be left */
    bool failed;             /* the failure follows the rows */
    struct type leaf;        /* of a row that is no struct */
};

/* Prepares the rows of a signature; or, in parts, the arguments, one parameter after the other, and
 * the rows of a type. */
void made_rows_prepare(struct made_rows *rows, const struct signature *signature);
void made_rows_prepare_argument(struct made_rows *rows, const struct type *type, bool nullable);
void made_rows_prepare_result(struct made_rows *rows, const struct type *type);
/* The operations of a table function, on struct made_rows. `rows` fails with the failure that is
 * set. */
extern const struct table_function made_rows_operations;

/* ---- For the function that makes them ---- */

/* Tells that a row was appended to `made`. Where there are as many as the host asked for, this
 * answers its request, and returns when it asks for more. Returns false if it asks for something
 * else; the function is then to be left. */
bool made_rows_add(struct made_rows *rows);
/* Tells that a row was appended, in a function that cannot wait for the host. */
void made_rows_gather(struct made_rows *rows);

#endif
