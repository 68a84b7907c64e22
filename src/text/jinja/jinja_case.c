// Upper, lower and title case as Python has them: Unicode's full mappings, one character to up to three, and the final
// sigma, which alone depends on what stands around it.
#include <utf8proc.h>

#include "text/jinja/jinja_case_table.h"
#include "text/jinja/jinja_internal.h"

// Jinja's title filter starts a word after these; str.title has rules of its own.
static bool splits_words(uint32_t cp)
{
    return jinja_is_space(cp) || cp == '-' || cp == '(' || cp == '{' || cp == '[' || cp == '<';
}

static const struct special_case *find_special(uint32_t cp)
{
    size_t low = 0, high = sizeof SPECIAL_CASES / sizeof *SPECIAL_CASES;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (SPECIAL_CASES[middle].letter == cp) return &SPECIAL_CASES[middle];
        if (SPECIAL_CASES[middle].letter < cp)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

// What the search for a letter beside a sigma looks through (Case_Ignorable).
static bool is_ignorable(uint32_t cp)
{
    switch (utf8proc_category((utf8proc_int32_t)cp)) {
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_SK: return true;
    default: return cp == '\'' || cp == '.' || cp == ':' || cp == 0xb7 || cp == 0x2019 || cp == 0x2018 || cp == 0x2024;
    }
}

static bool letter_follows(jinja_run *r, const jinja_string *s, size_t pos)
{
    for (size_t used; pos < s->len; pos += used) {
        uint32_t cp = jinja_code_point(s->data + pos, s->len - pos, &used);
        jinja_step(r, 1);
        if (!is_ignorable(cp)) return jinja_has_case(cp);
    }
    return false;
}

static void add_mapped(jinja_run *r, jinja_text *t, uint32_t cp, jinja_case how, bool foreign)
{
    utf8proc_int32_t c = (utf8proc_int32_t)cp;
    const struct special_case *special = how == CASE_LOWER ? NULL : find_special(cp);
    if (special) {
        const uint16_t *mapped = how == CASE_UPPER ? special->upper : special->title;
        for (size_t i = 0; i < 3 && mapped[i]; i++) jinja_text_add_code_point(r, t, mapped[i], foreign);
    } else if (how == CASE_LOWER && cp == 0x130) { // I with a dot
        jinja_text_add_code_point(r, t, 'i', foreign);
        jinja_text_add_code_point(r, t, 0x307, foreign);
    } else {
        c = how == CASE_LOWER ? utf8proc_tolower(c) : how == CASE_UPPER ? utf8proc_toupper(c) : utf8proc_totitle(c);
        jinja_text_add_code_point(r, t, (uint32_t)c, foreign);
    }
}

jinja_string *jinja_string_case(jinja_run *r, const jinja_string *s, jinja_case how)
{
    jinja_text t = {0};
    bool first = true, after_letter = false;
    jinja_step(r, s->len / 8);
    for (size_t pos = 0, used; pos < s->len; pos += used) {
        uint32_t cp = jinja_code_point(s->data + pos, s->len - pos, &used);
        bool foreign = s->origin && s->origin[pos], raise = how == CASE_UPPER || (first && how != CASE_LOWER);
        jinja_case map = !raise ? CASE_LOWER : how == CASE_CAPITALIZE ? CASE_TITLE : CASE_UPPER;
        if (cp >= 0x80 && used == 1) // no character
            jinja_text_add(r, &t, s->data + pos, 1, s->origin ? s->origin + pos : NULL);
        else if (cp == 0x3a3 && !raise && after_letter && !letter_follows(r, s, pos + used))
            jinja_text_add_code_point(r, &t, 0x3c2, foreign);
        else
            add_mapped(r, &t, cp, map, foreign);
        if (!is_ignorable(cp)) after_letter = jinja_has_case(cp);
        first = how == CASE_TITLE && splits_words(cp);
    }
    jinja_string *changed = jinja_text_end(r, &t);
    changed->markup = s->markup;
    return changed;
}
