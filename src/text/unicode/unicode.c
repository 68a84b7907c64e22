#include "text/unicode/unicode.h"

#include "text/unicode/unicode_table.h"

enum { MAX_NAME = 32, N_CATEGORIES = 30 };

// Abbreviation and long name of each general category, in the order of the table's values.
static const char *const CATEGORIES[N_CATEGORIES][2] = {
    {"lu", "uppercaseletter"},    {"ll", "lowercaseletter"},  {"lt", "titlecaseletter"},
    {"lm", "modifierletter"},     {"lo", "otherletter"},      {"mn", "nonspacingmark"},
    {"mc", "spacingmark"},        {"me", "enclosingmark"},    {"nd", "decimalnumber"},
    {"nl", "letternumber"},       {"no", "othernumber"},      {"pc", "connectorpunctuation"},
    {"pd", "dashpunctuation"},    {"ps", "openpunctuation"},  {"pe", "closepunctuation"},
    {"pi", "initialpunctuation"}, {"pf", "finalpunctuation"}, {"po", "otherpunctuation"},
    {"sm", "mathsymbol"},         {"sc", "currencysymbol"},   {"sk", "modifiersymbol"},
    {"so", "othersymbol"},        {"zs", "spaceseparator"},   {"zl", "lineseparator"},
    {"zp", "paragraphseparator"}, {"cc", "control"},          {"cf", "format"},
    {"cs", "surrogate"},          {"co", "privateuse"},       {"cn", "unassigned"},
};

typedef struct code_range {
    uint32_t first, last;
} code_range;

static const code_range SPACE[] = {{'\t', '\r'},     {' ', ' '},       {0x85, 0x85},     {0xA0, 0xA0},
                                   {0x1680, 0x1680}, {0x2000, 0x200A}, {0x2028, 0x2029}, {0x202F, 0x202F},
                                   {0x205F, 0x205F}, {0x3000, 0x3000}};
static const code_range CIRCLED[] = {{0x24B6, 0x24E9}, {0x1F130, 0x1F149}, {0x1F150, 0x1F169}, {0x1F170, 0x1F189}};
static const code_range ANY[] = {{0, CODE_SET_END - 1}}, ASCII[] = {{0, 0x7F}}, TAB[] = {{'\t', '\t'}};
static const code_range HEX[] = {{'0', '9'}, {'A', 'F'}, {'a', 'f'}};
// POSIX's punctuation has the symbols of ASCII too.
static const code_range SYMBOLS[] = {{'$', '$'}, {'+', '+'}, {'<', '>'}, {'^', '^'},
                                     {'`', '`'}, {'|', '|'}, {'~', '~'}};

#define RANGES(list) list, sizeof(list) / sizeof *(list)

// What consists of whole categories, given by how their abbreviations begin, and of ranges besides.
static const struct property {
    const char *names[2];
    const char *categories[6];
    const code_range *ranges;
    size_t n_ranges;
} PROPERTIES[] = {
    {{"l", "letter"}, {"l"}, NULL, 0},
    {{"lc", "casedletter"}, {"lu", "ll", "lt"}, NULL, 0},
    {{"m", "mark"}, {"m"}, NULL, 0},
    {{"n", "number"}, {"n"}, NULL, 0},
    {{"p", "punctuation"}, {"p"}, NULL, 0},
    {{"s", "symbol"}, {"s"}, NULL, 0},
    {{"z", "separator"}, {"z"}, NULL, 0},
    {{"c", "other"}, {"c"}, NULL, 0},
    {{"space", "whitespace"}, {0}, RANGES(SPACE)},
    // Alphabetic, marks, decimal digits, connectors (https://www.unicode.org/reports/tr18/#Compatibility_Properties).
    {{"word", NULL}, {"l", "m", "nd", "nl", "pc"}, RANGES(CIRCLED)},
    {{"alnum", NULL}, {"l", "m", "nd", "nl"}, RANGES(CIRCLED)},
    {{"digit", NULL}, {"nd"}, NULL, 0},
    {{"punct", NULL}, {"p"}, RANGES(SYMBOLS)},
    {{"blank", NULL}, {"zs"}, RANGES(TAB)},
    {{"cntrl", NULL}, {"cc"}, NULL, 0},
    {{"xdigit", "asciihexdigit"}, {0}, RANGES(HEX)},
    {{"ascii", NULL}, {0}, RANGES(ASCII)},
    {{"any", NULL}, {0}, RANGES(ANY)},
};

#undef RANGES

