// What debugging prints see of the public interface's sessions (welford.h).
#ifndef WELFORD_ENGINE_API_SESSION_H
#define WELFORD_ENGINE_API_SESSION_H

#include "runtime/execute.h"

// As session_observe.
void observe_session(wf_session *s, execute_observer *observer, void *context);

#endif
