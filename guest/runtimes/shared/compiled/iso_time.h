/* Dates and times as text (ISO 8601, proleptic Gregorian calendar, no leap seconds). */
#ifndef UDFVM_COMPILED_ISO_TIME_H
#define UDFVM_COMPILED_ISO_TIME_H

#include "shared/compiled/type.h"

#define MAX_ISO_TIME 48 /* bytes of a text, with its NUL */

/* Writes "2024-02-29", or "2024-02-29T12:30:00". If the time has a fraction, ".500000" follows,
 * or as many as nine digits. */
void iso_time_write(enum type_time time, int64_t count, char text[MAX_ISO_TIME]);
/* Parses a date or time. Seconds, their fraction and "Z" may be missing. Returns false if it is not
 * valid, or not a whole number of units. */
bool iso_time_read(enum type_time time, const char *text, size_t length, int64_t *count);

#endif
