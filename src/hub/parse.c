// The syntax of names and addresses.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "hub/name.h"

typedef struct parser {
    const char *all;  // as it was given, for messages
    const char *text; // what is left
    hub_name *name;
    wf_error *err;
} parser;

static wf_status fail(const parser *p, const char *reason)
{
    return error_set(
        p->err, WF_ERROR_USAGE,
        "'%.200s' is not a model's name, owner/name[:QUANT] or hf:owner/name[/file.gguf][@revision], nor its "
        "address on huggingface.co: %s",
        p->all, reason);
}

static const char *skip_prefix(const char *text, const char *prefix)
{
    size_t n = strlen(prefix);
    return strncasecmp(text, prefix, n) ? NULL : text + n;
}

// What follows one of the hosts, with a scheme or without; NULL: it does not begin so.
static const char *skip_host(const char *text, const char *const *hosts)
{
    static const char *const SCHEMES[] = {"https://", "http://", ""};
    for (size_t i = 0; i < sizeof SCHEMES / sizeof *SCHEMES; i++) {
        const char *rest = skip_prefix(text, SCHEMES[i]), *found;
        for (size_t k = 0; rest && hosts[k]; k++)
            if ((found = skip_prefix(rest, hosts[k]))) return found;
    }
    return NULL;
}

static const char *skip_hub(const char *text)
{
    static const char *const HOSTS[] = {"huggingface.co/", "www.huggingface.co/", "hf.co/", NULL};
    return skip_host(text, HOSTS);
}

// model:tag, or an address of ollama's own library, whose files are not on the hub.
static bool is_ollama(const char *text)
{
    static const char *const HOSTS[] = {"ollama.com/", "www.ollama.com/", "registry.ollama.ai/", "ollama.ai/", NULL};
    if (skip_host(text, HOSTS) || !strncmp(text, "ollama:", 7)) return true;
    if (!strncmp(text, "library/", 8)) return !hub_ends_with(text, ".gguf");
    size_t model = 0, tag = 0;
    while (hub_is_name_char(text[model])) model++;
    while (text[model] == ':' && hub_is_name_char(text[model + 1 + tag])) tag++;
    return model && tag && !text[model + 1 + tag] && strncmp(text, "hf:", 3) != 0;
}

static wf_status fail_ollama(const parser *p)
{
    return error_set(
        p->err, WF_ERROR_USAGE,
        "'%.200s' is a name of ollama's library, which is not the Hugging Face hub: name a GGUF repository "
        "there, such as hf.co/OWNER/NAME-GGUF:Q4_K_M, or the file that ollama has (ollama show --modelfile)",
        p->all);
}

// ---- parts

static wf_status take_repository(parser *p)
{
    size_t owner = strcspn(p->text, "/@:");
    if (p->text[owner] != '/') return fail(p, "it has no owner");
    size_t used = owner + 1 + strcspn(p->text + owner + 1, "/@:");
    if (!hub_is_name_part(p->text, owner) || !hub_is_name_part(p->text + owner + 1, used - owner - 1))
        return fail(p, "letters, digits and single '-', '_', '.' only");
    snprintf(p->name->repository, sizeof p->name->repository, "%.*s", (int)used, p->text);
    p->text += used;
    return WF_OK;
}

// It becomes a path below refs/.
static wf_status take_revision(parser *p, size_t n)
{
    bool good = n < sizeof p->name->revision;
    for (size_t i = 0; i < n && good; i++) good = hub_is_name_char(p->text[i]) || p->text[i] == '/';
    if (good) snprintf(p->name->revision, sizeof p->name->revision, "%.*s", (int)n, p->text);
    if (!good || !hub_is_safe_path(p->name->revision)) return fail(p, "that is no revision");
    p->name->has_revision = true;
    p->text += n;
    return WF_OK;
}

static wf_status take_file(parser *p, size_t n)
{
    if (n >= sizeof p->name->file) return fail(p, "too long");
    snprintf(p->name->file, sizeof p->name->file, "%.*s", (int)n, p->text);
    p->text += n;
    return hub_is_safe_path(p->name->file) && hub_ends_with(p->name->file, ".gguf") ? WF_OK
                                                                                    : fail(p, "that is no GGUF file");
}

// ":QUANT", or ":file.gguf", as hf.co has it; ":latest" is what is taken anyway.
static wf_status take_quant(parser *p)
{
    size_t n = 0;
    if (*p->text != ':') return WF_OK;
    p->text++;
    while (hub_is_name_char(p->text[n])) n++;
    if (n > 5 && !strncasecmp(p->text + n - 5, ".gguf", 5)) return take_file(p, n);
    if (!n || n >= sizeof p->name->quant) return fail(p, "that is no quantisation");
    if (n != 6 || strncasecmp(p->text, "latest", n) != 0)
        snprintf(p->name->quant, sizeof p->name->quant, "%.*s", (int)n, p->text);
    p->text += n;
    return WF_OK;
}

