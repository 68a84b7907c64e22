// welford: compiles transformer models for this CPU and runs them.
//
//     #include <stdio.h>
//     #include <welford.h>
//
//     static bool print(void *context, int32_t token, const char *text, size_t bytes)
//     {
//         fwrite(text, 1, bytes, stdout);
//         return true; // go on
//     }
//
//     int main(int argc, char **argv)
//     {
//         wf_model *model = NULL;
//         wf_session *session = NULL;
//         wf_sampler *sampler = NULL;
//         int32_t *prompt = NULL;
//         size_t n_prompt = 0;
//         wf_error err = {0};
//         wf_message question = {"user", "What is the capital of France?"};
//         bool ok = !wf_model_open(argv[1], NULL, &model, &err) &&
//                   !wf_session_create(model, 0, 0, &session, &err) &&
//                   !wf_sampler_create(model, NULL, &sampler, &err) &&
//                   !wf_chat_apply(model, &question, 1, &prompt, &n_prompt, &err) &&
//                   !wf_generate(session, sampler, prompt, n_prompt, &(wf_generate_options){.callback = print}, NULL,
//                                &err);
//         if (!ok) fprintf(stderr, "%s\n", err.message);
//         wf_free(prompt);
//         wf_sampler_free(sampler);
//         wf_session_free(session);
//         wf_model_close(model);
//         return ok ? 0 : 1;
//     }
//
// Link with `pkg-config --libs welford`, or find_package(welford) and target_link_libraries(... welford::welford).
//
// Handles are opaque and owned by the caller, who frees each with its own function (NULL is fine); a model must outlive
// its sessions and samplers. Every fallible function returns a wf_status, 0 on success, and describes the first failure
// in `err` (may be NULL). A handle that could not be made is NULL.
//
// Threads: a model, and a function, owns the threads that compute, or shares a wf_pool with others, which takes one
// computation at a time. Calls that evaluate on one model's sessions (wf_session_eval, wf_generate) or engine
// (wf_engine_step), or on one function, must not overlap; everything that only reads a model may run at any time. Different models and functions may be
// opened and used at the same time, whether they share a pool or not.
//
// What options point to must outlive the handle that was opened with them.
//
// Texts are UTF-8; ill-formed bytes are read and written as U+FFFD.
#ifndef WELFORD_H
#define WELFORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// ---- status

typedef enum wf_status {
    WF_OK = 0,
    WF_ERROR_USAGE,       // an argument of the call makes no sense
    WF_ERROR_IO,          // the system refused: missing file, permission, full disk
    WF_ERROR_FORMAT,      // a file is damaged or not of its format
    WF_ERROR_UNSUPPORTED, // well-formed, but beyond what welford can do; the message names it
    WF_ERROR_MEMORY,      // out of memory
    WF_ERROR_LIMIT,       // the context is full
    WF_ERROR_COMPILE,     // the compiler failed: a defect of welford
} wf_status;

typedef struct wf_error {
    wf_status status;
    char message[512]; // one line, no line break: file, place, reason
} wf_error;

// "0.1.0"
const char *wf_version(void);

// Frees what a function of this header allocated for the caller (ids, texts); not handles.
void wf_free(void *memory);

// ---- threads

typedef struct wf_pool wf_pool;

// n_threads threads, the caller of each computation included; 0: the cores that this process may use. It must outlive
// all that computes with it.
wf_status wf_pool_create(int n_threads, wf_pool **pool, wf_error *err);
void wf_pool_free(wf_pool *pool);

// ---- models

typedef struct wf_model wf_model;

