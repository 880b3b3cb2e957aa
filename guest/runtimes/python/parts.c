/* See parts.h. */
#include "python/parts.h"

#include "python/constants.h"
#include "python/generators.h"
#include "python/server.h"

static uint8_t *output_window(void)
{
    return (uint8_t *)UDFVM_OUTPUT_BASE;
}

PyObject *parts_input(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    return PyMemoryView_FromMemory((char *)exchange_payload(), (Py_ssize_t)exchange_call()->length,
                                   PyBUF_READ);
}

PyObject *parts_output(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    return PyMemoryView_FromMemory((char *)output_window(),
                                   (Py_ssize_t)exchange_call()->output_size, PyBUF_WRITE);
}

PyObject *parts_run_row(PyObject *module, PyObject *arguments)
{
    uint64_t length;
    Py_buffer payload;
    PyObject *object;
    if (!PyArg_ParseTuple(arguments, "Oy*", &object, &payload))
        return NULL;
    struct scalar_function *function = if_of_type(module, object, "ScalarFunction");
    int code = function
                   ? scalar_function_row(function, payload.buf, (uint64_t)payload.len,
                                         output_window(), exchange_call()->output_size, &length)
                   : -1;
    PyBuffer_Release(&payload);
    if (code < 0)
        return NULL;
    Py_RETURN_NONE;
}

PyObject *parts_run_batch(PyObject *module, PyObject *arguments)
{
    uint64_t length;
    int64_t row;
    Py_buffer payload;
    PyObject *object, *stream_object;
    if (!PyArg_ParseTuple(arguments, "OOy*", &object, &stream_object, &payload))
        return NULL;
    struct scalar_function *function = if_of_type(module, object, "ScalarFunction");
    struct stream_object *stream = if_of_type(module, stream_object, "Stream");
    int code = function && stream
                   ? scalar_function_batch(function, stream, payload.buf, (uint64_t)payload.len,
                                           output_window(), exchange_call()->output_size, &length,
                                           &row)
                   : -1;
    PyBuffer_Release(&payload);
    if (code < 0)
        return NULL;
    Py_RETURN_NONE;
}

PyObject *parts_begin_row(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    if (row_begin() < 0)
        return NULL;
    return PyBool_FromLong(exchange_call()->flags & UDFVM_CALL_DETERMINISTIC);
}

int parts_add_type(PyObject *module, PyType_Spec *specification)
{
    PyObject *type = PyType_FromModuleAndSpec(module, specification, NULL);
    if (!type)
        return -1;
    int code = PyModule_AddType(module, (PyTypeObject *)type);
    Py_DECREF(type);
    return code;
}

int parts_add(PyObject *module)
{
    PyType_Spec *const types[] = {
        &scalar_function_type_spec, &numbers_function_type_spec, &stream_type_spec,
        &column_batch_type_spec,    &aggregate_type_spec,
    };
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (parts_add_type(module, types[i]) < 0)
            return -1;
    return constants_add(module);
}
