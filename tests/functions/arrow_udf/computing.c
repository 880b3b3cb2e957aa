/* A module for arrow-udf that computes, with the reader of Arrow files of the guest. */
#include "module.h"
#include "templates.h" /* of results, from pyarrow */
#include "wasm/arrow_file.h"

static int result(struct slice *out, const uint8_t *template, size_t size,
                  const struct column *columns, size_t count, int64_t rows)
{
    struct file_format format;
    if (!file_format_take(&format, template, size, columns, count))
        return fail(out, "no template");
    const uint64_t length = file_length(&format, columns, count, rows);
    uint8_t *file = malloc(length);
    file_write(&format, columns, count, rows, file);
    const int status = answer(out, file, length, 0);
    free(file);
    return status;
}

static int take(const uint8_t *file, uint32_t length, struct column *columns, size_t count,
                int64_t *rows)
{
    size_t found;
    return file_read(file, length, columns, count, &found, rows) && found == count;
}

int gcd(const uint8_t *file, uint32_t length, struct slice *out)
{
    struct column columns[2] = { { .storage = STORAGE_INT32 }, { .storage = STORAGE_INT32 } };
    int64_t rows;
    if (!take(file, length, columns, 2, &rows))
        return fail(out, "cannot read");
    int32_t *made = calloc(rows, 4);
    uint8_t *validity = calloc(1, rows / 8 + 1);
    for (int64_t row = 0; row < rows; row++) {
        int32_t a = ((const int32_t *)columns[0].data)[row],
                b = ((const int32_t *)columns[1].data)[row];
        if (column_is_null(&columns[0], row) || column_is_null(&columns[1], row))
            continue;
        while (b) {
            const int32_t rest = a % b;
            a = b;
            b = rest;
        }
        made[row] = a;
        validity[row >> 3] |= 1 << (row & 7);
    }
    const struct column column = { .storage = STORAGE_INT32,
                                   .data = (const uint8_t *)made,
                                   .validity = validity };
    return result(out, int32_result, sizeof int32_result, &column, 1, rows);
}

/* int64: the same name with other types. */
int gcd_wide(const uint8_t *file, uint32_t length, struct slice *out)
{
    return fail(out, "the wide one");
}

int repeat(const uint8_t *file, uint32_t length, struct slice *out)
{
    struct column columns[2] = { { .storage = STORAGE_TEXT32 }, { .storage = STORAGE_INT32 } };
    int64_t rows;
    if (!take(file, length, columns, 2, &rows))
        return fail(out, "cannot read");
    int32_t *offsets = calloc(rows + 1, 4), *wrong = calloc(rows + 1, 4);
    char *bytes = calloc(1, 1 << 20), *messages = calloc(1, 1 << 16);
    uint8_t *failed = calloc(1, rows / 8 + 1);
    for (int64_t row = 0; row < rows; row++) {
        const int32_t *from = (const int32_t *)columns[0].offsets + row,
                      times = ((const int32_t *)columns[1].data)[row];
        offsets[row + 1] = offsets[row];
        wrong[row + 1] = wrong[row];
        if (times < 0) {
            wrong[row + 1] += sprintf(messages + wrong[row], "%d times?", (int)times);
            failed[row >> 3] |= 1 << (row & 7);
        }
        for (int32_t i = 0; i < times; i++, offsets[row + 1] += from[1] - from[0])
            memcpy(bytes + offsets[row + 1], columns[0].data + from[0], from[1] - from[0]);
    }
    const struct column made[2] = {
        { .storage = STORAGE_TEXT32, .data = (const uint8_t *)bytes, .offsets = offsets },
        { .storage = STORAGE_TEXT32,
          .data = (const uint8_t *)messages,
          .offsets = wrong,
          .validity = failed },
    };
    return result(out, text_and_error, sizeof text_and_error, made, 2, rows);
}

