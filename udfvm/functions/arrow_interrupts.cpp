// See arrow_interrupts.h, and arrow_interrupts.py, which decides what happens.
#include "arrow_interrupts.h"
#include "arrow_scans.h"

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdint>

#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <arrow/python/common.h>

namespace udfvm
{

namespace
{

constexpr int64_t SECOND = 1000000000;
constexpr timespec LOOK = { 0, 100000 };

struct {
    std::atomic<pid_t> taken;     // the process in which SIGINT comes here first; 0: none
    std::atomic<pid_t> ready;     // the same, once the handler is there
    std::atomic<pid_t> taking;    // the process in which a thread is about to take it; 0: none
    std::atomic<int64_t> last_ns; // when a call was made for the main thread
    std::atomic<int64_t> next_ns; // when to ask again whether it may be taken
    std::atomic<int> pass_on;     // the next one goes where it would have gone
    std::atomic<int> event;       // an eventfd that tells of others
    std::atomic<int> telling;     // how many threads are about to add to it
    pid_t process;                // whose threads those are
    struct sigaction before;
} interrupts;

int64_t now_ns()
{
    timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * SECOND + now.tv_nsec;
}

// Tells Python code of a signal. False: it is for the handler of before.
bool tell()
{
    const uint64_t one = 1;
    // With the interpreter's lock, Python code runs, and notices it at once.
    return interrupts.taken == getpid() && !interrupts.pass_on.exchange(0) &&
           !(is_main_thread() && PyGILState_Check()) &&
           write(interrupts.event, &one, sizeof one) == sizeof one;
}

void on_interrupt(int signal, siginfo_t *info, void *context)
{
    const int error = errno;
    interrupts.telling++; // before `taken` is read: see give_interrupts_back
    const bool told = tell();
    interrupts.telling--;
    if (!told) {
        if (interrupts.before.sa_flags & SA_SIGINFO)
            interrupts.before.sa_sigaction(signal, info, context);
        else
            interrupts.before.sa_handler(signal);
    }
    errno = error;
}

bool is_taken(const struct sigaction &action)
{
    return (action.sa_flags & SA_SIGINFO) && action.sa_sigaction == on_interrupt;
}

PyObject *take_interrupts(PyObject *, PyObject *event)
{
    struct sigaction action;
    interrupts.event = PyLong_AsLong(event);
    sigaction(SIGINT, nullptr, &action);
    if (PyErr_Occurred())
        return nullptr;
    if (interrupts.process != getpid()) { // a forked child has none of its parent's threads
        interrupts.process = getpid();
        interrupts.telling = 0;
    }
    if (is_taken(action)) {
        interrupts.taken = getpid();
        Py_RETURN_TRUE;
    }
    if (!(action.sa_flags & SA_SIGINFO) &&
        (action.sa_handler == SIG_DFL || action.sa_handler == SIG_IGN))
        Py_RETURN_FALSE;
    interrupts.before = action;
    action.sa_flags |= SA_SIGINFO;
    action.sa_sigaction = on_interrupt;
    interrupts.taken = getpid();
    return PyBool_FromLong(sigaction(SIGINT, &action, nullptr) == 0);
}

PyObject *give_interrupts_back(PyObject *, PyObject *)
{
    struct sigaction action;
    interrupts.ready = 0;
    if (sigaction(SIGINT, nullptr, &action) == 0 && is_taken(action))
        sigaction(SIGINT, &interrupts.before, nullptr);
    interrupts.taken = 0;
    Py_BEGIN_ALLOW_THREADS; // the descriptor's number may be another file's after this
    while (interrupts.telling)
        nanosleep(&LOOK, nullptr);
    Py_END_ALLOW_THREADS;
    Py_RETURN_NONE;
}

PyObject *pass_interrupt_on(PyObject *, PyObject *)
{
    interrupts.pass_on = 1;
    syscall(SYS_tgkill, getpid(), getpid(), SIGINT);
    Py_RETURN_NONE;
}

PyObject *seconds_since_call(PyObject *, PyObject *)
{
    if (scans_of_main_run())
        interrupts.last_ns = now_ns();
    return PyFloat_FromDouble((double)(now_ns() - interrupts.last_ns) / SECOND);
}

PyObject *interrupt_scans_by(PyObject *, PyObject *exception)
{
    PyErr_SetObject((PyObject *)Py_TYPE(exception), exception);
    return PyBool_FromLong(interrupt_scans(arrow::py::ConvertPyError()));
}

PyObject *interruption_is_raised(PyObject *, PyObject *)
{
    return PyBool_FromLong(is_interrupting());
}

PyObject *call_for_main_thread(PyObject *, PyObject *)
{
    if (interrupts.ready == getpid()) {
        call_for_main();
    } else {
        Py_BEGIN_ALLOW_THREADS; // for the thread that it may wait for
        call_for_main();
        Py_END_ALLOW_THREADS;
    }
    Py_RETURN_NONE;
}

PyObject *end_interruption(PyObject *, PyObject *)
{
    end_interrupt();
    Py_RETURN_NONE;
}

// Python code takes the signal, if the program leaves it to Python.
arrow::Status watch()
{
    arrow::py::OwnedRef module(PyImport_ImportModule("udfvm.functions.arrow_interrupts"));
    arrow::py::OwnedRef taken(module.obj() ? PyObject_CallMethod(module.obj(), "take", nullptr)
                                           : nullptr);
    PyErr_Clear(); // without threads or descriptors, calls go on without
    if (taken.obj() == Py_True) {
        interrupts.ready = getpid();
    } else {
        interrupts.next_ns = now_ns() + SECOND;
        interrupts.taken = 0;
    }
    return arrow::Status::OK();
}

} // namespace

bool is_main_thread()
{
    return syscall(SYS_gettid) == getpid();
}

void call_for_main()
{
    const int64_t now = now_ns();
    const pid_t process = getpid(); // a forked child has no thread that watches
    interrupts.last_ns = now;       // before `ready` is read: see give_interrupts_back
    if (interrupts.ready == process || now < interrupts.next_ns)
        return;
    pid_t taking = interrupts.taking;
    if (taking != process && interrupts.taking.compare_exchange_strong(taking, process)) {
        (void)arrow::py::SafeCallIntoPython(watch);
        interrupts.taking = 0;
    } else {
        // A signal in a call that began before the handler is there would wait for the scan's end.
        // The other thread does not come back where the interpreter ends meanwhile.
        while (interrupts.taking == process && now_ns() < now + SECOND)
            nanosleep(&LOOK, nullptr);
    }
}

PyMethodDef interrupt_methods[] = {
    { "take_interrupts", take_interrupts, METH_O,
      "take_interrupts(event)\n--\n\n"
      "Makes SIGINT add 1 to an eventfd where the main thread runs no Python code. False: the "
      "program has no handler for it." },
    { "give_interrupts_back", give_interrupts_back, METH_NOARGS,
      "give_interrupts_back()\n--\n\n"
      "Ends what take_interrupts() began. Nothing adds to the eventfd after that." },
    { "pass_interrupt_on", pass_interrupt_on, METH_NOARGS,
      "pass_interrupt_on()\n--\n\nLets the handler of the program have a SIGINT that came." },
    { "seconds_since_call", seconds_since_call, METH_NOARGS,
      "seconds_since_call()\n--\n\n"
      "Returns for how long no call was made for a scan of the main thread." },
    { "call_for_main", call_for_main_thread, METH_NOARGS,
      "call_for_main()\n--\n\n"
      "Says that another thread makes a call that the main thread may wait for." },
    { "interrupt_scans", interrupt_scans_by, METH_O,
      "interrupt_scans(exception)\n--\n\n"
      "Ends the scans of the main thread by an exception. False: there is none." },
    { "is_interrupting", interruption_is_raised, METH_NOARGS,
      "is_interrupting()\n--\n\nWhether a scan has that exception, and has not raised it." },
    { "end_interrupt", end_interruption, METH_NOARGS,
      "end_interrupt()\n--\n\nForgets the exception." },
    { nullptr, nullptr, 0, nullptr },
};

} // namespace udfvm
