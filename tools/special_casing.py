"""Writes the letters whose upper or title case is more than one character, from Python's tables, as C.

    python special_casing.py > ../src/text/jinja/jinja_case_table.h
"""

print("// The unconditional rows of Unicode's SpecialCasing.txt; made by tools/special_casing.py.")
print("static const struct special_case {\n    uint16_t letter, upper[3], title[3]; // 0: no more\n} SPECIAL_CASES[] = {")
for cp in range(0x10000):
    letter = chr(cp)
    if 0xD800 <= cp < 0xE000 or len(letter.upper()) == 1:
        continue
    upper, title = ([f"0x{ord(c):x}" for c in text] for text in (letter.upper(), letter.title()))
    print(f"    {{0x{cp:x}, {{{', '.join(upper)}}}, {{{', '.join(title)}}}}},")
print("};")
