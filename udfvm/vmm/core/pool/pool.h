/* A pool, and what its files offer each other. */
#ifndef UDFVM_POOL_POOL_H
#define UDFVM_POOL_POOL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "call/vm.h"

struct udfvm_pool {
    pthread_mutex_t lock;
    pthread_cond_t freed;
    atomic_int references; /* the owners' and one for each VM taken */
    atomic_uint borrowed;  /* VMs whose replies are in use */
    unsigned generation;   /* of the process that created it */
    struct udfvm_image *base;
    const struct udfvm_files *files;
    struct udfvm_data *data; /* of each VM; NULL: none */
    unsigned limit, live, idle_count, max_idle;
    bool closed;  /* no more VMs are taken */
    bool jailed;  /* VMs run in processes of their own */
    char *cgroup; /* of these; NULL: none */
    struct idle {
        struct udfvm_vm *vm;
        uint64_t since_ns;
    } *idle;                              /* of capacity `limit`; the last was used last */
    struct udfvm_vm *vms;                 /* all that are live: see memory.c */
    struct udfvm_pool *following, **link; /* among all pools of this process: see fork.c */
};

/* Takes an idle VM out. Called with the lock held. */
struct udfvm_vm *udfvm_pool_remove_idle(struct udfvm_pool *pool, unsigned index);
/* A VM that counted as live is closed. */
void udfvm_pool_forget_vm(struct udfvm_pool *pool);

/* ---- memory.c ---- */

/* A new VM, which counts as live. */
void udfvm_pool_add_vm(struct udfvm_pool *pool, struct udfvm_vm *vm);
/* Closes a VM of the pool, without the lock held. */
void udfvm_pool_close_vm(struct udfvm_pool *pool, struct udfvm_vm *vm, enum udfvm_vm_event why);

/* ---- notices.c ---- */

/* Without the lock held. */
void udfvm_pool_tell(const struct udfvm_pool *pool, const struct udfvm_vm *vm,
                     enum udfvm_vm_event event);

/* ---- fork.c ---- */

void udfvm_pool_register(struct udfvm_pool *pool);
void udfvm_pool_unregister(struct udfvm_pool *pool);

#endif
