// A growing list of token ids.
#ifndef WELFORD_TEXT_TOKENIZER_TOKEN_LIST_H
#define WELFORD_TEXT_TOKENIZER_TOKEN_LIST_H

#include <stdlib.h>

#include "base/array.h"
#include "base/status.h"

// Starts as {0}.
typedef struct token_list {
    int32_t *ids; // owned
    size_t count, capacity;
} token_list;

static inline wf_status token_list_append(token_list *list, int32_t id, wf_error *err)
{
    int32_t *ids = array_grow(list->ids, list->count, &list->capacity, sizeof *ids);
    if (!ids) return error_memory(err, 2 * list->capacity * sizeof *ids);
    list->ids = ids;
    list->ids[list->count++] = id;
    return WF_OK;
}

static inline void token_list_free(token_list *list)
{
    free(list->ids);
    *list = (token_list){0};
}

#endif
