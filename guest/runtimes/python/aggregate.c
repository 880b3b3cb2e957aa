/* _udfvm_agent.Aggregate: see aggregate.h. */
#include "python/aggregate.h"

#include "python/column_reply.h"
#include "python/generators.h"
#include "shared/exchange.h"

#include <structmember.h>
#include <string.h>

#define FIRST_ARGUMENT 2 /* the columns group and inverse precede it */

/* ---- Construction ---- */

static bool take_names(struct aggregate *self)
{
    self->step = PyUnicode_InternFromString("step");
    self->inverse = PyUnicode_InternFromString("inverse");
    self->finish = PyUnicode_InternFromString("finish");
    return self->step && self->inverse && self->finish;
}

static PyObject *aggregate_new(PyTypeObject *type, PyObject *arguments,
                               PyObject *Py_UNUSED(keywords))
{
    PyObject *cls, *groups, *batch;
    int has_streams;
    if (!PyArg_ParseTuple(arguments, "OO!Op", &cls, &PyDict_Type, &groups, &batch, &has_streams))
        return NULL;
    PyObject *wanted = PyObject_GetAttrString(PyType_GetModule(type), "ColumnBatch");
    const bool valid = wanted && PyObject_TypeCheck(batch, (PyTypeObject *)wanted) &&
                       ((struct column_batch *)batch)->argument_count >= FIRST_ARGUMENT &&
                       ((struct column_batch *)batch)->result_count == 1;
    Py_XDECREF(wanted);
    if (!valid)
        return PyErr_Format(PyExc_TypeError, "Aggregate() takes a ColumnBatch of an aggregate");
    struct aggregate *self = (struct aggregate *)type->tp_alloc(type, 0);
    if (!self)
        return NULL;
    self->cls = Py_NewRef(cls);
    self->groups = Py_NewRef(groups);
    self->batch = (struct column_batch *)Py_NewRef(batch);
    self->has_streams = has_streams;
    self->arguments = PyMem_Calloc(self->batch->argument_count, sizeof *self->arguments);
    if (!self->arguments)
        PyErr_NoMemory();
    if (!self->arguments || !take_names(self))
        Py_CLEAR(self);
    return (PyObject *)self;
}

static int aggregate_traverse(PyObject *object, visitproc visit, void *arg)
{
    struct aggregate *self = (struct aggregate *)object;
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(self->cls);
    Py_VISIT(self->groups);
    Py_VISIT((PyObject *)self->batch);
    Py_VISIT(self->group);
    return 0;
}

static int aggregate_clear(PyObject *object)
{
    struct aggregate *self = (struct aggregate *)object;
    Py_CLEAR(self->cls);
    Py_CLEAR(self->groups);
    Py_CLEAR(self->batch);
    Py_CLEAR(self->group);
    return 0;
}

static void aggregate_dealloc(PyObject *object)
{
    struct aggregate *self = (struct aggregate *)object;
    PyTypeObject *type = Py_TYPE(object);
    PyObject_GC_UnTrack(object);
    aggregate_clear(object);
    Py_XDECREF(self->step);
    Py_XDECREF(self->inverse);
    Py_XDECREF(self->finish);
    PyMem_Free(self->arguments);
    type->tp_free(object);
    Py_DECREF(type);
}

/* ---- Groups ---- */

/* Returns a new reference to the group of a number, which begins if it is new; NULL with an
 * exception. */
static PyObject *find_group(const struct aggregate *self, PyObject *number)
{
    PyObject *group = PyDict_GetItemWithError(self->groups, number);
    if (group || PyErr_Occurred())
        return Py_XNewRef(group);
    group = row_begin() < 0 ? NULL : PyObject_CallNoArgs(self->cls);
    if (group && PyDict_SetItem(self->groups, number, group) < 0)
        Py_CLEAR(group);
    return group;
}

/* Returns the group, which `self` keeps until another one is asked for; NULL with an exception. */
static PyObject *group_of(struct aggregate *self, int64_t number)
{
    if (self->group && self->number == number)
        return self->group;
    PyObject *key = PyLong_FromLongLong(number);
    PyObject *group = key ? find_group(self, key) : NULL;
    Py_XDECREF(key);
    Py_XSETREF(self->group, group);
    self->number = number;
    return group;
}

static int drop_group(struct aggregate *self, int64_t number)
{
    PyObject *key = PyLong_FromLongLong(number);
    const int code = key ? PyDict_DelItem(self->groups, key) : -1;
    Py_XDECREF(key);
    Py_CLEAR(self->group);
    return code;
}

/* ---- Rows ---- */

static void drop_arguments(PyObject **arguments, size_t count)
{
    while (count-- > 0)
        Py_DECREF(arguments[count]);
}

/* Calls a method of a group with arguments[2..], which it releases. Returns 0; -1 with an
 * exception. */
