/* Results of a function for a batch of rows of arguments: the rows of its replies, one after the
 * other. */
#ifndef UDFVM_SQLITE_RESULTS_H
#define UDFVM_SQLITE_RESULTS_H

#include "statement/exchange.h"
#include "wire/view.h"

struct function_results {
    struct session *session;
    uint32_t *types; /* types of a reply's columns; a table function's begin with the source */
    size_t count;
    struct column_view view;    /* the current reply */
    uint64_t at;                /* the current row of it */
    uint64_t limit;             /* the most rows to fetch next */
    uint64_t sources;           /* rows of arguments */
    int64_t first_row;          /* index of the first of them in the whole input */
    struct batch_exchange sent; /* of results_send() */
};

int results_create(struct function_results *results,
                   struct session *session); /* SQLITE_OK or SQLITE_NOMEM */
void results_free(struct function_results *results);

/* Runs the function on the rows of a batch, which must not change during the call. Returns what
 * session_exchange() returns. */
int results_begin(struct function_results *results, const struct batch *batch, int64_t first_row,
                  char **error);
/* The two halves of results_begin(), to gather rows while the function runs. Between the two the
 * results of before stay. results_send() returns SQLITE_BUSY, without an error, if only
 * results_begin() can run the function; the batch may change after it. */
int results_send(struct function_results *results, const struct batch *batch, int64_t first_row,
                 char **error);
int results_receive(struct function_results *results, char **error);
int results_discard(struct function_results *results, char **error); /* see session_discard() */
/* Call this before reading the current row: in a forked child the reply does not exist. Returns
 * what session_exchange() returns. */
int results_ready(const struct function_results *results, char **error);
/* Moves to the next row. results_done() tells whether there is one. */
int results_next(struct function_results *results, char **error);
static inline bool results_done(const struct function_results *results)
{
    return results->at >= results->view.rows;
}

/* Returns the index of the arguments' row that the current row belongs to. */
uint64_t results_source(const struct function_results *results);
/* Returns a column of the current row, counted from 0, as the result. Returns NULL, or what is
 * wrong with the value. */
const char *results_value(const struct function_results *results, size_t column,
                          sqlite3_context *context);
size_t results_width(const struct function_results *results);

#endif
