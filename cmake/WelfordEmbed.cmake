# Writes the bytes of files as C arrays: cmake -DOUTPUT=FILE.c -DFILES=a.html;b.js -P WelfordEmbed.cmake
#
# Of style.css: const unsigned char page_style_css[]; const size_t page_style_css_bytes;
set(text "// Made from the files of src/server/page.\n#include \"server/page.h\"\n")
foreach(file ${FILES})
    get_filename_component(name "${file}" NAME)
    string(MAKE_C_IDENTIFIER "page_${name}" symbol)
    file(READ "${file}" bytes HEX)
    string(REGEX REPLACE "(..)" "0x\\1," bytes "${bytes}")
    string(APPEND text "const unsigned char ${symbol}[] = {${bytes}};\nconst size_t ${symbol}_bytes = sizeof ${symbol};\n")
endforeach()
file(WRITE "${OUTPUT}" "${text}")