typedef struct wf_model_options { // {0} is the default
    int n_threads;                // 0: the cores that this process may use
    wf_pool *pool;                // threads that are shared with others; NULL: its own n_threads
    const char
        *kv; // "f16", "f32", "q8": the type of the KV cache; NULL: f16. f32 takes twice the memory and is nearer to
             // exact, q8 (8-bit blocks of 32) 9/16 of it
    bool no_cache;              // neither read nor write the cache folder
    const char *fuse, *no_fuse; // comma-separated names of fusions: only these, all but these; for measurements
    const char *print_ir_after; // a pass's name or "all": the graph after it goes to stderr (with a fresh compilation)
    bool print_plan;            // the plan as a table to stderr
    bool print_report;          // what every fusion did, as a table to stderr
    const char *weights; // "f32", "bf16", "q8_0", "q4_0": the type that float matrices are packed in; NULL: as stored
    const char *weights_from; // of a .wf file without weights: the checkpoint that has them; NULL: it lies beside
    bool defer; // say what can be refused, which takes milliseconds, and leave compiling and packing to wf_model_load
    const char *chat_template; // a file with a Jinja template that takes the place of the model's own
    // Called now and then from the calling thread during a step that may take seconds: `what` is "packing", in bytes.
    void (*progress)(void *context, const char *what, size_t done, size_t all);
    void *progress_context;
} wf_model_options;

// Opens a checkpoint: a GGUF file (of a split one any part), a folder of Hugging Face files, or a .wf file that
// `welford compile` made of one, which is code that runs in this process: open only what you trust as a program. Its
// compiled program and packed weights come from the cache folder ($WELFORD_CACHE, else $XDG_CACHE_HOME/welford, else
// ~/.cache/welford), or are made and left there. A folder that others may write to is not used, which stderr is told
// once (SECURITY.md). `options` may be NULL.
wf_status wf_model_open(const char *path, const wf_model_options *options, wf_model **model, wf_error *err);
void wf_model_close(wf_model *model);

// What `defer` has left to do; nothing where all is done. The first session does it too.
wf_status wf_model_load(wf_model *model, wf_error *err);

// What wf_session_create would refuse, and a KV cache larger than all memory there is. *n_ctx of 0 becomes what it
// stands for.
wf_status wf_model_check_context(const wf_model *model, int64_t *n_ctx, int64_t n_batch, wf_error *err);

typedef struct wf_model_facts {
    const char *architecture, *name; // owned by the model; "" when the file gives no name
    int64_t n_vocab, n_ctx_train, n_layer, n_embd;
    int64_t n_parameters;
    size_t file_bytes, weights_bytes; // of the checkpoint; of the packed weights
    int32_t bos, eos;                 // token ids, -1: none
    bool add_bos;                     // a text starts with BOS
    bool has_chat_template;           // which wf_chat_apply may yet refuse
    int n_threads;
    // after wf_model_load
    bool program_cached, pack_cached;     // came from the cache
    bool pack_kept;                       // the next start finds it: it is in the cache, or in a .wf file
    double compile_seconds, pack_seconds; // 0 when they did
} wf_model_facts;

wf_model_facts wf_model_describe(const wf_model *model);

// What had to be guessed about its file, a line each; NULL: there are no more. Owned by the model.
const char *wf_model_warning(const wf_model *model, size_t index);

// ---- models by name

typedef struct wf_find_options { // {0} is the default
    // Called now and then during a download, in bytes of all files that are wanted.
    void (*progress)(void *context, const char *what, size_t done, size_t all);
    // A line for people: what the cache has is used, since the hub could not be asked; another process is waited for.
    void (*notice)(void *context, const char *text);
    void *context;
} wf_find_options;

// The path of a model: `name` itself where that is a file or folder, or looks like the path of one; else what the name,
// owner/name, stands for on the Hugging Face hub, downloaded where it is missing. *path: free with wf_free. `options` may
// be NULL.
wf_status wf_model_find(const char *name, const wf_find_options *options, char **path, wf_error *err);

// ---- printing

typedef enum wf_print {
    WF_PRINT_REPORT, // what each fusion found and did, and why not the rest
    WF_PRINT_PLAN,   // the calls of kernels, with operands and sizes
} wf_print;

// A table for people, of a model that is loaded. *text: zero-terminated; free with wf_free.
wf_status wf_model_print(const wf_model *model, wf_print what, char **text, wf_error *err);

// A row of the report.
typedef struct wf_fusion {
    const char *name;
    uint32_t found, fused; // places that it looked at, and those where it took effect
    const char *why_not;   // for the others: "30 weights of different types; 1 .."; "" when there are none
} wf_fusion;

