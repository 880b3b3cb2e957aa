/* What answers the requests of a loaded function: in C where it can, else by the runtime's handler.
 */
#ifndef UDFVM_PYTHON_SERVER_H
#define UDFVM_PYTHON_SERVER_H

#include "python/aggregate.h"
#include "python/numbers_function.h"
#include "shared/exchange.h"

/* It owns none of them. */
struct server {
    struct scalar_function *function; /* of these three at most one is not NULL */
    struct numbers_function *numbers_function;
    struct aggregate *aggregate;
    struct stream_object *stream;
    PyObject *handler;
    PyObject *failure;
    PyObject *begin; /* called at the beginning of each call; or None */
};

/* (function, stream, handler, failure, begin), as _udfvm_agent.serve() takes them. 0, or -1 with an
 * exception. */
int server_from_arguments(PyObject *module, PyObject *arguments, struct server *server);

/* Answers the request in the input window. `first`: it begins a call. */
struct answer server_answer(const struct server *server, bool first);

/* Returns the object if it has the module's type of that name; otherwise NULL, perhaps with an
 * exception. */
void *if_of_type(PyObject *module, PyObject *object, const char *name);

#endif
