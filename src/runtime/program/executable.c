// Program images, and a loader for the relocatable objects in them.
//
// The objects are mapped so, each part starting on a page:
//
//   [ 64 bytes int3 | sections with code of object 0 | of object 1 | ... ]  read and execute
//   [ other sections of object 0: constants, tables  | of object 1 | ... ]  read
//
// Relocations are applied while the whole is writable and not executable. Kernels keep no state: an object with
// writable data is refused. Source: System V ABI, AMD64 supplement, 4.4 (relocation types), and the gABI, chapter 4.
#include "runtime/program/executable.h"

#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/bytes.h"
#include "base/checked.h"
#include "base/versions.h"

// --- the image -----------------------------------------------------------------------------------------------------

enum { HEADER_BYTES = 48, OBJECT_HEADER_BYTES = 16, CHECKED_FROM = 24, IMAGE_ALIGNMENT = 16, CONSTANTS_ALIGNMENT = 64 };

static void append_padded(buffer *out, size_t start, const void *data, size_t bytes, size_t alignment)
{
    static const char zeros[CONSTANTS_ALIGNMENT];
    buffer_append(out, data, bytes);
    buffer_append(out, zeros, -(out->len - start) % alignment);
}

void executable_write(const program *p, const view *objects, size_t n_objects, view constants, buffer *out)
{
    buffer program_bytes = {0};
    program_write(p, &program_bytes);
    size_t start = out->len;
    uint64_t header[HEADER_BYTES / 8] = {0};
    memcpy(header, EXECUTABLE_MAGIC, MAGIC_BYTES);
    header[3] = program_bytes.len;
    header[4] = n_objects;
    header[5] = constants.len;
    buffer_append(out, header, sizeof header);
    append_padded(out, start, program_bytes.data, program_bytes.len, IMAGE_ALIGNMENT);
    for (size_t i = 0; i < n_objects; i++) {
        const uint64_t object_header[OBJECT_HEADER_BYTES / 8] = {objects[i].len};
        buffer_append(out, object_header, sizeof object_header);
        append_padded(out, start, objects[i].data, objects[i].len, IMAGE_ALIGNMENT);
    }
    append_padded(out, start, NULL, 0, constants.len ? CONSTANTS_ALIGNMENT : 1);
    buffer_append_view(out, constants);
    if (program_bytes.failed) out->failed = true;
    buffer_free(&program_bytes);
    if (out->failed) return;
    unsigned char *image = (unsigned char *)out->data + start;
    size_t bytes = out->len - start;
    header[1] = bytes;
    header[2] = XXH3_64bits(image + CHECKED_FROM, bytes - CHECKED_FROM);
    memcpy(image, header, CHECKED_FROM);
}

// The objects of an image, from *at on; false when they do not fit. *at is their end then.
static bool find_objects(const unsigned char *image, size_t bytes, size_t *place, view *objects, size_t n)
{
    size_t at = *place;
    for (size_t i = 0; i < n; i++) {
        if (bytes - at < OBJECT_HEADER_BYTES) return false;
        size_t length = load_u64(image + at), padded;
        at += OBJECT_HEADER_BYTES;
        if (!checked_align(length, IMAGE_ALIGNMENT, &padded) || padded > bytes - at) return false;
        objects[i] = (view){(const char *)image + at, length};
        at += padded;
    }
    *place = at;
    return true;
}

// The constants, from `at` to the image's end; false when they do not fill it.
static bool find_constants(const unsigned char *image, size_t bytes, size_t at, size_t constants_bytes, view *constants)
{
    if (constants_bytes && !checked_align(at, CONSTANTS_ALIGNMENT, &at)) return false;
    if (at > bytes || bytes - at != constants_bytes) return false;
    *constants = (view){(const char *)image + at, constants_bytes};
    return true;
}

