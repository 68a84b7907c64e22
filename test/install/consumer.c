// A program outside the project: includes the installed header and calls the installed library.
// usage: consumer VERSION [compile] - fails unless the library is of this version, and compiles and calls a function
#include <stdio.h>
#include <string.h>

#include <welford.h>

static const char GRAPH[] = "func.func @main(%a: tensor<?xf32>) -> tensor<?xf32> {\n"
                            "  %0 = tosa.add %a, %a : (tensor<?xf32>, tensor<?xf32>) -> tensor<?xf32>\n"
                            "  return %0 : tensor<?xf32>\n}\n";

static int call_function(void)
{
    float in[] = {1, 2, 3}, out[3];
    const wf_array argument = {.data = in, .shape = {WF_F32, 1, {3}}};
    wf_array result = {.data = out, .shape = argument.shape};
    wf_function *function;
    wf_error err = {0};
    if (!wf_function_open_bytes(GRAPH, sizeof GRAPH - 1, "graph", NULL, &function, &err))
        wf_function_call(function, &argument, 1, &result, 1, &err);
    wf_function_close(function);
    printf("function: %s\n", err.status ? err.message : "called");
    return err.status || out[0] != 2 || out[1] != 4 || out[2] != 6;
}

int main(int argc, char **argv)
{
    printf("welford %s\n", wf_version());
    if (argc < 2 || strcmp(argv[1], wf_version())) return 1;
    return argc > 2 ? call_function() : 0;
}
