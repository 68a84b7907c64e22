// Conversations and tools as chat templates read them, which is nearly as OpenAI writes them:
//
//     [{"role": "system" | "user" | "assistant" | "tool", "content": TEXT,
//       "tool_calls": [{"id", "type": "function", "function": {"name", "arguments": {...}}}, ...]}, ...]
//
// All functions give a new value, or NULL after an error.
#ifndef WELFORD_SERVER_MESSAGES_H
#define WELFORD_SERVER_MESSAGES_H

#include "server/ask.h"

// OpenAI's, and ollama's: contents may come in parts of type "text", arguments as text, "developer" is the system.
json_t *messages_read(const json_t *messages, api_error *err);
// Anthropic's: content in blocks, tool_use and tool_result among them; `system` a text, blocks, or NULL.
json_t *messages_read_anthropic(const json_t *system, const json_t *messages, api_error *err);

// "tools" and "tool_choice" of OpenAI's and ollama's, and of Anthropic's, into the ask. False after an error.
bool tools_read(ask *a, const fields *f);
bool tools_read_anthropic(ask *a, const fields *f);

#endif