static wf_status load_kernels(const view *objects, size_t n_objects, const char *name, executable *exe, wf_error *err)
{
    size_t n = exe->program.n_kernels;
    exe->kernels = calloc(n + 1, sizeof *exe->kernels);
    if (!exe->kernels) return error_memory(err, n * sizeof *exe->kernels);
    return objects_load(objects, n_objects, name, exe->program.kernels, n, exe->kernels, &exe->code, &exe->code_bytes,
                        err);
}

// Where the constants lie in memory; `keeps`: the image outlives the program.
static wf_status place_constants(executable *exe, view constants, bool keeps, const char *name, wf_error *err)
{
    if (constants.len < program_fixed_bytes(&exe->program, AREA_CONSTANTS))
        return error_set(err, WF_ERROR_FORMAT, "%s: the constants end early", name);
    if (!constants.len) return WF_OK;
    exe->constants = (const unsigned char *)constants.data;
    if (keeps && (uintptr_t)constants.data % CONSTANTS_ALIGNMENT == 0) return WF_OK;
    size_t bytes;
    exe->copy =
        checked_align(constants.len, CONSTANTS_ALIGNMENT, &bytes) ? aligned_alloc(CONSTANTS_ALIGNMENT, bytes) : NULL;
    if (!exe->copy) return error_memory(err, constants.len);
    memcpy(exe->copy, constants.data, constants.len);
    exe->constants = exe->copy;
    return WF_OK;
}

static wf_status load_image(const void *image, size_t bytes, const char *name, bool keeps, executable *exe,
                            wf_error *err)
{
    *exe = (executable){0};
    const unsigned char *p = image;
    if (bytes < HEADER_BYTES || memcmp(p, EXECUTABLE_MAGIC, MAGIC_BYTES))
        return error_set(err, WF_ERROR_FORMAT, "%s: no program (magic " EXECUTABLE_MAGIC " missing)", name);
    if (load_u64(p + 8) != bytes)
        return error_set(err, WF_ERROR_FORMAT, "%s: %zu bytes, its header says %llu", name, bytes,
                         (unsigned long long)load_u64(p + 8));
    if (load_u64(p + 16) != XXH3_64bits(p + CHECKED_FROM, bytes - CHECKED_FROM))
        return error_set(err, WF_ERROR_FORMAT, "%s: wrong checksum", name);
    size_t program_bytes = load_u64(p + 24), n_objects = load_u64(p + 32), at;
    if (!checked_align(program_bytes, IMAGE_ALIGNMENT, &at) || at > bytes - HEADER_BYTES ||
        n_objects > bytes / OBJECT_HEADER_BYTES)
        return error_set(err, WF_ERROR_FORMAT, "%s: program and objects do not fit into the image", name);
    at += HEADER_BYTES;
    view *objects = calloc(n_objects + 1, sizeof *objects), constants = {0};
    if (!objects) return error_memory(err, n_objects * sizeof *objects);
    wf_status status = WF_OK;
    if (!find_objects(p, bytes, &at, objects, n_objects) || !find_constants(p, bytes, at, load_u64(p + 40), &constants))
        status = error_set(err, WF_ERROR_FORMAT, "%s: program, objects and constants do not fill the image", name);
    if (status == WF_OK) status = program_read(p + HEADER_BYTES, program_bytes, name, &exe->program, err);
    if (status == WF_OK) status = load_kernels(objects, n_objects, name, exe, err);
    if (status == WF_OK) status = place_constants(exe, constants, keeps, name, err);
    free(objects);
    if (status != WF_OK) executable_free(exe);
    return status;
}

wf_status executable_load(const void *image, size_t bytes, const char *name, executable *exe, wf_error *err)
{
    return load_image(image, bytes, name, false, exe, err);
}

wf_status executable_lend(view image, const char *name, executable *exe, wf_error *err)
{
    return load_image(image.data, image.len, name, true, exe, err);
}

wf_status executable_open_mapped(file_map *map, view image, const char *name, executable *exe, wf_error *err)
{
    wf_status status = executable_lend(image, name, exe, err);
    if (status == WF_OK && exe->constants && !exe->copy)
        exe->map = *map;
    else
        file_map_close(map);
    *map = (file_map){0};
    return status;
}

