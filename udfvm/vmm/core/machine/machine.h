/* A machine: guest memory as it is mapped, the system area, and a hypervisor's VM on both. What is
 * here holds for any hypervisor. */
#ifndef UDFVM_MACHINE_MACHINE_H
#define UDFVM_MACHINE_MACHINE_H

#include <stdbool.h>
#include <stdint.h>

#include "udfvm_abi.h"

#include "api.h"
#include "hypervisor.h"
#include "machine/layout.h"
#include "machine/reserve.h"

#define MAX_MEMORY (64ull << 30)
#define MAX_XSAVE  ((size_t)(SYSTEM_XSAVE_END - SYSTEM_XSAVE))

/* Program memory and the logged part of the output window. */
#define SLOT_LOGGED 1u
/* Files that the function was given: data.h. */
#define SLOT_DATA 6u

/* ---- probe.c: what differs between processors, KVMs and emulators and can only be found by
 * trying; the first machine of a process tries it ---- */
struct machine;
struct behaviour {
    bool known;          /* false: the most cautious */
    bool syscall_stays;  /* `syscall` at ring 3 arrives at LSTAR still at CPL 3 */
    bool bitmap_ignored; /* the I/O bitmap permits nothing: the hypercall port needs IOPL 3 */
    bool has_keys;       /* ring 3 can write PKRU, whatever CR4 says */
};
void udfvm_behaviour(struct behaviour *behaviour);
/* Tries it in a new machine, whose flags have IOPL 3 and whose LSTAR is the gate that only ring 0
 * can execute. Its memory is as before then, but its processor must be reset. Nobody else may touch
 * the first TRIED_PAGES of memory meanwhile. */
#define TRIED_PAGES 2u
int udfvm_behaviour_try(const struct machine *machine, struct behaviour *behaviour,
                        struct udfvm_error *error);

/* ---- machine.c ---- */

/* Files of memory that windows lie in which another process maps, too. Behind output window and
 * scratch, that of the output window has the page of UDFVM_STREAM_REPLY. */
struct shared_windows {
    int input, output;
};
struct machine {
    struct hypervisor *hypervisor;
    struct registers *registers; /* the hypervisor's */
    uint8_t *system; /* SYSTEM_SIZE bytes, guest physical 0: the host's own, see system_area.c */
    /* What guests see of these is written through memory/span.h alone. */
    const uint8_t *memory;   /* the guest kernel (guest physical 1 MiB on), program memory, then the
                                logged part of the output window: one slot */
    const uint8_t *output;   /* inside the mapping of `memory` */
    const uint8_t *unlogged; /* the rest of the output window, and scratch: a slot that is not
                                logged; see memory/unlogged.c */
    const uint8_t *input;
    uint64_t memory_bytes; /* without the system area */
    uint64_t output_bytes, input_bytes;
    uint64_t unlogged_bytes;
    bool unlogged_open; /* the guest can reach it */
    bool shared;        /* windows, and the page that streaming calls reply in, are shared */
    int output_file;    /* of shared windows, where the guest runs here; -1: none */
    struct behaviour behaviour;
    uint64_t rflags;         /* at ring 3, but for status flags */
    uint8_t *page_tables;    /* a copy; NULL: there was no memory for it */
    struct udfvm_data *data; /* NULL: none; see data.h */
    struct reserve reserve;
};
int udfvm_config_check(const struct udfvm_config *config, struct udfvm_error *error);
/* Creates a machine of anonymous memory that is not logged. `shared` NULL: nobody else maps the
 * windows. */
int udfvm_machine_create(struct machine *machine, const struct udfvm_config *config,
                         const struct shared_windows *shared, struct udfvm_error *error);
/* The three steps of creating one, after each of which it may be destroyed. First the memory:
 * anonymous (image_fd < 0) or a private mapping of image_fd at image_offset. */
int udfvm_machine_map(struct machine *machine, const struct udfvm_config *config, int image_fd,
                      uint64_t image_offset, const struct shared_windows *shared,
                      struct udfvm_error *error);
/* Then the hypervisor's VM. What is to be in memory may be written meanwhile. */
int udfvm_machine_start(struct machine *machine, bool logged, struct udfvm_error *error);
/* And how the processor behaves, if the process does not know that yet. The memory is as before,
 * and may be written meanwhile, but for its first TRIED_PAGES. */
