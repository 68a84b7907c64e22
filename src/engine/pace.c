#include "engine/pace.h"

static const double TARGET = 1.75; // times a step alone: what is left to 2 is for what is not foreseen
static const double SMOOTHING = 0.25, RISE = 0.5, FALL = 0.1;
enum { MEASURE_AGAIN = 32, FIRST_SHARE = 8 };

static int64_t index_of(int64_t n_streams) { return n_streams < PACE_MOST_STREAMS ? n_streams : PACE_MOST_STREAMS; }

static double smooth(double known, double seconds, double weight)
{
    if (known == 0) return seconds;
    if (seconds > 2 * known) seconds = 2 * known; // an interruption
    return known + weight * (seconds - known);
}

void pace_note(pace *p, int64_t n_streams, int64_t n_prompt, double seconds)
{
    double *alone = &p->alone[index_of(n_streams)];
    if (n_streams > 0 && n_prompt == 0) {
        *alone = smooth(*alone, seconds, SMOOTHING);
        p->since_alone = 0;
    } else if (n_streams == 0 && n_prompt > 0) {
        if (p->per_token == 0) p->per_token = seconds / (double)n_prompt;
    } else if (n_streams > 0) {
        double rest = seconds > *alone ? seconds - *alone : 0, per_token = rest / (double)n_prompt;
        p->per_token = smooth(p->per_token, per_token, per_token > p->per_token ? RISE : FALL);
        p->since_alone++;
    }
}

bool pace_wants_alone(const pace *p, int64_t n_streams)
{
    return n_streams > 0 && (p->alone[index_of(n_streams)] == 0 || p->since_alone >= MEASURE_AGAIN);
}

int64_t pace_share(const pace *p, int64_t n_streams, int64_t most)
{
    double alone = p->alone[index_of(n_streams)];
    if (n_streams == 0) return most;
    if (pace_wants_alone(p, n_streams)) return 0;
    if (p->per_token == 0) return most < FIRST_SHARE ? most : FIRST_SHARE;
    double share = (TARGET - 1) * alone / p->per_token;
    if (share < 1) return most < 1 ? most : 1; // a prompt must not wait for ever
    return share < (double)most ? (int64_t)share : most;
}

double pace_row_cost(const pace *p, int64_t n_streams)
{
    double alone = p->alone[index_of(n_streams)];
    return alone > 0 ? p->per_token * (double)n_streams / alone : 0;
}
