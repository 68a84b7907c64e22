// What debugging prints see of the public interface's functions (welford.h).
#ifndef WELFORD_ENGINE_API_FUNCTION_H
#define WELFORD_ENGINE_API_FUNCTION_H

#include "runtime/execute.h"

// As executor_observe, of the program that was called last.
void observe_function(wf_function *f, execute_observer *observer, void *context);

#endif