wf_status executable_open(const char *path, executable *exe, wf_error *err)
{
    file_map map;
    *exe = (executable){0};
    TRY(file_map_open(path, &map, err));
    return executable_open_mapped(&map, (view){(const char *)map.data, map.bytes}, path, exe, err);
}

void executable_free(executable *exe)
{
    program_free(&exe->program);
    free(exe->kernels);
    objects_unload(exe->code, exe->code_bytes);
    free(exe->copy);
    file_map_close(&exe->map);
    *exe = (executable){0};
}

// --- the objects ---------------------------------------------------------------------------------------------------

enum {
    LEAD_IN = 64, // before the first function: checkers (clang's -fsanitize=function) read some bytes before an entry
    MAX_ALIGNMENT = 4096,
};
static const size_t NOT_LOADED = SIZE_MAX;

typedef struct object {
    const unsigned char *data;
    size_t bytes;
    const char *name;
    Elf64_Shdr *sections; // [n_sections] copies
    size_t *places;       // [n_sections] offset in the mapping or NOT_LOADED
    size_t n_sections;
    size_t symbols_at, n_symbols, symtab; // symtab: index of the section, 0 when there is none
    const char *strings;                  // of the symbols: zero-terminated as a whole
    size_t strings_bytes;
    const char *section_names; // as `strings`
    size_t section_names_bytes;
    size_t loaded_bytes; // of the sections that are mapped
    unsigned char *map;  // of all objects
} object;

typedef struct mapping {
    unsigned char *data;
    size_t bytes, code_bytes; // code_bytes: of the executable part, whole pages
} mapping;

static wf_status bad_object(const object *o, wf_error *err, const char *what, size_t index)
{
    return error_set(err, WF_ERROR_FORMAT, "%s: object: section %zu: %s", o->name, index, what);
}

static bool is_inside(size_t offset, size_t length, size_t all) { return offset <= all && length <= all - offset; }

static wf_status read_sections(object *o, wf_error *err)
{
    Elf64_Ehdr header;
    if (o->bytes < sizeof header)
        return error_set(err, WF_ERROR_FORMAT, "%s: object: %zu bytes, too short for an ELF header", o->name, o->bytes);
    memcpy(&header, o->data, sizeof header);
    if (memcmp(header.e_ident, ELFMAG, SELFMAG) || header.e_ident[EI_CLASS] != ELFCLASS64 ||
        header.e_ident[EI_DATA] != ELFDATA2LSB || header.e_type != ET_REL || header.e_machine != EM_X86_64)
        return error_set(err, WF_ERROR_FORMAT, "%s: object: no relocatable ELF file for x86-64", o->name);
    size_t n = header.e_shnum;
    if (header.e_shentsize != sizeof(Elf64_Shdr) || n == 0 || header.e_shstrndx >= n ||
        !is_inside(header.e_shoff, n * sizeof(Elf64_Shdr), o->bytes))
        return error_set(err, WF_ERROR_FORMAT, "%s: object: %zu section headers at offset %llu do not fit", o->name, n,
                         (unsigned long long)header.e_shoff);
    o->sections = calloc(n, sizeof *o->sections);
    o->places = calloc(n, sizeof *o->places);
    if (!o->sections || !o->places) return error_memory(err, n * (sizeof *o->sections + sizeof *o->places));
    o->n_sections = n;
    memcpy(o->sections, o->data + header.e_shoff, n * sizeof *o->sections);
    for (size_t i = 0; i < n; i++) {
        const Elf64_Shdr *s = &o->sections[i];
        o->places[i] = NOT_LOADED;
        if (s->sh_type == SHT_NULL || s->sh_type == SHT_NOBITS) continue;
        if (!is_inside(s->sh_offset, s->sh_size, o->bytes)) return bad_object(o, err, "beyond the end", i);
        if (s->sh_addralign & (s->sh_addralign - 1) && s->sh_addralign) return bad_object(o, err, "odd alignment", i);
    }
    const Elf64_Shdr *names = &o->sections[header.e_shstrndx];
    if (names->sh_type != SHT_STRTAB || !names->sh_size || o->data[names->sh_offset + names->sh_size - 1])
        return bad_object(o, err, "no table of section names", header.e_shstrndx);
    o->section_names = (const char *)o->data + names->sh_offset;
    o->section_names_bytes = names->sh_size;
    return WF_OK;
}

