/* Values between Python and rows or Arrow columns: see values.h. */
#include "python/values.h"

#include <string.h>

#define MAX_DIGITS_SHOWN 60

static PyObject *converted(const struct value_slot *slot, PyObject *stored)
{
    if (slot->direct || !stored)
        return stored;
    PyObject *argument = PyObject_CallOneArg(slot->convert, stored);
    Py_DECREF(stored);
    return argument;
}

/* Returns how a value of a row is stored that may have any type. */
static enum storage storage_of_row(uint32_t type)
{
    static const enum storage storages[] = { [UDFVM_TYPE_BOOL] = STORAGE_BOOL,
                                             [UDFVM_TYPE_INT64] = STORAGE_INT64,
                                             [UDFVM_TYPE_FLOAT64] = STORAGE_FLOAT64,
                                             [UDFVM_TYPE_TEXT] = STORAGE_TEXT32,
                                             [UDFVM_TYPE_BLOB] = STORAGE_BYTES32 };
    return type < sizeof storages / sizeof *storages ? storages[type] : STORAGE_NULL;
}

PyObject *value_from_row(const struct value_slot *slot, const struct udfvm_value *value,
                         const uint8_t *payload, uint64_t length)
{
    if (slot->any) {
        const struct value_slot found = { .storage = storage_of_row(value->type), .direct = true };
        return value_from_row(&found, value, payload, length);
    }
    if (value->type != storage_row_type(slot->storage))
        return PyErr_Format(PyExc_TypeError, "an argument of row type %u where type %u is declared",
                            value->type, storage_row_type(slot->storage));
    switch (value->type) {
    case UDFVM_TYPE_BOOL:
        return PyBool_FromLong(value->integer != 0);
    case UDFVM_TYPE_INT64:
        if (!storage_holds(slot->storage, value->integer))
            return PyErr_Format(PyExc_OverflowError, "%lld is out of its range",
                                (long long)value->integer);
        return converted(slot, PyLong_FromLongLong(value->integer));
    case UDFVM_TYPE_FLOAT64:
        if (!storage_holds_real(slot->storage, value->real)) {
            PyErr_SetString(PyExc_OverflowError, "the number is out of its range");
            return NULL;
        }
        return PyFloat_FromDouble(slot->storage == STORAGE_FLOAT32 ? (double)(float)value->real
                                                                   : value->real);
    default:
        break;
    }
    if (value->offset > length || value->length > length - value->offset)
        return PyErr_Format(PyExc_ValueError,
                            "the bytes of an argument lie outside of the request");
    const char *bytes = (const char *)payload + value->offset;
    return converted(slot, value->type == UDFVM_TYPE_TEXT
                               ? PyUnicode_DecodeUTF8(bytes, value->length, NULL)
                               : PyBytes_FromStringAndSize(bytes, value->length));
}

PyObject *take_exception(void)
{
#if PY_VERSION_HEX >= 0x030C0000
    return PyErr_GetRaisedException();
#else
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    if (value && traceback)
        PyException_SetTraceback(value, traceback);
    Py_XDECREF(type);
    Py_XDECREF(traceback);
    return value;
#endif
}

void name_argument(const struct value_slot *slot, int64_t row)
{
    PyObject *exception = take_exception(), *named = NULL;
    if (exception && slot->refuse &&
        (PyErr_GivenExceptionMatches(exception, PyExc_TypeError) ||
         PyErr_GivenExceptionMatches(exception, PyExc_OverflowError) ||
         PyErr_GivenExceptionMatches(exception, PyExc_ValueError))) {
        named = PyObject_CallFunction(slot->refuse, "OL", exception, (long long)row);
        if (!named)
            PyErr_Clear(); /* no memory: the exception itself says enough */
    }
    if (named)
        Py_SETREF(exception, named);
    if (exception)
        PyErr_SetObject((PyObject *)Py_TYPE(exception), exception);
    Py_XDECREF(exception);
}

