#include "tool/info_bundle.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/cpu.h"
#include "runtime/program/executable.h"
#include "tool/info_value.h"
#include "tool/model_options.h"

void print_scaled(uint64_t number, const char *unit)
{
    static const char *const PREFIXES[] = {"", "k", "M", "G", "T", "P", "E"};
    double scaled = (double)number;
    int step = 0;
    for (; scaled >= 999.95 && step < 6; step++) scaled /= 1000;
    printf("%.*f %s%s", step ? 1 : 0, scaled, PREFIXES[step], unit);
}

// Of all packs together; *n: how many there are.
static size_t sum_packs(const bundle *b, uint32_t *n)
{
    size_t bytes = 0;
    *n = 0;
    for (uint32_t i = 0; i < b->n_sections; i++) {
        if (b->sections[i].kind != BUNDLE_PACK) continue;
        bytes += b->sections[i].bytes.len;
        ++*n;
    }
    return bytes;
}

// ---- text

void print_bundle(const bundle *b)
{
    const char *label = "programs";
    for (uint32_t i = 0; i < b->n_sections; i++) {
        const bundle_section *s = &b->sections[i];
        buffer sets = {0};
        if (s->kind != BUNDLE_PROGRAM) continue;
        const char *function = bundle_function(b, s->function);
        cpu_print_sets(s->cpu_sets, &sets);
        printf("%-15s ", label);
        if (function) print_escaped(view_of(function), SIZE_MAX, false);
        printf("%s%s, ", function ? " for " : "", s->cpu);
        print_scaled(s->bytes.len, "B");
        printf(", needs %s\n", sets.len ? sets.data : "nothing");
        buffer_free(&sets);
        label = "";
    }
    bool model = bundle_find(b, BUNDLE_METADATA);
    uint32_t n;
    size_t bytes = sum_packs(b, &n);
    if (!n && !model) return;
    printf("%-15s ", "weights");
    if (n) print_scaled(bytes, "B, packed");
    if (n > 1) printf(", in %" PRIu32 " tables", n);
    puts(n ? "" : "none: the checkpoint has them");
}

static void print_array(const char *kind, uint32_t index, const program *p, const program_array *array)
{
    char label[32];
    buffer text = {0};
    snprintf(label, sizeof label, "%s %" PRIu32, kind, index);
    for (uint32_t d = 0; d < array->n_dims; d++) {
        affine_print(&array->dims[d], p->dims, &text);
        buffer_append_char(&text, 'x');
    }
    printf("%-15s %s%s\n", label, buffer_view(&text).data, array_type_name(array->type));
    buffer_free(&text);
}

static void print_head(const bundle *b)
{
    printf("%-15s ", "file");
    print_escaped(view_of(b->path), SIZE_MAX, false);
    printf("\n%-15s .wf, %s compiled ahead of time\n%-15s ", "format",
           bundle_function(b, 1) ? "functions" : "a function", "size");
    print_scaled(b->map.bytes, "B");
    printf(" (%zu bytes)\n", b->map.bytes);
}

static void print_function(const program *p)
{
    printf("%-15s ", "function");
    print_escaped(view_of(p->name), SIZE_MAX, false);
    putchar('\n');
    for (uint32_t i = 0; i < p->n_arguments; i++) print_array("argument", i, p, &p->arrays[i]);
    for (uint32_t i = 0; i < p->n_results; i++) print_array("result", i, p, &p->arrays[p->n_arguments + i]);
}

// ---- JSON

void print_json_bundle(const bundle *b)
{
    uint32_t n_packs;
    const char *separator = "";
    fputs(", \"compiled\": {\"programs\": [", stdout);
    for (uint32_t i = 0; i < b->n_sections; i++) {
        const bundle_section *s = &b->sections[i];
        buffer sets = {0};
        if (s->kind != BUNDLE_PROGRAM) continue;
        cpu_print_sets(s->cpu_sets, &sets);
        const char *function = bundle_function(b, s->function);
        printf("%s{", separator);
        if (function) fputs("\"function\": ", stdout);
        if (function) print_json_string(stdout, view_of(function));
        printf("%s\"cpu\": ", function ? ", " : "");
        print_json_string(stdout, view_of(s->cpu));
        printf(", \"bytes\": %zu, \"needs\": ", s->bytes.len);
        print_json_string(stdout, buffer_view(&sets));
        putchar('}');
        buffer_free(&sets);
        separator = ", ";
    }
    printf("], \"weights_bytes\": %zu}", sum_packs(b, &n_packs));
}

static void print_json_arrays(const char *name, const program *p, const program_array *arrays, uint32_t n)
{
    printf(", \"%s\": [", name);
    for (uint32_t i = 0; i < n; i++) {
        printf("%s{\"type\": \"%s\", \"shape\": [", i ? ", " : "", array_type_name(arrays[i].type));
        for (uint32_t d = 0; d < arrays[i].n_dims; d++) {
            buffer text = {0};
            affine_print(&arrays[i].dims[d], p->dims, &text);
            bool fixed = strspn(buffer_view(&text).data, "0123456789") == text.len;
            printf(fixed ? "%s%s" : "%s\"%s\"", d ? ", " : "", buffer_view(&text).data);
            buffer_free(&text);
        }
        fputs("]}", stdout);
    }
    putchar(']');
}

static void print_json_head(const bundle *b)
{
    fputs("{\"file\": ", stdout);
    print_json_string(stdout, view_of(b->path));
    printf(", \"file_bytes\": %zu, ", b->map.bytes);
}

// Members of an object.
static void print_json_function(const program *p)
{
    fputs("\"function\": ", stdout);
    print_json_string(stdout, view_of(p->name));
    print_json_arrays("arguments", p, p->arrays, p->n_arguments);
    print_json_arrays("results", p, p->arrays + p->n_arguments, p->n_results);
}

// That of the first program that is of it: all agree.
static const bundle_section *find_program(const bundle *b, uint32_t function)
{
    for (uint32_t i = 0; i < b->n_sections; i++)
        if (b->sections[i].kind == BUNDLE_PROGRAM && b->sections[i].function == function) return &b->sections[i];
    return NULL;
}

// One function: its members; several: "functions", an array of objects with these.
wf_status info_print_function(const bundle *b, bool json, wf_error *err)
{
    executable all[BUNDLE_MAX_SECTIONS] = {0};
    const bundle_section *section;
    wf_status status = WF_OK;
    uint32_t n = 0;
    for (; status == WF_OK && n < BUNDLE_MAX_SECTIONS && (section = find_program(b, n)); n++)
        status = executable_lend(section->bytes, b->path, &all[n], err);
    if (status == WF_OK) {
        (json ? print_json_head : print_head)(b);
        if (json && n > 1) fputs("\"functions\": [", stdout);
        for (uint32_t i = 0; i < n; i++) {
            if (json && n > 1) fputs(i ? ", {" : "{", stdout);
            (json ? print_json_function : print_function)(&all[i].program);
            if (json && n > 1) putchar('}');
        }
        if (json && n > 1) putchar(']');
        (json ? print_json_bundle : print_bundle)(b);
        if (json) puts("}");
    }
    for (uint32_t i = 0; i < n; i++) executable_free(&all[i]);
    return status;
}