// Row `index`, in the order of the passes; false: there are no more. Texts are the model's.
bool wf_model_fusion(const wf_model *model, size_t index, wf_fusion *fusion);

// ---- text

// Ids of `bytes` bytes of text, with BOS in front where the model wants it (and it is not there). `parse_special`:
// special tokens spelled out in the text become their ids; leave it off for text that you do not trust. *ids: free with
// wf_free.
wf_status wf_tokenize(const wf_model *model, const char *text, size_t bytes, bool parse_special, int32_t **ids,
                      size_t *n_ids, wf_error *err);

// The text of ids, zero-terminated after *bytes; special tokens give no text unless `special`. Free with wf_free.
wf_status wf_detokenize(const wf_model *model, const int32_t *ids, size_t n_ids, bool special, char **text,
                        size_t *bytes, wf_error *err);

// The bytes of one token's text, a special one's too: at times a part of a character. Zero-terminated after *bytes; free
// with wf_free. Empty for an id without text.
wf_status wf_token_text(const wf_model *model, int32_t token, char **text, size_t *bytes, wf_error *err);

// Whether a token ends an answer.
bool wf_is_end(const wf_model *model, int32_t token);

typedef struct wf_message {
    const char *role;    // "system", "user" or "assistant"
    const char *content; // special tokens in it stay text
} wf_message;

// The prompt for a conversation, up to where the model's answer begins, by the model's own chat template.
// WF_ERROR_UNSUPPORTED when it has none. *ids: free with wf_free.
wf_status wf_chat_apply(const wf_model *model, const wf_message *messages, size_t n_messages, int32_t **ids,
                        size_t *n_ids, wf_error *err);

// ---- sessions: one sequence of tokens and its KV cache

typedef struct wf_session wf_session;

// n_ctx: tokens that fit; 0: the smaller of the model's training context and 4096. n_batch: tokens evaluated at a time;
// 0: 512. Memory is used as the sequence grows.
wf_status wf_session_create(wf_model *model, int64_t n_ctx, int64_t n_batch, wf_session **session, wf_error *err);
void wf_session_free(wf_session *session);

// Appends n >= 1 tokens and computes the logits that follow each of tokens[first_logits .. n): 0 means all, n - 1 the
// last, n none. WF_ERROR_LIMIT when the context has no room for n more: nothing has changed then.
wf_status wf_session_eval(wf_session *session, const int32_t *tokens, int64_t n, int64_t first_logits, wf_error *err);

// [n_vocab] f32 for the row-th of the tokens whose logits the last wf_session_eval computed; NULL: no such row. Owned
// by the session, valid until it evaluates or truncates.
const float *wf_session_logits(const wf_session *session, int64_t row);

// Forgets all but the first n_past tokens. WF_ERROR_USAGE when there are fewer.
wf_status wf_session_truncate(wf_session *session, int64_t n_past, wf_error *err);

// Whether wf_generate guesses tokens from what the sequence says already and evaluates several at once where that pays
// (prompt lookup): the same tokens, sooner where text is copied or edited. Off at first.
wf_status wf_session_speculate(wf_session *session, bool on, wf_error *err);

// Lets wf_generate guess what a smaller model with the same tokens says, where prompt lookup finds nothing and where that
// pays; turns speculation on. The model must outlive the session, and computes in its calls. WF_ERROR_UNSUPPORTED: the
// tokens differ.
wf_status wf_session_draft(wf_session *session, wf_model *draft, wf_error *err);
// What that would refuse, before the models are loaded.
wf_status wf_session_check_draft(const wf_model *model, const wf_model *draft, wf_error *err);

// Keeps the keys and values of prompts and answers in a folder, in blocks of 64 tokens, and finds those there that
// wf_generate would have to compute: whoever has evaluated a beginning before, with this model and this version of
// welford. Damaged files are ignored, and any may be removed. NULL: no more. WF_ERROR_IO: there can be no such folder.
wf_status wf_session_keep_prompts(wf_session *session, const char *folder, wf_error *err);

// How unlikely next[i] was after the token of row i of the logits: nll[i] = -log softmax(row i)[next[i]], in f64.
// WF_ERROR_USAGE: fewer rows than n, or an id outside the vocabulary.
wf_status wf_session_score(const wf_session *session, const int32_t *next, int64_t n, double *nll, wf_error *err);