static int call_method(const struct aggregate *self, PyObject *name, PyObject *group)
{
    PyObject **arguments = self->arguments;
    const size_t count = self->batch->argument_count - FIRST_ARGUMENT;
    PyObject *done = NULL;
    if (row_begin() == 0) {
        arguments[1] = group;
        done = PyObject_VectorcallMethod(name, arguments + 1,
                                         (count + 1) | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
    }
    drop_arguments(arguments + FIRST_ARGUMENT, count);
    Py_XDECREF(done);
    return done ? 0 : -1;
}

/* Makes arguments[2..] of a row. Returns 0; -1 with an exception, and without arguments. */
static int make_arguments(const struct aggregate *self, int64_t row)
{
    const struct column_batch *batch = self->batch;
    for (size_t i = FIRST_ARGUMENT; i < batch->argument_count; i++) {
        PyObject *made = column_is_null(&batch->found[i], row)
                             ? Py_NewRef(Py_None)
                             : value_from_column(&batch->arguments[i], &batch->found[i], row);
        if (!made) {
            name_argument(&batch->arguments[i], row);
            drop_arguments(self->arguments + FIRST_ARGUMENT, i - FIRST_ARGUMENT);
            return -1;
        }
        self->arguments[i] = made;
    }
    return 0;
}

static int take_row(struct aggregate *self, int64_t row)
{
    const struct column *numbers = &self->batch->found[0], *leaves = &self->batch->found[1];
    const bool inverse = !column_is_null(leaves, row) && bitmap_get(leaves->data, row);
    PyObject *group = group_of(self, stored_integer(numbers->storage, numbers->data, row));
    if (!group || make_arguments(self, row) < 0)
        return -1;
    return call_method(self, inverse ? self->inverse : self->step, group);
}

/* Returns 1; 0 if there are columns that Python code must read; -1 with an exception. */
static int find_rows(struct aggregate *self, struct column_request *request)
{
    struct column_batch *batch = self->batch;
    if (column_batch_find(batch, sizeof(struct udfvm_aggregate), request) < 0)
        return -1;
    for (size_t i = 0; i < batch->argument_count; i++)
        if (request->heads[i].type == UDFVM_TYPE_ARROW)
            return 0;
    if (request->rows == 0 || !(batch->found[0].all_null || batch->found[0].validity))
        return 1;
    PyErr_SetString(PyExc_ValueError, "a row without a group");
    return -1;
}

static int take_rows(struct aggregate *self, int64_t *row)
{
    struct column_request request;
    const int found = find_rows(self, &request);
    if (found <= 0)
        return found;
    for (int64_t next = 0; next < (int64_t)request.rows; next++)
        if (take_row(self, next) < 0) {
            *row = next;
            return -1;
        }
    return 1;
}

/* ---- Values ---- */

/* Writes a reply of one value. Returns 0; -1 with an exception. */
static int write_value(const struct value_slot *slot, PyObject *value, uint64_t *length)
{
    struct batch_writer writer = writer_begin(1);
    struct block block;
    struct result converted;
    int code = result_from_object(slot, value, &converted);
    if (code == 0 &&
        block_begin(&block, slot->storage, 1, writer.output, writer.capacity, writer.end, 0) &&
        !block_put(&block, 0, &converted.scalar))
        code = column_too_large();
    result_clear(&converted);
    if (code < 0)
        return -1;
    writer_close_block(&writer, 0, &block);
    *length = writer_finish(&writer, 1, 1, 0);
    return 0;
}

static int answer_value(struct aggregate *self, int64_t number, bool ends, uint64_t *length)
{
    PyObject *group = group_of(self, number);
    PyObject *value = group && row_begin() == 0 ? PyObject_CallMethodNoArgs(group, self->finish)
                                                : NULL;
    int code = value ? 0 : -1;
    if (code == 0 && ends)
        code = drop_group(self, number);
    if (code == 0)
        code = write_value(&self->batch->results[0], value, length);
    Py_XDECREF(value);
    return code;
}

int aggregate_answer(struct aggregate *self, uint64_t *length, int64_t *row)
{
    struct udfvm_aggregate head;
    *row = -1;
    if (exchange_call()->length < sizeof head)
        return 0;
    memcpy(&head, exchange_payload(), sizeof head);
    const bool none = head.answer == UDFVM_ANSWER_NONE, ends = head.answer == UDFVM_ANSWER_FINISH,
               mine = none || ends || head.answer == UDFVM_ANSWER_VALUE;
    const bool streams = self->has_streams && head.flags & UDFVM_REPLY_ARROW;
    const int taken = mine && !streams ? take_rows(self, row) : 0;
    if (taken == 0)
        Py_CLEAR(self->group); /* Python code may end it */
    if (taken <= 0)
        return taken;
    if (!none)
        return answer_value(self, (int64_t)head.group, ends, length) < 0 ? -1 : 1;
    const struct batch_writer writer = writer_begin(0);
    *length = writer_finish(&writer, 0, 0, 0);
    return 1;
}

static PyType_Slot aggregate_slots[] = {
    { Py_tp_doc, "Aggregate(cls, groups, batch, has_streams): the groups of a call, by number" },
    { Py_tp_new, aggregate_new },
    { Py_tp_dealloc, aggregate_dealloc },
    { Py_tp_traverse, aggregate_traverse },
    { Py_tp_clear, aggregate_clear },
    { 0, NULL },
};

PyType_Spec aggregate_type_spec = {
    .name = "_udfvm_agent.Aggregate",
    .basicsize = sizeof(struct aggregate),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = aggregate_slots,
};
