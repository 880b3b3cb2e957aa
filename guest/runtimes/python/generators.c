/* Marked generators: see generators.h. Both are Mersenne Twisters (Matsumoto and Nishimura 1998).
 * Their state is 624 words and the position of the next one; the mark is a position that no
 * generator has. All code reads the state through a function whose address is in a table of its
 * type, or of the generator, and that address leads here first. If a table or a state does not look
 * as expected, the generator is seeded at the beginning of each call instead. */
#include "python/generators.h"

#include "shared/exchange.h"

#include <stdint.h>
#include <string.h>
#include <sys/random.h>

#define WORDS     624
#define MARK      (WORDS + 1)
#define KEY_WORDS 8

static void draw_key(uint32_t key[KEY_WORDS])
{
    size_t filled = 0;
    while (filled < KEY_WORDS * sizeof *key) {
        const ssize_t got = getrandom((uint8_t *)key + filled, KEY_WORDS * sizeof *key - filled, 0);
        if (got > 0)
            filled += (size_t)got;
    }
}

/* Seeds by an array, as the generator's authors do (init_by_array). */
static void seed_words(uint32_t words[WORDS])
{
    uint32_t key[KEY_WORDS];
    draw_key(key);
    words[0] = 19650218u;
    for (uint32_t i = 1; i < WORDS; i++)
        words[i] = 1812433253u * (words[i - 1] ^ (words[i - 1] >> 30)) + i;
    uint32_t i = 1;
    for (uint32_t turn = 0; turn < WORDS; turn++) {
        words[i] ^= (words[i - 1] ^ (words[i - 1] >> 30)) * 1664525u;
        words[i] += key[turn % KEY_WORDS] + turn % KEY_WORDS;
        if (++i == WORDS) {
            words[0] = words[WORDS - 1];
            i = 1;
        }
    }
    for (uint32_t turn = 0; turn < WORDS - 1; turn++) {
        words[i] = (words[i] ^ ((words[i - 1] ^ (words[i - 1] >> 30)) * 1566083941u)) - i;
        if (++i == WORDS) {
            words[0] = words[WORDS - 1];
            i = 1;
        }
    }
    words[0] = 0x80000000u;
}

/* Returns true if memory at `words` holds these numbers. */
static bool same_words(const uint32_t *words, PyObject *numbers)
{
    for (Py_ssize_t i = 0; i < WORDS; i++) {
        PyObject *number = PySequence_GetItem(numbers, i);
        const long value = number ? PyLong_AsLong(number) : -1;
        Py_XDECREF(number);
        if (value != (long)words[i])
            return false;
    }
    return true;
}

/* ---- The module `random` ---- */

/* The data of an object of _random.Random, behind its head. */
struct python_state {
    int position;
    uint32_t words[WORDS];
};

static struct {
    PyObject *generator;
    struct python_state *state;
    PyCFunction random, getrandbits, getstate;
} python;

static void refresh_python(PyObject *generator)
{
    if (generator != python.generator || python.state->position != MARK)
        return;
    seed_words(python.state->words);
    python.state->position = WORDS;
}

#define PYTHON_METHOD(name)                                           \
    static PyObject *fresh_##name(PyObject *self, PyObject *argument) \
    {                                                                 \
        refresh_python(self);                                         \
        return python.name(self, argument);                           \
    }
PYTHON_METHOD(random)
PYTHON_METHOD(getrandbits)
PYTHON_METHOD(getstate)

/* Returns the entry of a type's method in its table; NULL unless it is a method in C of at most one
 * argument. */
static PyMethodDef *method_entry(PyObject *type, const char *name)
{
    PyObject *method = PyObject_GetAttrString(type, name);
    PyMethodDef *entry = NULL;
    if (method && Py_IS_TYPE(method, &PyMethodDescr_Type))
        entry = ((PyMethodDescrObject *)method)->d_method;
    Py_XDECREF(method); /* the type keeps it */
    return entry && (entry->ml_flags == METH_NOARGS || entry->ml_flags == METH_O) ? entry : NULL;
}

static bool take_python_state(PyObject *base, PyObject *generator)
{
    const size_t needed = sizeof(PyObject) + sizeof(struct python_state);
    python.state = (struct python_state *)((char *)generator + sizeof(PyObject));
    if ((size_t)((PyTypeObject *)base)->tp_basicsize < needed)
        return false;
    PyObject *state = PyObject_CallMethod(base, "getstate", "O", generator);
    const bool same = state && PyTuple_Check(state) && PyTuple_GET_SIZE(state) == WORDS + 1 &&
                      same_words(python.state->words, state) &&
                      PyLong_AsLong(PyTuple_GET_ITEM(state, WORDS)) == python.state->position;
    Py_XDECREF(state);
    PyErr_Clear();
    return same;
}

