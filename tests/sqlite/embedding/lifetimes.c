/* A program without Python that uses the extension from several threads, in the order that its
 * arguments say.
 *
 * lifetimes EXTENSION STEP...; a step is a letter, for threads a and b with the thread before it
 * ("aL"): L  the thread opens a connection and loads the extension        C  it runs a statement of
 * two calls, to its end S  it begins a statement and takes ten rows                     N  it takes
 * a row more F  it ends the statement                                        X  it closes the
 * connection, and ends the statement, where one runs K  as its end, the thread closes the
 * connection in a destructor of thread-specific data, after a call there E  the thread ends R  it
 * begins a call that does not end, and is left in it, in the midst of the first look whether the
 * call is interrupted f  the process forks; the child uses, closes and ends everything that it
 * inherited, and its exit status is looked at w  time passes until the deadlines of all calls so
 * far would have passed l  data that threads get with k have a destructor that runs behind the
 * library's own, where that is loaded p  the process ends with its last thread, as the main thread
 * ends here Behind the last step the process ends by exit(), whatever its threads have open or are
 * doing. Prints "end" before it does. */
#include <pthread.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define ROWS                                                                                 \
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000) SELECT " \
    "vm_udf('lifetime', i) FROM n"
#define LOOK_US     1000u
#define DEADLINE_US 300000u /* twice the timeout that the function was sealed with */

static const char *extension;
static pthread_key_t early_key, late_key;

struct actor {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool started, busy;
    char step; /* 0: none to do */
    sqlite3 *connection;
    sqlite3_stmt *statement;
};

static void die(const char *what, const char *why)
{
    printf("%s: %s\n", what, why);
    fflush(stdout);
    _exit(9);
}

static int row(void *data, int count, char **values, char **names)
{
    (void)names;
    ++*(int *)data;
    return count != 1 || !values[0];
}

static void load(struct actor *actor)
{
    char *error = NULL;
    if (sqlite3_open(":memory:", &actor->connection) != SQLITE_OK)
        die("open", sqlite3_errmsg(actor->connection));
    sqlite3_enable_load_extension(actor->connection, 1);
    if (sqlite3_load_extension(actor->connection, extension, NULL, &error) != SQLITE_OK)
        die("load", error);
}

static void call(struct actor *actor)
{
    char *error = NULL;
    int rows = 0;
    if (sqlite3_exec(actor->connection,
                     "SELECT vm_udf('lifetime', 1) UNION ALL SELECT vm_udf('lifetime', 2)", row,
                     &rows, &error) ||
        rows != 2)
        die("call", error ? error : "rows are missing");
}

static void take_row(struct actor *actor)
{
    if (sqlite3_step(actor->statement) != SQLITE_ROW)
        die("step", sqlite3_errmsg(actor->connection));
}

static void begin(struct actor *actor)
{
    if (sqlite3_prepare_v2(actor->connection, ROWS, -1, &actor->statement, NULL) != SQLITE_OK)
        die("prepare", sqlite3_errmsg(actor->connection));
    for (int i = 0; i < 10; i++)
        take_row(actor);
}

static void finish(struct actor *actor)
{
    sqlite3_finalize(actor->statement);
    actor->statement = NULL;
}

static void close_connection(struct actor *actor)
{
    finish(actor);
    if (sqlite3_close(actor->connection) != SQLITE_OK)
        die("close", sqlite3_errmsg(actor->connection));
    actor->connection = NULL;
}

/* Of thread-specific data: runs as the thread ends, before and after the library's own. */
static void close_at_the_end(void *data)
{
    struct actor *actor = data;
    if (!actor->connection)
        return;
    call(actor);
    close_connection(actor);
}

static atomic_int looks; /* that run: SQLite's shared locks may be held */

/* A progress handler. It is asked in the midst of the call alone: the statement itself is short. */
static int is_in_the_call(void *data)
{
    struct actor *actor = data;
    atomic_fetch_add(&looks, 1);
    pthread_mutex_lock(&actor->lock);
    if (actor->step == 'R') {
        actor->step = 0;
        pthread_cond_broadcast(&actor->changed);
    }
    pthread_mutex_unlock(&actor->lock);
    usleep(LOOK_US);
    atomic_fetch_sub(&looks, 1);
    return 0;
}

/* It does not return, but by the end of the process. */
static void call_for_ever(struct actor *actor)
{
    sqlite3_stmt *statement = NULL;
    if (sqlite3_prepare_v2(actor->connection, "SELECT vm_udf('for_ever', 1)", -1, &statement,
                           NULL) != SQLITE_OK)
        die("prepare", sqlite3_errmsg(actor->connection));
    actor->busy = true;
    pthread_mutex_unlock(&actor->lock);
    sqlite3_progress_handler(actor->connection, 500, is_in_the_call, actor);
    sqlite3_step(statement);
    die("the endless call", sqlite3_errmsg(actor->connection));
}

