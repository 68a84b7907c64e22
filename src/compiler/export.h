// Marks what the compiler library shows to the program that opens it.
#ifndef WELFORD_COMPILER_EXPORT_H
#define WELFORD_COMPILER_EXPORT_H

#define WF_EXPORT __attribute__((visibility("default")))

#endif