// The state in a file, so that a long prompt is evaluated once for many runs: the tokens, their keys and values. Whoever
// reads the file sees the old one or the whole new one.
wf_status wf_session_save(const wf_session *session, const char *path, wf_error *err);
// Makes the session's sequence that of the file. *restored: false when there is no such file. WF_ERROR_FORMAT: damaged;
// WF_ERROR_UNSUPPORTED: of another model; WF_ERROR_LIMIT: longer than the context. The session is as before then.
wf_status wf_session_restore(wf_session *session, const char *path, bool *restored, wf_error *err);
// What that would refuse, before the model is loaded, for a context of n_ctx tokens.
wf_status wf_session_check_file(const wf_model *model, int64_t n_ctx, const char *path, wf_error *err);

const int32_t *wf_session_tokens(const wf_session *session); // [wf_session_past] ids; owned by the session
int64_t wf_session_past(const wf_session *session);          // tokens in the cache
int64_t wf_session_context(const wf_session *session);       // tokens that fit

// ---- sampling: logits to a token

typedef struct wf_sampler wf_sampler;

#define WF_SEED_RANDOM UINT64_MAX

// The filters run in this order, each on what the former left; all but the last two look at probabilities at
// temperature 1.
typedef struct wf_sampler_options {
    double repeat_penalty; // > 0; logits of recent tokens are divided by it (multiplied when negative); 1: off
    int64_t repeat_last_n; // how many tokens are recent, prompt included; 0: off
    int64_t top_k;         // keep the k likeliest; 0: all
    double top_p;          // keep the likeliest whose probabilities reach p together; 1: all
    double min_p;          // keep those at least min_p times as likely as the likeliest; 0: all
    double temperature;    // logits are divided by it; 0: the likeliest token, ties to the lowest id
    uint64_t seed;         // of the draw; WF_SEED_RANDOM: from the system
} wf_sampler_options;

// Penalty 1 over 64 tokens, top-k 40, top-p 0.95, min-p 0.05, temperature 0.8, random seed.
wf_sampler_options wf_sampler_defaults(void);

// What the checkpoint asks for (generation_config.json), the defaults where it is silent. WF_ERROR_FORMAT names a value
// out of range.
wf_status wf_sampler_recommended(const wf_model *model, wf_sampler_options *options, wf_error *err);

// `options` NULL: wf_sampler_recommended.
// WF_ERROR_USAGE names an option out of range.
wf_status wf_sampler_create(const wf_model *model, const wf_sampler_options *options, wf_sampler **sampler,
                            wf_error *err);
void wf_sampler_free(wf_sampler *sampler);

// Draws a token from logits [n_vocab] f32. WF_ERROR_FORMAT when one is not a number.
wf_status wf_sampler_pick(wf_sampler *sampler, const float *logits, int32_t *token, wf_error *err);
// Tells that the sequence now holds a token: the repeat penalty looks at the last ones, and the random number of the next
// pick follows from the seed and their count. wf_generate does so itself.
void wf_sampler_accept(wf_sampler *sampler, int32_t token);
uint64_t wf_sampler_seed(const wf_sampler *sampler); // the seed in use

// ---- generation

typedef enum wf_finish {
    WF_FINISH_STOP,     // the model ended its answer
    WF_FINISH_LENGTH,   // n_max tokens
    WF_FINISH_CONTEXT,  // the context is full
    WF_FINISH_CALLBACK, // the callback returned false, or the request was cancelled
    WF_FINISH_ERROR     // of a request: something failed
} wf_finish;

typedef struct wf_generation {
    wf_finish finish;
    int64_t n_prompt;    // tokens of the prompt
    int64_t n_reused;    // of these, how many were in the cache already
    int64_t n_generated; // tokens of the answer, its end token not counted
    double prefill_seconds;
    double decode_seconds;      // from the first token on
    int64_t n_decoded;          // evaluations in decode_seconds: n_generated - 1, or n_generated after WF_FINISH_STOP
    double first_token_seconds; // from the call to the first token
    int64_t n_guesses, n_right; // of speculation: tokens evaluated on trial, and how many of them came
    double queued_seconds;      // of a request: from its submission to where its prompt was begun
} wf_generation;