static PyObject *bytes_from_column(const struct column *column, int64_t row)
{
    const struct scalar bytes = column_bytes(column, row);
    const char *start = bytes.length == 0 ? "" : bytes.bytes;
    if (storage_is_text(column->storage))
        return PyUnicode_DecodeUTF8(start, (Py_ssize_t)bytes.length, NULL);
    return PyBytes_FromStringAndSize(start, (Py_ssize_t)bytes.length);
}

static PyObject *number_from_column(enum storage storage, const uint8_t *data, int64_t row)
{
    switch (storage) {
    case STORAGE_BOOL:
        return PyBool_FromLong(bitmap_get(data, row));
    case STORAGE_UINT64:
        return PyLong_FromUnsignedLongLong(((const uint64_t *)data)[row]);
    case STORAGE_FLOAT32:
    case STORAGE_FLOAT64:
        return PyFloat_FromDouble(stored_real(storage, data, row));
    case STORAGE_NULL:
        Py_RETURN_NONE;
    default:
        return PyLong_FromLongLong(stored_integer(storage, data, row));
    }
}

PyObject *value_from_column(const struct value_slot *slot, const struct column *column, int64_t row)
{
    if (storage_is_variable(slot->storage))
        return converted(slot, bytes_from_column(column, row));
    return converted(slot, number_from_column(slot->storage, column->data, row));
}

/* Python refuses to write integers of thousands of digits. */
static void report_out_of_range(PyObject *integer)
{
    PyObject *text = PyObject_Repr(integer);
    if (!text)
        PyErr_Clear();
    if (text && PyUnicode_GET_LENGTH(text) <= MAX_DIGITS_SHOWN)
        PyErr_Format(
            PyExc_OverflowError,
            "the function returned %U, which is out of the range of the declared result type",
            text);
    else
        PyErr_Format(PyExc_OverflowError,
                     "the function returned an integer of more than %d digits, "
                     "which is out of the range of the declared result type",
                     MAX_DIGITS_SHOWN);
    Py_XDECREF(text);
}

/* As scalar_direct(). */
static int integer_from_object(enum storage storage, PyObject *object, struct scalar *scalar)
{
    if (!PyLong_Check(object))
        return 0;
    if (storage == STORAGE_UINT64) {
        scalar->natural = PyLong_AsUnsignedLongLong(object);
        if (scalar->natural != UINT64_MAX || !PyErr_Occurred())
            return 1;
        PyErr_Clear(); /* it is an int, so only its size can be wrong */
        report_out_of_range(object);
        return -1;
    }
    int overflow;
    scalar->integer = PyLong_AsLongLongAndOverflow(object, &overflow);
    if (!overflow && storage_holds(storage, scalar->integer))
        return 1;
    report_out_of_range(object);
    return -1;
}

/* Returns 1 if an int equals a number of a float type, 0 if not; `real` is the nearest double.
 * Returns -1 with an exception. */
static int is_exact(enum storage storage, PyObject *integer, double real)
{
    const double exact = 9007199254740992.0; /* 2^53: up to there all integers are doubles */
    if (storage != STORAGE_FLOAT32 && real < exact && real > -exact)
        return 1;
    PyObject *stored = PyFloat_FromDouble(storage == STORAGE_FLOAT32 ? (double)(float)real : real);
    const int equal = stored ? PyObject_RichCompareBool(integer, stored, Py_EQ) : -1;
    Py_XDECREF(stored);
    return equal;
}

/* Converts a number to a float; an integer only if a float represents it exactly. Returns what
 * scalar_direct() does. */
static int float_from_object(enum storage storage, PyObject *object, struct scalar *scalar)
{
    int exact = 1;
    if (PyFloat_Check(object)) {
        scalar->real = PyFloat_AS_DOUBLE(object);
    } else if (!PyLong_Check(object)) {
        return 0;
    } else {
        scalar->real = PyLong_AsDouble(object);
        if (scalar->real == -1.0 && PyErr_Occurred())
            return -1;
        exact = is_exact(storage, object, scalar->real);
    }
    if (exact > 0 && storage_holds_real(storage, scalar->real))
        return 1;
    if (exact >= 0)
        PyErr_Format(PyExc_OverflowError,
                     "the function returned %R, which the declared result type cannot hold",
                     object);
    return -1;
}

