/* An image of which a byte is another, or that is cut, is not opened or does not verify. */
#include <sys/stat.h>
#include "image/image.h"
#include "raw_image.h"

static void test_damaged_images(void)
{
    struct udfvm_error error;
    udfvm_vm *vm = boot_raw_guest();
    FILE *file = tmpfile();
    check(vm && udfvm_vm_seal(vm, fileno(file), "raw", 3, &error) == 0, "seal");
    udfvm_vm_close(vm);
    struct stat status;
    fstat(fileno(file), &status);
    const off_t offsets[] = { 0,
                              8,
                              17,
                              40,
                              300,
                              2000,
                              12000,
                              0x5000,
                              0x8100,
                              0x9000,
                              0x10000,
                              status.st_size - 1,
                              status.st_size / 2 };
    for (size_t i = 0; i < sizeof offsets / sizeof *offsets; i++) {
        char byte, flipped;
        check(pread(fileno(file), &byte, 1, offsets[i]) == 1, "pread");
        flipped = (char)~byte;
        check(pwrite(fileno(file), &flipped, 1, offsets[i]) == 1, "pwrite");
        udfvm_image *opened = udfvm_image_open(fileno(file), NULL, &error);
        int seen = opened ? udfvm_image_verify(opened, &error) : error.code;
        check(seen == UDFVM_E_IMAGE && error.code == UDFVM_E_IMAGE,
              "damage at byte %lld went unseen", (long long)offsets[i]);
        udfvm_image_close(opened);
        check(pwrite(fileno(file), &byte, 1, offsets[i]) == 1, "pwrite");
    }
    udfvm_image *whole = udfvm_image_open(fileno(file), NULL, &error);
    check(whole && udfvm_image_verify(whole, &error) == 0, "the mended image: %s", error.message);
    udfvm_image_close(whole);
    check(ftruncate(fileno(file), 20000) == 0 && !udfvm_image_open(fileno(file), NULL, &error) &&
              error.code == UDFVM_E_IMAGE,
          "a truncated image");
    check(ftruncate(fileno(file), 0) == 0 && !udfvm_image_open(fileno(file), NULL, &error) &&
              error.code == UDFVM_E_IMAGE,
          "an empty image");
    fclose(file);
}

/* A header whose digest is right, but which tells of parts that the file has not. */
static void test_parts_beyond_the_file(void)
{
    static struct image_header header;
    const uint64_t offsets[] = { UINT64_MAX, 1ull << 62, MEMORY };
    struct udfvm_image_location location;
    struct udfvm_error error;
    udfvm_vm *vm = boot_raw_guest();
    FILE *file = tmpfile();
    const int fd = fileno(file);
    check(udfvm_vm_seal(vm, fd, "raw", 3, &error) == 0, "seal");
    udfvm_vm_close(vm);
    check(pread(fd, &header, sizeof header, 0) == (ssize_t)sizeof header, "pread");
    check(udfvm_image_locate_metadata(fd, &location) == UDFVM_OK && location.length == 3,
          "metadata of a whole image");
    for (size_t i = 0; i < sizeof offsets / sizeof *offsets; i++) {
        header.metadata_offset = offsets[i];
        udfvm_image_header_digest(&header, header.digest);
        check(pwrite(fd, &header, sizeof header, 0) == (ssize_t)sizeof header, "pwrite");
        check(udfvm_image_locate_metadata(fd, &location) == UDFVM_E_IMAGE,
              "metadata were found at %llx", (unsigned long long)offsets[i]);
    }
    header.metadata_offset = sizeof header;
    header.numbers_offset = UINT64_MAX - 3; /* a base image has no numbers of pages */
    udfvm_image_header_digest(&header, header.digest);
    check(pwrite(fd, &header, sizeof header, 0) == (ssize_t)sizeof header, "pwrite");
    udfvm_image *opened = udfvm_image_open(fd, NULL, &error);
    check(opened != NULL, "a base image with numbers: %s", error.message);
    udfvm_image_close(opened);
    fclose(file);
}

int main(int count, char **arguments)
{
    static const struct test tests[] = {
        { "damage", test_damaged_images },
        { "parts", test_parts_beyond_the_file },
    };
    return run_on_raw_image(count, arguments, tests, sizeof tests / sizeof *tests);
}