static wf_status read_symbol_table(object *o, wf_error *err)
{
    for (size_t i = 0; i < o->n_sections; i++) {
        const Elf64_Shdr *s = &o->sections[i];
        if (s->sh_type != SHT_SYMTAB) continue;
        if (o->symtab) return bad_object(o, err, "second symbol table", i);
        if (s->sh_entsize != sizeof(Elf64_Sym) || s->sh_size % sizeof(Elf64_Sym) || s->sh_link >= o->n_sections)
            return bad_object(o, err, "damaged symbol table", i);
        const Elf64_Shdr *strings = &o->sections[s->sh_link];
        if (strings->sh_type != SHT_STRTAB || !strings->sh_size || o->data[strings->sh_offset + strings->sh_size - 1])
            return bad_object(o, err, "symbols without names", i);
        o->symtab = i;
        o->symbols_at = s->sh_offset;
        o->n_symbols = s->sh_size / sizeof(Elf64_Sym);
        o->strings = (const char *)o->data + strings->sh_offset;
        o->strings_bytes = strings->sh_size;
    }
    return WF_OK;
}

static Elf64_Sym symbol_at(const object *o, size_t index)
{
    Elf64_Sym symbol;
    memcpy(&symbol, o->data + o->symbols_at + index * sizeof symbol, sizeof symbol);
    return symbol;
}

static const char *symbol_name(const object *o, const Elf64_Sym *symbol)
{
    return symbol->st_name < o->strings_bytes ? o->strings + symbol->st_name : "?";
}

// Which sections are mapped: code and constants. Unwind tables and notes are left out, whatever else a running program
// would need is refused.
static wf_status choose_section(const object *o, size_t i, bool *load, wf_error *err)
{
    const Elf64_Shdr *s = &o->sections[i];
    const char *name = s->sh_name < o->section_names_bytes ? o->section_names + s->sh_name : "";
    *load = false;
    if (!(s->sh_flags & SHF_ALLOC) || !s->sh_size || s->sh_type == SHT_NOTE || s->sh_type == SHT_X86_64_UNWIND ||
        !strcmp(name, ".eh_frame"))
        return WF_OK;
    if (s->sh_type != SHT_PROGBITS) return bad_object(o, err, "neither code nor constants", i);
    if (s->sh_flags & SHF_TLS || (s->sh_flags & SHF_WRITE && strncmp(name, ".data.rel.ro", 12)))
        return bad_object(o, err, "writable data, which a kernel must not have", i);
    if (s->sh_addralign > MAX_ALIGNMENT) return bad_object(o, err, "alignment above 4096", i);
    *load = true;
    return WF_OK;
}

// Gives the sections with code, or the others, their places from *at on.
static wf_status place_sections(object *o, bool code, size_t *at, wf_error *err)
{
    for (size_t i = 0; i < o->n_sections; i++) {
        const Elf64_Shdr *s = &o->sections[i];
        bool load;
        TRY(choose_section(o, i, &load, err));
        if (!load || (s->sh_flags & SHF_EXECINSTR ? true : false) != code) continue;
        // Sections do not overlap in a good file, so their sum is bounded by it; the mapping then is bounded too:
        // file + 4096 a section.
        o->loaded_bytes += s->sh_size;
        if (o->loaded_bytes > o->bytes) return bad_object(o, err, "sections overlap", i);
        checked_align(*at, s->sh_addralign ? s->sh_addralign : 1, at);
        o->places[i] = *at;
        *at += s->sh_size;
        if (*at > INT32_MAX)
            return error_set(err, WF_ERROR_FORMAT, "%s: object: %zu bytes of code are too many", o->name, *at);
    }
    return WF_OK;
}