static void add_categories(code_set *set, const bool wanted[N_CATEGORIES])
{
    for (size_t i = 0; i < UNICODE_N_CATEGORIES; i++) {
        uint32_t end = i + 1 < UNICODE_N_CATEGORIES ? UNICODE_CATEGORIES[i + 1] >> 5 : CODE_SET_END;
        if (wanted[UNICODE_CATEGORIES[i] & 31]) code_set_add(set, UNICODE_CATEGORIES[i] >> 5, end - 1);
    }
}

static void add_script(code_set *set, uint32_t script)
{
    for (size_t i = 0; i < UNICODE_N_SCRIPTS; i++) {
        uint32_t end = i + 1 < UNICODE_N_SCRIPTS ? UNICODE_SCRIPTS[i + 1] >> 8 : CODE_SET_END;
        if ((UNICODE_SCRIPTS[i] & 255) == script) code_set_add(set, UNICODE_SCRIPTS[i] >> 8, end - 1);
    }
}

static void add_class(code_set *set, const struct property *p)
{
    bool wanted[N_CATEGORIES] = {false};
    for (size_t k = 0; k < sizeof p->categories / sizeof *p->categories && p->categories[k]; k++)
        for (int c = 0; c < N_CATEGORIES; c++)
            wanted[c] = wanted[c] || view_starts_with(view_of(CATEGORIES[c][0]), view_of(p->categories[k]));
    if (p->categories[0]) add_categories(set, wanted);
    for (size_t i = 0; i < p->n_ranges; i++) code_set_add(set, p->ranges[i].first, p->ranges[i].last);
}

static bool is_either(const char *text, const char *const names[2])
{
    return !strcmp(text, names[0]) || (names[1] && !strcmp(text, names[1]));
}

bool unicode_add_property(code_set *set, view name)
{
    char text[MAX_NAME + 1];
    size_t n = 0;
    for (size_t i = 0; i < name.len; i++) {
        char c = name.data[i];
        if (c == ' ' || c == '_' || c == '-') continue;
        if (n == MAX_NAME) return false;
        text[n++] = (char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
    }
    text[n] = 0;
    for (int c = 0; c < N_CATEGORIES; c++) {
        if (!is_either(text, CATEGORIES[c])) continue;
        bool wanted[N_CATEGORIES] = {false};
        wanted[c] = true;
        add_categories(set, wanted);
        return true;
    }
    for (size_t i = 0; i < sizeof PROPERTIES / sizeof *PROPERTIES; i++) {
        if (!is_either(text, PROPERTIES[i].names)) continue;
        add_class(set, &PROPERTIES[i]);
        return true;
    }
    for (uint32_t i = 0; UNICODE_SCRIPT_NAMES[i]; i++) {
        if (strcmp(text, UNICODE_SCRIPT_NAMES[i])) continue;
        add_script(set, i);
        return true;
    }
    return false;
}

void unicode_add_cases(code_set *set)
{
    // First the smallest of those that are equal, then all that equal a smallest one.
    for (int pass = 0; pass < 2; pass++)
        for (size_t i = 0; i < UNICODE_N_FOLDS; i++) {
            const unicode_fold *f = &UNICODE_FOLDS[i];
            if (!code_set_meets(set, f->first - f->distance, f->last)) continue;
            for (uint32_t code = f->first; code <= f->last; code += f->step) {
                uint32_t from = pass ? code - f->distance : code, to = pass ? code : code - f->distance;
                if (code_set_has(set, from) && !code_set_has(set, to)) code_set_add(set, to, to);
            }
        }
}

static int find_category(uint32_t code)
{
    size_t low = 0, high = UNICODE_N_CATEGORIES; // the run begins in [low, high)
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (UNICODE_CATEGORIES[middle] >> 5 <= code)
            low = middle;
        else
            high = middle;
    }
    return (int)(UNICODE_CATEGORIES[low] & 31);
}

bool unicode_is_word(uint32_t code)
{
    enum { NON_JOINER = 0x200c, JOINER = 0x200d };
    const char *category = CATEGORIES[find_category(code)][0];
    if (code == NON_JOINER || code == JOINER) return true;
    for (size_t i = 0; i < sizeof CIRCLED / sizeof *CIRCLED; i++)
        if (code >= CIRCLED[i].first && code <= CIRCLED[i].last) return true;
    return category[0] == 'l' || category[0] == 'm' || !strcmp(category, "nd") || !strcmp(category, "nl") ||
           !strcmp(category, "pc");
}
