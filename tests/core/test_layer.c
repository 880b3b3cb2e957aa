/* Layers that were made, or put, to be another's. Usage: test_layer raw_guest.bin */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "udfvm_abi.h"

#include "base/pages.h"
#include "image/image.h"

#define GUEST_MEMORY (32ull << 20)

static int failures;

static void check(bool holds, const char *what)
{
    failures += !holds;
    printf("%s: %s\n", what, holds ? "holds" : "FAILED");
}

static FILE *sealed_base(const char *path, const uint8_t *name)
{
    static char kernel[1 << 20];
    const struct udfvm_config config = { .memory = GUEST_MEMORY,
                                         .input_window = 4 << 20,
                                         .output_window = 4 << 20 };
    const struct udfvm_boot boot = { .memory_end = GUEST_MEMORY };
    FILE *source = fopen(path, "rb"), *file = tmpfile();
    const size_t length = source ? fread(kernel, 1, sizeof kernel, source) : 0;
    udfvm_vm *vm = udfvm_vm_boot(&config, kernel, length, &boot, sizeof boot, NULL, NULL, NULL,
                                 NULL);
    if (!vm || udfvm_vm_seal_named(vm, fileno(file), name, "raw", 3, NULL) != UDFVM_OK)
        exit(2);
    udfvm_vm_close(vm);
    fclose(source);
    return file;
}

/* A layer of no pages, with a valid digest. */
static FILE *forged_layer(const udfvm_image *base, uint64_t memory)
{
    struct image_header *header = malloc(sizeof *header);
    FILE *file = tmpfile();
    *header = *base->header;
    header->kind = IMAGE_LAYER;
    header->page_count = 0;
    header->config.memory = memory;
    memcpy(header->base_digest, base->header->digest, sizeof header->base_digest);
    udfvm_image_header_digest(header, header->digest);
    if (pwrite(fileno(file), header, sizeof *header, 0) != (ssize_t)sizeof *header ||
        ftruncate(fileno(file), (off_t)base->mapped) != 0)
        exit(2);
    free(header);
    return file;
}

static bool opens(FILE *file, udfvm_image *base)
{
    struct udfvm_error error;
    udfvm_image *layer = udfvm_image_open(fileno(file), base, &error);
    if (!layer && error.code != UDFVM_E_IMAGE)
        exit(3);
    udfvm_image_close(layer);
    fclose(file);
    return layer != NULL;
}

static bool opens_as(const char *directory, FILE *file, const char *name)
{
    char path[512], block[65536];
    struct udfvm_error error;
    snprintf(path, sizeof path, "%s/%s", directory, name);
    const int to = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    for (off_t offset = 0;;) {
        const ssize_t got = pread(fileno(file), block, sizeof block, offset);
        if (got <= 0)
            break;
        if (write(to, block, (size_t)got) != got)
            exit(2);
        offset += got;
    }
    close(to);
    udfvm_image *image = udfvm_image_open_cached(directory, name, NULL, &error);
    unlink(path);
    udfvm_image_close(image);
    return image != NULL;
}

int main(int count, char **arguments)
{
    const uint8_t name[32] = { 0xab, 0xcd };
    char own[80], other[80], directory[] = "/tmp/test_layer.XXXXXX";
    if (count != 2 || !mkdtemp(directory))
        return 2;
    FILE *file = sealed_base(arguments[1], name);
    udfvm_image *base = udfvm_image_open(fileno(file), NULL, NULL);
    check(opens(forged_layer(base, GUEST_MEMORY), base), "a layer of the base's memory");
    check(!opens(forged_layer(base, GUEST_MEMORY + HUGE_PAGE), base), "a layer of more memory");
    check(!opens(forged_layer(base, GUEST_MEMORY - HUGE_PAGE), base), "a layer of less memory");
    check(!opens(forged_layer(base, 64ull << 30), base), "a layer of the most memory");
    snprintf(own, sizeof own, "abcd%060d.base", 0);
    snprintf(other, sizeof other, "abce%060d.base", 0);
    check(opens_as(directory, file, own), "an image under its name");
    check(!opens_as(directory, file, other), "an image under another name");
    check(!opens_as(directory, file, "base.base"), "an image under no name");
    udfvm_image_close(base);
    fclose(file);
    snprintf(own, sizeof own, "rm -rf '%s'", directory);
    return failures || system(own) != 0;
}
