// How many tokens of waiting prompts a step takes along, so that those who read an answer hardly notice: a step with
// prompts should take at most twice as long as one of the same streams without. What steps cost is measured as they
// occur.
//
//     seconds of a step = alone[streams] + per_token * prompt tokens
//
// A number of streams that has not been measured yet is measured first, alone, and again after some steps with prompts:
// streams become longer, and machines faster and slower.
#ifndef WELFORD_ENGINE_PACE_H
#define WELFORD_ENGINE_PACE_H

#include <stdbool.h>
#include <stdint.h>

enum { PACE_MOST_STREAMS = 256 }; // more count as so many

typedef struct pace {                    // {0} to begin with
    double alone[PACE_MOST_STREAMS + 1]; // seconds, smoothed; 0: never measured
    double per_token;                    // seconds; 0: not known
    int64_t since_alone;                 // steps with streams and prompts since one without prompts
} pace;

// A step took that long: of n_streams tokens that continue answers and n_prompt tokens of prompts.
void pace_note(pace *p, int64_t n_streams, int64_t n_prompt, double seconds);

// Whether the next step should be one of streams alone, to measure it.
bool pace_wants_alone(const pace *p, int64_t n_streams);

// Tokens of prompts that the next step may take beside n_streams streams: 0 .. most.
int64_t pace_share(const pace *p, int64_t n_streams, int64_t most);

// What one row more costs a step, in parts of a stream's share of a step without prompts; 0: not known.
double pace_row_cost(const pace *p, int64_t n_streams);

#endif