static wf_status map_objects(object *objects, size_t n, mapping *map, wf_error *err)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), at = LEAD_IN;
    for (int code = 1; code >= 0; code--) {
        for (size_t i = 0; i < n; i++) TRY(place_sections(&objects[i], code, &at, err));
        checked_align(at, page, &at);
        if (code) map->code_bytes = at;
    }
    void *data = mmap(NULL, at, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (data == MAP_FAILED) return error_memory(err, at);
    map->data = data;
    map->bytes = at;
    memset(map->data, 0xcc, map->code_bytes);
    for (object *o = objects; o < objects + n; o++) {
        o->map = map->data;
        for (size_t i = 0; i < o->n_sections; i++)
            if (o->places[i] != NOT_LOADED)
                memcpy(o->map + o->places[i], o->data + o->sections[i].sh_offset, o->sections[i].sh_size);
    }
    return WF_OK;
}

static wf_status apply_relocation(object *o, size_t section, size_t target, const Elf64_Rela *r, wf_error *err)
{
    uint32_t type = ELF64_R_TYPE(r->r_info);
    if (type == R_X86_64_NONE) return WF_OK;
    if (type != R_X86_64_PC32 && type != R_X86_64_PLT32 && type != R_X86_64_64)
        return error_set(err, WF_ERROR_FORMAT, "%s: object: section %zu: relocation type %u", o->name, section, type);
    size_t width = type == R_X86_64_64 ? 8 : 4;
    if (!is_inside(r->r_offset, width, o->sections[target].sh_size))
        return bad_object(o, err, "relocation beyond its section", section);
    if (ELF64_R_SYM(r->r_info) >= o->n_symbols) return bad_object(o, err, "relocation to no symbol", section);
    Elf64_Sym symbol = symbol_at(o, ELF64_R_SYM(r->r_info));
    if (symbol.st_shndx == SHN_UNDEF)
        return error_set(err, WF_ERROR_FORMAT, "%s: object: it needs the outside symbol \"%.80s\"", o->name,
                         symbol_name(o, &symbol));
    if (symbol.st_shndx >= o->n_sections || o->places[symbol.st_shndx] == NOT_LOADED ||
        symbol.st_value > o->sections[symbol.st_shndx].sh_size)
        return bad_object(o, err, "relocation to a symbol outside code and constants", section);

    // Offsets in the mapping are below 2^31, so these sums overflow only by a wild addend.
    int64_t place = (int64_t)(o->places[target] + r->r_offset), value;
    if (__builtin_add_overflow((int64_t)(o->places[symbol.st_shndx] + symbol.st_value), r->r_addend, &value) ||
        value < INT32_MIN || value > INT32_MAX || value - place < INT32_MIN || value - place > INT32_MAX)
        return bad_object(o, err, "relocation out of range", section);
    if (type == R_X86_64_64) {
        uint64_t address = (uint64_t)(uintptr_t)o->map + (uint64_t)value;
        memcpy(o->map + place, &address, sizeof address);
    } else {
        int32_t distance = (int32_t)(value - place);
        memcpy(o->map + place, &distance, sizeof distance);
    }
    return WF_OK;
}