// Called with each new token's text: `bytes` bytes, whole characters only, hence at times none. Called with token -1
// and no text between two parts of a long prompt, and at the end for the rest of the text. False stops the generation.
typedef bool wf_generate_callback(void *context, int32_t token, const char *text, size_t bytes);

typedef struct wf_generate_options { // {0} is the default
    int64_t n_max;                   // tokens at most; 0: no limit; negative: none, the prompt alone is evaluated
    const char *const *stops;        // [n_stops] texts that end the answer; what the callback gets ends before them
    size_t n_stops;
    bool ignore_end;                // go on when the model ends its answer
    wf_generate_callback *callback; // may be NULL
    void *context;
} wf_generate_options;

// Makes the session's sequence equal to the prompt, evaluating only what differs from its cache, then draws and appends
// tokens until the model ends, n_max tokens are made, a stop appears, the context is full, or the callback stops.
// `options` and `result` may be NULL. WF_ERROR_LIMIT when the prompt alone does not fit.
wf_status wf_generate(wf_session *session, wf_sampler *sampler, const int32_t *prompt, size_t n_prompt,
                      const wf_generate_options *options, wf_generation *result, wf_error *err);

// "stop", "length", "context", "interrupted", "error"
const char *wf_finish_name(wf_finish finish);

// ---- engines: any number of requests on one model, computed together

// Every step takes a token of each answer that is being made, and as many tokens of waiting prompts as those who read the
// answers hardly notice. Requests whose prompts begin alike compute what they have in common once, also one after the
// other. What else is computed changes no bit of an answer: it follows from model, prompt, options and seed.
typedef struct wf_engine wf_engine;
typedef struct wf_request wf_request;

typedef struct wf_engine_options { // {0} is the default
    int64_t n_ctx;                 // tokens of a request, prompt and answer together; 0: as of wf_session_create
    int64_t n_sequences;           // requests that are computed at the same time, others wait; 0: 16
    int64_t n_batch;               // tokens of one step; 0: 512
    size_t cache_bytes; // memory for keys and values, of one request at least; 0: what n_sequences requests of n_ctx
                        // tokens take, but at most a quarter of all memory. Requests that find it full are put aside,
                        // the newest first, and computed again later.
    bool speculate;     // guess tokens from what a request's text says already (as wf_session_speculate)
    const char *prefix_cache; // a folder for keys and values of finished requests (wf_session_keep_prompts); NULL: none
} wf_engine_options;

// Loads the model. `options` may be NULL. Beside an engine, nothing else may evaluate on the model while it steps.
wf_status wf_engine_create(wf_model *model, const wf_engine_options *options, wf_engine **engine, wf_error *err);
// What that would refuse, before the model is loaded.
wf_status wf_engine_check(const wf_model *model, const wf_engine_options *options, wf_error *err);
// Stops it. Requests that are not finished end as if cancelled. Not from a callback.
void wf_engine_free(wf_engine *engine);

// Computes one step of what there is to do; *idle (may be NULL): nothing was. One call at a time, and none while the
// engine's own thread runs. What fails, fails in the requests.
wf_status wf_engine_step(wf_engine *engine, bool *idle, wf_error *err);
// A thread that steps whenever there is something to do.
wf_status wf_engine_start(wf_engine *engine, wf_error *err);
void wf_engine_stop(
    wf_engine *engine); // returns after the current step; requests stay where they are. Not from a callback.

typedef struct wf_logprob {
    int32_t token;
    double logprob; // natural logarithm of its probability at temperature 1, before any filter
} wf_logprob;

enum { WF_MAX_TOP = 20 };

typedef struct wf_piece {
    int32_t token;    // -1: none
    const char *text; // whole characters only, hence at times none
    size_t bytes;
    double logprob;        // of the token, where wf_request_options asks
    const wf_logprob *top; // [n_top] the likeliest tokens in its place, in descending order
    size_t n_top;
    const wf_generation *finished; // of the last piece: how it ended, and what it took; NULL: more will come
    const wf_error *error;         // of the last piece, after WF_FINISH_ERROR: what happened
} wf_piece;