/* Takes over the generator of the module. Returns false if it is not as expected. */
static bool take_python(PyObject *module)
{
    PyObject *generator = PyObject_GetAttrString(module, "_inst");
    PyObject *core = PyImport_ImportModule("_random");
    PyObject *base = core ? PyObject_GetAttrString(core, "Random") : NULL;
    const bool known = generator && base && PyType_Check(base) &&
                       PyObject_TypeCheck(generator, (PyTypeObject *)base);
    PyMethodDef *const random = known ? method_entry(base, "random") : NULL;
    PyMethodDef *const getrandbits = known ? method_entry(base, "getrandbits") : NULL;
    PyMethodDef *const getstate = known ? method_entry(base, "getstate") : NULL;
    const bool taken = random && getrandbits && getstate && take_python_state(base, generator);
    if (taken) {
        python.generator = Py_NewRef(generator);
        python.random = random->ml_meth;
        python.getrandbits = getrandbits->ml_meth;
        python.getstate = getstate->ml_meth;
        random->ml_meth = fresh_random;
        getrandbits->ml_meth = fresh_getrandbits;
        getstate->ml_meth = fresh_getstate;
    }
    Py_XDECREF(base);
    Py_XDECREF(core);
    Py_XDECREF(generator);
    PyErr_Clear();
    return taken;
}

/* The generator makes two normal deviates at a time. The second one is kept outside of the state,
 * and is cleared here. */
static int mark_python(void)
{
    if (python.state->position == MARK)
        return 0;
    python.state->position = MARK;
    return PyObject_SetAttrString(python.generator, "gauss_next", Py_None);
}

/* ---- numpy.random ---- */

struct numpy_state {
    uint32_t words[WORDS];
    int position;
};
struct bit_generator { /* bitgen_t: numpy/random/bitgen.h */
    void *state;
    uint64_t (*next_uint64)(void *state);
    uint32_t (*next_uint32)(void *state);
    double (*next_double)(void *state);
    uint64_t (*next_raw)(void *state);
};

static struct {
    PyObject *generator, *bits; /* RandomState, and the MT19937 that it draws from */
    struct numpy_state *state;
    struct bit_generator own; /* its functions */
    getter get_state;
} numpy;

static void refresh_numpy(const void *state)
{
    if (state != numpy.state || numpy.state->position != MARK)
        return;
    seed_words(numpy.state->words);
    numpy.state->position = WORDS;
}

#define NUMPY_FUNCTION(name, type)        \
    static type fresh_##name(void *state) \
    {                                     \
        refresh_numpy(state);             \
        return numpy.own.name(state);     \
    }
NUMPY_FUNCTION(next_uint64, uint64_t)
NUMPY_FUNCTION(next_uint32, uint32_t)
NUMPY_FUNCTION(next_double, double)
NUMPY_FUNCTION(next_raw, uint64_t)

static PyObject *fresh_get_state(PyObject *self, void *closure)
{
    if (self == numpy.bits)
        refresh_numpy(numpy.state);
    return numpy.get_state(self, closure);
}

static bool take_numpy_state(PyObject *bits)
{
    PyObject *state = PyObject_GetAttrString(bits, "state");
    PyObject *inner = state ? PyMapping_GetItemString(state, "state") : NULL;
    PyObject *words = inner ? PyMapping_GetItemString(inner, "key") : NULL;
    PyObject *position = inner ? PyMapping_GetItemString(inner, "pos") : NULL;
    const bool same = words && position && PySequence_Size(words) == WORDS &&
                      same_words(numpy.state->words, words) &&
                      PyLong_AsLong(position) == numpy.state->position;
    Py_XDECREF(position);
    Py_XDECREF(words);
    Py_XDECREF(inner);
    Py_XDECREF(state);
    PyErr_Clear();
    return same;
}

static PyGetSetDef *state_entry(PyObject *bits)
{
    PyObject *property = PyObject_GetAttrString((PyObject *)Py_TYPE(bits), "state");
    PyGetSetDef *entry = NULL;
    if (property && Py_IS_TYPE(property, &PyGetSetDescr_Type))
        entry = ((PyGetSetDescrObject *)property)->d_getset;
    Py_XDECREF(property); /* the type keeps it */
    return entry;
}

/* Makes the generator read the functions of its MT19937 again. It drops a normal deviate that it
 * kept. */
