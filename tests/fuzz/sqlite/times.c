/* Dates and times as texts and counts: what is read is written as it was, and the other way round.
 */
#include <string.h>

#include "connection/times.h"
#include "udfvm_abi.h"

#include "guest.h"

static struct udfvm_sqlite_times take_times(struct input *input, uint32_t *type)
{
    static const uint64_t units[] = { 1, 1000, 1000000, 1000000000, 86400000 };
    const uint8_t how = input_byte(input);
    const struct udfvm_sqlite_times times = { how % 3 + 1, how >> 2 & 1, units[how / 8 % 5] };
    *type = times.form == UDFVM_SQLITE_TIME_COUNT ? UDFVM_TYPE_TEXT : UDFVM_TYPE_INT64;
    return times;
}

/* A count has one text, which means that count. */
static void write_and_read(const struct udfvm_sqlite_times *times, int64_t count)
{
    char text[TIMES_TEXT];
    int64_t again;
    memset(text, 'x', sizeof text);
    const size_t length = times_write(times, count, text);
    if (length >= sizeof text)
        defect("a text that is too long");
    if (length && (!times_read(times, text, length, &again) || again != count))
        defect("a text that means another count");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = { data, size };
    uint32_t type;
    int64_t count;
    const struct udfvm_sqlite_times times = take_times(&input, &type);
    if (!times_valid(&times, type))
        return 0;
    if (times_read(&times, (const char *)input.at, input.left, &count))
        write_and_read(&times, count);
    if (input.left >= 8)
        write_and_read(&times, (int64_t)input_word(&input));
    return 0;
}
