// Ctrl-C, for verbs that stop what they do and go on.
#ifndef WELFORD_TOOL_INTERRUPT_H
#define WELFORD_TOOL_INTERRUPT_H

#include <stdbool.h>

void interrupt_catch(void);
bool interrupt_seen(void);
void interrupt_forget(void);
int interrupt_fd(void); // readable after an interrupt; -1: before interrupt_catch

#endif
