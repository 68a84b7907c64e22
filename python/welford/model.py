"""Models: a checkpoint that answers."""
from __future__ import annotations

import math
import os
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Union, overload

from . import _common, _core
from ._core import Array

Message = Union[Mapping[str, str], tuple[str, str]]  # {"role": .., "content": ..} or (role, content)
Prompt = Union[str, Sequence[int], Sequence[Message]]


@dataclass(frozen=True)
class Generation:
    """An answer, and what it took."""

    text: str
    ids: list[int]  #: without the token that ended it
    finish: str  #: "stop": the model ended it, or a stop text came; "length", "context", "interrupted"
    seed: int  #: of the draws
    n_prompt: int  #: tokens of the prompt
    n_reused: int  #: of these, how many were in the cache already
    prefill_seconds: float
    decode_seconds: float
    first_token_seconds: float
    facts: Mapping[str, Any] = field(repr=False)  #: all of wf_generation in welford.h

    def __str__(self) -> str:
        return self.text


class Stream(Iterator[str]):
    """The pieces of an answer's text, as they come. Closing it, or leaving its `with` block, stops the model."""

    def __init__(self, stream: _core.Stream):
        self._stream = stream
        self._pieces: list[str] = []
        self._ids: list[int] = []

    def __next__(self) -> str:
        for token, text in self._stream:
            if token >= 0:
                self._ids.append(token)
            if text:
                self._pieces.append(text)
                return text
        raise StopIteration

    def close(self) -> None:
        """Stops the model; what was read remains in `generation`."""
        self._stream.close()

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def ids(self) -> list[int]:
        """Ids of the tokens that were read so far."""
        return list(self._ids)

    @property
    def generation(self) -> Generation | None:
        """The whole answer, once it has ended or was closed; until then None."""
        facts = self._stream.result
        if facts is None:
            return None
        shared = {key: facts[key] for key in ("finish", "seed", "n_prompt", "n_reused", "prefill_seconds",
                                              "decode_seconds", "first_token_seconds")}
        return Generation(text="".join(self._pieces), ids=self.ids, facts=facts, **shared)


def _messages(messages: Iterable[Message]) -> list[tuple[str, str]]:
    return [(m["role"], m["content"]) if isinstance(m, Mapping) else (m[0], m[1]) for m in messages]