// Called on the thread that steps, with each token and once at the end; it holds up all requests meanwhile. It may
// submit, cancel and free requests, of which its own too. What the piece points to is gone when it returns. False ends the
// request: one more call tells so.
typedef bool wf_piece_callback(void *context, const wf_piece *piece);

typedef struct wf_request_options { // {.prompt, .n_prompt}: the rest may be 0
    const int32_t *prompt;          // [n_prompt] ids, copied, as are the stops
    size_t n_prompt;
    const wf_sampler_options *sampler; // NULL: wf_sampler_recommended
    int64_t n_max;                     // n_max, stops, n_stops and ignore_end: as of wf_generate_options
    const char *const *stops;
    size_t n_stops;
    bool ignore_end;
    bool logprobs;
    size_t n_top;                // of the likeliest tokens, at most WF_MAX_TOP
    wf_piece_callback *callback; // may be NULL
    void *context;
} wf_request_options;

// From any thread, at any time. WF_ERROR_LIMIT: the prompt does not fit into the context, now or ever; WF_ERROR_USAGE
// names what makes no sense. An answer that fills the context ends with WF_FINISH_LENGTH. `request` may be NULL: then only
// its callback tells what becomes of it.
wf_status wf_engine_submit(wf_engine *engine, const wf_request_options *options, wf_request **request, wf_error *err);
// From any thread: it ends with WF_FINISH_CALLBACK before the next step, unless it is finished.
void wf_request_cancel(wf_request *request);
// From any thread but in a callback: waits until it is finished, which needs somebody who steps. `result` may be NULL.
// After WF_FINISH_ERROR the error is returned.
wf_status wf_request_wait(wf_request *request, wf_generation *result, wf_error *err);
// Cancels it. When this returns its callback is not running and will not be called again, but for the call that this is
// called from. NULL is fine; before the engine is freed.
void wf_request_free(wf_request *request);

typedef struct wf_engine_counts {
    int64_t n_waiting, n_running;    // requests now
    int64_t n_finished, n_put_aside; // since the engine was made: requests; how often one was put aside
    int64_t n_steps;
    int64_t n_prompt, n_reused, n_generated; // tokens of prompts evaluated, of prompts found in the cache, of answers
    int64_t n_guesses, n_right;              // of speculation
    // blocks of the cache: all, those of running requests, those of finished ones that may be found again
    int64_t n_blocks, n_blocks_used, n_blocks_kept;
    int64_t block_tokens;                    // of each
    int64_t n_blocks_read, n_blocks_written; // of the folder prefix_cache
    double busy_seconds;                     // that steps took
} wf_engine_counts;

wf_engine_counts wf_engine_count(const wf_engine *engine); // from any thread
int64_t wf_engine_context(const wf_engine *engine);

// ---- conversations: the messages so far, and the session that answers them

typedef struct wf_conversation wf_conversation;

// `system` may be NULL. Session and sampler must outlive it.
wf_status wf_conversation_create(wf_session *session, wf_sampler *sampler, const char *system,
                                 wf_conversation **conversation, wf_error *err);
void wf_conversation_free(wf_conversation *conversation);
void wf_conversation_reset(wf_conversation *conversation); // forgets all but the system message

typedef struct wf_turn {
    const char *text; // what the user says
    size_t bytes;
    bool raw; // send it as it is, special tokens parsed, without what was said before
} wf_turn;

typedef struct wf_answer {
    int32_t *ids; // without the end token; free with wf_free
    size_t n_ids;
    bool text_lost; // the chat template dropped what the user said
    wf_generation generation;
} wf_answer;

// Says the turn's text and generates the answer; both join the messages, the answer also when it was stopped half-way.
// The whole conversation is rendered by the model's chat template, without one the text alone is completed, and only
// what is new is evaluated. On failure the messages are as before. `options` and `answer` may be NULL.
wf_status wf_conversation_say(wf_conversation *conversation, const wf_turn *turn, const wf_generate_options *options,
                              wf_answer *answer, wf_error *err);