static void do_step(struct actor *actor, char step)
{
    switch (step) {
    case 'L':
        load(actor);
        break;
    case 'C':
        call(actor);
        break;
    case 'S':
        begin(actor);
        break;
    case 'N':
        take_row(actor);
        break;
    case 'F':
        finish(actor);
        break;
    case 'X':
        close_connection(actor);
        break;
    case 'R':
        call_for_ever(actor);
        break;
    case 'K':
        pthread_setspecific(early_key, actor);
        break;
    case 'k':
        pthread_setspecific(late_key, actor);
        break;
    default:
        break;
    }
}

static void *run_actor(void *data)
{
    struct actor *actor = data;
    pthread_mutex_lock(&actor->lock);
    for (char step = 0; step != 'E' && step != 'K' && step != 'k';) {
        while (!actor->step)
            pthread_cond_wait(&actor->changed, &actor->lock);
        step = actor->step;
        do_step(actor, step);
        actor->step = 0;
        pthread_cond_broadcast(&actor->changed);
    }
    pthread_mutex_unlock(&actor->lock);
    return NULL;
}

static void order(struct actor *actor, char step)
{
    if (!actor->started && pthread_create(&actor->thread, NULL, run_actor, actor) != 0)
        die("thread", "cannot be started");
    actor->started = true;
    pthread_mutex_lock(&actor->lock);
    actor->step = step;
    pthread_cond_broadcast(&actor->changed);
    while (actor->step)
        pthread_cond_wait(&actor->changed, &actor->lock);
    pthread_mutex_unlock(&actor->lock);
    if (step == 'E' || step == 'K' || step == 'k') {
        pthread_join(actor->thread, NULL);
        actor->started = false;
    }
}

/* What a child inherited fails with errors, if at all, and goes. */
static void use_inherited(struct actor *actor)
{
    char *error = NULL;
    int rows = 0;
    const int code = sqlite3_exec(actor->connection, "SELECT vm_udf('lifetime', 1)", row, &rows,
                                  &error);
    if (code != SQLITE_OK && !(error && strstr(error, "after the fork")))
        die("call of a forked child", error ? error : "failed without a text");
    sqlite3_free(error);
    if (actor->statement && sqlite3_step(actor->statement) == SQLITE_ROW)
        die("statement of a forked child", "goes on");
    if (actor->statement && !strstr(sqlite3_errmsg(actor->connection), "after the fork"))
        die("statement of a forked child", sqlite3_errmsg(actor->connection));
    close_connection(actor);
}

/* The child has no other thread. SQLite's own lock of a busy connection is held for ever. */
static void be_child(struct actor *actors, size_t count)
{
    if (atomic_load(&looks))
        die("the process was forked", "in the midst of a look whether a call is interrupted");
    for (size_t i = 0; i < count; i++)
        if (actors[i].connection && !actors[i].busy)
            use_inherited(&actors[i]);
    struct actor own = { .started = true };
    load(&own);
    call(&own);
    close_connection(&own);
    exit(0);
}

static void fork_here(struct actor *actors, size_t count)
{
    int status = 0;
    fflush(stdout);
    const pid_t child = fork();
    if (child == 0)
        be_child(actors, count);
    if (child < 0 || waitpid(child, &status, 0) != child || status != 0) {
        char text[64];
        snprintf(text, sizeof text, "ended with status %#x", (unsigned)status);
        die("forked child", text);
    }
}

static void end_main_thread(void)
{
    puts("end");
    fflush(stdout);
    pthread_exit(NULL);
}

int main(int count, char **arguments)
{
    static struct actor actors[2];
    if (count < 2)
        return 2;
    extension = arguments[1];
    pthread_key_create(&early_key, close_at_the_end);
    for (size_t i = 0; i < 2; i++) {
        pthread_mutex_init(&actors[i].lock, NULL);
        pthread_cond_init(&actors[i].changed, NULL);
    }
    for (int i = 2; i < count; i++) {
        const char *step = arguments[i];
        if (step[0] == 'f')
            fork_here(actors, 2);
        else if (step[0] == 'w')
            usleep(DEADLINE_US);
        else if (step[0] == 'p')
            end_main_thread();
        else if (step[0] == 'l')
            pthread_key_create(
                &late_key, close_at_the_end); /* behind the library's own, where that was loaded */
        else
            order(&actors[step[0] - 'a'], step[1]);
    }
    puts("end");
    fflush(stdout);
    exit(0);
}
