// welford cache: the compiled programs and packed weights that are kept, what they were made of, and their removal.
#include <jansson.h>
#include <limits.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "hub/hub.h"
#include "runtime/cache/cache_list.h"
#include "tool/json_table.h"
#include "tool/tool.h"

static const char HELP[] =
    "Usage: welford cache [--prune | --clear] [--json]\n\n"
    "Lists the compiled programs and packed weights that are kept, with the model or graph file that they were made\n"
    "of. The folder is $WELFORD_CACHE, else $XDG_CACHE_HOME/welford, else ~/.cache/welford; only you may write to it,\n"
    "or it is not used. For models see welford list and welford rm.\n\n"
    "When something new comes, what was not used for 30 days goes, and then the least recently used of what is more\n"
    "than $WELFORD_CACHE_LIMIT: bytes, as 500M or 20G (K, M, G, T: powers of 1024); 0, which keeps nothing but what\n"
    "came last; none; a tenth of the disk when it is not set. What is in use stays.\n\n"
    "      --prune  removes now what would go then\n"
    "      --clear  removes all; it is made again when needed\n"
    "      --json   as an object: folder, limit (bytes; null: none) and entries, an array of objects: name, what, "
    "path,\n"
    "               key, bytes, last_use (UTC). With --prune and --clear, entries are those that were removed\n"
    "      --help   this text\n";

typedef wf_status read_cache(cache_items *list, wf_error *err);

// Text of a path; null when it is empty. What is no character, or moves the cursor of a terminal, becomes '?'.
static json_t *path_text(const char *path)
{
    char text[PATH_MAX];
    snprintf(text, sizeof text, "%s", path);
    for (char *c = text; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f) *c = '?';
    json_t *value = *text ? json_string(text) : json_null();
    if (value) return value;
    for (char *c = text; *c; c++) // not UTF-8
        if ((unsigned char)*c >= 0x80) *c = '?';
    return json_string(text);
}

static json_t *describe(const cache_item *item)
{
    char name[PATH_MAX], used[32] = "";
    const char *slash = strrchr(item->origin, '/');
    time_t seconds = item->used;
    struct tm utc;
    if (gmtime_r(&seconds, &utc)) strftime(used, sizeof used, "%Y-%m-%dT%H:%M:%SZ", &utc);
    if (!hub_name_of_path(item->origin, name, sizeof name))
        snprintf(name, sizeof name, "%s", slash ? slash + 1 : item->origin);
    const char *what = item->is_draft ? "draft" : cache_kind_name(item->kind);
    return json_pack("{s:o, s:s, s:o, s:s%, s:I, s:s}", "name", path_text(name), "what", what, "path",
                     path_text(item->origin), "key", item->name, (size_t)CACHE_KEY_CHARS - 1, "bytes",
                     (json_int_t)item->bytes, "last_use", used);
}

static int by_origin(const void *a, const void *b)
{
    const cache_item *x = a, *y = b;
    int origins = strcmp(x->origin, y->origin);
    if (origins) return origins;
    return x->kind != y->kind ? (int)x->kind - (int)y->kind : strcmp(x->name, y->name);
}

static json_t *describe_all(cache_items *list, bool removed_only)
{
    json_t *entries = json_array();
    if (list->count) qsort(list->items, list->count, sizeof *list->items, by_origin);
    for (size_t i = 0; i < list->count; i++)
        if (list->items[i].removed || !removed_only) json_array_append_new(entries, describe(&list->items[i]));
    return entries;
}

static json_t *describe_limit(void)
{
    int folder = cache_folder_open(CACHE_PACK, CACHE_LOOK);
    if (folder < 0) folder = cache_folder_open(CACHE_PROGRAM, CACHE_LOOK);
    size_t limit = cache_limit(folder);
    if (folder >= 0) close(folder);
    return limit == CACHE_NO_LIMIT ? json_null() : json_integer((json_int_t)limit);
}

static void print_table(const json_t *cache, bool removed_only)
{
    const json_t *entries = json_object_get(cache, "entries"), *entry, *limit = json_object_get(cache, "limit");
    int name = json_width(entries, "name", sizeof "(unknown)" - 1);
    double all = 0;
    size_t i;
    printf("folder   %s\n", json_text(cache, "folder", ""));
    if (json_is_integer(limit)) printf("limit    %.1f MB\n", (double)json_integer_value(limit) / 1e6);
    if (json_array_size(entries))
        printf("%-*s  %-7s  %10s  %-20s  %s\n", name, "NAME", "WHAT", "MB", "LAST USE", "PATH");
    json_array_foreach(entries, i, entry)
    {
        double bytes = (double)json_integer_value(json_object_get(entry, "bytes"));
        all += bytes;
        printf("%-*s  %-7s  %10.1f  %-20s  %s\n", name, json_text(entry, "name", "(unknown)"),
               json_text(entry, "what", ""), bytes / 1e6, json_text(entry, "last_use", ""),
               json_text(entry, "path", "-"));
    }
    printf("%s  %zu, %.1f MB\n", removed_only ? "removed" : "entries", json_array_size(entries), all / 1e6);
}

static int show(const char *program, read_cache *read, bool removed_only, bool as_json)
{
    char folder[PATH_MAX];
    cache_items list;
    wf_error err;
    wf_status status = read(&list, &err);
    if (status == WF_OK && cache_folder(folder, sizeof folder)) {
        json_t *cache = json_pack("{s:s, s:o, s:o}", "folder", folder, "limit", describe_limit(), "entries",
                                  describe_all(&list, removed_only));
        if (!cache) {
            status = error_memory(&err, 0);
        } else if (as_json) {
            json_dumpf(cache, stdout, JSON_INDENT(2));
            putchar('\n');
        } else {
            print_table(cache, removed_only);
        }
        json_decref(cache);
    }
    cache_items_free(&list);
    return status == WF_OK ? EXIT_SUCCESS : tool_fail(program, &err);
}

int tool_cache(int argc, char **argv)
{
    static const struct option LONG[] = {{"prune", no_argument, NULL, 'p'},
                                         {"clear", no_argument, NULL, 'c'},
                                         {"json", no_argument, NULL, 'j'},
                                         {"help", no_argument, NULL, 'h'},
                                         {0}};
    bool as_json = false, prune = false, clear = false;
    int exit_code = -1;
    for (int o; (o = tool_next_option(argc, argv, "", LONG, HELP, &exit_code)) != -1;) {
        as_json |= o == 'j';
        prune |= o == 'p';
        clear |= o == 'c';
    }
    if (exit_code >= 0) return exit_code;
    if (optind != argc) return tool_fail_usage(argv[0], "unexpected argument '%s'", argv[optind]);
    if (prune && clear) return tool_fail_usage(argv[0], "--prune and --clear exclude each other");
    return show(argv[0], clear ? cache_clear : prune ? cache_prune : cache_list, prune || clear, as_json);
}