// Before a model is loaded: whether a conversation in a context of n_ctx tokens can begin with this turn. A turn of
// NULL: whether there can be one at all.
wf_status wf_conversation_check(const wf_model *model, const char *system, const wf_turn *turn, int64_t n_ctx,
                                wf_error *err);

// ---- reasoning: what a model thinks between <think> and </think>, and what it says

typedef enum wf_part { WF_PART_REASONING, WF_PART_ANSWER } wf_part;

// Called with each piece of text, in order.
typedef void wf_part_callback(void *context, wf_part part, const char *text, size_t bytes);

typedef struct wf_splitter wf_splitter;

// Splits the answer to a prompt, whose end may have opened the reasoning. Tags, and white space around them, are in
// neither part.
wf_status wf_splitter_create(const wf_model *model, const int32_t *prompt, size_t n_prompt, wf_part_callback *callback,
                             void *context, wf_splitter **splitter, wf_error *err);
void wf_splitter_feed(wf_splitter *splitter, const char *text, size_t bytes);
// Gives out what was held back since it might have become a tag, and frees the splitter (NULL is fine). WF_ERROR_MEMORY:
// text was lost.
wf_status wf_splitter_finish(wf_splitter *splitter, wf_error *err);

// ---- functions on arrays

// A function of a graph file: TOSA, linalg and their company as MLIR text or bytecode, compiled for this CPU; or of a
// .wf file that `welford compile` made of one.
typedef struct wf_function wf_function;

typedef enum wf_dtype {
    WF_F32,
    WF_F64,
    WF_F16,
    WF_BF16,
    WF_BOOL, // one byte, 0 or 1
    WF_I8,
    WF_I16,
    WF_I32,
    WF_I64,
    WF_TYPE_COUNT
} wf_dtype;

enum { WF_MAX_DIMS = 8 };

typedef struct wf_shape {
    wf_dtype type;
    uint32_t n_dims;           // 0: a single value
    int64_t dims[WF_MAX_DIMS]; // what a function describes: -1: open, any size will do
} wf_shape;

// Contiguous: row after row without gaps, the last dimension fastest. Data that lies at a multiple of 64 bytes is used
// in place, other is copied.
typedef struct wf_array {
    void *data;
    wf_shape shape;
    const char *name; // of an argument, for messages; may be NULL
} wf_array;

// Bytes of an array: false when a size is open or the product overflows. One element's are those of a shape without
// dims.
bool wf_shape_bytes(const wf_shape *shape, size_t *bytes);
// As MLIR writes it: "f32", "i1".
const char *wf_dtype_name(wf_dtype type);

// A weight in memory: an argument that no call brings, since it is the same for all of them.
typedef struct wf_weight {
    const char *name; // of the argument (wf_array.name in wf_function_argument of a function without weights, which is
                      // the attribute wf.name in the file), or of a wf.weight in the graph; NULL: that of `index`
    size_t index;     // of the argument in the file
    const void *data; // contiguous
    wf_shape shape;
} wf_weight;

// An argument that gives its memory to a result of its type and sizes, which is the argument with something written over
// it: a cache that grows, parameters that are updated. A call that has both at one place copies nothing, where nobody reads
// the old values once new ones are written; else results are the same, and it copies.
typedef struct wf_donation {
    const char *name; // of the argument, as in wf_weight; NULL: that of `index`
    size_t index;
    size_t result;
} wf_donation;

