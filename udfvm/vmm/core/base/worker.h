/* Work on much memory, which a second thread shares. */
#ifndef UDFVM_BASE_WORKER_H
#define UDFVM_BASE_WORKER_H

#include <stdatomic.h>
#include <stddef.h>

struct work {
    void (*chunk)(struct work *work, size_t index); /* does one chunk, on either thread */
    size_t chunks;                                  /* how many there are */
    /* worker.c's own */
    size_t next; /* the first chunk that nobody took */
    atomic_size_t done;
    struct work *after;
};
/* The worker may begin. The work stays where it is until it is finished or abandoned. */
void udfvm_work_offer(struct work *work);
/* Does what is left, and waits for what the worker does. */
void udfvm_work_finish(struct work *work);
/* As udfvm_work_finish, without the chunks that nobody began. */
void udfvm_work_abandon(struct work *work);
/* From now on who needs work done does it alone. */
void udfvm_worker_forbid(void);
/* In a forked child, which has no worker. */
void udfvm_worker_forget(void);

#endif
