// A program outside the project: includes the installed header and calls the installed library.
// usage: consumer VERSION - fails unless the library is of this version
#include <stdio.h>
#include <string.h>

#include <welford.h>

int main(int argc, char **argv)
{
    printf("welford %s\n", wf_version());
    return argc == 2 && !strcmp(argv[1], wf_version()) ? 0 : 1;
}
