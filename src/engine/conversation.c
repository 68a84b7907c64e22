#include "engine/conversation.h"

wf_status conversation_create(const wf_model *m, session *s, sampler *choose, const char *system, conversation *c,
                              wf_error *err)
{
    *c = (conversation){.model = m, .s = s, .choose = choose, .messages = json_array()};
    if (!c->messages) return error_memory(err, sizeof(json_t));
    if (!system) return WF_OK;
    if (!json_array_append_new(c->messages, chat_message("system", view_of(system)))) return WF_OK;
    conversation_free(c);
    return error_memory(err, strlen(system));
}

void conversation_free(conversation *c)
{
    json_decref(c->messages);
    *c = (conversation){0};
}

static void forget_messages(conversation *c, size_t keep)
{
    for (size_t n = json_array_size(c->messages); n > keep; n--) json_array_remove(c->messages, n - 1);
}

void conversation_reset(conversation *c)
{
    const json_t *first = json_array_get(c->messages, 0);
    const char *role = json_string_value(json_object_get(first, "role"));
    forget_messages(c, role && !strcmp(role, "system"));
}

static wf_status encode_turn(conversation *c, const conversation_turn *turn, token_list *prompt, wf_error *err)
{
    c->text_lost = false;
    if (turn->raw) return model_encode(c->model, turn->text, true, prompt, err);
    if (!c->model->has_chat) return model_encode(c->model, turn->text, false, prompt, err);
    return model_encode_chat(c->model, c->messages, NULL, prompt, &c->text_lost, err);
}

static wf_status add_answer(conversation *c, const token_list *answer, wf_error *err)
{
    buffer text = {0};
    wf_status status = tokenizer_decode(c->model->t, answer->ids, answer->count, false, &text, err);
    if (status == WF_OK && json_array_append_new(c->messages, chat_message("assistant", buffer_view(&text))))
        status = error_memory(err, text.len);
    buffer_free(&text);
    return status;
}

// Adds what the user says, and makes the prompt of it all.
static wf_status begin_turn(conversation *c, const conversation_turn *turn, token_list *prompt, wf_error *err)
{
    if (json_array_append_new(c->messages, chat_message("user", turn->text))) return error_memory(err, turn->text.len);
    return encode_turn(c, turn, prompt, err);
}

wf_status conversation_check(const wf_model *m, const char *system, const conversation_turn *turn, int64_t n_ctx,
                             wf_error *err)
{
    conversation c;
    token_list prompt = {0};
    TRY(conversation_create(m, NULL, NULL, system, &c, err));
    wf_status status = begin_turn(&c, turn, &prompt, err);
    if (status == WF_OK) status = generate_check_prompt((int64_t)prompt.count, n_ctx, err);
    token_list_free(&prompt);
    conversation_free(&c);
    return status;
}

wf_status conversation_say(conversation *c, const conversation_turn *turn, token_list *answer, wf_generation *result,
                           wf_error *err)
{
    size_t n_before = json_array_size(c->messages);
    token_list prompt = {0}, ids = {0};
    wf_status status;
    TRY_GOTO(begin_turn(c, turn, &prompt, err), done);
    generate_request request = {
        .s = c->s,
        .ahead = turn->ahead,
        .choose = c->choose,
        .t = c->model->t,
        .prompt = prompt.ids,
        .n_prompt = (int64_t)prompt.count,
        .n_max = turn->n_max,
        .stops = turn->stops,
        .n_stops = turn->n_stops,
        .ignore_end = turn->ignore_end,
        .callback = turn->callback,
        .context = turn->context,
    };
    TRY_GOTO(generate(&request, &ids, result, err), done);
    TRY_GOTO(add_answer(c, &ids, err), done);
    if (answer) {
        token_list swap = *answer;
        *answer = ids;
        ids = swap;
    }
done:
    if (status != WF_OK) forget_messages(c, n_before);
    token_list_free(&prompt);
    token_list_free(&ids);
    return status;
}
