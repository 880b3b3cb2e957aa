/* Data: files that the function was given, which the host maps read-only at UDFVM_DATA_BASE. */
#ifndef UDFVM_DATA_H
#define UDFVM_DATA_H

#include "kernel.h"

/* NULL: this call has none. */
const struct udfvm_data_directory *data_directory(void);
/* The file with so long a name; NULL: there is none. */
const struct udfvm_data_file *data_find(const char *name, size_t length);
/* Whether a range lies in the pages of one file, all of which can be read. */
bool in_data(uint64_t address, uint64_t length);

#endif