int udfvm_machine_try(struct machine *machine, struct udfvm_error *error);
void udfvm_machine_destroy(struct machine *machine);
/* A new VM on the same guest memory, which stays as it is; what the dirty log said is lost. */
int udfvm_machine_renew(struct machine *machine, struct udfvm_error *error);
/* Lets the guest reach unlogged memory. */
int udfvm_machine_open_unlogged(struct machine *machine, struct udfvm_error *error);
/* A pool of page tables, of memory that the guest has nowhere in its virtual memory; tells its
 * address. */
int udfvm_machine_add_tables(struct machine *machine, const void *tables, uint64_t bytes,
                             uint64_t *physical, struct udfvm_error *error);
/* The hypervisor forgets what leads to program memory, whose address in the guest is `physical`, so
 * it looks at the guest's page tables anew. */
int udfvm_machine_refresh(struct machine *machine, uint64_t physical, uint64_t bytes,
                          struct udfvm_error *error);
/* In a forked child, which has no such mappings: destroying must not unmap what lies there now. */
void udfvm_machine_forget_memory(struct machine *machine);
/* Whether a forked child gets a copy, made on writing, of the output window and scratch. */
int udfvm_machine_inherit_output(const struct machine *machine, bool inherit,
                                 struct udfvm_error *error);
/* Host address of [address, address + length) in guest virtual memory that ring 3 can write (RAM,
 * output window), to read it; NULL if it is not, or does not lie here in one piece. */
const void *udfvm_machine_address(const struct machine *machine, uint64_t address, uint64_t length);
/* The same, of as much from the address on as lies in one piece: `length` becomes less then. */
const void *udfvm_machine_piece(const struct machine *machine, uint64_t address, uint64_t *length);
/* Copies what may lie in pieces. False: not all of it is there. */
bool udfvm_machine_read(const struct machine *machine, uint64_t address, void *to, uint64_t length);

/* Contents of program memory from its start, of a machine that ran no guest's code yet. */
void udfvm_machine_load(const struct machine *machine, const void *data, uint64_t length);
/* Gives memory of a VM back: it holds nothing then, or what the image's file has there. */
int udfvm_machine_drop(const struct machine *machine, const uint8_t *memory, uint64_t length);
/* The page that streaming calls reply in, and of UDFVM_TIMER, as an offset in program memory. */
#define STREAM_REPLY_OFFSET ((UDFVM_STREAM_REPLY & ~(UDFVM_PAGE_SIZE - 1)) - SYSTEM_SIZE)
/* Shares that page, of a machine whose windows are shared: it holds nothing then. */
int udfvm_machine_share_reply(const struct machine *machine, struct udfvm_error *error);
/* Makes huge pages of memory that is all there, if the system can: they may stay small. */
void udfvm_machine_join(const uint8_t *memory, uint64_t length);
/* munmap(2) and madvise(2) on guest memory. */
void udfvm_machine_unmap(const uint8_t *memory, uint64_t length);
int udfvm_machine_advise(const uint8_t *memory, uint64_t length, int advice);

/* ---- page_tables.c ---- */
void udfvm_page_tables_keep(struct machine *machine); /* as they are now, they are right */
bool udfvm_page_tables_changed(const struct machine *machine);
void udfvm_page_tables_forget(struct machine *machine);

/* ---- system_area.c ---- */
void udfvm_system_area_fill(const struct machine *machine);
/* The stubs, with the machine's flags in them: a part of that. */
void udfvm_system_area_fill_stubs(const struct machine *machine);
/* Lets the guest reach unlogged memory. */
void udfvm_system_area_open(const struct machine *machine);
/* The same of data. */
void udfvm_system_area_map_data(const struct machine *machine);
/* Leads the walk of a GiB to a page directory, whose entry this is. */
void udfvm_system_area_lead(struct machine *machine, uint64_t virtual, uint64_t entry);
uint64_t udfvm_system_area_resume_stub(const struct machine *machine);
bool udfvm_system_area_stack_used(
    const uint8_t *system); /* there was an exception since it was scrubbed */
void udfvm_system_area_scrub_stack(uint8_t *system);
/* Sealed state that the resume stub loads. */
struct sealed_state {
    struct registers registers; /* general registers; RIP is the resume stub */
    uint64_t resume_rip, fs_base, gs_base;
    uint64_t xsave_length;
    uint8_t xsave[SYSTEM_XSAVE_END - SYSTEM_XSAVE];
};
void udfvm_system_area_state(uint8_t *system, const struct sealed_state *state);

#endif