typedef struct wf_function_options { // {0} is the default
    int n_threads;                   // 0: the cores that this process may use
    wf_pool *pool;                   // threads that are shared with others; NULL: its own n_threads
    bool no_cache;                   // neither read nor write the cache folder
    const char *entry;               // the function's name; NULL: the only public one, else "main" or "forward"
    const char *fuse, *no_fuse;      // comma-separated names of fusions: only these, all but these; for measurements
    bool no_raise;                   // everything through upstream's lowering: no wf ops; for measurements
    const char *print_ir_after;      // names of steps or "all": the graph after them goes to `print`
    void (*print)(void *context, const char *text, size_t bytes); // while it is opened or called; NULL: to stderr
    void *print_context;
    const char *weights; // "f32", "bf16", "q8_0", "q4_0": the type that float matrices are packed in; NULL: as stored
    // Weights: arguments that are given here once, and by no call. They, and the constants of the file, are packed as a
    // checkpoint's are, into the cache or from it, once for all sizes of arguments.
    const char *params; // a safetensors file; each tensor has the name of an argument, or its number in the file
    // In the caller's memory, which must stay as it is until the function is closed, or wf_function_renew. What matrix
    // products read is packed; what is read as it is (a table of embeddings, gains of norms) is not copied, where it lies
    // at a multiple of 64.
    const wf_weight *lent;
    size_t n_lent;
    const wf_donation *donated; // beside those that the file says by the attribute tf.aliasing_output, as JAX writes it
    size_t n_donated;
    // Arrays like those of the first call, of which `data` is not looked at: what the function does not take is refused
    // before anything is compiled. NULL: not known.
    const wf_array *arguments;
    size_t n_arguments;
} wf_function_options;

// Opens a function. Sizes that its file leaves open stay open in the program where its ops allow it; where one does
// not, a program is made, or found in the cache, for the sizes of each call's arguments. WF_ERROR_USAGE: no such
// function. WF_ERROR_UNSUPPORTED names the op that cannot be compiled, and where it is. `options` may be NULL.
wf_status wf_function_open(const char *path, const wf_function_options *options, wf_function **function, wf_error *err);
// The same of a file's bytes, which are copied; `name` stands for the file in messages.
wf_status wf_function_open_bytes(const void *data, size_t bytes, const char *name, const wf_function_options *options,
                                 wf_function **function, wf_error *err);
void wf_function_close(wf_function *function);

// A lent weight has other values now, or lies elsewhere, in the same shape: it is packed again, into memory of the
// function's own, and calls see the new values. Not while a call runs. WF_ERROR_USAGE: nothing was lent under this name
// or index, or not in this shape.
wf_status wf_function_renew(wf_function *function, const wf_weight *weight, wf_error *err);

const char *wf_function_name(const wf_function *function);
size_t wf_function_arguments(const wf_function *function); // how many a call brings: weights are not counted
size_t wf_function_results(const wf_function *function);

// Argument or result `index`: its name ("argument0" where the file has none; owned by the function), type and sizes.
// `data` is NULL.
wf_array wf_function_argument(const wf_function *function, size_t index);
wf_array wf_function_result(const wf_function *function, size_t index);

// What the function's results are for arguments of these shapes: fills results[wf_function_results]. Compiles where a
// call would. WF_ERROR_USAGE: the function takes no such arguments.
wf_status wf_function_shapes(wf_function *function, const wf_array *arguments, size_t n_arguments, wf_shape *results,
                             wf_error *err);

// The argument, among those of a call, that is donated to a result; wf_function_arguments: none is.
size_t wf_function_donor(const wf_function *function, size_t result);

// Computes results[0 .. n_results) from arguments[0 .. n_arguments), which are only read, but for what is donated to a result
// that has the same `data`. A result whose `data` is NULL
// gets memory of its own, for wf_free, and its shape; others must have the shape that wf_function_shapes says.
// WF_ERROR_USAGE too when a check fails while it runs, such as an index out of range: results are unspecified then.
wf_status wf_function_call(wf_function *function, const wf_array *arguments, size_t n_arguments, wf_array *results,
                           size_t n_results, wf_error *err);

// Whether the program that was called last, or will be, came from the cache or a .wf file.
bool wf_function_cached(const wf_function *function);

// As wf_model_print, of the program that was called last, or will be.
wf_status wf_function_print(const wf_function *function, wf_print what, char **text, wf_error *err);

// As wf_model_fusion, of that program; texts are valid until the next call.
bool wf_function_fusion(const wf_function *function, size_t index, wf_fusion *fusion);

// Writes a .wf file for this CPU, as `welford compile` does: for any sizes where the function was opened without
// `arguments` and its ops allow it, else for those of the program that was called last, or will be. WF_ERROR_USAGE: the
// function is of a .wf file.
wf_status wf_function_save(wf_function *function, const char *path, wf_error *err);

#ifdef __cplusplus
}
#endif

#endif
