// What both widgets share (put before panel.js and chat.js): text from a person, a teacher, a model or a file is set as
// textContent only. Nothing parses HTML, and signs that have no shape or that turn the writing round are spelt out.

const SIGNS = { supported: "✓", contradicted: "✗", unsupported: "?" };
const languageTag = (language) => (language === "zh" ? "zh-CN" : language || "en");

const UNSEEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/g;
const visible = (text) => String(text).replace(UNSEEN, (c) => `⟨U+${c.charCodeAt(0).toString(16).toUpperCase().padStart(4, "0")}⟩`);

function make(tag, className = "", text = "", children = []) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== "") node.textContent = visible(text);
  node.append(...children);
  return node;
}
