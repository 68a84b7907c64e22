#include "server/guard.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/array.h"
#include "base/file.h"
#include "base/view.h"

// The next item of a comma-separated list; false: there is none.
static bool next_item(const char **list, view *item)
{
    if (!*list || !**list) return false;
    item->data = *list;
    item->len = strcspn(*list, ",");
    *list += item->len + ((*list)[item->len] == ',');
    return true;
}

static bool list_has(const char *list, view name)
{
    view item;
    while (next_item(&list, &item))
        if (item.len == name.len && !strncasecmp(item.data, name.data, name.len)) return true;
    return false;
}

// ---- keys

wf_status guard_read_keys(guard *g, const char *path, wf_error *err)
{
    char *text;
    size_t bytes, capacity = 0;
    TRY(file_read(path, &text, &bytes, err));
    wf_status status = WF_OK;
    for (char *line = text; status == WF_OK && line < text + bytes;) {
        size_t n = strcspn(line, "\r\n");
        char *next = line + n + 1;
        line[n] = 0; // file_read leaves a byte behind the last
        if (n && *line != '#') {
            char **keys = array_grow(g->keys, g->n_keys, &capacity, sizeof *keys);
            if (keys) g->keys = keys;
            char *key = keys ? strdup(line) : NULL;
            if (key)
                g->keys[g->n_keys++] = key;
            else
                status = error_memory(err, n);
        }
        line = next;
    }
    if (text) memset(text, 0, bytes);
    free(text);
    if (status == WF_OK && !g->n_keys) return error_set(err, WF_ERROR_FORMAT, "%s: no key in it", path);
    return status;
}

void guard_free(guard *g)
{
    for (size_t i = 0; i < g->n_keys; i++) free(g->keys[i]);
    free(g->keys);
    *g = (guard){0};
}

// Takes as long for a key that is wrong in its first byte as for one that is wrong in its last.
static bool same_key(const char *key, const char *given)
{
    size_t n = strlen(given), length = strlen(key);
    unsigned char difference = n != length;
    for (size_t i = 0; i < n; i++) difference |= (unsigned char)(given[i] ^ key[i < length ? i : 0]);
    return !difference;
}

static bool has_key(const guard *g, const guard_request *r)
{
    const char *given = r->api_key;
    if (r->authorization && !strncasecmp(r->authorization, "Bearer ", 7)) given = r->authorization + 7;
    bool found = false;
    for (size_t i = 0; given && i < g->n_keys; i++) found |= same_key(g->keys[i], given);
    return found;
}

// ---- hosts and origins

// "localhost:8080" and "[::1]:8080" without port and brackets.
static view host_name(const char *host)
{
    if (*host == '[') return (view){host + 1, strcspn(host + 1, "]")};
    return (view){host, strcspn(host, ":")};
}

static bool is_address(view name)
{
    char text[INET6_ADDRSTRLEN];
    unsigned char address[16];
    if (name.len >= sizeof text) return false;
    snprintf(text, sizeof text, "%.*s", VIEW_ARG(name));
    return inet_pton(AF_INET, text, address) == 1 || inet_pton(AF_INET6, text, address) == 1;
}

bool guard_is_loopback(const char *host)
{
    unsigned char address[4];
    if (inet_pton(AF_INET, host, address) == 1) return address[0] == 127;
    return !strcasecmp(host, "localhost") || !strcmp(host, "::1");
}

static bool is_own_host(const guard *g, const char *host)
{
    view name = host_name(host);
    return list_has("localhost", name) || list_has(g->host, name) || list_has(g->allow_host, name) || is_address(name);
}

bool guard_allows_origin(const guard *g, const char *origin)
{
    return list_has(g->cors_origin, view_of(origin)) || list_has(g->cors_origin, VIEW_LITERAL("*"));
}

// Whether the page came from this server: "http://" and what the request calls the server.
static bool is_own_origin(const char *origin, const char *host)
{
    const char *slashes = strstr(origin, "://");
    return slashes && !strcasecmp(slashes + 3, host);
}

bool guard_check(const guard *g, const guard_request *r, api_error *err)
{
    if (!r->host) return api_fail(err, 400, NULL, "a Host header is needed");
    if (!g->n_keys && !is_own_host(g, r->host))
        return api_fail(err, 403, NULL, "this server is not called %.80s (--allow-host)", r->host);
    if (r->origin && !is_own_origin(r->origin, r->host) && !guard_allows_origin(g, r->origin))
        return api_fail(err, 403, NULL, "pages of %.80s may not ask this server (--cors-origin)", r->origin);
    if (g->n_keys && !r->open && !has_key(g, r)) return api_fail(err, 401, NULL, "a valid API key is needed");
    return true;
}
