/* Files of sealed functions that anybody may have written: attached by SQL, then called. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <unistd.h>

#include "api.h"
#include "udfvm_abi.h"

#include "sql.h"
#include "sql/processor.h"

#define HEAD 65536u /* as in sealed_file.c */

static char head[HEAD], processor[65];
static int file = -1;
static uint64_t base_length, layer_length;

/* ---- The file ---- */

/* Behind what is there, without its holes; returns its length. */
static uint64_t append(int from)
{
    const off_t size = lseek(from, 0, SEEK_END), start = lseek(file, 0, SEEK_END);
    off_t at = 0;
    if (ftruncate(file, start + size) < 0)
        defect("the file cannot grow");
    while ((at = lseek(from, at, SEEK_DATA)) >= 0 && at < size) {
        const off_t hole = lseek(from, at, SEEK_HOLE);
        lseek(file, start + at, SEEK_SET);
        if (sendfile(file, from, &at, (size_t)(hole - at)) <= 0)
            defect("the file cannot be written");
    }
    return (uint64_t)size;
}

int LLVMFuzzerInitialize(int *count, char ***arguments)
{
    (void)count, (void)arguments;
    const struct sql_images images = sql_image_files();
    file = memfd_create("udfvm-fuzz", MFD_CLOEXEC);
    if (file < 0 || ftruncate(file, HEAD) < 0)
        defect("no file");
    base_length = append(images.base);
    layer_length = append(images.layer);
    if (!processor_digest(processor))
        defect("no processor");
    return 0;
}

/* The note of the input, then right lines about what differs from machine to machine: where the
 * input has such a line, that one counts. */
static void write_note(struct input *input)
{
    const unsigned room = 512;
    size_t length = HEAD - room;
    const uint8_t *note = input_bytes(input, &length);
    memset(head, 0, sizeof head);
    memcpy(head, note, length);
    snprintf(head + length, room, "\nprocessor %s\nbase %u %llu\nlayer %llu %llu\n", processor,
             HEAD, (unsigned long long)base_length, (unsigned long long)(HEAD + base_length),
             (unsigned long long)layer_length);
    if (pwrite(file, head, sizeof head, 0) != (ssize_t)sizeof head)
        defect("the note cannot be written");
}

/* ---- Calls ---- */

static char *attach(sqlite3 *connection, bool in_schema)
{
    sqlite3_stmt *statement = sql_prepare(
        connection, in_schema ? "SELECT vm_attach(?1, 'in_schema')" : "SELECT vm_attach(?1)");
    char path[64], *name = NULL;
    snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    sqlite3_bind_text(statement, 1, path, -1, SQLITE_STATIC);
    if (sqlite3_step(statement) == SQLITE_ROW)
        name = sqlite3_mprintf("%s", sqlite3_column_text(statement, 0));
    sqlite3_finalize(statement);
    return name;
}

static void run_with(sqlite3 *connection, const char *query, const char *name)
{
    sqlite3_stmt *statement = NULL;
    guest.replies = 2;
    if (sqlite3_prepare_v2(connection, query, -1, &statement, NULL) != SQLITE_OK)
        return;
    sqlite3_bind_text(statement, 1, name, -1, SQLITE_STATIC);
    sql_run(statement, 4);
    sqlite3_finalize(statement);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const queries[] = {
        "SELECT vm_udf(?1)",           "SELECT vm_udf(?1, 1)",
        "SELECT vm_udf(?1, 'x', 1.5)", "SELECT * FROM vm_table(?1, 1)",
        "SELECT vm_agg(?1, 1)",        "SELECT * FROM vm_functions",
    };
    static const struct udfvm_value one = { .type = UDFVM_TYPE_INT64, .integer = 1 };
    struct input input = { data, size };
    write_note(&input);
    guest = (struct guest){ .kind = GUEST_COMPLETES,
                            .input = { (const uint8_t *)&one, sizeof one } };
    sqlite3 *connection = sql_open(false);
    char *name = attach(connection, size % 2);
    for (size_t i = 0; name && i < sizeof queries / sizeof *queries; i++)
        run_with(connection, queries[i], name);
    sqlite3_free(attach(connection, false)); /* the same function once more */
    sqlite3_free(name);
    sqlite3_close(connection);
    return 0;
}
