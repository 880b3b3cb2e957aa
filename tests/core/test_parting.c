/* Where the process of a jailed VM runs: a child that sleeps is the process, and the test says
 * which processor it answered on. Usage: test_parting. Prints what holds and what failed. */
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/process.h"
#include "check.h"
#include "jail/cell.h"

#define MANY  64
#define MIB   (1ull << 20)
#define LARGE (8 * MIB)

static struct jail_control control;
static struct cell cell;
static cpu_set_t all, others;

/* Of a thread with one processor: then it is known. */
static void begin(void)
{
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET((size_t)sched_getcpu(), &one);
    memset(&cell, 0, sizeof cell);
    cell.control = &control;
    cell.pid = fork();
    if (cell.pid == 0)
        for (;;)
            pause();
    sched_setaffinity(cell.pid, sizeof all, &all);
    sched_setaffinity(0, sizeof one, &one);
    CPU_XOR(&others, &all, &one);
}

static void end_process(void)
{
    kill(cell.pid, SIGKILL);
    waitpid(cell.pid, NULL, 0);
}

static void end(void)
{
    sched_setaffinity(0, sizeof all, &all);
    udfvm_parting_forget();
}

/* A call; whether the process was kept from this processor meanwhile. */
static bool call(bool together, uint64_t length)
{
    cpu_set_t during, after;
    const int here = sched_getcpu();
    atomic_store(&control.answered.processor, together ? here : here + 1);
    udfvm_cell_begin_call(&cell, length);
    sched_getaffinity(cell.pid, sizeof during, &during);
    udfvm_cell_end_call(&cell);
    sched_getaffinity(cell.pid, sizeof after, &after);
    check_number(CPU_EQUAL(&after, &all), "after a call the process may not use all processors",
                 CPU_COUNT(&after));
    check_number(CPU_EQUAL(&during, &all) || CPU_EQUAL(&during, &others),
                 "it may use others than those that are not this thread's", CPU_COUNT(&during));
    return CPU_EQUAL(&during, &others);
}

/* Calls until it is moved; more than MANY: it was not. */
static int calls_until_moved(bool together, uint64_t length)
{
    int calls = 1;
    while (calls <= MANY && !call(together, length))
        calls++;
    return calls;
}

static void test_it_is_moved(void)
{
    begin();
    const int small = calls_until_moved(true, 8);
    check_number(1 < small && small < MANY, "small calls until it was moved", small);
    end_process();
    end();
    begin();
    check_number(calls_until_moved(true, LARGE) == 1, "a large call on one processor", 0);
    end_process();
    end();
}

static void test_it_stays(void)
{
    begin();
    check_number(calls_until_moved(false, LARGE) > MANY, "it was elsewhere, and was moved", 0);
    int calls = 0;
    for (int i = 0; i < MANY; i++) /* in a row */
        calls += call(i % 2, 8);
    check_number(calls == 0, "it was moved after single calls on one processor", calls);
    end_process();
    end();
}

static void test_patience(void)
{
    begin();
    const int first = calls_until_moved(true, 8), then = calls_until_moved(true, 8);
    check_number(then > first, "it came back at once, and is moved as soon again", then);
    for (int i = 0; i < MANY; i++)
        call(false, 8);
    const int last = calls_until_moved(true, 8);
    check_number(last == first, "it stayed for long, but is moved later", last);
    end_process();
    end();
}

/* As with threads that all wait for processes of theirs. */
static void test_there_is_no_room(void)
{
    static struct cell busy[CPU_SETSIZE];
    begin();
    for (size_t i = 0; i < CPU_SETSIZE; i++) {
        busy[i].control = &control;
        udfvm_cell_begin_call(&busy[i], 8);
    }
    check_number(calls_until_moved(true, LARGE) > MANY, "it was moved to a busy processor", 0);
    for (size_t i = 0; i < CPU_SETSIZE; i++)
        udfvm_cell_end_call(&busy[i]);
    check_number(calls_until_moved(true, LARGE) <= MANY, "calls that have ended take room", 0);
    end_process();
    end();
}

static void test_it_has_ended(void)
{
    begin();
    end_process();
    atomic_store(&control.answered.processor, sched_getcpu());
    for (int i = 0; i < MANY; i++) {
        udfvm_cell_begin_call(&cell, LARGE);
        check_number(!cell.parting.moved, "a process that has ended was moved", i);
        udfvm_cell_end_call(&cell);
    }
    end();
}

int main(void)
{
    static const struct test tests[] = {
        { "moved", test_it_is_moved },  { "stays", test_it_stays },
        { "patience", test_patience },  { "no room", test_there_is_no_room },
        { "ended", test_it_has_ended },
    };
    sched_getaffinity(0, sizeof all, &all);
    if (udfvm_processors() > 1) /* which is remembered */
        run_tests(tests, sizeof tests / sizeof *tests, NULL);
    else
        for (size_t i = 0; i < sizeof tests / sizeof *tests; i++)
            puts("nothing to move on one processor holds");
    return failures != 0;
}
