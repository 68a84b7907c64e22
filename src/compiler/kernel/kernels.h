// The kernels by name, for people: what a plan calls. A kernel's full name goes on with what it is specialised to.
#ifndef WELFORD_COMPILER_KERNEL_KERNELS_H
#define WELFORD_COMPILER_KERNEL_KERNELS_H

typedef struct kernel_info {
    const char *name; // how full names begin, up to the first part that holds a number
    const char *file; // where it is built and described
    const char *help; // one line
} kernel_info;

// Ends with a null name.
extern const kernel_info KERNELS[];

#endif
