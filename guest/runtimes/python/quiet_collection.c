/* See quiet_collection.h.
 *
 * A collection runs code of Python where an object has a finaliser (__del__, a suspended
 * generator, an open file), where a weak reference to it has a callback, and where the program
 * wants to be told (gc.callbacks). So it is made to keep such objects, by a reference to each, and
 * what they lead to. All other garbage is freed by code in C, of types, which changes nothing that
 * is alive.
 *
 * Afterwards the references go again, but for those that have become the last: those objects wait
 * until finalisers may run. Objects from before the seal are no garbage of a call
 * (_udfvm_runtime.py), and are not looked at.
 */
#define PY_SSIZE_T_CLEAN
#include <patchlevel.h>
#if PY_VERSION_HEX < 0x030C0000
#define Py_BUILD_CORE_MODULE /* it has no public way to visit all objects */
#endif
#include "python/quiet_collection.h"

#include <Python.h>
#include <stdbool.h>

#if PY_VERSION_HEX < 0x030C0000
#include <internal/pycore_gc.h>
#endif

#define DEEPEST 32u /* of tuples in tuples that the collector does not see */

#define FEW 2048u

struct kept {
    struct kept *next;
    size_t number, capacity;
    PyObject *objects[];
};

static PyObject *callbacks; /* gc.callbacks */
static struct kept *waiting;
/* For the first, so that the usual few need no memory where there is none. */
static _Alignas(struct kept) char room[sizeof(struct kept) + FEW * sizeof(PyObject *)];
static bool room_is_taken;

#if PY_VERSION_HEX < 0x030C0000
static struct gc_generation *generations;

/* A new object is the last of the youngest generation's list, so the next is the list's head. */
static int find_objects(void)
{
    PyObject *newest = PyList_New(0);
    if (!newest)
        return -1;
    generations = (struct gc_generation *)_PyGCHead_NEXT(_Py_AS_GC(newest));
    Py_DECREF(newest);
    return 0;
}

static void visit_objects(int (*visit)(PyObject *, void *), void *argument)
{
    for (size_t i = 0; i < NUM_GENERATIONS; i++) {
        PyGC_Head *head = &generations[i].head;
        for (PyGC_Head *each = _PyGCHead_NEXT(head); each != head; each = _PyGCHead_NEXT(each))
            visit((PyObject *)(each + 1), argument);
    }
}
#else
static int find_objects(void)
{
    return 0;
}

static void visit_objects(int (*visit)(PyObject *, void *), void *argument)
{
    PyUnstable_GC_VisitObjects(visit, argument);
}
#endif

static bool has_finaliser(PyObject *object)
{
    return Py_TYPE(object)->tp_finalize != NULL || Py_TYPE(object)->tp_del != NULL;
}

/* Of what an object refers to: returns 1 for an object with a finaliser that is not visited
 * itself. */
static int visit_child(PyObject *child, void *argument)
{
    unsigned *depth = argument;
    if (PyObject_IS_GC(child) && PyObject_GC_IsTracked(child))
        return 0;
    if (has_finaliser(child) || *depth == DEEPEST)
        return 1;
    if (!PyTuple_CheckExact(child) && !PyDict_CheckExact(child))
        return 0;
    ++*depth;
    const int found = Py_TYPE(child)->tp_traverse(child, visit_child, depth);
    --*depth;
    return found;
}

/* Returns the object that must stay, so that freeing `object` or one that it refers to runs no
 * code; NULL: there is none. */
static PyObject *must_stay(PyObject *object)
{
    unsigned depth = 0;
    if (PyWeakref_Check(object)) {
        const PyWeakReference *reference = (const PyWeakReference *)object;
        PyObject *referent = reference->wr_object;
        return reference->wr_callback && Py_REFCNT(referent) > 0 && referent != Py_None ? referent
                                                                                        : NULL;
    }
    traverseproc traverse = Py_TYPE(object)->tp_traverse;
    return has_finaliser(object) || (traverse && traverse(object, visit_child, &depth)) ? object
                                                                                        : NULL;
}

static int count(PyObject *object, void *number)
{
    if (must_stay(object))
        ++*(size_t *)number;
    return 1;
}

static int keep(PyObject *object, void *argument)
{
    struct kept *kept = argument;
    PyObject *staying = must_stay(object);
    if (staying && kept->number < kept->capacity) {
        Py_INCREF(staying);
        kept->objects[kept->number++] = staying;
    }
    return 1;
}

static struct kept *make_kept(size_t capacity)
{
    const bool fits = capacity <= FEW && !room_is_taken;
    struct kept *kept = fits ? (struct kept *)room
                             : PyMem_RawMalloc(sizeof *kept + capacity * sizeof(PyObject *));
    if (kept)
        *kept = (struct kept){ .capacity = capacity };
    room_is_taken |= fits;
    return kept;
}

static void free_kept(struct kept *kept)
{
    if (kept == (struct kept *)room)
        room_is_taken = false;
    else
        PyMem_RawFree(kept);
}

/* Drops the references that are not the last. */
static void let_go(struct kept *kept)
{
    size_t last = 0;
    for (size_t i = 0; i < kept->number; i++)
        if (Py_REFCNT(kept->objects[i]) > 1)
            Py_DECREF(kept->objects[i]);
        else
            kept->objects[last++] = kept->objects[i];
    kept->number = last;
    if (last == 0) {
        free_kept(kept);
        return;
    }
    kept->next = waiting;
    waiting = kept;
}

/* Nobody is told of the collection: no other code sees the list meanwhile. */
static void collect_untold(void)
{
    const Py_ssize_t number = PyList_GET_SIZE(callbacks);
    Py_SET_SIZE((PyVarObject *)callbacks, 0);
    PyGC_Collect();
    Py_SET_SIZE((PyVarObject *)callbacks, number);
}

int quiet_collection_prepare(void)
{
    PyObject *module = PyImport_ImportModule("gc");
    callbacks = module ? PyObject_GetAttrString(module, "callbacks") : NULL;
    Py_XDECREF(module);
    if (callbacks && !PyList_CheckExact(callbacks)) {
        PyErr_SetString(PyExc_TypeError, "gc.callbacks is no list");
        Py_CLEAR(callbacks);
    }
    return callbacks ? find_objects() : -1;
}

void quiet_collection(void)
{
    size_t number = 0;
    visit_objects(count, &number);
    struct kept *kept = make_kept(number);
    if (!kept)
        return;
    visit_objects(keep, kept);
    collect_untold();
    let_go(kept);
}

void quiet_collection_finish(void)
{
    while (waiting) {
        struct kept *kept = waiting;
        waiting = kept->next;
        for (size_t i = 0; i < kept->number; i++)
            Py_DECREF(kept->objects[i]);
        free_kept(kept);
    }
}
