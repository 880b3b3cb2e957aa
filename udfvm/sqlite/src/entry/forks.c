/* Forks: a lock that is held, or data that another thread is using, would stay so in the child for
 * ever. */
#include <pthread.h>

#include "connection/registry.h"
#include "statement/session.h"

static void before_fork(void)
{
    watch_before_fork();
    registries_before_fork();
}

static void in_parent(void)
{
    registries_in_parent();
    watch_in_parent();
}

static void in_child(void)
{
    watch_in_child();
    registries_in_child();
}

__attribute__((constructor)) static void watch_forks(void)
{
    pthread_atfork(before_fork, in_parent, in_child);
}