// What stands behind the repository in "hf:" and plain names: "@revision" is the last, and may hold slashes.
static wf_status take_plain(parser *p)
{
    TRY(take_quant(p));
    if (*p->text == '/' && !p->name->quant[0] && !p->name->file[0]) {
        p->text++;
        TRY(take_file(p, strcspn(p->text, "@")));
    }
    if (*p->text == '@') {
        p->text++;
        TRY(take_revision(p, strlen(p->text)));
    }
    return *p->text ? fail(p, "there is something behind it") : WF_OK;
}

// The length of a revision that a path may follow: one part, or "refs/pr/7", "refs/convert/parquet".
static size_t measure_revision(const char *text)
{
    size_t n = 0;
    int parts = strncmp(text, "refs/", 5) ? 1 : 3;
    for (int i = 0; i < parts; i++) {
        n += strcspn(text + n, "/");
        if (i + 1 < parts && text[n]) n++;
    }
    return n;
}

// "@revision" before the path, as huggingface_hub writes it, or behind it.
static wf_status take_uri(parser *p)
{
    if (*p->text == '@') {
        p->text++;
        TRY(take_revision(p, measure_revision(p->text)));
    }
    return take_plain(p);
}

// ---- addresses

// A file by its page: a GGUF file, or any other for its whole repository.
static wf_status take_page_file(parser *p)
{
    size_t n = strlen(p->text);
    if (!n) return WF_OK;
    if (n > 5 && !strcmp(p->text + n - 5, ".gguf")) return take_file(p, n);
    if (!hub_is_safe_path(p->text)) return fail(p, "that is no file");
    p->text += n;
    return WF_OK;
}

// "/blob/REVISION/path" and the like.
static wf_status take_page(parser *p)
{
    static const char *const KINDS[] = {"blob", "resolve", "raw", "tree", "commit"};
    const char *rest = NULL;
    TRY(take_quant(p));
    if (!strcmp(p->text, "/")) p->text++;
    if (*p->text != '/') return take_plain(p);
    size_t n = strcspn(p->text + 1, "/"), i = 0;
    while (i < sizeof KINDS / sizeof *KINDS && (strlen(KINDS[i]) != n || strncmp(p->text + 1, KINDS[i], n))) i++;
    if (i < sizeof KINDS / sizeof *KINDS) rest = p->text + 1 + n;
    if (!rest) return take_plain(p);
    p->text = *rest ? rest + 1 : rest;
    TRY(take_revision(p, measure_revision(p->text)));
    if (*p->text == '/') p->text++;
    return take_page_file(p);
}

static int hex_digit(char c)
{
    const char *digits = "0123456789abcdef", *at = c ? strchr(digits, c >= 'A' && c <= 'F' ? c + 32 : c) : NULL;
    return at ? (int)(at - digits) : -1;
}

// Undoes %XX, and leaves out what follows '?' or '#'. False: too long.
static bool decode(const char *text, char *out, size_t bytes)
{
    size_t n = 0;
    for (; *text && *text != '?' && *text != '#'; text++) {
        if (n + 1 == bytes) return false;
        int high = text[0] == '%' ? hex_digit(text[1]) : -1, low = high < 0 ? -1 : hex_digit(text[2]);
        out[n++] = low < 0 ? *text : (char)(16 * high + low);
        if (low >= 0) text += 2;
    }
    out[n] = 0;
    return strlen(out) == n; // no %00
}

static wf_status parse_address(parser *p, const char *text)
{
    static const char *const OTHERS[] = {"datasets/", "spaces/", "collections/", "papers/"};
    char decoded[HUB_NAME_BYTES + HUB_FILE_BYTES + HUB_REVISION_BYTES];
    for (size_t i = 0; i < sizeof OTHERS / sizeof *OTHERS; i++)
        if (skip_prefix(text, OTHERS[i])) return fail(p, "that is no model's page");
    if (!decode(text, decoded, sizeof decoded)) return fail(p, "too long");
    p->text = decoded;
    TRY(take_repository(p));
    return take_page(p);
}

// ---- all

wf_status hub_parse_name(const char *text, hub_name *name, wf_error *err)
{
    parser p = {.all = text, .text = text, .name = name, .err = err};
    const char *address = skip_hub(text), *uri = skip_prefix(text, "hf://");
    *name = (hub_name){.revision = "main"};
    if (address) return parse_address(&p, address);
    if (is_ollama(text)) return fail_ollama(&p);
    if (uri) {
        p.text = uri;
        TRY(take_repository(&p));
        return take_uri(&p);
    }
    if (!strncmp(text, "hf:", 3)) p.text += 3;
    TRY(take_repository(&p));
    return take_plain(&p);
}

bool hub_is_name(const char *text)
{
    static const char *const FILES[] = {".gguf", ".safetensors", ".json", ".jinja", ".bin", ".txt"};
    hub_name name;
    if (!strncmp(text, "hf:", 3) || skip_hub(text) || is_ollama(text)) return true;
    if (hub_parse_name(text, &name, NULL) != WF_OK) return false;
    if (name.file[0] && !strchr(text, ':')) return false; // owner/name/file.gguf
    for (size_t i = 0; i < sizeof FILES / sizeof *FILES; i++)
        if (hub_ends_with(name.repository, FILES[i])) return false; // a path with a mistake in it
    return true;
}