int panic(const uint8_t *file, uint32_t length, struct slice *out)
{
    fprintf(stderr, "\nthread 'main' panicked: unlucky %d\n", 13);
    __builtin_trap();
}
int refuse(const uint8_t *file, uint32_t length, struct slice *out)
{
    return fail(out, "I refuse");
}
int outside(const uint8_t *file, uint32_t length, struct slice *out)
{
    *out = (struct slice){ (void *)0x7fff0000, 100 };
    return 0;
}
int junk(const uint8_t *file, uint32_t length, struct slice *out)
{
    return answer(out, "ARROW1\0\0junkjunkjunkjunk", 24, 0);
}

/* The numbers from 1 to n, as text, for each n: batches of seven; an error where one would be 1000.
 */
struct iterator {
    int64_t rows, row;
    int32_t *limits, at;
};
int count_to(const uint8_t *file, uint32_t length, struct slice *out)
{
    struct column columns[1] = { { .storage = STORAGE_INT32 } };
    struct iterator *iterator = calloc(1, sizeof *iterator);
    if (!take(file, length, columns, 1, &iterator->rows))
        return fail(out, "cannot read");
    iterator->limits = malloc(iterator->rows * 4 + 4);
    for (int64_t row = 0; row < iterator->rows; row++)
        iterator->limits[row] = column_is_null(&columns[0], row)
                                    ? 2
                                    : ((const int32_t *)columns[0].data)[row];
    if (iterator->rows == 1 && iterator->limits[0] < 0)
        return fail(out, "no negative numbers");
    *out = (struct slice){ iterator, sizeof *iterator };
    return 0;
}
static int dropped;
__attribute__((export_name("record_batch_iterator_drop"))) void drop_iterator(
    struct iterator *iterator)
{
    free(iterator->limits);
    free(iterator);
    dropped++;
}
__attribute__((export_name("record_batch_iterator_next"))) void next_batch(
    struct iterator *iterator, struct slice *out)
{
    int32_t rows[7], offsets[8] = { 0 }, wrong[8] = { 0 }, count = 0;
    char bytes[100], messages[100];
    uint8_t validity[1] = { 0xff }, failed[1] = { 0 };
    for (; count < 7 && iterator->row < iterator->rows; count++) {
        if (iterator->at >= iterator->limits[iterator->row]) {
            iterator->row++;
            iterator->at = 0;
            count--;
            continue;
        }
        rows[count] = iterator->row;
        offsets[count + 1] = offsets[count];
        wrong[count + 1] = wrong[count];
        if (++iterator->at == 1000) {
            wrong[count + 1] += sprintf(messages + wrong[count], "too far");
            failed[0] |= 1 << count;
        } else if (iterator->at == 3) {
            validity[0] &= ~(1 << count);
        } else {
            offsets[count + 1] += sprintf(bytes + offsets[count], "%d", (int)iterator->at);
        }
    }
    const struct column made[3] = {
        { .storage = STORAGE_INT32, .data = (const uint8_t *)rows },
        { .storage = STORAGE_TEXT32,
          .data = (const uint8_t *)bytes,
          .offsets = offsets,
          .validity = validity },
        { .storage = STORAGE_TEXT32,
          .data = (const uint8_t *)messages,
          .offsets = wrong,
          .validity = failed },
    };
    if (count == 0)
        *out = (struct slice){ NULL, 0 };
    else
        result(out, table_result, sizeof table_result, made, 3, count);
}
int count_dropped(const uint8_t *file, uint32_t length, struct slice *out)
{
    const struct column column = { .storage = STORAGE_INT32, .data = (const uint8_t *)&dropped };
    return result(out, int32_result, sizeof int32_result, &column, 1, 1);
}
int count_freed(const uint8_t *file, uint32_t length, struct slice *out)
{
    const int32_t number = freed;
    const struct column column = { .storage = STORAGE_INT32, .data = (const uint8_t *)&number };
    return result(out, int32_result, sizeof int32_result, &column, 1, 1);
}
