// Markdown to elements: headings, lists, quotes, tables, code, emphasis, links. What a model writes becomes text nodes and
// elements made here, never HTML.
"use strict";

function element(name, ...children) {
  const e = document.createElement(name);
  e.append(...children);
  return e;
}

// `code`, **strong**, *emphasis*, [text](address)
const INLINE = /(`+)([\s\S]*?[^`])\1(?!`)|\*\*([\s\S]+?)\*\*|\*([^\s*][^*]*?)\*|\[([^\]\n]+)\]\((https?:\/\/[^\s)]+)\)/;

function inline(text) {
  const nodes = [];
  for (let found; (found = INLINE.exec(text)); text = text.slice(found.index + found[0].length)) {
    nodes.push(text.slice(0, found.index));
    if (found[1]) nodes.push(element("code", found[2].trim()));
    else if (found[3]) nodes.push(element("strong", ...inline(found[3])));
    else if (found[4]) nodes.push(element("em", ...inline(found[4])));
    else {
      const link = element("a", found[5]);
      link.href = found[6];
      link.rel = "noopener noreferrer";
      link.target = "_blank";
      nodes.push(link);
    }
  }
  nodes.push(text);
  return nodes;
}

function codeBlock(text) {
  const copy = element("button", "Copy");
  copy.type = "button";
  copy.addEventListener("click", () => navigator.clipboard.writeText(text));
  return element("pre", element("code", text), copy);
}

const cells = line => line.trim().replace(/^\||\|$/g, "").split("|").map(c => c.trim());

function table(lines) {
  const row = (line, name) => element("tr", ...cells(line).map(c => element(name, ...inline(c))));
  return element("table", element("thead", row(lines[0], "th")), element("tbody", ...lines.slice(2).map(l => row(l, "td"))));
}

const ITEM = /^(\s*)([-*+]|\d+[.)])\s+(.*)$/;

// Lines of a list, by how far they stand in.
function list(lines) {
  const [, indent, mark] = ITEM.exec(lines[0]);
  const ordered = /\d/.test(mark), whole = element(ordered ? "ol" : "ul");
  if (ordered) whole.start = parseInt(mark, 10);
  for (let i = 0; i < lines.length;) {
    const item = ITEM.exec(lines[i]);
    let end = i + 1;
    while (end < lines.length && !(ITEM.exec(lines[end]) && ITEM.exec(lines[end])[1].length <= indent.length)) end++;
    const inside = lines.slice(i + 1, end), at = inside.findIndex(l => ITEM.test(l));
    const text = [item[3], ...(at < 0 ? inside : inside.slice(0, at)).map(l => l.trim())].join("\n");
    whole.append(element("li", ...inline(text), ...(at < 0 ? [] : [list(inside.slice(at))])));
    i = end;
  }
  return whole;
}

const BEGINS = /^(\s*(```|~~~)|#{1,6}\s|>|\s*([-*+]|\d+[.)])\s+)/;

function markdown(text) {
  const lines = text.split("\n"), blocks = [];
  const take = (from, goesOn) => {
    let end = from + 1;
    while (end < lines.length && goesOn(lines[end])) end++;
    return end;
  };
  for (let i = 0, end; i < lines.length; i = end) {
    const line = lines[i], fence = /^\s*(```+|~~~+)/.exec(line);
    end = i + 1;
    if (!line.trim()) continue;
    if (fence) {
      end = take(i, l => !l.trim().startsWith(fence[1]));
      blocks.push(codeBlock(lines.slice(i + 1, end).join("\n")));
      end++;
    } else if (/^#{1,6}\s/.test(line)) {
      const level = line.indexOf(" ");
      blocks.push(element(`h${Math.min(6, level + 1)}`, ...inline(line.slice(level + 1))));
    } else if (line.startsWith(">")) {
      end = take(i, l => l.startsWith(">"));
      blocks.push(element("blockquote", ...markdown(lines.slice(i, end).map(l => l.replace(/^> ?/, "")).join("\n"))));
    } else if (/^\s*([-*_])(\s*\1){2,}\s*$/.test(line)) {
      blocks.push(element("hr"));
    } else if (ITEM.test(line)) {
      end = take(i, l => ITEM.test(l) || /^\s+\S/.test(l));
      blocks.push(list(lines.slice(i, end)));
    } else if (line.includes("|") && /^[\s|:-]+$/.test(lines[i + 1] || "") && lines[i + 1].includes("-")) {
      end = take(i, l => l.includes("|"));
      blocks.push(table(lines.slice(i, end)));
    } else {
      end = take(i, l => l.trim() && !BEGINS.test(l));
      blocks.push(element("p", ...inline(lines.slice(i, end).join("\n"))));
    }
  }
  return blocks;
}
