/* Exchanges of whole batches with a session's micro-VM. */
#ifndef UDFVM_SQLITE_EXCHANGE_H
#define UDFVM_SQLITE_EXCHANGE_H

#include "statement/session.h"
#include "wire/batch.h"

struct batch_exchange {
    uint32_t request; /* UDFVM_REQUEST_x */
    uint64_t head[2]; /* struct udfvm_fetch or udfvm_aggregate; not for UDFVM_REQUEST_COLUMNS */
    const struct batch *batch; /* NULL: no columns */
    int64_t first_row; /* for errors: the guest counts these rows; `first_row` is the index of the
                          first */
    uint64_t rows;
    const int64_t *rows_of; /* the index of each row; NULL: they are consecutive */
    bool streaming;         /* one of many small exchanges */
};

/* Takes a VM if the session has none. The reply is valid until the next exchange. Returns
 * SQLITE_OK; SQLITE_NOMEM; SQLITE_INTERRUPT; or SQLITE_ERROR, with *error a sqlite3_malloc'd text.
 * After a failure the session's guest cannot be used any more. */
int session_exchange(struct session *session, const struct batch_exchange *exchange,
                     struct udfvm_reply *reply, char **error);

/* The two halves of an exchange, for a caller that does something else while the guest works: see
 * udfvm_vm_stream_send(). session_send() returns SQLITE_BUSY if the exchange must be made as a
 * whole; otherwise both return what session_exchange() does. */
int session_send(struct session *session, const struct batch_exchange *exchange, char **error);
int session_receive(struct session *session, const struct batch_exchange *exchange,
                    struct udfvm_reply *reply, char **error);
/* Waits for a reply that nobody needs, be it that the function failed: only the end of its guest is
 * a failure. */
int session_discard(struct session *session, const struct batch_exchange *exchange, char **error);

/* Adds a row of arguments to a batch from column `first` on, and checks their types. NULL is
 * accepted for every parameter. Returns SQLITE_OK, SQLITE_NOMEM, or SQLITE_ERROR with a text. */
int batch_put_row(const struct session *session, struct batch *batch, size_t first,
                  sqlite3_value **arguments, char **error);

#endif
