/* Runs a fuzzer on files and on the files of folders, once each: for compilers without libFuzzer.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#define NAME_BYTES 4096
#define MAX_FILE   (1u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *count, char ***arguments) __attribute__((weak));

static unsigned long executions;

/* The input gets memory of its very size, so that a sanitizer sees what is read past it. */
static void run_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    uint8_t *whole = malloc(MAX_FILE);
    const size_t size = file && whole ? fread(whole, 1, MAX_FILE, file) : 0;
    if (!file || !whole) {
        fprintf(stderr, "cannot read %s\n", path);
        exit(2);
    }
    fclose(file);
    uint8_t *input = size ? realloc(whole, size) : whole;
    LLVMFuzzerTestOneInput(input, size);
    free(input);
    executions++;
}

static void run_folder(const char *path, DIR *folder)
{
    const struct dirent *entry;
    while ((entry = readdir(folder))) {
        char name[NAME_BYTES];
        snprintf(name, sizeof name, "%s/%s", path, entry->d_name);
        if (entry->d_name[0] != '.')
            run_file(name);
    }
    closedir(folder);
}

int main(int count, char **arguments)
{
    if (LLVMFuzzerInitialize)
        LLVMFuzzerInitialize(&count, &arguments);
    for (int i = 1; i < count; i++) {
        DIR *folder = opendir(arguments[i]);
        if (folder)
            run_folder(arguments[i], folder);
        else
            run_file(arguments[i]);
    }
    printf("%lu executions\n", executions);
    return 0;
}
