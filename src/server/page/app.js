// The chat: what was said is kept in this browser, and each answer is asked for with all of it.
"use strict";

const $ = id => document.getElementById(id);
const NUMBERS = ["temperature", "top_p", "top_k", "min_p", "seed", "max_tokens"];
const SETTINGS = [...NUMBERS, "system", "model"];

let messages = JSON.parse(localStorage.getItem("messages") || "[]"); // {role, content, reasoning, stats, wrong}
let running = null; // AbortController of the answer that is being made

// ---- kept in the browser; the key only as long as the tab

function save() {
  localStorage.setItem("messages", JSON.stringify(messages));
}

function restore() {
  const kept = JSON.parse(localStorage.getItem("settings") || "{}");
  for (const name of SETTINGS) if (kept[name] !== undefined && name !== "model") $(name).value = kept[name];
  $("key").value = sessionStorage.getItem("key") || "";
  return kept.model;
}

function saveSettings() {
  localStorage.setItem("settings", JSON.stringify(Object.fromEntries(SETTINGS.map(name => [name, $(name).value]))));
  sessionStorage.setItem("key", $("key").value);
}

// ---- the server

function headers() {
  const key = $("key").value;
  return key ? {"Content-Type": "application/json", Authorization: `Bearer ${key}`} : {"Content-Type": "application/json"};
}

async function loadModels(chosen) {
  try {
    const answer = await fetch("v1/models", {headers: headers()});
    const body = await answer.json();
    if (!answer.ok) throw new Error(body.error.message);
    $("model").replaceChildren(...body.data.map(m => new Option(m.id, m.id, false, m.id === chosen)));
  } catch (error) {
    $("model").replaceChildren(new Option(`(${error.message})`, ""));
  }
}

function request() {
  const system = $("system").value, body = {stream: true, stream_options: {include_usage: true}, model: $("model").value};
  body.messages = messages.slice(0, -1).map(({role, content}) => ({role, content}));
  if (system) body.messages.unshift({role: "system", content: system});
  for (const name of NUMBERS) if ($(name).value !== "") body[name] = Number($(name).value);
  return body;
}

// The objects of a stream of events.
async function* events(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const {done, value} = await reader.read();
    if (done) return;
    text += value;
    for (let end; (end = text.indexOf("\n\n")) >= 0; text = text.slice(end + 2)) {
      const event = text.slice(0, end);
      if (!event.startsWith("data: ")) continue;
      if (event === "data: [DONE]") return;
      yield JSON.parse(event.slice(6));
    }
  }
}

async function answer() {
  const message = {role: "assistant", content: "", reasoning: ""}, started = performance.now();
  messages.push(message);
  running = new AbortController();
  const shown = show(message);
  update();
  let first = 0;
  try {
    const response = await fetch("v1/chat/completions",
                                 {method: "POST", headers: headers(), body: JSON.stringify(request()), signal: running.signal});
    if (!response.ok) throw new Error((await response.json()).error.message);
    for await (const chunk of events(response)) {
      if (chunk.error) throw new Error(chunk.error.message);
      const delta = chunk.choices[0] ? chunk.choices[0].delta : {};
      if (!first && (delta.content || delta.reasoning_content)) first = performance.now();
      message.content += delta.content || "";
      message.reasoning += delta.reasoning_content || "";
      if (chunk.timings) message.stats = describe(chunk.timings, first - started);
      fill(shown, message);
    }
  } catch (error) {
    if (error.name !== "AbortError") message.wrong = error.message;
  }
  running = null;
  fill(shown, message);
  update();
  save();
  $("input").focus();
}

function describe(t, first) {
  const rate = t.predicted_per_second ? `${t.predicted_per_second.toFixed(1)} tokens/s, ` : "";
  return `${t.predicted_n} tokens, ${rate}first after ${(Math.max(0, first) / 1000).toFixed(2)} s, ${t.cache_n} of ` +
         `${t.cache_n + t.prompt_n} prompt tokens from the cache`;
}

// ---- what is shown

function show(message) {
  const article = element("article");
  article.className = message.role;
  $("messages").append(article);
  fill(article, message);
  return article;
}

function button(label, action) {
  const b = element("button", label);
  b.type = "button";
  b.addEventListener("click", action);
  return b;
}

function fill(article, message) {
  const main = $("messages"), atEnd = main.scrollHeight - main.scrollTop - main.clientHeight < 60;
  const text = element("div"), parts = [], opened = article.querySelector("details")?.open;
  text.className = "text";
  if (message.role === "user") text.append(message.content);
  else text.append(...markdown(message.content));
  if (message.reasoning) {
    const body = element("div", ...markdown(message.reasoning)), fold = element("details", element("summary", "Reasoning"), body);
    body.className = "reasoning";
    fold.open = opened || false;
    parts.push(fold);
  }
  parts.push(text);
  if (message.wrong) {
    const wrong = element("p", message.wrong);
    wrong.className = "wrong";
    wrong.setAttribute("role", "alert");
    parts.push(wrong);
  }
  const bar = element("div");
  bar.className = "bar";
  if (message.stats) bar.append(element("span", message.stats));
  if (message.role === "assistant" && !running && message === messages.at(-1)) bar.append(button("Regenerate", regenerate));
  parts.push(bar);
  article.replaceChildren(...parts);
  if (atEnd) main.scrollTop = main.scrollHeight;
}

function showAll() {
  $("messages").replaceChildren();
  messages.forEach(show);
  $("messages").scrollTop = $("messages").scrollHeight;
}

function update() {
  $("send").textContent = running ? "Stop" : "Send";
  const last = $("messages").lastElementChild?.previousElementSibling?.previousElementSibling;
  last?.querySelector(".bar button")?.remove();
}

// ---- what people do

function regenerate() {
  if (running) return;
  while (messages.length && messages.at(-1).role === "assistant") messages.pop();
  showAll();
  if (messages.length) answer();
}

function send() {
  const text = $("input").value;
  if (running) return running.abort();
  if (!text.trim()) return;
  $("input").value = "";
  resize();
  const message = {role: "user", content: text};
  messages.push(message);
  show(message);
  save();
  answer();
}

function startAgain() {
  if (running) running.abort();
  messages = [];
  save();
  showAll();
  $("input").focus();
}

function resize() {
  $("input").style.height = "auto";
  $("input").style.height = `${$("input").scrollHeight + 2}px`;
}

$("ask").addEventListener("submit", event => {
  event.preventDefault();
  send();
});
$("input").addEventListener("keydown", event => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  if (!running) send();
});
$("input").addEventListener("input", resize);
$("new").addEventListener("click", startAgain);
document.addEventListener("keydown", event => {
  if (event.key === "Escape" && running) running.abort();
  if (event.key.toLowerCase() === "o" && event.ctrlKey && event.shiftKey) event.preventDefault(), startAgain();
});
$("settings").addEventListener("change", saveSettings);
$("model").addEventListener("change", saveSettings);
$("key").addEventListener("change", () => loadModels($("model").value));

loadModels(restore());
showAll();
