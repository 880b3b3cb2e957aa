/* The clocks of a call. */
#ifndef UDFVM_CLOCK_H
#define UDFVM_CLOCK_H

#include "kernel.h"

uint64_t monotonic_ns(void);
int64_t realtime_ns(void);
uint64_t process_ns(void); /* processor time of the program */
uint64_t microseconds_to_stamps(uint64_t microseconds);
bool clock_is_fixed(void); /* the call is deterministic: its clocks stand still but for waiting */
/* Waits, where nothing else can run. */
void clock_wait_until(uint64_t monotonic_deadline);
void clock_prepare_seal(void);
void clock_begin_row(void); /* in a deterministic call: all clocks go back to its beginning */

#endif
