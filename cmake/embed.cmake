# cmake -DINPUT=x -DOUTPUT=x.c -DNAME=x -DHEADER=x.h -P embed.cmake: a file as an array of C, ended by 0.
file(READ "${INPUT}" hex HEX)
string(REGEX REPLACE "(..)" "0x\\1," bytes "${hex}")
string(REGEX REPLACE "(................................................................................)" "\\1\n    "
    bytes "${bytes}")
file(WRITE "${OUTPUT}"
    "#include \"${HEADER}\"\n\nconst char ${NAME}[] = {\n    ${bytes}0};\nconst size_t ${NAME}_bytes = sizeof ${NAME} - 1;\n")
