/* Sizes of pages, and pages of zeros. */
#ifndef UDFVM_BASE_PAGES_H
#define UDFVM_BASE_PAGES_H

#include <stdbool.h>
#include <stdint.h>

#define PAGE      4096ull
#define HUGE_PAGE 0x200000ull

bool udfvm_page_is_zero(const void *page);

#endif
