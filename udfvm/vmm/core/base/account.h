/* Accounts: what the core notes of calls. See api.h. */
#ifndef UDFVM_BASE_ACCOUNT_H
#define UDFVM_BASE_ACCOUNT_H

#include "api.h"

struct udfvm_account *udfvm_account_retain(struct udfvm_account *account);
/* A call ended. Numbers the report, whose number is not set. */
void udfvm_account_note(struct udfvm_account *account, struct udfvm_call_report *report);

#endif
