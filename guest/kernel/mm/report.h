/* Reports about memory: its use, mappings, refused requests. */
#ifndef UDFVM_REPORT_H
#define UDFVM_REPORT_H

#include "kernel.h"

struct memory_statistics {
    uint64_t total, used; /* bytes of program memory */
    uint64_t reserved;    /* address space of the program besides */
};
void memory_statistics(struct memory_statistics *statistics);
/* RLIMIT_AS. */
void address_space_set_limit(uint64_t wanted);
/* Whether the program may not map so much more. What is mapped at `address` goes; 0: nothing. */
bool address_space_exceeded(uint64_t address, uint64_t length);
/* Text of /proc/self/maps; returns its length, cut at size. */
size_t memory_maps(char *buffer, size_t size);
/* "path+offset" of a mapped file, for reports; empty where there is none. */
void memory_describe(uint64_t address, char *buffer, size_t size);
/* Notes that so much memory was refused in this call. */
void memory_note_refusal(uint64_t length);
/* Says what was refused, for the report of a program that ended; "" where nothing was. */
void memory_describe_refusal(char *text, size_t size);

#endif