class Model:
    """A model that is loaded; `welford.load` makes it. It evaluates one thing at a time: calls of other threads wait.

    A context manager: leaving it frees the model."""

    def __init__(self, core: _core.Model, path: str):
        self._core = core
        self.path = path  #: of its file or folder

    # ---- opening and closing

    def close(self) -> None:
        """Frees the model; a stream that is being read ends."""
        self._core.close()

    def __enter__(self) -> Model:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"welford.Model({self.path!r})"

    # ---- text

    def tokenize(self, text: str, *, special: bool = False) -> list[int]:
        """Ids of a text, with BOS in front where the model wants it. `special`: special tokens spelled out in the text
        become their ids; leave it off for text that you do not trust."""
        return self._core.tokenize(text, special)

    def detokenize(self, ids: Iterable[int], *, special: bool = False) -> str:
        """The text of ids; special tokens give no text unless `special`."""
        return self._core.detokenize(ids, special)

    def chat_ids(self, messages: Iterable[Message]) -> list[int]:
        """Ids of the prompt for a conversation, by the model's own chat template."""
        return self._core.chat_ids(_messages(messages))

    def _prompt_ids(self, prompt: Prompt) -> Sequence[int]:
        if isinstance(prompt, str):
            return self.tokenize(prompt)
        if len(prompt) and (isinstance(prompt[0], (Mapping, tuple))):
            return self.chat_ids(prompt)  # type: ignore[arg-type]
        return prompt  # type: ignore[return-value]

    # ---- generating

    @overload
    def generate(self, prompt: Prompt, *, max_tokens: int | None = ..., temperature: float | None = ...,
                 top_p: float | None = ..., top_k: int | None = ..., min_p: float | None = ...,
                 repeat_penalty: float | None = ..., repeat_last_n: int | None = ..., seed: int | None = ...,
                 stop: str | Sequence[str] = ..., ignore_end: bool = ..., speculate: bool = ...,
                 stream: Literal[False] = ...) -> Generation: ...

    @overload
    def generate(self, prompt: Prompt, *, max_tokens: int | None = ..., temperature: float | None = ...,
                 top_p: float | None = ..., top_k: int | None = ..., min_p: float | None = ...,
                 repeat_penalty: float | None = ..., repeat_last_n: int | None = ..., seed: int | None = ...,
                 stop: str | Sequence[str] = ..., ignore_end: bool = ..., speculate: bool = ...,
                 stream: Literal[True]) -> Stream: ...

    def generate(self, prompt: Prompt, *, max_tokens: int | None = None, temperature: float | None = None,
                 top_p: float | None = None, top_k: int | None = None, min_p: float | None = None,
                 repeat_penalty: float | None = None, repeat_last_n: int | None = None, seed: int | None = None,
                 stop: str | Sequence[str] = (), ignore_end: bool = False, speculate: bool = False,
                 stream: bool = False) -> Generation | Stream:
        """Continues a prompt: a text as it is, ids, or the messages of a conversation ({"role", "content"} or pairs).

        max_tokens   at most so many; None: until the model ends or the context is full; 0: only the prompt
        temperature, top_p, top_k, min_p, repeat_penalty, repeat_last_n
                     as in welford.h; None: what the checkpoint recommends. Temperature 0 takes the likeliest token
        seed         of the draws; None: from the system
        stop         texts that end the answer, which does not have them
        speculate    guesses tokens from the prompt and evaluates several at once where that pays: the same tokens
        stream       True: returns at once, a Stream of pieces of text

        What the prompt shares with what was evaluated last is not evaluated again. Ctrl-C stops it.
        """
        stops = (stop,) if isinstance(stop, str) else tuple(stop)
        n_max = 0 if max_tokens is None else max_tokens if max_tokens > 0 else -1
        sampling = (repeat_penalty, repeat_last_n, top_k, top_p, min_p, temperature, seed)
        pieces = Stream(self._core.stream(self._prompt_ids(prompt), sampling, n_max, stops, ignore_end, speculate))
        if stream:
            return pieces
        with pieces:
            for _ in pieces:
                pass
        answer = pieces.generation
        assert answer is not None  # it has ended
        return answer

    def chat(self, messages: str | Iterable[Message], *, system: str | None = None,
             **options: Any) -> Generation | Stream:
        """The answer to a conversation, or to one question. `system`: a message in front, "" for none where the chat
        template would put one of its own. Other options are those of `generate`."""
        listed: list[Message] = [("user", messages)] if isinstance(messages, str) else list(messages)
        if system is not None:
            listed.insert(0, ("system", system))
        answer: Generation | Stream = self.generate(self.chat_ids(listed), **options)
        return answer

    # ---- numbers

    def logits(self, ids: Iterable[int], *, first: int = 0) -> Array:
        """float32 [n - first, n_vocab]: what follows each of ids[first:]."""
        return self._core.logits(ids, first)

    def perplexity(self, text: str | Sequence[int], *, n_ctx: int = 512) -> float:
        """exp of the mean negative log-likelihood a token, by the definition of `welford ppl`: the tokens are cut into
        chunks of n_ctx, BOS in the place of each first where the model wants one, and the second half of each is
        scored."""
        ids = self.tokenize(text) if isinstance(text, str) else list(text)
        n_chunks = len(ids) // n_ctx
        if n_chunks < 1:
            from .errors import UsageError
            raise UsageError(f"the text has {len(ids)} tokens: at least {n_ctx} are needed")
        facts = self.describe()
        total, count = 0.0, 0
        for chunk in range(n_chunks):
            part = ids[chunk * n_ctx:(chunk + 1) * n_ctx]
            if facts["add_bos"]:
                part[0] = facts["bos"]
            scores = self._core.score(part, n_ctx // 2).tolist()
            total += math.fsum(scores)
            count += len(scores)
        return math.exp(total / count)

    # ---- describing

    def describe(self) -> dict[str, Any]:
        """Facts: architecture, name, sizes, special tokens, threads, what came from the cache."""
        return self._core.describe()

    def report(self) -> _common.Report:
        """What every fusion found and did, and why not the rest."""
        return _common.Report(self._core.fusions())

    def plan(self) -> str:
        """The calls of kernels, with operands and sizes, as a table."""
        return self._core.plan()


def load(path_or_name: str | os.PathLike[str], *, threads: int | None = None, context: int = 0,
         kv: Literal["f16", "f32", "q8"] = "f16", weights: str | None = None,
         weights_from: str | os.PathLike[str] | None = None, fuse: str | Iterable[str] | None = None,
         no_fuse: str | Iterable[str] | None = None, chat_template: str | os.PathLike[str] | None = None,
         cache: bool = True) -> Model:
    """Loads a model: a GGUF file, a folder of Hugging Face files, a .wf file, or a name on the Hugging Face hub
    (owner/name), which is downloaded where it is missing. Compiles and packs it, or finds both in the cache.

    threads        that compute; None: the cores that this process may use. All models and functions share them.
    context        tokens that fit; 0: the smaller of the model's training context and 4096
    kv             type of the KV cache
    weights        the type that float matrices are packed in ("f32", "bf16", "q8_0", "q4_0"); None: as stored
    weights_from   of a .wf file without weights: the checkpoint that has them
    fuse, no_fuse  names of fusions: only these, all but these; for measurements
    chat_template  a file with a Jinja template that takes the place of the model's own
    cache          whether to use the cache folder
    """
    from .errors import UsageError

    if kv not in ("f16", "f32", "q8"):
        raise UsageError(f"kv={kv!r} is none of 'f16', 'f32' and 'q8'")
    path = _core.find_model(os.fspath(path_or_name), lambda line: warnings.warn(line, stacklevel=2))
    core = _core.Model(path, _common.pool(threads), context, kv, not cache, _common.names(fuse),
                       _common.names(no_fuse), weights, os.fspath(weights_from) if weights_from else None,
                       os.fspath(chat_template) if chat_template else None)
    for line in core.warnings():
        warnings.warn(line, stacklevel=2)
    return Model(core, path)
