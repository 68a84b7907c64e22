// Token ids as people and scripts write them: decimal numbers separated by white space.
#ifndef WELFORD_TOOL_TOKEN_IDS_H
#define WELFORD_TOOL_TOKEN_IDS_H

#include "base/status.h"
#include "base/view.h"
#include "text/tokenizer/token_list.h"

// Appends the ids of `text`. WF_ERROR_FORMAT names the byte where something else begins.
wf_status parse_token_ids(view text, token_list *ids, wf_error *err);

#endif
