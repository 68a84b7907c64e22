// The models that are served, each with its engine.
//
//     CLOSED ──acquire──▶ LOADING ──▶ READY ──unused for keep_alive──▶ CLOSED
//                            └──────▶ FAILED ──acquire──▶ LOADING
//
// A thread of its own opens and frees them, one after the other: that may take seconds. All models compute on the same
// threads (wf_pool), in turns.
#ifndef WELFORD_SERVER_MODELS_H
#define WELFORD_SERVER_MODELS_H

#include <stdint.h>

#include "server/api_error.h"
#include "server/server.h"

typedef enum served_state { SERVED_CLOSED, SERVED_LOADING, SERVED_READY, SERVED_FAILED } served_state;

typedef struct served_model {
    char *name, *path; // owned
    size_t bytes;
    // Under the lock, but for those who have acquired it while it was READY: they may use model and engine.
    served_state state;
    wf_model *model;
    wf_engine *engine;
    wf_error error; // after FAILED
    int64_t n_users;
    double unused_since; // clock_seconds; while n_users is 0
    double keep_alive;   // seconds
    double load_seconds;
    int64_t created; // seconds since the epoch
    struct served_model *next;
} served_model;

typedef struct models models;

// `changed` is called, from the thread that opens, when a model has become READY or FAILED.
wf_status models_create(const server_options *options, void (*changed)(void *context), void *context, models **out,
                        wf_error *err);
// No model may be in use.
void models_free(models *all);

// The models there are, newly listed where there is a list. The array is the caller's to free, its members are not.
wf_status models_list(models *all, served_model ***list, size_t *count, wf_error *err);

typedef enum models_answer {
    MODELS_READY,   // the caller uses it, until models_release
    MODELS_LOADING, // the same, but has to wait: models_poll after `changed`
    MODELS_NONE,    // `err` says why
} models_answer;

models_answer models_acquire(models *all, const char *name, served_model **out, api_error *err);
models_answer models_poll(models *all, served_model *m, api_error *err);
// keep_alive >= 0 becomes the model's; infinite: for ever.
void models_release(models *all, served_model *m, double keep_alive);

// Whether all that is to be open from the beginning is; false too after a failure, of which `err` tells.
bool models_ready(models *all, bool *failed, wf_error *err);
// Whether there is a list to choose from, or one model.
bool models_are_listed(const models *all);
served_state models_state(models *all, const served_model *m, double *expires_in);

// Calls `visit` with each model that is READY, under the lock.
void models_each_ready(models *all, void (*visit)(void *context, const served_model *m), void *context);

#endif
