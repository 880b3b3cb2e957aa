/* Replies of jailed VMs. The process could change one while it is checked, or after. A short reply
 * is therefore copied first. With a long one the process stands still, until its VM is used again:
 * the reply is read where it lies, and may be borrowed. Where nobody can see that it stands still,
 * a long one is copied, too.
 *
 * A forked child must have a copy of what is borrowed, as it has of any memory, but windows are
 * shared with the process and would be with the child. So a fork puts copies in their place here.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/error.h"
#include "base/pages.h"
#include "jail/cell.h"
#include "jail/jail.h"

/* All that is borrowed of jailed VMs. */
static struct {
    pthread_mutex_t lock;
    struct cell *first;
} borrowings = { .lock = PTHREAD_MUTEX_INITIALIZER };

static int copy_reply(struct cell *cell, struct udfvm_reply *reply, struct udfvm_error *error)
{
    if (reply->length > cell->capacity) {
        uint8_t *grown = realloc(cell->buffer, reply->length);
        if (!grown)
            return udfvm_fail_errno(error, "keeping a reply");
        cell->buffer = grown;
        cell->capacity = reply->length;
    }
    if (reply->length)
        memcpy(cell->buffer, reply->data, reply->length);
    reply->data = cell->buffer;
    return UDFVM_OK;
}

int udfvm_cell_keep_reply(struct cell *cell, struct udfvm_reply *reply, struct udfvm_error *error)
{
    return cell->frozen ? UDFVM_OK : copy_reply(cell, reply, error);
}

/* ---- Borrowed replies ---- */

void *udfvm_cell_borrow(struct udfvm_vm *vm, uint64_t begin, uint64_t length,
                        struct udfvm_error *error)
{
    struct cell *cell = cell_of(vm);
    struct borrowing *borrowing = &cell->borrowing;
    if (!cell->frozen) {
        udfvm_fail(error, UDFVM_E_ARGUMENT, "the VM has no such reply to borrow");
        return NULL;
    }
    pthread_mutex_lock(&borrowings.lock);
    const bool more = borrowing->from < borrowing->to;
    if (!more) {
        borrowing->following = borrowings.first;
        borrowing->link = &borrowings.first;
        if (borrowings.first)
            borrowings.first->borrowing.link = &borrowing->following;
        borrowings.first = cell;
    }
    borrowing->from = more && borrowing->from < begin ? borrowing->from : begin;
    borrowing->to = more && borrowing->to > begin + length ? borrowing->to : begin + length;
    pthread_mutex_unlock(&borrowings.lock);
    return udfvm_span_output(&vm->memory, begin);
}

/* The pages that are borrowed. */
static uint64_t first_byte(const struct borrowing *borrowing)
{
    return borrowing->from / PAGE * PAGE;
}

static uint64_t bytes_of(const struct borrowing *borrowing)
{
    return (borrowing->to - first_byte(borrowing) + PAGE - 1) / PAGE * PAGE;
}

/* The window takes the place of its copy again. */
static int map_window(struct cell *cell, struct udfvm_error *error)
{
    const struct borrowing *borrowing = &cell->borrowing;
    void *at = udfvm_span_output(&cell->vm.memory, first_byte(borrowing));
    if (mmap(at, bytes_of(borrowing), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
             cell->output_file, (off_t)first_byte(borrowing)) == MAP_FAILED)
        return udfvm_fail_errno(error, "mapping the output window");
    madvise(at, bytes_of(borrowing), MADV_DONTFORK);
    return UDFVM_OK;
}

/* What the embedder wrote to the part that is logged is not in the log; the process looks through
 * the rest. */
static void zero_logged(struct cell *cell)
{
    const struct borrowing *borrowing = &cell->borrowing;
    const uint64_t end = borrowing->to < UDFVM_LOGGED_OUTPUT ? borrowing->to : UDFVM_LOGGED_OUTPUT;
    if (borrowing->from < end)
        memset(udfvm_span_output(&cell->vm.memory, borrowing->from), 0, end - borrowing->from);
}

int udfvm_cell_end_borrowing(struct cell *cell, struct udfvm_error *error)
{
    struct borrowing *borrowing = &cell->borrowing;
    if (borrowing->from == borrowing->to)
        return UDFVM_OK;
    pthread_mutex_lock(&borrowings.lock);
    *borrowing->link = borrowing->following;
    if (borrowing->following)
        borrowing->following->borrowing.link = borrowing->link;
    pthread_mutex_unlock(&borrowings.lock);
    const int code = borrowing->copied ? map_window(cell, error) : UDFVM_OK;
    if (code == UDFVM_OK)
        zero_logged(cell);
    *borrowing = (struct borrowing){ .from = 0 };
    return code;
}

/* Where there is no memory for a copy, the child has nothing there: it ends by SIGSEGV if it looks.
 */
static void put_copy(struct cell *cell)
{
    struct borrowing *borrowing = &cell->borrowing;
    const uint64_t bytes = bytes_of(borrowing);
    void *window = udfvm_span_output(&cell->vm.memory, first_byte(borrowing));
    if (borrowing->copied)
        return;
    void *copy = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (copy == MAP_FAILED)
        return;
    memcpy(copy, window, bytes);
    borrowing->copied = mremap(copy, bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, window) !=
                        MAP_FAILED;
    if (!borrowing->copied)
        munmap(copy, bytes);
}

void udfvm_jail_before_fork(void)
{
    pthread_mutex_lock(&borrowings.lock);
    for (struct cell *cell = borrowings.first; cell; cell = cell->borrowing.following)
        put_copy(cell);
}

void udfvm_jail_in_parent(void)
{
    pthread_mutex_unlock(&borrowings.lock);
}

void udfvm_borrowing_forget(void)
{
    borrowings.lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
    borrowings.first = NULL;
}
