// What the library exports.
#include "server/server.h"

__attribute__((visibility("default"))) server_run_function welford_server_run;

wf_status welford_server_run(const server_options *options, wf_error *err) { return server_run(options, err); }
