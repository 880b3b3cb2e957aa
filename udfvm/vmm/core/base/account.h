/* Accounts: what the core notes of calls. See api.h. */
#ifndef UDFVM_BASE_ACCOUNT_H
#define UDFVM_BASE_ACCOUNT_H

#include <stdbool.h>

#include "api.h"

struct udfvm_account *udfvm_account_retain(struct udfvm_account *account);
/* A call ended. Numbers the report, whose number is not set. */
void udfvm_account_note(struct udfvm_account *account, struct udfvm_call_report *report);

/* What a report of the account lacked: pages that were put back, bytes that the call wrote. */
void udfvm_account_amend(struct udfvm_account *account, uint64_t number, uint64_t pages,
                         uint64_t memory);

/* A call that was noted, of which the hook of reports is to know; number 0: none. */
struct ended {
    uint64_t label;
    struct udfvm_call_report report;
};
bool udfvm_report_hooked(void); /* whether there is such a hook */
uint64_t udfvm_account_label(const struct udfvm_account *account);
void udfvm_report_tell(const struct ended *ended);

#endif
