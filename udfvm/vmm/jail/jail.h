/* The program udfvm-jail: what its files offer each other. */
#ifndef UDFVM_JAIL_PROGRAM_H
#define UDFVM_JAIL_PROGRAM_H

#include <pthread.h>
#include <stdbool.h>
#include <sys/types.h>

#include "jail/protocol.h"

/* ---- warden.c ---- */

/* Starts processes for the program at the other end of JAIL_SOCKET, until that is closed. */
int run_warden(const char *path);

/* ---- sandbox.c ---- */

/* Builds the walls around this process, whose warden is `parent`: a mask of enum udfvm_wall. Those
 * that must stand and do not are a failure. */
int build_walls(const struct jail_control *control, pid_t parent, unsigned *walls,
                struct udfvm_error *error);

/* ---- filter.c ---- */

/* From now on system calls that VMs do not need end this process. */
int install_filter(struct udfvm_error *error);

/* ---- serve.c ---- */

struct jail {
    struct jail_control *control;
    uint8_t *data;
    unsigned seen; /* messages */
    bool in_row;   /* the last came soon */
    bool silent;   /* what is closed is closed here alone */
    struct turn {  /* whose turn it is to ask the program: see turn.c */
        pthread_mutex_t lock;
        pthread_cond_t changed;
        pthread_t server; /* the thread that serves the program */
        bool waits, given, ends;
    } turn;
    struct udfvm_vm *vm;
    struct udfvm_image *images[JAIL_IMAGES];
    struct data_source {
        char name[UDFVM_MAX_DATA_NAME + 1];
        int fd;
    } sources[UDFVM_MAX_DATA_FILES]; /* that came, before all are there */
    size_t source_count;
    struct udfvm_files files;
    struct udfvm_host_functions host_functions;
    struct udfvm_log_sink log_sink;
};
/* Serves the program, until the process is ended. */
void serve(struct jail *jail) __attribute__((noreturn));

/* ---- data.c ---- */

/* Takes a file of the VM's data; with the last, the VM gets all. */
int take_data(struct jail *jail, const struct jail_message *message, int file,
              struct udfvm_error *error);

/* ---- forward.c ---- */

/* Makes what guests ask for a question to the program. */
void bind_forwards(struct jail *jail);

/* ---- turn.c ---- */

void begin_turns(struct jail *jail);
/* Waits until this thread may ask the program; false: its call ends, and it asks for nothing. What
 * the program answers is read before the turn ends. */
bool take_turn(struct jail *jail);
void end_turn(struct jail *jail);
/* Gives the turn to the vCPU's thread of a streaming call, if that waits, until it ends it. */
void give_turn(struct jail *jail);
/* From now on that thread waits in vain, or waits again. */
void refuse_turns(struct jail *jail, bool refuse);

/* ---- channel.c ---- */

/* The program's next message. */
const struct jail_message *next_message(struct jail *jail);
/* Answers it. `answer` is copied; of its message only what is there. */
void give_answer(struct jail *jail, const struct jail_answer *answer);
/* Asks for something, and waits for what was got. */
const struct jail_message *ask_program(struct jail *jail, const struct jail_answer *question);

#endif
