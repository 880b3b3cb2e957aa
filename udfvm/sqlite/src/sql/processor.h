/* The processor of this machine, as far as programs choose their code by it. */
#ifndef UDFVM_SQLITE_PROCESSOR_H
#define UDFVM_SQLITE_PROCESSOR_H

#include <stdbool.h>

/* Hashes the lines of /proc/cpuinfo that images/host.py uses, of the first processor: SHA-256 in
 * hexadecimal. Returns false if it cannot. */
bool processor_digest(char text[65]);

#endif
