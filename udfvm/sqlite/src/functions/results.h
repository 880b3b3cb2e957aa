/* What a function makes of a batch of rows of arguments: the rows of its replies, one after the
 * other. */
#ifndef UDFVM_SQLITE_RESULTS_H
#define UDFVM_SQLITE_RESULTS_H

#include "statement/exchange.h"
#include "wire/view.h"

struct function_results {
    struct session *session;
    uint32_t *types; /* of a reply's columns; those of a table function begin with the source */
    size_t count;
    struct column_view view; /* the reply at hand */
    uint64_t at;             /* row of it */
    uint64_t limit;          /* rows to fetch next, at most */
    uint64_t sources;        /* rows of arguments */
    int64_t first_row;       /* index of the first of them in the whole input */
};

int results_create(struct function_results *results,
                   struct session *session); /* SQLITE_OK or SQLITE_NOMEM */
void results_free(struct function_results *results);

/* Runs the function on the rows of a batch, which must stay as it is no longer than the call.
 * SQLITE_OK, or as session_exchange(). */
int results_begin(struct function_results *results, const struct batch *batch, int64_t first_row,
                  char **error);
/* Before the row at hand is read: in a forked child the reply is not there. SQLITE_OK, or as
 * session_exchange(). */
int results_ready(const struct function_results *results, char **error);
/* On to the next row; results_done() tells whether there is one. */
int results_next(struct function_results *results, char **error);
bool results_done(const struct function_results *results);

/* Which row of arguments the row at hand is of. */
uint64_t results_source(const struct function_results *results);
/* A column of the function's own of the row at hand, from 0 on. NULL, or what is wrong with it. */
const char *results_value(const struct function_results *results, size_t column,
                          sqlite3_context *context);
size_t results_width(const struct function_results *results);

#endif
