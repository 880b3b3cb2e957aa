/* Table-valued functions: see arguments.h. */
#include "functions/arguments.h"

#include "statement/report.h"

#include <stdlib.h>

int arguments_plan(sqlite3_index_info *plan, int first)
{
    uint64_t seen = 0;
    int count = 0;
    plan->estimatedCost = 1e6;
    plan->estimatedRows = 100000;
    for (int i = 0; i < plan->nConstraint; i++) {
        const struct sqlite3_index_constraint *constraint = &plan->aConstraint[i];
        const int argument = constraint->iColumn - first;
        if (argument < 0 || argument >= MAX_ARGUMENTS ||
            constraint->op != SQLITE_INDEX_CONSTRAINT_EQ)
            continue;
        if (!constraint->usable)
            return SQLITE_CONSTRAINT; /* an argument needs a table that comes later: not this plan
                                       */
        if (seen >> argument & 1)
            continue; /* SQLite checks this constraint itself */
        seen |= 1ull << argument;
        plan->aConstraintUsage[i].argvIndex = argument + 1;
        plan->aConstraintUsage[i].omit = 1;
        count++;
    }
    plan->idxNum = count;
    return seen == (1ull << count) - 1 ? SQLITE_OK : SQLITE_CONSTRAINT;
}

int arguments_keep(sqlite_library *library, struct table_arguments *arguments, int count,
                   sqlite3_value **values)
{
    sqlite_library *sqlite3_api = library;
    arguments_drop(library, arguments);
    arguments->values = calloc((size_t)count + 1, sizeof *arguments->values);
    if (!arguments->values)
        return SQLITE_NOMEM;
    for (; arguments->count < count; arguments->count++) {
        arguments->values[arguments->count] = sqlite3_value_dup(values[arguments->count]);
        if (!arguments->values[arguments->count])
            return SQLITE_NOMEM;
    }
    return SQLITE_OK;
}

void arguments_drop(sqlite_library *library, struct table_arguments *arguments)
{
    sqlite_library *sqlite3_api = library;
    for (int i = 0; i < arguments->count; i++)
        sqlite3_value_free(arguments->values[i]);
    free(arguments->values);
    *arguments = (struct table_arguments){ 0 };
}

void arguments_result(sqlite_library *library, const struct table_arguments *arguments, int index,
                      sqlite3_context *context)
{
    sqlite_library *sqlite3_api = library;
    if (index < arguments->count)
        sqlite3_result_value(context, arguments->values[index]);
    else
        sqlite3_result_null(context);
}

int table_fail(sqlite_library *library, sqlite3_vtab *table, int code, char *text)
{
    sqlite_library *sqlite3_api = library;
    if (!text)
        return code == SQLITE_ERROR ? SQLITE_NOMEM : code;
    sqlite3_free(table->zErrMsg);
    table->zErrMsg = shown(library, text);
    return code;
}