static bool reconnect(PyObject *generator, PyObject *bits)
{
    PyObject *type = (PyObject *)Py_TYPE(generator);
    PyObject *done = PyObject_CallMethod(type, "__init__", "OO", generator, bits);
    Py_XDECREF(done);
    return done != NULL;
}

static bool is_mersenne_twister(PyObject *bits)
{
    const char *name = Py_TYPE(bits)->tp_name, *dot = strrchr(name, '.');
    return strcmp(dot ? dot + 1 : name, "MT19937") == 0;
}

static bool take_numpy(PyObject *module)
{
    PyObject *generator = PyObject_GetAttrString(module, "_rand");
    PyObject *bits = generator ? PyObject_GetAttrString(generator, "_bit_generator") : NULL;
    const bool known = bits && is_mersenne_twister(bits);
    PyObject *capsule = known ? PyObject_GetAttrString(bits, "capsule") : NULL;
    struct bit_generator *functions = capsule ? PyCapsule_GetPointer(capsule, "BitGenerator") : 0;
    PyGetSetDef *property = functions ? state_entry(bits) : NULL;
    numpy.state = functions ? functions->state : NULL;
    bool taken = property && take_numpy_state(bits);
    if (taken) {
        numpy.own = *functions;
        numpy.get_state = property->get;
        numpy.generator = Py_NewRef(generator);
        numpy.bits = Py_NewRef(bits);
        property->get = fresh_get_state;
        *functions = (struct bit_generator){
            numpy.own.state,   fresh_next_uint64, fresh_next_uint32,
            fresh_next_double, fresh_next_raw,
        };
        taken = reconnect(generator, bits);
    }
    Py_XDECREF(capsule);
    Py_XDECREF(bits);
    Py_XDECREF(generator);
    PyErr_Clear();
    return taken;
}

static int mark_numpy(void)
{
    if (numpy.state->position == MARK)
        return 0;
    if (!reconnect(numpy.generator, numpy.bits))
        return -1;
    numpy.state->position = MARK;
    return 0;
}

/* ---- Both ---- */

static struct {
    const char *name;
    bool (*take)(PyObject *module);
    bool tried, unknown; /* unknown: the generator could not be taken over */
} modules[] = {
    { .name = "random", .take = take_python },
    { .name = "numpy.random.mtrand", .take = take_numpy },
};
#define MODULES (sizeof modules / sizeof *modules)

static PyObject *loaded(const char *name)
{
    return PyDict_GetItemString(PyImport_GetModuleDict(), name);
}

int generators_mark(void)
{
    for (size_t i = 0; i < MODULES; i++) {
        PyObject *module = modules[i].tried ? NULL : loaded(modules[i].name);
        if (!module)
            continue;
        modules[i].tried = true;
        modules[i].unknown = !modules[i].take(module);
    }
    if (python.generator && mark_python() < 0)
        return -1;
    return numpy.generator ? mark_numpy() : 0;
}

/* With a key, because without one numpy's generator begins with the number that it had reached. */
static PyObject *seed(PyObject *module)
{
    uint32_t key[KEY_WORDS];
    draw_key(key);
    if (module == loaded("random"))
        return PyObject_CallMethod(module, "seed", "y#", (const char *)key, (Py_ssize_t)sizeof key);
    return PyObject_CallMethod(module, "seed", "([IIIIIIII])", key[0], key[1], key[2], key[3],
                               key[4], key[5], key[6], key[7]);
}

int generators_begin_call(void)
{
    for (size_t i = 0; i < MODULES; i++) {
        PyObject *module = modules[i].unknown ? loaded(modules[i].name) : NULL;
        PyObject *done = module ? seed(module) : NULL;
        Py_XDECREF(done);
        if (module && !done)
            return -1;
    }
    return 0;
}

/* tempfile draws names from a generator of its own, which notices forks, but not rows. */
static int forget_names(void)
{
    PyObject *module = loaded("tempfile");
    PyObject *names = module ? PyDict_GetItemString(PyModule_GetDict(module), "_name_sequence")
                             : NULL;
    return names && names != Py_None ? PyObject_SetAttrString(module, "_name_sequence", Py_None)
                                     : 0;
}

bool call_is_deterministic(void)
{
    return exchange_call()->flags & UDFVM_CALL_DETERMINISTIC;
}

int row_begin(void)
{
    if (!call_is_deterministic())
        return 0;
    ((void (*)(void))UDFVM_VECTOR_ROW)();
    return generators_mark() < 0 || generators_begin_call() < 0 || forget_names() < 0 ? -1 : 0;
}
