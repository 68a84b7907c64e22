#include "tool/token_ids.h"

#include <string.h>

wf_status parse_token_ids(view text, token_list *ids, wf_error *err)
{
    static const char space[] = " \t\r\n\v\f";
    for (size_t pos = 0; pos < text.len;) {
        if (strchr(space, text.data[pos]) && text.data[pos]) {
            pos++;
            continue;
        }
        size_t start = pos;
        int64_t id = 0;
        for (; pos < text.len && text.data[pos] >= '0' && text.data[pos] <= '9' && id <= INT32_MAX; pos++)
            id = 10 * id + (text.data[pos] - '0');
        bool ends = pos == text.len || (text.data[pos] && strchr(space, text.data[pos]));
        if (pos == start || !ends || id > INT32_MAX)
            return error_set(err, WF_ERROR_FORMAT, "byte %zu of the input does not begin a token id: '%.*s'", start,
                             (int)(text.len - start < 20 ? text.len - start : 20), text.data + start);
        TRY(token_list_append(ids, (int32_t)id, err));
    }
    return WF_OK;
}