static int text_from_object(PyObject *object, struct scalar *scalar)
{
    Py_ssize_t length = 0;
    if (!PyUnicode_Check(object))
        return 0;
    scalar->bytes = PyUnicode_AsUTF8AndSize(object, &length);
    scalar->length = (size_t)length;
    if (!scalar->bytes && PyErr_ExceptionMatches(PyExc_UnicodeEncodeError))
        PyErr_SetString(PyExc_ValueError,
                        "the function returned text with a lone surrogate, which UTF-8 does not "
                        "have: return text.encode('utf-8', 'replace').decode()");
    return scalar->bytes ? 1 : -1;
}

static int bytes_from_object(PyObject *object, struct scalar *scalar)
{
    if (!PyBytes_Check(object))
        return 0;
    scalar->bytes = PyBytes_AS_STRING(object);
    scalar->length = (size_t)PyBytes_GET_SIZE(object);
    return 1;
}

/* Returns 1 if the value is stored as it is; 0 if it needs a conversion; -1 with an exception. */
static int scalar_direct(enum storage storage, PyObject *object, struct scalar *scalar)
{
    switch (storage) {
    case STORAGE_NULL:
        return 0;
    case STORAGE_BOOL:
        scalar->integer = object == Py_True;
        return PyBool_Check(object);
    case STORAGE_FLOAT32:
    case STORAGE_FLOAT64:
        return float_from_object(storage, object, scalar);
    case STORAGE_TEXT32:
    case STORAGE_TEXT64:
        return text_from_object(object, scalar);
    case STORAGE_BYTES32:
    case STORAGE_BYTES64:
        return bytes_from_object(object, scalar);
    default:
        return integer_from_object(storage, object, scalar);
    }
}

/* Returns how an object is stored where results may have any type; STORAGE_NULL if it is not. */
static enum storage storage_of_object(PyObject *object)
{
    if (PyBool_Check(object))
        return STORAGE_BOOL;
    if (PyLong_Check(object))
        return STORAGE_INT64;
    if (PyFloat_Check(object))
        return STORAGE_FLOAT64;
    if (PyUnicode_Check(object))
        return STORAGE_TEXT32;
    return PyBytes_Check(object) ? STORAGE_BYTES32 : STORAGE_NULL;
}

int result_from_object(const struct value_slot *slot, PyObject *object, struct result *result)
{
    *result = (struct result){ .scalar.null = object == Py_None && slot->nullable,
                               .storage = slot->any ? storage_of_object(object) : slot->storage };
    if (result->scalar.null)
        return 0;
    int taken = slot->direct ? scalar_direct(result->storage, object, &result->scalar) : 0;
    if (taken < 0)
        return -1;
    if (taken) {
        result->owner = Py_NewRef(object);
        return 0;
    }
    PyObject *stored = PyObject_CallOneArg(slot->convert, object);
    if (!stored)
        return -1;
    if (stored == Py_None && slot->nullable) { /* the conversion may return None */
        result->scalar = (struct scalar){ .null = true };
        result->owner = stored;
        return 0;
    }
    if (slot->any)
        result->storage = storage_of_object(stored);
    taken = scalar_direct(result->storage, stored, &result->scalar);
    if (taken == 0)
        PyErr_SetString(
            PyExc_TypeError,
            "the function returned a value that cannot be stored as the declared result type");
    if (taken <= 0) {
        Py_DECREF(stored);
        return -1;
    }
    result->owner = stored;
    return 0;
}

int column_too_large(void)
{
    PyErr_SetString(PyExc_OverflowError, "the results of this batch are too large for one column");
    return -1;
}
