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

#define HEAD          65536u /* as in sealed_file.c */
#define MAX_PROCESSOR 65536u

static char head[HEAD], here[160];
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

static bool is_about_code(const char *line)
{
    static const char *const names[] = { "vendor_id", "cpu family", "model\t", "model name",
                                         "flags" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strncmp(line, names[i], strlen(names[i])) == 0)
            return true;
    return false;
}

/* The line of a note about this processor, as sealed_file.py writes it. */
static void find_processor(void)
{
    static char line[MAX_PROCESSOR];
    struct udfvm_sha256 hash;
    uint8_t digest[32];
    const char *between = "";
    FILE *processors = fopen("/proc/cpuinfo", "re");
    udfvm_sha256_start(&hash);
    while (processors && fgets(line, sizeof line, processors) && line[0] != '\n') {
        if (!is_about_code(line))
            continue;
        size_t length = strlen(line);
        while (length && strchr(" \t\n", line[length - 1]))
            length--;
        udfvm_sha256_add(&hash, between, strlen(between));
        udfvm_sha256_add(&hash, line, length);
        between = "\n";
    }
    if (processors)
        fclose(processors);
    udfvm_sha256_end(&hash, digest);
    int used = snprintf(here, sizeof here, "processor ");
    for (size_t i = 0; i < sizeof digest; i++)
        used += snprintf(here + used, sizeof here - (size_t)used, "%02x", digest[i]);
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
    find_processor();
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
    snprintf(head + length, room, "\n%s\nbase %u %llu\nlayer %llu %llu\n", here, HEAD,
             (unsigned long long)base_length, (unsigned long long)(HEAD + base_length),
             (unsigned long long)layer_length);
    if (pwrite(file, head, sizeof head, 0) != (ssize_t)sizeof head)
        defect("the note cannot be written");
}

/* ---- Calls ---- */

static char *attach(sqlite3 *connection)
{
    sqlite3_stmt *statement = sql_prepare(connection, "SELECT vm_attach(?1)");
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
    char *name = attach(connection);
    for (size_t i = 0; name && i < sizeof queries / sizeof *queries; i++)
        run_with(connection, queries[i], name);
    sqlite3_free(name);
    sqlite3_close(connection);
    return 0;
}