static wf_status apply_relocations(object *o, wf_error *err)
{
    for (size_t i = 0; i < o->n_sections; i++) {
        const Elf64_Shdr *s = &o->sections[i];
        if (s->sh_type != SHT_RELA && s->sh_type != SHT_REL) continue;
        if (s->sh_info >= o->n_sections) return bad_object(o, err, "relocations of no section", i);
        if (o->places[s->sh_info] == NOT_LOADED) continue;
        if (s->sh_type == SHT_REL || s->sh_entsize != sizeof(Elf64_Rela) || s->sh_size % sizeof(Elf64_Rela) ||
            s->sh_link != o->symtab)
            return bad_object(o, err, "damaged relocations", i);
        for (size_t at = 0; at < s->sh_size; at += sizeof(Elf64_Rela)) {
            Elf64_Rela r;
            memcpy(&r, o->data + s->sh_offset + at, sizeof r);
            TRY(apply_relocation(o, i, s->sh_info, &r, err));
        }
    }
    return WF_OK;
}

static bool find_function(const object *o, const char *name, kernel_fn *function)
{
    for (size_t i = 0; i < o->n_symbols; i++) {
        Elf64_Sym symbol = symbol_at(o, i);
        if (ELF64_ST_TYPE(symbol.st_info) != STT_FUNC || ELF64_ST_BIND(symbol.st_info) == STB_LOCAL ||
            strcmp(symbol_name(o, &symbol), name))
            continue;
        size_t section = symbol.st_shndx;
        if (section >= o->n_sections || o->places[section] == NOT_LOADED ||
            !(o->sections[section].sh_flags & SHF_EXECINSTR) || symbol.st_value >= o->sections[section].sh_size)
            break;
        *function = (kernel_fn)(uintptr_t)(o->map + o->places[section] + symbol.st_value);
        return true;
    }
    return false;
}

static wf_status find_functions(const object *objects, size_t n_objects, const char *name, const char *const *symbols,
                                size_t n, kernel_fn *functions, wf_error *err)
{
    for (size_t i = 0; i < n; i++) {
        bool found = false;
        for (size_t k = 0; k < n_objects && !found; k++) found = find_function(&objects[k], symbols[i], &functions[i]);
        if (!found)
            return error_set(err, WF_ERROR_FORMAT, "%s: object: it has no function \"%.80s\"", name, symbols[i]);
    }
    return WF_OK;
}

static wf_status protect(const mapping *map, const char *name, wf_error *err)
{
    size_t rest = map->bytes - map->code_bytes;
    if (mprotect(map->data, map->code_bytes, PROT_READ | PROT_EXEC) ||
        (rest && mprotect(map->data + map->code_bytes, rest, PROT_READ)))
        return error_set(err, WF_ERROR_IO, "%s: the system refuses executable memory: %s", name, strerror(errno));
    return WF_OK;
}

wf_status objects_load(const view *sources, size_t n_objects, const char *name, const char *const *symbols, size_t n,
                       kernel_fn *functions, void **code, size_t *code_bytes, wf_error *err)
{
    *code = NULL;
    *code_bytes = 0;
    mapping map = {0};
    object *objects = calloc(n_objects + 1, sizeof *objects);
    if (!objects) return error_memory(err, n_objects * sizeof *objects);
    wf_status status;
    for (size_t i = 0; i < n_objects; i++) {
        objects[i] = (object){.data = (const unsigned char *)sources[i].data, .bytes = sources[i].len, .name = name};
        TRY_GOTO(read_sections(&objects[i], err), done);
        TRY_GOTO(read_symbol_table(&objects[i], err), done);
    }
    TRY_GOTO(map_objects(objects, n_objects, &map, err), done);
    for (size_t i = 0; i < n_objects; i++) TRY_GOTO(apply_relocations(&objects[i], err), done);
    TRY_GOTO(find_functions(objects, n_objects, name, symbols, n, functions, err), done);
    TRY_GOTO(protect(&map, name, err), done);
    *code = map.data;
    *code_bytes = map.bytes;
done:
    if (status != WF_OK) objects_unload(map.data, map.bytes);
    for (size_t i = 0; i < n_objects; i++) {
        free(objects[i].sections);
        free(objects[i].places);
    }
    free(objects);
    return status;
}

void objects_unload(void *code, size_t code_bytes)
{
    if (code) munmap(code, code_bytes);
}
